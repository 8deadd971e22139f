// Sums over the threads that hold a row: a group of lanes, a block or a cluster
// of blocks.
//
// Every sum is a fixed tree over the threads' values, and every thread gets the
// result. No atomics.
#pragma once

#include <cooperative_groups.h>

#include "math.cuh"
#include "plan.h"

namespace mmdet_frn {

constexpr int kMaxWarps = 32;

template <typename A, int kSums>
__device__ __forceinline__ void sum_lanes(A (&sums)[kSums], int width) {
  for (int offset = width / 2; offset > 0; offset /= 2) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      sums[i] = add_rn(sums[i], __shfl_xor_sync(0xffffffffu, sums[i], offset));
    }
  }
}

// Once per block only: `shared` is not protected against a second use.
template <typename A, int kSums>
__device__ __forceinline__ void sum_block(A (&sums)[kSums], A (&shared)[kSums][kMaxWarps]) {
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int warps = blockDim.x / 32;
  sum_lanes(sums, 32);
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    if (lane == 0) shared[i][warp] = sums[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i] = lane < warps ? shared[i][lane] : A(0);
  sum_lanes(sums, 32);
}

// A block may touch another's shared memory only once that one runs: it says so
// on entry. Nothing has been written yet that others must see, so the arrival
// need not wait for any store.
template <Scope kScope>
__device__ __forceinline__ void enter_cluster() {
#if __CUDA_ARCH__ >= 900
  if constexpr (kScope == Scope::kCluster) {
    __cluster_barrier_arrive_relaxed();
  }
#endif
}

// Each block pushes its values to all blocks of the cluster, itself included;
// returns how many these are. Nothing is read remotely, so a block may exit while
// others still work.
template <typename A, int kValues>
__device__ __forceinline__ int push_to_cluster(const A (&values)[kValues],
                                               A (&inbox)[kValues][kMaxCluster]) {
  int blocks = 0;
#if __CUDA_ARCH__ >= 900
  const auto cluster = cooperative_groups::this_cluster();
  blocks = static_cast<int>(cluster.num_blocks());
  const int rank = static_cast<int>(cluster.block_rank());
  __cluster_barrier_wait();  // of enter_cluster
  if (static_cast<int>(threadIdx.x) < blocks) {
    A(*remote)[kMaxCluster] = cluster.map_shared_rank(inbox, threadIdx.x);
#pragma unroll
    for (int i = 0; i < kValues; ++i) remote[i][rank] = values[i];
  }
  cluster.sync();
#endif
  return blocks;
}

// Adds up what the blocks of the cluster hold.
template <typename A, int kSums>
__device__ __forceinline__ void sum_cluster(A (&sums)[kSums], A (&shared)[kSums][kMaxWarps],
                                            A (&inbox)[kSums][kMaxCluster]) {
  sum_block(sums, shared);
  const int lane = threadIdx.x % 32;
  const int blocks = push_to_cluster(sums, inbox);
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i] = lane < blocks ? inbox[i][lane] : A(0);
  sum_lanes(sums, 32);
}

// `width`: lanes of a group, for Scope::kGroup.
template <Scope kScope, typename A, int kSums>
__device__ __forceinline__ void sum_row(A (&sums)[kSums], int width) {
  if constexpr (kScope == Scope::kGroup) {
    sum_lanes(sums, width);
  } else {
    __shared__ A shared[kSums][kMaxWarps];
    if constexpr (kScope == Scope::kBlock) {
      sum_block(sums, shared);
    } else {
      __shared__ A inbox[kSums][kMaxCluster];
      sum_cluster(sums, shared, inbox);
    }
  }
}

}  // namespace mmdet_frn
