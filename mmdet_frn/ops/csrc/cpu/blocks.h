// How the CPU kernels cut the work. Blocks depend on C and HW alone, never on N or the number of
// threads, and their sums are added in a fixed order: a sample's result is the same in any batch.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <limits>

#include "../frn.h"
#include "primitives.h"

namespace mmdet_frn {

constexpr int64_t kGrain = 16384;        // elements below which a thread is not worth waking
constexpr int64_t kRowBlock = 8192;      // elements of a row summed in one go (32 KB of fp32)
constexpr int64_t kColumnBlock = 16384;  // elements of [HW][C] summed in one go
constexpr int64_t kGroupBytes =
    2 << 20;  // x of the images between whose two reads nothing else is read

// Outputs from here on are written past the caches, which would not hold them until they are read.
constexpr size_t kStreamBytes = 16 << 20;

inline bool streams(const at::Tensor& x) { return x.nbytes() >= kStreamBytes; }

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// [N][C][HW]: rows of `len`, each cut into `count` blocks.
struct RowBlocks {
  int64_t rows, len, count;

  explicit RowBlocks(const FrnArgs& args)
      : rows(args.n * args.c), len(args.hw), count(ceil_div(args.hw, kRowBlock)) {}

  // Few long rows: threads share a row, and each block of it is read from memory twice.
  bool split() const { return count > 1 && rows < 2 * at::get_num_threads(); }
  int64_t grain() const { return std::max<int64_t>(1, kGrain / len); }
  int64_t begin(int64_t row, int64_t block) const { return row * len + block * kRowBlock; }
  int64_t size(int64_t block) const { return std::min(kRowBlock, len - block * kRowBlock); }
};

// [N][HW][C]: images cut into `count` blocks of `rows` positions, handled `group` images at a time.
struct ColumnBlocks {
  int64_t hw, cols, stride, rows, count, group;

  ColumnBlocks(const FrnArgs& args, int64_t bytes_per_element)
      : hw(args.hw),
        cols(args.c),
        stride(ceil_div(args.c, kColumnPad) * kColumnPad),
        rows(std::clamp<int64_t>(kColumnBlock / args.c, 32, 256)),
        count(ceil_div(args.hw, rows)),
        group(
            std::clamp<int64_t>(kGroupBytes / (args.hw * args.c * bytes_per_element), 1, args.n)) {}

  int64_t grain() const { return std::max<int64_t>(1, kGrain / (std::min(rows, hw) * cols)); }
  int64_t begin(int64_t image, int64_t block) const { return (image * hw + block * rows) * cols; }
  int64_t size(int64_t block) const { return std::min(rows, hw - block * rows); }
};

template <typename A>
A* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<A>() : nullptr;
}

// |eps| of a channel; the parameters of a row as the loops take them.
template <typename A>
struct Params {
  const A *weight, *bias, *tau, *eps;
  double eps_value;
  bool eps_per_channel;

  explicit Params(const FrnArgs& args)
      : weight(args.weight.data_ptr<A>()),
        bias(args.bias.data_ptr<A>()),
        tau(data_or_null<A>(args.tau)),
        eps(data_or_null<A>(args.eps)),
        eps_value(args.eps_value),
        eps_per_channel(args.eps.defined() && args.eps.numel() > 1) {}

  A rstd(double sum_squares, int64_t hw, int64_t c) const {
    const double e = eps ? std::abs(static_cast<double>(eps[eps_per_channel ? c : 0])) : eps_value;
    return static_cast<A>(1.0 / std::sqrt(sum_squares / hw + e));
  }

  RowCoeffs<A> row(int64_t c, A rstd) const {
    return {weight[c] * rstd, bias[c], tau ? tau[c] : -std::numeric_limits<A>::infinity(), A(0)};
  }
};

// The coefficients of some images in [HW][C] layout: padded arrays, filled channel by channel.
template <typename A>
struct ColumnTable {
  at::Tensor storage;
  A* data;
  int64_t stride;

  ColumnTable(const at::TensorOptions& options, int64_t images, int64_t stride)
      : storage(at::empty({images, 4, stride}, options)),
        data(storage.data_ptr<A>()),
        stride(stride) {}

  void set(int64_t image, int64_t c, const RowCoeffs<A>& coeffs) const {
    A* at = data + image * 4 * stride + c;
    at[0] = coeffs.scale;
    at[stride] = coeffs.shift;
    at[2 * stride] = coeffs.tau;
    at[3 * stride] = coeffs.slope;
  }

  ColumnCoeffs<A> image(int64_t i) const {
    const A* at = data + i * 4 * stride;
    return {at, at + stride, at + 2 * stride, at + 3 * stride};
  }
};

// Adds up block sums, in fp64 and in order: out[c] for c in [begin, end).
template <typename A>
void fold(const A* sums, int64_t count, int64_t stride, int64_t begin, int64_t end, double* out) {
  std::fill(out, out + (end - begin), 0.0);
  for (int64_t block = 0; block < count; ++block) {
    for (int64_t c = begin; c < end; ++c) out[c - begin] += sums[block * stride + c];
  }
}

}  // namespace mmdet_frn
