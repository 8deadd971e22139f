// The arithmetic of FRN: what is summed over a row, and what is made of each
// element. The kernels take it as their template argument Norm; another norm
// with these members can take its place.
#pragma once

#include "params.cuh"

namespace mmdet_frn {

struct Frn {
  // Eq. (1): the forward's sum over a row goes on with x, and what is kept of
  // it.
  template <typename A>
  static __device__ __forceinline__ A add(A x, A sum) {
    return fma_rn(x, x, sum);
  }
  template <typename A>
  static __device__ __forceinline__ A rstd(A sum, A len, A abs_eps) {
    return rsqrt_acc(add_rn(sum / len, abs_eps));
  }

  // Eq. (2): y = scale * x + bias with scale = weight * rstd, from a channel's
  // parameters.
  template <typename A>
  static __device__ __forceinline__ Coef<A> coef(Coef<A> params, A rstd) {
    params.scale = mul_rn(params.scale, rstd);
    return params;
  }
  template <typename A>
  static __device__ __forceinline__ A value(A x, const Coef<A>& coef) {
    return fma_rn(x, coef.scale, coef.bias);
  }

  // The backward's sum over a row goes on with x and the gradient g of y.
  template <typename A>
  static __device__ __forceinline__ A add_backward(A x, A g, A sum) {
    return fma_rn(g, x, sum);
  }
  // dx = scale * g - x * pull with pull = scale * rstd^2 * mean(g * x),
  // multiplied in an order that keeps every factor in range.
  template <typename A>
  static __device__ __forceinline__ A pull(A sum_gx, A len, A scale, A rstd) {
    return mul_rn(mul_rn(scale, rstd), weight_grad(sum_gx, rstd) / len);
  }
  template <typename A>
  static __device__ __forceinline__ A dx(A x, A g, const Coef<A>& coef, A pull) {
    return fma_rn(coef.scale, g, -mul_rn(x, pull));
  }

  // What a row adds to the gradient of weight, and to that of eps but for -sign(eps) / 2 * weight.
  // Nothing where the mean square overflowed: rstd is 0 there, and g * x may have overflowed too.
  template <typename A>
  static __device__ __forceinline__ A weight_grad(A sum_gx, A rstd) {
    return rstd == A(0) ? A(0) : mul_rn(sum_gx, rstd);
  }
  template <typename A>
  static __device__ __forceinline__ A eps_grad(A sum_gx, A rstd) {
    return mul_rn(mul_rn(weight_grad(sum_gx, rstd), rstd), rstd);
  }
};

}  // namespace mmdet_frn
