// The loops of winograd.cpp for one kind of processor; included for each, in a namespace of its own.
//
// VECTOR_BYTES is the size of its registers, and TILES how many tiles a product takes at once: it
// holds that many times VECTORS sums in them.

typedef float Vector __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef int32_t Integers __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t Bits __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t Halves __attribute__((vector_size(VECTOR_BYTES / 2), aligned(2), may_alias));

constexpr int LANES = VECTOR_BYTES / 4;
constexpr int VECTORS = 2;
constexpr int PANEL = VECTORS * LANES;

INLINE Vector load(const float *from) { return *reinterpret_cast<const Vector *>(from); }

INLINE Vector load(const bfloat16 *from) {
  const Halves halves = *reinterpret_cast<const Halves *>(from);
  const Bits bits = __builtin_convertvector(halves, Bits) << 16;
  return reinterpret_cast<Vector>(bits);
}

INLINE void store(float *to, Vector value) { *reinterpret_cast<Vector *>(to) = value; }

// Rounds to the nearest, ties to even.
INLINE void store(bfloat16 *to, Vector value) {
  const Bits bits = reinterpret_cast<Bits>(value);
  const Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  *reinterpret_cast<Halves *>(to) = __builtin_convertvector(rounded, Halves);
}

// Bᵀ times six values.
INLINE void transform_input(const Vector d[6], Vector out[6]) {
  const Vector even_a = d[4] - B2 * d[2], odd_a = A * (d[3] - B2 * d[1]);
  const Vector even_b = d[4] - A2 * d[2], odd_b = B * (d[3] - A2 * d[1]);
  out[0] = A2 * B2 * d[0] - (A2 + B2) * d[2] + d[4];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = A2 * B2 * d[1] - (A2 + B2) * d[3] + d[5];
}

// Aᵀ times six values.
INLINE void transform_output(const Vector m[6], Vector out[4]) {
  const Vector sum_a = m[1] + m[2], sum_b = m[3] + m[4];
  const Vector difference_a = m[1] - m[2], difference_b = m[3] - m[4];
  out[0] = m[0] + sum_a + sum_b;
  out[1] = A * difference_a + B * difference_b;
  out[2] = A2 * sum_a + B2 * sum_b;
  out[3] = A * A2 * difference_a + B * B2 * difference_b + m[5];
}

// e to the power of -87 to 0: 2^n times a polynomial of the rest, as in Cephes' expf.
INLINE Vector exponential(Vector x) {
  const Integers n = __builtin_convertvector(x * 1.44269504f - 0.5f, Integers);
  const Vector whole = __builtin_convertvector(n, Vector);
  const Vector r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Vector p = 1.9875691500e-4f * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Integers power = (n + 127) << 23;
  return p * reinterpret_cast<Vector>(power);
}

// x Φ(x); erf by Abramowitz and Stegun 7.1.26, which is off by at most 1.5e-7.
INLINE Vector gelu(Vector x) {
  const Vector z = x * 0.70710678f;
  const Vector size = z < 0.0f ? -z : z;
  // Where erf is 1 in float32, and the exponential still a normal number.
  const Vector bounded = size > 9.0f ? Vector{} + 9.0f : size;
  const Vector t = 1.0f / (1.0f + 0.3275911f * bounded);
  Vector p = 1.061405429f * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const Vector rest = p * t * exponential(-bounded * bounded);
  return 0.5f * x * (z < 0.0f ? rest : 2.0f - rest);
}

INLINE Vector sigmoid(Vector x) {
  const Vector size = x < 0.0f ? -x : x;
  const Vector e = exponential(size > 87.0f ? Vector{} - 87.0f : -size);
  const Vector tail = e / (1.0f + e);
  return x < 0.0f ? tail : 1.0f - tail;
}

INLINE Vector activate(Vector x, int32_t activation) {
  switch (activation) {
    case RELU:
      return x < 0.0f ? Vector{} : x;
    case GELU:
      return gelu(x);
    case SIGMOID:
      return sigmoid(x);
    case TANH:
      return 2.0f * sigmoid(2.0f * x) - 1.0f;
    default:
      return x;
  }
}

