// A norm (+ residual) (+ threshold) for rows too long to stay on chip, (N, C, *)
// memory: a kernel that sums each chunk of a row, and one that adds up the
// chunks' sums and applies them. Where rows share their statistics
// (Norm::kGrouped), the kernels of group_sums_kernel.cuh between the two add up.
//
// Shapes and dtypes as in the row kernels; partial: (sums, rows, chunks) in
// accumulation type.
//
// Traffic in passes over the tensor: forward 2 + 1, backward 3 + 2, one more
// for a residual each time; the second reads come from L2 where the launcher
// works on few enough rows at a time. The second kernel takes the chunks last
// to first: the last are the likeliest to be in L2 still.
#pragma once

#include "row_backward_kernel.cuh"
#include "row_forward_kernel.cuh"

namespace mmdet_frn {

struct ChunkShape {
  int64_t len;        // elements of a row
  int64_t first_row;  // of the launch, within the tensor
  int rows;           // of the launch
  int channels;
  int chunks;  // of a row
};

template <typename T>
struct Chunk {
  int row;         // within the launch
  int index;       // within the row
  int len;         // elements
  int64_t offset;  // of its first element in the tensor
  int64_t image;
  int channel;

  __device__ __forceinline__ Chunk(const ChunkShape& s, int block) {
    constexpr int64_t kElements = static_cast<int64_t>(kChunkPacks) * Packed<T>::kSize;
    row = block / s.chunks;
    index = block % s.chunks;
    const int64_t begin = index * kElements;
    len = static_cast<int>(s.len - begin < kElements ? s.len - begin : kElements);
    offset = (s.first_row + row) * s.len + begin;
    image = (s.first_row + row) / s.channels;
    channel = static_cast<int>((s.first_row + row) % s.channels);
  }

  // The calling warp's packs in one round; false past the end of the chunk.
  __device__ __forceinline__ bool round(int i, LaneGroup& group) const {
    constexpr int kPacks = kChunkThreads * kChunkRoundPacks;
    group.first = i * kPacks + static_cast<int>(threadIdx.x) / 32 * 32 * kChunkRoundPacks;
    group.lane = static_cast<int>(threadIdx.x) % 32;
    group.width = 32;
    return i * kPacks * Packed<T>::kSize < len;
  }
};

// The sum of a row from those of its chunks, in every thread of the block.
template <typename A, int kSums>
__device__ __forceinline__ void sum_chunks(A (&sums)[kSums], const A* partial, int64_t step,
                                           int chunks) {
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    sums[i] = A(0);
    for (int k = static_cast<int>(threadIdx.x); k < chunks; k += kChunkThreads) {
      sums[i] = add_rn(sums[i], partial[i * step + k]);
    }
  }
  sum_row<Scope::kBlock>(sums, 32);
}

template <typename Norm, typename T>
__global__ void __launch_bounds__(kChunkThreads)
    forward_chunk_sum_kernel(const ForwardArgs<Norm, T> args, const ChunkShape shape,
                             acc_t<T>* partial) {
  using A = acc_t<T>;
  const Chunk<T> chunk(shape, static_cast<int>(blockIdx.x));
  A pivot = A(0), sums[Norm::kStats] = {};
  if constexpr (Norm::kPivoted) {
    if (args.params.centered) pivot = load_one(args.x + chunk.offset, pivot_place(chunk.len));
  }
  LaneGroup group;
  for (int i = 0; i < kChunkRounds && chunk.round(i, group); ++i) {
    Vec v[kChunkRoundPacks];
    load_row<false>(v, args.x + chunk.offset, chunk.len, group);
    A of_round[Norm::kStats];
    sum_packs<Norm, T>(v, chunk.len, group, pivot, of_round);
#pragma unroll
    for (int s = 0; s < Norm::kStats; ++s) sums[s] = add_rn(sums[s], of_round[s]);
  }
  sum_row<Scope::kBlock>(sums, 32);
  if (threadIdx.x == 0) {
    const int64_t step = gridDim.x;
#pragma unroll
    for (int s = 0; s < Norm::kStats; ++s) partial[s * step + blockIdx.x] = sums[s];
    if constexpr (Norm::kPivoted) partial[Norm::kStats * step + blockIdx.x] = pivot;
  }
}

template <typename Norm, typename T>
__global__ void __launch_bounds__(kChunkThreads, Norm::kMinBlocks)
    forward_chunk_apply_kernel(const ForwardArgs<Norm, T> args, const ChunkShape shape,
                               const acc_t<T>* partial) {
  using A = acc_t<T>;
  const Chunk<T> chunk(shape, static_cast<int>(gridDim.x - 1 - blockIdx.x));
  CoefOf<Norm, T> coef[1];
  if constexpr (Norm::kGrouped) {
    coef[0] = Norm::saved_coef(args.params, args.stats, chunk.image, chunk.channel);
  } else {
    A sum[1];
    sum_chunks(sum, partial + static_cast<int64_t>(chunk.row) * shape.chunks, 0, shape.chunks);
    const A rstd = Norm::rstd(sum[0], A(shape.len), args.params.abs_eps(chunk.channel));
    if (chunk.index == 0 && threadIdx.x == 0) args.stats[shape.first_row + chunk.row] = rstd;
    coef[0] = Norm::coef(Norm::load(args.params, chunk.channel), rstd);
  }
  LaneGroup group;
  for (int i = 0; i < kChunkRounds && chunk.round(i, group); ++i) {
    Vec v[kChunkRoundPacks], r[kChunkRoundPacks];
    load_row<false>(v, args.x + chunk.offset, chunk.len, group);
    if (args.residual != nullptr) {
      load_row<false>(r, args.residual + chunk.offset, chunk.len, group);
    }
#pragma unroll
    for (int k = 0; k < kChunkRoundPacks; ++k) {
      if (args.residual == nullptr) {
        apply_forward<Norm, T, false>(v[k], v[k], coef);
      } else {
        apply_forward<Norm, T, true>(v[k], r[k], coef);
      }
    }
    store_row<false>(args.z + chunk.offset, chunk.len, group, v);
  }
}

