// A norm over groups of channels (+ residual) (+ threshold) where a group fits on
// chip, (N, C, *) memory: a group of lanes, a block or a cluster holds it.
//
//   x, dz, residual, z, dx, dresidual  (N, C, HW)  any dtype and alignment
//   stats  (2, N, groups)         accumulation type
//   sums   (3, parts, N, C)       accumulation type: see RowSum, GroupPlan
//
// Traffic in passes over the tensor: forward 2 (x read, z written), backward 3 (x
// and dz read, dx written); 3 and 5 with a residual and its gradient.
#pragma once

#include "group_rows.cuh"
#include "row_backward_kernel.cuh"
#include "row_forward_kernel.cuh"

namespace mmdet_frn {

// kAligned: every row of every tensor starts on 16 bytes and is made of whole
// packs.
template <typename Norm, typename T, Scope kScope, bool kAligned>
__global__ void __launch_bounds__(max_group_threads(kScope),
                                  min_group_blocks(kScope, Norm::kMinBlocks))
    forward_group_kernel(const ForwardArgs<Norm, T> args, const GroupShape shape) {
#if __CUDA_ARCH__ < 900
  if constexpr (kScope == Scope::kCluster) return;  // never launched
#endif
  using A = acc_t<T>;
  enter_cluster<kScope>();
  const GroupPlace p = group_place<kScope, T>(shape, args.params);
  const int64_t offset = (p.image * args.params.channels + p.channel) * shape.len;
  const int len = p.valid ? shape.len : 0;

  Vec v[kGroupPacks];
  load_row<kAligned>(v, args.x + offset, len, p.lanes);
  if (args.residual != nullptr) {
    prefetch_row<T, kGroupPacks>(args.residual + offset, len, p.lanes);
  }
  const CoefOf<Norm, T> params = Norm::load(args.params, p.channel);
  A mean, squares;
  group_moments<kScope, T>(v, len, p, shape.span, args.params.centered, mean, squares);
  const A rstd = Norm::rstd(squares, args.params);
  if (p.leader) {
    A* const stats = args.stats + args.params.group_of(p.image, p.channel);
    stats[0] = mean;
    stats[args.params.images * args.params.groups] = rstd;
  }
  const CoefOf<Norm, T> coef[1] = {Norm::coef(params, mean, rstd)};
  apply_and_store<kAligned>(args, offset, len, p.lanes, coef, v);
}

template <typename Norm, typename T, Scope kScope, bool kAligned>
__global__ void __launch_bounds__(max_group_threads(kScope),
                                  min_group_blocks(kScope, Norm::kMinBlocks))
    backward_group_kernel(const BackwardArgs<Norm, T> args, const GroupShape shape) {
#if __CUDA_ARCH__ < 900
  if constexpr (kScope == Scope::kCluster) return;  // never launched
#endif
  using A = acc_t<T>;
  enter_cluster<kScope>();
  const GroupPlace p = group_place<kScope, T>(shape, args.params);
  const int64_t row = p.image * args.params.channels + p.channel;
  const int64_t offset = row * shape.len;
  const int len = p.valid ? shape.len : 0;

  Vec x[kGroupPacks], g[kGroupPacks];
  load_row<kAligned>(x, args.x + offset, len, p.lanes);
  load_row<kAligned>(g, args.dz + offset, len, p.lanes);
  const A rstd = Norm::saved_rstd(args.params, args.stats, p.image, p.channel);
  const CoefOf<Norm, T> coef[1] = {Norm::saved_coef(args.params, args.stats, p.image, p.channel)};
  A sums[1][kRowSums] = {};
  mask_packs<kAligned>(args, offset, len, p.lanes, coef, x, g, sums);
  sum_lanes(sums[0], p.lanes.width);
  A of_group[2] = {};
  if (p.valid && p.lanes.lane == 0) {
#pragma unroll
    for (int i = 0; i < kRowSums; ++i) {
      args.sums[(static_cast<int64_t>(i) * shape.parts + p.part) * args.sums_step + row] =
          sums[0][i];
    }
    Norm::add_row(sums[0], args.params.weight[p.channel], rstd, of_group);
  }
  sum_row<kScope>(of_group, shape.span);
  // After the sums: a cluster's barrier would wait for these stores.
  if (args.dresidual != nullptr) {
    store_row<kAligned>(args.dresidual + offset, len, p.lanes, g);
  }
  if (args.dx == nullptr) return;
  const PullOf<Norm, T> pull[1] = {Norm::pull(args.params, of_group[0], of_group[1], rstd)};
#pragma unroll
  for (int k = 0; k < kGroupPacks; ++k) apply_backward<Norm, T>(x[k], g[k], coef, pull);
  store_row<kAligned>(args.dx + offset, len, p.lanes, x);
}

}  // namespace mmdet_frn
