// Functions of an element with parameters per channel, as one op: TLU, Affine-TLU and DyT. Schemas,
// checks, layouts and the choice of the device's kernels. Half input gives half output and is
// computed in fp32; parameters may stay fp32.
#include "pointwise.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "checks.h"
#include "layout.h"

namespace mmdet_frn {
namespace {

using ForwardKernel = void (*)(const PointwiseArgs&, const at::Tensor&);
using BackwardKernel = void (*)(const PointwiseArgs&, const at::Tensor&, const at::Tensor&,
                                const std::vector<at::Tensor>&);

void check(const at::Tensor& x, at::TensorList params, c10::string_view function) {
  check_pointwise_arguments(x, params, parameters_of(function_of(function)));
}

PointwiseArgs prepare(const at::Tensor& x, at::TensorList params, c10::string_view function) {
  PointwiseArgs args;
  lay_out(args, x);
  for (const auto& param : params) args.params.push_back(per_channel(param, x));
  args.function = function_of(function);
  return args;
}

template <ForwardKernel kernel>
at::Tensor forward(const at::Tensor& x, at::TensorList params, c10::string_view function) {
  check(x, params, function);
  auto z = at::empty_like(x, x.options(), layout_of(x));
  if (x.numel() != 0) kernel(prepare(x, params, function), z);
  return z;
}

template <BackwardKernel kernel>
std::vector<at::Tensor> backward(const at::Tensor& dz, const at::Tensor& x, at::TensorList params,
                                 c10::string_view function) {
  check(x, params, function);
  check_gradient(dz, x);
  const auto layout = layout_of(x);
  std::vector<at::Tensor> grads;
  const auto like_param = x.options().dtype(acc_type(x));
  for (size_t i = 0; i < params.size(); ++i) grads.push_back(at::empty({x.size(1)}, like_param));
  const auto dx = at::empty_like(x, x.options(), layout);
  if (x.numel() != 0) {
    kernel(prepare(x, params, function), dz.contiguous(layout), dx, grads);
  } else {
    for (const auto& grad : grads) grad.zero_();
  }
  for (size_t i = 0; i < params.size(); ++i) grads[i] = grads[i].to(params[i].scalar_type());
  grads.insert(grads.begin(), dx);
  return grads;
}

// Shapes, dtypes and layouts without data, also with symbolic sizes.
at::Tensor forward_meta(const at::Tensor& x, at::TensorList params, c10::string_view function) {
  check(x, params, function);
  return at::empty_like(x, x.options(), layout_of(x));
}

std::vector<at::Tensor> backward_meta(const at::Tensor& dz, const at::Tensor& x,
                                      at::TensorList params, c10::string_view function) {
  check(x, params, function);
  check_gradient(dz, x);
  std::vector<at::Tensor> grads = {at::empty_like(x, x.options(), layout_of(x))};
  for (const auto& param : params) {
    grads.push_back(at::empty_symint(param.sym_sizes(), param.options()));
  }
  return grads;
}

}  // namespace

Function function_of(c10::string_view name) {
  if (name == "tlu") return Function::kTlu;
  if (name == "affine_tlu") return Function::kAffineTlu;
  TORCH_CHECK_VALUE(name == "dyt", "function must be tlu, affine_tlu or dyt, but is ", name);
  return Function::kDyt;
}

std::vector<const char*> parameters_of(Function function) {
  switch (function) {
    case Function::kTlu:
      return {"tau"};
    case Function::kAffineTlu:
      return {"kappa", "tau"};
    default:
      return {"weight", "bias", "alpha"};
  }
}

TORCH_LIBRARY_FRAGMENT(mmdet_frn, m) {
  // pointwise_autograd.cpp gives it a gradient. function: tlu, affine_tlu or dyt.
  m.def("pointwise(Tensor x, Tensor[] params, str function) -> Tensor",
        {at::Tag::pt2_compliant_tag});
  // dx and the gradient of each parameter.
  m.def("pointwise_backward(Tensor dz, Tensor x, Tensor[] params, str function) -> Tensor[]",
        {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(mmdet_frn, CPU, m) {
  m.impl("pointwise", &forward<pointwise_forward_cpu>);
  m.impl("pointwise_backward", &backward<pointwise_backward_cpu>);
}

#ifdef MMDET_FRN_WITH_CUDA
TORCH_LIBRARY_IMPL(mmdet_frn, CUDA, m) {
  m.impl("pointwise", &forward<pointwise_forward_cuda>);
  m.impl("pointwise_backward", &backward<pointwise_backward_cuda>);
}
#endif

TORCH_LIBRARY_IMPL(mmdet_frn, Meta, m) {
  m.impl("pointwise", &forward_meta);
  m.impl("pointwise_backward", &backward_meta);
}

}  // namespace mmdet_frn
