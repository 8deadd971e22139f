// A norm of single channels (+ residual) (+ threshold) in channels-last memory for
// small maps, in one launch: a block holds all pixels of a slab of channels.
//
// Shapes and dtypes as in channels_kernel.cuh. Traffic in passes over the tensor:
// forward 2, backward 3; 3 and 5 with a residual and its gradient.
#pragma once

#include "channels_kernel.cuh"
#include "reduce.cuh"

namespace mmdet_frn {

// A thread of a slab's block that works out one of its channels.
template <typename T>
struct SlabChannel {
  static constexpr int kSize = Packed<T>::kSize;
  int element, lane;  // of the channel, see share_channels
  int channel;        // past the last one, that one
  bool works;         // the thread has a channel
  bool exists;        // and it is one of the tensor

  __device__ __forceinline__ SlabChannel(const ChannelsPlace<T>& p, const ChannelsShape& shape) {
    const int thread = static_cast<int>(threadIdx.x);
    element = thread % kSize;
    lane = thread / kSize;
    works = lane < shape.lanes;
    exists = works && p.first + thread < shape.channels;
    channel = exists ? p.first + thread : shape.channels - 1;
  }
};

// Sums over the pixels that each warp holds; `lanes` threads of a warp keep them.
template <typename A, int kSize, int kSums>
__device__ __forceinline__ void sum_warps(A (&sums)[kSize][kSums],
                                          A (&parts)[kSums][kSize][kSlabParts], int lanes) {
  const int thread = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int s = 0; s < kSums; ++s) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      for (int offset = 16; offset >= lanes; offset /= 2) {
        sums[i][s] = add_rn(sums[i][s], __shfl_xor_sync(0xffffffffu, sums[i][s], offset));
      }
      if (thread < lanes) parts[s][i][warp * lanes + thread] = sums[i][s];
    }
  }
}

// The sum of a channel from those of the block's warps.
template <typename A>
__device__ __forceinline__ A sum_parts(const A (&parts)[kSlabParts], int lane, int lanes) {
  const int warps = static_cast<int>(blockDim.x) / 32;
  A sum = parts[lane];
  for (int warp = 1; warp < warps; ++warp) sum = add_rn(sum, parts[warp * lanes + lane]);
  return sum;
}

template <typename Norm, typename T, bool kAligned>
__global__ void __launch_bounds__(kSlabThreads, 1)
    forward_slab_kernel(const ForwardArgs<Norm, T> args, const ChannelsShape shape) {
  using A = acc_t<T>;
  using Coef = CoefOf<Norm, T>;
  constexpr int kSize = Packed<T>::kSize, kLanes = kSharedLanes<kSize>;
  __shared__ A parts[1][kSize][kSlabParts];
  __shared__ Coef coefs[kSize][kLanes];
  const ChannelsPlace<T> p(shape, static_cast<int>(blockIdx.x));
  const SlabChannel<T> own(p, shape);
  Vec v[kSlabPixels];
  load_pixels<kAligned>(v, args.x, p, shape, p.pixel);
  const Coef params = Norm::load(args.params, own.channel);
  const A abs_eps = args.params.abs_eps(own.channel);
  // Past the last pixel x reads as 0, which a sum about 0 may take in.
  static_assert(!Norm::kPivoted && Norm::kStats == 1);
  A sums[kSize][1] = {};
#pragma unroll
  for (int k = 0; k < kSlabPixels; ++k) {
    A x[kSize];
    unpack_vec<T>(v[k], x);
#pragma unroll
    for (int i = 0; i < kSize; ++i) Norm::add(x[i], A(0), sums[i]);
  }
  sum_warps(sums, parts, shape.lanes);
  __syncthreads();
  if (own.works) {
    const A sum = sum_parts(parts[0][own.element], own.lane, shape.lanes);
    const A rstd = Norm::rstd(sum, A(shape.pixels), abs_eps);
    if (own.exists) args.stats[p.image * shape.channels + own.channel] = rstd;
    coefs[own.element][own.lane] = Norm::coef(params, rstd);
  }
  __syncthreads();
  if (p.channel >= shape.channels) return;
  Coef coef[kSize];
  read_coefs<Norm>(coef, coefs, p.lane, args.params);
#pragma unroll
  for (int k = 0; k < kSlabPixels; ++k) {
    const int pixel = p.pixel + k * p.step;
    if (pixel >= p.pixels) break;
    const int64_t at = p.offset + static_cast<int64_t>(pixel) * shape.channels;
    apply_pixel<Norm, kAligned>(args, shape, at, p.channel, coef, v[k]);
  }
}

