// Between reading x twice for a norm over groups: what the parts of x add to
// their group, in a fixed order. One block per group.
//
//   partial  of a launch; forward (3, parts): sums about a pivot, and the pivot;
//            backward (3, parts), see RowSum
//   stats    (2, N, groups)  mean and rstd
//   sums     (3, N * C)      see RowSum
//   pulls    (N, groups)     what dx takes from the sums
//
// Traffic: the partial sums only.
#pragma once

#include "args.cuh"
#include "reduce.cuh"
#include "sums_kernel.cuh"

namespace mmdet_frn {

constexpr int kGroupThreads = 256;

// The groups of a launch and the parts of x that belong to them.
struct GroupParts {
  PartShape shape;
  int64_t step;         // from one kind of sum to the next
  int64_t first_group;  // of the launch, within the tensor
  int64_t groups;       // of the launch
  int chunk_len;        // pixels of a chunk; the last one has what is left
};

// Where the parts of the block's group begin, from the launch's first part on.
template <typename P>
__device__ __forceinline__ int64_t group_begin(const PartShape& shape, const P& params) {
  const int64_t image = blockIdx.x / params.groups, group = blockIdx.x % params.groups;
  return image * shape.chunks * shape.channels + group * params.group * shape.channel_step;
}

template <typename Norm, typename A>
__global__ void __launch_bounds__(kGroupThreads)
    group_stats_kernel(const A* partial, const GroupParts parts, A* stats,
                       const typename Norm::template Params<A> params) {
  const PartShape& shape = parts.shape;
  const A* from = partial + group_begin(shape, params);
  const int64_t count = static_cast<int64_t>(params.group) * shape.chunks;
  double totals[Norm::kStats] = {};
  for (int64_t i = threadIdx.x; i < count; i += kGroupThreads) {
    const int64_t chunk = i / params.group, channel = i % params.group;
    const int64_t left = params.pixels - chunk * parts.chunk_len;
    Norm::add_part(from + channel * shape.channel_step + chunk * shape.chunk_step, parts.step,
                   static_cast<double>(left < parts.chunk_len ? left : parts.chunk_len), totals);
  }
  sum_row<Scope::kBlock>(totals, 32);
  if (threadIdx.x > 0) return;
  A* mean = stats + parts.first_group + blockIdx.x;
  Norm::finish(totals, params, mean[0], mean[params.images * params.groups]);
}

// `width` lanes, a power of two, add up the chunks of a row.
template <typename Norm, typename A>
__global__ void __launch_bounds__(kGroupThreads)
    group_pulls_kernel(const A* partial, const GroupParts parts, int width, A* sums, const A* stats,
                       const typename Norm::template Params<A> params,
                       typename Norm::template Pull<A>* pulls) {
  const PartShape& shape = parts.shape;
  const A* from = partial + group_begin(shape, params);
  const int64_t group = parts.first_group + blockIdx.x;
  const int64_t image = group / params.groups;
  const int first_channel = static_cast<int>(group % params.groups) * params.group;
  const A rstd = Norm::saved_rstd(params, stats, image, first_channel);
  const int lane = static_cast<int>(threadIdx.x) & (width - 1);
  A of_group[2] = {};
  for (int first = 0; first < params.group; first += kGroupThreads / width) {
    const int i = first + static_cast<int>(threadIdx.x) / width;
    A of_row[kRowSums] = {};
    for (int k = lane; i < params.group && k < shape.chunks; k += width) {
#pragma unroll
      for (int s = 0; s < kRowSums; ++s) {
        of_row[s] =
            add_rn(of_row[s], from[s * parts.step + i * shape.channel_step + k * shape.chunk_step]);
      }
    }
    sum_lanes(of_row, width);
    if (lane > 0 || i >= params.group) continue;
    const int c = first_channel + i;
#pragma unroll
    for (int s = 0; s < kRowSums; ++s) {
      sums[(s * params.images + image) * params.channels + c] = of_row[s];
    }
    Norm::add_row(of_row, params.weight[c], rstd, of_group);
  }
  sum_row<Scope::kBlock>(of_group, 32);
  if (threadIdx.x == 0) pulls[group] = Norm::pull(params, of_group[0], of_group[1], rstd);
}

}  // namespace mmdet_frn
