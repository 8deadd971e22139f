// Exponentials of a vector of ATen's, inlined into the loop that needs them:
// ATen's own call a library, which puts every vector of the loop through memory.
#pragma once

#include <ATen/cpu/vec/vec.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace mmdet_frn {

// f of each lane, for types whose speed is not worth more.
template <typename V, typename F>
inline V each_lane(const V& v, F f) {
  typename V::value_type lanes[V::size()];
  v.store(lanes);
  for (auto& lane : lanes) lane = f(lane);
  return V::loadu(lanes);
}

template <typename V>
constexpr bool kIsDouble = std::is_same_v<typename V::value_type, double>;

// exp(z) = scale * (1 + fraction) within 2e-7 of its value, |fraction| < 0.42; infinite from 88.4
// on and 0 below -87.7.
template <typename V>
struct Exponential {
  V scale, fraction;

  explicit Exponential(const V& z) {
    using Int = at::vec::Vectorized<int32_t>;
    // z = n * log(2) + r. Added to this, n ends up in the lowest bits.
    const V magic(12582912.f);
    const auto bounded = at::vec::clamp(z, V(-88.f), V(89.f));
    const auto sum = fmadd(bounded, V(1.44269504f), magic);
    const auto n = sum - magic;
    auto r = fmadd(n, V(-0.693145752f), bounded);
    r = fmadd(n, V(-1.42860677e-6f), r);
    // (exp(r) - 1 - r) / r^2 by a Chebyshev fit of degree 4, within 1e-8 of exp(r).
    V p(0.00139337336f);
    p = fmadd(p, r, V(0.00836323574f));
    p = fmadd(p, r, V(0.041666463f));
    p = fmadd(p, r, V(0.166665763f));
    p = fmadd(p, r, V(0.5f));
    fraction = fmadd(p * r, r, r);
    Int bits;
    std::memcpy(static_cast<void*>(&bits), &sum, sizeof(bits));
    bits = (bits << Int(23)) + Int(127 << 23);
    std::memcpy(static_cast<void*>(&scale), &bits, sizeof(bits));
    scale = V::blendv(scale, z, z != z);
  }
};

// 1 / (1 + exp(-t)).
template <typename V>
V sigmoid(const V& t) {
  if constexpr (kIsDouble<V>) {
    return each_lane(t, [](double lane) { return 1 / (1 + ::exp(-lane)); });
  } else {
    const V one(1.f);
    const Exponential<V> e(t.neg());
    // Not scale + scale * fraction, which is a NaN where scale is infinite and fraction negative.
    return one / fmadd(e.scale, one + e.fraction, one);
  }
}

// (exp(2 t) - 1) / (exp(2 t) + 1), whose numerator is as precise near 0.
template <typename V>
V hyperbolic_tangent(const V& t) {
  if constexpr (kIsDouble<V>) {
    return each_lane(t, [](double lane) { return ::tanh(lane); });
  } else {
    // Beyond 20 the result is 1; twice that would be infinite somewhere.
    const auto bounded = V::blendv(at::vec::clamp(t, V(-20.f), V(20.f)), t, t != t);
    const Exponential<V> e(bounded + bounded);
    const auto above_one = fmadd(e.scale, e.fraction, e.scale - V(1.f));
    return above_one / (above_one + V(2.f));
  }
}

}  // namespace mmdet_frn
