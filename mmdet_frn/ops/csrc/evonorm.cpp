// EvoNorm-S0 (Liu et al. 2020, Table 2): schemas, checks, layouts and the choice of the device's
// kernels. Half input gives half output with statistics in fp32; parameters may stay fp32.
#include "evonorm.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include <array>
#include <tuple>

#include "checks.h"
#include "layout.h"

namespace mmdet_frn {
namespace {

using Optional = std::optional<at::Tensor>;
using Grads = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using ForwardKernel = void (*)(const EvoNormArgs&, const at::Tensor&, const at::Tensor&);
using BackwardKernel = void (*)(const EvoNormArgs&, const at::Tensor&, const at::Tensor&,
                                const EvoNormGrads&);

EvoNormArgs prepare(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    int64_t num_groups, double eps, const Optional& v) {
  EvoNormArgs args;
  lay_out(args, x);
  args.weight = per_channel(weight, x);
  args.bias = per_channel(bias, x);
  if (v.has_value()) args.v = per_channel(*v, x);
  args.eps = eps;
  args.group = args.c / num_groups;
  return args;
}

template <ForwardKernel kernel>
std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x, const at::Tensor& weight,
                                           const at::Tensor& bias, int64_t num_groups, double eps,
                                           const Optional& v) {
  check_evonorm_arguments(x, weight, bias, num_groups, eps, v);
  auto z = at::empty_like(x, x.options(), layout_of(x));
  auto stats = at::empty({2, x.size(0), num_groups}, x.options().dtype(acc_type(x)));
  if (x.numel() != 0) kernel(prepare(x, weight, bias, num_groups, eps, v), z, stats);
  return {z, stats};
}

template <BackwardKernel kernel>
Grads backward(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& stats,
               const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups, double eps,
               const Optional& v, std::array<bool, 4> output_mask) {
  check_evonorm_arguments(x, weight, bias, num_groups, eps, v);
  check_group_backward_arguments(dz, x, stats, num_groups);
  const auto layout = layout_of(x);
  const auto like_param = [&](bool wanted) {
    return wanted ? at::empty({x.size(1)}, x.options().dtype(acc_type(x))) : at::Tensor();
  };
  EvoNormGrads grads;
  if (output_mask[0]) grads.dx = at::empty_like(x, x.options(), layout);
  grads.dweight = like_param(output_mask[1]);
  grads.dbias = like_param(output_mask[2]);
  grads.dv = like_param(output_mask[3] && v.has_value());
  if (x.numel() != 0) {
    kernel(prepare(x, weight, bias, num_groups, eps, v), dz.contiguous(layout), stats.contiguous(),
           grads);
  } else {
    for (auto* grad : {&grads.dweight, &grads.dbias, &grads.dv}) {
      if (grad->defined()) grad->zero_();
    }
  }
  const auto as = [](const at::Tensor& grad, const Optional& param) {
    return grad.defined() ? grad.to(param->scalar_type()) : grad;
  };
  return {grads.dx, as(grads.dweight, weight), as(grads.dbias, bias), as(grads.dv, v)};
}

// Shapes, dtypes and layouts without data, also with symbolic sizes.
std::tuple<at::Tensor, at::Tensor> forward_meta(const at::Tensor& x, const at::Tensor& weight,
                                                const at::Tensor& bias, int64_t num_groups,
                                                double eps, const Optional& v) {
  check_evonorm_arguments(x, weight, bias, num_groups, eps, v);
  return {at::empty_like(x, x.options(), layout_of(x)),
          at::empty_symint({2, x.sym_size(0), num_groups}, x.options().dtype(acc_type(x)))};
}

Grads backward_meta(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& stats,
                    const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups,
                    double eps, const Optional& v, std::array<bool, 4> output_mask) {
  check_evonorm_arguments(x, weight, bias, num_groups, eps, v);
  check_group_backward_arguments(dz, x, stats, num_groups);
  const auto like = [&](size_t i, const Optional& input) {
    if (!output_mask[i] || !input.has_value()) return at::Tensor();
    return at::empty_symint(input->sym_sizes(), input->options());
  };
  const auto dx = output_mask[0] ? at::empty_like(x, x.options(), layout_of(x)) : at::Tensor();
  return {dx, like(1, weight), like(2, bias), like(3, v)};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmdet_frn, m) {
  // z of the user; evonorm_autograd.cpp gives it a gradient.
  m.def(
      "evonorm_s0(Tensor x, Tensor weight, Tensor bias, int num_groups, float eps=1e-5, "
      "Tensor? v=None) -> Tensor",
      {at::Tag::pt2_compliant_tag});
  // stats, (2, N, num_groups) in fp32 (fp64 for fp64), are what backward needs besides the inputs.
  m.def(
      "evonorm_s0_forward(Tensor x, Tensor weight, Tensor bias, int num_groups, float eps, "
      "Tensor? v) -> (Tensor z, Tensor stats)",
      {at::Tag::pt2_compliant_tag});
  m.def(
      "evonorm_s0_backward(Tensor dz, Tensor x, Tensor stats, Tensor weight, Tensor bias, "
      "int num_groups, float eps, Tensor? v, bool[4] output_mask) "
      "-> (Tensor dx, Tensor dweight, Tensor dbias, Tensor dv)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(mmdet_frn, CPU, m) {
  m.impl("evonorm_s0_forward", &forward<evonorm_s0_forward_cpu>);
  m.impl("evonorm_s0_backward", &backward<evonorm_s0_backward_cpu>);
}

#ifdef MMDET_FRN_WITH_CUDA
TORCH_LIBRARY_IMPL(mmdet_frn, CUDA, m) {
  m.impl("evonorm_s0_forward", &forward<evonorm_s0_forward_cuda>);
  m.impl("evonorm_s0_backward", &backward<evonorm_s0_backward_cuda>);
}
#endif

TORCH_LIBRARY_IMPL(mmdet_frn, Meta, m) {
  m.impl("evonorm_s0_forward", &forward_meta);
  m.impl("evonorm_s0_backward", &backward_meta);
}

}  // namespace mmdet_frn
