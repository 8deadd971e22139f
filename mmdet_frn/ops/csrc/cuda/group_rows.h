// Launches of the kernels that hold a whole group, (N, C, *) memory, for any norm
// over groups.
#pragma once

#include <algorithm>

#include "group_plan.h"
#include "group_rows_kernel.cuh"
#include "launch.h"

namespace mmdet_frn {

// Calls run(plan, shape) for all groups, of as many images to a launch as group
// numbers allow: as a rule once. False, without a call, if groups do not fit on
// chip.
template <typename T, typename P, typename F>
bool for_group_launches(const P& params, F&& run) {
  if (parts_of_row<T>(params) == 0) return false;
  const int64_t most = kMaxRows / params.channels;
  for (int64_t n = 0; n < params.images; n += most) {
    const int64_t images = std::min(most, params.images - n);
    const GroupPlan plan = group_plan<T>(params, images);
    const GroupShape shape{n,
                           static_cast<int>(images * params.groups),
                           static_cast<int>(params.pixels),
                           plan.width,
                           plan.parts,
                           plan.span,
                           plan.cluster};
    run(plan, shape);
  }
  return true;
}

// Launches one of the kernels of three scopes.
template <typename Kernel, typename Args>
void launch_groups(Kernel group, Kernel block, Kernel cluster, const Args& args,
                   const GroupPlan& plan, const GroupShape& shape) {
  const Kernel kernel =
      plan.scope == Scope::kGroup ? group : (plan.scope == Scope::kBlock ? block : cluster);
  launch(kernel, grid_of(plan.grid), dim3(plan.threads), plan.cluster, args, shape);
}

template <typename Norm, typename T, bool kAligned>
bool forward_groups_at(const ForwardArgs<Norm, T>& args) {
  return for_group_launches<T>(args.params, [&](const GroupPlan& plan, const GroupShape& shape) {
    launch_groups(forward_group_kernel<Norm, T, Scope::kGroup, kAligned>,
                  forward_group_kernel<Norm, T, Scope::kBlock, kAligned>,
                  forward_group_kernel<Norm, T, Scope::kCluster, kAligned>, args, plan, shape);
  });
}

template <typename Norm, typename T, bool kAligned>
bool backward_groups_at(const BackwardArgs<Norm, T>& args) {
  return for_group_launches<T>(args.params, [&](const GroupPlan& plan, const GroupShape& shape) {
    launch_groups(backward_group_kernel<Norm, T, Scope::kGroup, kAligned>,
                  backward_group_kernel<Norm, T, Scope::kBlock, kAligned>,
                  backward_group_kernel<Norm, T, Scope::kCluster, kAligned>, args, plan, shape);
  });
}

template <typename Norm, typename T>
bool forward_groups(const ForwardArgs<Norm, T>& args) {
  const bool aligned = all_aligned<T>(args.params.pixels, args.x, args.residual, args.z);
  return aligned ? forward_groups_at<Norm, T, true>(args) : forward_groups_at<Norm, T, false>(args);
}

template <typename Norm, typename T>
bool backward_groups(const BackwardArgs<Norm, T>& args) {
  const bool aligned =
      all_aligned<T>(args.params.pixels, args.x, args.dz, args.residual, args.dx, args.dresidual);
  return aligned ? backward_groups_at<Norm, T, true>(args)
                 : backward_groups_at<Norm, T, false>(args);
}

}  // namespace mmdet_frn
