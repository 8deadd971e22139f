// FRN and its gradient on one vector of elements, on ATen's Vectorized; see
// primitives_impl.h.
#pragma once

#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>

#include <cstring>
#include <tuple>
#include <type_traits>

#include "primitives.h"

namespace mmdet_frn::MMDET_FRN_ISA {
namespace {

template <typename T>
using Vec = at::vec::Vectorized<T>;

// A Pack is one vector of T widened to the accumulation type: two vectors for the half types.
template <typename T>
constexpr int64_t kWidth = Vec<T>::size();
template <typename T>
constexpr int kParts = sizeof(Acc<T>) / sizeof(T);
template <typename T>
struct Pack {
  Vec<Acc<T>> part[kParts<T>];
};

// The first `count` elements at p, and zeros. Vectorized's own loadu(p, count) leaves the rest of a
// vector of halves undefined with AVX2 in some releases of PyTorch, 2.5 among them.
template <typename T>
inline Vec<T> load_some(const T* p, int64_t count) {
  const auto v = Vec<T>::loadu(p, count);
  if constexpr (kParts<T> == 1) {
    return v;
  } else {
    uint16_t keep[kWidth<T>];
    for (int64_t i = 0; i < kWidth<T>; ++i) keep[i] = i < count ? 0xffff : 0;
    return v & Vec<T>::loadu(keep);
  }
}

template <typename T>
inline Pack<T> load(const T* p, int64_t count) {
  const auto v = count == kWidth<T> ? Vec<T>::loadu(p) : load_some(p, count);
  if constexpr (kParts<T> == 1) {
    return {{v}};
  } else {
    const auto halves = at::vec::convert_to_float<T>(v);
    return {{std::get<0>(halves), std::get<1>(halves)}};
  }
}

template <typename T>
inline Vec<T> narrow(const Pack<T>& pack) {
  if constexpr (kParts<T> == 1) {
    return pack.part[0];
#ifdef MMDET_FRN_BF16_INSTRUCTIONS
  } else if constexpr (std::is_same_v<T, at::BFloat16>) {
    return Vec<T>(reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(pack.part[1], pack.part[0])));
#endif
  } else {
    return at::vec::convert_from_float<T>(pack.part[0], pack.part[1]);
  }
}

// Streaming goes past the caches: an ordinary store first reads the line that it overwrites.
// It needs p aligned to a vector, and a fence before another thread reads.
template <bool kStream, typename T>
inline void store(T* p, const Pack<T>& pack, int64_t count) {
  const auto v = narrow(pack);
#if defined(CPU_CAPABILITY_AVX512) || defined(CPU_CAPABILITY_AVX2)
  if constexpr (kStream) {
    if (count == kWidth<T>) {
#ifdef CPU_CAPABILITY_AVX512
      __m512i bits;
      std::memcpy(&bits, &v, sizeof(bits));
      _mm512_stream_si512(reinterpret_cast<__m512i*>(p), bits);
#else
      __m256i bits;
      std::memcpy(&bits, &v, sizeof(bits));
      _mm256_stream_si256(reinterpret_cast<__m256i*>(p), bits);
#endif
      return;
    }
  }
#endif
  v.store(p, count);
}

inline void fence() {
#if defined(CPU_CAPABILITY_AVX512) || defined(CPU_CAPABILITY_AVX2)
  _mm_sfence();
#endif
}

template <typename T>
inline Pack<T> zeros() {
  Pack<T> pack;
  for (auto& v : pack.part) v = Vec<Acc<T>>(Acc<T>(0));
  return pack;
}

template <typename T>
inline Acc<T> total(const Pack<T>* packs, int count) {
  auto v = Vec<Acc<T>>(Acc<T>(0));
  for (int i = 0; i < count; ++i) {
    for (const auto& part : packs[i].part) v = v + part;
  }
  return at::vec::vec_reduce_all<Acc<T>>([](auto& a, auto& b) { return a + b; }, v);
}

// The coefficients of one Pack of elements: the same number in every lane, or one per channel.
template <typename T>
struct Coeffs {
  Pack<T> scale, shift, tau, tau_is_nan, slope;

  explicit Coeffs(const RowCoeffs<Acc<T>>& c) {
    for (int k = 0; k < kParts<T>; ++k) {
      set(k, Vec<Acc<T>>(c.scale), Vec<Acc<T>>(c.shift), Vec<Acc<T>>(c.tau), Vec<Acc<T>>(c.slope));
    }
  }

