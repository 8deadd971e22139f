// Memory with rights and access records. The sources are compiled with -fsanitize=thread, so that
// each of their memory accesses calls a hook at the end of this file; the machine is not.
#include <sys/mman.h>

#include "machine.h"

namespace emulation {
namespace {

constexpr size_t kWindow = size_t{512} << 20;
constexpr size_t kGuard = 4096;  // between two tensors
constexpr size_t kGrain = 2;     // bytes: the smallest element

// Who accessed a grain, and at which point of the synchronisation with others.
struct Access {
  uint32_t run = 0, thread = 0;
  uint16_t barriers = 0, phase = 0;
};
struct Cell {
  Access write, read;
};

char* g_memory = nullptr;     // shared memory of kMaxBlocks blocks, then tensors
uint8_t* g_rights = nullptr;  // of each grain
Cell* g_cells = nullptr;      // of each grain
size_t g_top = kMaxBlocks * kShared;

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

void* reserve(size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  return p;
}

void forget_tensors() {
  if (g_memory == nullptr) {
    g_memory = static_cast<char*>(reserve(kWindow));
    g_rights = static_cast<uint8_t*>(reserve(kWindow / kGrain));
    g_cells = static_cast<Cell*>(reserve(kWindow / kGrain * sizeof(Cell)));
  }
  std::memset(g_rights, kNone, g_top / kGrain + 1);
  g_top = kMaxBlocks * kShared;
}

char* shared_memory_of(int block) { return g_memory + block * kShared; }

// ---- what emulated_cuda.h and emulated_torch.h declare ------------------------------------------

void check_aligned(const void* address, size_t alignment) {
  const size_t at = static_cast<const char*>(address) - g_memory;
  if (at < kWindow && at % alignment != 0) error("unaligned access");
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

void* peer_address(void* shared, int rank) {
  if (rank >= g_launch.cluster) error("a rank outside the cluster");
  return static_cast<char*>(shared) + (rank - g_thread->block) * static_cast<int64_t>(kShared);
}

void* shared_memory(const void* variable, size_t bytes) {
  char* const base = shared_memory_of(g_thread->block);
  for (const auto& [known, at] : g_launch.variables) {
    if (known == variable) return base + at;
  }
  const size_t at = g_launch.shared_bytes;
  if (at + bytes > kShared) error("more than 48 KB of static shared memory");
  g_launch.variables.emplace_back(variable, at);
  g_launch.shared_bytes = (at + bytes + 15) / 16 * 16;
  for (size_t b = 0; b < g_blocks.size(); ++b) std::memset(shared_memory_of(b) + at, 0xff, bytes);
  return base + at;
}

}  // namespace emulation

extern "C" {

void* emulation_allocate(size_t bytes, size_t offset, int rights) {
  return emulation::allocate(bytes, offset, rights);
}

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