// Bᵀ d B of one tile, or Bᵀ d: `window` holds its pixels, row by row.
template <typename Value, typename Shape>
INLINE void transform_tile(const Value *const *window, int channels, float *to,
                           int64_t element_stride) {
  for (int c = 0; c < channels; c += LANES) {
    if (Shape::ROWS == 1) {
      Vector d[6], out[6];
      for (int column = 0; column < 6; ++column) d[column] = load(window[column] + c);
      transform_input(d, out);
      for (int column = 0; column < 6; ++column)
        store(to + column * element_stride + c, out[column]);
      continue;
    }
    Vector half[6][6];  // column, row
    for (int column = 0; column < 6; ++column) {
      Vector d[6];
      for (int row = 0; row < 6; ++row) d[row] = load(window[row * 6 + column] + c);
      transform_input(d, half[column]);
    }
    for (int row = 0; row < 6; ++row) {
      Vector d[6], out[6];
      for (int column = 0; column < 6; ++column) d[column] = half[column][row];
      transform_input(d, out);
      for (int column = 0; column < 6; ++column)
        store(to + (row * 6 + column) * element_stride + c, out[column]);
    }
  }
}

// (TILES, depth) times (depth, PANEL); `out` has rows of PANEL.
INLINE void multiply(const float *tiles, int depth, const float *weights, float *out) {
  Vector sums[TILES][VECTORS] = {};
  for (int k = 0; k < depth; ++k) {
    Vector w[VECTORS];
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) w[v] = load(weights + k * PANEL + v * LANES);
#pragma GCC unroll 16
    for (int tile = 0; tile < TILES; ++tile) {
      const float x = tiles[int64_t(tile) * depth + k];
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; ++v) sums[tile][v] += x * w[v];
    }
  }
#pragma GCC unroll 16
  for (int tile = 0; tile < TILES; ++tile)
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) store(out + tile * PANEL + v * LANES, sums[tile][v]);
}

// Aᵀ m A of one tile and LANES channels, or Aᵀ m; what is added, and the activation.
template <typename Value, typename Shape>
INLINE void finish_tile(const Convolution &job, const float *sums, int64_t element_stride,
                        const Place<Shape> &place, int channel) {
  Vector half[6][4];  // column, row
  for (int column = 0; column < 6; ++column) {
    const float *from = sums + column * element_stride;
    if (Shape::ROWS == 1) {
      half[column][0] = load(from);
      continue;
    }
    Vector m[6];
    for (int row = 0; row < 6; ++row) m[row] = load(from + row * 6 * element_stride);
    transform_output(m, half[column]);
  }
  const Vector bias = job.bias ? load(job.bias + channel) : Vector{};
  const int rows = smaller(Shape::ROWS, job.height - place.y);
  const int columns = smaller(4, job.width - place.x);
  for (int row = 0; row < rows; ++row) {
    Vector m[6], out[4];
    for (int column = 0; column < 6; ++column) m[column] = half[column][row];
    transform_output(m, out);
    Value *to = pixel<Value>(job.out, place.batch, place.y + row, place.x) + channel;
    for (int column = 0; column < columns; ++column, to += job.out.pixel) {
      Vector value = out[column] + bias;
      if (job.adds) value += load(to);
      store(to, activate(value, job.activation));
    }
  }
}

template <typename Value, typename Shape>
void take_block(const Convolution &job, const Block &block) {
  const int depth = job.inputs[0].channels + job.inputs[1].channels;
  const int64_t element = int64_t(block.room) * depth;
  for (int tile = 0; tile < block.count; ++tile) {
    const Place<Shape> place(job, block.first + tile);
    float *to = block.tiles + int64_t(tile) * depth;
    for (const Map &map : job.inputs) {
      if (!map.channels) continue;
      const Value *window[Shape::ELEMENTS];
      place.find_window(job, map, window);
      transform_tile<Value, Shape>(window, map.channels, to, element);
      to += map.channels;
    }
  }
  const int panels = (job.out.channels + PANEL - 1) / PANEL;
  for (int panel = 0; panel < panels; ++panel) {
    for (int e = 0; e < Shape::ELEMENTS; ++e) {
      const float *weights = job.weights + (int64_t(e) * panels + panel) * depth * PANEL;
      for (int tile = 0; tile < block.count; tile += TILES)
        multiply(block.tiles + e * element + int64_t(tile) * depth, depth, weights,
                 block.sums + (int64_t(e) * block.room + tile) * PANEL);
    }
    const int wanted = smaller(PANEL, job.out.channels - panel * PANEL);
    for (int tile = 0; tile < block.count; ++tile) {
      const Place<Shape> place(job, block.first + tile);
      for (int c = 0; c < wanted; c += LANES)
        finish_tile<Value>(job, block.sums + tile * PANEL + c, int64_t(block.room) * PANEL, place,
                           panel * PANEL + c);
    }
  }
}

const Loops LOOPS = {
    {{take_block<float, Square>, take_block<float, Line>},
     {take_block<bfloat16, Square>, take_block<bfloat16, Line>}},
    PANEL,
    TILES};
