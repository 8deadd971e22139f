// The vector loops of FRN on the CPU, as a table of functions over raw pointers: compiled once per
// instruction set (default.cpp, avx2.cpp, avx512*.cpp), chosen at run time.
#pragma once

#include <cstdint>
#include <type_traits>

namespace mmdet_frn {

// Statistics and partial sums: fp64 for fp64, fp32 for everything else.
template <typename T>
using Acc = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Coefficient arrays and sums of the column loops are padded to a multiple of this many elements.
constexpr int64_t kColumnPad = 64;

// y = x * scale + shift [+ residual], z = y < tau || isnan(tau) ? tau : y, dx = scale * g - slope *
// x. Row loops take one number of each; column loops one per channel. No threshold: tau = -inf.
template <typename A>
struct RowCoeffs {
  A scale, shift, tau, slope;
};
template <typename A>
struct ColumnCoeffs {
  const A *scale, *shift, *tau, *slope;
};

// What backward adds up, for g = dz where y passes the threshold and 0 elsewhere.
constexpr int kSumG = 0;        // g
constexpr int kSumGx = 1;       // g * x
constexpr int kSumDropped = 2;  // dz - g
constexpr int kSums = 3;

// A null residual is none; a null dx or dresidual is not written. `stream` writes past the caches,
// where the outputs are aligned for it.
template <typename T>
struct Primitives {
  using A = Acc<T>;
  // Rows: `len` adjacent elements of one (n, c).
  A (*sum_squares)(const T* x, int64_t len);
  void (*apply)(const T* x, const T* residual, T* z, int64_t len, const RowCoeffs<A>& coeffs,
                bool stream);
  void (*grad_sums)(const T* dz, const T* x, const T* residual, int64_t len,
                    const RowCoeffs<A>& coeffs, A* sums);
  void (*grad)(const T* dz, const T* x, const T* residual, T* dx, T* dresidual, int64_t len,
               const RowCoeffs<A>& coeffs, bool stream);
  // Columns: `rows` positions of `cols` adjacent channels, each position `cols` after the last one;
  // sums[i * stride + c] is sum i of channel c.
  void (*sum_squares_columns)(const T* x, int64_t rows, int64_t cols, A* sums);
  void (*apply_columns)(const T* x, const T* residual, T* z, int64_t rows, int64_t cols,
                        const ColumnCoeffs<A>& coeffs, bool stream);
  void (*grad_sums_columns)(const T* dz, const T* x, const T* residual, int64_t rows, int64_t cols,
                            const ColumnCoeffs<A>& coeffs, A* sums, int64_t stride);
  void (*grad_columns)(const T* dz, const T* x, const T* residual, T* dx, T* dresidual,
                       int64_t rows, int64_t cols, const ColumnCoeffs<A>& coeffs, bool stream);
};

// The table for this processor; ATEN_CPU_CAPABILITY limits it as it does ATen's own kernels.
template <typename T>
const Primitives<T>& primitives();

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define MMDET_FRN_X86_DISPATCH  // GCC's target pragma selects the instruction set of one source
                                // file
namespace avx2 {
template <typename T>
const Primitives<T>& table();
}
namespace avx512 {
template <typename T>
const Primitives<T>& table();
}
namespace avx512bf16 {
template <typename T>
const Primitives<T>& table();
}
#endif

}  // namespace mmdet_frn
