// A norm over groups of channels on the CPU: the walks of forward.h and
// backward.h with the arithmetic of group_policy.h.
#include "../group_norm.h"

#include <ATen/Dispatch.h>

#include "backward.h"
#include "forward.h"
#include "group_policy.h"

namespace mmdet_frn {
namespace {

template <bool kCentered, typename A>
typename Group<kCentered>::template Rows<A> rows_of(const GroupArgs& args) {
  return {args.n,
          args.c,
          args.hw,
          args.group,
          args.weight.data_ptr<A>(),
          args.bias.data_ptr<A>(),
          data_or_null<A>(args.tau),
          args.relu,
          args.eps};
}

template <bool kCentered, typename T>
void forward(const GroupArgs& args, const at::Tensor& z, const at::Tensor& stats) {
  using A = Acc<T>;
  const Forward<Group<kCentered>, T> call{{args.n, args.c, args.hw, args.group},
                                          args.x.data_ptr<T>(),
                                          data_or_null<T>(args.residual),
                                          z.data_ptr<T>(),
                                          stats.data_ptr<A>(),
                                          streams(args.x),
                                          rows_of<kCentered, A>(args)};
  args.channels_last ? call.columns() : call.rows();
}

template <bool kCentered, typename T>
void backward(const GroupArgs& args, const at::Tensor& dz, const at::Tensor& stats,
              const GroupGrads& grads) {
  using A = Acc<T>;
  using Norm = Group<kCentered>;
  const Scratch<double> sums({Norm::kGradSums, args.n, args.c});
  const Backward<Norm, T> call{{args.n, args.c, args.hw, args.group},
                               dz.data_ptr<T>(),
                               args.x.data_ptr<T>(),
                               data_or_null<T>(args.residual),
                               stats.data_ptr<A>(),
                               data_or_null<T>(grads.dx),
                               data_or_null<T>(grads.dresidual),
                               sums.data,
                               streams(args.x),
                               rows_of<kCentered, A>(args)};
  args.channels_last ? call.columns() : call.rows();
  call.params.reduce(call.saved, sums.data, data_or_null<A>(grads.dweight),
                     data_or_null<A>(grads.dbias), data_or_null<A>(grads.dtau));
}

}  // namespace

void group_norm_forward_cpu(const GroupArgs& args, const at::Tensor& z, const at::Tensor& stats) {
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, args.x.scalar_type(),
                                  "group_norm_forward_cpu", [&] {
                                    args.centered ? forward<true, scalar_t>(args, z, stats)
                                                  : forward<false, scalar_t>(args, z, stats);
                                  });
}

void group_norm_backward_cpu(const GroupArgs& args, const at::Tensor& dz, const at::Tensor& stats,
                             const GroupGrads& grads) {
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, args.x.scalar_type(), "group_norm_backward_cpu", [&] {
        args.centered ? backward<true, scalar_t>(args, dz, stats, grads)
                      : backward<false, scalar_t>(args, dz, stats, grads);
      });
}

}  // namespace mmdet_frn
