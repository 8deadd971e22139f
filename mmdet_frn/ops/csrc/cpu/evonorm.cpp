// EvoNorm-S0 on the CPU: the walks of forward.h and backward.h with the
// arithmetic of evonorm_policy.h.
#include "../evonorm.h"

#include <ATen/Dispatch.h>

#include "backward.h"
#include "evonorm_policy.h"
#include "forward.h"

namespace mmdet_frn {
namespace {

template <bool kActs, typename A>
typename EvoNorm<kActs>::template Rows<A> rows_of(const EvoNormArgs& args) {
  return {args.n,
          args.c,
          args.hw,
          args.group,
          args.weight.data_ptr<A>(),
          args.bias.data_ptr<A>(),
          data_or_null<A>(args.v),
          args.eps};
}

template <bool kActs, typename T>
void forward(const EvoNormArgs& args, const at::Tensor& z, const at::Tensor& stats) {
  using A = Acc<T>;
  const Forward<EvoNorm<kActs>, T> call{{args.n, args.c, args.hw, args.group},
                                        args.x.data_ptr<T>(),
                                        /*residual=*/nullptr,
                                        z.data_ptr<T>(),
                                        stats.data_ptr<A>(),
                                        streams(args.x),
                                        rows_of<kActs, A>(args)};
  args.channels_last ? call.columns() : call.rows();
}

template <bool kActs, typename T>
void backward(const EvoNormArgs& args, const at::Tensor& dz, const at::Tensor& stats,
              const EvoNormGrads& grads) {
  using A = Acc<T>;
  using Norm = EvoNorm<kActs>;
  const Scratch<double> sums({Norm::kGradSums, args.n, args.c});
  const Backward<Norm, T> call{{args.n, args.c, args.hw, args.group},
                               dz.data_ptr<T>(),
                               args.x.data_ptr<T>(),
                               /*residual=*/nullptr,
                               stats.data_ptr<A>(),
                               data_or_null<T>(grads.dx),
                               /*dresidual=*/nullptr,
                               sums.data,
                               streams(args.x),
                               rows_of<kActs, A>(args)};
  args.channels_last ? call.columns() : call.rows();
  call.params.reduce(call.saved, sums.data, data_or_null<A>(grads.dweight),
                     data_or_null<A>(grads.dbias), data_or_null<A>(grads.dv));
}

}  // namespace

void evonorm_s0_forward_cpu(const EvoNormArgs& args, const at::Tensor& z, const at::Tensor& stats) {
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, args.x.scalar_type(),
                                  "evonorm_s0_forward_cpu", [&] {
                                    args.v.defined() ? forward<true, scalar_t>(args, z, stats)
                                                     : forward<false, scalar_t>(args, z, stats);
                                  });
}

void evonorm_s0_backward_cpu(const EvoNormArgs& args, const at::Tensor& dz, const at::Tensor& stats,
                             const EvoNormGrads& grads) {
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, args.x.scalar_type(), "evonorm_s0_backward_cpu", [&] {
        args.v.defined() ? backward<true, scalar_t>(args, dz, stats, grads)
                         : backward<false, scalar_t>(args, dz, stats, grads);
      });
}

}  // namespace mmdet_frn
