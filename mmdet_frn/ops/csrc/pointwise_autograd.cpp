// The gradient of mmdet_frn::pointwise: the fused backward, and plain differentiable ops where its
// own gradient is asked for (create_graph).
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <string>
#include <vector>

#include "grouped.h"
#include "pointwise.h"

namespace mmdet_frn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor call_forward(const at::Tensor& x, at::TensorList params, c10::string_view function) {
  using Forward = at::Tensor(const at::Tensor&, at::TensorList, c10::string_view);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mmdet_frn::pointwise", "").typed<Forward>();
  return op.call(x, params, function);
}

variable_list call_backward(const at::Tensor& dz, const at::Tensor& x, at::TensorList params,
                            c10::string_view function) {
  using Backward = std::vector<at::Tensor>(const at::Tensor&, const at::Tensor&, at::TensorList,
                                           c10::string_view);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mmdet_frn::pointwise_backward", "")
                             .typed<Backward>();
  return op.call(dz, x, params, function);
}

// The derivatives of the functions of pointwise.h in differentiable ops.
variable_list differentiable_backward(const at::Tensor& dz, const at::Tensor& x,
                                      const variable_list& params, Function function) {
  const Grouped wide(x, /*num_groups=*/1);
  const auto g = wide(dz), wide_x = wide(x);
  const auto zero = at::zeros({}, g.options());
  variable_list p;
  for (const auto& param : params) p.push_back(wide.per_channel(param));
  at::Tensor dx;
  variable_list dparams;
  switch (function) {
    case Function::kTlu: {
      const auto dropped = (wide_x < p[0]).logical_or(p[0].isnan());
      dx = at::where(dropped, zero, g);
      dparams = {at::where(dropped, g, zero)};
      break;
    }
    case Function::kAffineTlu: {
      const auto below = wide_x < p[0] * wide_x + p[1];
      dx = at::where(below, p[0] * g, g);
      dparams = {at::where(below, g * wide_x, zero), at::where(below, g, zero)};
      break;
    }
    case Function::kDyt: {
      const auto t = at::tanh(p[2] * wide_x);
      const auto inner = p[0] * g * (1 - t * t);
      dx = p[2] * inner;
      dparams = {g * t, g, inner * wide_x};
      break;
    }
  }
  variable_list grads = {Grouped::like(dx, x)};
  for (size_t i = 0; i < params.size(); ++i) {
    grads.push_back(Grouped::sum_like(dparams[i], params[i]));
  }
  return grads;
}

class PointwiseFunction : public torch::autograd::Function<PointwiseFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, at::TensorList params,
                            const std::string& function) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto z = call_forward(x, params, function);
    variable_list inputs = {x};
    inputs.insert(inputs.end(), params.begin(), params.end());
    ctx->save_for_backward(inputs);
    ctx->saved_data["function"] = function;
    return z;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grad_outputs) {
    const auto saved = ctx->get_saved_variables();
    const auto& dz = grad_outputs[0];
    const auto function = ctx->saved_data["function"].toStringRef();
    const variable_list params(saved.begin() + 1, saved.end());
    variable_list grads(saved.size());
    if (dz.defined()) {
      grads = at::GradMode::is_enabled()
                  ? differentiable_backward(dz, saved[0], params, function_of(function))
                  : call_backward(dz, saved[0], params, function);
    }
    grads.emplace_back();  // function
    return grads;
  }
};

at::Tensor pointwise_autograd(const at::Tensor& x, at::TensorList params,
                              c10::string_view function) {
  const auto differentiated = [](const at::Tensor& t) {
    // The function refuses tangents of forward mode, which would be lost below.
    return (at::GradMode::is_enabled() && t.requires_grad()) || t._fw_grad(/*level=*/0).defined();
  };
  if (differentiated(x) || std::any_of(params.begin(), params.end(), differentiated)) {
    return PointwiseFunction::apply(x, params, std::string(function));
  }
  at::AutoDispatchBelowADInplaceOrView guard;
  return call_forward(x, params, function);
}

}  // namespace

TORCH_LIBRARY_IMPL(mmdet_frn, Autograd, m) { m.impl("pointwise", &pointwise_autograd); }

}  // namespace mmdet_frn
