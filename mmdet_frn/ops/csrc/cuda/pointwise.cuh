// Functions of an element with parameters per channel: TLU, Affine-TLU and DyT.
// The kernels of pointwise_kernel.cuh take one as their template argument Policy.
// `p` are the parameters of a channel, in the order of pointwise.h;
// grad returns the gradient of x and goes on with the sums of those of `p`.
#pragma once

#include "math.cuh"

namespace mmdet_frn {

// max(x, tau), with the rule of a tie and of NaN of tau_wins.
struct Tlu {
  enum Param { kTau, kParams };

  template <typename A>
  static __device__ __forceinline__ A apply(A x, const A (&p)[kParams]) {
    return tau_wins(x, p[kTau]) ? p[kTau] : x;
  }
  template <typename A>
  static __device__ __forceinline__ A grad(A dz, A x, const A (&p)[kParams], A (&sums)[kParams]) {
    const bool dropped = tau_wins(x, p[kTau]);
    sums[kTau] = add_rn(sums[kTau], dropped ? dz : A(0));
    return dropped ? A(0) : dz;
  }
};

// max(x, kappa * x + tau); a tie goes to x.
struct AffineTlu {
  enum Param { kKappa, kTau, kParams };

  template <typename A>
  static __device__ __forceinline__ A apply(A x, const A (&p)[kParams]) {
    const A line = fma_rn(p[kKappa], x, p[kTau]);
    return x < line ? line : x;
  }
  template <typename A>
  static __device__ __forceinline__ A grad(A dz, A x, const A (&p)[kParams], A (&sums)[kParams]) {
    const bool below = x < fma_rn(p[kKappa], x, p[kTau]);
    const A g = below ? dz : A(0);
    sums[kKappa] = fma_rn(g, x, sums[kKappa]);
    sums[kTau] = add_rn(sums[kTau], g);
    return below ? mul_rn(p[kKappa], dz) : dz;
  }
};

// weight * tanh(alpha * x) + bias.
struct Dyt {
  enum Param { kWeight, kBias, kAlpha, kParams };

  template <typename A>
  static __device__ __forceinline__ A apply(A x, const A (&p)[kParams]) {
    return fma_rn(p[kWeight], tanh_acc(mul_rn(p[kAlpha], x)), p[kBias]);
  }
  template <typename A>
  static __device__ __forceinline__ A grad(A dz, A x, const A (&p)[kParams], A (&sums)[kParams]) {
    const A t = tanh_acc(mul_rn(p[kAlpha], x));
    // weight * dz * (1 - t^2)
    const A inner = mul_rn(mul_rn(p[kWeight], dz), fma_rn(-t, t, A(1)));
    sums[kWeight] = fma_rn(dz, t, sums[kWeight]);
    sums[kBias] = add_rn(sums[kBias], dz);
    sums[kAlpha] = fma_rn(inner, x, sums[kAlpha]);
    return mul_rn(p[kAlpha], inner);
  }
};

}  // namespace mmdet_frn
