// The arithmetic of EvoNorm-S0 on the CPU: y = x * sigmoid(v * x) * weight * rstd
// + bias with the deviation of a segment; without its activation, as the last
// norm of a block of EvoNorm-S0a, y = x * weight * rstd + bias. A policy as
// frn_policy.h, whose segments are `group` adjacent channels of one image.
#pragma once

#include "moments.h"

namespace mmdet_frn {

template <typename V>
V sigmoid(const V& t);  // exp.h

template <bool kActs>
struct EvoNorm : Moments<true> {
  static constexpr bool kGrouped = true;

  enum Saved { kMean, kRstd, kSaved };
  // With f = x * s, s = sigmoid(v * x). Of a row: dz, dz * f, dz * df/dv. Of a
  // segment: weight * dz * f.
  enum GradSum { kSumDz, kSumF, kSumV, kGradSums };
  enum SegmentSum { kPull, kSegmentSums };

  // dx = scale * dz * df/dx - slope * (x - center).
  enum Coeff { kScale, kShift, kV, kCenter, kSlope, kCoeffs };

  template <typename V>
  struct Coeffs {
    V scale, shift, v, center, slope;

    Coeffs() = default;
    explicit Coeffs(const V* c)
        : scale(c[kScale]), shift(c[kShift]), v(c[kV]), center(c[kCenter]), slope(c[kSlope]) {}
  };

  template <typename V>
  static inline V apply(const V& x, bool, const V&, const Coeffs<V>& c) {
    if constexpr (kActs) return fmadd(x * sigmoid(x * c.v), c.scale, c.shift);
    return fmadd(x, c.scale, c.shift);
  }

  // x * s * (1 - s): df/dx = s + v * that, df/dv = x * that.
  template <typename V>
  static inline V bend(const V& x, const V& s) {
    return x * fmadd(s.neg(), s, s);
  }

  template <typename V>
  static inline void add_grad_sums(V* sums, const V& dz, const V& x, bool, const V&,
                                   const Coeffs<V>& c) {
    sums[kSumDz] = sums[kSumDz] + dz;
    if constexpr (kActs) {
      const auto s = sigmoid(x * c.v);
      sums[kSumF] = fmadd(dz, x * s, sums[kSumF]);
      sums[kSumV] = fmadd(dz, x * bend(x, s), sums[kSumV]);
    } else {
      sums[kSumF] = fmadd(dz, x, sums[kSumF]);
    }
  }

  template <typename V>
  static inline void grad(const V& dz, const V& x, bool, const V&, const Coeffs<V>& c, V& dx, V&) {
    auto direct = dz * c.scale;
    if constexpr (kActs) {
      const auto s = sigmoid(x * c.v);
      direct = direct * fmadd(c.v, bend(x, s), s);
    }
    dx = fmadd(x - c.center, c.slope.neg(), direct);
  }

  // Pointers of one call, and what is computed once for each (n, c) or segment.
  // Saved numbers are [kind][N * groups], sums of backward [kind][N * C].
  template <typename A>
  struct Rows {
    int64_t n, c, hw, group;  // group: channels of a segment
    const A *weight, *bias;
    const A* v;  // null unless kActs
    double eps;

    int64_t segments() const { return n * c / group; }
    A rstd(int64_t row, const A* saved) const { return saved[kRstd * segments() + row / group]; }

    void finish(const double* totals, int64_t segment, A* saved) const {
      const auto of = Moments::finish(totals, static_cast<double>(group * hw), eps);
      saved[kMean * segments() + segment] = static_cast<A>(of.mean);
      saved[kRstd * segments() + segment] = static_cast<A>(of.rstd);
    }

    void coeffs(int64_t row, const A* saved, A* out) const {
      const auto channel = row % c;
      out[kV] = kActs ? v[channel] : A(0);
      out[kScale] = weight[channel] * rstd(row, saved);
      out[kShift] = bias[channel];
      out[kCenter] = saved[kMean * segments() + row / group];
      out[kSlope] = A(0);
    }

    void segment_sums(int64_t segment, const A* saved, const double* sums, double* out) const {
      out[kPull] = 0;
      for (int64_t row = segment * group; row < (segment + 1) * group; ++row) {
        out[kPull] += weight[row % c] * sum(kSumF, row, saved, sums);
      }
    }

    void grad_coeffs(int64_t row, const A* saved, const double* of_segment, A* out) const {
      coeffs(row, saved, out);
      const double r = rstd(row, saved);
      // Factors near one first: r^3 alone could leave the range of fp32.
      const double mean = of_segment[kPull] / static_cast<double>(group * hw);
      out[kSlope] = static_cast<A>(r * (r * (r * mean)));
    }

    // The gradients of the parameters; null where not wanted.
    void reduce(const A* saved, const double* sums, A* dweight, A* dbias, A* dv) const {
      for (int64_t channel = 0; channel < c; ++channel) {
        double weight_sum = 0, bias_sum = 0, v_sum = 0;
        for (int64_t row = channel; row < n * c; row += c) {
          weight_sum += rstd(row, saved) * sum(kSumF, row, saved, sums);
          bias_sum += sums[kSumDz * n * c + row];
          v_sum += rstd(row, saved) * sum(kSumV, row, saved, sums);
        }
        if (dweight) dweight[channel] = static_cast<A>(weight_sum);
        if (dbias) dbias[channel] = static_cast<A>(bias_sum);
        if (dv) dv[channel] = static_cast<A>(weight[channel] * v_sum);
      }
    }

   private:
    // Where the variance overflowed y is the bias, and dz * f may have
    // overflowed too.
    double sum(GradSum kind, int64_t row, const A* saved, const double* sums) const {
      return rstd(row, saved) == 0 ? 0 : sums[kind * n * c + row];
    }
  };
};

}  // namespace mmdet_frn
