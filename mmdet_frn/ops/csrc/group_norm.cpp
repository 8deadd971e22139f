// A norm over groups of channels [+ residual] [+ TLU or ReLU]: GN, LN over (C, H, W) and IN, and
// without the mean GFRN and LFRN. Schemas, checks, layouts and the choice of the device's kernels.
// Half input gives half output with statistics in fp32; parameters may stay fp32.
#include "group_norm.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include <array>
#include <tuple>

#include "checks.h"
#include "layout.h"

namespace mmdet_frn {
namespace {

using Optional = std::optional<at::Tensor>;
using Grads = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using ForwardKernel = void (*)(const GroupArgs&, const at::Tensor&, const at::Tensor&);
using BackwardKernel = void (*)(const GroupArgs&, const at::Tensor&, const at::Tensor&,
                                const GroupGrads&);

GroupArgs prepare(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  int64_t num_groups, double eps, bool centered, const Optional& tau, bool relu,
                  const Optional& residual) {
  GroupArgs args;
  lay_out(args, x);
  args.weight = per_channel(weight, x);
  args.bias = per_channel(bias, x);
  if (tau.has_value()) args.tau = per_channel(*tau, x);
  if (residual.has_value()) args.residual = residual->contiguous(layout_of(x));
  args.relu = relu;
  args.centered = centered;
  args.eps = eps;
  args.group = args.c / num_groups;
  return args;
}

template <ForwardKernel kernel>
std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x, const at::Tensor& weight,
                                           const at::Tensor& bias, int64_t num_groups, double eps,
                                           bool centered, const Optional& tau, bool relu,
                                           const Optional& residual) {
  check_group_arguments(x, weight, bias, num_groups, eps, tau, relu, residual);
  auto z = at::empty_like(x, x.options(), layout_of(x));
  auto stats = at::empty({2, x.size(0), num_groups}, x.options().dtype(acc_type(x)));
  if (x.numel() != 0) {
    kernel(prepare(x, weight, bias, num_groups, eps, centered, tau, relu, residual), z, stats);
  }
  return {z, stats};
}

template <BackwardKernel kernel>
Grads backward(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& stats,
               const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups, double eps,
               bool centered, const Optional& tau, bool relu, const Optional& residual,
               std::array<bool, 5> output_mask) {
  check_group_arguments(x, weight, bias, num_groups, eps, tau, relu, residual);
  check_group_backward_arguments(dz, x, stats, num_groups);
  const auto layout = layout_of(x);
  const auto like_x = [&](bool wanted) {
    return wanted ? at::empty_like(x, x.options(), layout) : at::Tensor();
  };
  const auto like_param = [&](bool wanted) {
    return wanted ? at::empty({x.size(1)}, x.options().dtype(acc_type(x))) : at::Tensor();
  };
  GroupGrads grads;
  grads.dx = like_x(output_mask[0]);
  grads.dweight = like_param(output_mask[1]);
  grads.dbias = like_param(output_mask[2]);
  grads.dtau = like_param(output_mask[3] && tau.has_value());
  grads.dresidual = like_x(output_mask[4] && residual.has_value());
  if (x.numel() != 0) {
    kernel(prepare(x, weight, bias, num_groups, eps, centered, tau, relu, residual),
           dz.contiguous(layout), stats.contiguous(), grads);
  } else {
    for (auto* grad : {&grads.dweight, &grads.dbias, &grads.dtau}) {
      if (grad->defined()) grad->zero_();
    }
  }
  const auto as = [](const at::Tensor& grad, const Optional& param) {
    return grad.defined() ? grad.to(param->scalar_type()) : grad;
  };
  return {grads.dx, as(grads.dweight, weight), as(grads.dbias, bias), as(grads.dtau, tau),
          grads.dresidual};
}

// Shapes, dtypes and layouts without data, also with symbolic sizes.
std::tuple<at::Tensor, at::Tensor> forward_meta(const at::Tensor& x, const at::Tensor& weight,
                                                const at::Tensor& bias, int64_t num_groups,
                                                double eps, bool /*centered*/, const Optional& tau,
                                                bool relu, const Optional& residual) {
  check_group_arguments(x, weight, bias, num_groups, eps, tau, relu, residual);
  return {at::empty_like(x, x.options(), layout_of(x)),
          at::empty_symint({2, x.sym_size(0), num_groups}, x.options().dtype(acc_type(x)))};
}

Grads backward_meta(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& stats,
                    const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups,
                    double eps, bool /*centered*/, const Optional& tau, bool relu,
                    const Optional& residual, std::array<bool, 5> output_mask) {
  check_group_arguments(x, weight, bias, num_groups, eps, tau, relu, residual);
  check_group_backward_arguments(dz, x, stats, num_groups);
  const auto like = [&](size_t i, const Optional& input) {
    if (!output_mask[i] || !input.has_value()) return at::Tensor();
    return at::empty_symint(input->sym_sizes(), input->options());
  };
  const auto like_x = [&](size_t i, bool given) {
    return output_mask[i] && given ? at::empty_like(x, x.options(), layout_of(x)) : at::Tensor();
  };
  return {like_x(0, true), like(1, weight), like(2, bias), like(3, tau),
          like_x(4, residual.has_value())};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmdet_frn, m) {
  // z of the user; group_norm_autograd.cpp gives it a gradient.
  m.def(
      "group_norm(Tensor x, Tensor weight, Tensor bias, int num_groups, float eps=1e-5, "
      "bool centered=True, Tensor? tau=None, bool relu=False, Tensor? residual=None) -> Tensor",
      {at::Tag::pt2_compliant_tag});
  // stats, (2, N, num_groups) in fp32 (fp64 for fp64), are what backward needs besides the inputs.
  m.def(
      "group_norm_forward(Tensor x, Tensor weight, Tensor bias, int num_groups, float eps, "
      "bool centered, Tensor? tau, bool relu, Tensor? residual) -> (Tensor z, Tensor stats)",
      {at::Tag::pt2_compliant_tag});
  m.def(
      "group_norm_backward(Tensor dz, Tensor x, Tensor stats, Tensor weight, Tensor bias, "
      "int num_groups, float eps, bool centered, Tensor? tau, bool relu, Tensor? residual, "
      "bool[5] output_mask) -> (Tensor dx, Tensor dweight, Tensor dbias, Tensor dtau, "
      "Tensor dresidual)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(mmdet_frn, CPU, m) {
  m.impl("group_norm_forward", &forward<group_norm_forward_cpu>);
  m.impl("group_norm_backward", &backward<group_norm_backward_cpu>);
}

#ifdef MMDET_FRN_WITH_CUDA
TORCH_LIBRARY_IMPL(mmdet_frn, CUDA, m) {
  m.impl("group_norm_forward", &forward<group_norm_forward_cuda>);
  m.impl("group_norm_backward", &backward<group_norm_backward_cuda>);
}
#endif

TORCH_LIBRARY_IMPL(mmdet_frn, Meta, m) {
  m.impl("group_norm_forward", &forward_meta);
  m.impl("group_norm_backward", &backward_meta);
}

}  // namespace mmdet_frn
