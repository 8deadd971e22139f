// Channels-last memory, [N][pixels][C]: who holds what, access and reduction.
//
// A thread holds the 16 bytes of a pixel's channels from `channel` on, so
// neighbouring threads read neighbouring channels; it walks along pixels, and
// each of its elements adds to a row of its own.
#pragma once

#include "pack.cuh"
#include "plan.h"
#include "row_io.cuh"

namespace mmdet_frn {

struct ChannelsShape {
  int64_t pixels;
  int64_t images;       // of the tensor
  int64_t first_image;  // of the launch
  int channels;
  int lanes;         // threads of a block along the channels
  int tiles;         // blocks along the channels
  int chunk_pixels;  // pixels of a block
  int chunks;        // blocks along the pixels of an image
};

// A thread's place in the blocks of a launch, ordered image, chunk, tile.
template <typename T>
struct ChannelsPlace {
  int64_t image;
  int chunk;
  int first;       // channel of the block
  int lane;        // along the channels
  int channel;     // first of the thread's channels; may lie past the last one
  int pixel;       // first of the thread's pixels, within the chunk
  int step;        // from one of its pixels to the next
  int pixels;      // of the chunk
  int64_t offset;  // of the chunk's first pixel, channel 0, in the tensor

  __device__ __forceinline__ ChannelsPlace(const ChannelsShape& s, int block) {
    const int thread = static_cast<int>(threadIdx.x);
    const int tile = block % s.tiles;
    chunk = block / s.tiles % s.chunks;
    image = s.first_image + block / s.tiles / s.chunks;
    first = tile * s.lanes * Packed<T>::kSize;
    lane = thread % s.lanes;
    channel = first + lane * Packed<T>::kSize;
    pixel = thread / s.lanes;
    step = static_cast<int>(blockDim.x) / s.lanes;
    const int64_t begin = static_cast<int64_t>(chunk) * s.chunk_pixels;
    pixels =
        static_cast<int>(s.pixels - begin < s.chunk_pixels ? s.pixels - begin : s.chunk_pixels);
    offset = (image * s.pixels + begin) * s.channels;
  }
};

// Elements of one pixel's channels from c on; kAligned: every pixel is made of
// whole aligned packs.
template <bool kAligned, typename T>
__device__ __forceinline__ Vec load_channels(const T* pixel, int c, int channels) {
  if constexpr (kAligned) return load_vec(pixel + c);
  return load_part(pixel, c, channels);
}

template <bool kAligned, typename T>
__device__ __forceinline__ void store_channels(T* pixel, int c, int channels, const Vec& v) {
  if constexpr (kAligned) {
    store_vec(pixel + c, v);
  } else {
    store_part(pixel, c, 0, channels - c, v);
  }
}

// The packs of the thread's next kPixels pixels from `first` on; 0 past the last
// pixel or channel.
template <bool kAligned, typename T, int kPixels>
__device__ __forceinline__ void load_pixels(Vec (&v)[kPixels], const T* tensor,
                                            const ChannelsPlace<T>& p, const ChannelsShape& shape,
                                            int first) {
#pragma unroll
  for (int k = 0; k < kPixels; ++k) {
    const int pixel = first + k * p.step;
    v[k] = Vec{{0u, 0u, 0u, 0u}};
    if (p.channel < shape.channels && pixel < p.pixels) {
      const T* at = tensor + p.offset + static_cast<int64_t>(pixel) * shape.channels;
      v[k] = load_channels<kAligned>(at, p.channel, shape.channels);
    }
  }
}

// What a block holds of each of its channels, in shared memory: element i of lane
// l at [i][l]. Rows so far apart that neither filling nor reading makes threads
// wait for a bank.
template <int kSize>
constexpr int kSharedLanes = 32 + 32 / kSize;

// Fills it with value_of(channel), each channel by one thread; past the last
// channel with that one's. Needs a barrier before it is read.
template <typename V, typename T, int kSize, int kLanes, typename F>
__device__ __forceinline__ void share_channels(V (&shared)[kSize][kLanes],
                                               const ChannelsPlace<T>& p,
                                               const ChannelsShape& shape, F&& value_of) {
  const int count = shape.lanes * kSize;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kChunkThreads) {
    const int c = p.first + i;
    shared[i % kSize][i / kSize] = value_of(c < shape.channels ? c : shape.channels - 1);
  }
}

// The values of the thread's channels.
template <typename V, int kSize, int kLanes>
__device__ __forceinline__ void read_channels(V (&values)[kSize], const V (&shared)[kSize][kLanes],
                                              int lane) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) values[i] = shared[i][lane];
}

// Adds up `value` over the threads of a block that hold the same channels, by
// halving; the result is in the first `lanes` threads. May be called repeatedly
// with the same `shared`.
template <typename A, int kSize>
__device__ __forceinline__ void sum_pixels(A (&value)[kSize], A (&shared)[kSize][kChunkThreads],
                                           int lanes) {
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < kSize; ++i) shared[i][thread] = value[i];
  __syncthreads();
  for (int stride = static_cast<int>(blockDim.x) / 2; stride >= lanes; stride /= 2) {
    if (thread < stride) {
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        shared[i][thread] = add_rn(shared[i][thread], shared[i][thread + stride]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kSize; ++i) value[i] = shared[i][thread];
  __syncthreads();
}

}  // namespace mmdet_frn
