// 3×3 and 1×3 convolutions of stride 1 by Winograd's minimal filtering, summed in float32.
//
// A tile of 4×4 results takes 36 multiplications for each pair of channels instead of 144, one of 4
// results 6 instead of 12 (Lavin and Gray 2016). All that a block of tiles needs stays in the cache
// of its core.

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HAS_LOOPS 1
#include <cpuid.h>
#endif

#include <dlfcn.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "processors.h"

extern "C" {

// Layouts are those of the classes of the same names in winograd.py.

struct Map {
  void *values;  // channels of one pixel lie side by side
  int64_t batch, row, pixel;  // strides in values
  int32_t channels;
};

struct Convolution {
  Map inputs[2];  // those with the first channels, and the others; 0 channels if there are none
  Map out;
  const float *weights;  // as winograd_pack makes them
  const float *bias;     // or null
  int32_t batch, height, width;
  int32_t rows;        // of the filter: 3 or 1
  int32_t adds;        // to what `out` holds
  int32_t activation;
  int32_t is_bfloat16;  // the type of the maps instead of float32
};

enum Activation : int32_t { NONE = 0, RELU = 1, GELU = 2, SIGMOID = 3, TANH = 4 };

}  // extern "C"

namespace {

typedef uint16_t bfloat16;

// Points at which polynomials are evaluated: 0, ±A, ±B, infinity. With these the results are about
// as exact as those of a plain convolution; with the usual 1 and 2, six times less.
constexpr double POINT_A = 0.70710678118654752, POINT_B = 1.41421356237309505;
constexpr float A = float(POINT_A), B = float(POINT_B), A2 = 0.5f, B2 = 2.0f;
// What lies outside of a map.
constexpr int MOST_CHANNELS = 4096;
alignas(64) float ZEROS[MOST_CHANNELS] = {};

INLINE int smaller(int a, int b) { return a < b ? a : b; }

template <typename Value> INLINE Value *pixel(const Map &map, int batch, int y, int x) {
  return static_cast<Value *>(map.values) + batch * map.batch + y * map.row + x * map.pixel;
}

// Results of a tile, and what is multiplied for them.
struct Square {
  static constexpr int ROWS = 4, ELEMENTS = 36;
};
struct Line {
  static constexpr int ROWS = 1, ELEMENTS = 6;
};

// Where a tile lies: the pixel of its first result.
template <typename Shape> struct Place {
  int batch, y, x;

  INLINE Place(const Convolution &job, int64_t tile) {
    const int across = (job.width + 3) / 4;
    const int down = (job.height + Shape::ROWS - 1) / Shape::ROWS;
    x = int(tile % across) * 4;
    y = int(tile / across % down) * Shape::ROWS;
    batch = int(tile / across / down);
  }

  template <typename Value>
  INLINE void find_window(const Convolution &job, const Map &map, const Value **found) const {
    for (int row = 0; row < Shape::ELEMENTS / 6; ++row)
      for (int column = 0; column < 6; ++column) {
        const int at_y = Shape::ROWS == 1 ? y : y + row - 1, at_x = x + column - 1;
        const bool inside = at_y >= 0 && at_y < job.height && at_x >= 0 && at_x < job.width;
        found[row * 6 + column] = inside ? pixel<Value>(map, batch, at_y, at_x)
                                         : reinterpret_cast<const Value *>(ZEROS);
      }
  }
};

// Some tiles, and memory of the thread that takes them.
struct Block {
  int64_t first;
  int count, room;
  float *tiles, *sums;
};

struct Loops {
  void (*take[2][2])(const Convolution &, const Block &);  // is bfloat16, is a line
  int panel, tiles;
};

#ifdef HAS_LOOPS
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,fma")
namespace avx512 {
#define VECTOR_BYTES 64
constexpr int TILES = 14;
#include "winograd_loops.h"
#undef VECTOR_BYTES
}  // namespace avx512
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
#define VECTOR_BYTES 32
constexpr int TILES = 6;
#include "winograd_loops.h"
#undef VECTOR_BYTES
}  // namespace avx2
#pragma GCC pop_options

const Loops &loops(int vector_bytes) { return vector_bytes == 64 ? avx512::LOOPS : avx2::LOOPS; }

int widest() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return 64;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 32 : 0;
}

// Asked once: where a hypervisor answers, that takes as long as some layers do.
bool multiplies_matrices() {
  static const bool found = [] {
    unsigned a, b, c, d;
    constexpr unsigned AMX_BF16 = 1u << 22;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & AMX_BF16);
  }();
  return found;
}
#else
const Loops &loops(int) {
  static const Loops none = {{}, 1, 1};
  return none;
}

int widest() { return 0; }

bool multiplies_matrices() { return false; }
#endif

// So many bytes of transformed input stay in a core's second cache, beside the sums.
constexpr int64_t CACHE = 400 << 10;

