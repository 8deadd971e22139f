// A channel's parameters and what the kernels keep of a row, in the
// accumulation type.
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

// Channel c's parameters, with the weight in the place of the scale; kernels
// load them while they wait for a row's sum.
template <typename A>
__device__ __forceinline__ Coef<A> load_params(const Params<A>& params, int c) {
  return {params.weight[c], params.bias[c], params.threshold(c)};
}

}  // namespace mmdet_frn
