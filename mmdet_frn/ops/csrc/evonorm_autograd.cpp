// The gradient of mmdet_frn::evonorm_s0: the fused backward, and plain differentiable ops where its
// own gradient is asked for (create_graph).
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <array>
#include <optional>
#include <tuple>

#include "grouped.h"

namespace mmdet_frn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Optional = std::optional<at::Tensor>;
using Grads = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

std::tuple<at::Tensor, at::Tensor> call_forward(const at::Tensor& x, const at::Tensor& weight,
                                                const at::Tensor& bias, int64_t num_groups,
                                                double eps, const Optional& v) {
  using Forward = std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, int64_t, double, const Optional&);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mmdet_frn::evonorm_s0_forward", "")
                             .typed<Forward>();
  return op.call(x, weight, bias, num_groups, eps, v);
}

Grads call_backward(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& stats,
                    const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups,
                    double eps, const Optional& v, std::array<bool, 4> wanted) {
  using Backward = Grads(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                         const at::Tensor&, int64_t, double, const Optional&, std::array<bool, 4>);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mmdet_frn::evonorm_s0_backward", "")
                             .typed<Backward>();
  return op.call(dz, x, stats, weight, bias, num_groups, eps, v, wanted);
}

// The formulas of evonorm.h in differentiable ops; the statistics are computed again, as functions
// of x.
variable_list differentiable_backward(const at::Tensor& dz, const at::Tensor& x,
                                      const at::Tensor& weight, const at::Tensor& bias,
                                      int64_t num_groups, double eps, const at::Tensor& v) {
  const Grouped grouped(x, num_groups);
  const auto wide_x = grouped(x), g = grouped(dz);
  const auto from_mean = wide_x - Grouped::mean(wide_x);
  const auto r = Grouped::rstd(from_mean, eps);
  const auto wg = grouped.per_channel(weight) * g;
  auto f = wide_x, direct = wg;
  at::Tensor none, dv;
  if (v.defined()) {
    const auto wide_v = grouped.per_channel(v);
    const auto s = at::sigmoid(wide_v * wide_x);
    const auto bend = wide_x * (s * (1 - s));
    f = wide_x * s;
    direct = wg * (s + wide_v * bend);
    dv = Grouped::sum_like(wg * r * wide_x * bend, v);
  }
  const auto dx = r * (direct - from_mean * r * (Grouped::mean(wg * f) * r));
  return {Grouped::like(dx, x),
          Grouped::sum_like(g * f * r, weight),
          Grouped::sum_like(g, bias),
          none,  // num_groups
          none,  // eps
          dv};
}

class EvoNormFunction : public torch::autograd::Function<EvoNormFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, int64_t num_groups, double eps,
                            const Optional& v) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [z, stats] = call_forward(x, weight, bias, num_groups, eps, v);
    ctx->save_for_backward({x, weight, bias, v.value_or(at::Tensor()), stats});
    ctx->saved_data["num_groups"] = num_groups;
    ctx->saved_data["eps"] = eps;
    return z;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grad_outputs) {
    const auto& dz = grad_outputs[0];
    if (!dz.defined()) return variable_list(6);
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &v = saved[3];
    const auto& stats = saved[4];
    const auto num_groups = ctx->saved_data["num_groups"].toInt();
    const auto eps = ctx->saved_data["eps"].toDouble();
    if (at::GradMode::is_enabled()) {
      return differentiable_backward(dz, x, weight, bias, num_groups, eps, v);
    }
    const bool has_v = v.defined();
    const auto [dx, dweight, dbias, dv] =
        call_backward(dz, x, stats, weight, bias, num_groups, eps, has_v ? Optional(v) : Optional(),
                      {ctx->needs_input_grad(0), ctx->needs_input_grad(1), ctx->needs_input_grad(2),
                       has_v && ctx->needs_input_grad(3)});
    const at::Tensor none;
    return {dx, dweight, dbias, none, none, dv};
  }
};

at::Tensor evonorm_s0(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      int64_t num_groups, double eps, const Optional& v) {
  return std::get<0>(call_forward(x, weight, bias, num_groups, eps, v));
}

at::Tensor evonorm_s0_autograd(const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& bias, int64_t num_groups, double eps,
                               const Optional& v) {
  bool differentiated = false;
  for (const auto* t : {&x, &weight, &bias, v.has_value() ? &*v : nullptr}) {
    if (t == nullptr) continue;
    // The function refuses tangents of forward mode, which would be lost below.
    differentiated |=
        (at::GradMode::is_enabled() && t->requires_grad()) || t->_fw_grad(/*level=*/0).defined();
  }
  if (differentiated) return EvoNormFunction::apply(x, weight, bias, num_groups, eps, v);
  at::AutoDispatchBelowADInplaceOrView guard;
  return evonorm_s0(x, weight, bias, num_groups, eps, v);
}

}  // namespace

TORCH_LIBRARY_IMPL(mmdet_frn, Autograd, m) { m.impl("evonorm_s0", &evonorm_s0_autograd); }

// Below autograd: inference mode, and meta tensors through evonorm_s0_forward.
TORCH_LIBRARY_IMPL(mmdet_frn, CompositeExplicitAutograd, m) { m.impl("evonorm_s0", &evonorm_s0); }

}  // namespace mmdet_frn
