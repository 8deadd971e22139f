// What evonorm.cpp (checks, dispatch, registration) and the kernels of each device share.
#pragma once

#include <ATen/core/Tensor.h>

namespace mmdet_frn {

// Arguments of a kernel, checked and laid out by evonorm.cpp; never empty (N, C and HW are
// positive). "acc" is the dtype of statistics and partial sums: fp64 for fp64 input, else fp32.
struct EvoNormArgs {
  at::Tensor x;       // (N, C, *); fp64, fp32, fp16 or bf16; dense, in the layout named below
  at::Tensor weight;  // (C,) acc, contiguous
  at::Tensor bias;    // (C,) acc, contiguous
  at::Tensor v;       // (C,) acc, contiguous. Undefined: no activation
  double eps = 0.0;
  int64_t n = 0;
  int64_t c = 0;
  int64_t hw = 0;              // product of the spatial dims
  int64_t group = 0;           // channels of a group
  bool channels_last = false;  // memory is [N][HW][C] (also chosen for HW == 1), else [N][C][HW]
};

// Outputs of backward, allocated by evonorm.cpp; an undefined tensor is not wanted.
struct EvoNormGrads {
  at::Tensor dx;       // x's dtype and layout
  at::Tensor dweight;  // (C,) acc
  at::Tensor dbias;    // (C,) acc
  at::Tensor dv;       // (C,) acc; never defined without v
};

// Fills z (x's dtype and layout) and stats ((2, N, groups) acc, contiguous): mean and
// rstd = rsqrt(var + eps) of each group's channels and positions.
// z = weight * rstd * f + bias with f = x * sigmoid(v * x), or without v f = x.
void evonorm_s0_forward_cpu(const EvoNormArgs& args, const at::Tensor& z, const at::Tensor& stats);
void evonorm_s0_forward_cuda(const EvoNormArgs& args, const at::Tensor& z, const at::Tensor& stats);

// dz has x's dtype and layout. With s = sigmoid(v * x), or 1 without v, and the mean over a group
//   dx = rstd * (weight * dz * df/dx - (x - mean) * rstd^2 * mean(weight * dz * f)),
//        df/dx = s + v * x * s * (1 - s)
//   dweight = sum_n sum(dz * f * rstd)        dbias = sum_n sum(dz)
//   dv = sum_n sum(weight * rstd * dz * x^2 * s * (1 - s))
void evonorm_s0_backward_cpu(const EvoNormArgs& args, const at::Tensor& dz, const at::Tensor& stats,
                             const EvoNormGrads& grads);
void evonorm_s0_backward_cuda(const EvoNormArgs& args, const at::Tensor& dz,
                              const at::Tensor& stats, const EvoNormGrads& grads);

}  // namespace mmdet_frn
