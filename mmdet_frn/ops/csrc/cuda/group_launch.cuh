// Launchers of a norm over groups of channels, in both layouts. Where a group does
// not stay on chip (group_plan.h) x is summed in parts, the parts of a group are
// added up, x is read again. Norm is the norm's arithmetic, Args the arguments of
// its op.
#pragma once

#include <algorithm>

#include "channels_kernel.cuh"
#include "group_plan.h"
#include "group_sums_kernel.cuh"
#include "images.h"
#include "rows.h"

namespace mmdet_frn {

// Numbers kept of a part: the forward's with its pivot, or the backward's.
constexpr int kPartSums = kRowSums;

// The parameters that all these norms have.
template <typename P, typename Args>
P group_params(const Args& args) {
  using A = std::remove_cv_t<decltype(P::eps)>;
  TORCH_CHECK(args.c <= kMaxRows, "x has ", args.c, " channels; at most ", kMaxRows, " work");
  P p{};
  p.weight = read_ptr<A>(args.weight);
  p.bias = read_ptr<A>(args.bias);
  p.centered = true;
  p.eps = static_cast<A>(args.eps);
  p.channels = static_cast<int>(args.c);
  p.group = static_cast<int>(args.group);
  p.groups = static_cast<int>(args.c / args.group);
  p.images = args.n;
  p.pixels = args.hw;
  return p;
}

template <typename T, typename Args>
GroupParts parts_of(const Args& args, const ChunkShape& s) {
  const int64_t rows = s.rows;
  return {{s.channels, s.chunks, s.chunks, 1},
          rows * s.chunks,
          s.first_row / args.group,
          rows / args.group,
          kChunkPacks * Packed<T>::kSize};
}

template <typename Args>
GroupParts parts_of(const Args& args, const ChannelsShape& s, int64_t images) {
  const int64_t groups = args.c / args.group;
  return {{s.channels, s.chunks, 1, args.c},
          args.n * s.chunks * args.c,
          s.first_image * groups,
          images * groups,
          s.chunk_pixels};
}

// `partial`: of the launch's first part.
template <typename Norm, typename A>
void launch_stats(const GroupParts& parts, const A* partial, A* stats,
                  const typename Norm::template Params<A>& params) {
  launch(group_stats_kernel<Norm, A>, grid_of(parts.groups), dim3(kGroupThreads), 1, partial, parts,
         stats, params);
}

template <typename Norm, typename T>
void launch_pulls(const GroupParts& parts, const acc_t<T>* partial, const BackwardArgs<Norm, T>& a,
                  PullOf<Norm, T>* pulls) {
  const int width = static_cast<int>(ceil_pow2(std::min(parts.shape.chunks, 32)));
  launch(group_pulls_kernel<Norm, acc_t<T>>, grid_of(parts.groups), dim3(kGroupThreads), 1, partial,
         parts, width, a.sums, a.stats, a.params, pulls);
}

template <typename Norm, typename T, typename Args>
void forward_rows(const Args& args, const ForwardArgs<Norm, T>& a, const at::Tensor& like) {
  const dim3 block(kChunkThreads);
  for_chunk_launches<T>(
      args, args.group, 1, kPartSums, like,
      [&](const ChunkShape& shape, dim3 grid, const at::Tensor& buffer) {
        auto* partial = write_ptr<acc_t<T>>(buffer);
        launch(forward_chunk_sum_kernel<Norm, T>, grid, block, 1, a, shape, partial);
        launch_stats<Norm, acc_t<T>>(parts_of<T>(args, shape), partial, a.stats, a.params);
        launch(forward_chunk_apply_kernel<Norm, T>, grid, block, 1, a, shape, partial);
      });
}

template <typename Norm, typename T, bool kAligned, typename Args>
void forward_images(const Args& args, const ForwardArgs<Norm, T>& a, const at::Tensor& like) {
  const dim3 block(kChunkThreads);
  at::Tensor buffer;
  for_image_launches<T>(args, 1, [&](const ChannelsShape& shape, int64_t images, dim3 grid) {
    const GroupParts parts = parts_of(args, shape, images);
    if (!buffer.defined()) buffer = like.new_empty({kPartSums * parts.step});
    auto* partial = write_ptr<acc_t<T>>(buffer);
    launch(forward_channels_sum_kernel<Norm, T, kAligned>, grid, block, 1, a, shape, partial);
    launch_stats<Norm, acc_t<T>>(parts, partial + shape.first_image * shape.chunks * args.c,
                                 a.stats, a.params);
    launch(forward_channels_apply_kernel<Norm, T, kAligned>, grid, block, 1, a, shape);
  });
}

template <typename Norm, typename T, typename Args>
void backward_rows(const Args& args, const BackwardArgs<Norm, T>& a, const at::Tensor& like,
                   PullOf<Norm, T>* pulls) {
  const dim3 block(kChunkThreads);
  for_chunk_launches<T>(
      args, args.group, a.residual == nullptr ? 2 : 3, kPartSums, like,
      [&](const ChunkShape& shape, dim3 grid, const at::Tensor& buffer) {
        auto* partial = write_ptr<acc_t<T>>(buffer);
        launch(backward_chunk_sum_kernel<Norm, T>, grid, block, 1, a, shape, partial);
        launch_pulls<Norm, T>(parts_of<T>(args, shape), partial, a, pulls);
        if (a.dx == nullptr) return;
        launch(backward_chunk_apply_kernel<Norm, T>, grid, block, 1, a, shape, partial);
      });
}

template <typename Norm, typename T, bool kAligned, typename Args>
void backward_images(const Args& args, const BackwardArgs<Norm, T>& a, const at::Tensor& like,
                     PullOf<Norm, T>* pulls) {
  const dim3 block(kChunkThreads);
  const int tensors = a.residual == nullptr ? 2 : 3;
  at::Tensor buffer;
  for_image_launches<T>(args, tensors, [&](const ChannelsShape& shape, int64_t images, dim3 grid) {
    const GroupParts parts = parts_of(args, shape, images);
    if (!buffer.defined()) buffer = like.new_empty({kPartSums * parts.step});
    auto* partial = write_ptr<acc_t<T>>(buffer);
    launch(backward_channels_sum_kernel<Norm, T, kAligned>, grid, block, 1, a, shape, partial);
    launch_pulls<Norm, T>(parts, partial + shape.first_image * shape.chunks * args.c, a, pulls);
    if (a.dx == nullptr) return;
    launch(backward_channels_apply_kernel<Norm, T, kAligned>, grid, block, 1, a, shape);
  });
}

// Fills z and stats.
template <typename Norm, typename T, typename Args>
void forward_norm(const Args& args, const ForwardArgs<Norm, T>& a, const at::Tensor& stats) {
  static_assert(kPartSums == Norm::kStats + 1);
  if (!args.channels_last) {
    if (!forward_groups(a)) forward_rows<Norm, T>(args, a, stats);
  } else if (all_aligned<T>(args.c, a.x, a.residual, a.z)) {
    forward_images<Norm, T, true>(args, a, stats);
  } else {
    forward_images<Norm, T, false>(args, a, stats);
  }
}

// Fills dx and dresidual of `a`, whose sums and pulls are set here, and the
// gradients of the parameters; those that are undefined are not wanted.
template <typename Norm, typename T, typename Args>
void backward_norm(const Args& args, BackwardArgs<Norm, T> a, const at::Tensor& stats,
                   const at::Tensor& dweight, const at::Tensor& dbias, const at::Tensor& dtau) {
  using A = acc_t<T>;
  const int parts = args.channels_last ? 0 : parts_of_row<T>(a.params);  // 0: groups do not fit
  const at::Tensor sums = stats.new_empty({kRowSums, std::max(parts, 1), args.n, args.c});
  const at::Tensor pull_buffer = stats.new_empty({2, args.n, args.c / args.group});
  auto* pulls = static_cast<PullOf<Norm, T>*>(pull_buffer.mutable_data_ptr());
  a.stats = read_ptr<A>(stats);
  a.sums = write_ptr<A>(sums);
  a.sums_step = args.n * args.c;
  a.pulls = pulls;
  if (parts > 0) {
    backward_groups(a);
  } else if (!args.channels_last) {
    backward_rows<Norm, T>(args, a, stats, pulls);
  } else if (all_aligned<T>(args.c, a.x, a.dz, a.residual, a.dx, a.dresidual)) {
    backward_images<Norm, T, true>(args, a, stats, pulls);
  } else {
    backward_images<Norm, T, false>(args, a, stats, pulls);
  }
  const ParamGradArgs<Norm, A> p{a.sums,
                                 a.stats,
                                 a.params,
                                 args.n,
                                 a.params.channels,
                                 std::max(parts, 1),
                                 write_ptr<A>(dweight),
                                 write_ptr<A>(dbias),
                                 write_ptr<A>(dtau),
                                 nullptr};
  if (!p.dweight && !p.dbias && !p.dtau) return;
  dim3 grid = grid_of(ceil_div(args.c, kSumLanes));
  grid.y = 3;
  launch(param_grad_kernel<Norm, A>, grid, dim3(kSumLanes, kSumLanes), 1, p);
}

}  // namespace mmdet_frn
