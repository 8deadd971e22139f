// The launchers of the kernels that hold a whole group. group_rows.h defines them; each norm
// compiles them in a file of its own, group_norm_rows.cu for instance.
#pragma once

#include "args.cuh"
#include "device.h"

namespace mmdet_frn {

template <typename T, typename P>
GroupPlan group_plan(const P& params, int64_t images) {
  return plan_groups(images * params.groups, params.group, params.pixels,
                     static_cast<int>(sizeof(T)), device_figures());
}

// Parts of a row whose sums the backward keeps; 0 where a group does not fit.
template <typename T, typename P>
int parts_of_row(const P& params) {
  const GroupPlan plan = group_plan<T>(params, 1);
  return plan.scope == Scope::kNone ? 0 : plan.parts;
}

// z and stats of all groups. False, without a launch, if groups do not fit on
// chip.
template <typename Norm, typename T>
bool forward_groups(const ForwardArgs<Norm, T>& args);

// The gradients of x and residual, and sums, (3, parts_of_row, N, C). False as in
// forward_groups.
template <typename Norm, typename T>
bool backward_groups(const BackwardArgs<Norm, T>& args);

}  // namespace mmdet_frn
