// Reading and writing one row (the H*W elements of one sample and channel) in
// 16-byte accesses, wherever the row starts. Rows made of whole packs that all
// start on 16 bytes (kAligned) need no more than that; what follows is about
// the others.
//
// The kernels see a row in packs that start at its first element, so that the
// order of every sum depends on the row's length alone and never on its
// address: a row gives bitwise the same result in any batch. Memory is accessed
// in 16-byte slots aligned in memory. Where the two differ by `shift` bytes, a
// pack is the end of one slot and the beginning of the next, which the next
// lane holds; a warp passes them along by shuffles. No access leaves the row:
// the slots at its ends are accessed element by element.
//
//   packs    |  0  |  1  |  2  | ...      lane l of a group of `width` lanes
//   holds packs slots  |  0  |  1  |  2  | ...        first + k * width + l for
//   k = 0 .. kPacks - 1
//          <-> shift
#pragma once

#include "math.cuh"

namespace mmdet_frn {

// The lanes that hold a row, or a warp's part of one: `width` (a power of two,
// at most 32) consecutive lanes of one warp, from pack `first` on.
struct LaneGroup {
  int first;
  int lane;
  int width;
};

// Bytes [shift, shift + 16) of the 32 bytes lo:hi, for shift in 0 .. 16.
__device__ __forceinline__ Vec extract(const Vec& lo, const Vec& hi, int shift) {
  uint32_t c[8];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    c[i] = shift & 16 ? hi.w[i] : lo.w[i];
    c[i + 4] = hi.w[i];
  }
#pragma unroll
  for (int i = 0; i < 6; ++i) c[i] = shift & 8 ? c[i + 2] : c[i];
#pragma unroll
  for (int i = 0; i < 5; ++i) c[i] = shift & 4 ? c[i + 1] : c[i];
  Vec out;
#pragma unroll
  for (int i = 0; i < 4; ++i) out.w[i] = __funnelshift_r(c[i], c[i + 1], 8 * (shift & 3));
  return out;
}

__device__ __forceinline__ Vec shuffle(const Vec& v, int source, int width) {
  Vec out;
#pragma unroll
  for (int i = 0; i < 4; ++i) out.w[i] = __shfl_sync(0xffffffffu, v.w[i], source, width);
  return out;
}

template <typename T>
__device__ __forceinline__ Vec load_vec(const T* p) {
  const uint4 q = __ldg(reinterpret_cast<const uint4*>(p));
  return {{q.x, q.y, q.z, q.w}};
}

template <typename T>
__device__ __forceinline__ void store_vec(T* p, const Vec& v) {
  *reinterpret_cast<uint4*>(p) = make_uint4(v.w[0], v.w[1], v.w[2], v.w[3]);
}

// Elements [e, e + size) of a row of `len`, one by one; those outside it read
// as zero.
template <typename T>
__device__ __forceinline__ Vec load_part(const T* row, int e, int len) {
  const bits_t<T>* bits = reinterpret_cast<const bits_t<T>*>(row);
  Vec v{{0u, 0u, 0u, 0u}};
#pragma unroll
  for (int i = 0; i < Packed<T>::kSize; ++i) {
    if (e + i >= 0 && e + i < len) put_bits(v, i, bits[e + i]);
  }
  return v;
}

// The same where row + e is aligned.
template <typename T>
__device__ __forceinline__ Vec load_slot(const T* row, int e, int len) {
  if (e >= 0 && e + Packed<T>::kSize <= len) return load_vec(row + e);
  return load_part(row, e, len);
}

// Element e of a row.
template <typename T>
__device__ __forceinline__ acc_t<T> load_one(const T* row, int e) {
  acc_t<T> value[Packed<T>::kSize];
  unpack_vec<T>(load_part(row, e, e + 1), value);
  return value[0];
}

// Which of `count` elements, or pixels, a sum is taken about: one that is not at
// the border of a feature map whose width is a power of two.
__device__ __forceinline__ int pivot_place(int count) {
  return static_cast<int>(static_cast<int64_t>(count) * 2 / 3);
}

// Elements [from, to) of pack or slot `v`, whose first element is element e of
// the row.
template <typename T>
__device__ __forceinline__ void store_part(T* row, int e, int from, int to, const Vec& v) {
  bits_t<T>* bits = reinterpret_cast<bits_t<T>*>(row);
#pragma unroll
  for (int i = 0; i < Packed<T>::kSize; ++i) {
    if (i >= from && i < to) get_bits(v, i, bits[e + i]);
  }
}

