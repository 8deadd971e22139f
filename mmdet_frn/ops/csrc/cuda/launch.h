// What the launchers share: dtype dispatch, pointers of tensors, the launch
// itself.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include <utility>

#include "args.cuh"
#include "device.h"
#include "plan.h"

namespace mmdet_frn {

template <typename F>
void dispatch_dtype(at::ScalarType dtype, F&& f) {
  switch (dtype) {
    case at::kDouble:
      return f(double());
    case at::kFloat:
      return f(float());
    case at::kHalf:
      return f(__half());
    case at::kBFloat16:
      return f(__nv_bfloat16());
    default:
      TORCH_CHECK_TYPE(false, "x must be fp64, fp32, fp16 or bf16 on a GPU, but is ", dtype);
  }
}

template <typename T>
const T* read_ptr(const at::Tensor& t) {
  return t.defined() ? static_cast<const T*>(t.const_data_ptr()) : nullptr;
}

template <typename T>
T* write_ptr(const at::Tensor& t) {
  return t.defined() ? static_cast<T*>(t.mutable_data_ptr()) : nullptr;
}

// Whether rows of `len` elements are whole 16-byte packs and all given tensors
// start on one.
template <typename T, typename... Ptrs>
bool all_aligned(int64_t len, Ptrs... ptrs) {
  return len % Packed<T>::kSize == 0 && ((reinterpret_cast<uintptr_t>(ptrs) % 16 == 0) && ...);
}

// Launches on the current stream; cluster > 1 makes clusters of that many
// blocks.
template <typename... KernelArgs, typename... Args>
void launch(void (*kernel)(KernelArgs...), dim3 grid, dim3 block, int cluster, Args&&... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = c10::cuda::getCurrentCUDAStream();
  cudaLaunchAttribute attribute{};
  if (cluster > 1) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = static_cast<unsigned>(cluster);
    attribute.val.clusterDim.y = 1;
    attribute.val.clusterDim.z = 1;
    config.attrs = &attribute;
    config.numAttrs = 1;
    if (cluster > 8) allow_large_clusters(reinterpret_cast<const void*>(kernel));
  }
  C10_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

inline dim3 grid_of(int64_t blocks) {
  TORCH_CHECK(blocks <= 2147483647, "x is too large for one launch: ", blocks, " blocks");
  return dim3(static_cast<unsigned>(blocks));
}

}  // namespace mmdet_frn