// Loads one round of x and dz, turns dz into g and adds to the sums.
template <typename Norm, typename T>
__device__ __forceinline__ void mask_round(const BackwardArgs<Norm, T>& args, const Chunk<T>& chunk,
                                           LaneGroup group, const CoefOf<Norm, T> (&coef)[1],
                                           Vec (&x)[kChunkRoundPacks], Vec (&g)[kChunkRoundPacks],
                                           acc_t<T> (&sums)[1][kRowSums]) {
  load_row<false>(x, args.x + chunk.offset, chunk.len, group);
  load_row<false>(g, args.dz + chunk.offset, chunk.len, group);
  if (args.residual == nullptr) {
#pragma unroll
    for (int k = 0; k < kChunkRoundPacks; ++k) {
      mask_and_sum<Norm, T, false>(x[k], g[k], x[k], coef, sums);
    }
  } else {
    Vec r[kChunkRoundPacks];
    load_row<false>(r, args.residual + chunk.offset, chunk.len, group);
#pragma unroll
    for (int k = 0; k < kChunkRoundPacks; ++k) {
      mask_and_sum<Norm, T, true>(x[k], g[k], r[k], coef, sums);
    }
  }
}

template <typename Norm, typename T>
__global__ void __launch_bounds__(kChunkThreads, Norm::kMinBlocks)
    backward_chunk_sum_kernel(const BackwardArgs<Norm, T> args, const ChunkShape shape,
                              acc_t<T>* partial) {
  using A = acc_t<T>;
  const Chunk<T> chunk(shape, static_cast<int>(blockIdx.x));
  const CoefOf<Norm, T> coef[1] = {
      Norm::saved_coef(args.params, args.stats, chunk.image, chunk.channel)};
  A sums[1][kRowSums] = {};
  LaneGroup group;
  for (int i = 0; i < kChunkRounds && chunk.round(i, group); ++i) {
    Vec x[kChunkRoundPacks], g[kChunkRoundPacks];
    mask_round<Norm>(args, chunk, group, coef, x, g, sums);
    if (args.dresidual != nullptr) {
      store_row<false>(args.dresidual + chunk.offset, chunk.len, group, g);
    }
  }
  sum_row<Scope::kBlock>(sums[0], 32);
  if (threadIdx.x == 0) {
#pragma unroll
    for (int i = 0; i < kRowSums; ++i) {
      partial[static_cast<int64_t>(i) * gridDim.x + blockIdx.x] = sums[0][i];
    }
  }
}

template <typename Norm, typename T>
__global__ void __launch_bounds__(kChunkThreads, Norm::kMinBlocks)
    backward_chunk_apply_kernel(const BackwardArgs<Norm, T> args, const ChunkShape shape,
                                const acc_t<T>* partial) {
  using A = acc_t<T>;
  const Chunk<T> chunk(shape, static_cast<int>(gridDim.x - 1 - blockIdx.x));
  const CoefOf<Norm, T> coef[1] = {
      Norm::saved_coef(args.params, args.stats, chunk.image, chunk.channel)};
  PullOf<Norm, T> pull[1];
  if constexpr (Norm::kGrouped) {
    pull[0] = Norm::saved_pull(args.params, args.pulls, chunk.image, chunk.channel);
  } else {
    const int64_t row = shape.first_row + chunk.row;
    A sums[kRowSums];
    sum_chunks(sums, partial + static_cast<int64_t>(chunk.row) * shape.chunks,
               static_cast<int64_t>(gridDim.x), shape.chunks);
    if (chunk.index == 0 && threadIdx.x == 0 && args.sums != nullptr) {
#pragma unroll
      for (int i = 0; i < kRowSums; ++i) args.sums[i * args.sums_step + row] = sums[i];
    }
    if (args.dx == nullptr) return;
    pull[0] = Norm::pull(sums[kSumGX], A(shape.len), coef[0].scale, args.stats[row]);
  }
  LaneGroup group;
  for (int i = 0; i < kChunkRounds && chunk.round(i, group); ++i) {
    Vec x[kChunkRoundPacks], g[kChunkRoundPacks];
    A unused[1][kRowSums] = {};
    mask_round<Norm>(args, chunk, group, coef, x, g, unused);
#pragma unroll
    for (int k = 0; k < kChunkRoundPacks; ++k) apply_backward<Norm, T>(x[k], g[k], coef, pull);
    store_row<false>(args.dx + chunk.offset, chunk.len, group, x);
  }
}

}  // namespace mmdet_frn
