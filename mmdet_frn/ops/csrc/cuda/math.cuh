// Arithmetic of the kernels: dtypes, 16-byte packs and the threshold.
//
// A kernel never touches a half value as such: 16 bytes are held as four 32-bit
// words, widened to the accumulation type (fp32; fp64 for fp64 data) where they
// are used, and rounded to nearest even once, on the way out. That also keeps
// sm_75, which has no bf16 arithmetic, in the game.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace mmdet_frn {

template <typename T>
struct AccType {
  using type = float;
};
template <>
struct AccType<double> {
  using type = double;
};
template <typename T>
using acc_t = typename AccType<T>::type;

// Bits of one element, for element-wise access at the ends of a row.
template <int kBytes>
struct BitsType;
template <>
struct BitsType<2> {
  using type = uint16_t;
};
template <>
struct BitsType<4> {
  using type = uint32_t;
};
template <>
struct BitsType<8> {
  using type = uint2;
};
template <typename T>
using bits_t = typename BitsType<sizeof(T)>::type;

// The intrinsics are spelled out so that forward and backward round alike
// whatever the compiler would contract: the mask of the backward must be the
// one the forward applied.
__device__ __forceinline__ float fma_rn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ double fma_rn(double a, double b, double c) { return __fma_rn(a, b, c); }
__device__ __forceinline__ float mul_rn(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double mul_rn(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ float add_rn(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ double add_rn(double a, double b) { return __dadd_rn(a, b); }
__device__ __forceinline__ float rsqrt_acc(float a) { return rsqrtf(a); }
__device__ __forceinline__ double rsqrt_acc(double a) { return rsqrt(a); }
// Within two units in the last place; 0 from 2^126 on.
__device__ __forceinline__ float inverse_acc(float a) { return __fdividef(1.0f, a); }
__device__ __forceinline__ double inverse_acc(double a) { return 1.0 / a; }
__device__ __forceinline__ float exp_acc(float a) { return expf(a); }
__device__ __forceinline__ double exp_acc(double a) { return exp(a); }
__device__ __forceinline__ float tanh_acc(float a) { return tanhf(a); }
__device__ __forceinline__ double tanh_acc(double a) { return tanh(a); }

// Eq. (3): true where the threshold wins; a tie goes to y, a NaN in either goes
// through.
template <typename A>
__device__ __forceinline__ bool tau_wins(A y, A tau) {
  return y < tau || tau != tau;
}

// Sixteen bytes of a row.
struct alignas(16) Vec {
  uint32_t w[4];
};

template <typename T>
struct Packed {
  static constexpr int kSize = 16 / static_cast<int>(sizeof(T));
};

__device__ __forceinline__ void unpack(const Vec& v, float (&out)[4], float) {
#pragma unroll
  for (int i = 0; i < 4; ++i) out[i] = __uint_as_float(v.w[i]);
}

__device__ __forceinline__ void unpack(const Vec& v, double (&out)[2], double) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    out[i] = __hiloint2double(static_cast<int>(v.w[2 * i + 1]), static_cast<int>(v.w[2 * i]));
  }
}

__device__ __forceinline__ void unpack(const Vec& v, float (&out)[8], __half) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const auto bits = static_cast<unsigned short>(i & 1 ? v.w[i / 2] >> 16 : v.w[i / 2] & 0xffffu);
    out[i] = __half2float(__ushort_as_half(bits));
  }
}

__device__ __forceinline__ void unpack(const Vec& v, float (&out)[8], __nv_bfloat16) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    out[i] = __uint_as_float(i & 1 ? v.w[i / 2] & 0xffff0000u : v.w[i / 2] << 16);
  }
}

__device__ __forceinline__ void pack(const float (&in)[4], Vec& v, float) {
#pragma unroll
  for (int i = 0; i < 4; ++i) v.w[i] = __float_as_uint(in[i]);
}

__device__ __forceinline__ void pack(const double (&in)[2], Vec& v, double) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    v.w[2 * i] = static_cast<uint32_t>(__double2loint(in[i]));
    v.w[2 * i + 1] = static_cast<uint32_t>(__double2hiint(in[i]));
  }
}

__device__ __forceinline__ void pack(const float (&in)[8], Vec& v, __half) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __half2 pair = __floats2half2_rn(in[2 * i], in[2 * i + 1]);
    v.w[i] = *reinterpret_cast<const uint32_t*>(&pair);
  }
}

__device__ __forceinline__ void pack(const float (&in)[8], Vec& v, __nv_bfloat16) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(in[2 * i], in[2 * i + 1]);
    v.w[i] = *reinterpret_cast<const uint32_t*>(&pair);
  }
}

template <typename T>
__device__ __forceinline__ void unpack_vec(const Vec& v, acc_t<T> (&out)[Packed<T>::kSize]) {
  unpack(v, out, T());
}

template <typename T>
__device__ __forceinline__ void pack_vec(const acc_t<T> (&in)[Packed<T>::kSize], Vec& v) {
  pack(in, v, T());
}

// Element i of a pack as bits, and a pack with element i set; i is known at
// compile time.
__device__ __forceinline__ void put_bits(Vec& v, int i, uint16_t b) {
  v.w[i / 2] |= static_cast<uint32_t>(b) << (16 * (i & 1));
}
__device__ __forceinline__ void put_bits(Vec& v, int i, uint32_t b) { v.w[i] = b; }
__device__ __forceinline__ void put_bits(Vec& v, int i, uint2 b) {
  v.w[2 * i] = b.x;
  v.w[2 * i + 1] = b.y;
}
__device__ __forceinline__ void get_bits(const Vec& v, int i, uint16_t& b) {
  b = static_cast<uint16_t>(v.w[i / 2] >> (16 * (i & 1)));
}
__device__ __forceinline__ void get_bits(const Vec& v, int i, uint32_t& b) { b = v.w[i]; }
__device__ __forceinline__ void get_bits(const Vec& v, int i, uint2& b) {
  b = make_uint2(v.w[2 * i], v.w[2 * i + 1]);
}

}  // namespace mmdet_frn
