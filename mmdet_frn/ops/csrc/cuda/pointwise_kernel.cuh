// A function of each element with parameters per channel (pointwise.cuh),
// forward and backward, in (N, C, *) memory; what both layouts need comes first.
//
//   x, dz, z, dx  fp64, fp32, fp16, bf16, any alignment
//   partial       (parameters, parts, C)  accumulation type: what each part of
//                 x adds to the gradients of the parameters
//
// Traffic in passes over the tensor: forward 1 + 1, backward 2 + 1, each tensor
// in one go.
#pragma once

#include "pack.cuh"
#include "plan.h"
#include "reduce.cuh"
#include "row_io.cuh"

namespace mmdet_frn {

template <typename Policy, typename T>
struct PointwiseForward {
  const T* x;
  T* z;
  const acc_t<T>* params[Policy::kParams];  // (C,) each
};

template <typename Policy, typename T>
struct PointwiseBackward {
  const T* x;
  const T* dz;
  T* dx;
  const acc_t<T>* params[Policy::kParams];
  acc_t<T>* partial;
  int64_t partial_step;  // from one parameter to the next
};

// The parameters of channel c.
template <typename Policy, typename A>
__device__ __forceinline__ void load_params(A (&out)[Policy::kParams],
                                            const A* const (&params)[Policy::kParams], int c) {
#pragma unroll
  for (int i = 0; i < Policy::kParams; ++i) out[i] = params[i][c];
}

// In the two functions below a pack belongs to one channel (kRows == 1) or each
// of its elements to a channel of its own, as in pack.cuh.

template <typename Policy, typename T, int kRows>
__device__ __forceinline__ void apply_function(Vec& pack,
                                               const acc_t<T> (&params)[kRows][Policy::kParams]) {
  acc_t<T> x[Packed<T>::kSize];
  unpack_vec<T>(pack, x);
#pragma unroll
  for (int i = 0; i < Packed<T>::kSize; ++i) {
    x[i] = Policy::apply(x[i], params[kRows == 1 ? 0 : i]);
  }
  pack_vec<T>(x, pack);
}

// Turns a pack of dz into one of dx. Of the elements `count` are there.
template <typename Policy, typename T, int kRows>
__device__ __forceinline__ void grad_function(Vec& dz_pack, const Vec& x_pack, int count,
                                              const acc_t<T> (&params)[kRows][Policy::kParams],
                                              acc_t<T> (&sums)[kRows][Policy::kParams]) {
  acc_t<T> x[Packed<T>::kSize], dz[Packed<T>::kSize];
  unpack_vec<T>(x_pack, x);
  unpack_vec<T>(dz_pack, dz);
#pragma unroll
  for (int i = 0; i < Packed<T>::kSize; ++i) {
    const int row = kRows == 1 ? 0 : i;
    if (i < count) dz[i] = Policy::grad(dz[i], x[i], params[row], sums[row]);
  }
  pack_vec<T>(dz, dz_pack);
}

// ---- (N, C, *) memory --------------------------------------------------------

constexpr int kPartThreads = 256;
// 16-byte packs that a lane loads of each tensor at once, and of a part in all.
constexpr int kForwardPacks = 4;
constexpr int kBackwardPacks = 2;
constexpr int kMostPacks = 16;
constexpr int kManyParts = 16;  // of a row: from here on parts get longer

// How rows are cut into parts: a group of `width` lanes holds one, and each lane
// loads `at_once` packs `rounds` times.
struct PartPlan {
  int width;
  int rounds;
  int64_t parts;  // of a row
};

constexpr PartPlan plan_parts(int64_t len, int element_size, int at_once) {
  const int64_t packs = ceil_div(len, 16 / element_size);
  if (packs <= 32 * at_once) return {static_cast<int>(ceil_pow2(ceil_div(packs, at_once))), 1, 1};
  int rounds = 1;
  while (2 * rounds * at_once <= kMostPacks && packs > 32LL * kManyParts * rounds * at_once) {
    rounds *= 2;
  }
  return {32, rounds, ceil_div(packs, 32LL * rounds * at_once)};
}

struct PartsShape {
  int64_t len;          // elements of a row
  int64_t first_image;  // of the launch
  int items;            // parts of the launch
  int channels;
  int parts;  // of a row
  int width;  // lanes of a part
  int rounds;
};

// The calling lane's part of a row.
template <typename T, int kPacks>
struct RowPart {
  LaneGroup group;
  int len;  // elements; 0 for lanes past the last part, which take part in shuffles only
  int channel;
  int64_t place;   // among the parts of a channel
  int64_t offset;  // of its first element in the tensor

