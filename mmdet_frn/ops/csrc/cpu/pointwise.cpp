// Functions of an element with parameters per channel on the CPU: walks over the
// blocks of blocks.h, which each read their input once.
#include "../pointwise.h"

#include <ATen/Dispatch.h>

#include "blocks.h"

namespace mmdet_frn {
namespace {

template <class Policy, typename T>
struct Walk {
  static constexpr int kParams = Policy::kCoeffs;
  using A = Acc<T>;
  const PointwiseArgs& args;
  const T* x = args.x.data_ptr<T>();
  bool stream = streams(args.x);
  const PointwiseLoops<T>& loops = mmdet_frn::loops<Policy, T>();

  A param(int k, int64_t channel) const { return args.params[k].template data_ptr<A>()[channel]; }

  // Calls f(offset, length, coefficients, block's number) for each block of a row.
  template <typename F>
  void rows(F f) const {
    const RowBlocks blocks(args.n * args.c, args.hw);
    at::parallel_for(0, blocks.rows * blocks.count, blocks.grain(),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i) {
                         const auto row = i / blocks.count, b = i % blocks.count;
                         A coeffs[kParams];
                         for (int k = 0; k < kParams; ++k) coeffs[k] = param(k, row % args.c);
                         f(blocks.begin(row, b), blocks.size(b), coeffs, i);
                       }
                     });
  }

  // Calls f(offset, rows, coefficients, block's number) for each block of positions.
  template <typename F>
  void columns(const ColumnBlocks& blocks, F f) const {
    const ColumnTable<A, kParams> table(1, blocks.stride);
    for (int64_t channel = 0; channel < args.c; ++channel) {
      A coeffs[kParams];
      for (int k = 0; k < kParams; ++k) coeffs[k] = param(k, channel);
      table.set(0, channel, coeffs);
    }
    at::parallel_for(0, args.n * blocks.count, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto b = i % blocks.count;
        f(blocks.begin(i / blocks.count, b), blocks.size(b), table.image(0), i);
      }
    });
  }

  ColumnBlocks column_blocks() const { return {{args.n, args.c, args.hw}, sizeof(T)}; }

  void forward(T* z) const {
    if (args.channels_last) {
      const auto blocks = column_blocks();
      columns(blocks, [&](int64_t at, int64_t count, const A* coeffs, int64_t) {
        loops.apply_columns(x + at, nullptr, z + at, count, args.c, coeffs, blocks.stride, stream);
      });
    } else {
      rows([&](int64_t at, int64_t len, const A* coeffs, int64_t) {
        loops.apply(x + at, nullptr, z + at, len, coeffs, stream);
      });
    }
  }

  // Sums of blocks are added in fp64 and in order, whatever the number of threads.
  void backward(const T* dz, T* dx, const std::vector<at::Tensor>& dparams) const {
    const auto add = [&](const Scratch<A>& parts, int64_t blocks_of_row, int64_t row_step,
                         int64_t channel_step, int64_t block_step, int64_t param_step) {
      for (int k = 0; k < kParams; ++k) {
        auto* out = dparams[k].template data_ptr<A>();
        for (int64_t channel = 0; channel < args.c; ++channel) {
          double total = 0;
          for (int64_t image = 0; image < args.n; ++image) {
            const auto* of =
                parts.data + image * row_step + channel * channel_step + k * param_step;
            for (int64_t b = 0; b < blocks_of_row; ++b) total += of[b * block_step];
          }
          out[channel] = static_cast<A>(total);
        }
      }
    };
    if (args.channels_last) {
      const auto blocks = column_blocks();
      const auto size = kParams * blocks.stride;
      const Scratch<A> parts({args.n * blocks.count, size});
      columns(blocks, [&](int64_t at, int64_t count, const A* coeffs, int64_t i) {
        loops.grad_columns(dz + at, x + at, dx + at, count, args.c, coeffs, parts.data + i * size,
                           blocks.stride, stream);
      });
      add(parts, blocks.count, blocks.count * size, 1, size, blocks.stride);
    } else {
      const auto count = RowBlocks(args.n * args.c, args.hw).count;
      const Scratch<A> parts({args.n * args.c * count, kParams});
      rows([&](int64_t at, int64_t len, const A* coeffs, int64_t i) {
        loops.grad(dz + at, x + at, dx + at, len, coeffs, parts.data + i * kParams, stream);
      });
      add(parts, count, args.c * count * kParams, count * kParams, kParams, 1);
    }
  }
};

// Calls f with the walk of the function and dtype that `args` name.
template <typename F>
void with_walk(const PointwiseArgs& args, F f) {
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, args.x.scalar_type(), "pointwise_cpu",
                                  [&] {
                                    switch (args.function) {
                                      case Function::kTlu:
                                        return f(Walk<Tlu, scalar_t>{args}, scalar_t());
                                      case Function::kAffineTlu:
                                        return f(Walk<AffineTlu, scalar_t>{args}, scalar_t());
                                      case Function::kDyt:
                                        return f(Walk<Dyt, scalar_t>{args}, scalar_t());
                                    }
                                  });
}

}  // namespace

void pointwise_forward_cpu(const PointwiseArgs& args, const at::Tensor& z) {
  with_walk(args,
            [&](const auto& walk, auto element) { walk.forward(z.data_ptr<decltype(element)>()); });
}

void pointwise_backward_cpu(const PointwiseArgs& args, const at::Tensor& dz, const at::Tensor& dx,
                            const std::vector<at::Tensor>& dparams) {
  with_walk(args, [&](const auto& walk, auto element) {
    using T = decltype(element);
    walk.backward(dz.data_ptr<T>(), dx.data_ptr<T>(), dparams);
  });
}

}  // namespace mmdet_frn
