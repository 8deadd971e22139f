// The loops behind Loops. MMDET_FRN_ISA names the namespace; include this only
// from the one source file of an instruction set. Nothing here may use the heap
// or threads: code shared with other files could then be emitted with
// instructions the processor lacks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "evonorm_policy.h"
#include "exp.h"
#include "frn_policy.h"
#include "group_policy.h"
#include "loops.h"
#include "pack.h"

// Inlines all that a loop calls: one call left in it would put every vector
// through memory.
#if defined(__GNUC__)
#define MMDET_FRN_FLATTEN __attribute__((flatten))
#else
#define MMDET_FRN_FLATTEN
#endif

namespace mmdet_frn::MMDET_FRN_ISA {
namespace {

// The sums of one Pack of elements, for each part of it.
template <typename T, int kCount>
struct Sums {
  Vec<Acc<T>> part[kParts<T>][kCount];

  Sums() {
    for (auto& sums : part) {
      for (auto& sum : sums) sum = Vec<Acc<T>>(Acc<T>(0));
    }
  }
};

// The coefficients of one Pack of elements: the same number in every lane, or
// one per channel.
template <class Norm, typename T>
struct PackCoeffs {
  using V = Vec<Acc<T>>;
  typename Norm::template Coeffs<V> part[kParts<T>];

  explicit PackCoeffs(const Acc<T>* coeffs) {
    fill([&](int i, int64_t) { return V(coeffs[i]); });
  }

  PackCoeffs(const Acc<T>* coeffs, int64_t stride, int64_t column) {
    fill([&](int i, int64_t lane) { return V::loadu(coeffs + i * stride + column + lane); });
  }

