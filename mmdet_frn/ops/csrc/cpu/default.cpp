// The loops for any processor, and the choice between the instruction sets.
#include <ATen/Version.h>

#include <string>

#define MMDET_FRN_ISA baseline
#include "loops_impl.h"

namespace mmdet_frn {
namespace {

template <class Norm, typename T>
const Loops<T>& best_table() {
#ifdef MMDET_FRN_X86_DISPATCH
  const auto capability = at::get_cpu_capability();
  if (capability == "AVX512") {
    return __builtin_cpu_supports("avx512bf16") ? avx512bf16::table<Norm, T>()
                                                : avx512::table<Norm, T>();
  }
  if (capability == "AVX2") return avx2::table<Norm, T>();
#endif
  return baseline::table<Norm, T>();
}

}  // namespace

template <class Norm, typename T>
const Loops<T>& loops() {
  static const Loops<T>& best = best_table<Norm, T>();
  return best;
}

#define MMDET_FRN_LOOPS(Norm)                              \
  template const Loops<double>& loops<Norm, double>();     \
  template const Loops<float>& loops<Norm, float>();       \
  template const Loops<at::Half>& loops<Norm, at::Half>(); \
  template const Loops<at::BFloat16>& loops<Norm, at::BFloat16>();
MMDET_FRN_FOR_EACH_NORM(MMDET_FRN_LOOPS)
#undef MMDET_FRN_LOOPS

}  // namespace mmdet_frn
