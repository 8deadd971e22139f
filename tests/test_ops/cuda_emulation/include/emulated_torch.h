// What the launchers use of PyTorch: tensors without owners, in the emulated device's memory.
#pragma once

#include <initializer_list>
#include <sstream>
#include <stdexcept>

#include "emulated_cuda.h"

namespace emulation {

enum Rights : uint8_t { kNone = 0, kRead = 1, kWrite = 2 };

// Memory that starts `offset` bytes past a multiple of 256, filled with NaN; gone at the next
// reset.
void* allocate(size_t bytes, size_t offset, int rights);
int current_device();

template <typename... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw std::runtime_error(text.str());
}

}  // namespace emulation

#define TORCH_CHECK(condition, ...) \
  if (!(condition)) emulation::fail(__VA_ARGS__)
#define TORCH_CHECK_TYPE TORCH_CHECK
#define C10_CUDA_CHECK(call) TORCH_CHECK((call) == cudaSuccess, "CUDA error in " #call)
#define C10_CUDA_KERNEL_LAUNCH_CHECK() static_assert(true)

namespace at {

enum ScalarType { kDouble, kFloat, kHalf, kBFloat16 };
inline std::ostream& operator<<(std::ostream& out, ScalarType type) {
  return out << static_cast<int>(type);
}

struct Tensor {
  void* data = nullptr;
  int64_t count = 0;
  ScalarType type = kFloat;

  bool defined() const { return data != nullptr; }
  int64_t numel() const { return count; }
  ScalarType scalar_type() const { return type; }
  int device() const { return emulation::current_device(); }
  size_t nbytes() const { return count * (type == kDouble ? 8 : type == kFloat ? 4 : 2); }
  const void* const_data_ptr() const { return data; }
  void* mutable_data_ptr() const { return data; }
  Tensor clone() const {
    Tensor made = new_empty({count});
    std::memcpy(made.data, data, nbytes());
    return made;
  }
  Tensor new_empty(std::initializer_list<int64_t> sizes) const {
    Tensor made{nullptr, 1, type};
    for (const int64_t size : sizes) made.count *= size;
    made.data = emulation::allocate(made.nbytes(), 0, emulation::kRead | emulation::kWrite);
    return made;
  }
};

}  // namespace at

namespace c10::cuda {
struct CUDAGuard {
  explicit CUDAGuard(int) {}
};
inline int current_device() { return emulation::current_device(); }
inline cudaStream_t getCurrentCUDAStream() { return nullptr; }
}  // namespace c10::cuda
