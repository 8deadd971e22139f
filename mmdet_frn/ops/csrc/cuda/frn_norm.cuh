// The arithmetic of FRN: its parameters, what is summed over a row, and what is
// made of each element. The kernels take it as their template argument Norm;
// group_norm.cuh and evonorm.cuh are others.
#pragma once

#include "pack.cuh"

namespace mmdet_frn {

struct Frn {
  // A row has statistics of its own; they are sums about 0, one number each.
  static constexpr bool kGrouped = false;
  static constexpr bool kPivoted = false;
  static constexpr int kStats = 1;
  static constexpr bool kLearnsEps = true;
  // Blocks of a kernel that reads x twice that must fit a multiprocessor, as far
  // as registers go; 0 leaves it to the compiler.
  static constexpr int kMinBlocks = 0;
  static constexpr bool kThreshold = true;  // y may be replaced by floor(), see drops()

  // The per-channel parameters, in the accumulation type.
  template <typename A>
  struct Params {
    const A* weight;
    const A* bias;
    const A* tau;  // null: no threshold
    const A* eps;  // null: eps_value
    int eps_step;  // 0: one eps for all channels, 1: one per channel
    A eps_value;
    int channels;

    __device__ __forceinline__ A abs_eps(int c) const {
      const A e = eps == nullptr ? eps_value : eps[c * eps_step];
      return e < A(0) ? -e : e;
    }
    // Nothing is below minus infinity: it stands for no threshold.
    __device__ __forceinline__ A threshold(int c) const {
      return tau == nullptr ? -A(INFINITY) : tau[c];
    }
  };

  // What turns an x of one row into its y and z.
  template <typename A>
  struct Coef {
    A scale;  // weight * rstd
    A bias;
    A tau;
  };

  // What dx takes from a row's sums.
  template <typename A>
  using Pull = A;

  // Eq. (1): the forward's sum over a row goes on with x, and what is kept of
  // it.
  template <typename A>
  static __device__ __forceinline__ void add(A x, A /*pivot*/, A (&sums)[kStats]) {
    sums[0] = fma_rn(x, x, sums[0]);
  }
  template <typename A>
  static __device__ __forceinline__ A rstd(A sum, A len, A abs_eps) {
    return rsqrt_acc(add_rn(sum / len, abs_eps));
  }

  // Channel c's parameters, with the weight in the place of the scale; kernels
  // load them while they wait for a row's sum.
  template <typename A>
  static __device__ __forceinline__ Coef<A> load(const Params<A>& params, int c) {
    return {params.weight[c], params.bias[c], params.threshold(c)};
  }
  // Eq. (2): y = scale * x + bias with scale = weight * rstd, from a channel's
  // parameters.
  template <typename A>
  static __device__ __forceinline__ Coef<A> coef(Coef<A> params, A rstd) {
    params.scale = mul_rn(params.scale, rstd);
    return params;
  }
  // The same from stats, (N, C): what the forward kept.
  template <typename A>
  static __device__ __forceinline__ A saved_rstd(const Params<A>& params, const A* stats,
                                                 int64_t image, int c) {
    return stats[image * params.channels + c];
  }
  template <typename A>
  static __device__ __forceinline__ Coef<A> saved_coef(const Params<A>& params, const A* stats,
                                                       int64_t image, int c) {
    return coef(load(params, c), saved_rstd(params, stats, image, c));
  }
  template <typename A>
  static __device__ __forceinline__ Coef<A> complete(const Params<A>& /*params*/, Coef<A> coef) {
    return coef;
  }
  template <typename A>
  static __device__ __forceinline__ A value(A x, const Coef<A>& coef) {
    return fma_rn(x, coef.scale, coef.bias);
  }
  // Eq. (3): whether the threshold takes the place of y, and the threshold.
  template <typename A>
  static __device__ __forceinline__ bool drops(A y, const Coef<A>& coef) {
    return tau_wins(y, coef.tau);
  }
  template <typename A>
  static __device__ __forceinline__ A floor(const Coef<A>& coef) {
    return coef.tau;
  }

  // The backward's sums over a row go on with x and the gradient g of y.
  template <typename A>
  static __device__ __forceinline__ void add_backward(A x, A g, const Coef<A>& /*coef*/,
                                                      A (&sums)[kRowSums]) {
    sums[kSumGX] = fma_rn(g, x, sums[kSumGX]);
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
