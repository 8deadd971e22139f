// The arithmetic of a norm over groups of channels, GN, LN over (C, H, W) and
// IN, and without the mean GFRN and LFRN; as frn_norm.cuh, but the rows of a
// group share their statistics. Where a group does not stay on chip
// (group_rows_kernel.cuh) kernels sum parts of a row, one adds up what belongs to
// a group (group_sums_kernel.cuh), and the parts are read again.
#pragma once

#include "pack.cuh"

namespace mmdet_frn {

struct Group {
  // The sums of a part are about one of its elements, the pivot: the mean may be
  // far larger than the deviation.
  static constexpr bool kGrouped = true;
  static constexpr bool kPivoted = true;
  static constexpr bool kLearnsEps = false;
  static constexpr int kMinBlocks = 0;
  static constexpr bool kThreshold = true;
  enum Stat { kFirst, kSquares, kStats };

  template <typename A>
  struct Params {
    const A* weight;
    const A* bias;
    const A* tau;  // null: no TLU
    bool relu;
    bool centered;  // false: pivots and means are 0
    A eps;
    int channels;
    int group;       // channels of a group
    int groups;      // of an image
    int64_t images;  // of the tensor
    int64_t pixels;

    __device__ __forceinline__ int64_t group_of(int64_t image, int c) const {
      return image * groups + c / group;
    }
    __device__ __forceinline__ A count() const { return A(group) * A(pixels); }
  };

  template <typename A>
  struct Coef {
    A scale;  // weight * rstd
    A shift;  // bias - mean * scale
    A floor;
    A mean;
    bool relu;
  };

  template <typename A>
  struct Pull {
    A slope, offset;
  };

  template <typename A>
  static __device__ __forceinline__ void add(A x, A pivot, A (&sums)[kStats]) {
    const A d = add_rn(x, -pivot);
    sums[kFirst] = add_rn(sums[kFirst], d);
    sums[kSquares] = fma_rn(d, d, sums[kSquares]);
  }
  // Adds the sums of a part of `count` elements, `step` apart and with the pivot
  // last, to a group's totals of x and x^2.
  template <typename A>
  static __device__ __forceinline__ void add_part(const A* part, int64_t step, double count,
                                                  double (&totals)[kStats]) {
    const double first = part[kFirst * step], pivot = part[kStats * step];
    totals[kFirst] += first + count * pivot;
    totals[kSquares] += part[kSquares * step];
    // Sums about 0 are left alone: of large x the first may be infinite.
    if (pivot != 0) totals[kSquares] += pivot * (2 * first + count * pivot);
  }
  // mean and rstd of a group from its totals. In fp64, which has the digits that
  // the difference of two large numbers needs.
  template <typename A>
  static __device__ __forceinline__ void finish(const double (&totals)[kStats],
                                                const Params<A>& params, A& mean, A& rstd) {
    const double count = static_cast<double>(params.group) * static_cast<double>(params.pixels);
    const double first = params.centered ? totals[kFirst] / count : 0.0;
    const double moment = totals[kSquares] / count - first * first;
    mean = static_cast<A>(first);
    rstd = static_cast<A>(rsqrt_acc((moment < 0 ? 0.0 : moment) + static_cast<double>(params.eps)));
  }
  // rstd from a group's sum of squares about the mean.
  template <typename A>
  static __device__ __forceinline__ A rstd(A squares, const Params<A>& params) {
    return rsqrt_acc(add_rn(squares / params.count(), params.eps));
  }

