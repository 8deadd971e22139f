// The statistics of a segment, elements of one image that are normalised
// together: the mean of their squares, or mean and variance (kCentered).
#pragma once

#include <cmath>
#include <cstdint>

namespace mmdet_frn {

template <bool kCentered>
struct Moments {
  // The loops take the statistics of a block about a number near its mean, the
  // pivot: the mean may be far larger than the deviation.
  static constexpr bool kAboutPivot = kCentered;

  // Sums of a block: (x - pivot)^2, and where centered x - pivot. Totals of a
  // segment: x^2 and x, in fp64.
  enum Stat { kSquares, kFirst, kStats = kCentered ? 2 : 1, kPivot = kStats };
  static constexpr int kParts = kStats + (kCentered ? 1 : 0);

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

  // The mean, 0 unless centered, and 1 / sqrt(moment + eps).
  struct Result {
    double mean, rstd;
  };
  static Result finish(const double* totals, double count, double eps) {
    double moment = totals[kSquares] / count, mean = 0;
    if constexpr (kCentered) {
      mean = totals[kFirst] / count;
      moment -= mean * mean;
      if (moment < 0) moment = 0;
    }
    return {mean, 1.0 / std::sqrt(moment + eps)};
  }
};

}  // namespace mmdet_frn
