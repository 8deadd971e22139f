// Layouts and dtypes that the ops choose for their kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>

namespace mmdet_frn {

// Of statistics and partial sums.
inline at::ScalarType acc_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// The layout that a kernel reads and its outputs get: x's own where it is one of the two.
inline at::MemoryFormat layout_of(const at::Tensor& x) {
  return x.is_contiguous() ? at::MemoryFormat::Contiguous : x.suggest_memory_format();
}

// Whether a kernel walks x, dense, as [N][HW][C]. With one position or one channel the two layouts
// are the same memory; vectors run along the longer of the two.
inline bool walks_channels_last(const at::Tensor& x, int64_t hw) {
  return x.size(1) > 1 && (hw == 1 || !x.is_contiguous(at::MemoryFormat::Contiguous));
}

// A parameter as the kernels read it. `to` and `contiguous` only where they have something to do:
// each is a call of the dispatcher.
inline at::Tensor per_channel(const at::Tensor& param, const at::Tensor& x) {
  const auto acc = acc_type(x);
  const auto& wide = param.scalar_type() == acc ? param : param.to(acc);
  return wide.is_contiguous() ? wide : wide.contiguous();
}

// Fills in x, dense, and its sizes, in the arguments of any op.
template <class Args>
void lay_out(Args& args, const at::Tensor& x) {
  args.x = x.contiguous(layout_of(x));
  args.n = x.size(0);
  args.c = x.size(1);
  args.hw = x.numel() / std::max<int64_t>(1, args.n * args.c);
  args.channels_last = walks_channels_last(args.x, args.hw);
}

}  // namespace mmdet_frn
