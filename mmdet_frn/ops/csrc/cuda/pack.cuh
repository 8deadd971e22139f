// The op on one 16-byte pack of a row, as every kernel applies it: the norm,
// the residual and the threshold. The norm's own arithmetic is the argument
// Norm, see frn_norm.cuh.
#pragma once

#include "params.cuh"

namespace mmdet_frn {

template <typename Norm, typename A>
__device__ __forceinline__ Coef<A> make_coef(const Params<A>& params, int c, A rstd) {
  return Norm::coef(load_params(params, c), rstd);
}

// In the functions below a pack belongs to one row (kRows == 1) or, in
// channels-last memory, each of its elements to a row of its own.

// Turns a pack of x into one of z, adding `residual` (the same elements) where
// given.
template <typename Norm, typename T, bool kResidual, int kRows>
__device__ __forceinline__ void apply_forward(Vec& v, const Vec& residual,
                                              const Coef<acc_t<T>> (&coef)[kRows]) {
  using A = acc_t<T>;
  constexpr int kSize = Packed<T>::kSize;
  A y[kSize], r[kSize];
  unpack_vec<T>(v, y);
  if constexpr (kResidual) unpack_vec<T>(residual, r);
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    const Coef<A>& f = coef[kRows == 1 ? 0 : i];
    y[i] = Norm::value(y[i], f);
    if constexpr (kResidual) y[i] = add_rn(y[i], r[i]);
    y[i] = tau_wins(y[i], f.tau) ? f.tau : y[i];
  }
  pack_vec<T>(y, v);
}

// Turns a pack of dz into one of g (dz where y won, 0 where tau did) and adds
// to the rows' sums.
template <typename Norm, typename T, bool kResidual, int kRows>
__device__ __forceinline__ void mask_and_sum(const Vec& x_pack, Vec& g_pack, const Vec& residual,
                                             const Coef<acc_t<T>> (&coef)[kRows],
                                             acc_t<T> (&sums)[kRows][kRowSums]) {
  using A = acc_t<T>;
  constexpr int kSize = Packed<T>::kSize;
  A x[kSize], g[kSize], r[kSize];
  unpack_vec<T>(x_pack, x);
  unpack_vec<T>(g_pack, g);
  if constexpr (kResidual) unpack_vec<T>(residual, r);
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    const Coef<A>& f = coef[kRows == 1 ? 0 : i];
    A(&sum)[kRowSums] = sums[kRows == 1 ? 0 : i];
    A y = Norm::value(x[i], f);
    if constexpr (kResidual) y = add_rn(y, r[i]);
    const bool below = tau_wins(y, f.tau);
    sum[kSumTau] = add_rn(sum[kSumTau], below ? g[i] : A(0));
    g[i] = below ? A(0) : g[i];
    sum[kSumG] = add_rn(sum[kSumG], g[i]);
    sum[kSumGX] = Norm::add_backward(x[i], g[i], sum[kSumGX]);
  }
  pack_vec<T>(g, g_pack);
}

// Turns a pack of x into one of dx.
template <typename Norm, typename T, int kRows>
__device__ __forceinline__ void apply_backward(Vec& x_pack, const Vec& g_pack,
                                               const Coef<acc_t<T>> (&coef)[kRows],
                                               const acc_t<T> (&pull)[kRows]) {
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