struct Work {
  const Convolution &job;
  const Loops &loops;
  int64_t tiles;
  int room;
  int elements;
  int64_t floats;  // of a thread's memory
  float *memory;
  std::atomic<int64_t> next{0};
  std::atomic<int> threads{0};

  void run() {
    const int depth = job.inputs[0].channels + job.inputs[1].channels;
    float *mine = memory + threads++ * floats;
    Block block = {0, 0, room, mine, mine + int64_t(elements) * room * depth};
    const auto take = loops.take[job.is_bfloat16][job.rows == 1];
    while ((block.first = next.fetch_add(room)) < tiles) {
      block.count = tiles - block.first < room ? int(tiles - block.first) : room;
      take(job, block);
    }
  }
};

void run_work(void *work) { static_cast<Work *>(work)->run(); }

typedef void (*Parallel)(void (*)(void *), void *, unsigned, unsigned);

// The threads are those of torch's OpenMP where it has some: between its own tasks they wait in a
// loop, so that others would have to share the cores with them.
void run_in_threads(Work &work, int threads) {
  static const auto parallel = reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  if (threads < 2) return work.run();
  if (parallel) return parallel(run_work, &work, unsigned(threads), 0);
  std::vector<std::thread> others;
  try {
    others.reserve(size_t(threads));
    for (int i = 1; i < threads; ++i) others.emplace_back(run_work, &work);
  } catch (const std::exception &) {  // no more threads, or no memory: fewer do the same work
  }
  work.run();
  for (auto &thread : others) thread.join();
}

}  // namespace

extern "C" {

int32_t winograd_version() { return 1; }

// Size of the widest vectors that this processor offers, in bytes; 0 if there are no loops for it.
int32_t winograd_vector_bytes() { return widest(); }

// Whether the processor has units for matrices of bfloat16, faster than any loop over vectors.
int32_t winograd_has_matrix_units() { return multiplies_matrices(); }

int32_t winograd_most_channels() { return MOST_CHANNELS; }

// Outputs whose weights lie side by side.
int32_t winograd_panel(int32_t vector_bytes) { return loops(vector_bytes).panel; }

// G g Gᵀ of weights (outputs, inputs, rows, 3), or g Gᵀ for one row, as (36 or 6, panels, inputs,
// panel).
void winograd_pack(const float *weights, int32_t outputs, int32_t inputs, int32_t rows,
                   int32_t vector_bytes, float *packed) {
  constexpr double a = POINT_A, b = POINT_B, a2 = a * a, b2 = b * b;
  constexpr double na = 2 * a2 * (a2 - b2), nb = 2 * b2 * (b2 - a2);
  const double g[6][3] = {{1 / (a2 * b2), 0, 0},      {1 / na, a / na, a2 / na},
                          {1 / na, -a / na, a2 / na}, {1 / nb, b / nb, b2 / nb},
                          {1 / nb, -b / nb, b2 / nb}, {0, 0, 1}};
  const int panel = winograd_panel(vector_bytes), panels = (outputs + panel - 1) / panel;
  for (int o = 0; o < panels * panel; ++o)
    for (int i = 0; i < inputs; ++i) {
      const float *w = weights + (int64_t(o) * inputs + i) * rows * 3;
      for (int e = 0; e < (rows == 1 ? 6 : 36); ++e) {
        double sum = 0;
        for (int k = 0; k < rows * 3 && o < outputs; ++k)
          sum += (rows == 1 ? 1 : g[e / 6][k / 3]) * g[e % 6][k % 3] * w[k];
        const int64_t place = (int64_t(e) * panels + o / panel) * inputs + i;
        packed[place * panel + o % panel] = float(sum);
      }
    }
}

// Returns 0, or 1 if there is no memory.
int32_t winograd_convolve(const Convolution *job, int32_t vector_bytes, int32_t threads) {
  const Loops &chosen = loops(vector_bytes);
  const int depth = job->inputs[0].channels + job->inputs[1].channels;
  const int elements = job->rows == 1 ? Line::ELEMENTS : Square::ELEMENTS;
  const int down = job->rows == 1 ? job->height : (job->height + 3) / 4;
  const int64_t tiles = int64_t(job->batch) * down * ((job->width + 3) / 4);
  const int64_t fitting = CACHE / (elements * 4 * int64_t(depth) * chosen.tiles);
  const int room = chosen.tiles * int(fitting > 1 ? fitting : 1);
  const int64_t floats = int64_t(elements) * room * (depth + chosen.panel);
  std::unique_ptr<float, decltype(&free)> memory(
      static_cast<float *>(aligned_alloc(64, size_t(floats) * threads * 4)), free);
  if (!memory) return 1;
  Work work{*job, chosen, tiles, room, elements, floats, memory.get()};
  run_in_threads(work, threads);
  return 0;
}

}  // extern "C"
