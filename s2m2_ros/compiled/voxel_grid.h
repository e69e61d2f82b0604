// One point a voxel: the sums of the points in each voxel, by a hash table.
//
// The arithmetic is that of voxels.py, which explains it. Everything is summed in whole numbers,
// so that the results do not depend on the order of the sums.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernel_types.h"

namespace {

class VoxelGrid {
 public:
  VoxelGrid(const Voxels &options, const Cloud &cloud, int columns)
      : options_(options), cloud_(cloud), columns_(columns), keys_(columns), levels_(columns),
        slots_(FIRST_SLOTS) {
    for (auto &axis : point_) axis.resize(columns);
    for (auto &axis : index_) axis.resize(columns);
    voxels_.reserve(FIRST_SLOTS / 2);
  }

  float *axis(int number) { return point_[number].data(); }

  // Add the points of a row, written to `axis(0)` to `axis(2)` before; NaN where there is none.
  INLINE void add_row(int r) {
    const float inverse = 1.0f / options_.size;
    for (int a = 0; a < 3; ++a) index_row(point_[a].data(), inverse, index_[a].data());
    level_row(r);
    key_row();
    if (!cloud_.image)
      add_points<false>(r, 0, 0);
    else if (cloud_.image_column == 3 && cloud_.image_channel == 1)
      add_points<true>(r, 3, 1);  // constants, for the compiler
    else
      add_points<true>(r, cloud_.image_column, cloud_.image_channel);
  }

  // Write a record for each voxel, in the order of their first points; return how many.
  INLINE int64_t write(float *record) const {
    for (const Voxel &v : voxels_) {
      for (int a = 0; a < 3; ++a) record[a] = static_cast<float>(mean(v.point[a], v.count)) / STEPS_OF_METER;
      if (cloud_.image) {
        uint32_t rgb = 0;
        for (int i = 0; i < 3; ++i) rgb = rgb << 8 | static_cast<uint32_t>(mean(v.color[i], v.count));
        std::memcpy(record + cloud_.rgb_column, &rgb, sizeof rgb);
      }
      for (int i = 0; i < MAPS; ++i) {
        const Map &map = cloud_.maps[i];
        if (!map.values) continue;
        record[map.column] =
            map.reduction == MEAN ? static_cast<float>(mean(v.value[i].sum, v.count)) / STEPS_OF_VALUE
                                  : v.value[i].extreme;
      }
      record += cloud_.record_size;
    }
    return static_cast<int64_t>(voxels_.size());
  }

 private:
  // As in voxels.py.
  static constexpr float STEPS_OF_METER = 1 << 20, STEPS_OF_VALUE = 1 << 16;
  static constexpr float FARTHEST = 1 << 19;
  static constexpr int INDEX_BITS = 19, FAR_LEVELS = 12, GROWN_LEVELS = 6;
  static constexpr int64_t NO_VOXEL = -1;
  static constexpr size_t FIRST_SLOTS = 1 << 14;

  struct Voxel {
    int64_t point[3];
    union {
      int64_t sum;    // of a map whose mean is wanted
      float extreme;  // of another
    } value[MAPS];
    uint32_t color[3];
    uint32_t count;
  };
  struct Slot {
    int64_t key = NO_VOXEL;
    uint32_t number = 0;
  };

  // The nearest whole number, half a step up.
  static INLINE int64_t mean(int64_t sum, int64_t count) {
    const int64_t doubled = 2 * sum + count, quotient = doubled / (2 * count);
    return quotient - (doubled % (2 * count) < 0);
  }

  INLINE void index_row(const float *point, float inverse, int32_t *index) const {
    for (int c = 0; c < columns_; ++c) {
      const float place = std::fabs(point[c]) < FARTHEST ? point[c] * inverse : 0.0f;
      const int32_t towards_zero = static_cast<int32_t>(place);
      index[c] = towards_zero - (static_cast<float>(towards_zero) > place);
    }
  }

  INLINE void level_row(int r) {
    const Map &map = options_.deviation;
    if (!map.values) return;  // the levels are zero since the beginning
    const float *values = map.values + r * map.row_stride;
    const float size = options_.size, growth = options_.growth;
    const int64_t next = map.column_stride;
    for (int c = 0; c < columns_; ++c) {
      const float edge = values[c * next] * growth;
      int32_t level = 0;
      for (int k = 0; k < GROWN_LEVELS; ++k) level += edge > size * static_cast<float>(1 << k);
      levels_[c] = level;
    }
  }

