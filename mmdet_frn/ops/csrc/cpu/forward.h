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
  A* saved;  // [Norm::kSaved][segments]
  bool stream;
  typename Norm::template Rows<A> params;
  const Loops<T>& loops = mmdet_frn::loops<Norm, T>();

  const T* residual_at(int64_t at) const { return residual ? residual + at : nullptr; }

  void rows() const;
  void columns() const;
};

// Threads take segments. The second pass goes backwards: the end of a long one
// is still in the cache.
template <class Norm, typename T>
void Forward<Norm, T>::rows() const {
  constexpr int kStats = Norm::kStats, kParts = Norm::kParts;
  const int64_t group = Norm::kGrouped ? shape.group : 1;
  const RowBlocks blocks(shape.n * shape.c, shape.hw);
  const RowBlocks segments(blocks.rows / group, blocks.len * group);
  const auto sum_block = [&](int64_t segment, int64_t b, A* sums) {
    loops.stats(x + segments.begin(segment, b), segments.size(b), sums);
  };
  const auto apply_block = [&](int64_t row, int64_t b, const A* coeffs) {
    const auto at = blocks.begin(row, b);
    loops.apply(x + at, residual_at(at), z + at, blocks.size(b), coeffs, stream);
  };
  if (!segments.split()) {
    at::parallel_for(0, segments.rows, segments.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t segment = begin; segment < end; ++segment) {
        double total[kStats] = {};
        for (int64_t b = 0; b < segments.count; ++b) {
          A part[kParts];
          sum_block(segment, b, part);
          Norm::add_part(part, 1, segments.size(b), total, 1);
        }
        params.finish(total, segment, saved);
        for (int64_t row = (segment + 1) * group - 1; row >= segment * group; --row) {
          A coeffs[Norm::kCoeffs];
          params.coeffs(row, saved, coeffs);
          for (int64_t b = blocks.count - 1; b >= 0; --b) apply_block(row, b, coeffs);
        }
      }
    });
    return;
  }
  const auto sums = segments.rows * segments.count;
  const Scratch<A> parts({sums, kParts});
  at::parallel_for(0, sums, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      sum_block(i / segments.count, i % segments.count, parts.data + i * kParts);
    }
  });
  for (int64_t segment = 0; segment < segments.rows; ++segment) {
    double total[kStats] = {};
    for (int64_t b = 0; b < segments.count; ++b) {
      const auto* part = parts.data + (segment * segments.count + b) * kParts;
      Norm::add_part(part, 1, segments.size(b), total, 1);
    }
    params.finish(total, segment, saved);
  }
  const auto total = blocks.rows * blocks.count;
  at::parallel_for(0, total, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = end - 1; i >= begin; --i) {
      A coeffs[Norm::kCoeffs];
      params.coeffs(i / blocks.count, saved, coeffs);
      apply_block(i / blocks.count, i % blocks.count, coeffs);
    }
  });
}

// Threads take blocks of positions, for a number of images small enough to be
// read again from cache.
template <class Norm, typename T>
void Forward<Norm, T>::columns() const {
  constexpr int kStats = Norm::kStats, kParts = Norm::kParts;
  const int64_t group = Norm::kGrouped ? shape.group : 1;
  const ColumnBlocks blocks(shape, sizeof(T));
  const Scratch<A> parts({blocks.group, blocks.count, kParts, blocks.stride});
  const ColumnTable<A, Norm::kCoeffs> table(blocks.group, blocks.stride);

  for (int64_t first = 0; first < shape.n; first += blocks.group) {
    const auto images = std::min(blocks.group, shape.n - first);
    const auto total = images * blocks.count;
    at::parallel_for(0, total, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto b = i % blocks.count;
        loops.stats_columns(x + blocks.begin(first + i / blocks.count, b), blocks.size(b),
                            blocks.cols, parts.data + i * kParts * blocks.stride, blocks.stride);
      }
    });
    const auto unit = column_unit(group), units = ceil_div(shape.c, unit);
    const auto grain = std::max<int64_t>(1, kGrain / (kParts * unit * blocks.count));
    at::parallel_for(0, images * units, grain, [&](int64_t begin, int64_t end) {
      double sums[kStats][kColumnPad];
      for (int64_t i = begin; i < end; ++i) {
        const auto image = i / units, unit_begin = i % units * unit;
        const auto unit_end = std::min(unit_begin + unit, shape.c);
        const auto image_row = (first + image) * shape.c;
        const auto* of_image = parts.data + image * blocks.count * kParts * blocks.stride;
        double of_segment[kStats] = {};
        for (auto c0 = unit_begin; c0 < unit_end; c0 += kColumnPad) {
          const auto c1 = std::min(c0 + kColumnPad, unit_end);
          std::fill(&sums[0][0], &sums[0][0] + kStats * kColumnPad, 0.0);
          for (int64_t b = 0; b < blocks.count; ++b) {
            const auto* part = of_image + b * kParts * blocks.stride;
            const auto rows = blocks.size(b);
            for (int64_t c = c0; c < c1; ++c) {
              Norm::add_part(part + c, blocks.stride, rows, &sums[0][c - c0], kColumnPad);
            }
          }
          for (int64_t c = c0; c < c1; ++c) {
            for (int s = 0; s < kStats; ++s) of_segment[s] += sums[s][c - c0];
            if ((c + 1) % group != 0) continue;
            params.finish(of_segment, (image_row + c) / group, saved);
            std::fill(of_segment, of_segment + kStats, 0.0);
          }
        }
        for (int64_t c = unit_begin; c < unit_end; ++c) {
          A coeffs[Norm::kCoeffs];
          params.coeffs(image_row + c, saved, coeffs);
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
