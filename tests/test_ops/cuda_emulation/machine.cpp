// The emulated device: memory with rights and access records, threads as fibers of one OS thread,
// barriers, shuffles and launches. Compiled without -fsanitize=thread; the sources are compiled
// with it, so that each of their memory accesses calls a hook at the end of this file.
#include <cxxabi.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "emulated_torch.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {
namespace {

constexpr int kWarp = 32;
constexpr int kMaxBlocks = 16;  // that run at a time: a cluster
constexpr int kMaxThreads = 1024;
constexpr size_t kStack = size_t{32} << 10;
constexpr size_t kShared = size_t{48} << 10;  // of a block
constexpr size_t kWindow = size_t{512} << 20;
constexpr size_t kGuard = 4096;  // between two tensors
constexpr size_t kGrain = 2;     // bytes: the smallest element

struct Device {
  int sms, l2_bytes, capability, max_cluster;
};
// As an H100, one whose clusters end at 8 blocks, an A100, and a Turing GPU so small that few rows
// fill it and L2 holds fewer.
constexpr Device kDevices[] = {
    {132, 50 << 20, 90, 16}, {132, 50 << 20, 90, 8}, {108, 40 << 20, 80, 1}, {1, 4096, 75, 1}};

// Who accessed a grain, and at which point of the synchronisation with others.
struct Access {
  uint32_t run = 0, thread = 0;
  uint16_t barriers = 0, phase = 0;
};
struct Cell {
  Access write, read;
};

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
  int left = 0;
};

struct Fiber {
  jmp_buf point;
  bool made = false;
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

char* g_memory = nullptr;     // shared memory of kMaxBlocks blocks, then tensors
uint8_t* g_rights = nullptr;  // of each grain
Cell* g_cells = nullptr;      // of each grain
char* g_stacks = nullptr;
size_t g_top = kMaxBlocks * kShared;
int g_device = 0;
int g_order = 0;
std::mt19937 g_random;

std::vector<Thread> g_threads;
std::vector<Block> g_blocks;
std::vector<Fiber> g_fibers(kMaxBlocks* kMaxThreads);
jmp_buf g_scheduler;
Thread* g_thread = nullptr;
Launch g_launch;
uint32_t g_launches = 0, g_groups = 0;
std::vector<int> g_arrivals;  // at each phase of the cluster's barrier
uint32_t g_relaxed = 0;       // bit set: phases with an arrival that releases nothing
bool g_failed = false;
std::map<const void*, bool> g_large_clusters;
std::string g_errors, g_log;

template <typename T>
T* reserve(size_t count) {
  void* p = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  return static_cast<T*>(p);
}

std::string kernel_name() {
  Dl_info info{};
  dladdr(g_launch.kernel, &info);
  char* text = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, nullptr);
  const std::string name = text ? text : "?";
  free(text);
  return name;
}

void error(const std::string& what) {
  g_failed = true;
  if (!g_errors.empty()) return;  // the first says most
  g_errors = what + " in " + kernel_name();
  if (g_thread) {
    g_errors += ", block " + std::to_string(g_blocks[g_thread->block].number) + ", thread " +
                std::to_string(g_thread->index);
  }
}

// ---- fibers: made with makecontext, switched by setjmp, which asks nothing of the kernel --------

void suspend() {
  Fiber& fiber = g_fibers[g_thread - g_threads.data()];
  if (_setjmp(fiber.point) == 0) _longjmp(g_scheduler, 1);
}

void fiber_main() {
  for (;;) {
    g_launch.run(g_launch.arguments);
    if (g_thread->arrived != g_thread->waited) error("exit before barrier_wait of the cluster");
    g_thread->state = State::kDone;
    --g_blocks[g_thread->block].left;
    suspend();
  }
}

void resume(size_t slot) {
  static ucontext_t context;
  g_thread = &g_threads[slot];
  g_blocks[g_thread->block].started = true;
  threadIdx = g_thread->place;
  blockIdx = g_blocks[g_thread->block].place;
  if (_setjmp(g_scheduler) == 0) {
    Fiber& fiber = g_fibers[slot];
    if (fiber.made) _longjmp(fiber.point, 1);
    fiber.made = true;
    getcontext(&context);
    // Stacks that all begin alike would share few cache sets.
    context.uc_stack.ss_sp = g_stacks + slot * kStack;
    context.uc_stack.ss_size = kStack - slot % 32 * 64;
    context.uc_link = nullptr;
    makecontext(&context, fiber_main, 0);
    setcontext(&context);
  }
  g_thread = nullptr;
}

// ---- the scheduler ------------------------------------------------------------------------------

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

