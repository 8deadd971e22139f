// FRN [+ residual] [+ TLU]: schemas, checks, layouts and the choice of the device's kernels.
// Half input gives half output with statistics in fp32; parameters may stay fp32, also under
// autocast, which therefore needs no kernel of its own.
#include "frn.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include <array>
#include <cmath>
#include <tuple>

#include "checks.h"
#include "layout.h"

namespace mmdet_frn {
namespace {

using Grads = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using ForwardKernel = void (*)(const FrnArgs&, const at::Tensor&, const at::Tensor&);
using BackwardKernel = void (*)(const FrnArgs&, const at::Tensor&, const at::Tensor&,
                                const FrnGrads&);

FrnArgs prepare(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                const std::optional<at::Tensor>& eps, double eps_value,
                const std::optional<at::Tensor>& tau, const std::optional<at::Tensor>& residual) {
  FrnArgs args;
  lay_out(args, x);
  args.weight = per_channel(weight, x);
  args.bias = per_channel(bias, x);
  if (eps.has_value()) args.eps = per_channel(*eps, x);
  args.eps_value = std::abs(eps_value);
  if (tau.has_value()) args.tau = per_channel(*tau, x);
  if (residual.has_value()) args.residual = residual->contiguous(layout_of(x));
  return args;
}

template <ForwardKernel kernel>
std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x, const at::Tensor& weight,
                                           const at::Tensor& bias,
                                           const std::optional<at::Tensor>& eps, double eps_value,
                                           const std::optional<at::Tensor>& tau,
                                           const std::optional<at::Tensor>& residual) {
  check_arguments(x, weight, bias, eps, eps_value, tau, residual);
  auto z = at::empty_like(x, x.options(), layout_of(x));
  auto rstd = at::empty({x.size(0), x.size(1)}, x.options().dtype(acc_type(x)));
  if (x.numel() != 0) {
    kernel(prepare(x, weight, bias, eps, eps_value, tau, residual), z, rstd);
  }
  return {z, rstd};
}

template <BackwardKernel kernel>
Grads backward(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& rstd,
               const at::Tensor& weight, const at::Tensor& bias,
               const std::optional<at::Tensor>& eps, double eps_value,
               const std::optional<at::Tensor>& tau, const std::optional<at::Tensor>& residual,
               std::array<bool, 6> output_mask) {
  check_arguments(x, weight, bias, eps, eps_value, tau, residual);
  check_backward_arguments(dz, x, rstd);
  const auto layout = layout_of(x);
  const auto acc = x.options().dtype(acc_type(x));
  const auto like_x = [&](bool wanted) {
    return wanted ? at::empty_like(x, x.options(), layout) : at::Tensor();
  };
  const auto like_param = [&](bool wanted, const at::Tensor& param) {
    return wanted ? at::empty(param.sizes(), acc) : at::Tensor();
  };
  FrnGrads grads;
  grads.dx = like_x(output_mask[0]);
  grads.dweight = like_param(output_mask[1], weight);
  grads.dbias = like_param(output_mask[2], bias);
  if (eps.has_value()) grads.deps = like_param(output_mask[3], *eps);
  if (tau.has_value()) grads.dtau = like_param(output_mask[4], *tau);
  if (residual.has_value()) grads.dresidual = like_x(output_mask[5]);
  if (x.numel() != 0) {
    kernel(prepare(x, weight, bias, eps, eps_value, tau, residual), dz.contiguous(layout),
           rstd.contiguous(), grads);
  } else {
    for (auto* grad : {&grads.dweight, &grads.dbias, &grads.deps, &grads.dtau}) {
      if (grad->defined()) grad->zero_();
    }
  }
  const auto as = [](const at::Tensor& grad, const std::optional<at::Tensor>& param) {
    return grad.defined() ? grad.to(param->scalar_type()) : grad;
  };
  return {grads.dx,
          as(grads.dweight, weight),
          as(grads.dbias, bias),
          as(grads.deps, eps),
          as(grads.dtau, tau),
          grads.dresidual};
}

// Shapes, dtypes and layouts without data, also with symbolic sizes.
std::tuple<at::Tensor, at::Tensor> forward_meta(const at::Tensor& x, const at::Tensor& weight,
                                                const at::Tensor& bias,
                                                const std::optional<at::Tensor>& eps,
                                                double eps_value,
                                                const std::optional<at::Tensor>& tau,
                                                const std::optional<at::Tensor>& residual) {
  check_arguments(x, weight, bias, eps, eps_value, tau, residual);
  return {at::empty_like(x, x.options(), layout_of(x)),
          at::empty_symint({x.sym_size(0), x.sym_size(1)}, x.options().dtype(acc_type(x)))};
}

Grads backward_meta(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& rstd,
                    const at::Tensor& weight, const at::Tensor& bias,
                    const std::optional<at::Tensor>& eps, double eps_value,
                    const std::optional<at::Tensor>& tau, const std::optional<at::Tensor>& residual,
                    std::array<bool, 6> output_mask) {
  check_arguments(x, weight, bias, eps, eps_value, tau, residual);
  check_backward_arguments(dz, x, rstd);
  const auto like = [&](size_t i, const std::optional<at::Tensor>& input) {
    if (!output_mask[i] || !input.has_value()) return at::Tensor();
    return at::empty_symint(input->sym_sizes(), input->options());
  };
  const auto like_x = [&](size_t i, bool given) {
    return output_mask[i] && given ? at::empty_like(x, x.options(), layout_of(x)) : at::Tensor();
  };
  return {like_x(0, true), like(1, weight), like(2, bias),
          like(3, eps),    like(4, tau),    like_x(5, residual.has_value())};
}

}  // namespace

TORCH_LIBRARY(mmdet_frn, m) {
  // z of the user; frn_autograd.cpp gives it a gradient.
  m.def(
      "frn(Tensor x, Tensor weight, Tensor bias, Tensor? eps=None, float eps_value=1e-6, "
      "Tensor? tau=None, Tensor? residual=None) -> Tensor",
      {at::Tag::pt2_compliant_tag});
  // rstd, (N, C) in fp32 (fp64 for fp64), is what backward needs besides the inputs.
  m.def(
      "frn_forward(Tensor x, Tensor weight, Tensor bias, Tensor? eps, float eps_value, "
      "Tensor? tau, Tensor? residual) -> (Tensor z, Tensor rstd)",
      {at::Tag::pt2_compliant_tag});
  m.def(
      "frn_backward(Tensor dz, Tensor x, Tensor rstd, Tensor weight, Tensor bias, Tensor? eps, "
      "float eps_value, Tensor? tau, Tensor? residual, bool[6] output_mask) -> (Tensor dx, "
      "Tensor dweight, Tensor dbias, Tensor deps, Tensor dtau, Tensor dresidual)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(mmdet_frn, CPU, m) {
  m.impl("frn_forward", &forward<frn_forward_cpu>);
  m.impl("frn_backward", &backward<frn_backward_cpu>);
}

#ifdef MMDET_FRN_WITH_CUDA
TORCH_LIBRARY_IMPL(mmdet_frn, CUDA, m) {
  m.impl("frn_forward", &forward<frn_forward_cuda>);
  m.impl("frn_backward", &backward<frn_backward_cuda>);
}
#endif

TORCH_LIBRARY_IMPL(mmdet_frn, Meta, m) {
  m.impl("frn_forward", &forward_meta);
  m.impl("frn_backward", &backward_meta);
}

}  // namespace mmdet_frn
