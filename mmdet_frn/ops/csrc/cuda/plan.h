// Launch configurations of the FRN kernels: pure functions of shapes and of a
// few device figures.
//
// How a row is cut, and with it the order of its sums, depends on the row's
// length, the dtype and the device, never on how many rows there are or where
// they lie: that is what makes a row's result bitwise independent of its batch.
// The number of rows decides only how many share a block.
#pragma once

#include <cstdint>

namespace mmdet_frn {

// What holds one row. A group of lanes: short rows, several to a warp. A
// cluster: blocks that reach each other's shared memory (sm_90 and up). None:
// the row is read twice, cut into chunks.
enum class Scope { kGroup, kBlock, kCluster, kNone };

constexpr int kMaxCluster = 16;

// How a direction's row kernels are cut. 16-byte packs a thread holds of each
// tensor that stays on chip (4 make 16 registers): in a group of lanes for
// short and for longer rows, and in a block or cluster. Threads of the largest
// block for 2-byte elements.
struct RowCut {
  int group_short, group_long, block;
  int half_threads;
};
constexpr RowCut kForwardCut{2, 4, 4, 1024};
constexpr RowCut kBackwardCut{1, 4, 4, 768};

// Largest block of a row kernel. 1024 threads leave each 64 registers, which is
// what the plain kernels need; those that unpack two tensors of halves, realign
// rows or hold fp64 need more.
constexpr int max_threads(Scope scope, bool aligned, int element_size, const RowCut& cut) {
  if (scope == Scope::kGroup) return 256;
  if (!aligned || element_size == 8) return 512;
  return element_size == 2 ? cut.half_threads : 1024;
}

// Blocks of a row kernel that must fit a multiprocessor at once, as far as
// registers go.
constexpr int min_blocks(Scope scope) { return scope == Scope::kGroup ? 3 : 1; }

struct DeviceFigures {
  int sms;          // multiprocessors
  int max_cluster;  // most full-size blocks that form a cluster; 1: no clusters
  int64_t l2_bytes;
};

struct RowPlan {
  Scope scope;
  int packs;     // per thread
  int width;     // lanes of a row, for Scope::kGroup
  int threads;   // of a block
  int cluster;   // blocks of a row
  int64_t grid;  // blocks of the launch
};

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int64_t ceil_pow2(int64_t a) {
  int64_t p = 1;
  while (p < a) p *= 2;
  return p;
}

// Rows of `len` elements of `element_size` bytes.
constexpr RowPlan plan_rows(int64_t rows, int64_t len, int element_size, const RowCut& cut,
                            const DeviceFigures& device) {
  const int pack = 16 / element_size;
  const bool aligned = len % pack == 0;  // as far as the length goes, see needs_alignment
  const int64_t need = ceil_div(len, pack);
  RowPlan plan{Scope::kNone, cut.block, 32, 0, 1, 0};
  if (need <= 32 * cut.group_long) {
    plan.scope = Scope::kGroup;
    plan.packs = need <= 32 * cut.group_short ? cut.group_short : cut.group_long;
    plan.width = static_cast<int>(ceil_pow2(ceil_div(need, plan.packs)));
    // Fewer rows to a block while blocks are too few to occupy every
    // multiprocessor twice.
    plan.threads = max_threads(Scope::kGroup, aligned, element_size, cut);
    while (plan.threads > 32 && rows * plan.width < 2LL * device.sms * plan.threads) {
      plan.threads /= 2;
    }
    plan.grid = ceil_div(rows, plan.threads / plan.width);
    return plan;
  }
  // Two blocks or more to a multiprocessor, so that one loads while another
  // stores; larger ones only where clusters do not reach far enough.
  const int64_t threads = ceil_div(need, cut.block);
  const int64_t target = max_threads(Scope::kBlock, aligned, element_size, cut) / 2;
  int64_t cluster = ceil_pow2(ceil_div(threads, target));
  if (cluster > device.max_cluster) cluster = device.max_cluster;
  const int64_t share = ceil_div(threads, cluster);
  const Scope scope = cluster > 1 ? Scope::kCluster : Scope::kBlock;
  if (share > max_threads(scope, aligned, element_size, cut)) return plan;
  plan.scope = scope;
  plan.threads = static_cast<int>(ceil_div(share, 32) * 32);
  plan.cluster = static_cast<int>(cluster);
  plan.grid = rows * cluster;
  return plan;
}

// Whether a plan's blocks are too large for the kernels that realign rows:
// tensors whose rows are whole packs but do not start on 16 bytes have to be
// copied first.
constexpr bool needs_alignment(const RowPlan& plan, int element_size, const RowCut& cut) {
  return plan.scope != Scope::kNone &&
         plan.threads > max_threads(plan.scope, false, element_size, cut);
}

// A group of `rows` rows that lie behind one another, held by a group of lanes, a
// block or a cluster. A thread holds packs of one row only; where a warp does not
// hold a row, it holds a part of it.
struct GroupPlan {
  Scope scope;
  int width;     // lanes of a row, or of a part
  int parts;     // of a row
  int span;      // lanes of a group, for Scope::kGroup
  int threads;   // of a block
  int cluster;   // blocks of a group
  int64_t grid;  // blocks of the launch
};

constexpr int kGroupPacks = 4;          // a thread holds of each tensor that stays on chip
constexpr int kMostGroupThreads = 512;  // of a block; leaves each 128 registers

constexpr int max_group_threads(Scope scope) {
  return scope == Scope::kGroup ? 256 : kMostGroupThreads;
}

// As min_blocks; 0 leaves it to the compiler, which keeps sm_75 from spilling with
// 1 and packs more small blocks with 0.
constexpr int min_group_blocks(Scope scope, int of_norm) {
  return scope == Scope::kGroup ? of_norm : 1;
}

// As plan_rows: the number of groups decides only how many share a block.
constexpr GroupPlan plan_groups(int64_t groups, int64_t rows, int64_t len, int element_size,
                                const DeviceFigures& device) {
  const int64_t need = ceil_div(len, 16 / element_size);
  const int64_t parts = ceil_div(need, 32 * kGroupPacks);
  const int64_t width = parts > 1 ? 32 : ceil_pow2(ceil_div(need, kGroupPacks));
  GroupPlan plan{Scope::kNone, static_cast<int>(width), static_cast<int>(parts), 32, 0, 1, 0};
  if (parts == 1 && ceil_pow2(rows) * width <= 32) {
    plan.scope = Scope::kGroup;
    plan.span = static_cast<int>(ceil_pow2(rows) * width);
    plan.threads = max_group_threads(Scope::kGroup);
    while (plan.threads > 32 && groups * plan.span < 2LL * device.sms * plan.threads) {
      plan.threads /= 2;
    }
    plan.grid = ceil_div(groups, plan.threads / plan.span);
    return plan;
  }
  constexpr int64_t kMost = kMostGroupThreads / 32;
  const int64_t warps = ceil_div(rows * parts * width, 32);
  int64_t cluster = ceil_pow2(ceil_div(warps, kMost));
  if (cluster > device.max_cluster) cluster = device.max_cluster;
  const int64_t share = ceil_div(warps, cluster);
  if (share > kMost) return plan;
  plan.scope = cluster > 1 ? Scope::kCluster : Scope::kBlock;
  plan.threads = static_cast<int>(share * 32);
  plan.cluster = static_cast<int>(cluster);
  plan.grid = groups * cluster;
  return plan;
}

// Rows of one launch of the row kernels: keeps row numbers and the grid within
// 31 bits.
constexpr int64_t kMaxRows = 1 << 27;

// Rows that do not fit on chip, cut into chunks of kChunkPacks packs, one block
// each.
constexpr int kChunkThreads = 256;
constexpr int kChunkRounds = 4;  // times a block loads kChunkRoundPacks packs a thread
constexpr int kChunkRoundPacks = 4;
constexpr int kChunkPacks = kChunkThreads * kChunkRounds * kChunkRoundPacks;

// Channels-last memory, [N][pixels][C]: a block of kChunkThreads threads has
// `lanes` threads along the channels, 16 bytes each, and the others along the
// pixels of its chunk.
struct ChannelsPlan {
  int lanes;         // a power of two
  int tiles;         // blocks along the channels
  int chunk_pixels;  // pixels of a chunk
  int64_t chunks;    // blocks along the pixels of one image
};

// Of a thread: many for large maps, whose partial sums would else cost traffic,
// few where blocks would be too few to occupy the multiprocessors. The number
// of images has no say in it.
constexpr int kMostPixels = 16;
constexpr int kFewestPixels = 4;
constexpr int64_t kEnoughBlocks = 64;  // of an image

constexpr ChannelsPlan plan_channels(int64_t channels, int64_t pixels, int element_size) {
  const int64_t packs = ceil_div(channels, 16 / element_size);
  ChannelsPlan plan{};
  plan.lanes = static_cast<int>(packs < 32 ? ceil_pow2(packs) : 32);
  plan.tiles = static_cast<int>(ceil_div(packs, plan.lanes));
  int per_thread = kMostPixels;
  do {
    plan.chunk_pixels = kChunkThreads / plan.lanes * per_thread;
    plan.chunks = ceil_div(pixels, plan.chunk_pixels);
    per_thread /= 2;
  } while (per_thread >= kFewestPixels && plan.chunks * plan.tiles < kEnoughBlocks);
  return plan;
}

// Small maps in channels-last memory: a block holds all pixels of a slab of
// `lanes` packs of channels, kSlabPixels pixels a thread. A slab is at least two
// packs wide, a sector of memory, and wider where there are few pixels.
constexpr int kSlabThreads = 512;
constexpr int kSlabPixels = 4;
constexpr int kSlabParts = 64;  // most warps of a block times its lanes

struct SlabPlan {
  int lanes;    // a power of two
  int tiles;    // slabs of an image
  int threads;  // of a block: for each of the slab's channels there is one. 0: too many pixels
};

constexpr SlabPlan plan_slabs(int64_t channels, int64_t pixels, int element_size) {
  const int size = 16 / element_size;
  const int64_t packs = ceil_div(channels, size);
  constexpr int64_t kMost = kSlabThreads * kSlabPixels;
  int64_t lanes = 4;
  while (lanes < 16 && pixels * lanes < 32 * kSlabPixels) lanes *= 2;
  if (pixels * lanes > kMost) lanes = 2;
  if (lanes > packs) lanes = ceil_pow2(packs);
  if (pixels * lanes > kMost) return {0, 0, 0};
  int64_t threads = ceil_div(ceil_div(pixels * lanes, kSlabPixels), 32) * 32;
  if (threads < lanes * size) threads = lanes * size;
  return {static_cast<int>(lanes), static_cast<int>(ceil_div(packs, lanes)),
          static_cast<int>(threads)};
}

// How many of `count` like parts (rows, or images) of `bytes` and `blocks`
// blocks each to work on at a time when each is read twice: as many as L2 keeps
// for the second read, but enough to fill the device and few enough for the
// grid. 0: not even one fits the grid.
constexpr int64_t parts_at_once(int64_t count, int64_t bytes, int64_t blocks,
                                const DeviceFigures& device) {
  constexpr int64_t kMaxGrid = 2147483647;
  int64_t parts = device.l2_bytes / 2 / bytes;
  const int64_t fill = ceil_div(4LL * device.sms, blocks);
  if (parts < fill) parts = fill;
  if (parts > kMaxGrid / blocks) parts = kMaxGrid / blocks;
  return parts < count ? parts : count;
}

}  // namespace mmdet_frn
