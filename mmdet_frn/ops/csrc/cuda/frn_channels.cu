// Launchers of forward and backward in channels-last memory on a GPU.
#include <algorithm>

#include "channels_kernel.cuh"
#include "frn_norm.cuh"
#include "launch.h"
#include "sums_kernel.cuh"

namespace mmdet_frn {
namespace {

// Calls run(shape, first image, images, blocks) for groups of images of which
// each is read twice, out of L2 the second time; `tensors` of x's size are
// read.
template <typename T, typename F>
void for_image_launches(const FrnArgs& args, int tensors, F&& run) {
  const ChannelsPlan plan = plan_channels(args.c, args.hw, static_cast<int>(sizeof(T)));
  TORCH_CHECK(args.c <= kMaxRows, "x has ", args.c, " channels; at most ", kMaxRows, " work");
  const int64_t blocks = plan.chunks * plan.tiles;
  const int64_t bytes = args.c * args.hw * tensors * static_cast<int64_t>(sizeof(T));
  const int64_t at_once = parts_at_once(args.n, bytes, blocks, device_figures());
  TORCH_CHECK(at_once > 0, "x is too large: an image of ", args.hw, " x ", args.c, " elements");
  for (int64_t n = 0; n < args.n; n += at_once) {
    const int64_t images = std::min(at_once, args.n - n);
    const ChannelsShape shape{args.hw,
                              args.n,
                              n,
                              static_cast<int>(args.c),
                              plan.lanes,
                              plan.tiles,
                              plan.chunk_pixels,
                              static_cast<int>(plan.chunks)};
    run(shape, images, grid_of(images * blocks));
  }
}

template <typename A, bool kRstd>
void launch_chunks_to_rows(const FrnArgs& args, const ChannelsShape& shape, int64_t images,
                           int sums, const A* partial, A* out) {
  const int64_t rows = args.n * args.c;
  dim3 grid = grid_of(images * ceil_div(args.c, kSumLanes));
  grid.y = static_cast<unsigned>(sums);
  launch(chunks_to_rows_kernel<Frn, A, kRstd>, grid, dim3(kSumLanes, kSumLanes), 1,
         partial + shape.first_image * shape.chunks * args.c, rows * shape.chunks,
         out + shape.first_image * args.c, rows, make_params<A>(args), shape.channels, shape.chunks,
         args.hw);
}

template <typename T, bool kAligned>
void forward_images(const FrnArgs& args, const ForwardArgs<T>& a, const at::Tensor& like) {
  using A = acc_t<T>;
  at::Tensor buffer;
  for_image_launches<T>(args, 1, [&](const ChannelsShape& shape, int64_t images, dim3 grid) {
    if (!buffer.defined()) buffer = like.new_empty({args.n * shape.chunks * args.c});
    A* partial = write_ptr<A>(buffer);
    const dim3 block(kChunkThreads);
    launch(forward_channels_sum_kernel<Frn, T, kAligned>, grid, block, 1, a.x, shape, partial);
    launch_chunks_to_rows<A, true>(args, shape, images, 1, partial, a.rstd);
    launch(forward_channels_apply_kernel<Frn, T, kAligned>, grid, block, 1, a, shape);
  });
}

template <typename T, bool kAligned>
void backward_images(const FrnArgs& args, const BackwardArgs<T>& a, const at::Tensor& like) {
  using A = acc_t<T>;
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
