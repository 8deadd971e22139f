// The vector loops on the CPU, as a table of functions over raw pointers:
// compiled for each norm and once per instruction set (default.cpp, avx2.cpp,
// avx512*.cpp), chosen at run time.
#pragma once

#include <cstdint>
#include <type_traits>

#include "pointwise_policy.h"

namespace mmdet_frn {

// Statistics and partial sums: fp64 for fp64, fp32 for everything else.
template <typename T>
using Acc = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Coefficient arrays and sums of the column loops are padded to a multiple of
// this many elements.
constexpr int64_t kColumnPad = 64;

// How many sums there are, how many coefficients and what they mean is the
// norm's to say (see frn_policy.h). A null residual is none; a null dx or
// dresidual is not written. `stream` writes past the caches, where the outputs
// are aligned for it.
template <typename T>
struct Loops {
  using A = Acc<T>;
  // Rows: `len` adjacent elements of one (n, c), for stats of one segment;
  // coeffs and sums are one number of each kind.
  void (*stats)(const T* x, int64_t len, A* sums);
  void (*apply)(const T* x, const T* residual, T* z, int64_t len, const A* coeffs, bool stream);
  void (*grad_sums)(const T* dz, const T* x, const T* residual, int64_t len, const A* coeffs,
                    A* sums);
  void (*grad)(const T* dz, const T* x, const T* residual, T* dx, T* dresidual, int64_t len,
               const A* coeffs, bool stream);
  // Columns: `rows` positions of `cols` adjacent channels, each position `cols`
  // after the last one; coeffs and sums of kind i and channel c are at [i *
  // stride + c].
  void (*stats_columns)(const T* x, int64_t rows, int64_t cols, A* sums, int64_t stride);
  void (*apply_columns)(const T* x, const T* residual, T* z, int64_t rows, int64_t cols,
                        const A* coeffs, int64_t stride, bool stream);
  void (*grad_sums_columns)(const T* dz, const T* x, const T* residual, int64_t rows, int64_t cols,
                            const A* coeffs, A* sums, int64_t stride);
  void (*grad_columns)(const T* dz, const T* x, const T* residual, T* dx, T* dresidual,
                       int64_t rows, int64_t cols, const A* coeffs, int64_t stride, bool stream);
};

// Of a function of an element, with parameters per channel (pointwise_policy.h):
// sums are those of the gradients of its parameters.
template <typename T>
struct PointwiseLoops {
  using A = Acc<T>;
  void (*apply)(const T* x, const T* residual, T* z, int64_t len, const A* coeffs, bool stream);
  void (*grad)(const T* dz, const T* x, T* dx, int64_t len, const A* coeffs, A* sums, bool stream);
  void (*apply_columns)(const T* x, const T* residual, T* z, int64_t rows, int64_t cols,
                        const A* coeffs, int64_t stride, bool stream);
  void (*grad_columns)(const T* dz, const T* x, T* dx, int64_t rows, int64_t cols, const A* coeffs,
                       A* sums, int64_t stride, bool stream);
};

template <class Policy, typename T>
using LoopsOf =
    std::conditional_t<std::is_base_of_v<Pointwise, Policy>, PointwiseLoops<T>, Loops<T>>;

// The table for this processor; ATEN_CPU_CAPABILITY limits it as it does ATen's
// own kernels.
template <class Policy, typename T>
const LoopsOf<Policy, T>& loops();

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define MMDET_FRN_X86_DISPATCH  // GCC's target pragma selects the instruction
                                // set of one source file
namespace avx2 {
template <class Policy, typename T>
const LoopsOf<Policy, T>& table();
}
namespace avx512 {
template <class Policy, typename T>
const LoopsOf<Policy, T>& table();
}
namespace avx512bf16 {
template <class Policy, typename T>
const LoopsOf<Policy, T>& table();
}
#endif

// All norms and functions that have kernels, by their policies.
#define MMDET_FRN_FOR_EACH_POLICY(DO) \
  DO(Frn)                             \
  DO(Group<false>)                    \
  DO(Group<true>) DO(EvoNorm<false>) DO(EvoNorm<true>) DO(Tlu) DO(AffineTlu) DO(Dyt)

}  // namespace mmdet_frn
