// FRN on the CPU: the walks of forward.h and backward.h with the arithmetic of
// frn_policy.h.
#include "../frn.h"

#include <ATen/Dispatch.h>

#include "backward.h"
#include "forward.h"
#include "frn_policy.h"

namespace mmdet_frn {
namespace {

template <typename A>
Frn::Rows<A> rows_of(const FrnArgs& args) {
  return {args.n,
          args.c,
          args.hw,
          args.weight.data_ptr<A>(),
          args.bias.data_ptr<A>(),
          data_or_null<A>(args.tau),
          data_or_null<A>(args.eps),
          args.eps_value,
          args.eps.defined() && args.eps.numel() > 1};
}

template <typename T>
void forward(const FrnArgs& args, const at::Tensor& z, const at::Tensor& rstd) {
  using A = Acc<T>;
  const Forward<Frn, T> call{
      {args.n, args.c, args.hw}, args.x.data_ptr<T>(), data_or_null<T>(args.residual),
      z.data_ptr<T>(),           rstd.data_ptr<A>(),   streams(args.x),
      rows_of<A>(args)};
  args.channels_last ? call.columns() : call.rows();
}

template <typename T>
void backward(const FrnArgs& args, const at::Tensor& dz, const at::Tensor& rstd,
              const FrnGrads& grads) {
  using A = Acc<T>;
  const Scratch<double> sums({Frn::kGradSums, args.n, args.c});
  const Backward<Frn, T> call{{args.n, args.c, args.hw},
                              dz.data_ptr<T>(),
                              args.x.data_ptr<T>(),
                              data_or_null<T>(args.residual),
                              rstd.data_ptr<A>(),
                              data_or_null<T>(grads.dx),
                              data_or_null<T>(grads.dresidual),
                              sums.data,
                              streams(args.x),
                              rows_of<A>(args)};
  args.channels_last ? call.columns() : call.rows();
  call.params.reduce(call.saved, sums.data, data_or_null<A>(grads.dweight),
                     data_or_null<A>(grads.dbias), data_or_null<A>(grads.dtau),
                     data_or_null<A>(grads.deps));
}

}  // namespace

void frn_forward_cpu(const FrnArgs& args, const at::Tensor& z, const at::Tensor& rstd) {
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, args.x.scalar_type(), "frn_forward_cpu",
                                  [&] { forward<scalar_t>(args, z, rstd); });
}

void frn_backward_cpu(const FrnArgs& args, const at::Tensor& dz, const at::Tensor& rstd,
                      const FrnGrads& grads) {
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, args.x.scalar_type(),
                                  "frn_backward_cpu",
                                  [&] { backward<scalar_t>(args, dz, rstd, grads); });
}

}  // namespace mmdet_frn
