// The loops for any processor, and the choice between the instruction sets.
#include <ATen/Version.h>

#include <string>

#define MMDET_FRN_ISA baseline
#include "primitives_impl.h"

namespace mmdet_frn {
namespace {

template <typename T>
const Primitives<T>& best_table() {
#ifdef MMDET_FRN_X86_DISPATCH
  const auto capability = at::get_cpu_capability();
  if (capability == "AVX512") {
    return __builtin_cpu_supports("avx512bf16") ? avx512bf16::table<T>() : avx512::table<T>();
  }
  if (capability == "AVX2") return avx2::table<T>();
#endif
  return baseline::table<T>();
}

}  // namespace

template <typename T>
const Primitives<T>& primitives() {
  static const Primitives<T>& best = best_table<T>();
  return best;
}

template const Primitives<double>& primitives();
template const Primitives<float>& primitives();
template const Primitives<at::Half>& primitives();
template const Primitives<at::BFloat16>& primitives();

}  // namespace mmdet_frn
