// The kernels' arguments from those of FRN, and its launchers in channels-last
// memory.
#pragma once

#include "../frn.h"
#include "frn_norm.cuh"
#include "launch.h"

namespace mmdet_frn {

// Channels-last memory; the callers have set the device.
void forward_channels(const FrnArgs& args, const at::Tensor& z, const at::Tensor& rstd);
// sums: (kRowSums, N, C), filled.
void backward_channels(const FrnArgs& args, const at::Tensor& dz, const at::Tensor& rstd,
                       const FrnGrads& grads, const at::Tensor& sums);

template <typename A>
Frn::Params<A> make_params(const FrnArgs& args) {
  Frn::Params<A> p;
  p.weight = read_ptr<A>(args.weight);
  p.bias = read_ptr<A>(args.bias);
  p.tau = read_ptr<A>(args.tau);
  p.eps = read_ptr<A>(args.eps);
  p.eps_step = args.eps.defined() && args.eps.numel() > 1 ? 1 : 0;
  p.eps_value = static_cast<A>(args.eps_value);
  p.channels = static_cast<int>(args.c);
  return p;
}

template <typename T>
ForwardArgs<Frn, T> make_forward_args(const FrnArgs& args, const at::Tensor& z,
                                      const at::Tensor& rstd) {
  ForwardArgs<Frn, T> a;
  a.x = read_ptr<T>(args.x);
  a.residual = read_ptr<T>(args.residual);
  a.z = write_ptr<T>(z);
  a.stats = write_ptr<acc_t<T>>(rstd);
  a.params = make_params<acc_t<T>>(args);
  return a;
}

template <typename T>
BackwardArgs<Frn, T> make_backward_args(const FrnArgs& args, const at::Tensor& dz,
                                        const at::Tensor& rstd, const FrnGrads& grads,
                                        const at::Tensor& sums) {
  BackwardArgs<Frn, T> a;
  a.x = read_ptr<T>(args.x);
  a.dz = read_ptr<T>(dz);
  a.residual = read_ptr<T>(args.residual);
  a.dx = write_ptr<T>(grads.dx);
  a.dresidual = write_ptr<T>(grads.dresidual);
  a.stats = read_ptr<acc_t<T>>(rstd);
  a.sums = write_ptr<acc_t<T>>(sums);
  a.sums_step = args.n * args.c;
  a.pulls = nullptr;
  a.params = make_params<acc_t<T>>(args);
  return a;
}

}  // namespace mmdet_frn