  // stats, (2, N, groups): mean and rstd.
  template <typename A>
  static __device__ __forceinline__ A saved_rstd(const Params<A>& params, const A* stats,
                                                 int64_t image, int c) {
    return stats[params.images * params.groups + params.group_of(image, c)];
  }
  // Channel c's parameters, with weight and bias in the places of scale and shift; kernels load
  // them while they wait for a group's sums.
  template <typename A>
  static __device__ __forceinline__ Coef<A> load(const Params<A>& params, int c) {
    const A floor = params.relu ? A(0) : (params.tau == nullptr ? -A(INFINITY) : params.tau[c]);
    return {params.weight[c], params.bias[c], floor, A(0), params.relu};
  }
  // y = scale * x + shift, from a channel's parameters.
  template <typename A>
  static __device__ __forceinline__ Coef<A> coef(Coef<A> params, A mean, A rstd) {
    params.mean = mean;
    params.scale = mul_rn(params.scale, rstd);
    params.shift = fma_rn(-mean, params.scale, params.shift);
    return params;
  }
  template <typename A>
  static __device__ __forceinline__ Coef<A> saved_coef(const Params<A>& params, const A* stats,
                                                       int64_t image, int c) {
    return coef(load(params, c), stats[params.group_of(image, c)],
                saved_rstd(params, stats, image, c));
  }
  // A channel's coefficients out of shared memory: what all channels have alike need not come from
  // there, nor take a register for each.
  template <typename A>
  static __device__ __forceinline__ Coef<A> complete(const Params<A>& params, Coef<A> coef) {
    coef.relu = params.relu;
    return coef;
  }
  template <typename A>
  static __device__ __forceinline__ A value(A x, const Coef<A>& coef) {
    return fma_rn(x, coef.scale, coef.shift);
  }
  // Whether the threshold takes the place of y. A tie goes to y of a TLU, and to
  // the 0 of a ReLU.
  template <typename A>
  static __device__ __forceinline__ bool drops(A y, const Coef<A>& coef) {
    return tau_wins(y, coef.floor) || (coef.relu && y == A(0));
  }
  template <typename A>
  static __device__ __forceinline__ A floor(const Coef<A>& coef) {
    return coef.floor;
  }

  // The backward's sums over a row go on with x - mean and the gradient g of y.
  template <typename A>
  static __device__ __forceinline__ void add_backward(A x, A g, const Coef<A>& coef,
                                                      A (&sums)[kRowSums]) {
    sums[kSumGX] = fma_rn(g, add_rn(x, -coef.mean), sums[kSumGX]);
  }
  // A row's part in its group's sums of weight * g * x_hat and weight * g, with x_hat = (x - mean)
  // * rstd.
  template <typename A>
  static __device__ __forceinline__ void add_row(const A (&row)[kRowSums], A weight, A rstd,
                                                 A (&of_group)[2]) {
    of_group[0] = fma_rn(weight, weight_grad(row[kSumGX], rstd), of_group[0]);
    of_group[1] = fma_rn(weight, row[kSumG], of_group[1]);
  }
  // From these sums: dx = scale * g - (x - mean) * slope - offset.
  template <typename A>
  static __device__ __forceinline__ Pull<A> pull(const Params<A>& params, A sum_wgx, A sum_wg,
                                                 A rstd) {
    const A count = params.count();
    return {mul_rn(rstd, mul_rn(rstd, sum_wgx / count)),
            params.centered ? mul_rn(rstd, sum_wg / count) : A(0)};
  }
  template <typename A>
  static __device__ __forceinline__ Pull<A> saved_pull(const Params<A>& params,
                                                       const Pull<A>* pulls, int64_t image, int c) {
    return pulls[params.group_of(image, c)];
  }
  template <typename A>
  static __device__ __forceinline__ A dx(A x, A g, const Coef<A>& coef, const Pull<A>& pull) {
    const A direct = fma_rn(coef.scale, g, -pull.offset);
    return fma_rn(-add_rn(x, -coef.mean), pull.slope, direct);
  }

  // What a row adds to the gradient of weight: nothing where the squares overflowed.
  template <typename A>
  static __device__ __forceinline__ A weight_grad(A sum_gx, A rstd) {
    return rstd == A(0) ? A(0) : mul_rn(sum_gx, rstd);
  }
};

}  // namespace mmdet_frn
