// The arithmetic of a norm over groups of channels on the CPU: GN, LN over
// (C, H, W) and IN (kCentered), GFRN and LFRN. A policy as frn_policy.h, whose
// segments are `group` adjacent channels of one image.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace mmdet_frn {

template <bool kCentered>
struct Group {
  static constexpr bool kGrouped = true;
  // The loops take the statistics of a block about the block's own mean: the
  // mean may be far larger than the deviation.
  static constexpr bool kAboutPivot = kCentered;

  // Sums of a block: (x - pivot)^2, and where centered x - pivot. Totals of a
  // segment: x^2 and x, in fp64.
  enum Stat { kSquares, kFirst, kStats = kCentered ? 2 : 1, kPivot = kStats };
  static constexpr int kParts = kStats + (kCentered ? 1 : 0);
  enum Saved { kMean, kRstd, kSaved };
  // Of a row: g, g * (x - mean), dz - g. Of a segment: weight * g * (x - mean),
  // weight * g.
  enum GradSum { kSumG, kSumGx, kSumDropped, kGradSums };
  enum SegmentSum { kPull, kShare, kSegmentSums };

  // y = x * scale + shift [+ residual], z = y < limit || isnan(floor) ? floor :
  // y, dx = scale * g - slope * (x - mean) - offset. TLU: limit = floor = tau.
  // ReLU, which keeps no gradient at 0: floor 0, limit the least positive
  // number. Neither: -inf.
  enum Coeff { kScale, kShift, kLimit, kFloor, kCenter, kSlope, kOffset, kCoeffs };

  template <typename V>
  struct Coeffs {
    V scale, shift, limit, floor, floor_is_nan, center, slope, offset;

    Coeffs() = default;
    explicit Coeffs(const V* c)
        : scale(c[kScale]),
          shift(c[kShift]),
          limit(c[kLimit]),
          floor(c[kFloor]),
          floor_is_nan(c[kFloor] != c[kFloor]),
          center(c[kCenter]),
          slope(c[kSlope]),
          offset(c[kOffset]) {}
  };

  template <typename V>
  static inline void add_stats(V* sums, const V& x) {
    sums[kSquares] = fmadd(x, x, sums[kSquares]);
    if constexpr (kCentered) sums[kFirst] = sums[kFirst] + x;
  }

  // Adds the sums of a block of `count` elements to the totals.
  template <typename A>
  static inline void add_part(const A* part, int64_t stride, int64_t count, double* totals,
                              int64_t totals_stride) {
    if constexpr (kCentered) {
      const double pivot = part[kPivot * stride], first = part[kFirst * stride];
      totals[kSquares] += part[kSquares * stride] + pivot * (2 * first + count * pivot);
      totals[kFirst * totals_stride] += first + count * pivot;
    } else {
      totals[kSquares] += part[kSquares * stride];
    }
  }

  template <typename V>
  static inline V from_center(const V& x, const Coeffs<V>& c) {
    if constexpr (kCentered) return x - c.center;
    return x;
  }

  // Forward and backward both call this: the mask of backward is that of
  // forward to the bit.
  template <typename V>
  static inline void activate(const V& x, bool has_residual, const V& residual, const Coeffs<V>& c,
                              V& y, V& dropped) {
    y = fmadd(x, c.scale, c.shift);
    if (has_residual) y = y + residual;
    dropped = (y < c.limit) | c.floor_is_nan;
  }

  template <typename V>
  static inline V apply(const V& x, bool has_residual, const V& residual, const Coeffs<V>& c) {
    V y, dropped;
    activate(x, has_residual, residual, c, y, dropped);
    return V::blendv(y, c.floor, dropped);
  }

  template <typename V>
  static inline void add_grad_sums(V* sums, const V& dz, const V& x, bool has_residual,
                                   const V& residual, const Coeffs<V>& c) {
    V y, dropped;
    activate(x, has_residual, residual, c, y, dropped);
    const V zero(typename V::value_type(0));
    const auto g = V::blendv(dz, zero, dropped);
    sums[kSumG] = sums[kSumG] + g;
    sums[kSumGx] = fmadd(g, from_center(x, c), sums[kSumGx]);
    sums[kSumDropped] = sums[kSumDropped] + V::blendv(zero, dz, dropped);
  }

