// A map as (N, groups, channels of a group, positions) in differentiable ops, for the gradients of
// gradients (create_graph) of norms over groups.
#pragma once

#include <ATen/ATen.h>

namespace mmdet_frn {

struct Grouped {
  c10::SymInt groups;
  at::ScalarType wide;  // in which everything is computed

  Grouped(const at::Tensor& x, int64_t num_groups)
      : groups(num_groups), wide(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat) {}

  at::Tensor operator()(const at::Tensor& t) const {
    return t.to(wide).reshape_symint(
        {t.sym_size(0), groups, t.sym_size(1) / groups,
         t.dim() == 2 ? c10::SymInt(1) : t.sym_numel() / (t.sym_size(0) * t.sym_size(1))});
  }

  at::Tensor per_channel(const at::Tensor& param) const {
    return param.to(wide).reshape_symint({1, groups, -1, 1});
  }

  static at::Tensor mean(const at::Tensor& t) {
    return t.mean(at::IntArrayRef({2, 3}), /*keepdim=*/true);
  }

  // 1 / sqrt(mean(t^2) + eps). relu changes no value; it stops the gradient where the mean square
  // overflowed and the root is infinite.
  static at::Tensor rstd(const at::Tensor& t, double eps) {
    return at::relu(at::rsqrt(mean(t * t) + eps));
  }

  // The sum over images and positions, like the parameter of each channel.
  static at::Tensor sum_like(const at::Tensor& t, const at::Tensor& param) {
    return t.sum(at::IntArrayRef({0, 3})).reshape_symint(param.sym_sizes()).to(param.scalar_type());
  }

  static at::Tensor like(const at::Tensor& t, const at::Tensor& x) {
    return t.reshape_symint(x.sym_sizes()).to(x.scalar_type());
  }
};

}  // namespace mmdet_frn
