// Argument checks of the ops, with the messages of mmdet_frn/ops/checks.py; sizes may be symbolic.
#include "checks.h"

#include <c10/util/Exception.h>

#include <cmath>
#include <sstream>
#include <string>

namespace mmdet_frn {
namespace {

// A shape as Python writes it.
std::string shape(const at::Tensor& tensor) {
  std::ostringstream out;
  const auto sizes = tensor.sym_sizes();
  out << '(';
  for (size_t i = 0; i < sizes.size(); ++i) out << (i ? ", " : "") << sizes[i];
  out << (sizes.size() == 1 ? ",)" : ")");
  return out.str();
}

// A dtype as Python writes it.
std::string dtype(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kDouble:
      return "torch.float64";
    case at::kFloat:
      return "torch.float32";
    case at::kHalf:
      return "torch.float16";
    case at::kBFloat16:
      return "torch.bfloat16";
    case at::kInt:
      return "torch.int32";
    case at::kLong:
      return "torch.int64";
    default:
      return c10::toString(tensor.scalar_type());
  }
}

void check_floating(const char* name, const at::Tensor& tensor) {
  TORCH_CHECK_TYPE(tensor.defined(), name, " must be a tensor, but is a NoneType");
  TORCH_CHECK_TYPE(tensor.is_floating_point(), name, " must be a floating point tensor, but its ",
                   "dtype is ", dtype(tensor), "; convert it, for example with ", name, ".float()");
}

void check_device(const char* name, const at::Tensor& tensor, const at::Tensor& x) {
  TORCH_CHECK_VALUE(tensor.device() == x.device(), name, " is on ", tensor.device(),
                    " and the input on ", x.device(), "; move them to one device");
}

bool is_per_channel(const at::Tensor& param, const at::Tensor& x) {
  return param.dim() == 1 && param.sym_size(0) == x.sym_size(1);
}

void check_per_channel(const char* name, const at::Tensor& param, const at::Tensor& x) {
  check_floating(name, param);
  TORCH_CHECK_VALUE(is_per_channel(param, x), name, " must have one element per channel, (",
                    x.sym_size(1), ",) for an input of shape ", shape(x), ", but its shape is ",
                    shape(param), "; channels come second, (N, C, *): set num_features to ",
                    x.sym_size(1), ", or transpose tokens (N, L, C) with transpose(1, 2)");
  check_device(name, param, x);
}

void check_like_x(const char* name, const at::Tensor& tensor, const at::Tensor& x) {
  check_floating(name, tensor);
  TORCH_CHECK_VALUE(
      tensor.sym_sizes().equals(x.sym_sizes()) && tensor.scalar_type() == x.scalar_type(), name,
      " must have the shape and dtype of x, ", shape(x), " ", dtype(x), ", but has ", shape(tensor),
      " ", dtype(tensor));
  check_device(name, tensor, x);
}

void check_input(const at::Tensor& x) {
  check_floating("x", x);
  const auto type = x.scalar_type();
  TORCH_CHECK_TYPE(
      type == at::kDouble || type == at::kFloat || type == at::kHalf || type == at::kBFloat16,
      "x must be float64, float32, float16 or bfloat16, but its dtype is ", dtype(x));
  TORCH_CHECK_VALUE(x.dim() >= 2 && x.dim() <= 5,
                    "x must be (N, C, *) with zero to three spatial dimensions, but its shape is ",
                    shape(x));
  for (int64_t d = 2; d < x.dim(); ++d) {
    TORCH_CHECK_VALUE(x.sym_size(d) != 0, "x has an empty spatial extent, shape ", shape(x),
                      ": the mean of its squares is undefined; check the input size against the ",
                      "total stride");
  }
}

}  // namespace

void check_arguments(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     const std::optional<at::Tensor>& eps, double eps_value,
                     const std::optional<at::Tensor>& tau,
                     const std::optional<at::Tensor>& residual) {
  check_input(x);
  check_per_channel("weight", weight, x);
  check_per_channel("bias", bias, x);
  if (tau.has_value()) check_per_channel("tau", *tau, x);
  if (eps.has_value()) {
    check_floating("eps", *eps);
    TORCH_CHECK_VALUE(eps->sym_numel() == 1 || is_per_channel(*eps, x),
                      "eps must be a number or a tensor of one element or of (", x.sym_size(1),
                      ",), but its shape is ", shape(*eps));
    check_device("eps", *eps, x);
  } else {
    TORCH_CHECK_VALUE(std::isfinite(eps_value), "eps must be finite, but is ", eps_value);
  }
  if (residual.has_value()) check_like_x("residual", *residual, x);
}

void check_backward_arguments(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& rstd) {
  check_like_x("dz", dz, x);
  const auto acc = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  TORCH_CHECK_VALUE(rstd.dim() == 2 && rstd.sym_size(0) == x.sym_size(0) &&
                        rstd.sym_size(1) == x.sym_size(1) && rstd.scalar_type() == acc,
                    "rstd must be the one that forward returned for x of shape ", shape(x),
                    ", but has shape ", shape(rstd), " and dtype ", dtype(rstd));
  check_device("rstd", rstd, x);
}

void check_group_arguments(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           int64_t num_groups, double eps, const std::optional<at::Tensor>& tau,
                           bool relu, const std::optional<at::Tensor>& residual) {
  check_arguments(x, weight, bias, std::nullopt, eps, tau, residual);
  TORCH_CHECK_VALUE(num_groups >= 1 && x.sym_size(1) % num_groups == 0,
                    "num_groups must divide the number of channels of x, ", x.sym_size(1),
                    ", but is ", num_groups);
  TORCH_CHECK_VALUE(eps >= 0, "eps must be at least 0, but is ", eps);
  TORCH_CHECK_VALUE(!(relu && tau.has_value()), "tau is the threshold of a TLU, but relu is set; ",
                    "give one of the two");
}

void check_evonorm_arguments(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                             int64_t num_groups, double eps, const std::optional<at::Tensor>& v) {
  check_group_arguments(x, weight, bias, num_groups, eps, std::nullopt, false, std::nullopt);
  if (v.has_value()) check_per_channel("v", *v, x);
}

void check_group_backward_arguments(const at::Tensor& dz, const at::Tensor& x,
                                    const at::Tensor& stats, int64_t num_groups) {
  check_like_x("dz", dz, x);
  const auto acc = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  TORCH_CHECK_VALUE(stats.dim() == 3 && stats.sym_size(0) == 2 &&
                        stats.sym_size(1) == x.sym_size(0) && stats.sym_size(2) == num_groups &&
                        stats.scalar_type() == acc,
                    "stats must be those that forward returned for x of shape ", shape(x),
                    ", but have shape ", shape(stats), " and dtype ", dtype(stats));
  check_device("stats", stats, x);
}

void check_pointwise_arguments(const at::Tensor& x, at::TensorList params,
                               const std::vector<const char*>& names) {
  check_input(x);
  TORCH_CHECK_VALUE(params.size() == names.size(), "the function has ", names.size(),
                    " parameters, but ", params.size(), " are given");
  for (size_t i = 0; i < names.size(); ++i) check_per_channel(names[i], params[i], x);
}

void check_gradient(const at::Tensor& dz, const at::Tensor& x) { check_like_x("dz", dz, x); }

}  // namespace mmdet_frn
