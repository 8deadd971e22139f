// How the forward and the backward walk over the images of channels-last memory.
#pragma once

#include <algorithm>

#include "channels.cuh"
#include "launch.h"

namespace mmdet_frn {

// Calls run(shape, images, blocks) for some images at a time, each of which is
// read twice, out of L2 the second time; `tensors` of x's size are read.
template <typename T, typename Args, typename F>
void for_image_launches(const Args& args, int tensors, F&& run) {
  const ChannelsPlan plan = plan_channels(args.c, args.hw, static_cast<int>(sizeof(T)));
  TORCH_CHECK(args.c <= kMaxRows, "x has ", args.c, " channels; at most ", kMaxRows, " work");
  const int64_t blocks = plan.chunks * plan.tiles;
  const int64_t bytes = args.c * args.hw * tensors * static_cast<int64_t>(sizeof(T));
  const int64_t at_once = parts_at_once(args.n, bytes, blocks, device_figures());
  TORCH_CHECK(at_once > 0, "x is too large: an image of ", args.hw, " x ", args.c, " elements");
  for (int64_t n = 0; n < args.n; n += at_once) {
    const int64_t images = std::min(at_once, args.n - n);
    const ChannelsShape shape{args.hw,
                              args.n,
                              n,
                              static_cast<int>(args.c),
                              plan.lanes,
                              plan.tiles,
                              plan.chunk_pixels,
                              static_cast<int>(plan.chunks)};
    run(shape, images, grid_of(images * blocks));
  }
}

}  // namespace mmdet_frn
