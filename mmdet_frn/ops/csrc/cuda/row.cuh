// Which thread of a row kernel holds which part of which row.
#pragma once

#include "pack.cuh"
#include "reduce.cuh"
#include "row_io.cuh"

namespace mmdet_frn {

// Rows of a launch and how they are spread: a group of `width` lanes, a block,
// or a cluster of `blocks` blocks holds a row.
struct RowShape {
  int rows;
  int channels;
  int len;     // elements of a row
  int width;   // Scope::kGroup
  int blocks;  // Scope::kCluster
};

struct RowPlace {
  int row;
  int channel;
  LaneGroup group;
  bool valid;   // false for lanes past the last row, which take part in shuffles
                // only
  bool leader;  // one thread per row
};

template <Scope kScope, int kPacks>
__device__ __forceinline__ RowPlace row_place(const RowShape& shape) {
  RowPlace p;
  const int thread = static_cast<int>(threadIdx.x);
  if constexpr (kScope == Scope::kGroup) {
    const int groups = static_cast<int>(blockDim.x) / shape.width;
    p.row = static_cast<int>(blockIdx.x) * groups + thread / shape.width;
    p.group = {0, thread & (shape.width - 1), shape.width};
    p.leader = p.group.lane == 0;
  } else {
    const int blocks = kScope == Scope::kCluster ? shape.blocks : 1;
    const int rank = static_cast<int>(blockIdx.x) % blocks;
    const int warps = static_cast<int>(blockDim.x) / 32;
    p.row = static_cast<int>(blockIdx.x) / blocks;
    p.group = {(rank * warps + thread / 32) * 32 * kPacks, thread & 31, 32};
    p.leader = rank == 0 && thread == 0;
  }
  p.valid = p.row < shape.rows;
  if (!p.valid) p.row = shape.rows - 1;
  p.leader = p.leader && p.valid;
  p.channel = p.row % shape.channels;
  return p;
}

// Elements of a row to load or store: none for a lane past the last row.
__device__ __forceinline__ int place_len(const RowPlace& p, int len) { return p.valid ? len : 0; }

}  // namespace mmdet_frn
