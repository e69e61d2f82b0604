// The loops over pixels behind registration_kernel.py: depth and color of another camera.
//
// The arithmetic is, operation by operation, that of registration.py, projection.py and
// target_camera.py, which serve accelerators: the results are the same to the last bit (compile
// with -ffp-contract=off), but for the arc tangent of fisheye lenses, and a test holds them
// together.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include "processors.h"

extern "C" {

// Layouts are those of the classes of the same names in registration_kernel.py.

struct Job {
  const float *depth;  // of the left camera, NaN where unknown
  int64_t row_stride;  // in floats
  const float *x, *y;  // X/Z of the columns, Y/Z of the rows
  int32_t height, width, target_height, target_width;
  int32_t lens;     // NO_LENS, PINHOLE or FISHEYE
  float pose[12];   // 3 rows of 4: rotation and translation
  float fx, fy, cx, cy, tx, ty;
  float terms[12];  // of the lens
  float largest_square;      // of the distance from the axis, in focal lengths
  float scale_x, scale_y;    // magnification / focal length of the left camera
  float step, fraction;      // within which inverse depths are of one surface
  float nearest;             // to the other camera
  float smallest, largest;   // extents
  float largest_reach, edge_on, overlap;
  float kept_nearest, kept_farthest;
};

struct Picture {
  const uint8_t *pixels;
  int64_t row, column, channel;  // strides in bytes
};

int registration_kernel_version() { return 2; }

}  // extern "C"

