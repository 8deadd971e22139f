// The arithmetic of a norm over groups of channels on the CPU: GN, LN over
// (C, H, W) and IN (kCentered), GFRN and LFRN. A policy as frn_policy.h, whose
// segments are `group` adjacent channels of one image.
#pragma once

#include "moments.h"
#include "threshold.h"

namespace mmdet_frn {

template <bool kCentered>
struct Group : Moments<kCentered>, Threshold<kCentered> {
  using Stats = Moments<kCentered>;
  using Act = Threshold<kCentered>;
  static constexpr bool kGrouped = true;

  enum Saved { kMean, kRstd, kSaved };
  // Of a segment: weight * g * (x - mean), weight * g.
  enum SegmentSum { kPull, kShare, kSegmentSums };
  enum Coeff { kScale, kShift, kLimit, kFloor, kCenter, kSlope, kOffset, kCoeffs };

  template <typename V>
  struct Coeffs : Act::template Coeffs<V> {
    Coeffs() = default;
    explicit Coeffs(const V* c)
        : Act::template Coeffs<V>(c[kScale], c[kShift], c[kLimit], c[kFloor], c[kSlope], c[kCenter],
                                  c[kOffset]) {}
  };

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
      const auto of = Stats::finish(totals, static_cast<double>(group * hw), eps);
      saved[kMean * segments() + segment] = static_cast<A>(of.mean);
      saved[kRstd * segments() + segment] = static_cast<A>(of.rstd);
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
        out[kShare] += weight[row % c] * sums[Act::kSumG * n * c + row];
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
          bias_sum += sums[Act::kSumG * n * c + row];
          tau_sum += sums[Act::kSumDropped * n * c + row];
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
      return saved[kRstd * segments() + row / group] == 0 ? 0 : sums[Act::kSumGx * n * c + row];
    }
  };
};

}  // namespace mmdet_frn
