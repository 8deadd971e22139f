// What frn.cpp (checks, dispatch, registration) and the kernels of each device share.
#pragma once

#include <ATen/core/Tensor.h>

namespace mmdet_frn {

// Arguments of a kernel, checked and laid out by frn.cpp; never empty (N, C and HW are positive).
// "acc" is the dtype of statistics and partial sums: fp64 for fp64 input, else fp32.
struct FrnArgs {
  at::Tensor x;       // (N, C, *); fp64, fp32, fp16 or bf16; dense, in the layout named below
  at::Tensor weight;  // (C,) acc, contiguous
  at::Tensor bias;    // (C,) acc, contiguous
  at::Tensor eps;     // acc, contiguous, of 1 or C elements; |eps| counts. Undefined: eps_value
  double eps_value = 0.0;  // already |eps|; read only where the tensor eps is undefined
  at::Tensor tau;          // (C,) acc, contiguous. Undefined: no threshold
  at::Tensor residual;     // x's shape, dtype and layout. Undefined: none
  int64_t n = 0;
  int64_t c = 0;
  int64_t hw = 0;              // product of the spatial dims
  bool channels_last = false;  // memory is [N][HW][C] (also chosen for HW == 1), else [N][C][HW]
};

// Outputs of backward, allocated by frn.cpp; an undefined tensor is not wanted.
struct FrnGrads {
  at::Tensor dx;         // x's dtype and layout
  at::Tensor dweight;    // (C,) acc
  at::Tensor dbias;      // (C,) acc
  at::Tensor deps;       // acc, as many elements as eps; never defined without eps
  at::Tensor dtau;       // (C,) acc; never defined without tau
  at::Tensor dresidual;  // x's dtype and layout; never defined without residual
};

// Fills z (x's dtype and layout) and rstd ((N, C) acc, contiguous, rsqrt(mean(x^2) + |eps|)).
// y = fma(x, weight * rstd, bias) [+ residual], all in acc; z = y < tau || isnan(tau) ? tau : y.
void frn_forward_cpu(const FrnArgs& args, const at::Tensor& z, const at::Tensor& rstd);
void frn_forward_cuda(const FrnArgs& args, const at::Tensor& z, const at::Tensor& rstd);

// dz has x's dtype and layout. With y as in forward, bit for bit, and per row (n, c)
//   g = y < tau || isnan(tau) ? 0 : dz        dresidual = g
//   dx = weight * rstd * g - x * weight * rstd^3 * mean(g * x)
//   dweight = sum_n rstd * sum(g * x)         dbias = sum_n sum(g)
//   dtau = sum_n sum(dz - g)                  deps = sum_n -sign(eps) / 2 * weight * rstd^3 * sum(g
//   * x)
void frn_backward_cpu(const FrnArgs& args, const at::Tensor& dz, const at::Tensor& rstd,
                      const FrnGrads& grads);
void frn_backward_cuda(const FrnArgs& args, const at::Tensor& dz, const at::Tensor& rstd,
                       const FrnGrads& grads);

}  // namespace mmdet_frn
