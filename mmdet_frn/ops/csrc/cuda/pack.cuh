// The op on one 16-byte pack of a row, as every kernel applies it: the order of operations within
// an element is written here only.
#pragma once

#include "math.cuh"

namespace mmdet_frn {

// The per-channel parameters, in the accumulation type.
template <typename A>
struct Params {
  const A* weight;
  const A* bias;
  const A* tau;  // null: no threshold
  const A* eps;  // null: eps_value
  int eps_step;  // 0: one eps for all channels, 1: one per channel
  A eps_value;

  __device__ __forceinline__ A abs_eps(int c) const {
    const A e = eps == nullptr ? eps_value : eps[c * eps_step];
    return e < A(0) ? -e : e;
  }
  // Nothing is below minus infinity: it stands for no threshold.
  __device__ __forceinline__ A threshold(int c) const {
    return tau == nullptr ? -A(INFINITY) : tau[c];
  }
};

// The backward's sums of one row, in this order; stored as [kRowSums][N * C].
enum RowSum { kSumGX, kSumG, kSumTau };
constexpr int kRowSums = 3;

// What turns an x of one row into its y and z.
template <typename A>
struct Coef {
  A scale;  // weight * rstd
  A bias;
  A tau;
};

// Channel c's parameters, with the weight in the place of the scale; kernels load them while they
// wait for a row's sum.
template <typename A>
__device__ __forceinline__ Coef<A> load_params(const Params<A>& params, int c) {
  return {params.weight[c], params.bias[c], params.threshold(c)};
}

template <typename A>
__device__ __forceinline__ Coef<A> scaled(Coef<A> params, A rstd) {
  params.scale = mul_rn(params.scale, rstd);
  return params;
}

template <typename A>
__device__ __forceinline__ Coef<A> make_coef(const Params<A>& params, int c, A rstd) {
  return scaled(load_params(params, c), rstd);
}

template <typename A>
__device__ __forceinline__ A make_rstd(A sum_squares, A len, A abs_eps) {
  return rsqrt_acc(add_rn(sum_squares / len, abs_eps));
}

// In the functions below a pack belongs to one row (kRows == 1) or, in channels-last memory, each
// of its elements to a row of its own.

// Turns a pack of x into one of z, adding `residual` (the same elements) where given.
template <typename T, bool kResidual, int kRows>
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
    y[i] = frn_value(y[i], f.scale, f.bias);
    if constexpr (kResidual) y[i] = add_rn(y[i], r[i]);
    y[i] = tau_wins(y[i], f.tau) ? f.tau : y[i];
  }
  pack_vec<T>(y, v);
}

// Turns a pack of dz into one of g (dz where y won, 0 where tau did) and adds to the rows' sums.
template <typename T, bool kResidual, int kRows>
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
    A y = frn_value(x[i], f.scale, f.bias);
    if constexpr (kResidual) y = add_rn(y, r[i]);
    const bool below = tau_wins(y, f.tau);
    sum[kSumTau] = add_rn(sum[kSumTau], below ? g[i] : A(0));
    g[i] = below ? A(0) : g[i];
    sum[kSumG] = add_rn(sum[kSumG], g[i]);
    sum[kSumGX] = fma_rn(g[i], x[i], sum[kSumGX]);
  }
  pack_vec<T>(g, g_pack);
}

// scale * rstd^2 * mean(g * x), multiplied in an order that keeps every factor in range.
template <typename A>
__device__ __forceinline__ A make_pull(A sum_gx, A len, A scale, A rstd) {
  return mul_rn(mul_rn(scale, rstd), mul_rn(sum_gx, rstd) / len);
}

// Turns a pack of x into one of dx = scale * g - x * pull.
template <typename T, int kRows>
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
    x[i] = fma_rn(coef[row].scale, g[i], -mul_rn(x[i], pull[row]));
  }
  pack_vec<T>(x, x_pack);
}

}  // namespace mmdet_frn
