// FRN's arithmetic on the CPU: what is summed over a row, what is applied to an
// element, and what becomes of the sums in between. The walks over rows and
// blocks (forward.h, backward.h) and the vector loops (loops_impl.h) take this
// struct as a template argument and know no norm.
//
// Nothing here includes ATen: the files of the instruction sets compile it with
// their own flags.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace mmdet_frn {

struct Frn {
  static constexpr bool kGrouped = false;  // a segment, which shares its statistics, is one row
  static constexpr bool kAboutPivot = false;

  // Sums of a row in forward; numbers of a row that backward gets again; sums
  // of a row in backward, for g = dz where y passes the threshold and 0
  // elsewhere: g, g * x, dz - g.
  enum Stat { kSquares, kStats, kParts = kStats };
  enum Saved { kRstd, kSaved };
  enum GradSum { kSumG, kSumGx, kSumDropped, kGradSums };
  enum SegmentSum { kPull, kSegmentSums };

  // y = x * scale + shift [+ residual], z = y < tau || isnan(tau) ? tau : y,
  // dx = scale * g - slope * x. No threshold: tau = -inf.
  enum Coeff { kScale, kShift, kTau, kSlope, kCoeffs };

  // Vectors: V is a vector of the accumulation type, or of as many channels.
  template <typename V>
  struct Coeffs {
    V scale, shift, tau, tau_is_nan, slope;

    Coeffs() = default;
    explicit Coeffs(const V* c)
        : scale(c[kScale]),
          shift(c[kShift]),
          tau(c[kTau]),
          tau_is_nan(c[kTau] != c[kTau]),
          slope(c[kSlope]) {}
  };

  template <typename V>
  static inline void add_stats(V* sums, const V& x) {
    sums[kSquares] = fmadd(x, x, sums[kSquares]);
  }

  // Adds the sums of a block to the totals of its segment.
  template <typename A>
  static inline void add_part(const A* part, int64_t, int64_t, double* totals, int64_t) {
    totals[kSquares] += part[kSquares];
  }

  // y, and as a mask where tau replaces it. Forward and backward both call
  // this: the mask of backward is that of forward to the bit.
  template <typename V>
  static inline void activate(const V& x, bool has_residual, const V& residual, const Coeffs<V>& c,
                              V& y, V& dropped) {
    y = fmadd(x, c.scale, c.shift);
    if (has_residual) y = y + residual;
    dropped = (y < c.tau) | c.tau_is_nan;
  }

  template <typename V>
  static inline V apply(const V& x, bool has_residual, const V& residual, const Coeffs<V>& c) {
    V y, dropped;
    activate(x, has_residual, residual, c, y, dropped);
    return V::blendv(y, c.tau, dropped);
  }

  template <typename V>
  static inline void add_grad_sums(V* sums, const V& dz, const V& x, bool has_residual,
                                   const V& residual, const Coeffs<V>& c) {
    V y, dropped;
    activate(x, has_residual, residual, c, y, dropped);
    const V zero(typename V::value_type(0));
    const auto g = V::blendv(dz, zero, dropped);
    sums[kSumG] = sums[kSumG] + g;
    sums[kSumGx] = fmadd(g, x, sums[kSumGx]);
    sums[kSumDropped] = sums[kSumDropped] + V::blendv(zero, dz, dropped);
  }

  template <typename V>
  static inline void grad(const V& dz, const V& x, bool has_residual, const V& residual,
                          const Coeffs<V>& c, V& dx, V& dresidual) {
    V y, dropped;
    activate(x, has_residual, residual, c, y, dropped);
    dresidual = V::blendv(dz, V(typename V::value_type(0)), dropped);
    dx = fmadd(x, c.slope.neg(), c.scale * dresidual);
  }

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
      saved[row] = static_cast<A>(1.0 / std::sqrt(stats[kSquares] / hw + e));
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
