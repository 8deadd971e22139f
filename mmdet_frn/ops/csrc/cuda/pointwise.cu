// Launchers of the functions of an element with parameters per channel on a GPU.
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>

#include "../pointwise.h"
#include "launch.h"
#include "pointwise.cuh"
#include "pointwise_channels_kernel.cuh"
#include "sums_kernel.cuh"

namespace mmdet_frn {
namespace {

// Calls f with the function and the element type that `args` name.
template <typename F>
void dispatch(const PointwiseArgs& args, F&& f) {
  TORCH_CHECK(args.c <= kMaxRows, "x has ", args.c, " channels; at most ", kMaxRows, " work");
  dispatch_dtype(args.x.scalar_type(), [&](auto t) {
    switch (args.function) {
      case Function::kTlu:
        return f(Tlu(), t);
      case Function::kAffineTlu:
        return f(AffineTlu(), t);
      case Function::kDyt:
        return f(Dyt(), t);
    }
  });
}

template <typename A, int kParams>
void set_params(const A* (&params)[kParams], const PointwiseArgs& args) {
  for (int i = 0; i < kParams; ++i) params[i] = read_ptr<A>(args.params[i]);
}

// Calls run(shape, blocks) for all rows, as many images to a launch as part
// numbers allow: as a rule once.
template <typename T, typename F>
void for_part_launches(const PointwiseArgs& args, const PartPlan& plan, F&& run) {
  const int64_t of_image = args.c * plan.parts;
  const int64_t images = std::min(args.n, std::max<int64_t>(1, kMaxRows / of_image));
  TORCH_CHECK(images * of_image < (1LL << 31) - kPartThreads, "x is too large: an image of ",
              args.c, " rows of ", args.hw, " elements");
  for (int64_t n = 0; n < args.n; n += images) {
    const int64_t items = std::min(images, args.n - n) * of_image;
    const PartsShape shape{args.hw,
                           n,
                           static_cast<int>(items),
                           static_cast<int>(args.c),
                           static_cast<int>(plan.parts),
                           plan.width,
                           plan.rounds};
    run(shape, grid_of(ceil_div(items, kPartThreads / plan.width)));
  }
}

// No pixel asks which image it is of: all are one.
template <typename T>
ChannelsShape channels_shape(const PointwiseArgs& args) {
  const int64_t pixels = args.n * args.hw;
  const ChannelsPlan plan = plan_channels(args.c, pixels, static_cast<int>(sizeof(T)));
  return {pixels,
          1,
          0,
          static_cast<int>(args.c),
          plan.lanes,
          plan.tiles,
          plan.chunk_pixels,
          static_cast<int>(grid_of(plan.chunks).x)};
}

dim3 grid_of_channels(const ChannelsShape& shape) {
  return grid_of(static_cast<int64_t>(shape.chunks) * shape.tiles);
}

template <typename Policy, typename T, bool kAligned>
void forward(const PointwiseArgs& args, const PointwiseForward<Policy, T>& a) {
  if (args.channels_last) {
    const ChannelsShape shape = channels_shape<T>(args);
    launch(forward_pointwise_channels_kernel<Policy, T, kAligned>, grid_of_channels(shape),
           dim3(kChunkThreads), 1, a, shape);
    return;
  }
  const PartPlan plan = plan_parts(args.hw, sizeof(T), kForwardPacks);
  for_part_launches<T>(args, plan, [&](const PartsShape& shape, dim3 grid) {
    launch(forward_pointwise_rows_kernel<Policy, T, kAligned>, grid, dim3(kPartThreads), 1, a,
           shape);
  });
}

template <typename Policy, typename T, bool kAligned>
void backward(const PointwiseArgs& args, PointwiseBackward<Policy, T>& a,
              const std::vector<at::Tensor>& dparams) {
  using A = acc_t<T>;
  constexpr int kParams = Policy::kParams;
  const auto with_partial = [&](int64_t parts, auto run) {
    const at::Tensor buffer = dparams[0].new_empty({kParams, parts, args.c});
    a.partial = write_ptr<A>(buffer);
    a.partial_step = parts * args.c;
    run();
    FoldArgs<A, kParams> fold{a.partial, parts, static_cast<int>(args.c), {}};
    for (int i = 0; i < kParams; ++i) fold.outs[i] = write_ptr<A>(dparams[i]);
    dim3 grid = grid_of(ceil_div(args.c, kSumLanes));
    grid.y = kParams;
    launch(fold_parts_kernel<A, kParams>, grid, dim3(kSumLanes, kSumLanes), 1, fold);
  };
  if (args.channels_last) {
    const ChannelsShape shape = channels_shape<T>(args);
    with_partial(shape.chunks, [&] {
      launch(backward_pointwise_channels_kernel<Policy, T, kAligned>, grid_of_channels(shape),
             dim3(kChunkThreads), 1, a, shape);
    });
    return;
  }
  const PartPlan plan = plan_parts(args.hw, sizeof(T), kBackwardPacks);
  with_partial(args.n * plan.parts, [&] {
    for_part_launches<T>(args, plan, [&](const PartsShape& shape, dim3 grid) {
      launch(backward_pointwise_rows_kernel<Policy, T, kAligned>, grid, dim3(kPartThreads), 1, a,
             shape);
    });
  });
}

}  // namespace

void pointwise_forward_cuda(const PointwiseArgs& args, const at::Tensor& z) {
  const c10::cuda::CUDAGuard guard(args.x.device());
  dispatch(args, [&](auto function, auto t) {
    using Policy = decltype(function);
    using T = decltype(t);
    PointwiseForward<Policy, T> a{read_ptr<T>(args.x), write_ptr<T>(z), {}};
    set_params(a.params, args);
    if (all_aligned<T>(args.channels_last ? args.c : args.hw, a.x, a.z)) {
      forward<Policy, T, true>(args, a);
    } else {
      forward<Policy, T, false>(args, a);
    }
  });
}

void pointwise_backward_cuda(const PointwiseArgs& args, const at::Tensor& dz, const at::Tensor& dx,
                             const std::vector<at::Tensor>& dparams) {
  const c10::cuda::CUDAGuard guard(args.x.device());
  dispatch(args, [&](auto function, auto t) {
    using Policy = decltype(function);
    using T = decltype(t);
    PointwiseBackward<Policy, T> a{
        read_ptr<T>(args.x), read_ptr<T>(dz), write_ptr<T>(dx), {}, nullptr, 0};
    set_params(a.params, args);
    if (all_aligned<T>(args.channels_last ? args.c : args.hw, a.x, a.dz, a.dx)) {
      backward<Policy, T, true>(args, a, dparams);
    } else {
      backward<Policy, T, false>(args, a, dparams);
    }
  });
}

}  // namespace mmdet_frn
