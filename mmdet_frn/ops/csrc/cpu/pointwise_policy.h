// Functions of an element with parameters per channel, on the CPU. Each says what
// it is of one vector, and what it adds to the gradient of each parameter; the
// coefficients of a channel are its parameters.
#pragma once

namespace mmdet_frn {

template <typename V>
V hyperbolic_tangent(const V& t);  // exp.h

struct Pointwise {};

// x < tau || isnan(tau) ? tau : x.
struct Tlu : Pointwise {
  enum Coeff { kTau, kCoeffs };

  template <typename V>
  struct Coeffs {
    V tau, tau_is_nan;

    Coeffs() = default;
    explicit Coeffs(const V* c) : tau(c[kTau]), tau_is_nan(c[kTau] != c[kTau]) {}
  };

  template <typename V>
  static inline V apply(const V& x, bool, const V&, const Coeffs<V>& c) {
    return V::blendv(x, c.tau, (x < c.tau) | c.tau_is_nan);
  }

  template <typename V>
  static inline V grad(const V& dz, const V& x, const Coeffs<V>& c, V* sums) {
    const V zero(typename V::value_type(0));
    const auto dropped = (x < c.tau) | c.tau_is_nan;
    sums[kTau] = sums[kTau] + V::blendv(zero, dz, dropped);
    return V::blendv(dz, zero, dropped);
  }
};

// x < kappa * x + tau ? kappa * x + tau : x.
struct AffineTlu : Pointwise {
  enum Coeff { kKappa, kTau, kCoeffs };

  template <typename V>
  struct Coeffs {
    V kappa, tau;

    Coeffs() = default;
    explicit Coeffs(const V* c) : kappa(c[kKappa]), tau(c[kTau]) {}
  };

  template <typename V>
  static inline V apply(const V& x, bool, const V&, const Coeffs<V>& c) {
    const auto line = fmadd(c.kappa, x, c.tau);
    return V::blendv(x, line, x < line);
  }

  template <typename V>
  static inline V grad(const V& dz, const V& x, const Coeffs<V>& c, V* sums) {
    const auto below = x < fmadd(c.kappa, x, c.tau);
    const auto g = V::blendv(V(typename V::value_type(0)), dz, below);
    sums[kKappa] = fmadd(g, x, sums[kKappa]);
    sums[kTau] = sums[kTau] + g;
    return V::blendv(dz, c.kappa * dz, below);
  }
};

// weight * tanh(alpha * x) + bias.
struct Dyt : Pointwise {
  enum Coeff { kWeight, kBias, kAlpha, kCoeffs };

  template <typename V>
  struct Coeffs {
    V weight, bias, alpha;

    Coeffs() = default;
    explicit Coeffs(const V* c) : weight(c[kWeight]), bias(c[kBias]), alpha(c[kAlpha]) {}
  };

  template <typename V>
  static inline V apply(const V& x, bool, const V&, const Coeffs<V>& c) {
    return fmadd(c.weight, hyperbolic_tangent(c.alpha * x), c.bias);
  }

  template <typename V>
  static inline V grad(const V& dz, const V& x, const Coeffs<V>& c, V* sums) {
    const auto t = hyperbolic_tangent(c.alpha * x);
    // weight * dz * (1 - t^2)
    const auto inner = c.weight * dz * fmadd(t.neg(), t, V(typename V::value_type(1)));
    sums[kWeight] = fmadd(dz, t, sums[kWeight]);
    sums[kBias] = sums[kBias] + dz;
    sums[kAlpha] = fmadd(inner, x, sums[kAlpha]);
    return c.alpha * inner;
  }
};

}  // namespace mmdet_frn
