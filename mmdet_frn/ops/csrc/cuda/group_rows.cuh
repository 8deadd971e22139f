// Which thread of a group kernel holds which part of which group, and the mean
// and squares of what the threads hold.
#pragma once

#include "pack.cuh"
#include "reduce.cuh"
#include "row_io.cuh"

namespace mmdet_frn {

// Groups of a launch and how they are spread, see GroupPlan.
struct GroupShape {
  int64_t first_image;  // of the launch, within the tensor
  int groups;           // of the launch
  int len;              // elements of a row
  int width;
  int parts;
  int span;    // Scope::kGroup
  int blocks;  // Scope::kCluster
};

struct GroupPlace {
  int64_t image;
  int channel;
  int part;         // of the row
  LaneGroup lanes;  // that hold the part
  bool valid;       // false for lanes past the last row or group, which take part in shuffles only
  bool leader;      // one thread per group
  int count;        // elements that the thread's warp holds of the group
};

template <Scope kScope, typename T, typename P>
__device__ __forceinline__ GroupPlace group_place(const GroupShape& shape, const P& params) {
  GroupPlace p;
  int group, thread = static_cast<int>(threadIdx.x);
  if constexpr (kScope == Scope::kGroup) {
    group = static_cast<int>(blockIdx.x * (blockDim.x / shape.span)) + thread / shape.span;
    thread &= shape.span - 1;
  } else {
    const int blocks = kScope == Scope::kCluster ? shape.blocks : 1;
    group = static_cast<int>(blockIdx.x) / blocks;
    thread += static_cast<int>(blockIdx.x) % blocks * static_cast<int>(blockDim.x);
  }
  int row = thread / (shape.parts * shape.width);
  p.part = thread / shape.width - row * shape.parts;
  p.lanes = {p.part * 32 * kGroupPacks, thread & (shape.width - 1), shape.width};
  p.valid = group < shape.groups && row < params.group;
  p.leader = group < shape.groups && thread == 0;
  if constexpr (kScope == Scope::kGroup) {
    p.count = params.group * shape.len;
  } else if (shape.parts > 1) {
    constexpr int kElements = 32 * kGroupPacks * Packed<T>::kSize;
    const int left = shape.len - p.lanes.first * Packed<T>::kSize;
    p.count = p.valid ? (left < kElements ? left : kElements) : 0;
  } else {
    const int left = params.group - (thread - thread % 32) / shape.width;
    const int most = 32 / shape.width;
    p.count = (left < 0 ? 0 : (left < most ? left : most)) * shape.len;
  }
  if (group >= shape.groups) group = shape.groups - 1;
  if (row >= params.group) row = params.group - 1;
  p.image = shape.first_image + group / params.groups;
  p.channel = group % params.groups * params.group + row;
  return p;
}

// Mean, sum of squares about it and number of some elements.
enum Moment { kMean, kSquaresAbout, kCount, kMoments };

// Turns the moments of what each lane stands for into those of all lanes.
template <typename A>
__device__ __forceinline__ void merge_lanes(A (&m)[kMoments]) {
  A sums[2] = {mul_rn(m[kCount], m[kMean]), m[kCount]};
  sum_lanes(sums, 32);
  const A mean = sums[1] > A(0) ? sums[0] / sums[1] : A(0);
  const A d = add_rn(m[kMean], -mean);
  A squares[1] = {fma_rn(mul_rn(m[kCount], d), d, m[kSquaresAbout])};
  sum_lanes(squares, 32);
  m[kMean] = mean;
  m[kSquaresAbout] = squares[0];
  m[kCount] = sums[1];
}

// The same of warps of a block, and of blocks of a cluster, as sum_cluster.
template <Scope kScope, typename A>
__device__ __forceinline__ void merge_warps(A (&m)[kMoments]) {
  __shared__ A shared[kMoments][kMaxWarps];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warps = static_cast<int>(blockDim.x) / 32;
#pragma unroll
  for (int i = 0; i < kMoments; ++i) {
    if (lane == 0) shared[i][threadIdx.x / 32] = m[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kMoments; ++i) m[i] = lane < warps ? shared[i][lane] : A(0);
  merge_lanes(m);
  if constexpr (kScope == Scope::kCluster) {
    __shared__ A inbox[kMoments][kMaxCluster];
    const int blocks = push_to_cluster(m, inbox);
#pragma unroll
    for (int i = 0; i < kMoments; ++i) m[i] = lane < blocks ? inbox[i][lane] : A(0);
    merge_lanes(m);
  }
}

// Mean of a group, 0 unless `centered`, and its sum of squares about that, from
// the packs of all its threads. They are in registers, so the mean comes first:
// no pivot is needed, and no fp64.
template <Scope kScope, typename T, int kPacks>
__device__ __forceinline__ void group_moments(const Vec (&v)[kPacks], int len, const GroupPlace& p,
                                              int span, bool centered, acc_t<T>& mean,
                                              acc_t<T>& squares) {
  using A = acc_t<T>;
  constexpr int kSize = Packed<T>::kSize;
  A m[kMoments] = {A(0), A(0), A(p.count)};
  const int width = kScope == Scope::kGroup ? span : 32;
  if (centered) {
    A part[4] = {};
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      A x[kSize];
      unpack_vec<T>(v[k], x);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        part[(k * kSize + i) % 4] = add_rn(part[(k * kSize + i) % 4], x[i]);
      }
    }
    A sum[1] = {add_rn(add_rn(part[0], part[1]), add_rn(part[2], part[3]))};
    sum_lanes(sum, width);
    m[kMean] = p.count > 0 ? sum[0] / m[kCount] : A(0);
  }
  A part[4] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    // Past the row's end x reads as 0, which is not the mean.
    const int left = len - (p.lanes.first + k * p.lanes.width + p.lanes.lane) * kSize;
    A x[kSize];
    unpack_vec<T>(v[k], x);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const A d = i < left ? add_rn(x[i], -m[kMean]) : A(0);
      part[(k * kSize + i) % 4] = fma_rn(d, d, part[(k * kSize + i) % 4]);
    }
  }
  A sum[1] = {add_rn(add_rn(part[0], part[1]), add_rn(part[2], part[3]))};
  sum_lanes(sum, width);
  m[kSquaresAbout] = sum[0];
  if constexpr (kScope != Scope::kGroup) merge_warps<kScope>(m);
  mean = m[kMean];
  squares = m[kSquaresAbout];
}

}  // namespace mmdet_frn