template <typename Norm, typename T, bool kAligned>
__global__ void __launch_bounds__(kSlabThreads, 1)
    backward_slab_kernel(const BackwardArgs<Norm, T> args, const ChannelsShape shape) {
  using A = acc_t<T>;
  using Coef = CoefOf<Norm, T>;
  using Pull = PullOf<Norm, T>;
  constexpr int kSize = Packed<T>::kSize, kLanes = kSharedLanes<kSize>;
  __shared__ A parts[kRowSums][kSize][kSlabParts];
  __shared__ Coef coefs[kSize][kLanes];
  __shared__ Pull pulls[kSize][kLanes];
  const ChannelsPlace<T> p(shape, static_cast<int>(blockIdx.x));
  const SlabChannel<T> own(p, shape);
  const int64_t row = p.image * shape.channels + own.channel;
  Vec x[kSlabPixels], g[kSlabPixels];
  load_pixels<kAligned>(x, args.x, p, shape, p.pixel);
  load_pixels<kAligned>(g, args.dz, p, shape, p.pixel);
  const A rstd = args.stats[row];
  const Coef of_own = Norm::coef(Norm::load(args.params, own.channel), rstd);
  if (own.works) coefs[own.element][own.lane] = of_own;
  __syncthreads();
  Coef coef[kSize];
  read_coefs<Norm>(coef, coefs, p.lane, args.params);
  A sums[kSize][kRowSums] = {};
#pragma unroll
  for (int k = 0; k < kSlabPixels; ++k) {
    const int pixel = p.pixel + k * p.step;
    if (pixel >= p.pixels || p.channel >= shape.channels) break;
    const int64_t at = p.offset + static_cast<int64_t>(pixel) * shape.channels;
    mask_pixel<Norm, kAligned>(args, shape, at, p.channel, coef, x[k], g[k], sums);
    if (args.dresidual != nullptr) {
      store_channels<kAligned>(args.dresidual + at, p.channel, shape.channels, g[k]);
    }
  }
  sum_warps(sums, parts, shape.lanes);
  __syncthreads();
  if (own.works) {
    A total[kRowSums];
#pragma unroll
    for (int s = 0; s < kRowSums; ++s) {
      total[s] = sum_parts(parts[s][own.element], own.lane, shape.lanes);
      if (own.exists) args.sums[s * args.sums_step + row] = total[s];
    }
    pulls[own.element][own.lane] = Norm::pull(total[kSumGX], A(shape.pixels), of_own.scale, rstd);
  }
  if (args.dx == nullptr) return;
  __syncthreads();
  if (p.channel >= shape.channels) return;
  Pull pull[kSize];
  read_channels(pull, pulls, p.lane);
#pragma unroll
  for (int k = 0; k < kSlabPixels; ++k) {
    const int pixel = p.pixel + k * p.step;
    if (pixel >= p.pixels) break;
    const int64_t at = p.offset + static_cast<int64_t>(pixel) * shape.channels;
    apply_backward<Norm, T>(x[k], g[k], coef, pull);
    store_channels<kAligned>(args.dx + at, p.channel, shape.channels, x[k]);
  }
}

}  // namespace mmdet_frn
