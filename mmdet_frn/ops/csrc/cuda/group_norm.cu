// Launchers of a norm over groups of channels on a GPU, in both layouts. Where a
// group does not stay on chip (group_rows.h) x is summed in parts, the parts of
// a group are added up, x is read again.
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>

#include "../group_norm.h"
#include "channels_kernel.cuh"
#include "group_norm.cuh"
#include "group_rows.h"
#include "group_sums_kernel.cuh"
#include "images.h"
#include "rows.h"

namespace mmdet_frn {

// In group_norm_rows.cu.
extern template bool forward_groups(const ForwardArgs<Group, double>&);
extern template bool forward_groups(const ForwardArgs<Group, float>&);
extern template bool forward_groups(const ForwardArgs<Group, __half>&);
extern template bool forward_groups(const ForwardArgs<Group, __nv_bfloat16>&);
extern template bool backward_groups(const BackwardArgs<Group, double>&);
extern template bool backward_groups(const BackwardArgs<Group, float>&);
extern template bool backward_groups(const BackwardArgs<Group, __half>&);
extern template bool backward_groups(const BackwardArgs<Group, __nv_bfloat16>&);

namespace {

// Numbers kept of a part: the forward's with its pivot, or the backward's.
constexpr int kPartSums = 3;
static_assert(kPartSums == Group::kStats + 1 && kPartSums == kRowSums);

template <typename A>
Group::Params<A> make_params(const GroupArgs& args) {
  TORCH_CHECK(args.c <= kMaxRows, "x has ", args.c, " channels; at most ", kMaxRows, " work");
  Group::Params<A> p;
  p.weight = read_ptr<A>(args.weight);
  p.bias = read_ptr<A>(args.bias);
  p.tau = read_ptr<A>(args.tau);
  p.relu = args.relu;
  p.centered = args.centered;
  p.eps = static_cast<A>(args.eps);
  p.channels = static_cast<int>(args.c);
  p.group = static_cast<int>(args.group);
  p.groups = static_cast<int>(args.c / args.group);
  p.images = args.n;
  p.pixels = args.hw;
  return p;
}

template <typename T>
GroupParts parts_of(const GroupArgs& args, const ChunkShape& s) {
  const int64_t rows = s.rows;
  return {{s.channels, s.chunks, s.chunks, 1},
          rows * s.chunks,
          s.first_row / args.group,
          rows / args.group,
          kChunkPacks * Packed<T>::kSize};
}

GroupParts parts_of(const GroupArgs& args, const ChannelsShape& s, int64_t images) {
  const int64_t groups = args.c / args.group;
  return {{s.channels, s.chunks, 1, args.c},
          args.n * s.chunks * args.c,
          s.first_image * groups,
          images * groups,
          s.chunk_pixels};
}

// `partial`: of the launch's first part.
template <typename A>
void launch_stats(const GroupParts& parts, const A* partial, A* stats,
                  const Group::Params<A>& params) {
  launch(group_stats_kernel<Group, A>, grid_of(parts.groups), dim3(kGroupThreads), 1, partial,
         parts, stats, params);
}

template <typename T>
void launch_pulls(const GroupParts& parts, const acc_t<T>* partial, const BackwardArgs<Group, T>& a,
                  PullOf<Group, T>* pulls) {
  const int width = static_cast<int>(ceil_pow2(std::min(parts.shape.chunks, 32)));
  launch(group_pulls_kernel<Group, acc_t<T>>, grid_of(parts.groups), dim3(kGroupThreads), 1,
         partial, parts, width, a.sums, a.stats, a.params, pulls);
}

template <typename T>
void forward_rows(const GroupArgs& args, const ForwardArgs<Group, T>& a, const at::Tensor& like) {
  const dim3 block(kChunkThreads);
  for_chunk_launches<T>(
      args, args.group, 1, kPartSums, like,
      [&](const ChunkShape& shape, dim3 grid, const at::Tensor& buffer) {
        auto* partial = write_ptr<acc_t<T>>(buffer);
        launch(forward_chunk_sum_kernel<Group, T>, grid, block, 1, a, shape, partial);
        launch_stats<acc_t<T>>(parts_of<T>(args, shape), partial, a.stats, a.params);
        launch(forward_chunk_apply_kernel<Group, T>, grid, block, 1, a, shape, partial);
      });
}

template <typename T, bool kAligned>
void forward_images(const GroupArgs& args, const ForwardArgs<Group, T>& a, const at::Tensor& like) {
  const dim3 block(kChunkThreads);
  at::Tensor buffer;
  for_image_launches<T>(args, 1, [&](const ChannelsShape& shape, int64_t images, dim3 grid) {
    const GroupParts parts = parts_of(args, shape, images);
    if (!buffer.defined()) buffer = like.new_empty({kPartSums * parts.step});
    auto* partial = write_ptr<acc_t<T>>(buffer);
    launch(forward_channels_sum_kernel<Group, T, kAligned>, grid, block, 1, a, shape, partial);
    launch_stats<acc_t<T>>(parts, partial + shape.first_image * shape.chunks * args.c, a.stats,
                           a.params);
    launch(forward_channels_apply_kernel<Group, T, kAligned>, grid, block, 1, a, shape);
  });
}

template <typename T>
void backward_rows(const GroupArgs& args, const BackwardArgs<Group, T>& a, const at::Tensor& like,
                   PullOf<Group, T>* pulls) {
  const dim3 block(kChunkThreads);
  for_chunk_launches<T>(
      args, args.group, a.residual == nullptr ? 2 : 3, kPartSums, like,
      [&](const ChunkShape& shape, dim3 grid, const at::Tensor& buffer) {
        auto* partial = write_ptr<acc_t<T>>(buffer);
        launch(backward_chunk_sum_kernel<Group, T>, grid, block, 1, a, shape, partial);
        launch_pulls<T>(parts_of<T>(args, shape), partial, a, pulls);
        if (a.dx == nullptr) return;
        launch(backward_chunk_apply_kernel<Group, T>, grid, block, 1, a, shape, partial);
      });
}

template <typename T, bool kAligned>
void backward_images(const GroupArgs& args, const BackwardArgs<Group, T>& a, const at::Tensor& like,
                     PullOf<Group, T>* pulls) {
  const dim3 block(kChunkThreads);
  const int tensors = a.residual == nullptr ? 2 : 3;
  at::Tensor buffer;
  for_image_launches<T>(args, tensors, [&](const ChannelsShape& shape, int64_t images, dim3 grid) {
    const GroupParts parts = parts_of(args, shape, images);
    if (!buffer.defined()) buffer = like.new_empty({kPartSums * parts.step});
    auto* partial = write_ptr<acc_t<T>>(buffer);
    launch(backward_channels_sum_kernel<Group, T, kAligned>, grid, block, 1, a, shape, partial);
    launch_pulls<T>(parts, partial + shape.first_image * shape.chunks * args.c, a, pulls);
    if (a.dx == nullptr) return;
    launch(backward_channels_apply_kernel<Group, T, kAligned>, grid, block, 1, a, shape);
  });
}

template <typename T>
void forward(const GroupArgs& args, const at::Tensor& z, const at::Tensor& stats) {
  using A = acc_t<T>;
  const ForwardArgs<Group, T> a{read_ptr<T>(args.x), read_ptr<T>(args.residual), write_ptr<T>(z),
                                write_ptr<A>(stats), make_params<A>(args)};
  if (!args.channels_last) {
    if (!forward_groups(a)) forward_rows<T>(args, a, stats);
  } else if (all_aligned<T>(args.c, a.x, a.residual, a.z)) {
    forward_images<T, true>(args, a, stats);
  } else {
    forward_images<T, false>(args, a, stats);
  }
}

template <typename T>
void backward(const GroupArgs& args, const at::Tensor& dz, const at::Tensor& stats,
              const GroupGrads& grads) {
  using A = acc_t<T>;
  const auto params = make_params<A>(args);
  const int parts = args.channels_last ? 0 : parts_of_row<T>(params);  // 0: groups do not fit
  const at::Tensor sums = stats.new_empty({kRowSums, std::max(parts, 1), args.n, args.c});
  const at::Tensor pull_buffer = stats.new_empty({2, args.n, args.c / args.group});
  auto* pulls = static_cast<PullOf<Group, T>*>(pull_buffer.mutable_data_ptr());
  const BackwardArgs<Group, T> a{read_ptr<T>(args.x),
                                 read_ptr<T>(dz),
                                 read_ptr<T>(args.residual),
                                 write_ptr<T>(grads.dx),
                                 write_ptr<T>(grads.dresidual),
                                 read_ptr<A>(stats),
                                 write_ptr<A>(sums),
                                 args.n * args.c,
                                 pulls,
                                 params};
  if (parts > 0) {
    backward_groups(a);
  } else if (!args.channels_last) {
    backward_rows<T>(args, a, stats, pulls);
  } else if (all_aligned<T>(args.c, a.x, a.dz, a.residual, a.dx, a.dresidual)) {
    backward_images<T, true>(args, a, stats, pulls);
  } else {
    backward_images<T, false>(args, a, stats, pulls);
  }
  const ParamGradArgs<Group, A> p{read_ptr<A>(sums),
                                  a.stats,
                                  params,
                                  args.n,
                                  params.channels,
                                  std::max(parts, 1),
                                  write_ptr<A>(grads.dweight),
                                  write_ptr<A>(grads.dbias),
                                  write_ptr<A>(grads.dtau),
                                  nullptr};
  if (!p.dweight && !p.dbias && !p.dtau) return;
  dim3 grid = grid_of(ceil_div(args.c, kSumLanes));
  grid.y = 3;
  launch(param_grad_kernel<Group, A>, grid, dim3(kSumLanes, kSumLanes), 1, p);
}

}  // namespace

void group_norm_forward_cuda(const GroupArgs& args, const at::Tensor& z, const at::Tensor& stats) {
  const c10::cuda::CUDAGuard guard(args.x.device());
  dispatch_dtype(args.x.scalar_type(), [&](auto t) { forward<decltype(t)>(args, z, stats); });
}

void group_norm_backward_cuda(const GroupArgs& args, const at::Tensor& dz, const at::Tensor& stats,
                              const GroupGrads& grads) {
  const c10::cuda::CUDAGuard guard(args.x.device());
  dispatch_dtype(args.x.scalar_type(),
                 [&](auto t) { backward<decltype(t)>(args, dz, stats, grads); });
}

}  // namespace mmdet_frn
