// FRN's backward on the CPU (derivation: section 3.2 of the paper; formulas in frn.h).
#include <ATen/Dispatch.h>

#include "blocks.h"

namespace mmdet_frn {
namespace {

// The pointers of one call, and the sums of each (n, c): sums[kind][n * C + c], in fp64.
template <typename T>
struct Backward {
  using A = Acc<T>;
  const Primitives<T>& loops = primitives<T>();
  const FrnArgs& args;
  const FrnGrads& grads;
  const Params<A> params;
  const T *dz, *x, *residual;
  const A* rstd;
  T *dx, *dresidual;
  at::Tensor storage;
  double* sums;
  int64_t rows;
  bool stream;

  Backward(const FrnArgs& args, const at::Tensor& dz, const at::Tensor& rstd, const FrnGrads& grads)
      : args(args),
        grads(grads),
        params(args),
        dz(dz.data_ptr<T>()),
        x(args.x.data_ptr<T>()),
        residual(data_or_null<T>(args.residual)),
        rstd(rstd.data_ptr<A>()),
        dx(data_or_null<T>(grads.dx)),
        dresidual(data_or_null<T>(grads.dresidual)),
        storage(at::empty({kSums, args.n, args.c}, args.weight.options().dtype(at::kDouble))),
        sums(storage.data_ptr<double>()),
        rows(args.n * args.c),
        stream(streams(args.x)) {}

  bool wants_elements() const { return dx != nullptr || dresidual != nullptr; }

  const T* residual_at(int64_t at) const { return residual ? residual + at : nullptr; }
  T* dx_at(int64_t at) const { return dx ? dx + at : nullptr; }
  T* dresidual_at(int64_t at) const { return dresidual ? dresidual + at : nullptr; }

  RowCoeffs<A> coeffs(int64_t row) const { return params.row(row % args.c, rstd[row]); }

  // Where the mean square overflowed x_hat is 0, and x * g may have overflowed too.
  double sum_gx(int64_t row) const { return rstd[row] == 0 ? 0 : sums[kSumGx * rows + row]; }

  RowCoeffs<A> coeffs_with_slope(int64_t row) const {
    auto result = coeffs(row);
    // Factors near one first: rstd^3 alone could leave the range of fp32.
    const double mean = rstd[row] * (sum_gx(row) / args.hw);
    result.slope = static_cast<A>(static_cast<double>(result.scale) * rstd[row] * mean);
    return result;
  }

  void reduce_over_samples() const;
};

template <typename T>
void backward_rows(const Backward<T>& call) {
  using A = Acc<T>;
  const RowBlocks blocks(call.args);
  const auto sum_block = [&](int64_t row, int64_t b, A* out) {
    const auto at = blocks.begin(row, b);
    call.loops.grad_sums(call.dz + at, call.x + at, call.residual_at(at), blocks.size(b),
                         call.coeffs(row), out);
  };
  const auto grad_block = [&](int64_t row, int64_t b, const RowCoeffs<A>& coeffs) {
    const auto at = blocks.begin(row, b);
    call.loops.grad(call.dz + at, call.x + at, call.residual_at(at), call.dx_at(at),
                    call.dresidual_at(at), blocks.size(b), coeffs, call.stream);
  };
  if (!blocks.split()) {
    at::parallel_for(0, blocks.rows, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        double total[kSums] = {};
        for (int64_t b = 0; b < blocks.count; ++b) {
          A part[kSums];
          sum_block(row, b, part);
          for (int s = 0; s < kSums; ++s) total[s] += part[s];
        }
        for (int s = 0; s < kSums; ++s) call.sums[s * blocks.rows + row] = total[s];
        if (!call.wants_elements()) continue;
        const auto coeffs = call.coeffs_with_slope(row);
        for (int64_t b = blocks.count - 1; b >= 0; --b) grad_block(row, b, coeffs);
      }
    });
    return;
  }
  const auto total = blocks.rows * blocks.count;
  const auto scratch = at::empty({total, kSums}, call.args.weight.options());
  auto* parts = scratch.template data_ptr<A>();
  at::parallel_for(0, total, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      sum_block(i / blocks.count, i % blocks.count, parts + i * kSums);
    }
  });
  for (int64_t row = 0; row < blocks.rows; ++row) {
    double sums[kSums];
    fold(parts + row * blocks.count * kSums, blocks.count, kSums, 0, kSums, sums);
    for (int s = 0; s < kSums; ++s) call.sums[s * blocks.rows + row] = sums[s];
  }
  if (!call.wants_elements()) return;
  at::parallel_for(0, total, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = end - 1; i >= begin; --i) {
      grad_block(i / blocks.count, i % blocks.count, call.coeffs_with_slope(i / blocks.count));
    }
  });
}

