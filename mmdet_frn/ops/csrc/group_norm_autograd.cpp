// The gradient of mmdet_frn::group_norm: the fused backward, and plain differentiable ops where its
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
using Grads = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// What is no tensor among the arguments.
struct Settings {
  int64_t num_groups;
  double eps;
  bool centered, relu;
};

std::tuple<at::Tensor, at::Tensor> call_forward(const at::Tensor& x, const at::Tensor& weight,
                                                const at::Tensor& bias, const Settings& s,
                                                const Optional& tau, const Optional& residual) {
  using Forward = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&,
                                                     const at::Tensor&, int64_t, double, bool,
                                                     const Optional&, bool, const Optional&);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mmdet_frn::group_norm_forward", "")
                             .typed<Forward>();
  return op.call(x, weight, bias, s.num_groups, s.eps, s.centered, tau, s.relu, residual);
}

Grads call_backward(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& stats,
                    const at::Tensor& weight, const at::Tensor& bias, const Settings& s,
                    const Optional& tau, const Optional& residual, std::array<bool, 5> wanted) {
  using Backward = Grads(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                         const at::Tensor&, int64_t, double, bool, const Optional&, bool,
                         const Optional&, std::array<bool, 5>);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mmdet_frn::group_norm_backward", "")
                             .typed<Backward>();
  return op.call(dz, x, stats, weight, bias, s.num_groups, s.eps, s.centered, tau, s.relu, residual,
                 wanted);
}

// The formulas of group_norm.h in differentiable ops; the statistics are computed again, as
// functions of x.
variable_list differentiable_backward(const at::Tensor& dz, const at::Tensor& x,
                                      const at::Tensor& weight, const at::Tensor& bias,
                                      const Settings& s, const at::Tensor& tau,
                                      const at::Tensor& residual) {
  const Grouped grouped(x, s.num_groups);
  auto from_mean = grouped(x);
  if (s.centered) from_mean = from_mean - Grouped::mean(from_mean);
  const auto w = grouped.per_channel(weight);
  const auto r = Grouped::rstd(from_mean, s.eps);
  const auto x_hat = from_mean * r;
  auto g = grouped(dz);
  at::Tensor dtau;
  if (tau.defined() || s.relu) {
    auto y = w * x_hat + grouped.per_channel(bias);
    if (residual.defined()) y = y + grouped(residual);
    const auto zero = at::zeros({}, g.options());
    at::Tensor dropped;
    if (s.relu) {
      dropped = y <= 0;
    } else {
      const auto t = grouped.per_channel(tau);
      dropped = (y < t).logical_or(t.isnan());
      dtau = Grouped::sum_like(at::where(dropped, g, zero), tau);
    }
    g = at::where(dropped, zero, g);
  }
  const auto wg = w * g;
  auto dx = wg - x_hat * Grouped::mean(wg * x_hat);
  if (s.centered) dx = dx - Grouped::mean(wg);
  at::Tensor none, dresidual;
  if (residual.defined()) dresidual = Grouped::like(g, residual);
  return {Grouped::like(dx * r, x),
          Grouped::sum_like(g * x_hat, weight),
          Grouped::sum_like(g, bias),
          none,  // num_groups
          none,  // eps
          none,  // centered
          dtau,
          none,  // relu
          dresidual};
}

class GroupNormFunction : public torch::autograd::Function<GroupNormFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, int64_t num_groups, double eps, bool centered,
                            const Optional& tau, bool relu, const Optional& residual) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [z, stats] =
        call_forward(x, weight, bias, {num_groups, eps, centered, relu}, tau, residual);
    ctx->save_for_backward(
        {x, weight, bias, tau.value_or(at::Tensor()), residual.value_or(at::Tensor()), stats});
    ctx->saved_data["num_groups"] = num_groups;
    ctx->saved_data["eps"] = eps;
    ctx->saved_data["centered"] = centered;
    ctx->saved_data["relu"] = relu;
    return z;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grad_outputs) {
    const auto& dz = grad_outputs[0];
    if (!dz.defined()) return variable_list(9);
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2];
    const auto &tau = saved[3], &residual = saved[4], &stats = saved[5];
    const Settings settings{ctx->saved_data["num_groups"].toInt(),
                            ctx->saved_data["eps"].toDouble(), ctx->saved_data["centered"].toBool(),
                            ctx->saved_data["relu"].toBool()};
    if (at::GradMode::is_enabled()) {
      return differentiable_backward(dz, x, weight, bias, settings, tau, residual);
    }
    std::array<bool, 5> wanted{};
    size_t edge = 0;  // only tensors that were given have one
    for (size_t i = 0; i < 5; ++i) {
      if (saved[i].defined()) wanted[i] = ctx->needs_input_grad(edge++);
    }
    const auto optional = [](const at::Tensor& t) {
      return t.defined() ? Optional(t) : Optional();
    };
    auto [dx, dweight, dbias, dtau, dresidual] = call_backward(
        dz, x, stats, weight, bias, settings, optional(tau), optional(residual), wanted);
    const at::Tensor none;
    return {dx, dweight, dbias, none, none, none, dtau, none, dresidual};
  }
};

at::Tensor group_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      int64_t num_groups, double eps, bool centered, const Optional& tau, bool relu,
                      const Optional& residual) {
  return std::get<0>(
      call_forward(x, weight, bias, {num_groups, eps, centered, relu}, tau, residual));
}

at::Tensor group_norm_autograd(const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& bias, int64_t num_groups, double eps,
                               bool centered, const Optional& tau, bool relu,
                               const Optional& residual) {
  const auto pointer = [](const Optional& t) { return t.has_value() ? &*t : nullptr; };
  bool differentiated = false;
  for (const auto* t : {&x, &weight, &bias, pointer(tau), pointer(residual)}) {
    if (t == nullptr) continue;
    // The function refuses tangents of forward mode, which would be lost below.
    differentiated |=
        (at::GradMode::is_enabled() && t->requires_grad()) || t->_fw_grad(/*level=*/0).defined();
  }
  if (differentiated) {
    return GroupNormFunction::apply(x, weight, bias, num_groups, eps, centered, tau, relu,
                                    residual);
  }
  at::AutoDispatchBelowADInplaceOrView guard;
  return group_norm(x, weight, bias, num_groups, eps, centered, tau, relu, residual);
}

}  // namespace

TORCH_LIBRARY_IMPL(mmdet_frn, Autograd, m) { m.impl("group_norm", &group_norm_autograd); }

// Below autograd: inference mode, and meta tensors through group_norm_forward.
TORCH_LIBRARY_IMPL(mmdet_frn, CompositeExplicitAutograd, m) { m.impl("group_norm", &group_norm); }

}  // namespace mmdet_frn
