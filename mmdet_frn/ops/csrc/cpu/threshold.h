// What follows the normalisation of FRN and of the norms over groups, and its
// gradient: y = x * scale + shift [+ residual], z = y < limit || isnan(floor) ?
// floor : y, dx = scale * g - slope * (x - center) - offset, without center and
// offset unless kCentered. TLU: limit = floor = tau. ReLU, which keeps no
// gradient at 0: floor 0, limit the least positive number. Neither: -inf.
#pragma once

#include <cstdint>
#include <limits>

namespace mmdet_frn {

template <bool kCentered>
struct Threshold {
  // Of a row, for g = dz where y passes the threshold and 0 elsewhere: g,
  // g * (x - center), dz - g.
  enum GradSum { kSumG, kSumGx, kSumDropped, kGradSums };

  // V is a vector of the accumulation type: one row's number, or those of as
  // many channels.
  template <typename V>
  struct Coeffs {
    V scale, shift, limit, floor, floor_is_nan, slope, center, offset;

    Coeffs() = default;
    Coeffs(const V& scale, const V& shift, const V& limit, const V& floor, const V& slope,
           const V& center = {}, const V& offset = {})
        : scale(scale),
          shift(shift),
          limit(limit),
          floor(floor),
          floor_is_nan(floor != floor),
          slope(slope),
          center(center),
          offset(offset) {}
  };

  template <typename V>
  static inline V from_center(const V& x, const Coeffs<V>& c) {
    if constexpr (kCentered) return x - c.center;
    return x;
  }

  // y, and as a mask where the floor replaces it. Forward and backward both
  // call this: the mask of backward is that of forward to the bit.
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
};

}  // namespace mmdet_frn
