// What the kernels and launchers use of CUDA, for a C++ compiler: language, intrinsics, runtime.
// The files of machine/ run the threads and check what they do.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __device__
#define __global__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))

// The calling thread's coordinates: machine/fibers.cpp sets them whenever it switches threads.
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

struct cudaLaunchConfig_t;

namespace emulation {

enum class Exchange { kIndex, kXor };

// Meets the warp's other lanes of `mask` and returns the value of one of them.
uint64_t exchange(Exchange kind, unsigned mask, uint64_t value, int argument, int width);
void barrier();
void cluster_arrive(bool release);
void cluster_wait();
int cluster_size();
int cluster_rank();
void* peer_address(void* shared, int rank);
void* shared_memory(const void* variable, size_t bytes);
void check_aligned(const void* address, size_t alignment);
// Stand where the sources have __launch_bounds__ and the prefetch instruction;
// build_library.py puts them there.
void check_bounds(int max_threads, int min_blocks = 1);
void prefetch(const void* address);
int launch(const cudaLaunchConfig_t& config, const void* kernel, void (*run)(void*),
           void* arguments);

// One array in shared memory per variable of the sources and instantiation of its function.
template <typename T, int kVariable>
T& shared() {
  static const char variable = 0;
  return *static_cast<T*>(shared_memory(&variable, sizeof(T)));
}

template <typename T>
T exchange_value(Exchange kind, unsigned mask, T value, int argument, int width) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = exchange(kind, mask, bits, argument, width);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <typename To, typename From>
To bits_of(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

}  // namespace emulation

struct alignas(8) uint2 {
  unsigned x, y;
  uint2() = default;
  uint2(unsigned x, unsigned y) : x(x), y(y) {}
  uint2(const uint2& o) : x(o.x), y(o.y) { emulation::check_aligned(&o, 8); }
  uint2& operator=(const uint2& o) {
    emulation::check_aligned(this, 8);
    x = o.x, y = o.y;
    return *this;
  }
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
  uint4() = default;
  uint4(unsigned x, unsigned y, unsigned z, unsigned w) : x(x), y(y), z(z), w(w) {}
  uint4(const uint4& o) : x(o.x), y(o.y), z(o.z), w(o.w) { emulation::check_aligned(&o, 16); }
  uint4& operator=(const uint4& o) {
    emulation::check_aligned(this, 16);
    x = o.x, y = o.y, z = o.z, w = o.w;
    return *this;
  }
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline void __syncthreads() { emulation::barrier(); }
template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  return emulation::exchange_value(emulation::Exchange::kIndex, mask, value, lane, width);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  return emulation::exchange_value(emulation::Exchange::kXor, mask, value, lanes, width);
}
template <typename T>
T __ldg(const T* p) {
  return *p;
}

// -ffp-contract=off keeps the compiler from fusing what is spelled apart.
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float a) { return static_cast<float>(1 / std::sqrt(static_cast<double>(a))); }
inline double rsqrt(double a) { return 1 / std::sqrt(a); }
inline float __uint_as_float(unsigned v) { return emulation::bits_of<float>(v); }
inline unsigned __float_as_uint(float v) { return emulation::bits_of<unsigned>(v); }
inline int __double2loint(double v) { return static_cast<int>(emulation::bits_of<uint64_t>(v)); }
inline int __double2hiint(double v) {
  return static_cast<int>(emulation::bits_of<uint64_t>(v) >> 32);
}
inline double __hiloint2double(int high, int low) {
  const auto bits = static_cast<uint64_t>(static_cast<unsigned>(high)) << 32;
  return emulation::bits_of<double>(bits | static_cast<unsigned>(low));
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) >> (shift % 32));
}

// Halves: bits only, converted by value and rounded to nearest even.
struct __half {
  uint16_t bits;
};
struct alignas(4) __half2 {
  __half x, y;
};
struct __nv_bfloat16 {
  uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
inline __half __ushort_as_half(uint16_t bits) { return {bits}; }
inline float __half2float(__half h) {
  const int exponent = h.bits >> 10 & 31, mantissa = h.bits & 1023;
  float value = std::ldexp(static_cast<float>(exponent ? mantissa + 1024 : mantissa),
                           (exponent ? exponent : 1) - 25);
  if (exponent == 31) value = mantissa ? NAN : INFINITY;
  return h.bits & 0x8000 ? -value : value;
}
inline __half __float2half_rn(float value) {
  if (std::isnan(value)) return {0x7fff};
  const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const float size = std::fabs(value);
  if (size >= 65520) return {static_cast<uint16_t>(sign | 0x7c00)};
  const int exponent = size < 0x1p-14f ? -14 : std::ilogb(size);
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  // A mantissa rounded up to the next power of two carries into the exponent.
  return {static_cast<uint16_t>(sign | ((exponent + 14) * 1024 + steps))};
}
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  if (std::isnan(value)) return {0x7fff};
  const unsigned bits = __float_as_uint(value);
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
inline __half2 __floats2half2_rn(float a, float b) {
  return {__float2half_rn(a), __float2half_rn(b)};
}
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) {
  return {__float2bfloat16_rn(a), __float2bfloat16_rn(b)};
}

namespace cooperative_groups {
struct cluster_group {
  static unsigned num_blocks() { return emulation::cluster_size(); }
  static unsigned block_rank() { return emulation::cluster_rank(); }
  static void barrier_arrive() { emulation::cluster_arrive(true); }
  static void barrier_wait() { emulation::cluster_wait(); }
  static void sync() { barrier_arrive(), barrier_wait(); }
  template <typename T>
  static T* map_shared_rank(T* shared, int rank) {
    return static_cast<T*>(emulation::peer_address(shared, rank));
  }
};
inline cluster_group this_cluster() { return {}; }
}  // namespace cooperative_groups
inline void __cluster_barrier_arrive_relaxed() { emulation::cluster_arrive(false); }
inline void __cluster_barrier_wait() { emulation::cluster_wait(); }

enum cudaError_t { cudaSuccess, cudaErrorInvalidConfiguration };
using cudaStream_t = void*;
enum { cudaLaunchAttributeClusterDimension };
struct cudaLaunchAttribute {
  int id;
  struct {
    uint3 clusterDim;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};
enum cudaFuncAttribute { cudaFuncAttributeNonPortableClusterSizeAllowed };
struct cudaFuncAttributes {
  int ptxVersion;
};
struct cudaDeviceProp {
  int multiProcessorCount, l2CacheSize, major, minor;
};
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaOccupancyMaxPotentialClusterSize(int* size, const void* kernel,
                                                 const cudaLaunchConfig_t* config);

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  auto run = [&] { kernel(arguments...); };
  const auto invoke = [](void* self) { (*static_cast<decltype(run)*>(self))(); };
  return static_cast<cudaError_t>(
      emulation::launch(*config, reinterpret_cast<const void*>(kernel), invoke, &run));
}
