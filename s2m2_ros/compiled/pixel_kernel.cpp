// The loop over pixels behind pixel_kernel.py: filtered depth, and records of a point cloud.
//
// One pass over the rows, each small enough for the first cache. The arithmetic is, operation by
// operation, that of filters.py and cloud.py, which serve accelerators: the results are the same
// to the last bit (compile with -ffp-contract=off), and a test holds them together.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <new>
#include <thread>
#include <vector>

#include "kernel_types.h"
#include "voxel_grid.h"

namespace {
constexpr float UNKNOWN = std::numeric_limits<float>::quiet_NaN();
}  // namespace

extern "C" {

// Its layout is that of _Depth in pixel_kernel.py.
struct Depth {
  const float *disparity;  // full resolution
  int64_t row_stride;
  int32_t height, width, step;
  int32_t flying_pixels;  // whether to remove them
  float offset, lowest;   // of the adjusted disparity, see StereoCamera.adjusted
  float focal_baseline, min_depth, max_depth;
  float min_step, min_relative_step;
  Map confidence, visibility;  // values are null where they do not matter
};

int pixel_kernel_version() { return 4; }

}  // extern "C"

namespace {

struct Size {
  int rows, columns;  // of the result
};

INLINE Size size_of(const Depth &job) {
  return {(job.height + job.step - 1) / job.step, (job.width + job.step - 1) / job.step};
}

INLINE void adjust(const Depth &job, int row, float *adjusted) {
  const float *raw = job.disparity + row * job.row_stride;
  const float offset = job.offset, lowest = job.lowest;
  const int width = job.width;
  for (int i = 0; i < width; ++i) {
    const float d = raw[i] - offset;
    adjusted[i] = (d > 0.0f) & (-d > lowest) ? d : UNKNOWN;
  }
}

// Adjusted disparities of a row and of its neighbors, where the filter looks at them.
class Rows {
 public:
  explicit Rows(const Depth &job) : job_(job), memory_(3 * static_cast<size_t>(job.width) + 2) {
    // One float before the first and after the last, for pointers to neighbors.
    for (int i = 0; i < 3; ++i) row_[i] = memory_.data() + 1 + i * static_cast<size_t>(job.width);
  }

  INLINE void move_to(int row) {
    if (!job_.flying_pixels) {
      adjust(job_, row, row_[1]);
      return;
    }
    const bool next = job_.step == 1 && row == last_ + 1 && row > 0;
    last_ = row;
    if (next) {
      float *above = row_[0];
      row_[0] = row_[1];
      row_[1] = row_[2];
      row_[2] = above;
    } else {
      if (row > 0) adjust(job_, row - 1, row_[0]);
      adjust(job_, row, row_[1]);
    }
    if (row + 1 < job_.height) adjust(job_, row + 1, row_[2]);
  }

  const float *above() const { return row_[0]; }
  const float *here() const { return row_[1]; }
  const float *below() const { return row_[2]; }

