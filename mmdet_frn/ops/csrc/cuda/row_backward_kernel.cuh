// Backward of FRN (+ residual) (+ TLU) for rows that fit on chip, (N, C, *)
// memory.
//
//   x, dz, residual, dx, dresidual  (N, C, HW)  fp64, fp32, fp16, bf16, any
//   alignment rstd                            (N, C)      accumulation type
//   sums                            (3, N * C)  accumulation type: see RowSum
//
// With g = dz where y won and 0 where tau won (y recomputed as the forward
// did):
//   dx = scale * g - x * scale * rstd^2 * mean(g * x),  scale = weight * rstd.
//
// Traffic in passes over the tensor: 3 (x and dz read, dx written), 5 with a
// residual and its gradient. The row's x and g wait in registers while the sums
// are taken.
#pragma once

#include "args.cuh"
#include "row.cuh"

namespace mmdet_frn {

// Turns the thread's packs of dz into g and adds to the row's sums.
template <bool kAligned, typename Norm, typename T, int kPacks>
__device__ __forceinline__ void mask_packs(const BackwardArgs<Norm, T>& args, int64_t offset,
                                           int len, LaneGroup group,
                                           const CoefOf<Norm, T> (&coef)[1], const Vec (&x)[kPacks],
                                           Vec (&g)[kPacks], acc_t<T> (&sums)[1][kRowSums]) {
  if (args.residual == nullptr) {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) mask_and_sum<Norm, T, false>(x[k], g[k], x[k], coef, sums);
  } else {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      Vec r[1];
      LaneGroup part = group;
      part.first += k * part.width;
      load_row<kAligned>(r, args.residual + offset, len, part);
      mask_and_sum<Norm, T, true>(x[k], g[k], r[0], coef, sums);
    }
  }
}

// kAligned: every row of every tensor starts on 16 bytes and is made of whole
// packs.
template <typename Norm, typename T, Scope kScope, int kPacks, bool kAligned>
__global__ void __launch_bounds__(max_threads(kScope, kAligned, sizeof(T), kBackwardCut),
                                  min_blocks(kScope))
    backward_row_kernel(const BackwardArgs<Norm, T> args, const RowShape shape) {
#if __CUDA_ARCH__ < 900
  if constexpr (kScope == Scope::kCluster) return;  // never launched
#endif
  using A = acc_t<T>;
  enter_cluster<kScope>();
  const RowPlace p = row_place<kScope, kPacks>(shape);
  const int64_t offset = static_cast<int64_t>(p.row) * shape.len;
  const int len = place_len(p, shape.len);

  Vec x[kPacks], g[kPacks];
  load_row<kAligned>(x, args.x + offset, len, p.group);
  load_row<kAligned>(g, args.dz + offset, len, p.group);
  const A rstd = args.stats[p.row];
  const CoefOf<Norm, T> coef[1] = {Norm::coef(Norm::load(args.params, p.channel), rstd)};
  A sums[1][kRowSums] = {};
  mask_packs<kAligned>(args, offset, len, p.group, coef, x, g, sums);
  sum_row<kScope>(sums[0], p.group.width);
  // After the sums: a cluster's barrier would wait for these stores.
  if (args.dresidual != nullptr) store_row<kAligned>(args.dresidual + offset, len, p.group, g);
  if (p.leader && args.sums != nullptr) {
#pragma unroll
    for (int i = 0; i < kRowSums; ++i) args.sums[i * args.sums_step + p.row] = sums[0][i];
  }
  if (args.dx == nullptr) return;
  const A pull[1] = {Norm::pull(sums[0][kSumGX], A(shape.len), coef[0].scale, rstd)};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) apply_backward<Norm, T>(x[k], g[k], coef, pull);
  store_row<kAligned>(args.dx + offset, len, p.group, x);
}

}  // namespace mmdet_frn
