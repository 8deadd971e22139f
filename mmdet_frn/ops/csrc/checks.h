// Argument checks of the ops, with the messages of mmdet_frn/ops/checks.py; sizes may be symbolic.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace mmdet_frn {

// x: (N, C, *) with 0 to 3 non-empty spatial dims; weight, bias, tau: (C,); eps: one element or
// (C,); residual: x's shape and dtype; all on x's device. Raises TypeError or ValueError.
void check_arguments(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     const std::optional<at::Tensor>& eps, double eps_value,
                     const std::optional<at::Tensor>& tau,
                     const std::optional<at::Tensor>& residual);

// dz: x's shape, dtype and device; rstd: (N, C) in the dtype of the statistics.
void check_backward_arguments(const at::Tensor& dz, const at::Tensor& x, const at::Tensor& rstd);

// As check_arguments; num_groups divides the channels, eps is not negative, and tau and relu are
// not both given.
void check_group_arguments(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           int64_t num_groups, double eps, const std::optional<at::Tensor>& tau,
                           bool relu, const std::optional<at::Tensor>& residual);

// As check_group_arguments, with v (C,) in the place of tau.
void check_evonorm_arguments(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                             int64_t num_groups, double eps, const std::optional<at::Tensor>& v);

// dz: x's shape, dtype and device; stats: (2, N, num_groups) in the dtype of the statistics.
void check_group_backward_arguments(const at::Tensor& dz, const at::Tensor& x,
                                    const at::Tensor& stats, int64_t num_groups);

// x as in check_arguments; each of params (C,), named after the function of pointwise.h.
void check_pointwise_arguments(const at::Tensor& x, at::TensorList params,
                               const std::vector<const char*>& names);

// dz: x's shape, dtype and device.
void check_gradient(const at::Tensor& dz, const at::Tensor& x);

}  // namespace mmdet_frn