 private:
  const Depth &job_;
  std::vector<float> memory_;
  float *row_[3];
  int last_ = -2;  // row moved to
};

INLINE bool passes_through(float before, float after, float least) {
  return ((before > least) & (after > least)) | ((before < -least) & (after < -least));
}

INLINE float larger(float a, float b) { return a > b ? a : b; }

// Remove from the depths of columns `first` to `end` - 1 those between two rows of disparities.
template <bool UNIT>
INLINE void remove_between(const Depth &job, const float *before, const float *here,
                           const float *after, int first, int end, float *depth) {
  const int step = UNIT ? 1 : job.step;
  const float relative = job.min_relative_step, absolute = job.min_step;
  for (int c = first; c < end; ++c) {
    const int i = c * step;
    const float least = larger(here[i] * relative, absolute);
    const bool flies = passes_through(here[i] - before[i], after[i] - here[i], least);
    depth[c] = flies ? UNKNOWN : depth[c];
  }
}

template <bool UNIT>
INLINE void remove_flying(const Depth &job, const Rows &rows, int row, int columns, float *depth) {
  const float *here = rows.here();
  // The ends of a row and of a column have one neighbor only.
  const int end = job.width < 2 ? 0 : (job.width - 2) / job.step + 1;
  remove_between<UNIT>(job, here - 1, here, here + 1, 1, end, depth);
  if (row > 0 && row + 1 < job.height)
    remove_between<UNIT>(job, rows.above(), here, rows.below(), 0, columns, depth);
}

INLINE void keep_from(const Map &map, int r, int columns, float *depth) {
  if (!map.values) return;
  const float *values = map.values + r * map.row_stride;
  const float minimum = map.minimum;
  const int64_t next = map.column_stride;
  if (next == 1) {
    for (int c = 0; c < columns; ++c) depth[c] = values[c] >= minimum ? depth[c] : UNKNOWN;
    return;
  }
  for (int c = 0; c < columns; ++c) depth[c] = values[c * next] >= minimum ? depth[c] : UNKNOWN;
}

template <bool UNIT>
INLINE void depth_row(const Depth &job, Rows &rows, int r, int columns, float *depth) {
  const int step = UNIT ? 1 : job.step;
  rows.move_to(r * step);
  const float *here = rows.here();
  const float scale = job.focal_baseline, nearest = job.min_depth, farthest = job.max_depth;
  for (int c = 0; c < columns; ++c) {
    const float z = (1.0f / here[c * step]) * scale;
    depth[c] = (z >= nearest) & (z <= farthest) ? z : UNKNOWN;
  }
  keep_from(job.confidence, r, columns, depth);
  keep_from(job.visibility, r, columns, depth);
  if (job.flying_pixels) remove_flying<UNIT>(job, rows, r * step, columns, depth);
}

INLINE void any_depth_row(const Depth &job, Rows &rows, int r, int columns, float *depth) {
  if (job.step == 1)
    depth_row<true>(job, rows, r, columns, depth);
  else
    depth_row<false>(job, rows, r, columns, depth);
}

INLINE void colors(const uint8_t *pixel, int64_t next, int64_t channel, int columns,
                   float *color) {
  for (int c = 0; c < columns; ++c) {
    const uint8_t *p = pixel + c * next;
    const uint32_t rgb = static_cast<uint32_t>(p[0]) << 16 |
                         static_cast<uint32_t>(p[channel]) << 8 | p[2 * channel];
    std::memcpy(color + c, &rgb, sizeof rgb);
  }
}

INLINE void color_row(const Cloud &cloud, int r, int columns, float *color) {
  const uint8_t *pixel = cloud.image + r * cloud.image_row;
  if (cloud.image_column == 3 && cloud.image_channel == 1)
    colors(pixel, 3, 1, columns, color);  // constants let the compiler use vectors
  else
    colors(pixel, cloud.image_column, cloud.image_channel, columns, color);
}

// Write the points of a row: a coordinate of each `next` floats after that of the one before.
INLINE void point_row(const Cloud &cloud, float y, int columns, const float *depth, int next,
                      float *const *axes) {
  if (!cloud.transform) {
    float *target_x = axes[0], *target_y = axes[1], *target_z = axes[2];
    for (int c = 0; c < columns; ++c) {
      target_x[c * next] = depth[c] * cloud.x[c];
      target_y[c * next] = depth[c] * y;
      target_z[c * next] = depth[c];
    }
    return;
  }
  for (int axis = 0; axis < 3; ++axis) {
    const float *m = cloud.transform + 4 * axis;
    const float constant = y * m[1] + m[2];
    float *target = axes[axis];
    for (int c = 0; c < columns; ++c)
      target[c * next] = depth[c] * (cloud.x[c] * m[0] + constant) + m[3];
  }
}

INLINE void record_row(const Cloud &cloud, int r, int columns, const float *depth,
                       const float *color, float *record) {
  const int size = cloud.record_size;
  const float y = cloud.y[r];
  if (cloud.image && cloud.rgb_column == 3 && size == 4 && !cloud.transform) {
    // The usual layout, whose whole records the compiler can store at once.
    for (int c = 0; c < columns; ++c) {
      record[4 * c] = depth[c] * cloud.x[c];
      record[4 * c + 1] = depth[c] * y;
      record[4 * c + 2] = depth[c];
      record[4 * c + 3] = color[c];
    }
    return;
  }
  float *const axes[3] = {record, record + 1, record + 2};
  point_row(cloud, y, columns, depth, size, axes);
  if (cloud.image)
    for (int c = 0; c < columns; ++c) record[c * size + cloud.rgb_column] = color[c];
  for (const Map &map : cloud.maps) {
    if (!map.values) continue;
    const float *values = map.values + r * map.row_stride;
    for (int c = 0; c < columns; ++c)
      record[c * size + map.column] = values[c * map.column_stride];
  }
}

// Copy the records whose depth is known to `target`; return its new end.
INLINE float *pack(const float *record, const float *depth, int columns, int size, float *target) {
  for (int c = 0; c < columns; ++c) {
    if (std::isnan(depth[c])) continue;
    std::memcpy(target, record + static_cast<size_t>(c) * size, size * sizeof(float));
    target += size;
  }
  return target;
}

// Those of the result from `first` on, before `end`.
struct Band {
  int first, end;
};

FOR_EVERY_PROCESSOR void depth_band(const Depth &job, float *depth, Band band) {
  const Size size = size_of(job);
  Rows rows(job);
  for (int r = band.first; r < band.end; ++r)
    any_depth_row(job, rows, r, size.columns, depth + static_cast<size_t>(r) * size.columns);
}

// Write the records of some rows from `target` on; return the end of what was written.
FOR_EVERY_PROCESSOR float *cloud_band(const Depth &job, const Cloud &cloud, float *target,
                                      Band band) {
  const Size size = size_of(job);
  const size_t row_size = static_cast<size_t>(size.columns) * cloud.record_size;
  Rows rows(job);
  std::vector<float> depth(size.columns), color(size.columns);
  std::vector<float> packing(cloud.organized ? 0 : row_size);
  for (int r = band.first; r < band.end; ++r) {
    any_depth_row(job, rows, r, size.columns, depth.data());
    if (cloud.image) color_row(cloud, r, size.columns, color.data());
    float *record = cloud.organized ? target : packing.data();
    record_row(cloud, r, size.columns, depth.data(), color.data(), record);
    target = cloud.organized
                 ? target + row_size
                 : pack(record, depth.data(), size.columns, cloud.record_size, target);
  }
  return target;
}

// Do `work(band)` for bands that make up all rows, side by side; false where memory was lacking.
template <typename Work>
bool in_bands(int rows, int threads, const Work &work) {
  const int count = threads < 1 ? 1 : threads < rows ? threads : rows;
  std::vector<char> failed(count, 0);
  const auto part = [&](int i) {
    const auto edge = [&](int k) { return static_cast<int>(static_cast<int64_t>(rows) * k / count); };
    try {
      work(Band{edge(i), edge(i + 1)});
    } catch (const std::bad_alloc &) {
      failed[i] = 1;
    }
  };
  std::vector<std::thread> others;
  others.reserve(count);
  int first = 1;  // of those that no other thread does
  try {
    for (; first < count; ++first) others.emplace_back(part, first);
  } catch (const std::exception &) {
    // No more threads are allowed, or no memory for one: this one does the rest.
  }
  part(0);
  for (int i = first; i < count; ++i) part(i);
  for (std::thread &other : others) other.join();
  for (const char f : failed)
    if (f) return false;
  return true;
}

}  // namespace