// Runs one block, or the blocks of one cluster, to the end.
void run_group(uint32_t first) {
  const int blocks = g_launch.cluster, threads = g_launch.threads;
  ++g_groups;
  g_arrivals.assign(8, 0);
  g_relaxed = 0;
  g_blocks.assign(blocks, Block{});
  g_threads.assign(static_cast<size_t>(blocks) * threads, Thread{});
  for (int b = 0; b < blocks; ++b) {
    g_blocks[b].number = first + b;
    g_blocks[b].place = {(first + b) % gridDim.x, (first + b) / gridDim.x, 0};
    g_blocks[b].left = threads;
    std::memset(g_memory + b * kShared, 0xff, g_launch.shared_bytes);
    for (int i = 0; i < threads; ++i) {
      Thread& t = g_threads[static_cast<size_t>(b) * threads + i];
      t.index = i;
      t.block = b;
      t.place = {i % blockDim.x, i / blockDim.x, 0};
    }
  }
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
  if (g_failed) {
    for (Fiber& fiber : g_fibers) fiber.made = false;  // what they were at is given up
  }
}

// ---- the checks of memory -----------------------------------------------------------------------

bool ordered(const Access& before, uint32_t run) {
  const uint32_t block = before.thread / g_launch.threads;
  if (before.run != run || before.thread == g_blocks[g_thread->block].number * g_launch.threads +
                                                static_cast<uint32_t>(g_thread->index)) {
    return true;
  }
  if (block == g_blocks[g_thread->block].number) {
    if (g_blocks[g_thread->block].barriers > before.barriers) return true;
  } else if (block / g_launch.cluster != g_blocks[g_thread->block].number / g_launch.cluster) {
    return false;
  }
  return g_thread->acquired > before.phase;
}

void access(const void* address, size_t bytes, bool write) {
  const size_t at = static_cast<const char*>(address) - g_memory;
  if (at >= kWindow) return;  // the stack, constants
  if (g_thread == nullptr) return error("the host accesses device memory");
  uint32_t run = g_launches;
  if (at < kMaxBlocks * kShared) {
    const int block = static_cast<int>(at / kShared);
    if (block != g_thread->block) {
      if (block >= g_launch.cluster) return error("access to shared memory outside the cluster");
      if (!g_blocks[block].started) error("access to a block that may not have started");
      if (g_blocks[block].left == 0) error("access to a block that has exited");
    }
    if (at % kShared + bytes > g_launch.shared_bytes) error("access beyond shared memory");
    run = g_groups;
  } else {
    (write ? g_launch.written : g_launch.read) += bytes;
    const uint8_t right = write ? kWrite : kRead;
    for (size_t i = at / kGrain; i <= (at + bytes - 1) / kGrain; ++i) {
      if (!(g_rights[i] & right)) return error(write ? "write outside" : "read outside");
    }
  }
  const Access now{
      run,
      g_blocks[g_thread->block].number * g_launch.threads + static_cast<uint32_t>(g_thread->index),
      g_blocks[g_thread->block].barriers, g_thread->arrived};
  for (size_t i = at / kGrain; i <= (at + bytes - 1) / kGrain; ++i) {
    Cell& cell = g_cells[i];
    if (!ordered(cell.write, run) || (write && !ordered(cell.read, run))) error("race");
    (write ? cell.write : cell.read) = now;
  }
}

void aligned_access(const void* address, size_t bytes, bool write) {
  check_aligned(address, bytes);
  access(address, bytes, write);
}

}  // namespace

// ---- what emulated_cuda.h and emulated_torch.h declare ------------------------------------------

int current_device() { return g_device; }

void check_aligned(const void* address, size_t alignment) {
  const size_t at = static_cast<const char*>(address) - g_memory;
  if (at < kWindow && at % alignment != 0) error("unaligned access");
}

void check_bounds(int max_threads, int) {
  if (g_launch.threads > max_threads) error("more threads than __launch_bounds__");
}

void prefetch(const void* address) {
  const size_t at = static_cast<const char*>(address) - g_memory;
  if (at >= kWindow || !(g_rights[at / kGrain] & kRead)) error("prefetch outside");
}

void* allocate(size_t bytes, size_t offset, int rights) {
  const size_t at = (g_top + kGuard + 255) / 256 * 256 + offset;
  if (at + bytes + kGuard > kWindow) fail("the emulated device is out of memory");
  g_top = at + bytes;
  std::memset(g_memory + at, 0xff, bytes);
  std::memset(g_rights + at / kGrain, rights, bytes / kGrain);
  return g_memory + at;
}

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

void* peer_address(void* shared, int rank) {
  if (rank >= g_launch.cluster) error("a rank outside the cluster");
  return static_cast<char*>(shared) + (rank - g_thread->block) * static_cast<int64_t>(kShared);
}