namespace {

constexpr float UNKNOWN = std::numeric_limits<float>::quiet_NaN();
enum { NO_LENS, PINHOLE, FISHEYE };

INLINE float larger(float a, float b) { return a > b ? a : b; }
INLINE float smaller(float a, float b) { return a < b ? a : b; }

INLINE bool agree(const Job &job, float a, float b) {
  return std::fabs(a - b) <= larger(larger(a, b) * job.fraction, job.step);
}

INLINE int32_t bits_of(float value) {
  int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

INLINE float float_of(int32_t bits) {
  bits &= ~1;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// One row of left pixels in the other image.
struct Row {
  explicit Row(int width)
      : u(width), v(width), inverse(width), left(width), right_joined(width), down_joined(width) {}
  std::vector<float> u, v, inverse;
  std::vector<float> left;  // inverse depth of the left camera
  // Whether the next pixel, and the one below, go on the surface of each.
  std::vector<uint8_t> right_joined, down_joined;
};

template <int LENS>
INLINE void project_row(const Job &given, int r, float *__restrict u, float *__restrict v,
                        float *__restrict inverse, float *__restrict left) {
  // Copies, so that the compiler knows that nothing of it changes while rows are written.
  const Job job = given;
  const float *depth = job.depth + r * job.row_stride, *m = job.pose, *k = job.terms;
  const float y = job.y[r];
  const float x_part = y * m[1] + m[2], y_part = y * m[5] + m[6], z_part = y * m[9] + m[10];
  const float k1 = k[0], k2 = k[1], p1 = k[2], p2 = k[3], k3 = k[4], k4 = k[5], k5 = k[6],
              k6 = k[7], s1 = k[8], s2 = k[9], s3 = k[10], s4 = k[11];
  for (int i = 0; i < job.width; ++i) {
    const float x = job.x[i], z = depth[i];
    const float ahead = (x * m[8] + z_part) * z + m[11];
    const float w = 1.0f / (ahead >= job.nearest ? ahead : UNKNOWN);
    float a = ((x * m[0] + x_part) * z + m[3]) * w;
    float b = ((x * m[4] + y_part) * z + m[7]) * w;
    if (LENS != NO_LENS) {
      float r2 = a * a + b * b;
      r2 = r2 <= job.largest_square ? r2 : UNKNOWN;
      if (LENS == PINHOLE) {
        const float radial = (((k3 * r2 + k2) * r2 + k1) * r2 + 1.0f) /
                             (((k6 * r2 + k5) * r2 + k4) * r2 + 1.0f);
        const float ab = a * b * 2.0f;
        const float p = a * radial + ab * p1 + (a * a * 2.0f + r2) * p2 + (r2 * s2 + s1) * r2;
        const float q = b * radial + (b * b * 2.0f + r2) * p1 + ab * p2 + (r2 * s4 + s3) * r2;
        a = p;
        b = q;
      } else {
        const float radius = std::sqrt(r2), angle = std::atan(radius), square = angle * angle;
        const float bent =
            ((((p2 * square + p1) * square + k2) * square + k1) * square + 1.0f) * angle;
        const float scale = radius <= 1e-6f ? 1.0f : bent / radius;
        a = a * scale;
        b = b * scale;
      }
    }
    u[i] = a * job.fx + (w * job.tx + job.cx);
    v[i] = b * job.fy + (w * job.ty + job.cy);
    inverse[i] = u[i] == u[i] ? w : UNKNOWN;
    left[i] = 1.0f / z;
  }
}

INLINE void project_any(const Job &job, int r, Row &row) {
  float *u = row.u.data(), *v = row.v.data(), *w = row.inverse.data(), *left = row.left.data();
  if (job.lens == NO_LENS)
    project_row<NO_LENS>(job, r, u, v, w, left);
  else if (job.lens == PINHOLE)
    project_row<PINHOLE>(job, r, u, v, w, left);
  else
    project_row<FISHEYE>(job, r, u, v, w, left);
}

// What changes from one left pixel to the next along one axis, as Steps in projection.py.
struct Steps {
  float u, v, after, before;
};

// Write whether the pixels of two rows (or of one, a column apart) are of one surface.
INLINE void join(const Job &given, int count, const float *left, const float *u,
                 const float *other_left, const float *other_u, uint8_t *__restrict joined) {
  const Job job = given;
  for (int i = 0; i < count; ++i)
    joined[i] = agree(job, left[i], other_left[i]) &
                (std::fabs(other_u[i] - u[i]) <= std::numeric_limits<float>::max());
}

INLINE void join_right(const Job &job, Row &row) {
  const float *left = row.left.data(), *u = row.u.data();
  join(job, job.width - 1, left, u, left + 1, u + 1, row.right_joined.data());
  row.right_joined[job.width - 1] = 0;
}

INLINE void join_down(const Job &job, Row &row, const Row &below) {
  join(job, job.width, row.left.data(), row.u.data(), below.left.data(), below.u.data(),
       row.down_joined.data());
}

// `next` and `last` say whether the pixel `to` of `after` and `from` of `before` are joined.
INLINE Steps steps(bool last, const Row *before, int from, const Row *here, int i, bool next,
                   const Row *after, int to) {
  Steps ahead{0, 0, 0, 0}, behind{0, 0, 0, 0};
  if (next)
    ahead = {after->u[to] - here->u[i], after->v[to] - here->v[i],
             after->inverse[to] - here->inverse[i], 0.0f};
  if (last)
    behind = {here->u[i] - before->u[from], here->v[i] - before->v[from],
              here->inverse[i] - before->inverse[from], 0.0f};
  const float half = next && last ? 0.5f : 1.0f;
  return {(ahead.u + behind.u) * half, (ahead.v + behind.v) * half,
          next ? ahead.after : behind.after, last ? behind.after : ahead.after};
}

// The steps on a surface across the ray; `axis` 0 to the right, 1 down.
INLINE Steps across(const Job &job, float u, float v, float zw, int axis) {
  const float *m = job.pose;
  const float a = (u - job.cx) / job.fx, b = (v - job.cy) / job.fy;
  const float scale = zw * (axis == 0 ? job.scale_x : job.scale_y);
  return {(m[axis] - a * m[8 + axis]) * scale * job.fx,
          (m[4 + axis] - b * m[8 + axis]) * scale * job.fy, 0.0f, 0.0f};
}

INLINE float limited(float value, float least, float most) {
  return smaller(larger(value, least), most);
}

INLINE void cover(const Job &job, const Row *above, const Row *here, const Row *below, int i,
                  float z, int32_t *values) {
  const float u = here->u[i], v = here->v[i], w = here->inverse[i];
  const bool left = i > 0 && here->right_joined[i - 1], right = here->right_joined[i];
  const bool up = above && above->down_joined[i], down = below && here->down_joined[i];
  const Steps x = left || right ? steps(left, here, i - 1, here, i, right, here, i + 1)
                                : across(job, u, v, z * w, 0);
  const Steps y =
      up || down ? steps(up, above, i, here, i, down, below, i) : across(job, u, v, z * w, 1);
  const float determinant = x.u * y.v - x.v * y.u;
  const float factor = std::fabs(determinant) > job.edge_on ? 1.0f / determinant : 0.0f;
  const float xu = y.v * factor, xv = -(y.u * factor), yu = -(x.v * factor), yv = x.u * factor;
  const float extent_u = (std::fabs(x.u) + std::fabs(y.u)) * 0.5f;
  const float extent_v = (std::fabs(x.v) + std::fabs(y.v)) * 0.5f;
  const float half_u = limited(extent_u, job.smallest, job.largest);
  const float half_v = limited(extent_v, job.smallest, job.largest);
  const bool coarse = (extent_u < job.smallest) | (extent_v < job.smallest);
  const float reach =
      coarse ? limited(larger(half_u / extent_u, half_v / extent_v), 1.0f, job.largest_reach) * 0.5f
             : 0.5f;
  const float farthest = reach + job.overlap;
  const int32_t flag = (z >= job.kept_nearest) & (z <= job.kept_farthest);
  const float last_column = smaller(std::floor(u + half_u), job.target_width - 1.0f);
  const float last_row = smaller(std::floor(v + half_v), job.target_height - 1.0f);
  const float first_column = larger(std::ceil(u - half_u), 0.0f);
  for (float row = larger(std::ceil(v - half_v), 0.0f); row <= last_row; row += 1.0f) {
    int32_t *line = values + static_cast<int64_t>(row) * job.target_width;
    const float dv = row - v;
    for (float column = first_column; column <= last_column; column += 1.0f) {
      const float du = column - u;
      const float x_place = du * xu + dv * xv, y_place = du * yu + dv * yv;
      const bool beyond = std::fabs(x_place) > farthest || std::fabs(y_place) > farthest;
      if (beyond && (std::fabs(du) > job.smallest || std::fabs(dv) > job.smallest)) continue;
      const float on_x = limited(x_place, -reach, reach), on_y = limited(y_place, -reach, reach);
      const float change =
          on_x * (on_x > 0 ? x.after : x.before) + on_y * (on_y > 0 ? y.after : y.before);
      const int32_t bits = (bits_of(w + change) & ~1) | flag;
      int32_t &value = line[static_cast<int>(column)];
      if (bits > value) value = bits;
    }
  }
}

INLINE bool joins(const Job &job, int32_t before, int32_t after) {
  return before != 0 && after != 0 && agree(job, float_of(before), float_of(after));
}

INLINE int32_t middle(int32_t before, int32_t after) {
  return (bits_of((float_of(before) + float_of(after)) * 0.5f) & ~1) | (before & after & 1);
}

INLINE void close_gaps(const Job &job, const int32_t *values, int32_t *filled) {
  const int width = job.target_width, height = job.target_height;
  for (int r = 0; r < height; ++r) {
    const int32_t *line = values + static_cast<int64_t>(r) * width;
    int32_t *target = filled + static_cast<int64_t>(r) * width;
    for (int c = 0; c < width; ++c) {
      const int32_t value = line[c];
      target[c] = value;
      if (value != 0) continue;
      if (c > 0 && c + 1 < width && joins(job, line[c - 1], line[c + 1]))
        target[c] = middle(line[c - 1], line[c + 1]);
      else if (r > 0 && r + 1 < height && joins(job, line[c - width], line[c + width]))
        target[c] = middle(line[c - width], line[c + width]);
    }
  }
}

INLINE void copy_color(const Picture &picture, int64_t row, int64_t column, uint8_t *target) {
  const uint8_t *pixel = picture.pixels + row * picture.row + column * picture.column;
  for (int channel = 0; channel < 3; ++channel) target[channel] = pixel[channel * picture.channel];
}

}  // namespace

extern "C" {

// Write the nearest surfaces to `filled`; `values` is memory of the same size, all zeros. Return 0,
// or -1 where memory is lacking.
FOR_EVERY_PROCESSOR int32_t registration_kernel_z_buffer(const Job *job, int32_t *values,
                                                         int32_t *filled) try {
  Row memory[3] = {Row(job->width), Row(job->width), Row(job->width)};
  Row *above = &memory[0], *here = &memory[1], *below = &memory[2];
  for (int r = -1; r < job->height; ++r) {
    const bool first = r <= 0, last = r + 1 >= job->height;
    if (!last) {
      project_any(*job, r + 1, *below);
      join_right(*job, *below);
    }
    if (r >= 0) {
      if (!last) join_down(*job, *here, *below);
      const float *depth = job->depth + r * job->row_stride;
      for (int i = 0; i < job->width; ++i)
        if (here->inverse[i] == here->inverse[i])
          cover(*job, first ? nullptr : above, here, last ? nullptr : below, i, depth[i], values);
    }
    Row *oldest = above;
    above = here;
    here = below;
    below = oldest;
  }
  close_gaps(*job, values, filled);
  return 0;
} catch (const std::bad_alloc &) {
  return -1;
}

// Write the depth of what is kept, NaN elsewhere.
FOR_EVERY_PROCESSOR void registration_kernel_depth(const int32_t *values, int64_t count,
                                                   float *depth) {
  for (int64_t i = 0; i < count; ++i)
    depth[i] = values[i] & 1 ? 1.0f / float_of(values[i]) : UNKNOWN;
}

// Write the color of each left pixel, 3 bytes each: the other camera's where it sees the point.
// Return 0, or -1 where memory is lacking.
FOR_EVERY_PROCESSOR int32_t registration_kernel_colors(const Job *job, const int32_t *values,
                                                       const Picture *image, const Picture *left,
                                                       uint8_t *colors) try {
  Row row(job->width);
  for (int r = 0; r < job->height; ++r) {
    project_any(*job, r, row);
    uint8_t *target = colors + static_cast<int64_t>(r) * job->width * 3;
    for (int i = 0; i < job->width; ++i, target += 3) {
      const float column = std::nearbyint(row.u[i]), line = std::nearbyint(row.v[i]);
      if (column >= 0 && column < job->target_width && line >= 0 && line < job->target_height) {
        const int64_t c = static_cast<int64_t>(column), l = static_cast<int64_t>(line);
        const float nearest = float_of(values[l * job->target_width + c]);
        if (row.inverse[i] >= nearest || agree(*job, row.inverse[i], nearest)) {
          copy_color(*image, l, c, target);
          continue;
        }
      }
      copy_color(*left, r, i, target);
    }
  }
  return 0;
} catch (const std::bad_alloc &) {
  return -1;
}

}  // extern "C"
