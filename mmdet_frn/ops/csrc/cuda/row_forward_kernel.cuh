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

// The norm's sums over the thread's packs, over four independent chains. Past
// the row's end x reads as 0, which only a sum about 0 may take in.
template <typename Norm, typename T, int kPacks>
__device__ __forceinline__ void sum_packs(const Vec (&v)[kPacks], int len, LaneGroup g,
                                          acc_t<T> pivot, acc_t<T> (&sums)[Norm::kStats]) {
  using A = acc_t<T>;
  constexpr int kSize = Packed<T>::kSize;
  A part[4][Norm::kStats] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int left = len - (g.first + k * g.width + g.lane) * kSize;
    A x[kSize];
    unpack_vec<T>(v[k], x);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      if (!Norm::kPivoted || i < left) Norm::add(x[i], pivot, part[(k * kSize + i) % 4]);
    }
  }
#pragma unroll
  for (int s = 0; s < Norm::kStats; ++s) {
    sums[s] = add_rn(add_rn(part[0][s], part[1][s]), add_rn(part[2][s], part[3][s]));
  }
}

// Turns the thread's packs of x into those of z and stores them.
template <bool kAligned, typename Norm, typename T, int kPacks>
__device__ __forceinline__ void apply_and_store(const ForwardArgs<Norm, T>& args, int64_t offset,
                                                int len, LaneGroup group,
                                                const CoefOf<Norm, T> (&coef)[1],
                                                Vec (&v)[kPacks]) {
  if (args.residual == nullptr) {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) apply_forward<Norm, T, false>(v[k], v[k], coef);
  } else {
    // Two packs at a time: the registers would not hold another whole row.
    constexpr int kStep = 2;
#pragma unroll
    for (int k = 0; k < kPacks; k += kStep) {
      Vec r[kStep];
      LaneGroup part = group;
      part.first += k * part.width;
      load_row<kAligned>(r, args.residual + offset, len, part);
#pragma unroll
      for (int j = 0; j < kStep; ++j) apply_forward<Norm, T, true>(v[k + j], r[j], coef);
    }
  }
  store_row<kAligned>(args.z + offset, len, group, v);
}

// kAligned: every row of every tensor starts on 16 bytes and is made of whole
// packs.
template <typename Norm, typename T, Scope kScope, int kPacks, bool kAligned>
__global__ void __launch_bounds__(max_threads(kScope, kAligned, sizeof(T), kForwardCut),
                                  min_blocks(kScope))
    forward_row_kernel(const ForwardArgs<Norm, T> args, const RowShape shape) {
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
  const CoefOf<Norm, T> params = Norm::load(args.params, p.channel);
  const A abs_eps = args.params.abs_eps(p.channel);
  A sum[1];
  sum_packs<Norm, T>(v, len, p.group, A(0), sum);
  sum_row<kScope>(sum, p.group.width);

  const A rstd = Norm::rstd(sum[0], A(shape.len), abs_eps);
  if (p.leader) args.stats[p.row] = rstd;
  const CoefOf<Norm, T> coef[1] = {Norm::coef(params, rstd)};
  apply_and_store<kAligned>(args, offset, len, p.group, coef, v);
}

}  // namespace mmdet_frn
