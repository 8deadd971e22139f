// Launchers of forward and backward in channels-last memory on a GPU.
#include "channels_kernel.cuh"
#include "frn_args.h"
#include "images.h"
#include "slab_kernel.cuh"
#include "sums_kernel.cuh"

namespace mmdet_frn {
namespace {

template <typename A, bool kRstd>
void launch_chunks_to_rows(const FrnArgs& args, const ChannelsShape& shape, int64_t images,
                           int sums, const A* partial, A* out) {
  const int64_t rows = args.n * args.c;
  const PartShape parts{shape.channels, shape.chunks, 1, args.c};
  dim3 grid = grid_of(images * ceil_div(args.c, kSumLanes));
  grid.y = static_cast<unsigned>(sums);
  launch(chunks_to_rows_kernel<Frn, A, kRstd>, grid, dim3(kSumLanes, kSumLanes), 1,
         partial + shape.first_image * shape.chunks * args.c, rows * shape.chunks,
         out + shape.first_image * args.c, rows, make_params<A>(args), parts, args.hw);
}

// Calls run(shape, grid, threads) where blocks hold slabs, of as many images as
// block numbers allow: as a rule once. False, without a call, if maps are too
// large.
template <typename T, typename F>
bool for_slab_launches(const FrnArgs& args, F&& run) {
  const SlabPlan plan = plan_slabs(args.c, args.hw, static_cast<int>(sizeof(T)));
  if (plan.threads == 0) return false;
  TORCH_CHECK(args.c <= kMaxRows, "x has ", args.c, " channels; at most ", kMaxRows, " work");
  const int64_t most = kMaxRows / plan.tiles;
  for (int64_t n = 0; n < args.n; n += most) {
    const int pixels = static_cast<int>(args.hw);
    const ChannelsShape shape{pixels,     args.n,     n,      static_cast<int>(args.c),
                              plan.lanes, plan.tiles, pixels, 1};
    run(shape, grid_of(std::min(most, args.n - n) * plan.tiles), dim3(plan.threads));
  }
  return true;
}

template <typename T, bool kAligned>
void forward_images(const FrnArgs& args, const ForwardArgs<Frn, T>& a, const at::Tensor& like) {
  using A = acc_t<T>;
  const auto run = [&](const ChannelsShape& shape, dim3 grid, dim3 block) {
    launch(forward_slab_kernel<Frn, T, kAligned>, grid, block, 1, a, shape);
  };
  if (for_slab_launches<T>(args, run)) return;
  at::Tensor buffer;
  for_image_launches<T>(args, 1, [&](const ChannelsShape& shape, int64_t images, dim3 grid) {
    if (!buffer.defined()) buffer = like.new_empty({args.n * shape.chunks * args.c});
    A* partial = write_ptr<A>(buffer);
    const dim3 block(kChunkThreads);
    launch(forward_channels_sum_kernel<Frn, T, kAligned>, grid, block, 1, a, shape, partial);
    launch_chunks_to_rows<A, true>(args, shape, images, 1, partial, a.stats);
    launch(forward_channels_apply_kernel<Frn, T, kAligned>, grid, block, 1, a, shape);
  });
}

template <typename T, bool kAligned>
void backward_images(const FrnArgs& args, const BackwardArgs<Frn, T>& a, const at::Tensor& like) {
  using A = acc_t<T>;
  const auto run = [&](const ChannelsShape& shape, dim3 grid, dim3 block) {
    launch(backward_slab_kernel<Frn, T, kAligned>, grid, block, 1, a, shape);
  };
  if (for_slab_launches<T>(args, run)) return;
  at::Tensor buffer;
  const int tensors = a.residual == nullptr ? 2 : 3;
  for_image_launches<T>(args, tensors, [&](const ChannelsShape& shape, int64_t images, dim3 grid) {
    if (!buffer.defined()) buffer = like.new_empty({kRowSums * args.n * shape.chunks * args.c});
    A* partial = write_ptr<A>(buffer);
    const dim3 block(kChunkThreads);
    launch(backward_channels_sum_kernel<Frn, T, kAligned>, grid, block, 1, a, shape, partial);
    launch_chunks_to_rows<A, false>(args, shape, images, kRowSums, partial, a.sums);
    if (a.dx != nullptr) {
      launch(backward_channels_apply_kernel<Frn, T, kAligned>, grid, block, 1, a, shape);
    }
  });
}

}  // namespace

void forward_channels(const FrnArgs& args, const at::Tensor& z, const at::Tensor& rstd) {
  dispatch_dtype(args.x.scalar_type(), [&](auto t) {
    using T = decltype(t);
    const auto a = make_forward_args<T>(args, z, rstd);
    if (all_aligned<T>(args.c, a.x, a.residual, a.z)) {
      forward_images<T, true>(args, a, rstd);
    } else {
      forward_images<T, false>(args, a, rstd);
    }
  });
}

void backward_channels(const FrnArgs& args, const at::Tensor& dz, const at::Tensor& rstd,
                       const FrnGrads& grads, const at::Tensor& sums) {
  dispatch_dtype(args.x.scalar_type(), [&](auto t) {
    using T = decltype(t);
    const auto a = make_backward_args<T>(args, dz, rstd, grads, sums);
    if (all_aligned<T>(args.c, a.x, a.dz, a.residual, a.dx, a.dresidual)) {
      backward_images<T, true>(args, a, rstd);
    } else {
      backward_images<T, false>(args, a, rstd);
    }
  });
}

}  // namespace mmdet_frn
