// The order of threads, and where they wait for each other: shuffles, barriers, clusters.
#include <algorithm>

#include "machine.h"

namespace emulation {
namespace {

// Ends the shuffle of each set of lanes that has come together.
void finish_exchanges(Thread* lanes) {
  for (int lane = 0; lane < kWarp; ++lane) {
    if (lanes[lane].state != State::kAtExchange) continue;
    const unsigned mask = lanes[lane].mask;
    uint64_t values[kWarp] = {};
    bool complete = true;
    for (int k = 0; k < kWarp; ++k) {
      if (!(mask >> k & 1)) continue;
      complete = complete && lanes[k].state == State::kAtExchange && lanes[k].mask == mask;
      values[k] = lanes[k].value;
    }
    if (!complete) continue;
    for (int k = 0; k < kWarp; ++k) {
      if (!(mask >> k & 1)) continue;
      Thread& t = lanes[k];
      const int first = k / t.width * t.width;
      const int from =
          t.kind == Exchange::kXor ? k ^ t.argument : first + (t.argument & (t.width - 1));
      if (from >= kWarp || !(mask >> from & 1)) error("shuffle from a lane outside the mask");
      t.value = values[from % kWarp];
      t.state = State::kReady;
    }
  }
}

bool run_warp(size_t first) {
  bool ran = false;
  int order[kWarp];
  for (int i = 0; i < kWarp; ++i) order[i] = g_order == 1 ? kWarp - 1 - i : i;
  for (bool again = true; again && !g_failed;) {
    again = false;
    if (g_order > 1) std::shuffle(order, order + kWarp, g_random);
    for (const int lane : order) {
      if (g_threads[first + lane].state != State::kReady || g_failed) continue;
      resume(first + lane);
      again = ran = true;
    }
    finish_exchanges(&g_threads[first]);
  }
  return ran;
}

bool release_barriers() {
  bool released = false;
  const int threads = g_launch.threads;
  for (size_t b = 0; b < g_blocks.size(); ++b) {
    Thread* const first = &g_threads[b * threads];
    const auto waits = [](const Thread& t) { return t.state == State::kAtBarrier; };
    const auto waiting = std::count_if(first, first + threads, waits);
    if (waiting == 0 || waiting != g_blocks[b].left) continue;
    ++g_blocks[b].barriers;
    for (int i = 0; i < threads; ++i) {
      if (waits(first[i])) first[i].state = State::kReady;
    }
    released = true;
  }
  for (Thread& t : g_threads) {
    if (t.state != State::kAtCluster) continue;
    if (g_arrivals[t.waited] < static_cast<int>(g_threads.size())) continue;
    if (!(g_relaxed >> t.waited & 1)) t.acquired = t.waited + 1;
    ++t.waited;
    t.state = State::kReady;
    released = true;
  }
  return released;
}

void place_threads(uint32_t first_block) {
  const int blocks = g_launch.cluster, threads = g_launch.threads;
  g_blocks.assign(blocks, Block{});
  g_threads.assign(static_cast<size_t>(blocks) * threads, Thread{});
  for (int b = 0; b < blocks; ++b) {
    g_blocks[b].number = first_block + b;
    g_blocks[b].place = {(first_block + b) % gridDim.x, (first_block + b) / gridDim.x, 0};
    g_blocks[b].left = threads;
    std::memset(shared_memory_of(b), 0xff, g_launch.shared_bytes);
    for (int i = 0; i < threads; ++i) {
      Thread& t = g_threads[static_cast<size_t>(b) * threads + i];
      t.index = i;
      t.block = b;
      t.place = {i % blockDim.x, i / blockDim.x, 0};
    }
  }
}

}  // namespace

void run_group(uint32_t first_block) {
  ++g_groups;
  g_arrivals.assign(8, 0);
  g_relaxed = 0;
  place_threads(first_block);
  std::vector<size_t> warps(g_threads.size() / kWarp);
  for (size_t i = 0; i < warps.size(); ++i) warps[i] = i * kWarp;
  if (g_order == 1) std::reverse(warps.begin(), warps.end());
  const auto done = [](const Thread& t) { return t.state == State::kDone; };
  while (!g_failed && !std::all_of(g_threads.begin(), g_threads.end(), done)) {
    if (g_order > 1) std::shuffle(warps.begin(), warps.end(), g_random);
    bool ran = false;
    for (const size_t warp : warps) ran = run_warp(warp) || ran;
    if (!release_barriers() && !ran) error("threads wait for each other at different places");
  }
  if (g_failed) give_up_fibers();
}

// ---- what emulated_cuda.h declares --------------------------------------------------------------

uint64_t exchange(Exchange kind, unsigned mask, uint64_t value, int argument, int width) {
  if (!(mask >> g_thread->index % kWarp & 1)) error("shuffle by a lane outside its mask");
  g_thread->kind = kind;
  g_thread->mask = mask;
  g_thread->value = value;
  g_thread->argument = argument;
  g_thread->width = width;
  g_thread->state = State::kAtExchange;
  suspend();
  return g_thread->value;
}

void barrier() {
  g_thread->state = State::kAtBarrier;
  suspend();
}

void cluster_arrive(bool release) {
  if (g_thread->arrived != g_thread->waited) error("two arrivals without a wait between");
  if (!release) g_relaxed |= 1u << g_thread->arrived;
  ++g_arrivals[g_thread->arrived++];
}

void cluster_wait() {
  if (g_thread->arrived == g_thread->waited) error("wait without an arrival");
  g_thread->state = State::kAtCluster;
  suspend();
}

int cluster_size() { return g_launch.cluster; }
int cluster_rank() { return g_thread->block; }

}  // namespace emulation
