// The gradient of mmdet_frn::frn: the fused backward, and plain differentiable ops where its own
// gradient is asked for (create_graph).
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <array>
#include <optional>
#include <tuple>

namespace mmdet_frn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Optional = std::optional<at::Tensor>;
using Grads = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

std::tuple<at::Tensor, at::Tensor> call_forward(const at::Tensor& x, const at::Tensor& weight,
                                                const at::Tensor& bias, const Optional& eps,
                                                double eps_value, const Optional& tau,
                                                const Optional& residual) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mmdet_frn::frn_forward", "")
                             .typed<decltype(call_forward)>();
  return op.call(x, weight, bias, eps, eps_value, tau, residual);
}

Grads call_backward(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& rstd,
                    const at::Tensor& weight, const at::Tensor& bias, const Optional& eps,
                    double eps_value, const Optional& tau, const Optional& residual,
                    std::array<bool, 6> output_mask) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mmdet_frn::frn_backward", "")
                             .typed<decltype(call_backward)>();
  return op.call(dz, x, rstd, weight, bias, eps, eps_value, tau, residual, output_mask);
}

// The formulas of frn.h in differentiable ops; rstd is computed again, as a function of x and eps.
variable_list differentiable_backward(const at::Tensor& dz, const at::Tensor& x,
                                      const at::Tensor& weight, const at::Tensor& bias,
                                      const at::Tensor& eps, double eps_value,
                                      const at::Tensor& tau, const at::Tensor& residual) {
  const auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  std::vector<int64_t> broadcast(x.dim(), 1);
  broadcast[1] = -1;
  const auto per_channel = [&](const at::Tensor& param) {
    return param.to(wide).reshape(broadcast);
  };
  std::vector<int64_t> spatial;
  for (int64_t d = 2; d < x.dim(); ++d) spatial.push_back(d);
  const auto row_mean = [&](const at::Tensor& t) {
    return spatial.empty() ? t : t.mean(spatial, /*keepdim=*/true);
  };
  std::vector<int64_t> samples = spatial;
  samples.push_back(0);
  const auto sum_like = [&](const at::Tensor& t, const at::Tensor& param) {
    const auto sum = param.numel() == 1 ? t.sum() : t.sum(samples);
    return sum.reshape_symint(param.sym_sizes()).to(param.scalar_type());
  };

  const auto xw = x.to(wide);
  const auto w = per_channel(weight);
  const auto nu2 = row_mean(xw * xw);
  // relu changes no value; it stops the gradient where the mean square overflowed and r is 0.
  const auto r =
      at::relu(at::rsqrt(eps.defined() ? nu2 + per_channel(eps).abs() : nu2 + std::abs(eps_value)));
  const auto x_hat = xw * r;
  auto g = dz.to(wide);
  at::Tensor dtau;
  if (tau.defined()) {
    const auto t = per_channel(tau);
    auto y = w * x_hat + per_channel(bias);
    if (residual.defined()) y = y + residual.to(wide);
    const auto dropped = (y < t).logical_or(t.isnan());
    const auto zero = at::zeros({}, g.options());
    dtau = sum_like(at::where(dropped, g, zero), tau);
    g = at::where(dropped, zero, g);
  }
  const auto mean = row_mean(g * x_hat);
  const auto dx = w * r * (g - x_hat * mean);
  at::Tensor deps;
  if (eps.defined()) {
    const auto e = per_channel(eps);
    deps = sum_like(e.sgn() * w * r * r * (g * x_hat) * -0.5, eps);
  }
  return {dx.to(x.scalar_type()),
          sum_like(g * x_hat, weight),
          sum_like(g, bias),
          deps,
          at::Tensor(),  // eps_value
          dtau,
          residual.defined() ? g.to(residual.scalar_type()) : at::Tensor()};
}

class FrnFunction : public torch::autograd::Function<FrnFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const Optional& eps, double eps_value,
                            const Optional& tau, const Optional& residual) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [z, rstd] = call_forward(x, weight, bias, eps, eps_value, tau, residual);
    ctx->save_for_backward({x, weight, bias, eps.value_or(at::Tensor()), tau.value_or(at::Tensor()),
                            residual.value_or(at::Tensor()), rstd});
    ctx->saved_data["eps_value"] = eps_value;
    return z;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grad_outputs) {
    const auto& dz = grad_outputs[0];
    if (!dz.defined()) return variable_list(7);
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &eps = saved[3];
    const auto &tau = saved[4], &residual = saved[5], &rstd = saved[6];
    const double eps_value = ctx->saved_data["eps_value"].toDouble();
    if (at::GradMode::is_enabled()) {
      return differentiable_backward(dz, x, weight, bias, eps, eps_value, tau, residual);
    }
    std::array<bool, 6> wanted{};
    size_t edge = 0;  // only tensors that were given have one
    for (size_t i = 0; i < 6; ++i) {
      if (saved[i].defined()) wanted[i] = ctx->needs_input_grad(edge++);
    }
    const auto optional = [](const at::Tensor& t) {
      return t.defined() ? Optional(t) : Optional();
    };
    auto [dx, dweight, dbias, deps, dtau, dresidual] =
        call_backward(dz, x, rstd, weight, bias, optional(eps), eps_value, optional(tau),
                      optional(residual), wanted);
    return {dx, dweight, dbias, deps, at::Tensor(), dtau, dresidual};
  }
};

at::Tensor frn(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
               const Optional& eps, double eps_value, const Optional& tau,
               const Optional& residual) {
  return std::get<0>(call_forward(x, weight, bias, eps, eps_value, tau, residual));
}

at::Tensor frn_autograd(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        const Optional& eps, double eps_value, const Optional& tau,
                        const Optional& residual) {
  const auto pointer = [](const Optional& t) { return t.has_value() ? &*t : nullptr; };
  bool differentiated = false;
  for (const auto* t : {&x, &weight, &bias, pointer(eps), pointer(tau), pointer(residual)}) {
    if (t == nullptr) continue;
    // The function refuses tangents of forward mode, which would be lost below.
    differentiated |=
        (at::GradMode::is_enabled() && t->requires_grad()) || t->_fw_grad(/*level=*/0).defined();
  }
  if (differentiated) return FrnFunction::apply(x, weight, bias, eps, eps_value, tau, residual);
  at::AutoDispatchBelowADInplaceOrView guard;
  return frn(x, weight, bias, eps, eps_value, tau, residual);
}

}  // namespace

TORCH_LIBRARY_IMPL(mmdet_frn, Autograd, m) { m.impl("frn", &frn_autograd); }

// Below autograd: inference mode, and meta tensors through frn_forward.
TORCH_LIBRARY_IMPL(mmdet_frn, CompositeExplicitAutograd, m) { m.impl("frn", &frn); }

}  // namespace mmdet_frn
