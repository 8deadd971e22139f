// Launchers of EvoNorm-S0 on a GPU.
#include <c10/cuda/CUDAGuard.h>

#include "../evonorm.h"
#include "evonorm.cuh"
#include "group_launch.cuh"

namespace mmdet_frn {
namespace {

template <typename A>
EvoNorm::Params<A> make_params(const EvoNormArgs& args) {
  auto p = group_params<EvoNorm::Params<A>>(args);
  p.v = read_ptr<A>(args.v);
  return p;
}

}  // namespace

void evonorm_s0_forward_cuda(const EvoNormArgs& args, const at::Tensor& z,
                             const at::Tensor& stats) {
  const c10::cuda::CUDAGuard guard(args.x.device());
  dispatch_dtype(args.x.scalar_type(), [&](auto t) {
    using T = decltype(t);
    using A = acc_t<T>;
    const ForwardArgs<EvoNorm, T> a{read_ptr<T>(args.x), nullptr, write_ptr<T>(z),
                                    write_ptr<A>(stats), make_params<A>(args)};
    forward_norm(args, a, stats);
  });
}

void evonorm_s0_backward_cuda(const EvoNormArgs& args, const at::Tensor& dz,
                              const at::Tensor& stats, const EvoNormGrads& grads) {
  const c10::cuda::CUDAGuard guard(args.x.device());
  dispatch_dtype(args.x.scalar_type(), [&](auto t) {
    using T = decltype(t);
    BackwardArgs<EvoNorm, T> a{};
    a.x = read_ptr<T>(args.x);
    a.dz = read_ptr<T>(dz);
    a.dx = write_ptr<T>(grads.dx);
    a.params = make_params<acc_t<T>>(args);
    backward_norm(args, a, stats, grads.dweight, grads.dbias, grads.dv);
  });
}

}  // namespace mmdet_frn
