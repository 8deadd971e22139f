// What the files of the emulated device share: its state while a kernel runs.
#pragma once

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "emulated_torch.h"

namespace emulation {

constexpr int kWarp = 32;
constexpr int kMaxBlocks = 16;  // that run at a time: a cluster
constexpr int kMaxThreads = 1024;
constexpr size_t kShared = size_t{48} << 10;  // of a block

struct Device {
  int sms, l2_bytes, capability, max_cluster;
};
// As an H100, one whose clusters end at 8 blocks, an A100, and a Turing GPU so small that few
// rows fill it and L2 holds fewer.
constexpr Device kDevices[] = {
    {132, 50 << 20, 90, 16}, {132, 50 << 20, 90, 8}, {108, 40 << 20, 80, 1}, {1, 4096, 75, 1}};

enum class State { kReady, kAtExchange, kAtBarrier, kAtCluster, kDone };

struct Thread {
  State state = State::kReady;
  int index = 0, block = 0;  // within the block, within the cluster
  uint3 place;
  Exchange kind{};
  unsigned mask = 0;
  uint64_t value = 0;
  int argument = 0, width = 0;
  uint16_t arrived = 0, waited = 0;  // phases of the cluster's barrier
  uint16_t acquired = 0;             // phase up to which the others' writes are visible
};

struct Block {
  uint3 place;
  uint32_t number = 0;
  uint16_t barriers = 0;
  bool started = false;
  int left = 0;  // threads that have not exited
};

struct Launch {
  const void* kernel = nullptr;
  void (*run)(void*) = nullptr;
  void* arguments = nullptr;
  int threads = 0, cluster = 0;
  std::vector<std::pair<const void*, size_t>> variables;  // in shared memory, and where
  size_t shared_bytes = 0;
  uint64_t read = 0, written = 0;
};

extern int g_device;                   // a place in kDevices
extern int g_order;                    // of threads: 0 ascending, 1 descending, above: random
extern std::mt19937 g_random;          // for that order
extern Launch g_launch;                // that runs
extern uint32_t g_launches, g_groups;  // so far
extern std::vector<Block> g_blocks;    // that run: one, or a cluster
extern std::vector<Thread> g_threads;  // of these blocks
extern Thread* g_thread;               // that runs; null in the launchers
extern std::vector<int> g_arrivals;    // at each phase of the cluster's barrier
extern uint32_t g_relaxed;             // bit set: phases with an arrival that releases nothing
extern bool g_failed;                  // there was an error: run no further

// launch.cpp
void error(const std::string& what);

// fibers.cpp
void resume(size_t thread);  // runs a thread until it suspends itself
void suspend();
void give_up_fibers();  // in the midst of what they do

// scheduler.cpp
void run_group(uint32_t first);  // runs the blocks of one cluster to the end

// memory.cpp
void* reserve(size_t bytes);  // address space, zeros when first touched
void forget_tensors();
char* shared_memory_of(int block);

}  // namespace emulation
