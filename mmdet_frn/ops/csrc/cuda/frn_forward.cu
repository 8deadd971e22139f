// Launcher of the forward on a GPU.
#include <c10/cuda/CUDAGuard.h>

#include "frn_args.h"
#include "row_forward_kernel.cuh"
#include "rows.h"

namespace mmdet_frn {
namespace {

template <typename T, bool kAligned>
void launch_rows(const ForwardArgs<Frn, T>& args, const RowPlan& plan, const RowShape& shape) {
  auto run = [&](auto kernel) {
    launch(kernel, grid_of(plan.grid), dim3(plan.threads), plan.cluster, args, shape);
  };
  constexpr RowCut kCut = kForwardCut;
  if (plan.scope == Scope::kCluster) {
    run(forward_row_kernel<Frn, T, Scope::kCluster, kCut.block, kAligned>);
  } else if (plan.scope == Scope::kBlock) {
    run(forward_row_kernel<Frn, T, Scope::kBlock, kCut.block, kAligned>);
  } else if (plan.packs == kCut.group_long) {
    run(forward_row_kernel<Frn, T, Scope::kGroup, kCut.group_long, kAligned>);
  } else {
    run(forward_row_kernel<Frn, T, Scope::kGroup, kCut.group_short, kAligned>);
  }
}

template <typename T>
void forward_rows(FrnArgs args, const at::Tensor& z, const at::Tensor& rstd) {
  const auto is_aligned = [&] {
    return all_aligned<T>(args.hw, read_ptr<T>(args.x), read_ptr<T>(args.residual), read_ptr<T>(z));
  };
  if (must_copy<T>(args, is_aligned(), kForwardCut)) {
    args.x = start_aligned(args.x);
    args.residual = start_aligned(args.residual);
    TORCH_CHECK(is_aligned(), "z must start on 16 bytes");
  }
  const ForwardArgs<Frn, T> all = make_forward_args<T>(args, z, rstd);
  const bool aligned = is_aligned();
  const bool done = for_row_launches<T>(
      args, kForwardCut, [&](const RowPlan& plan, const RowShape& shape, int64_t first_row) {
        ForwardArgs<Frn, T> part = all;
        part.x += first_row * args.hw;
        if (part.residual != nullptr) part.residual += first_row * args.hw;
        part.z += first_row * args.hw;
        part.stats += first_row;
        if (aligned) {
          launch_rows<T, true>(part, plan, shape);
        } else {
          launch_rows<T, false>(part, plan, shape);
        }
      });
  if (done) return;
  for_chunk_launches<T>(
      args, 1, 1, 1, rstd, [&](const ChunkShape& shape, dim3 grid, const at::Tensor& partial) {
        auto* sums = write_ptr<acc_t<T>>(partial);
        launch(forward_chunk_sum_kernel<Frn, T>, grid, dim3(kChunkThreads), 1, all, shape, sums);
        launch(forward_chunk_apply_kernel<Frn, T>, grid, dim3(kChunkThreads), 1, all, shape, sums);
      });
}

}  // namespace

void frn_forward_cuda(const FrnArgs& args, const at::Tensor& z, const at::Tensor& rstd) {
  const c10::cuda::CUDAGuard guard(args.x.device());
  if (args.channels_last) {
    forward_channels(args, z, rstd);
  } else {
    dispatch_dtype(args.x.scalar_type(), [&](auto t) { forward_rows<decltype(t)>(args, z, rstd); });
  }
}

}  // namespace mmdet_frn
