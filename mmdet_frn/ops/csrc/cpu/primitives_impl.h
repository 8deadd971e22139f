// The loops behind Primitives. MMDET_FRN_ISA names the namespace; include this only from the one
// source file of an instruction set. Nothing here may use the heap or threads: code shared with
// other files could then be emitted with instructions the processor lacks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "pack.h"
#include "primitives.h"

// Inlines all that a loop calls: one call left in it would put every vector through memory.
#if defined(__GNUC__)
#define MMDET_FRN_FLATTEN __attribute__((flatten))
#else
#define MMDET_FRN_FLATTEN
#endif

namespace mmdet_frn::MMDET_FRN_ISA {
namespace {

// Calls f(offset, count) for each vector of a row; count is a constant except at the end.
template <typename T, typename F>
inline void for_each_pack(int64_t begin, int64_t len, F f) {
  int64_t i = begin;
  for (; i + kWidth<T> <= len; i += kWidth<T>) f(i, kWidth<T>);
  if (i < len) f(i, len - i);
}

// Calls f with std::true_type where an output may be streamed to: every vector of it is aligned if
// its start is, and `pitch` elements further down the start of the next row. Null is no output.
template <typename T, typename F>
inline void with_stream(bool stream, int64_t pitch, const T* out, const T* other, F f) {
  constexpr uintptr_t kBytes = sizeof(Vec<T>);
  const auto bits = reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(other) |
                    static_cast<uintptr_t>(pitch) * sizeof(T);
  if (stream && bits % kBytes == 0) {
    f(std::true_type());
    fence();
  } else {
    f(std::false_type());
  }
}

template <typename T>
MMDET_FRN_FLATTEN Acc<T> sum_squares(const T* x, int64_t len) {
  constexpr int kChains = 4;  // additions in flight: one chain would wait for its own latency
  Pack<T> sums[kChains];
  for (auto& sum : sums) sum = zeros<T>();
  int64_t i = 0;
  for (; i + kChains * kWidth<T> <= len; i += kChains * kWidth<T>) {
    for (int j = 0; j < kChains; ++j) add_squares(sums[j], x + i + j * kWidth<T>, kWidth<T>);
  }
  for_each_pack<T>(i, len, [&](int64_t at, int64_t n) { add_squares(sums[0], x + at, n); });
  return total(sums, kChains);
}

template <typename T>
MMDET_FRN_FLATTEN void apply(const T* x, const T* residual, T* z, int64_t len,
                             const RowCoeffs<Acc<T>>& coeffs, bool stream) {
  const Coeffs<T> c(coeffs);
  with_stream<T>(stream, 0, z, nullptr, [&](auto streamed) {
    for_each_pack<T>(0, len, [&](int64_t at, int64_t n) {
      apply_pack<streamed.value>(x + at, residual ? residual + at : nullptr, z + at, n, c);
    });
  });
}

template <typename T>
MMDET_FRN_FLATTEN void grad_sums(const T* dz, const T* x, const T* residual, int64_t len,
                                 const RowCoeffs<Acc<T>>& coeffs, Acc<T>* out) {
  const Coeffs<T> c(coeffs);
  constexpr int kChains = 2;
  Pack<T> sums[kChains][kSums];
  for (auto& chain : sums) {
    for (auto& sum : chain) sum = zeros<T>();
  }
  const auto add = [&](int chain, int64_t at, int64_t n) {
    add_grad_sums(sums[chain], dz + at, x + at, residual ? residual + at : nullptr, n, c);
  };
  int64_t i = 0;
  for (; i + kChains * kWidth<T> <= len; i += kChains * kWidth<T>) {
    for (int j = 0; j < kChains; ++j) add(j, i + j * kWidth<T>, kWidth<T>);
  }
  for_each_pack<T>(i, len, [&](int64_t at, int64_t n) { add(0, at, n); });
  for (int s = 0; s < kSums; ++s) {
    Pack<T> both[kChains] = {sums[0][s], sums[1][s]};
    out[s] = total(both, kChains);
  }
}

template <typename T>
MMDET_FRN_FLATTEN void grad(const T* dz, const T* x, const T* residual, T* dx, T* dresidual,
                            int64_t len, const RowCoeffs<Acc<T>>& coeffs, bool stream) {
  const Coeffs<T> c(coeffs);
  with_stream<T>(stream, 0, dx, dresidual, [&](auto streamed) {
    for_each_pack<T>(0, len, [&](int64_t at, int64_t n) {
      grad_pack<streamed.value>(dz + at, x + at, residual ? residual + at : nullptr,
                                dx ? dx + at : nullptr, dresidual ? dresidual + at : nullptr, n, c);
    });
  });
}

// Calls f(row, count of rows, column, count of columns) for tiles of one vector of channels, row by
// row of tiles. Within a page memory is read strictly in order: the prefetcher loses track of rows
// that share one, and half the bandwidth with them. Rows of a page and more are taken four at a
// time, so that coefficients and sums, which then do not fit the L1 cache, serve four.
template <typename T, typename F>
inline void for_each_tile(int64_t rows, int64_t cols, F f) {
  constexpr int64_t kPageBytes = 4096;
  const int64_t tile_rows = cols * static_cast<int64_t>(sizeof(T)) < kPageBytes ? 1 : 4;
  for (int64_t row = 0; row < rows; row += tile_rows) {
    const auto count = std::min(tile_rows, rows - row);
    for_each_pack<T>(0, cols, [&](int64_t column, int64_t n) { f(row, count, column, n); });
  }
}

// Adds to sums in memory, one number per channel (padded, so that whole vectors fit).
template <typename T>
inline void add_to(Acc<T>* out, const Pack<T>& sum) {
  for (int k = 0; k < kParts<T>; ++k) {
    auto* at = out + k * Vec<Acc<T>>::size();
    (Vec<Acc<T>>::loadu(at) + sum.part[k]).store(at);
  }
}

template <typename T>
inline void clear(Acc<T>* out) {
  for (int k = 0; k < kParts<T>; ++k) {
    Vec<Acc<T>>(Acc<T>(0)).store(out + k * Vec<Acc<T>>::size());
  }
}

template <typename T>
MMDET_FRN_FLATTEN void sum_squares_columns(const T* x, int64_t rows, int64_t cols, Acc<T>* out) {
  for_each_pack<T>(0, cols, [&](int64_t at, int64_t) { clear<T>(out + at); });
  for_each_tile<T>(rows, cols, [&](int64_t row, int64_t count, int64_t column, int64_t n) {
    auto sum = zeros<T>();
    for (int64_t r = row; r < row + count; ++r) add_squares(sum, x + r * cols + column, n);
    add_to<T>(out + column, sum);
  });
}

template <typename T>
MMDET_FRN_FLATTEN void apply_columns(const T* x, const T* residual, T* z, int64_t rows,
                                     int64_t cols, const ColumnCoeffs<Acc<T>>& coeffs,
                                     bool stream) {
  with_stream<T>(stream, cols, z, nullptr, [&](auto streamed) {
    for_each_tile<T>(rows, cols, [&](int64_t row, int64_t count, int64_t column, int64_t n) {
      const Coeffs<T> c(coeffs, column);
      for (int64_t r = row; r < row + count; ++r) {
        const auto at = r * cols + column;
        apply_pack<streamed.value>(x + at, residual ? residual + at : nullptr, z + at, n, c);
      }
    });
  });
}

template <typename T>
MMDET_FRN_FLATTEN void grad_sums_columns(const T* dz, const T* x, const T* residual, int64_t rows,
                                         int64_t cols, const ColumnCoeffs<Acc<T>>& coeffs,
                                         Acc<T>* out, int64_t stride) {
  for (int s = 0; s < kSums; ++s) {
    for_each_pack<T>(0, cols, [&](int64_t at, int64_t) { clear<T>(out + s * stride + at); });
  }
  for_each_tile<T>(rows, cols, [&](int64_t row, int64_t count, int64_t column, int64_t n) {
    const Coeffs<T> c(coeffs, column);
    Pack<T> sums[kSums];
    for (auto& sum : sums) sum = zeros<T>();
    for (int64_t r = row; r < row + count; ++r) {
      const auto at = r * cols + column;
      add_grad_sums(sums, dz + at, x + at, residual ? residual + at : nullptr, n, c);
    }
    for (int s = 0; s < kSums; ++s) add_to<T>(out + s * stride + column, sums[s]);
  });
}

template <typename T>
MMDET_FRN_FLATTEN void grad_columns(const T* dz, const T* x, const T* residual, T* dx, T* dresidual,
                                    int64_t rows, int64_t cols, const ColumnCoeffs<Acc<T>>& coeffs,
                                    bool stream) {
  with_stream<T>(stream, cols, dx, dresidual, [&](auto streamed) {
    for_each_tile<T>(rows, cols, [&](int64_t row, int64_t count, int64_t column, int64_t n) {
      const Coeffs<T> c(coeffs, column);
      for (int64_t r = row; r < row + count; ++r) {
        const auto at = r * cols + column;
        grad_pack<streamed.value>(dz + at, x + at, residual ? residual + at : nullptr,
                                  dx ? dx + at : nullptr, dresidual ? dresidual + at : nullptr, n,
                                  c);
      }
    });
  });
}

}  // namespace

template <typename T>
const Primitives<T>& table() {
  static constexpr Primitives<T> kTable = {
      sum_squares<T>,         apply<T>,         grad_sums<T>,         grad<T>,
      sum_squares_columns<T>, apply_columns<T>, grad_sums_columns<T>, grad_columns<T>,
  };
  return kTable;
}

template const Primitives<double>& table();
template const Primitives<float>& table();
template const Primitives<at::Half>& table();
template const Primitives<at::BFloat16>& table();

}  // namespace mmdet_frn::MMDET_FRN_ISA
