// What pointwise.cpp (checks, dispatch, registration) and the kernels of each device share.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/string_view.h>

#include <vector>

namespace mmdet_frn {

// Functions of an element x with parameters (C,), in this order.
enum class Function {
  kTlu,        // tau: x < tau || isnan(tau) ? tau : x
  kAffineTlu,  // kappa, tau: x < kappa * x + tau ? kappa * x + tau : x
  kDyt,        // weight, bias, alpha: weight * tanh(alpha * x) + bias
};

// The function of a name: tlu, affine_tlu or dyt. Raises ValueError.
Function function_of(c10::string_view name);

std::vector<const char*> parameters_of(Function function);

// Arguments of a kernel, checked and laid out by pointwise.cpp; never empty. "acc" is fp64 for fp64
// input, else fp32.
struct PointwiseArgs {
  at::Tensor x;                    // (N, C, *); dense, in the layout named below
  std::vector<at::Tensor> params;  // each (C,) acc, contiguous
  Function function = Function::kTlu;
  int64_t n = 0;
  int64_t c = 0;
  int64_t hw = 0;              // product of the spatial dims
  bool channels_last = false;  // memory is [N][HW][C] (also chosen for HW == 1), else [N][C][HW]
};

// Fills z, of x's dtype and layout.
void pointwise_forward_cpu(const PointwiseArgs& args, const at::Tensor& z);
void pointwise_forward_cuda(const PointwiseArgs& args, const at::Tensor& z);

// Fills dx (x's dtype and layout) and dparams ((C,) acc, one for each parameter) from dz, which has
// x's dtype and layout.
void pointwise_backward_cpu(const PointwiseArgs& args, const at::Tensor& dz, const at::Tensor& dx,
                            const std::vector<at::Tensor>& dparams);
void pointwise_backward_cuda(const PointwiseArgs& args, const at::Tensor& dz, const at::Tensor& dx,
                             const std::vector<at::Tensor>& dparams);

}  // namespace mmdet_frn
