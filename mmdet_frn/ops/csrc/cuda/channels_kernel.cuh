// A norm (+ residual) (+ threshold) in channels-last memory: a kernel that sums
// chunks of pixels, kernels that add up the chunks, one that applies the result.
//
//   x, dz, residual, z, dx, dresidual  [N][pixels][C]  fp64, fp32, fp16, bf16
//   partial                            (sums, N, chunks, C)  accumulation type
//   stats, sums                        see args.cuh          accumulation type
//
// A block takes the parameters and statistics of its channels to shared memory
// while its first pixels are under way. The kernels' blocks per multiprocessor
// are the most that spare spills.
//
// Traffic in passes over the tensor: forward 2 + 1, backward 3 + 2, one more
// for a residual each time; the second reads come from L2 where the launcher
// works on few enough images at a time. The last kernel takes the blocks last
// to first: the last are the likeliest to be in L2 still.
#pragma once

#include "args.cuh"
#include "channels.cuh"

namespace mmdet_frn {

// Independent loads a thread has under way: of one tensor, and of each of two.
constexpr int kPixelsAtOnce = 4;
constexpr int kPixelPairsAtOnce = 2;

// Stores a block's sums number s of its channels; the first `lanes` threads hold
// them.
template <typename T, int kSize>
__device__ __forceinline__ void store_sums(const acc_t<T> (&sum)[kSize], int s, acc_t<T>* partial,
                                           const ChannelsPlace<T>& p, const ChannelsShape& shape) {
  if (static_cast<int>(threadIdx.x) >= shape.lanes) return;
  acc_t<T>* out =
      partial + ((s * shape.images + p.image) * shape.chunks + p.chunk) * shape.channels;
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    if (p.channel + i < shape.channels) out[p.channel + i] = sum[i];
  }
}

template <typename Norm, typename T, bool kAligned>
__global__ void __launch_bounds__(kChunkThreads)
    forward_channels_sum_kernel(const ForwardArgs<Norm, T> args, const ChannelsShape shape,
                                acc_t<T>* partial) {
  using A = acc_t<T>;
  constexpr int kSize = Packed<T>::kSize;
  __shared__ A shared[kSize][kChunkThreads];
  const ChannelsPlace<T> p(shape, static_cast<int>(blockIdx.x));
  A pivot[kSize] = {}, sums[kSize][Norm::kStats] = {};
  if (p.channel < shape.channels) {
    if constexpr (Norm::kPivoted) {
      if (args.params.centered) {
        const T* at =
            args.x + p.offset + static_cast<int64_t>(pivot_place(p.pixels)) * shape.channels;
        unpack_vec<T>(load_channels<kAligned>(at, p.channel, shape.channels), pivot);
      }
    }
    for (int first = p.pixel; first < p.pixels; first += kPixelsAtOnce * p.step) {
      Vec v[kPixelsAtOnce];
      load_pixels<kAligned>(v, args.x, p, shape, first);
#pragma unroll
      for (int k = 0; k < kPixelsAtOnce; ++k) {
        // Past the last pixel x reads as 0, which only a sum about 0 may take in.
        if (Norm::kPivoted && first + k * p.step >= p.pixels) break;
        A value[kSize];
        unpack_vec<T>(v[k], value);
#pragma unroll
        for (int i = 0; i < kSize; ++i) Norm::add(value[i], pivot[i], sums[i]);
      }
    }
  }
#pragma unroll
  for (int s = 0; s < Norm::kStats; ++s) {
    A sum[kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i) sum[i] = sums[i][s];
    sum_pixels(sum, shared, shape.lanes);
    store_sums<T>(sum, s, partial, p, shape);
  }
  if constexpr (Norm::kPivoted) store_sums<T>(pivot, Norm::kStats, partial, p, shape);
}