  __device__ __forceinline__ explicit RowPart(const PartsShape& s) {
    const int thread = static_cast<int>(threadIdx.x);
    const int item = static_cast<int>(blockIdx.x) * (kPartThreads / s.width) + thread / s.width;
    const int row = item / s.parts, part = item % s.parts;
    const int64_t image = s.first_image + row / s.channels;
    const int64_t begin = static_cast<int64_t>(part) * elements(s);
    group = {0, thread & (s.width - 1), s.width};
    channel = row % s.channels;
    place = image * s.parts + part;
    offset = (image * s.channels + channel) * s.len + begin;
    len = 0;
    if (item < s.items) {
      len = static_cast<int>(s.len - begin < elements(s) ? s.len - begin : elements(s));
    }
  }

  // Of a part that is not the last one.
  static __device__ __forceinline__ int elements(const PartsShape& s) {
    return s.width * s.rounds * kPacks * Packed<T>::kSize;
  }
  // Goes on to the next round; false past the end of the part. Of several parts
  // in a warp none has two rounds.
  __device__ __forceinline__ bool next(const PartsShape& s) {
    group.first += s.width * kPacks;
    return s.rounds > 1 && group.first * Packed<T>::kSize < len;
  }
};

// kAligned: every row of every tensor starts on 16 bytes and is made of whole
// packs.
template <typename Policy, typename T, bool kAligned>
__global__ void __launch_bounds__(kPartThreads)
    forward_pointwise_rows_kernel(const PointwiseForward<Policy, T> args, const PartsShape shape) {
  RowPart<T, kForwardPacks> part(shape);
  acc_t<T> params[1][Policy::kParams] = {};
  if (part.len > 0) load_params<Policy>(params[0], args.params, part.channel);
  do {
    Vec v[kForwardPacks];
    load_row<kAligned>(v, args.x + part.offset, part.len, part.group);
#pragma unroll
    for (int k = 0; k < kForwardPacks; ++k) apply_function<Policy, T>(v[k], params);
    store_row<kAligned>(args.z + part.offset, part.len, part.group, v);
  } while (part.next(shape));
}

template <typename Policy, typename T, bool kAligned>
__global__ void __launch_bounds__(kPartThreads)
    backward_pointwise_rows_kernel(const PointwiseBackward<Policy, T> args,
                                   const PartsShape shape) {
  constexpr int kSize = Packed<T>::kSize;
  RowPart<T, kBackwardPacks> part(shape);
  acc_t<T> params[1][Policy::kParams] = {}, sums[1][Policy::kParams] = {};
  if (part.len > 0) load_params<Policy>(params[0], args.params, part.channel);
  do {
    Vec x[kBackwardPacks], g[kBackwardPacks];
    load_row<kAligned>(x, args.x + part.offset, part.len, part.group);
    load_row<kAligned>(g, args.dz + part.offset, part.len, part.group);
#pragma unroll
    for (int k = 0; k < kBackwardPacks; ++k) {
      const LaneGroup& group = part.group;
      const int left = part.len - (group.first + k * group.width + group.lane) * kSize;
      if (left > 0) {
        grad_function<Policy, T>(g[k], x[k], kAligned ? kSize : left, params, sums);
      }
    }
    store_row<kAligned>(args.dx + part.offset, part.len, part.group, g);
  } while (part.next(shape));
  sum_lanes(sums[0], shape.width);
  if (part.group.lane > 0 || part.len == 0) return;
#pragma unroll
  for (int i = 0; i < Policy::kParams; ++i) {
    args.partial[i * args.partial_step + part.place * shape.channels + part.channel] = sums[0][i];
  }
}

}  // namespace mmdet_frn
