// FRN's arithmetic on the CPU: what is summed over a row, what is applied to an
// element, and what becomes of the sums in between. The walks over rows and
// blocks (forward.h, backward.h) and the vector loops (loops_impl.h) take this
// struct as a template argument and know no norm.
//
// Nothing here includes ATen: the files of the instruction sets compile it with
// their own flags.
#pragma once

#include "moments.h"
#include "threshold.h"

namespace mmdet_frn {

struct Frn : Moments<false>, Threshold<false> {
  static constexpr bool kGrouped = false;  // a segment, which shares its statistics, is one row

  // Numbers of a row that backward gets again.
  enum Saved { kRstd, kSaved };
  enum SegmentSum { kPull, kSegmentSums };

  // No threshold: tau = -inf.
  enum Coeff { kScale, kShift, kTau, kSlope, kCoeffs };

  template <typename V>
  struct Coeffs : Threshold::Coeffs<V> {
    Coeffs() = default;
    explicit Coeffs(const V* c)
        : Threshold::Coeffs<V>(c[kScale], c[kShift], c[kTau], c[kTau], c[kSlope]) {}
  };

  // Rows: pointers of one call, and what is computed once for each (n, c).
  // Arrays of sums and of saved numbers are [kind][N * C].
  template <typename A>
  struct Rows {
    int64_t n, c, hw;
    const A *weight, *bias;
    const A* tau;  // null: no threshold
    const A* eps;  // null: eps_value
    double eps_value;
    bool eps_per_channel;

    // What backward needs again, of the sums of forward.
    void finish(const double* stats, int64_t row, A* saved) const {
      const double e =
          eps ? std::abs(static_cast<double>(eps[eps_per_channel ? row % c : 0])) : eps_value;
      saved[row] = static_cast<A>(Moments::finish(stats, hw, e).rstd);
    }

    void coeffs(int64_t row, const A* saved, A* out) const {
      const auto channel = row % c;
      out[kScale] = weight[channel] * saved[row];
      out[kShift] = bias[channel];
      out[kTau] = tau ? tau[channel] : -std::numeric_limits<A>::infinity();
      out[kSlope] = A(0);
    }

    void segment_sums(int64_t row, const A* saved, const double* sums, double* out) const {
      out[kPull] = sum_gx(row, saved, sums);
    }

    void grad_coeffs(int64_t row, const A* saved, const double* of_segment, A* out) const {
      coeffs(row, saved, out);
      // Factors near one first: rstd^3 alone could leave the range of fp32.
      const double mean = saved[row] * (of_segment[kPull] / hw);
      out[kSlope] = static_cast<A>(static_cast<double>(out[kScale]) * saved[row] * mean);
    }

    // The gradients of the parameters; null where not wanted.
    void reduce(const A* saved, const double* sums, A* dweight, A* dbias, A* dtau, A* deps) const {
      double deps_total = 0;
      for (int64_t channel = 0; channel < c; ++channel) {
        double weight_sum = 0, bias_sum = 0, tau_sum = 0, eps_sum = 0;
        for (int64_t row = channel; row < n * c; row += c) {
          const double r = saved[row];
          const double x_hat_g = r * sum_gx(row, saved, sums);
          weight_sum += x_hat_g;
          bias_sum += sums[kSumG * n * c + row];
          tau_sum += sums[kSumDropped * n * c + row];
          eps_sum += x_hat_g * r * r;
        }
        if (dweight) dweight[channel] = static_cast<A>(weight_sum);
        if (dbias) dbias[channel] = static_cast<A>(bias_sum);
        if (dtau) dtau[channel] = static_cast<A>(tau_sum);
        if (!deps) continue;
        const double e = eps[eps_per_channel ? channel : 0];
        const double sign = e > 0 ? 1 : e < 0 ? -1 : e;
        const double deps_c = -0.5 * sign * weight[channel] * eps_sum;
        deps_total += deps_c;
        if (eps_per_channel) deps[channel] = static_cast<A>(deps_c);
      }
      if (deps && !eps_per_channel) deps[0] = static_cast<A>(deps_total);
    }

   private:
    // Where the mean square overflowed x_hat is 0, and x * g may have
    // overflowed too.
    double sum_gx(int64_t row, const A* saved, const double* sums) const {
      return saved[row] == 0 ? 0 : sums[kSumGx * n * c + row];
    }
  };
};

}  // namespace mmdet_frn