template <typename T>
void backward_columns(const Backward<T>& call) {
  using A = Acc<T>;
  const auto& args = call.args;
  const ColumnBlocks blocks(args, 2 * sizeof(T));
  const auto options = args.weight.options();
  const auto scratch = at::empty({blocks.group, blocks.count, kSums, blocks.stride}, options);
  auto* parts = scratch.template data_ptr<A>();
  const ColumnTable<A> table(options, blocks.group, blocks.stride);

  for (int64_t first = 0; first < args.n; first += blocks.group) {
    const auto images = std::min(blocks.group, args.n - first);
    const auto total = images * blocks.count;
    for (int64_t i = 0; i < images * args.c; ++i) {
      table.set(i / args.c, i % args.c, call.coeffs(first * args.c + i));
    }
    at::parallel_for(0, total, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto b = i % blocks.count;
        const auto at = blocks.begin(first + i / blocks.count, b);
        call.loops.grad_sums_columns(call.dz + at, call.x + at, call.residual_at(at),
                                     blocks.size(b), blocks.cols, table.image(i / blocks.count),
                                     parts + i * kSums * blocks.stride, blocks.stride);
      }
    });
    const auto chunks = blocks.stride / kColumnPad;
    const auto grain = std::max<int64_t>(1, kGrain / (kSums * kColumnPad * blocks.count));
    at::parallel_for(0, images * chunks, grain, [&](int64_t begin, int64_t end) {
      double sum[kColumnPad];
      for (int64_t i = begin; i < end; ++i) {
        const auto image = i / chunks;
        const auto c0 = i % chunks * kColumnPad;
        const auto c1 = std::min(c0 + kColumnPad, args.c);
        const auto row = (first + image) * args.c;
        for (int s = 0; s < kSums; ++s) {
          fold(parts + (image * blocks.count * kSums + s) * blocks.stride, blocks.count,
               kSums * blocks.stride, c0, c1, sum);
          std::copy(sum, sum + (c1 - c0), call.sums + s * call.rows + row + c0);
        }
        for (int64_t c = c0; c < c1; ++c) table.set(image, c, call.coeffs_with_slope(row + c));
      }
    });
    if (!call.wants_elements()) continue;
    at::parallel_for(0, total, blocks.grain(), [&](int64_t begin, int64_t end) {
      for (int64_t i = end - 1; i >= begin; --i) {
        const auto b = i % blocks.count;
        const auto at = blocks.begin(first + i / blocks.count, b);
        call.loops.grad_columns(call.dz + at, call.x + at, call.residual_at(at), call.dx_at(at),
                                call.dresidual_at(at), blocks.size(b), blocks.cols,
                                table.image(i / blocks.count), call.stream);
      }
    });
  }
}

template <typename T>
void Backward<T>::reduce_over_samples() const {
  auto* dweight = data_or_null<A>(grads.dweight);
  auto* dbias = data_or_null<A>(grads.dbias);
  auto* dtau = data_or_null<A>(grads.dtau);
  auto* deps = data_or_null<A>(grads.deps);
  double deps_total = 0;
  for (int64_t c = 0; c < args.c; ++c) {
    double weight_sum = 0, bias_sum = 0, tau_sum = 0, eps_sum = 0;
    for (int64_t row = c; row < rows; row += args.c) {
      const double r = rstd[row];
      const double x_hat_g = r * sum_gx(row);
      weight_sum += x_hat_g;
      bias_sum += sums[kSumG * rows + row];
      tau_sum += sums[kSumDropped * rows + row];
      eps_sum += x_hat_g * r * r;
    }
    if (dweight) dweight[c] = static_cast<A>(weight_sum);
    if (dbias) dbias[c] = static_cast<A>(bias_sum);
    if (dtau) dtau[c] = static_cast<A>(tau_sum);
    if (!deps) continue;
    const double e = params.eps[params.eps_per_channel ? c : 0];
    const double sign = e > 0 ? 1 : e < 0 ? -1 : e;
    const double deps_c = -0.5 * sign * params.weight[c] * eps_sum;
    deps_total += deps_c;
    if (params.eps_per_channel) deps[c] = static_cast<A>(deps_c);
  }
  if (deps && !params.eps_per_channel) deps[0] = static_cast<A>(deps_total);
}

}  // namespace

void frn_backward_cpu(const FrnArgs& args, const at::Tensor& dz, const at::Tensor& rstd,
                      const FrnGrads& grads) {
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, args.x.scalar_type(),
                                  "frn_backward_cpu", [&] {
                                    const Backward<scalar_t> call(args, dz, rstd, grads);
                                    if (args.channels_last) {
                                      backward_columns<scalar_t>(call);
                                    } else {
                                      backward_rows<scalar_t>(call);
                                    }
                                    call.reduce_over_samples();
                                  });
}

}  // namespace mmdet_frn
