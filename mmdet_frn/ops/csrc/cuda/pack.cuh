// The op on one 16-byte pack of a row, as every kernel applies it: the norm,
// the residual and the threshold. The norm's own arithmetic is the argument
// Norm, see frn_norm.cuh, group_norm.cuh and evonorm.cuh.
#pragma once

#include "math.cuh"

namespace mmdet_frn {

// The backward's sums of one row, in this order; stored as [kRowSums][N * C]. A norm without a
// threshold may sum something else in the place of the last.
enum RowSum { kSumGX, kSumG, kSumTau };
constexpr int kRowSums = 3;

template <typename Norm, typename T>
using CoefOf = typename Norm::template Coef<acc_t<T>>;
template <typename Norm, typename T>
using PullOf = typename Norm::template Pull<acc_t<T>>;

// In the functions below a pack belongs to one row (kRows == 1) or, in
// channels-last memory, each of its elements to a row of its own.

// Turns a pack of x into one of z, adding `residual` (the same elements) where
// given.
template <typename Norm, typename T, bool kResidual, int kRows>
__device__ __forceinline__ void apply_forward(Vec& v, const Vec& residual,
                                              const CoefOf<Norm, T> (&coef)[kRows]) {
  using A = acc_t<T>;
  constexpr int kSize = Packed<T>::kSize;
  A y[kSize], r[kSize];
  unpack_vec<T>(v, y);
  if constexpr (kResidual) unpack_vec<T>(residual, r);
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    const CoefOf<Norm, T>& f = coef[kRows == 1 ? 0 : i];
    y[i] = Norm::value(y[i], f);
    if constexpr (kResidual) y[i] = add_rn(y[i], r[i]);
    if constexpr (Norm::kThreshold) y[i] = Norm::drops(y[i], f) ? Norm::floor(f) : y[i];
  }
  pack_vec<T>(y, v);
}

// Turns a pack of dz into one of g (dz where y won, 0 where tau did) and adds
// to the rows' sums.
template <typename Norm, typename T, bool kResidual, int kRows>
__device__ __forceinline__ void mask_and_sum(const Vec& x_pack, Vec& g_pack, const Vec& residual,
                                             const CoefOf<Norm, T> (&coef)[kRows],
                                             acc_t<T> (&sums)[kRows][kRowSums]) {
  using A = acc_t<T>;
  constexpr int kSize = Packed<T>::kSize;
  A x[kSize], g[kSize], r[kSize];
  unpack_vec<T>(x_pack, x);
  unpack_vec<T>(g_pack, g);
  if constexpr (kResidual) unpack_vec<T>(residual, r);
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    const CoefOf<Norm, T>& f = coef[kRows == 1 ? 0 : i];
    A(&sum)[kRowSums] = sums[kRows == 1 ? 0 : i];
    if constexpr (Norm::kThreshold) {
      A y = Norm::value(x[i], f);
      if constexpr (kResidual) y = add_rn(y, r[i]);
      const bool below = Norm::drops(y, f);
      sum[kSumTau] = add_rn(sum[kSumTau], below ? g[i] : A(0));
      g[i] = below ? A(0) : g[i];
    }
    sum[kSumG] = add_rn(sum[kSumG], g[i]);
    Norm::add_backward(x[i], g[i], f, sum);
  }
  pack_vec<T>(g, g_pack);
}

// Turns a pack of x into one of dx.
template <typename Norm, typename T, int kRows>
__device__ __forceinline__ void apply_backward(Vec& x_pack, const Vec& g_pack,
                                               const CoefOf<Norm, T> (&coef)[kRows],
                                               const PullOf<Norm, T> (&pull)[kRows]) {
  using A = acc_t<T>;
  constexpr int kSize = Packed<T>::kSize;
  A x[kSize], g[kSize];
  unpack_vec<T>(x_pack, x);
  unpack_vec<T>(g_pack, g);
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    const int row = kRows == 1 ? 0 : i;
    x[i] = Norm::dx(x[i], g[i], coef[row], pull[row]);
  }
  pack_vec<T>(x, x_pack);
}

}  // namespace mmdet_frn