 private:
  template <typename F>
  void fill(F get) {
    for (int k = 0; k < kParts<T>; ++k) {
      V v[Norm::kCoeffs];
      for (int i = 0; i < Norm::kCoeffs; ++i) v[i] = get(i, k * V::size());
      part[k] = typename Norm::template Coeffs<V>(v);
    }
  }
};

// A Pack of the residual; without one anything, which is not read.
template <typename T>
inline Pack<T> load_residual(const T* residual, int64_t count, const Pack<T>& anything) {
  return residual != nullptr ? load(residual, count) : anything;
}

template <class Norm, typename T>
inline void add_stats(Sums<T, Norm::kStats>& sums, const T* x, int64_t count) {
  const auto v = load(x, count);
  for (int k = 0; k < kParts<T>; ++k) Norm::add_stats(sums.part[k], v.part[k]);
}

// The same of x - pivot; beyond `count` that is 0 as well.
template <class Norm, typename T>
inline void add_stats_about(Sums<T, Norm::kStats>& sums, const T* x, int64_t count,
                            const Pack<T>& pivot) {
  using V = Vec<Acc<T>>;
  const auto v = load(x, count);
  for (int k = 0; k < kParts<T>; ++k) {
    auto part = v.part[k];
    if (count < kWidth<T>) {
      const auto here = std::clamp<int64_t>(count - k * V::size(), 0, V::size());
      part = V::set(pivot.part[k], part, here);
    }
    Norm::add_stats(sums.part[k], part - pivot.part[k]);
  }
}

template <class Norm, bool kStream, typename T>
inline void apply_pack(const T* x, const T* residual, T* z, int64_t count,
                       const PackCoeffs<Norm, T>& c) {
  auto v = load(x, count);
  const auto r = load_residual(residual, count, v);
  for (int k = 0; k < kParts<T>; ++k) {
    v.part[k] = Norm::apply(v.part[k], residual != nullptr, r.part[k], c.part[k]);
  }
  store<kStream>(z, v, count);
}

template <class Norm, typename T>
inline void add_grad_sums(Sums<T, Norm::kGradSums>& sums, const T* dz, const T* x,
                          const T* residual, int64_t count, const PackCoeffs<Norm, T>& c) {
  const auto v = load(x, count);
  const auto r = load_residual(residual, count, v);
  const auto d = load(dz, count);
  for (int k = 0; k < kParts<T>; ++k) {
    Norm::add_grad_sums(sums.part[k], d.part[k], v.part[k], residual != nullptr, r.part[k],
                        c.part[k]);
  }
}

template <class Norm, bool kStream, typename T>
inline void grad_pack(const T* dz, const T* x, const T* residual, T* dx, T* dresidual,
                      int64_t count, const PackCoeffs<Norm, T>& c) {
  auto v = load(x, count);
  const auto r = load_residual(residual, count, v);
  auto d = load(dz, count);
  for (int k = 0; k < kParts<T>; ++k) {
    Vec<Acc<T>> g, dv;
    Norm::grad(d.part[k], v.part[k], residual != nullptr, r.part[k], c.part[k], dv, g);
    d.part[k] = g;
    v.part[k] = dv;
  }
  if (dresidual != nullptr) store<kStream>(dresidual, d, count);
  if (dx != nullptr) store<kStream>(dx, v, count);
}

// Calls f(offset, count) for each vector of a row; count is a constant except
// at the end.
template <typename T, typename F>
inline void for_each_pack(int64_t begin, int64_t len, F f) {
  int64_t i = begin;
  for (; i + kWidth<T> <= len; i += kWidth<T>) f(i, kWidth<T>);
  if (i < len) f(i, len - i);
}

// Calls add(chain's sums, offset, count) for each vector of a row; one number
// of each sum in out. kChains additions are in flight: one chain would wait for
// its own latency.
template <typename T, int kCount, int kChains, typename F>
inline void sum_row(int64_t len, Acc<T>* out, F add) {
  Sums<T, kCount> sums[kChains];
  int64_t i = 0;
  for (; i + kChains * kWidth<T> <= len; i += kChains * kWidth<T>) {
    for (int j = 0; j < kChains; ++j) add(sums[j], i + j * kWidth<T>, kWidth<T>);
  }
  for_each_pack<T>(i, len, [&](int64_t at, int64_t n) { add(sums[0], at, n); });
  for (int s = 0; s < kCount; ++s) {
    auto v = Vec<Acc<T>>(Acc<T>(0));
    for (const auto& chain : sums) {
      for (const auto& part : chain.part) v = v + part[s];
    }
    out[s] = at::vec::vec_reduce_all<Acc<T>>([](auto& a, auto& b) { return a + b; }, v);
  }
}

// Calls f with std::true_type where an output may be streamed to: every vector
// of it is aligned if its start is, and `pitch` elements further down the start
// of the next row. Null is no output.
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

// The pivot of `count` numbers is the mean of the first sixteenth: its square
// distance from the mean of all is at most 15 times their variance, which so
// loses four bits at most.
inline int64_t pivot_count(int64_t count) { return (count + 15) / 16; }

template <class Norm, typename T>
MMDET_FRN_FLATTEN void stats(const T* x, int64_t len, Acc<T>* out) {
  if constexpr (Norm::kAboutPivot) {
    const auto first = pivot_count(len);
    sum_row<T, 1, 4>(first, out, [&](auto& sums, int64_t at, int64_t n) {
      const auto v = load(x + at, n);
      for (int k = 0; k < kParts<T>; ++k) sums.part[k][0] = sums.part[k][0] + v.part[k];
    });
    out[Norm::kPivot] = out[0] / static_cast<Acc<T>>(first);
    Pack<T> pivot;
    for (auto& part : pivot.part) part = Vec<Acc<T>>(out[Norm::kPivot]);
    sum_row<T, Norm::kStats, 4>(len, out, [&](auto& sums, int64_t at, int64_t n) {
      add_stats_about<Norm>(sums, x + at, n, pivot);
    });
  } else {
    sum_row<T, Norm::kStats, 4>(
        len, out, [&](auto& sums, int64_t at, int64_t n) { add_stats<Norm>(sums, x + at, n); });
  }
}

template <class Norm, typename T>
MMDET_FRN_FLATTEN void apply(const T* x, const T* residual, T* z, int64_t len, const Acc<T>* coeffs,
                             bool stream) {
  const PackCoeffs<Norm, T> c(coeffs);
  with_stream<T>(stream, 0, z, nullptr, [&](auto streamed) {
    for_each_pack<T>(0, len, [&](int64_t at, int64_t n) {
      apply_pack<Norm, streamed.value>(x + at, residual ? residual + at : nullptr, z + at, n, c);
    });
  });
}

template <class Norm, typename T>
MMDET_FRN_FLATTEN void grad_sums(const T* dz, const T* x, const T* residual, int64_t len,
                                 const Acc<T>* coeffs, Acc<T>* out) {
  const PackCoeffs<Norm, T> c(coeffs);
  sum_row<T, Norm::kGradSums, 2>(len, out, [&](auto& sums, int64_t at, int64_t n) {
    add_grad_sums<Norm>(sums, dz + at, x + at, residual ? residual + at : nullptr, n, c);
  });
}

template <class Norm, typename T>
MMDET_FRN_FLATTEN void grad(const T* dz, const T* x, const T* residual, T* dx, T* dresidual,
                            int64_t len, const Acc<T>* coeffs, bool stream) {
  const PackCoeffs<Norm, T> c(coeffs);
  with_stream<T>(stream, 0, dx, dresidual, [&](auto streamed) {
    for_each_pack<T>(0, len, [&](int64_t at, int64_t n) {
      grad_pack<Norm, streamed.value>(dz + at, x + at, residual ? residual + at : nullptr,
                                      dx ? dx + at : nullptr, dresidual ? dresidual + at : nullptr,
                                      n, c);
    });
  });
}

// Calls f(row, count of rows, column, count of columns) for tiles of one vector
// of channels, row by row of tiles. Within a page memory is read strictly in
// order: the prefetcher loses track of rows that share one, and half the
// bandwidth with them. Rows of a page and more are taken four at a time, so
// that coefficients and sums, which then do not fit the L1 cache, serve four.
template <typename T, typename F>
inline void for_each_tile(int64_t rows, int64_t cols, F f) {
  constexpr int64_t kPageBytes = 4096;
  const int64_t tile_rows = cols * static_cast<int64_t>(sizeof(T)) < kPageBytes ? 1 : 4;
  for (int64_t row = 0; row < rows; row += tile_rows) {
    const auto count = std::min(tile_rows, rows - row);
    for_each_pack<T>(0, cols, [&](int64_t column, int64_t n) { f(row, count, column, n); });
  }
}

// Calls add(sums, offset, count) for each vector of some positions; one number
// per sum and channel in out, padded, so that whole vectors fit.
template <typename T, int kCount, typename F>
inline void sum_columns(int64_t rows, int64_t cols, Acc<T>* out, int64_t stride, F add) {
  using V = Vec<Acc<T>>;
  for (int s = 0; s < kCount; ++s) {
    for_each_pack<T>(0, cols, [&](int64_t at, int64_t) {
      for (int k = 0; k < kParts<T>; ++k) V(Acc<T>(0)).store(out + s * stride + at + k * V::size());
    });
  }
  for_each_tile<T>(rows, cols, [&](int64_t row, int64_t count, int64_t column, int64_t n) {
    Sums<T, kCount> sums;
    add(sums, row, count, column, n);
    for (int s = 0; s < kCount; ++s) {
      for (int k = 0; k < kParts<T>; ++k) {
        auto* to = out + s * stride + column + k * V::size();
        (V::loadu(to) + sums.part[k][s]).store(to);
      }
    }
  });
}

template <class Norm, typename T>
MMDET_FRN_FLATTEN void stats_columns(const T* x, int64_t rows, int64_t cols, Acc<T>* out,
                                     int64_t stride) {
  if constexpr (Norm::kAboutPivot) {
    using V = Vec<Acc<T>>;
    const auto first = pivot_count(rows);
    auto* pivots = out + Norm::kPivot * stride;
    sum_columns<T, 1>(first, cols, pivots, stride,
                      [&](auto& sums, int64_t row, int64_t count, int64_t column, int64_t n) {
                        for (int64_t r = row; r < row + count; ++r) {
                          const auto v = load(x + r * cols + column, n);
                          for (int k = 0; k < kParts<T>; ++k) {
                            sums.part[k][0] = sums.part[k][0] + v.part[k];
                          }
                        }
                      });
    for (int64_t c = 0; c < cols; ++c) pivots[c] /= static_cast<Acc<T>>(first);
    sum_columns<T, Norm::kStats>(
        rows, cols, out, stride,
        [&](auto& sums, int64_t row, int64_t count, int64_t column, int64_t n) {
          Pack<T> pivot;
          for (int k = 0; k < kParts<T>; ++k) {
            pivot.part[k] = V::loadu(pivots + column + k * V::size());
          }
          for (int64_t r = row; r < row + count; ++r) {
            add_stats_about<Norm>(sums, x + r * cols + column, n, pivot);
          }
        });
  } else {
    sum_columns<T, Norm::kStats>(
        rows, cols, out, stride,
        [&](auto& sums, int64_t row, int64_t count, int64_t column, int64_t n) {
          for (int64_t r = row; r < row + count; ++r) {
            add_stats<Norm>(sums, x + r * cols + column, n);
          }
        });
  }
}

template <class Norm, typename T>
MMDET_FRN_FLATTEN void apply_columns(const T* x, const T* residual, T* z, int64_t rows,
                                     int64_t cols, const Acc<T>* coeffs, int64_t stride,
                                     bool stream) {
  with_stream<T>(stream, cols, z, nullptr, [&](auto streamed) {
    for_each_tile<T>(rows, cols, [&](int64_t row, int64_t count, int64_t column, int64_t n) {
      const PackCoeffs<Norm, T> c(coeffs, stride, column);
      for (int64_t r = row; r < row + count; ++r) {
        const auto at = r * cols + column;
        apply_pack<Norm, streamed.value>(x + at, residual ? residual + at : nullptr, z + at, n, c);
      }
    });
  });
}

template <class Norm, typename T>
MMDET_FRN_FLATTEN void grad_sums_columns(const T* dz, const T* x, const T* residual, int64_t rows,
                                         int64_t cols, const Acc<T>* coeffs, Acc<T>* out,
                                         int64_t stride) {
  sum_columns<T, Norm::kGradSums>(
      rows, cols, out, stride,
      [&](auto& sums, int64_t row, int64_t count, int64_t column, int64_t n) {
        const PackCoeffs<Norm, T> c(coeffs, stride, column);
        for (int64_t r = row; r < row + count; ++r) {
          const auto at = r * cols + column;
          add_grad_sums<Norm>(sums, dz + at, x + at, residual ? residual + at : nullptr, n, c);
        }
      });
}

template <class Norm, typename T>
MMDET_FRN_FLATTEN void grad_columns(const T* dz, const T* x, const T* residual, T* dx, T* dresidual,
                                    int64_t rows, int64_t cols, const Acc<T>* coeffs,
                                    int64_t stride, bool stream) {
  with_stream<T>(stream, cols, dx, dresidual, [&](auto streamed) {
    for_each_tile<T>(rows, cols, [&](int64_t row, int64_t count, int64_t column, int64_t n) {
      const PackCoeffs<Norm, T> c(coeffs, stride, column);
      for (int64_t r = row; r < row + count; ++r) {
        const auto at = r * cols + column;
        grad_pack<Norm, streamed.value>(dz + at, x + at, residual ? residual + at : nullptr,
                                        dx ? dx + at : nullptr,
                                        dresidual ? dresidual + at : nullptr, n, c);
      }
    });
  });
}

// The gradient of a function of an element, and the sums of those of its
// parameters, in one pass.
template <class Function, bool kStream, typename T>
inline void function_grad_pack(Sums<T, Function::kCoeffs>& sums, const T* dz, const T* x, T* dx,
                               int64_t count, const PackCoeffs<Function, T>& c) {
  auto v = load(x, count);
  const auto d = load(dz, count);
  for (int k = 0; k < kParts<T>; ++k) {
    v.part[k] = Function::grad(d.part[k], v.part[k], c.part[k], sums.part[k]);
  }
  store<kStream>(dx, v, count);
}

template <class Function, typename T>
MMDET_FRN_FLATTEN void function_grad(const T* dz, const T* x, T* dx, int64_t len,
                                     const Acc<T>* coeffs, Acc<T>* out, bool stream) {
  const PackCoeffs<Function, T> c(coeffs);
  with_stream<T>(stream, 0, dx, nullptr, [&](auto streamed) {
    sum_row<T, Function::kCoeffs, 2>(len, out, [&](auto& sums, int64_t at, int64_t n) {
      function_grad_pack<Function, streamed.value>(sums, dz + at, x + at, dx + at, n, c);
    });
  });
}

template <class Function, typename T>
MMDET_FRN_FLATTEN void function_grad_columns(const T* dz, const T* x, T* dx, int64_t rows,
                                             int64_t cols, const Acc<T>* coeffs, Acc<T>* out,
                                             int64_t stride, bool stream) {
  with_stream<T>(stream, cols, dx, nullptr, [&](auto streamed) {
    sum_columns<T, Function::kCoeffs>(
        rows, cols, out, stride,
        [&](auto& sums, int64_t row, int64_t count, int64_t column, int64_t n) {
          const PackCoeffs<Function, T> c(coeffs, stride, column);
          for (int64_t r = row; r < row + count; ++r) {
            const auto at = r * cols + column;
            function_grad_pack<Function, streamed.value>(sums, dz + at, x + at, dx + at, n, c);
          }
        });
  });
}

}  // namespace

template <class Policy, typename T>
const LoopsOf<Policy, T>& table() {
  if constexpr (std::is_base_of_v<Pointwise, Policy>) {
    static constexpr PointwiseLoops<T> kTable = {apply<Policy, T>, function_grad<Policy, T>,
                                                 apply_columns<Policy, T>,
                                                 function_grad_columns<Policy, T>};
    return kTable;
  } else {
    static constexpr Loops<T> kTable = {
        stats<Policy, T>,
        apply<Policy, T>,
        grad_sums<Policy, T>,
        grad<Policy, T>,
        stats_columns<Policy, T>,
        apply_columns<Policy, T>,
        grad_sums_columns<Policy, T>,
        grad_columns<Policy, T>,
    };
    return kTable;
  }
}

#define MMDET_FRN_TABLES(Policy)                                       \
  template const LoopsOf<Policy, double>& table<Policy, double>();     \
  template const LoopsOf<Policy, float>& table<Policy, float>();       \
  template const LoopsOf<Policy, at::Half>& table<Policy, at::Half>(); \
  template const LoopsOf<Policy, at::BFloat16>& table<Policy, at::BFloat16>();
MMDET_FRN_FOR_EACH_POLICY(MMDET_FRN_TABLES)
#undef MMDET_FRN_TABLES

}  // namespace mmdet_frn::MMDET_FRN_ISA
