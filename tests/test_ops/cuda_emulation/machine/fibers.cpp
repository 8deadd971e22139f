// Threads as fibers of one OS thread: made with makecontext, switched by setjmp, which asks nothing
// of the operating system.
#include <setjmp.h>
#include <ucontext.h>

#include "machine.h"

namespace emulation {
namespace {

constexpr size_t kStack = size_t{32} << 10;

struct Fiber {
  jmp_buf point;
  bool made = false;
};

std::vector<Fiber> g_fibers(kMaxBlocks* kMaxThreads);
jmp_buf g_scheduler;

void fiber_main() {
  for (;;) {
    g_launch.run(g_launch.arguments);
    if (g_thread->arrived != g_thread->waited) error("exit before barrier_wait of the cluster");
    g_thread->state = State::kDone;
    --g_blocks[g_thread->block].left;
    suspend();
  }
}

void start(size_t slot) {
  static char* const stacks = static_cast<char*>(reserve(g_fibers.size() * kStack));
  static ucontext_t context;
  getcontext(&context);
  // Stacks that all begin alike would share few cache sets.
  context.uc_stack.ss_sp = stacks + slot * kStack;
  context.uc_stack.ss_size = kStack - slot % 32 * 64;
  context.uc_link = nullptr;
  makecontext(&context, fiber_main, 0);
  setcontext(&context);
}

}  // namespace

void suspend() {
  Fiber& fiber = g_fibers[g_thread - g_threads.data()];
  if (_setjmp(fiber.point) == 0) _longjmp(g_scheduler, 1);
}

void resume(size_t slot) {
  g_thread = &g_threads[slot];
  g_blocks[g_thread->block].started = true;
  threadIdx = g_thread->place;
  blockIdx = g_blocks[g_thread->block].place;
  if (_setjmp(g_scheduler) == 0) {
    Fiber& fiber = g_fibers[slot];
    if (fiber.made) _longjmp(fiber.point, 1);
    fiber.made = true;
    start(slot);
  }
  g_thread = nullptr;
}

void give_up_fibers() {
  for (Fiber& fiber : g_fibers) fiber.made = false;
}

}  // namespace emulation
