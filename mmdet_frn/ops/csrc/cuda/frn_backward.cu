// Launcher of the backward on a GPU.
#include <c10/cuda/CUDAGuard.h>

#include "frn_args.h"
#include "row_backward_kernel.cuh"
#include "rows.h"
#include "sums_kernel.cuh"

namespace mmdet_frn {
namespace {

template <typename T, bool kAligned>
void launch_rows(const BackwardArgs<Frn, T>& args, const RowPlan& plan, const RowShape& shape) {
  auto run = [&](auto kernel) {
    launch(kernel, grid_of(plan.grid), dim3(plan.threads), plan.cluster, args, shape);
  };
  constexpr RowCut kCut = kBackwardCut;
  if (plan.scope == Scope::kCluster) {
    run(backward_row_kernel<Frn, T, Scope::kCluster, kCut.block, kAligned>);
  } else if (plan.scope == Scope::kBlock) {
    run(backward_row_kernel<Frn, T, Scope::kBlock, kCut.block, kAligned>);
  } else if (plan.packs == kCut.group_long) {
    run(backward_row_kernel<Frn, T, Scope::kGroup, kCut.group_long, kAligned>);
  } else {
    run(backward_row_kernel<Frn, T, Scope::kGroup, kCut.group_short, kAligned>);
  }
}

template <typename T>
void backward_rows(FrnArgs args, at::Tensor dz, const at::Tensor& rstd, const FrnGrads& grads,
                   const at::Tensor& sums) {
  const auto is_aligned = [&] {
    return all_aligned<T>(args.hw, read_ptr<T>(args.x), read_ptr<T>(dz), read_ptr<T>(args.residual),
                          read_ptr<T>(grads.dx), read_ptr<T>(grads.dresidual));
  };
  if (must_copy<T>(args, is_aligned(), kBackwardCut)) {
    args.x = start_aligned(args.x);
    dz = start_aligned(dz);
    args.residual = start_aligned(args.residual);
    TORCH_CHECK(is_aligned(), "dx and dresidual must start on 16 bytes");
  }
  const BackwardArgs<Frn, T> all = make_backward_args<T>(args, dz, rstd, grads, sums);
  const bool aligned = is_aligned();
  const bool done = for_row_launches<T>(
      args, kBackwardCut, [&](const RowPlan& plan, const RowShape& shape, int64_t first_row) {
        const int64_t offset = first_row * args.hw;
        BackwardArgs<Frn, T> part = all;
        part.x += offset;
        part.dz += offset;
        if (part.residual != nullptr) part.residual += offset;
        if (part.dx != nullptr) part.dx += offset;
        if (part.dresidual != nullptr) part.dresidual += offset;
        part.stats += first_row;
        part.sums += first_row;
        if (aligned) {
          launch_rows<T, true>(part, plan, shape);
        } else {
          launch_rows<T, false>(part, plan, shape);
        }
      });
  if (done) return;
  const int tensors = args.residual.defined() ? 3 : 2;
  for_chunk_launches<T>(args, 1, tensors, kRowSums, rstd,
                        [&](const ChunkShape& shape, dim3 grid, const at::Tensor& partial) {
                          auto* chunk_sums = write_ptr<acc_t<T>>(partial);
                          launch(backward_chunk_sum_kernel<Frn, T>, grid, dim3(kChunkThreads), 1,
                                 all, shape, chunk_sums);
                          launch(backward_chunk_apply_kernel<Frn, T>, grid, dim3(kChunkThreads), 1,
                                 all, shape, chunk_sums);
                        });
}

template <typename A>
void param_grads(const FrnArgs& args, const at::Tensor& rstd, const FrnGrads& grads,
                 const at::Tensor& sums) {
  const bool one_eps = grads.deps.defined() && grads.deps.numel() == 1 && args.c > 1;
  const at::Tensor deps = one_eps ? rstd.new_empty({args.c}) : grads.deps;
  ParamGradArgs<Frn, A> a;
  a.sums = read_ptr<A>(sums);
  a.stats = read_ptr<A>(rstd);
  a.params = make_params<A>(args);
  a.n = args.n;
  a.channels = static_cast<int>(args.c);
  a.parts = 1;
  a.dweight = write_ptr<A>(grads.dweight);
  a.dbias = write_ptr<A>(grads.dbias);
  a.dtau = write_ptr<A>(grads.dtau);
  a.deps = write_ptr<A>(deps);
  if (!a.dweight && !a.dbias && !a.dtau && !a.deps) return;
  dim3 grid = grid_of(ceil_div(args.c, kSumLanes));
  grid.y = 4;
  launch(param_grad_kernel<Frn, A>, grid, dim3(kSumLanes, kSumLanes), 1, a);
  if (one_eps) {
    launch(sum_channels_kernel<A>, dim3(1), dim3(kSumLanes, kSumLanes), 1, a.deps, a.channels,
           write_ptr<A>(grads.deps));
  }
}

}  // namespace

void frn_backward_cuda(const FrnArgs& args, const at::Tensor& dz, const at::Tensor& rstd,
                       const FrnGrads& grads) {
  const c10::cuda::CUDAGuard guard(args.x.device());
  const at::Tensor sums = rstd.new_empty({kRowSums, args.n, args.c});
  if (args.channels_last) {
    backward_channels(args, dz, rstd, grads, sums);
  } else {
    dispatch_dtype(args.x.scalar_type(),
                   [&](auto t) { backward_rows<decltype(t)>(args, dz, rstd, grads, sums); });
  }
  if (args.x.scalar_type() == at::kDouble) {
    param_grads<double>(args, rstd, grads, sums);
  } else {
    param_grads<float>(args, rstd, grads, sums);
  }
}

}  // namespace mmdet_frn
