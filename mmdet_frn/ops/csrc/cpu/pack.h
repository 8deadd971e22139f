// One vector of elements in memory, on ATen's Vectorized, and in the
// accumulation type.
#pragma once

#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>

#include <cstring>
#include <tuple>
#include <type_traits>

#include "loops.h"

namespace mmdet_frn::MMDET_FRN_ISA {
namespace {

template <typename T>
using Vec = at::vec::Vectorized<T>;

// A Pack is one vector of T widened to the accumulation type: two vectors for
// the half types.
template <typename T>
constexpr int64_t kWidth = Vec<T>::size();
template <typename T>
constexpr int kParts = sizeof(Acc<T>) / sizeof(T);
template <typename T>
struct Pack {
  Vec<Acc<T>> part[kParts<T>];
};

// The first `count` elements at p, and zeros. Vectorized's own loadu(p, count)
// leaves the rest of a vector of halves undefined with AVX2 in some releases of
// PyTorch, 2.5 among them.
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

// Streaming goes past the caches: an ordinary store first reads the line that
// it overwrites. It needs p aligned to a vector, and a fence before another
// thread reads.
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

}  // namespace
}  // namespace mmdet_frn::MMDET_FRN_ISA
