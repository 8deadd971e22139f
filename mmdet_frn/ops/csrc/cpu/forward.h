// The walk of a forward over the blocks of x, for any norm; Norm is a policy as
// frn_policy.h.
#pragma once

#include "blocks.h"

namespace mmdet_frn {

template <class Norm, typename T>
struct Forward {
  using A = Acc<T>;
  Shape shape;
  const T *x, *residual;  // no residual: null
  T* z;
  A* saved;  // [Norm::kSaved][N * C]
  bool stream;
  typename Norm::template Rows<A> params;
  const Loops<T>& loops = mmdet_frn::loops<Norm, T>();

  const T* residual_at(int64_t at) const { return residual ? residual + at : nullptr; }

  void rows() const;
  void columns() const;
};

// Threads take rows. The second pass goes backwards: the end of a long row is
// still in the cache.
template <class Norm, typename T>
void Forward<Norm, T>::rows() const {
  constexpr int kStats = Norm::kStats;
  const RowBlocks blocks(shape);
  const auto sum_block = [&](int64_t row, int64_t b, A* sums) {
    loops.stats(x + blocks.begin(row, b), blocks.size(b), sums);
  };
  const auto apply_block = [&](int64_t row, int64_t b, const A* coeffs) {
    const auto at = blocks.begin(row, b);
    loops.apply(x + at, residual_at(at), z + at, blocks.size(b), coeffs, stream);
  };
  if (!blocks.split()) {
    at::parallel_for(0, blocks.rows, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        double total[kStats] = {};
        for (int64_t b = 0; b < blocks.count; ++b) {
          A part[kStats];
          sum_block(row, b, part);
          for (int s = 0; s < kStats; ++s) total[s] += part[s];
        }
        params.finish(total, row, saved);
        A coeffs[Norm::kCoeffs];
        params.coeffs(row, saved, coeffs);
        for (int64_t b = blocks.count - 1; b >= 0; --b) apply_block(row, b, coeffs);
      }
    });
    return;
  }
  const auto total = blocks.rows * blocks.count;
  const Scratch<A> parts({total, kStats});
  at::parallel_for(0, total, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      sum_block(i / blocks.count, i % blocks.count, parts.data + i * kStats);
    }
  });
  for (int64_t row = 0; row < blocks.rows; ++row) {
    double sums[kStats];
    fold(parts.data + row * blocks.count * kStats, blocks.count, kStats, 0, kStats, sums);
    params.finish(sums, row, saved);
  }
  at::parallel_for(0, total, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = end - 1; i >= begin; --i) {
      A coeffs[Norm::kCoeffs];
      params.coeffs(i / blocks.count, saved, coeffs);
      apply_block(i / blocks.count, i % blocks.count, coeffs);
    }
  });
}

// Threads take blocks of positions, for a group of images small enough to be
// read again from cache.
template <class Norm, typename T>
void Forward<Norm, T>::columns() const {
  constexpr int kStats = Norm::kStats;
  const ColumnBlocks blocks(shape, sizeof(T));
  const Scratch<A> parts({blocks.group, blocks.count, kStats, blocks.stride});
  const ColumnTable<A, Norm::kCoeffs> table(blocks.group, blocks.stride);

  for (int64_t first = 0; first < shape.n; first += blocks.group) {
    const auto images = std::min(blocks.group, shape.n - first);
    const auto total = images * blocks.count;
    at::parallel_for(0, total, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto b = i % blocks.count;
        loops.stats_columns(x + blocks.begin(first + i / blocks.count, b), blocks.size(b),
                            blocks.cols, parts.data + i * kStats * blocks.stride, blocks.stride);
      }
    });
    const auto chunks = blocks.stride / kColumnPad;
    const auto grain = std::max<int64_t>(1, kGrain / (kStats * kColumnPad * blocks.count));
    at::parallel_for(0, images * chunks, grain, [&](int64_t begin, int64_t end) {
      double sums[kStats][kColumnPad];
      for (int64_t i = begin; i < end; ++i) {
        const auto image = i / chunks;
        const auto c0 = i % chunks * kColumnPad;
        const auto c1 = std::min(c0 + kColumnPad, shape.c);
        for (int s = 0; s < kStats; ++s) {
          fold(parts.data + (image * blocks.count * kStats + s) * blocks.stride, blocks.count,
               kStats * blocks.stride, c0, c1, sums[s]);
        }
        for (int64_t c = c0; c < c1; ++c) {
          const auto row = (first + image) * shape.c + c;
          double of_row[kStats];
          for (int s = 0; s < kStats; ++s) of_row[s] = sums[s][c - c0];
          params.finish(of_row, row, saved);
          A coeffs[Norm::kCoeffs];
          params.coeffs(row, saved, coeffs);
          table.set(image, c, coeffs);
        }
      }
    });
    at::parallel_for(0, total, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = end - 1; i >= begin; --i) {
        const auto b = i % blocks.count;
        const auto at = blocks.begin(first + i / blocks.count, b);
        loops.apply_columns(x + at, residual_at(at), z + at, blocks.size(b), blocks.cols,
                            table.image(i / blocks.count), blocks.stride, stream);
      }
    });
  }
}

}  // namespace mmdet_frn
