// Launchers of the norms over groups of channels, GN to LFRN, on a GPU.
#include <c10/cuda/CUDAGuard.h>

#include "../group_norm.h"
#include "group_launch.cuh"
#include "group_norm.cuh"

namespace mmdet_frn {
namespace {

template <typename A>
Group::Params<A> make_params(const GroupArgs& args) {
  auto p = group_params<Group::Params<A>>(args);
  p.tau = read_ptr<A>(args.tau);
  p.relu = args.relu;
  p.centered = args.centered;
  return p;
}

}  // namespace

void group_norm_forward_cuda(const GroupArgs& args, const at::Tensor& z, const at::Tensor& stats) {
  const c10::cuda::CUDAGuard guard(args.x.device());
  dispatch_dtype(args.x.scalar_type(), [&](auto t) {
    using T = decltype(t);
    using A = acc_t<T>;
    const ForwardArgs<Group, T> a{read_ptr<T>(args.x), read_ptr<T>(args.residual), write_ptr<T>(z),
                                  write_ptr<A>(stats), make_params<A>(args)};
    forward_norm(args, a, stats);
  });
}

void group_norm_backward_cuda(const GroupArgs& args, const at::Tensor& dz, const at::Tensor& stats,
                              const GroupGrads& grads) {
  const c10::cuda::CUDAGuard guard(args.x.device());
  dispatch_dtype(args.x.scalar_type(), [&](auto t) {
    using T = decltype(t);
    BackwardArgs<Group, T> a{};
    a.x = read_ptr<T>(args.x);
    a.dz = read_ptr<T>(dz);
    a.residual = read_ptr<T>(args.residual);
    a.dx = write_ptr<T>(grads.dx);
    a.dresidual = write_ptr<T>(grads.dresidual);
    a.params = make_params<acc_t<T>>(args);
    backward_norm(args, a, stats, grads.dweight, grads.dbias, grads.dtau);
  });
}

}  // namespace mmdet_frn
