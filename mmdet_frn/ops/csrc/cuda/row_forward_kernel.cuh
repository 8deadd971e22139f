// Forward of FRN (+ residual) (+ TLU) for rows that fit on chip, (N, C, *)
// memory.
//
//   x, residual, z  (N, C, HW)  fp64, fp32, fp16, bf16, any alignment
//   rstd            (N, C)      accumulation type
//
// Traffic in passes over the tensor: 2 (x read, z written), 3 with a residual.
// A row waits in registers while its sum is taken; the residual is fetched into
// L2 meanwhile.
#pragma once

#include "args.cuh"
#include "row.cuh"

namespace mmdet_frn {

// The norm's sum over the thread's packs, over four independent chains.
template <typename Norm, typename T, int kPacks>
__device__ __forceinline__ acc_t<T> sum_packs(const Vec (&v)[kPacks]) {
  using A = acc_t<T>;
  constexpr int kSize = Packed<T>::kSize;
  A part[4] = {A(0), A(0), A(0), A(0)};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    A x[kSize];
    unpack_vec<T>(v[k], x);
#pragma unroll
    for (int i = 0; i < kSize; ++i)
      part[(k * kSize + i) % 4] = Norm::add(x[i], part[(k * kSize + i) % 4]);
  }
  return add_rn(add_rn(part[0], part[1]), add_rn(part[2], part[3]));
}

// kAligned: every row of every tensor starts on 16 bytes and is made of whole
// packs.
template <typename Norm, typename T, Scope kScope, int kPacks, bool kAligned>
__global__ void __launch_bounds__(max_threads(kScope, kAligned, sizeof(T), kForwardCut),
                                  min_blocks(kScope))
    forward_row_kernel(const ForwardArgs<T> args, const RowShape shape) {
#if __CUDA_ARCH__ < 900
  if constexpr (kScope == Scope::kCluster) return;  // never launched
#endif
  using A = acc_t<T>;
  enter_cluster<kScope>();
  const RowPlace p = row_place<kScope, kPacks>(shape);
  const int64_t offset = static_cast<int64_t>(p.row) * shape.len;
  const int len = place_len(p, shape.len);

  Vec v[kPacks];
  load_row<kAligned>(v, args.x + offset, len, p.group);
  if (args.residual != nullptr) prefetch_row<T, kPacks>(args.residual + offset, len, p.group);
  const Coef<A> params = load_params(args.params, p.channel);
  const A abs_eps = args.params.abs_eps(p.channel);
  A sum[1] = {sum_packs<Norm, T>(v)};
  sum_row<kScope>(sum, p.group.width);

  const A rstd = Norm::rstd(sum[0], A(shape.len), abs_eps);
  if (p.leader) args.rstd[p.row] = rstd;
  const Coef<A> coef[1] = {Norm::coef(params, rstd)};
  if (args.residual == nullptr) {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) apply_forward<Norm, T, false>(v[k], v[k], coef);
  } else {
    // Two packs at a time: the registers would not hold another whole row.
    constexpr int kStep = 2;
#pragma unroll
    for (int k = 0; k < kPacks; k += kStep) {
      Vec r[kStep];
      LaneGroup part = p.group;
      part.first += k * part.width;
      load_row<kAligned>(r, args.residual + offset, len, part);
#pragma unroll
      for (int j = 0; j < kStep; ++j) apply_forward<Norm, T, true>(v[k + j], r[j], coef);
    }
  }
  store_row<kAligned>(args.z + offset, len, p.group, v);
}

}  // namespace mmdet_frn
