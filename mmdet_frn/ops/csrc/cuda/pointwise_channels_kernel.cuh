// The kernels of pointwise_kernel.cuh in channels-last memory, where all images
// are one map of pixels. A block takes the parameters of its channels to shared
// memory.
#pragma once

#include "channels_kernel.cuh"
#include "pointwise_kernel.cuh"

namespace mmdet_frn {

template <typename Policy, typename A>
struct ChannelParams {
  A values[Policy::kParams];
};

// The parameters of the thread's channels, by way of shared memory. Has a barrier.
template <typename Policy, typename T, int kSize, int kLanes>
__device__ __forceinline__ void share_params(
    acc_t<T> (&out)[kSize][Policy::kParams], const acc_t<T>* const (&params)[Policy::kParams],
    const ChannelsPlace<T>& p, const ChannelsShape& shape,
    ChannelParams<Policy, acc_t<T>> (&shared)[kSize][kLanes]) {
  share_channels(shared, p, shape, [&](int c) {
    ChannelParams<Policy, acc_t<T>> of_channel;
    load_params<Policy>(of_channel.values, params, c);
    return of_channel;
  });
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
#pragma unroll
    for (int k = 0; k < Policy::kParams; ++k) out[i][k] = shared[i][p.lane].values[k];
  }
}

template <typename Policy, typename T, bool kAligned>
__global__ void __launch_bounds__(kChunkThreads)
    forward_pointwise_channels_kernel(const PointwiseForward<Policy, T> args,
                                      const ChannelsShape shape) {
  using Params = ChannelParams<Policy, acc_t<T>>;
  constexpr int kSize = Packed<T>::kSize, kLanes = kSharedLanes<kSize>;
  __shared__ Params shared_params[kSize][kLanes];
  const ChannelsPlace<T> p(shape, static_cast<int>(blockIdx.x));
  acc_t<T> params[kSize][Policy::kParams];
  share_params<Policy>(params, args.params, p, shape, shared_params);
  if (p.channel >= shape.channels) return;
#pragma unroll kPixelsAtOnce
  for (int pixel = p.pixel; pixel < p.pixels; pixel += p.step) {
    const int64_t at = p.offset + static_cast<int64_t>(pixel) * shape.channels;
    Vec v = load_channels<kAligned>(args.x + at, p.channel, shape.channels);
    apply_function<Policy, T>(v, params);
    store_channels<kAligned>(args.z + at, p.channel, shape.channels, v);
  }
}

template <typename Policy, typename T, bool kAligned>
__global__ void __launch_bounds__(kChunkThreads)
    backward_pointwise_channels_kernel(const PointwiseBackward<Policy, T> args,
                                       const ChannelsShape shape) {
  using A = acc_t<T>;
  using Params = ChannelParams<Policy, A>;
  constexpr int kSize = Packed<T>::kSize, kLanes = kSharedLanes<kSize>;
  __shared__ A shared[kSize][kChunkThreads];
  __shared__ Params shared_params[kSize][kLanes];
  const ChannelsPlace<T> p(shape, static_cast<int>(blockIdx.x));
  A sums[kSize][Policy::kParams] = {}, params[kSize][Policy::kParams];
  share_params<Policy>(params, args.params, p, shape, shared_params);
  if (p.channel < shape.channels) {
#pragma unroll 2
    for (int pixel = p.pixel; pixel < p.pixels; pixel += p.step) {
      const int64_t at = p.offset + static_cast<int64_t>(pixel) * shape.channels;
      const Vec x = load_channels<kAligned>(args.x + at, p.channel, shape.channels);
      Vec g = load_channels<kAligned>(args.dz + at, p.channel, shape.channels);
      grad_function<Policy, T>(g, x, kSize, params, sums);
      store_channels<kAligned>(args.dx + at, p.channel, shape.channels, g);
    }
  }
#pragma unroll
  for (int s = 0; s < Policy::kParams; ++s) {
    A sum[kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i) sum[i] = sums[i][s];
    sum_pixels(sum, shared, shape.lanes);
    store_sums<T>(sum, s, args.partial, p, shape);
  }
}

}  // namespace mmdet_frn
