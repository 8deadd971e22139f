// Tensors of an op, as the kernels get them.
#pragma once

#include "pack.cuh"

namespace mmdet_frn {

template <typename Norm, typename T>
struct ForwardArgs {
  const T* x;
  const T* residual;  // may be null
  T* z;
  acc_t<T>* stats;  // FRN: rstd, (N, C). Groups: mean and rstd, (2, N, groups)
  typename Norm::template Params<acc_t<T>> params;
};

template <typename Norm, typename T>
struct BackwardArgs {
  const T* x;
  const T* dz;
  const T* residual;  // may be null
  T* dx;              // may be null
  T* dresidual;       // may be null
  const acc_t<T>* stats;
  acc_t<T>* sums;                // may be null
  int64_t sums_step;             // from one sum to the next: N * C
  const PullOf<Norm, T>* pulls;  // (N, groups), for a grouped norm
  typename Norm::template Params<acc_t<T>> params;
};

}  // namespace mmdet_frn
