// Memory that nothing has touched yet costs a page fault every 4 KB, several times what writing to
// it takes; in pages of 2 MB most of that is gone.
#pragma once

#include <ATen/core/Tensor.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cstdint>

namespace mmdet_frn {

// Where glibc's mmap threshold ends: what is larger is mostly mapped anew each time, and the advice
// goes with it.
constexpr size_t kFreshBytes = 32 << 20;

// Asks for huge pages under an output that is about to be written. Advice only: where the kernel
// has none to give, nothing changes.
inline void advise_huge_pages(const at::Tensor& out) {
#ifdef __linux__
  if (!out.defined() || out.nbytes() < kFreshBytes) return;
  constexpr uintptr_t kHuge = 2 << 20;
  const auto begin = reinterpret_cast<uintptr_t>(out.data_ptr());
  const auto first = (begin + kHuge - 1) / kHuge * kHuge;
  const auto last = (begin + out.nbytes()) / kHuge * kHuge;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace mmdet_frn