// Turns a pixel's x into z and stores it.
template <typename Norm, bool kAligned, typename T, int kSize>
__device__ __forceinline__ void apply_pixel(const ForwardArgs<Norm, T>& args,
                                            const ChannelsShape& shape, int64_t at, int channel,
                                            const CoefOf<Norm, T> (&coef)[kSize], Vec& v) {
  if (args.residual == nullptr) {
    apply_forward<Norm, T, false>(v, v, coef);
  } else {
    const Vec r = load_channels<kAligned>(args.residual + at, channel, shape.channels);
    apply_forward<Norm, T, true>(v, r, coef);
  }
  store_channels<kAligned>(args.z + at, channel, shape.channels, v);
}

template <typename Norm, typename Coef, int kSize, int kLanes, typename P>
__device__ __forceinline__ void read_coefs(Coef (&coef)[kSize], const Coef (&shared)[kSize][kLanes],
                                           int lane, const P& params) {
  read_channels(coef, shared, lane);
#pragma unroll
  for (int i = 0; i < kSize; ++i) coef[i] = Norm::complete(params, coef[i]);
}

template <typename Norm, typename T, bool kAligned>
__global__ void __launch_bounds__(kChunkThreads, kAligned && !Norm::kGrouped ? 4 : 3)
    forward_channels_apply_kernel(const ForwardArgs<Norm, T> args, const ChannelsShape shape) {
  using Coef = CoefOf<Norm, T>;
  constexpr int kSize = Packed<T>::kSize, kLanes = kSharedLanes<kSize>;
  __shared__ Coef coefs[kSize][kLanes];
  const ChannelsPlace<T> p(shape, static_cast<int>(gridDim.x - 1 - blockIdx.x));
  Vec v[kPixelsAtOnce];
  load_pixels<kAligned>(v, args.x, p, shape, p.pixel);
  share_channels(coefs, p, shape,
                 [&](int c) { return Norm::saved_coef(args.params, args.stats, p.image, c); });
  __syncthreads();
  if (p.channel >= shape.channels) return;
  Coef coef[kSize];
  read_coefs<Norm>(coef, coefs, p.lane, args.params);
  for (int first = p.pixel; first < p.pixels;) {
#pragma unroll
    for (int k = 0; k < kPixelsAtOnce; ++k) {
      const int pixel = first + k * p.step;
      if (pixel >= p.pixels) break;
      const int64_t at = p.offset + static_cast<int64_t>(pixel) * shape.channels;
      apply_pixel<Norm, kAligned>(args, shape, at, p.channel, coef, v[k]);
    }
    first += kPixelsAtOnce * p.step;
    load_pixels<kAligned>(v, args.x, p, shape, first);
  }
}

// Turns a pixel's dz into g and adds to the sums.
template <typename Norm, bool kAligned, typename T, int kSize>
__device__ __forceinline__ void mask_pixel(const BackwardArgs<Norm, T>& args,
                                           const ChannelsShape& shape, int64_t at, int channel,
                                           const CoefOf<Norm, T> (&coef)[kSize], const Vec& x,
                                           Vec& g, acc_t<T> (&sums)[kSize][kRowSums]) {
  if (args.residual == nullptr) {
    mask_and_sum<Norm, T, false>(x, g, x, coef, sums);
  } else {
    const Vec r = load_channels<kAligned>(args.residual + at, channel, shape.channels);
    mask_and_sum<Norm, T, true>(x, g, r, coef, sums);
  }
}