  Coeffs(const ColumnCoeffs<Acc<T>>& c, int64_t column) {
    for (int k = 0; k < kParts<T>; ++k) {
      const auto at = column + k * Vec<Acc<T>>::size();
      set(k, Vec<Acc<T>>::loadu(c.scale + at), Vec<Acc<T>>::loadu(c.shift + at),
          Vec<Acc<T>>::loadu(c.tau + at), Vec<Acc<T>>::loadu(c.slope + at));
    }
  }

 private:
  void set(int k, Vec<Acc<T>> a, Vec<Acc<T>> b, Vec<Acc<T>> t, Vec<Acc<T>> s) {
    scale.part[k] = a;
    shift.part[k] = b;
    tau.part[k] = t;
    tau_is_nan.part[k] = t != t;
    slope.part[k] = s;
  }
};

template <typename T>
inline void add_squares(Pack<T>& sum, const T* x, int64_t count) {
  const auto v = load(x, count);
  for (int k = 0; k < kParts<T>; ++k) {
    sum.part[k] = at::vec::fmadd(v.part[k], v.part[k], sum.part[k]);
  }
}

// y for the input v, and as a mask where tau replaces it. Forward and backward both call this: the
// mask of backward is that of forward to the bit.
template <typename T>
inline void activate(const Pack<T>& v, const T* residual, int64_t count, const Coeffs<T>& c,
                     Pack<T>& y, Pack<T>& dropped) {
  for (int k = 0; k < kParts<T>; ++k) {
    y.part[k] = at::vec::fmadd(v.part[k], c.scale.part[k], c.shift.part[k]);
  }
  if (residual != nullptr) {
    const auto r = load(residual, count);
    for (int k = 0; k < kParts<T>; ++k) y.part[k] = y.part[k] + r.part[k];
  }
  for (int k = 0; k < kParts<T>; ++k) {
    dropped.part[k] = (y.part[k] < c.tau.part[k]) | c.tau_is_nan.part[k];
  }
}

template <bool kStream, typename T>
inline void apply_pack(const T* x, const T* residual, T* z, int64_t count, const Coeffs<T>& c) {
  const auto v = load(x, count);
  Pack<T> y, dropped;
  activate(v, residual, count, c, y, dropped);
  for (int k = 0; k < kParts<T>; ++k) {
    y.part[k] = Vec<Acc<T>>::blendv(y.part[k], c.tau.part[k], dropped.part[k]);
  }
  store<kStream>(z, y, count);
}

template <typename T>
inline void add_grad_sums(Pack<T>* sums, const T* dz, const T* x, const T* residual, int64_t count,
                          const Coeffs<T>& c) {
  const auto v = load(x, count);
  Pack<T> y, dropped;
  activate(v, residual, count, c, y, dropped);
  const auto d = load(dz, count);
  const auto zero = Vec<Acc<T>>(Acc<T>(0));
  for (int k = 0; k < kParts<T>; ++k) {
    const auto g = Vec<Acc<T>>::blendv(d.part[k], zero, dropped.part[k]);
    sums[kSumG].part[k] = sums[kSumG].part[k] + g;
    sums[kSumGx].part[k] = at::vec::fmadd(g, v.part[k], sums[kSumGx].part[k]);
    sums[kSumDropped].part[k] =
        sums[kSumDropped].part[k] + Vec<Acc<T>>::blendv(zero, d.part[k], dropped.part[k]);
  }
}

template <bool kStream, typename T>
inline void grad_pack(const T* dz, const T* x, const T* residual, T* dx, T* dresidual,
                      int64_t count, const Coeffs<T>& c) {
  const auto v = load(x, count);
  Pack<T> y, dropped;
  activate(v, residual, count, c, y, dropped);
  auto g = load(dz, count);
  for (int k = 0; k < kParts<T>; ++k) {
    g.part[k] = Vec<Acc<T>>::blendv(g.part[k], Vec<Acc<T>>(Acc<T>(0)), dropped.part[k]);
  }
  if (dresidual != nullptr) store<kStream>(dresidual, g, count);
  if (dx == nullptr) return;
  for (int k = 0; k < kParts<T>; ++k) {
    g.part[k] = at::vec::fmadd(v.part[k], c.slope.part[k].neg(), c.scale.part[k] * g.part[k]);
  }
  store<kStream>(dx, g, count);
}

}  // namespace
}  // namespace mmdet_frn::MMDET_FRN_ISA
