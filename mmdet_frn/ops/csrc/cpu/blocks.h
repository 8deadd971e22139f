// How the CPU kernels cut the work. Blocks depend on C and HW alone, never on N
// or the number of threads, and their sums are added in a fixed order: a
// sample's result is the same in any batch.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "loops.h"

namespace mmdet_frn {

constexpr int64_t kGrain = 16384;        // elements below which a thread is not worth waking
constexpr int64_t kRowBlock = 8192;      // elements of a row summed in one go (32 KB of fp32)
constexpr int64_t kColumnBlock = 16384;  // elements of [HW][C] summed in one go
constexpr int64_t kGroupBytes =
    2 << 20;  // x of the images between whose two reads nothing else is read

// Outputs from here on are written past the caches, which would not hold them
// until they are read.
constexpr size_t kStreamBytes = 16 << 20;

inline bool streams(const at::Tensor& x) { return x.nbytes() >= kStreamBytes; }

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// What is walked over; none is 0. A segment, whose statistics are one, is `group`
// adjacent channels of one image.
struct Shape {
  int64_t n, c, hw, group = 1;
};

// [N][C][HW]: rows of `len`, or whole segments, each cut into `count` blocks.
struct RowBlocks {
  int64_t rows, len, count;

  RowBlocks(int64_t rows, int64_t len) : rows(rows), len(len), count(ceil_div(len, kRowBlock)) {}

  // Few long rows: threads share a row, and each block of it is read from
  // memory twice.
  bool split() const { return count > 1 && rows < 2 * at::get_num_threads(); }
  int64_t grain() const { return std::max<int64_t>(1, kGrain / len); }
  int64_t begin(int64_t row, int64_t block) const { return row * len + block * kRowBlock; }
  int64_t size(int64_t block) const { return std::min(kRowBlock, len - block * kRowBlock); }
};

// [N][HW][C]: images cut into `count` blocks of `rows` positions, handled
// `group` images at a time.
struct ColumnBlocks {
  int64_t hw, cols, stride, rows, count, group;

  ColumnBlocks(const Shape& shape, int64_t bytes_per_element)
      : hw(shape.hw),
        cols(shape.c),
        stride(ceil_div(shape.c, kColumnPad) * kColumnPad),
        rows(std::clamp<int64_t>(kColumnBlock / shape.c, 32, 256)),
        count(ceil_div(shape.hw, rows)),
        group(std::clamp<int64_t>(kGroupBytes / (shape.hw * shape.c * bytes_per_element), 1,
                                  shape.n)) {}

  int64_t grain() const { return std::max<int64_t>(1, kGrain / (std::min(rows, hw) * cols)); }
  int64_t begin(int64_t image, int64_t block) const { return (image * hw + block * rows) * cols; }
  int64_t size(int64_t block) const { return std::min(rows, hw - block * rows); }
};

// Null for an undefined tensor.
template <typename A>
A* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<A>() : nullptr;
}

// Memory for `sizes` numbers of the accumulation type.
template <typename A>
struct Scratch {
  at::Tensor storage;
  A* data;

  explicit Scratch(at::IntArrayRef sizes)
      : storage(at::empty(sizes, at::dtype(c10::CppTypeToScalarType<A>::value))),
        data(storage.template data_ptr<A>()) {}
};

// The coefficients of some images in [HW][C] layout, in padded arrays: kind k
// of channel c is at image(i)[k * stride + c].
template <typename A, int kCoeffs>
struct ColumnTable {
  Scratch<A> scratch;
  int64_t stride;

  ColumnTable(int64_t images, int64_t stride)
      : scratch({images, kCoeffs, stride}), stride(stride) {}

  void set(int64_t i, int64_t c, const A* coeffs) const {
    for (int k = 0; k < kCoeffs; ++k) scratch.data[(i * kCoeffs + k) * stride + c] = coeffs[k];
  }

  const A* image(int64_t i) const { return scratch.data + i * kCoeffs * stride; }
};

// Channels of [HW][C] that one thread finishes: whole segments.
inline int64_t column_unit(int64_t group) { return ceil_div(kColumnPad, group) * group; }

// Adds up block sums, in fp64 and in order: out[c] for c in [begin, end).
template <typename A>
void fold(const A* sums, int64_t count, int64_t stride, int64_t begin, int64_t end, double* out) {
  std::fill(out, out + (end - begin), 0.0);
  for (int64_t block = 0; block < count; ++block) {
    for (int64_t c = begin; c < end; ++c) out[c - begin] += sums[block * stride + c];
  }
}

}  // namespace mmdet_frn
