// EvoNorm-S0 where a group fits on chip, for evonorm.cu.
#include "evonorm.cuh"
#include "group_rows.h"

namespace mmdet_frn {

template bool forward_groups(const ForwardArgs<EvoNorm, double>&);
template bool forward_groups(const ForwardArgs<EvoNorm, float>&);
template bool forward_groups(const ForwardArgs<EvoNorm, __half>&);
template bool forward_groups(const ForwardArgs<EvoNorm, __nv_bfloat16>&);
template bool backward_groups(const BackwardArgs<EvoNorm, double>&);
template bool backward_groups(const BackwardArgs<EvoNorm, float>&);
template bool backward_groups(const BackwardArgs<EvoNorm, __half>&);
template bool backward_groups(const BackwardArgs<EvoNorm, __nv_bfloat16>&);

}  // namespace mmdet_frn
