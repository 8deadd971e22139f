// What group_norm.cpp (checks, dispatch, registration) and the kernels of each device share.
#pragma once

#include <ATen/core/Tensor.h>

namespace mmdet_frn {

// Arguments of a kernel, checked and laid out by group_norm.cpp; never empty (N, C and HW are
// positive). "acc" is the dtype of statistics and partial sums: fp64 for fp64 input, else fp32.
struct GroupArgs {
  at::Tensor x;         // (N, C, *); fp64, fp32, fp16 or bf16; dense, in the layout named below
  at::Tensor weight;    // (C,) acc, contiguous
  at::Tensor bias;      // (C,) acc, contiguous
  at::Tensor tau;       // (C,) acc, contiguous. Undefined: no TLU
  at::Tensor residual;  // x's shape, dtype and layout. Undefined: none
  bool relu = false;    // never with tau
  bool centered = true;
  double eps = 0.0;
  int64_t n = 0;
  int64_t c = 0;
  int64_t hw = 0;              // product of the spatial dims
  int64_t group = 0;           // channels of a group
  bool channels_last = false;  // memory is [N][HW][C] (also chosen for HW == 1), else [N][C][HW]
};

// Outputs of backward, allocated by group_norm.cpp; an undefined tensor is not wanted.
struct GroupGrads {
  at::Tensor dx;         // x's dtype and layout
  at::Tensor dweight;    // (C,) acc
  at::Tensor dbias;      // (C,) acc
  at::Tensor dtau;       // (C,) acc; never defined without tau
  at::Tensor dresidual;  // x's dtype and layout; never defined without residual
};

// Fills z (x's dtype and layout) and stats ((2, N, groups) acc, contiguous): the mean of each
// group's channels and positions, 0 unless centered, and rstd = rsqrt(mean((x - mean)^2) + eps).
// y = fma(x, weight * rstd, bias - mean * weight * rstd) [+ residual], all in acc. With tau, z = y
// < tau || isnan(tau) ? tau : y. With relu, z = y <= 0 ? 0 : y.
void group_norm_forward_cpu(const GroupArgs& args, const at::Tensor& z, const at::Tensor& stats);
void group_norm_forward_cuda(const GroupArgs& args, const at::Tensor& z, const at::Tensor& stats);

// dz has x's dtype and layout. With y as in forward, bit for bit, and means over a group
//   g = z is y ? dz : 0                       dresidual = g
//   dx = rstd * (weight * g - x_hat * mean(weight * g * x_hat) - mean(weight * g)),
//        x_hat = (x - mean) * rstd, the last term only if centered
//   dweight = sum_n sum(g * x_hat)            dbias = sum_n sum(g)
//   dtau = sum_n sum(dz - g)
void group_norm_backward_cpu(const GroupArgs& args, const at::Tensor& dz, const at::Tensor& stats,
                             const GroupGrads& grads);
void group_norm_backward_cuda(const GroupArgs& args, const at::Tensor& dz, const at::Tensor& stats,
                              const GroupGrads& grads);

}  // namespace mmdet_frn
