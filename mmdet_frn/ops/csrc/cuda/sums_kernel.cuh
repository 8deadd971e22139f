// The small reductions after the big ones, each in a fixed order: chunks to
// rows in channels-last memory, and rows to parameter gradients.
//
// Traffic: the partial sums only. For maps large enough to matter at most 5% of
// the tensor (fp16 backward in channels-last memory).
#pragma once

#include "pack.cuh"

namespace mmdet_frn {

// A block of kSumLanes x kSumLanes threads: channels along x, parts to add up
// along y.
constexpr int kSumLanes = 32;

// Adds up `value` over y by halving; the result is in the threads of y == 0.
// One use per block.
template <typename A>
__device__ __forceinline__ A sum_column(A value, A (&shared)[kSumLanes][kSumLanes]) {
  shared[threadIdx.y][threadIdx.x] = value;
  __syncthreads();
#pragma unroll
  for (int stride = kSumLanes / 2; stride > 0; stride /= 2) {
    if (threadIdx.y < stride) {
      shared[threadIdx.y][threadIdx.x] =
          add_rn(shared[threadIdx.y][threadIdx.x], shared[threadIdx.y + stride][threadIdx.x]);
    }
    __syncthreads();
  }
  return shared[threadIdx.y][threadIdx.x];
}

// Where the sums of chunks of a launch lie: channel c and chunk k of image n at
// n * chunks * channels + c * channel_step + k * chunk_step.
struct PartShape {
  int channels;
  int chunks;
  int64_t channel_step, chunk_step;
};

// partial, of images x chunks x channels -> out (images, channels): the sums, or
// with kRstd rsqrt(sum / pixels + |eps|). One block per image and kSumLanes
// channels; gridDim.y counts sums, partial_step and out_step elements apart.
template <typename Norm, typename A, bool kRstd>
__global__ void __launch_bounds__(kSumLanes* kSumLanes)
    chunks_to_rows_kernel(const A* partial, int64_t partial_step, A* out, int64_t out_step,
                          const typename Norm::template Params<A> params, const PartShape shape,
                          int64_t pixels) {
  const int channels = shape.channels;
  __shared__ A shared[kSumLanes][kSumLanes];
  const int tiles = (channels + kSumLanes - 1) / kSumLanes;
  const int64_t image = blockIdx.x / tiles;
  const int c = static_cast<int>(blockIdx.x % tiles * kSumLanes + threadIdx.x);
  A sum = A(0);
  if (c < channels) {
    const A* from = partial + blockIdx.y * partial_step + image * shape.chunks * channels +
                    c * shape.channel_step;
    for (int k = static_cast<int>(threadIdx.y); k < shape.chunks; k += kSumLanes) {
      sum = add_rn(sum, from[k * shape.chunk_step]);
    }
  }
  sum = sum_column(sum, shared);
  if (threadIdx.y > 0 || c >= channels) return;
  if constexpr (kRstd) sum = Norm::rstd(sum, A(pixels), params.abs_eps(c));
  out[blockIdx.y * out_step + image * channels + c] = sum;
}

template <typename Norm, typename A>
struct ParamGradArgs {
  const A* sums;   // (3, parts, n, channels), see RowSum
  const A* stats;  // see args.cuh
  typename Norm::template Params<A> params;
  int64_t n;
  int channels;
  int parts;  // of a row
  // (channels,) each, or null. deps: per channel, also where eps is one number.
  A* dweight;
  A* dbias;
  A* dtau;  // of EvoNorm: of v, whose sum is in the place of that of tau
  A* deps;
};

// Sum number `kind` of a row: of its parts.
template <typename Norm, typename A>
__device__ __forceinline__ A sum_of_row(const ParamGradArgs<Norm, A>& args, int kind, int64_t row) {
  const int64_t step = args.n * args.channels;
  const A* const from = args.sums + kind * args.parts * step + row;
  A sum = from[0];
  for (int part = 1; part < args.parts; ++part) sum = add_rn(sum, from[part * step]);
  return sum;
}

// One block per kSumLanes channels and gradient: gridDim.y counts dweight,
// dbias, dtau, deps.
template <typename Norm, typename A>
__global__ void __launch_bounds__(kSumLanes* kSumLanes)
    param_grad_kernel(const ParamGradArgs<Norm, A> args) {
  __shared__ A shared[kSumLanes][kSumLanes];
  A* const outs[4] = {args.dweight, args.dbias, args.dtau, args.deps};
  A* const out = blockIdx.y < 2 ? (blockIdx.y == 0 ? outs[0] : outs[1])
                                : (blockIdx.y == 2 ? outs[2] : outs[3]);
  if (out == nullptr) return;
  const int c = static_cast<int>(blockIdx.x * kSumLanes + threadIdx.x);
  A sum = A(0);
  if (c < args.channels) {
    for (int64_t n = threadIdx.y; n < args.n; n += kSumLanes) {
      const int64_t row = n * args.channels + c;
      if (blockIdx.y == 1) {
        sum = add_rn(sum, sum_of_row(args, kSumG, row));
      } else if (Norm::kThreshold && blockIdx.y == 2) {
        sum = add_rn(sum, sum_of_row(args, kSumTau, row));
      } else if (blockIdx.y == 2) {
        const A rstd = Norm::saved_rstd(args.params, args.stats, n, c);
        sum = add_rn(sum, Norm::weight_grad(sum_of_row(args, kSumTau, row), rstd));
      } else {
        const A rstd = Norm::saved_rstd(args.params, args.stats, n, c);
        const A sum_gx = sum_of_row(args, kSumGX, row);
        A value = Norm::weight_grad(sum_gx, rstd);
        if constexpr (Norm::kLearnsEps) {
          if (blockIdx.y == 3) value = Norm::eps_grad(sum_gx, rstd);
        }
        sum = add_rn(sum, value);
      }
    }
  }
  sum = sum_column(sum, shared);
  if (threadIdx.y > 0 || c >= args.channels) return;
  if (!Norm::kThreshold && blockIdx.y == 2) sum = mul_rn(args.params.weight[c], sum);
  if constexpr (Norm::kLearnsEps) {
    if (blockIdx.y == 3) {
      // d|eps| / deps is 0 at 0, as autograd's abs has it.
      const A eps = args.params.eps[c * args.params.eps_step];
      const A sign = eps > A(0) ? A(1) : (eps < A(0) ? A(-1) : A(0));
      sum = mul_rn(mul_rn(A(-0.5) * sign, args.params.weight[c]), sum);
    }
  }
  out[c] = sum;
}

template <typename A, int kOuts>
struct FoldArgs {
  const A* partial;  // (kOuts, parts, channels)
  int64_t parts;
  int channels;
  A* outs[kOuts];  // (channels,) each
};

// Adds up parts to the gradients of parameters. One block per kSumLanes channels
// and gradient.
template <typename A, int kOuts>
__global__ void __launch_bounds__(kSumLanes* kSumLanes)
    fold_parts_kernel(const __grid_constant__ FoldArgs<A, kOuts> args) {
  __shared__ A shared[kSumLanes][kSumLanes];
  const int c = static_cast<int>(blockIdx.x * kSumLanes + threadIdx.x);
  A sum = A(0);
  if (c < args.channels) {
    const A* from = args.partial + blockIdx.y * args.parts * args.channels + c;
    for (int64_t k = threadIdx.y; k < args.parts; k += kSumLanes) {
      sum = add_rn(sum, from[k * args.channels]);
    }
  }
  sum = sum_column(sum, shared);
  if (threadIdx.y == 0 && c < args.channels) args.outs[blockIdx.y][c] = sum;
}

// The gradient of an eps of one element: the sum over the channels. One block.
template <typename A>
__global__ void __launch_bounds__(kSumLanes* kSumLanes)
    sum_channels_kernel(const A* values, int channels, A* out) {
  __shared__ A shared[kSumLanes][kSumLanes];
  A sum = A(0);
  for (int c = static_cast<int>(threadIdx.y * kSumLanes + threadIdx.x); c < channels;
       c += kSumLanes * kSumLanes) {
    sum = add_rn(sum, values[c]);
  }
  sum = sum_column(sum, shared);
  if (threadIdx.y > 0) return;
#pragma unroll
  for (int offset = kSumLanes / 2; offset > 0; offset /= 2) {
    sum = add_rn(sum, __shfl_xor_sync(0xffffffffu, sum, offset));
  }
  if (threadIdx.x == 0) *out = sum;
}

}  // namespace mmdet_frn
