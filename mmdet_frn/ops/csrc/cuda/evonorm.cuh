// The arithmetic of EvoNorm-S0: the deviation of a group as in group_norm.cuh,
// and y = scale * f + bias with f = x * sigmoid(v * x), or without v f = x.
#pragma once

#include "group_norm.cuh"

namespace mmdet_frn {

struct EvoNorm : Group {
  static constexpr int kMinBlocks = 2;  // the compiler's own choice spills a few bytes
  static constexpr bool kThreshold = false;

  template <typename A>
  struct Params : Group::Params<A> {
    const A* v;  // null: no activation
  };

  template <typename A>
  struct Coef {
    A scale;  // weight * rstd
    A bias;
    A v;
    A mean;
    bool acts;
  };

  template <typename A>
  static __device__ __forceinline__ Coef<A> load(const Params<A>& params, int c) {
    const bool acts = params.v != nullptr;
    return {params.weight[c], params.bias[c], acts ? params.v[c] : A(0), A(0), acts};
  }
  template <typename A>
  static __device__ __forceinline__ Coef<A> coef(Coef<A> params, A mean, A rstd) {
    params.mean = mean;
    params.scale = mul_rn(params.scale, rstd);
    return params;
  }
  template <typename A>
  static __device__ __forceinline__ Coef<A> saved_coef(const Params<A>& params, const A* stats,
                                                       int64_t image, int c) {
    return coef(load(params, c), stats[params.group_of(image, c)],
                saved_rstd(params, stats, image, c));
  }
  template <typename A>
  static __device__ __forceinline__ Coef<A> complete(const Params<A>& params, Coef<A> coef) {
    coef.acts = params.v != nullptr;
    return coef;
  }
  template <typename A>
  static __device__ __forceinline__ A sigmoid(A x, const Coef<A>& coef) {
    return inverse_acc(add_rn(A(1), exp_acc(mul_rn(-x, coef.v))));
  }
  // f * (1 - s) with f = x * s: df/dx = s + v * that, df/dv = x * that.
  template <typename A>
  static __device__ __forceinline__ A bend(A f, A s) {
    return fma_rn(-f, s, f);
  }
  template <typename A>
  static __device__ __forceinline__ A value(A x, const Coef<A>& coef) {
    const A f = coef.acts ? mul_rn(x, sigmoid(x, coef)) : x;
    return fma_rn(f, coef.scale, coef.bias);
  }

  // The backward's sums over a row go on with the gradient g of y: g * f, and in
  // the place of that of a threshold g * df/dv.
  template <typename A>
  static __device__ __forceinline__ void add_backward(A x, A g, const Coef<A>& coef,
                                                      A (&sums)[kRowSums]) {
    if (!coef.acts) {
      sums[kSumGX] = fma_rn(g, x, sums[kSumGX]);
      return;
    }
    const A s = sigmoid(x, coef), f = mul_rn(x, s);
    sums[kSumGX] = fma_rn(g, f, sums[kSumGX]);
    sums[kSumTau] = fma_rn(g, mul_rn(x, bend(f, s)), sums[kSumTau]);
  }
  // dx = scale * g * df/dx - (x - mean) * slope, with the slope of a group norm.
  template <typename A>
  static __device__ __forceinline__ A dx(A x, A g, const Coef<A>& coef, const Pull<A>& pull) {
    A direct = mul_rn(g, coef.scale);
    if (coef.acts) {
      const A s = sigmoid(x, coef);
      direct = mul_rn(direct, fma_rn(coef.v, bend(mul_rn(x, s), s), s));
    }
    return fma_rn(add_rn(x, -coef.mean), -pull.slope, direct);
  }
};

}  // namespace mmdet_frn