extern "C" {

// Write the filtered depth of every step-th row and column, rows one after the other; return 0,
// or -1 where memory is lacking.
int64_t pixel_kernel_depth(const Depth *job, float *depth, int32_t threads) try {
  const bool done = in_bands(size_of(*job).rows, threads,
                             [&](Band band) { depth_band(*job, depth, band); });
  return done ? 0 : -1;
} catch (const std::bad_alloc &) {
  return -1;
}

// Write the records, for each pixel or, unorganized, for those of known depth; return how many,
// or -1 where memory is lacking.
int64_t pixel_kernel_cloud(const Depth *job, const Cloud *cloud, int32_t threads) try {
  const Size size = size_of(*job);
  const size_t row_size = static_cast<size_t>(size.columns) * cloud->record_size;
  if (!cloud->organized) {
    // Where a row's records begin depends on all rows before.
    float *end = cloud_band(*job, *cloud, cloud->records, {0, size.rows});
    return (end - cloud->records) / cloud->record_size;
  }
  const bool done = in_bands(size.rows, threads, [&](Band band) {
    cloud_band(*job, *cloud, cloud->records + band.first * row_size, band);
  });
  return done ? static_cast<int64_t>(size.rows) * size.columns : -1;
} catch (const std::bad_alloc &) {
  return -1;
}

// Write one record for each voxel that holds points of known depth; return how many, or -1 where
// memory is lacking.
FOR_EVERY_PROCESSOR int64_t pixel_kernel_voxels(const Depth *job, const Cloud *cloud,
                                                const Voxels *voxels) try {
  const Size size = size_of(*job);
  Rows rows(*job);
  std::vector<float> depth(size.columns);
  VoxelGrid grid(*voxels, *cloud, size.columns);
  float *const axes[3] = {grid.axis(0), grid.axis(1), grid.axis(2)};
  for (int r = 0; r < size.rows; ++r) {
    any_depth_row(*job, rows, r, size.columns, depth.data());
    point_row(*cloud, cloud->y[r], size.columns, depth.data(), 1, axes);
    grid.add_row(r);
  }
  return grid.write(cloud->records);
} catch (const std::bad_alloc &) {
  return -1;
}

}  // extern "C"
