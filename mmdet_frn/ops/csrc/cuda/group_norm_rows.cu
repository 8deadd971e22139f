// The norms over groups where a group fits on chip, for group_norm.cu.
#include "group_norm.cuh"
#include "group_rows.h"

namespace mmdet_frn {

template bool forward_groups(const ForwardArgs<Group, double>&);
template bool forward_groups(const ForwardArgs<Group, float>&);
template bool forward_groups(const ForwardArgs<Group, __half>&);
template bool forward_groups(const ForwardArgs<Group, __nv_bfloat16>&);
template bool backward_groups(const BackwardArgs<Group, double>&);
template bool backward_groups(const BackwardArgs<Group, float>&);
template bool backward_groups(const BackwardArgs<Group, __half>&);
template bool backward_groups(const BackwardArgs<Group, __nv_bfloat16>&);

}  // namespace mmdet_frn
