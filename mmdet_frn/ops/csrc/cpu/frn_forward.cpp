// FRN's forward on the CPU.
#include <ATen/Dispatch.h>

#include "blocks.h"

namespace mmdet_frn {
namespace {

// Threads take rows. The second pass goes backwards: the end of a long row is still in the cache.
template <typename T>
void forward_rows(const FrnArgs& args, T* z, Acc<T>* rstd) {
  const auto& loops = primitives<T>();
  const RowBlocks blocks(args);
  const Params<Acc<T>> params(args);
  const T* x = args.x.data_ptr<T>();
  const T* residual = data_or_null<T>(args.residual);
  const auto sum_block = [&](int64_t row, int64_t b) {
    return loops.sum_squares(x + blocks.begin(row, b), blocks.size(b));
  };
  const bool stream = streams(args.x);
  const auto apply_block = [&](int64_t row, int64_t b) {
    const auto at = blocks.begin(row, b);
    loops.apply(x + at, residual ? residual + at : nullptr, z + at, blocks.size(b),
                params.row(row % args.c, rstd[row]), stream);
  };
  const auto finish = [&](int64_t row, double sum) {
    rstd[row] = params.rstd(sum, args.hw, row % args.c);
  };
  if (!blocks.split()) {
    at::parallel_for(0, blocks.rows, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        double sum = 0;
        for (int64_t b = 0; b < blocks.count; ++b) sum += sum_block(row, b);
        finish(row, sum);
        for (int64_t b = blocks.count - 1; b >= 0; --b) apply_block(row, b);
      }
    });
    return;
  }
  const auto total = blocks.rows * blocks.count;
  const auto scratch = at::empty({total}, args.weight.options());
  auto* sums = scratch.data_ptr<Acc<T>>();
  at::parallel_for(0, total, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sums[i] = sum_block(i / blocks.count, i % blocks.count);
  });
  for (int64_t row = 0; row < blocks.rows; ++row) {
    double sum = 0;
    for (int64_t b = 0; b < blocks.count; ++b) sum += sums[row * blocks.count + b];
    finish(row, sum);
  }
  at::parallel_for(0, total, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = end - 1; i >= begin; --i) apply_block(i / blocks.count, i % blocks.count);
  });
}

// Threads take blocks of positions, for a group of images small enough to be read again from cache.
template <typename T>
void forward_columns(const FrnArgs& args, T* z, Acc<T>* rstd) {
  using A = Acc<T>;
  const auto& loops = primitives<T>();
  const ColumnBlocks blocks(args, sizeof(T));
  const Params<A> params(args);
  const T* x = args.x.data_ptr<T>();
  const T* residual = data_or_null<T>(args.residual);
  const auto scratch =
      at::empty({blocks.group, blocks.count, blocks.stride}, args.weight.options());
  auto* sums = scratch.data_ptr<A>();
  const ColumnTable<A> table(args.weight.options(), blocks.group, blocks.stride);
  const bool stream = streams(args.x);

  for (int64_t first = 0; first < args.n; first += blocks.group) {
    const auto images = std::min(blocks.group, args.n - first);
    const auto total = images * blocks.count;
    at::parallel_for(0, total, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto b = i % blocks.count;
        loops.sum_squares_columns(x + blocks.begin(first + i / blocks.count, b), blocks.size(b),
                                  blocks.cols, sums + i * blocks.stride);
      }
    });
    const auto chunks = blocks.stride / kColumnPad;
    const auto grain = std::max<int64_t>(1, kGrain / (kColumnPad * blocks.count));
    at::parallel_for(0, images * chunks, grain, [&](int64_t begin, int64_t end) {
      double sum[kColumnPad];
      for (int64_t i = begin; i < end; ++i) {
        const auto image = i / chunks;
        const auto c0 = i % chunks * kColumnPad;
        const auto c1 = std::min(c0 + kColumnPad, args.c);
        fold(sums + image * blocks.count * blocks.stride, blocks.count, blocks.stride, c0, c1, sum);
        for (int64_t c = c0; c < c1; ++c) {
          const auto r = params.rstd(sum[c - c0], args.hw, c);
          rstd[(first + image) * args.c + c] = r;
          table.set(image, c, params.row(c, r));
        }
      }
    });
    at::parallel_for(0, total, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = end - 1; i >= begin; --i) {
        const auto b = i % blocks.count;
        const auto at = blocks.begin(first + i / blocks.count, b);
        loops.apply_columns(x + at, residual ? residual + at : nullptr, z + at, blocks.size(b),
                            blocks.cols, table.image(i / blocks.count), stream);
      }
    });
  }
}

}  // namespace

void frn_forward_cpu(const FrnArgs& args, const at::Tensor& z, const at::Tensor& rstd) {
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, args.x.scalar_type(), "frn_forward_cpu",
                                  [&] {
                                    auto* out = z.data_ptr<scalar_t>();
                                    auto* stats = rstd.data_ptr<Acc<scalar_t>>();
                                    if (args.channels_last) {
                                      forward_columns<scalar_t>(args, out, stats);
                                    } else {
                                      forward_rows<scalar_t>(args, out, stats);
                                    }
                                  });
}

}  // namespace mmdet_frn
