// The walk of a backward over the blocks of x and dz, for any norm; Norm is a
// policy as frn_policy.h.
#pragma once

#include "blocks.h"

namespace mmdet_frn {

template <class Norm, typename T>
struct Backward {
  using A = Acc<T>;
  static constexpr int kSums = Norm::kGradSums;
  Shape shape;
  const T *dz, *x, *residual;  // no residual: null
  const A* saved;              // [Norm::kSaved][segments]
  T *dx, *dresidual;           // not wanted: null
  double* sums;                // [kSums][N * C]
  bool stream;
  typename Norm::template Rows<A> params;
  const Loops<T>& loops = mmdet_frn::loops<Norm, T>();

  bool wants_elements() const { return dx != nullptr || dresidual != nullptr; }
  const T* residual_at(int64_t at) const { return residual ? residual + at : nullptr; }
  T* dx_at(int64_t at) const { return dx ? dx + at : nullptr; }
  T* dresidual_at(int64_t at) const { return dresidual ? dresidual + at : nullptr; }

  void rows() const;
  void columns() const;
};

template <class Norm, typename T>
void Backward<Norm, T>::rows() const {
  const int64_t group = Norm::kGrouped ? shape.group : 1;
  const RowBlocks blocks(shape.n * shape.c, shape.hw);
  const RowBlocks segments(blocks.rows / group, blocks.len * group);
  const auto sum_block = [&](int64_t row, int64_t b, const A* coeffs, A* out) {
    const auto at = blocks.begin(row, b);
    loops.grad_sums(dz + at, x + at, residual_at(at), blocks.size(b), coeffs, out);
  };
  const auto grad_block = [&](int64_t row, int64_t b, const A* coeffs) {
    const auto at = blocks.begin(row, b);
    loops.grad(dz + at, x + at, residual_at(at), dx_at(at), dresidual_at(at), blocks.size(b),
               coeffs, stream);
  };
  if (!segments.split()) {
    at::parallel_for(0, segments.rows, segments.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t segment = begin; segment < end; ++segment) {
        A coeffs[Norm::kCoeffs];
        for (int64_t row = segment * group; row < (segment + 1) * group; ++row) {
          params.coeffs(row, saved, coeffs);
          double total[kSums] = {};
          for (int64_t b = 0; b < blocks.count; ++b) {
            A part[kSums];
            sum_block(row, b, coeffs, part);
            for (int s = 0; s < kSums; ++s) total[s] += part[s];
          }
          for (int s = 0; s < kSums; ++s) sums[s * blocks.rows + row] = total[s];
        }
        if (!wants_elements()) continue;
        double of_segment[Norm::kSegmentSums];
        params.segment_sums(segment, saved, sums, of_segment);
        for (int64_t row = (segment + 1) * group - 1; row >= segment * group; --row) {
          params.grad_coeffs(row, saved, of_segment, coeffs);
          for (int64_t b = blocks.count - 1; b >= 0; --b) grad_block(row, b, coeffs);
        }
      }
    });
    return;
  }
  const auto total = blocks.rows * blocks.count;
  const Scratch<A> parts({total, kSums});
  at::parallel_for(0, total, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      A coeffs[Norm::kCoeffs];
      params.coeffs(i / blocks.count, saved, coeffs);
      sum_block(i / blocks.count, i % blocks.count, coeffs, parts.data + i * kSums);
    }
  });
  for (int64_t row = 0; row < blocks.rows; ++row) {
    double of_row[kSums];
    fold(parts.data + row * blocks.count * kSums, blocks.count, kSums, 0, kSums, of_row);
    for (int s = 0; s < kSums; ++s) sums[s * blocks.rows + row] = of_row[s];
  }
  if (!wants_elements()) return;
  const Scratch<double> of_segments({segments.rows, Norm::kSegmentSums});
  for (int64_t segment = 0; segment < segments.rows; ++segment) {
    params.segment_sums(segment, saved, sums, of_segments.data + segment * Norm::kSegmentSums);
  }
  at::parallel_for(0, total, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = end - 1; i >= begin; --i) {
      const auto row = i / blocks.count;
      A coeffs[Norm::kCoeffs];
      params.grad_coeffs(row, saved, of_segments.data + row / group * Norm::kSegmentSums, coeffs);
      grad_block(i / blocks.count, i % blocks.count, coeffs);
    }
  });
}

template <class Norm, typename T>
void Backward<Norm, T>::columns() const {
  const int64_t group = Norm::kGrouped ? shape.group : 1;
  const ColumnBlocks blocks(shape, 2 * sizeof(T));
  const Scratch<A> parts({blocks.group, blocks.count, kSums, blocks.stride});
  const ColumnTable<A, Norm::kCoeffs> table(blocks.group, blocks.stride);

  for (int64_t first = 0; first < shape.n; first += blocks.group) {
    const auto images = std::min(blocks.group, shape.n - first);
    const auto total = images * blocks.count;
    A coeffs[Norm::kCoeffs];
    for (int64_t i = 0; i < images * shape.c; ++i) {
      params.coeffs(first * shape.c + i, saved, coeffs);
      table.set(i / shape.c, i % shape.c, coeffs);
    }
    at::parallel_for(0, total, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto b = i % blocks.count;
        const auto at = blocks.begin(first + i / blocks.count, b);
        loops.grad_sums_columns(dz + at, x + at, residual_at(at), blocks.size(b), blocks.cols,
                                table.image(i / blocks.count),
                                parts.data + i * kSums * blocks.stride, blocks.stride);
      }
    });
    const auto unit = column_unit(group), units = ceil_div(shape.c, unit);
    const auto grain = std::max<int64_t>(1, kGrain / (kSums * unit * blocks.count));
    at::parallel_for(0, images * units, grain, [&](int64_t begin, int64_t end) {
      double sum[kColumnPad];
      for (int64_t i = begin; i < end; ++i) {
        const auto image = i / units, unit_begin = i % units * unit;
        const auto unit_end = std::min(unit_begin + unit, shape.c);
        const auto row = (first + image) * shape.c;
        for (auto c0 = unit_begin; c0 < unit_end; c0 += kColumnPad) {
          const auto c1 = std::min(c0 + kColumnPad, unit_end);
          for (int s = 0; s < kSums; ++s) {
            fold(parts.data + (image * blocks.count * kSums + s) * blocks.stride, blocks.count,
                 kSums * blocks.stride, c0, c1, sum);
            std::copy(sum, sum + (c1 - c0), sums + s * shape.n * shape.c + row + c0);
          }
        }
        double of_segment[Norm::kSegmentSums] = {};
        for (int64_t c = unit_begin; c < unit_end; ++c) {
          if (c % group == 0) params.segment_sums((row + c) / group, saved, sums, of_segment);
          A of_row[Norm::kCoeffs];
          params.grad_coeffs(row + c, saved, of_segment, of_row);
          table.set(image, c, of_row);
        }
      }
    });
    if (!wants_elements()) continue;
    at::parallel_for(0, total, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = end - 1; i >= begin; --i) {
        const auto b = i % blocks.count;
        const auto at = blocks.begin(first + i / blocks.count, b);
        loops.grad_columns(dz + at, x + at, residual_at(at), dx_at(at), dresidual_at(at),
                           blocks.size(b), blocks.cols, table.image(i / blocks.count),
                           blocks.stride, stream);
      }
    });
  }
}

}  // namespace mmdet_frn