// The slot at element e >= 0, as far as the row goes.
template <typename T>
__device__ __forceinline__ void store_slot(T* row, int e, int len, const Vec& v) {
  if (e + Packed<T>::kSize <= len) {
    store_vec(row + e, v);
  } else {
    store_part(row, e, 0, len - e, v);
  }
}

// Bytes from the last 16-byte boundary to the row's start.
template <typename T>
__device__ __forceinline__ int row_shift(const T* row) {
  return static_cast<int>(reinterpret_cast<uintptr_t>(row) & 15u);
}

// Loads the group's packs of a row; what lies beyond `len` is zero. All lanes
// of a warp must call this together.
template <bool kAligned, typename T, int kPacks>
__device__ __forceinline__ void load_row(Vec (&v)[kPacks], const T* row, int len, LaneGroup g) {
  constexpr int kSize = Packed<T>::kSize;
  const int step = g.width * kSize;
  if constexpr (kAligned) {
    const int first = (g.first + g.lane) * kSize;
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      v[k] = first + k * step < len ? load_vec(row + first + k * step) : Vec{{0u, 0u, 0u, 0u}};
    }
    return;
  }
  const int shift = row_shift(row);
  const int start = (g.first + g.lane) * kSize - shift / static_cast<int>(sizeof(T));
#pragma unroll
  for (int k = 0; k < kPacks; ++k) v[k] = load_slot(row, start + k * step, len);

  const bool last = g.lane == g.width - 1;
  // The slot after the group's last one: its beginning ends the last lane's
  // last pack.
  Vec extra{{0u, 0u, 0u, 0u}};
  if (last) extra = load_slot(row, start + (kPacks - 1) * step + kSize, len);
  const int next = (g.lane + 1) & (g.width - 1);
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    // Lane 0 passes its next slot, which follows the last lane's current one.
    const Vec passed = k + 1 < kPacks && g.lane == 0 ? v[k + 1 < kPacks ? k + 1 : k] : v[k];
    Vec hi = shuffle(passed, next, g.width);
    if (k + 1 == kPacks && last) hi = extra;
    v[k] = extract(v[k], hi, shift);
  }
}

// Stores the group's packs of a row, elements below `len` only; the counterpart
// of load_row.
template <bool kAligned, typename T, int kPacks>
__device__ __forceinline__ void store_row(T* row, int len, LaneGroup g, const Vec (&v)[kPacks]) {
  constexpr int kSize = Packed<T>::kSize;
  const int step = g.width * kSize;
  if constexpr (kAligned) {
    const int first = (g.first + g.lane) * kSize;
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      if (first + k * step < len) store_vec(row + first + k * step, v[k]);
    }
    return;
  }
  const int shift = row_shift(row);
  const int back = shift / static_cast<int>(sizeof(T));
  const int start = (g.first + g.lane) * kSize - back;
  const int previous = (g.lane - 1) & (g.width - 1);
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    // The last lane passes its previous pack, which precedes lane 0's current
    // one.
    const Vec passed = k > 0 && g.lane == g.width - 1 ? v[k > 0 ? k - 1 : k] : v[k];
    const Vec lo = shuffle(passed, previous, g.width);
    const Vec slot = extract(lo, v[k], 16 - shift);
    const int e = start + k * step;
    // The group's first slot also holds the end of the pack before it, which is
    // another's to write: store only from the group's own first element on.
    const bool shared = k == 0 && g.lane == 0 && back > 0;
    if (shared) {
      store_part(row, e, back, len - e, slot);
    } else if (e < len) {
      store_slot(row, e, len, slot);
    }
  }
  if (g.lane == g.width - 1 && back > 0) {
    // The end of the group's last pack lies in the slot after its last one.
    const int e = start + back + (kPacks - 1) * step;
    store_part(row, e, kSize - back, len - e, v[kPacks - 1]);
  }
}

// Asks for the group's packs of a row to be brought into L2, without waiting
// and without a register.
template <typename T, int kPacks>
__device__ __forceinline__ void prefetch_row(const T* row, int len, LaneGroup g) {
  constexpr int kSize = Packed<T>::kSize;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int e = (g.first + k * g.width + g.lane) * kSize;
    if (e < len) asm volatile("prefetch.global.L2 [%0];" ::"l"(row + e));
  }
}

}  // namespace mmdet_frn
