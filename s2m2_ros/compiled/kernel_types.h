// What pixel_kernel.cpp and voxel_grid.h share.

#pragma once

#include <cstdint>

#include "processors.h"

constexpr int MAPS = 3;

extern "C" {

// Layouts are those of the classes of the same names in pixel_kernel.py.

// How the values of several points become one; `Reduction` in voxels.py.
enum Reduction : int32_t { MEAN = 0, HIGHEST = 1, LOWEST = 2 };

struct Map {
  const float *values;  // of every step-th row and column
  int64_t row_stride;   // in floats, as all strides but those of the image
  int64_t column_stride;
  int32_t column;  // in a record; where a threshold is meant instead, unused
  float minimum;
  int32_t reduction;
};

struct Voxels {
  float size;     // edge of the smallest voxels in meters
  float growth;   // edge in standard deviations of the depth
  Map deviation;  // of the depth in meters; values are null where voxels do not grow
};

struct Cloud {
  const float *x, *y;      // X/Z of the columns, Y/Z of the rows
  const float *transform;  // 3 rows of 4, or null
  const uint8_t *image;    // of every step-th row and column, or null
  int64_t image_row, image_column, image_channel;  // strides in bytes
  int32_t rgb_column;
  int32_t record_size;  // in floats
  int32_t organized;
  Map maps[MAPS];  // copied into the records; values are null where there is none
  float *records;
};

}  // extern "C"