  INLINE void key_row() {
    const float *x = point_[0].data(), *y = point_[1].data(), *z = point_[2].data();
    const int32_t *i = index_[0].data(), *j = index_[1].data(), *k = index_[2].data();
    const int32_t *levels = levels_.data();
    int64_t *keys = keys_.data();
    constexpr int32_t half = 1 << (INDEX_BITS - 1);
    for (int c = 0; c < columns_; ++c) {
      const int32_t far = (i[c] ^ (i[c] >> 31)) | (j[c] ^ (j[c] >> 31)) | (k[c] ^ (k[c] >> 31));
      int32_t level = 0;
      for (int n = 0; n < FAR_LEVELS; ++n) level += far >= half << n;
      level = level > levels[c] ? level : levels[c];
      const bool known = (std::fabs(x[c]) < FARTHEST) & (std::fabs(y[c]) < FARTHEST) &
                         (std::fabs(z[c]) < FARTHEST);
      const int64_t a = (i[c] >> level) + half, b = (j[c] >> level) + half,
                    d = (k[c] >> level) + half;
      const int64_t key = static_cast<int64_t>(level) << (3 * INDEX_BITS) |
                          a << (2 * INDEX_BITS) | b << INDEX_BITS | d;
      keys[c] = known ? key : NO_VOXEL;
    }
  }

  // Neighbors mostly lie in one voxel: sum them first, in one loop, whose end is hard to predict.
  template <bool COLORED>
  INLINE void add_points(int r, int64_t next, int64_t channel) {
    const float *x = point_[0].data(), *y = point_[1].data(), *z = point_[2].data();
    const int64_t *keys = keys_.data();
    const uint8_t *pixels = COLORED ? cloud_.image + r * cloud_.image_row : nullptr;
    for (int c = 0; c < columns_;) {
      const int64_t key = keys[c];
      if (key == NO_VOXEL) {
        ++c;
        continue;
      }
      const int first = c;
      int64_t sum_x = 0, sum_y = 0, sum_z = 0;
      uint32_t red = 0, green = 0, blue = 0;
      do {
        sum_x += static_cast<int64_t>(x[c] * STEPS_OF_METER);
        sum_y += static_cast<int64_t>(y[c] * STEPS_OF_METER);
        sum_z += static_cast<int64_t>(z[c] * STEPS_OF_METER);
        if (COLORED) {
          const uint8_t *pixel = pixels + c * next;
          red += pixel[0];
          green += pixel[channel];
          blue += pixel[2 * channel];
        }
      } while (++c < columns_ && keys[c] == key);
      Voxel &v = voxel(key);
      v.point[0] += sum_x;
      v.point[1] += sum_y;
      v.point[2] += sum_z;
      v.color[0] += red;
      v.color[1] += green;
      v.color[2] += blue;
      v.count += static_cast<uint32_t>(c - first);
      for (int i = 0; i < MAPS; ++i)
        if (cloud_.maps[i].values) add_values(v, i, r, first, c);
    }
  }

  INLINE void add_values(Voxel &v, int number, int r, int first, int end) const {
    const Map &map = cloud_.maps[number];
    const float *values = map.values + r * map.row_stride;
    const int64_t next = map.column_stride;
    if (map.reduction == MEAN) {
      int64_t sum = 0;
      for (int c = first; c < end; ++c)
        sum += static_cast<int64_t>(values[c * next] * STEPS_OF_VALUE);
      v.value[number].sum += sum;
      return;
    }
    float extreme = v.value[number].extreme;
    for (int c = first; c < end; ++c) {
      const float value = values[c * next];
      const bool better = map.reduction == HIGHEST ? value > extreme : value < extreme;
      extreme = better ? value : extreme;
    }
    v.value[number].extreme = extreme;
  }

  INLINE size_t slot_of(int64_t key) const {
    // Fibonacci hashing: the high bits of the product depend on all bits of the key.
    const uint64_t mixed = static_cast<uint64_t>(key) * 0x9E3779B97F4A7C15u;
    size_t slot = (mixed >> 32) & (slots_.size() - 1);
    while (slots_[slot].key != NO_VOXEL && slots_[slot].key != key)
      slot = (slot + 1) & (slots_.size() - 1);
    return slot;
  }

  INLINE Voxel &voxel(int64_t key) {
    const size_t slot = slot_of(key);
    if (slots_[slot].key == key) return voxels_[slots_[slot].number];
    slots_[slot] = {key, static_cast<uint32_t>(voxels_.size())};
    voxels_.push_back(empty());
    if (2 * voxels_.size() > slots_.size()) enlarge();
    return voxels_.back();
  }

  INLINE Voxel empty() const {
    Voxel v{};
    for (int i = 0; i < MAPS; ++i) {
      const int32_t reduction = cloud_.maps[i].reduction;
      if (reduction != MEAN) v.value[i].extreme = reduction == LOWEST ? HUGE_VALF : -HUGE_VALF;
    }
    return v;
  }

  void enlarge() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (const Slot &slot : old)
      if (slot.key != NO_VOXEL) slots_[slot_of(slot.key)] = slot;
  }

  const Voxels &options_;
  const Cloud &cloud_;
  int columns_;
  std::vector<float> point_[3];
  std::vector<int32_t> index_[3];
  std::vector<int64_t> keys_;
  std::vector<int32_t> levels_;
  std::vector<Slot> slots_;
  std::vector<Voxel> voxels_;
};

}  // namespace