template <typename Norm, typename T, bool kAligned>
__global__ void __launch_bounds__(kChunkThreads, sizeof(T) == 2 ? 2 : 3)
    backward_channels_sum_kernel(const BackwardArgs<Norm, T> args, const ChannelsShape shape,
                                 acc_t<T>* partial) {
  using A = acc_t<T>;
  using Coef = CoefOf<Norm, T>;
  constexpr int kSize = Packed<T>::kSize, kLanes = kSharedLanes<kSize>;
  __shared__ A shared[kSize][kChunkThreads];
  __shared__ Coef coefs[kSize][kLanes];
  const ChannelsPlace<T> p(shape, static_cast<int>(blockIdx.x));
  Vec x[kPixelPairsAtOnce], g[kPixelPairsAtOnce];
  load_pixels<kAligned>(x, args.x, p, shape, p.pixel);
  load_pixels<kAligned>(g, args.dz, p, shape, p.pixel);
  share_channels(coefs, p, shape,
                 [&](int c) { return Norm::saved_coef(args.params, args.stats, p.image, c); });
  __syncthreads();
  A sums[kSize][kRowSums] = {};
  if (p.channel < shape.channels) {
    Coef coef[kSize];
    read_coefs<Norm>(coef, coefs, p.lane, args.params);
    for (int first = p.pixel; first < p.pixels;) {
#pragma unroll
      for (int k = 0; k < kPixelPairsAtOnce; ++k) {
        const int pixel = first + k * p.step;
        if (pixel >= p.pixels) break;
        const int64_t at = p.offset + static_cast<int64_t>(pixel) * shape.channels;
        mask_pixel<Norm, kAligned>(args, shape, at, p.channel, coef, x[k], g[k], sums);
        if (args.dresidual != nullptr) {
          store_channels<kAligned>(args.dresidual + at, p.channel, shape.channels, g[k]);
        }
      }
      first += kPixelPairsAtOnce * p.step;
      load_pixels<kAligned>(x, args.x, p, shape, first);
      load_pixels<kAligned>(g, args.dz, p, shape, first);
    }
  }
#pragma unroll
  for (int s = 0; s < kRowSums; ++s) {
    A sum[kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i) sum[i] = sums[i][s];
    sum_pixels(sum, shared, shape.lanes);
    store_sums<T>(sum, s, partial, p, shape);
  }
}

template <typename Norm, typename T, bool kAligned>
__global__ void __launch_bounds__(kChunkThreads, Norm::kMinBlocks)
    backward_channels_apply_kernel(const BackwardArgs<Norm, T> args, const ChannelsShape shape) {
  using A = acc_t<T>;
  using Coef = CoefOf<Norm, T>;
  using Pull = PullOf<Norm, T>;
  constexpr int kSize = Packed<T>::kSize, kLanes = kSharedLanes<kSize>;
  __shared__ Coef coefs[kSize][kLanes];
  __shared__ Pull pulls[kSize][kLanes];
  const ChannelsPlace<T> p(shape, static_cast<int>(gridDim.x - 1 - blockIdx.x));
  Vec x[kPixelPairsAtOnce], g[kPixelPairsAtOnce];
  load_pixels<kAligned>(x, args.x, p, shape, p.pixel);
  load_pixels<kAligned>(g, args.dz, p, shape, p.pixel);
  share_channels(coefs, p, shape,
                 [&](int c) { return Norm::saved_coef(args.params, args.stats, p.image, c); });
  share_channels(pulls, p, shape, [&](int c) {
    if constexpr (Norm::kGrouped) {
      return Norm::saved_pull(args.params, args.pulls, p.image, c);
    } else {
      const int64_t row = p.image * shape.channels + c;
      const A scale = Norm::saved_coef(args.params, args.stats, p.image, c).scale;
      const A sum_gx = args.sums[kSumGX * args.sums_step + row];
      return Norm::pull(sum_gx, A(shape.pixels), scale, args.stats[row]);
    }
  });
  __syncthreads();
  if (p.channel >= shape.channels) return;
  Coef coef[kSize];
  Pull pull[kSize];
  read_coefs<Norm>(coef, coefs, p.lane, args.params);
  read_channels(pull, pulls, p.lane);
  for (int first = p.pixel; first < p.pixels;) {
#pragma unroll
    for (int k = 0; k < kPixelPairsAtOnce; ++k) {
      const int pixel = first + k * p.step;
      if (pixel >= p.pixels) break;
      const int64_t at = p.offset + static_cast<int64_t>(pixel) * shape.channels;
      A unused[kSize][kRowSums] = {};
      mask_pixel<Norm, kAligned>(args, shape, at, p.channel, coef, x[k], g[k], unused);
      apply_backward<Norm, T>(x[k], g[k], coef, pull);
      store_channels<kAligned>(args.dx + at, p.channel, shape.channels, x[k]);
    }
    first += kPixelPairsAtOnce * p.step;
    load_pixels<kAligned>(x, args.x, p, shape, first);
    load_pixels<kAligned>(g, args.dz, p, shape, first);
  }
}

}  // namespace mmdet_frn
