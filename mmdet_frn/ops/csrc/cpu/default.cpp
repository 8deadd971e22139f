// The loops for any processor, and the choice between the instruction sets.
#include <ATen/Version.h>

#include <string>

#define MMDET_FRN_ISA baseline
#include "loops_impl.h"

namespace mmdet_frn {
namespace {

template <class Policy, typename T>
const LoopsOf<Policy, T>& best_table() {
#ifdef MMDET_FRN_X86_DISPATCH
  const auto capability = at::get_cpu_capability();
  if (capability == "AVX512") {
    return __builtin_cpu_supports("avx512bf16") ? avx512bf16::table<Policy, T>()
                                                : avx512::table<Policy, T>();
  }
  if (capability == "AVX2") return avx2::table<Policy, T>();
#endif
  return baseline::table<Policy, T>();
}

}  // namespace

template <class Policy, typename T>
const LoopsOf<Policy, T>& loops() {
  static const LoopsOf<Policy, T>& best = best_table<Policy, T>();
  return best;
}

#define MMDET_FRN_LOOPS(Policy)                                        \
  template const LoopsOf<Policy, double>& loops<Policy, double>();     \
  template const LoopsOf<Policy, float>& loops<Policy, float>();       \
  template const LoopsOf<Policy, at::Half>& loops<Policy, at::Half>(); \
  template const LoopsOf<Policy, at::BFloat16>& loops<Policy, at::BFloat16>();
MMDET_FRN_FOR_EACH_POLICY(MMDET_FRN_LOOPS)
#undef MMDET_FRN_LOOPS

}  // namespace mmdet_frn