void* shared_memory(const void* variable, size_t bytes) {
  char* const base = g_memory + g_thread->block * kShared;
  for (const auto& [known, at] : g_launch.variables) {
    if (known == variable) return base + at;
  }
  const size_t at = g_launch.shared_bytes;
  if (at + bytes > kShared) error("more than 48 KB of static shared memory");
  g_launch.variables.emplace_back(variable, at);
  g_launch.shared_bytes = (at + bytes + 15) / 16 * 16;
  for (size_t b = 0; b < g_blocks.size(); ++b)
    std::memset(g_memory + b * kShared + at, 0xff, bytes);
  return base + at;
}

int launch(const cudaLaunchConfig_t& config, const void* kernel, void (*run)(void*),
           void* arguments) {
  const Device& device = kDevices[g_device];
  g_launch = Launch{};
  g_launch.kernel = kernel;
  g_launch.run = run;
  g_launch.arguments = arguments;
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  g_launch.threads = static_cast<int>(blockDim.x * blockDim.y);
  g_launch.cluster = config.numAttrs ? static_cast<int>(config.attrs->val.clusterDim.x) : 1;
  ++g_launches;
  const bool cluster_fits =
      g_launch.cluster == 1 ||
      (g_launch.cluster <= device.max_cluster &&
       (g_launch.cluster <= 8 || g_large_clusters[kernel]) && gridDim.x % g_launch.cluster == 0);
  if (!cluster_fits) error("a cluster of " + std::to_string(g_launch.cluster) + " not allowed");
  if (g_launch.threads > kMaxThreads || g_launch.threads % kWarp) error("an impossible block");
  if (gridDim.y > 65535 || gridDim.z != 1 || blockDim.z != 1) error("an impossible grid");
  for (uint32_t b = 0; b < gridDim.x * gridDim.y && !g_failed; b += g_launch.cluster) run_group(b);
  g_log += kernel_name() + "\t" + std::to_string(gridDim.x * gridDim.y) + "\t" +
           std::to_string(g_launch.threads) + "\t" + std::to_string(g_launch.cluster) + "\t" +
           std::to_string(g_launch.read) + "\t" + std::to_string(g_launch.written) + "\n";
  return g_failed ? cudaErrorInvalidConfiguration : cudaSuccess;
}

}  // namespace emulation

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  emulation::g_large_clusters[kernel] = value != 0;
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  attributes->ptxVersion = emulation::kDevices[emulation::g_device].capability;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const auto& d = emulation::kDevices[device];
  *properties = {d.sms, d.l2_bytes, d.capability / 10, d.capability % 10};
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxPotentialClusterSize(int* size, const void*,
                                                 const cudaLaunchConfig_t*) {
  *size = emulation::kDevices[emulation::g_device].max_cluster;
  return cudaSuccess;
}

// ---- for emulator.py ----------------------------------------------------------------------------

extern "C" {

// Forgets all tensors, errors and launches; order: 0 ascending, 1 descending, above: random.
void emulation_reset(int device, int order) {
  using namespace emulation;
  if (g_memory == nullptr) {
    g_memory = reserve<char>(kWindow);
    g_rights = reserve<uint8_t>(kWindow / kGrain);
    g_cells = reserve<Cell>(kWindow / kGrain);
    g_stacks = reserve<char>(g_fibers.size() * kStack);
  }
  std::memset(g_rights, kNone, g_top / kGrain + 1);
  g_top = kMaxBlocks * kShared;
  g_device = device;
  g_order = order;
  g_random.seed(static_cast<unsigned>(order));
  g_failed = false;
  g_errors.clear();
  g_log.clear();
}
void* emulation_allocate(size_t bytes, size_t offset, int rights) {
  return emulation::allocate(bytes, offset, rights);
}
const char* emulation_error() { return emulation::g_errors.c_str(); }
// A line per launch: kernel, blocks, threads, cluster, bytes read and written, between tabs.
const char* emulation_log() { return emulation::g_log.c_str(); }

// The hooks of -fsanitize=thread.
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
#define HOOK(bytes)                                                                  \
  void __tsan_read##bytes(void* p) { emulation::aligned_access(p, bytes, false); }   \
  void __tsan_write##bytes(void* p) { emulation::aligned_access(p, bytes, true); }   \
  void __tsan_unaligned_read##bytes(void* p) { emulation::access(p, bytes, false); } \
  void __tsan_unaligned_write##bytes(void* p) { emulation::access(p, bytes, true); }
HOOK(1)
HOOK(2)
HOOK(4)
HOOK(8)
HOOK(16)
void __tsan_read_range(void* p, size_t bytes) { emulation::access(p, bytes, false); }
void __tsan_write_range(void* p, size_t bytes) { emulation::access(p, bytes, true); }
unsigned char __tsan_atomic8_load(const volatile unsigned char* p, int) { return *p; }
void __tsan_vptr_update(void**, void*) {}
}