  template <typename V>
  static inline void grad(const V& dz, const V& x, bool has_residual, const V& residual,
                          const Coeffs<V>& c, V& dx, V& dresidual) {
    V y, dropped;
    activate(x, has_residual, residual, c, y, dropped);
    dresidual = V::blendv(dz, V(typename V::value_type(0)), dropped);
    auto direct = c.scale * dresidual;
    if constexpr (kCentered) direct = direct - c.offset;
    dx = fmadd(from_center(x, c), c.slope.neg(), direct);
  }

  // Pointers of one call, and what is computed once for each (n, c) or segment.
  // Saved numbers are [kind][N * groups], sums of backward [kind][N * C].
  template <typename A>
  struct Rows {
    int64_t n, c, hw, group;  // group: channels of a segment
    const A *weight, *bias;
    const A* tau;  // null: no TLU
    bool relu;
    double eps;

    int64_t segments() const { return n * c / group; }

    void finish(const double* totals, int64_t segment, A* saved) const {
      const double count = static_cast<double>(group * hw);
      double moment = totals[kSquares] / count, mean = 0;
      if constexpr (kCentered) {
        mean = totals[kFirst] / count;
        moment -= mean * mean;
        if (moment < 0) moment = 0;
      }
      saved[kMean * segments() + segment] = static_cast<A>(mean);
      saved[kRstd * segments() + segment] = static_cast<A>(1.0 / std::sqrt(moment + eps));
    }

    void coeffs(int64_t row, const A* saved, A* out) const {
      const auto channel = row % c;
      const A mean = saved[kMean * segments() + row / group];
      out[kScale] = weight[channel] * saved[kRstd * segments() + row / group];
      out[kShift] = static_cast<A>(bias[channel] - static_cast<double>(mean) * out[kScale]);
      out[kLimit] = out[kFloor] = -std::numeric_limits<A>::infinity();
      if (relu) {
        out[kLimit] = std::numeric_limits<A>::denorm_min();
        out[kFloor] = A(0);
      } else if (tau) {
        out[kLimit] = out[kFloor] = tau[channel];
      }
      out[kCenter] = mean;
      out[kSlope] = out[kOffset] = A(0);
    }

    void segment_sums(int64_t segment, const A* saved, const double* sums, double* out) const {
      out[kPull] = out[kShare] = 0;
      for (int64_t row = segment * group; row < (segment + 1) * group; ++row) {
        out[kPull] += weight[row % c] * sum_gx(row, saved, sums);
        out[kShare] += weight[row % c] * sums[kSumG * n * c + row];
      }
    }

    void grad_coeffs(int64_t row, const A* saved, const double* of_segment, A* out) const {
      coeffs(row, saved, out);
      const double r = saved[kRstd * segments() + row / group];
      const double count = static_cast<double>(group * hw);
      // Factors near one first: r^3 alone could leave the range of fp32.
      out[kSlope] = static_cast<A>(r * (r * (r * (of_segment[kPull] / count))));
      out[kOffset] = static_cast<A>(kCentered ? r * (of_segment[kShare] / count) : 0);
    }

    // The gradients of the parameters; null where not wanted.
    void reduce(const A* saved, const double* sums, A* dweight, A* dbias, A* dtau) const {
      for (int64_t channel = 0; channel < c; ++channel) {
        double weight_sum = 0, bias_sum = 0, tau_sum = 0;
        for (int64_t row = channel; row < n * c; row += c) {
          weight_sum += saved[kRstd * segments() + row / group] * sum_gx(row, saved, sums);
          bias_sum += sums[kSumG * n * c + row];
          tau_sum += sums[kSumDropped * n * c + row];
        }
        if (dweight) dweight[channel] = static_cast<A>(weight_sum);
        if (dbias) dbias[channel] = static_cast<A>(bias_sum);
        if (dtau) dtau[channel] = static_cast<A>(tau_sum);
      }
    }

   private:
    // Where the sum of squares overflowed x_hat is 0, and x * g may have
    // overflowed too.
    double sum_gx(int64_t row, const A* saved, const double* sums) const {
      return saved[kRstd * segments() + row / group] == 0 ? 0 : sums[kSumGx * n * c + row];
    }
  };
};

}  // namespace mmdet_frn
