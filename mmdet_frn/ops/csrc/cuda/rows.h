// How the forward and the backward walk over the rows of (N, C, *) memory: the
// plan, and one or several launches.
#pragma once

#include <algorithm>

#include "launch.h"
#include "row.cuh"
#include "split_kernel.cuh"

namespace mmdet_frn {

// Whether rows that do not start on 16 bytes must be copied to where they do.
// How a row is cut must not depend on where it lies, and the kernels that
// realign rows take smaller blocks.
template <typename T, typename Args>
bool must_copy(const Args& args, bool aligned, const RowCut& cut) {
  constexpr int kBytes = static_cast<int>(sizeof(T));
  return !aligned && args.hw % Packed<T>::kSize == 0 &&
         needs_alignment(plan_rows(1, args.hw, kBytes, cut, device_figures()), kBytes, cut);
}

// `t`, or a copy of it that starts on 16 bytes.
inline at::Tensor start_aligned(const at::Tensor& t) {
  const bool shifted = t.defined() && reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 != 0;
  return shifted ? t.clone() : t;
}

// Calls run(plan, shape, first_row) for all rows, as many to a launch as row
// numbers allow: as a rule once. A launch begins with channel 0. False, without
// a call, if rows do not fit on chip.
template <typename T, typename Args, typename F>
bool for_row_launches(const Args& args, const RowCut& cut, F&& run) {
  TORCH_CHECK(args.c <= kMaxRows, "x has ", args.c, " channels; at most ", kMaxRows, " work");
  const int64_t images = std::min(args.n, kMaxRows / args.c);
  for (int64_t n = 0; n < args.n; n += images) {
    const int64_t rows = std::min(images, args.n - n) * args.c;
    const RowPlan plan =
        plan_rows(rows, args.hw, static_cast<int>(sizeof(T)), cut, device_figures());
    if (plan.scope == Scope::kNone) return false;
    const RowShape shape{static_cast<int>(rows), static_cast<int>(args.c),
                         static_cast<int>(args.hw), plan.width, plan.cluster};
    run(plan, shape, n * args.c);
  }
  return true;
}

// Calls run(shape, blocks, partial) for some rows at a time, each of which is
// read twice, out of L2 the second time. `group` rows stay together; `tensors`
// of x's size are read, `sums` numbers kept per chunk.
template <typename T, typename Args, typename F>
void for_chunk_launches(const Args& args, int64_t group, int tensors, int sums,
                        const at::Tensor& like, F&& run) {
  const int64_t chunks = ceil_div(ceil_div(args.hw, Packed<T>::kSize), kChunkPacks);
  const int64_t rows = args.n * args.c;
  const int64_t bytes = group * args.hw * tensors * static_cast<int64_t>(sizeof(T));
  const int64_t at_once =
      group * parts_at_once(rows / group, bytes, group * chunks, device_figures());
  TORCH_CHECK(at_once > 0, "x is too large: ", group, " rows of ", args.hw, " elements");
  const at::Tensor partial = like.new_empty({sums * at_once * chunks});
  for (int64_t row = 0; row < rows; row += at_once) {
    const int64_t count = std::min(at_once, rows - row);
    const ChunkShape shape{args.hw, row, static_cast<int>(count), static_cast<int>(args.c),
                           static_cast<int>(chunks)};
    run(shape, grid_of(count * chunks), partial);
  }
}

}  // namespace mmdet_frn
