#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>

#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "device.h"
#include "frn_norm.cuh"
#include "row_backward_kernel.cuh"

namespace mmdet_frn {
namespace {

// Blocks of the largest cluster that full-size blocks may form. The cluster
// kernels have a body only where they were compiled for sm_90 or later, which
// the device alone does not tell: code for an older architecture runs on it
// too.
int max_cluster(const cudaDeviceProp& device) {
  const auto kernel = backward_row_kernel<Frn, float, Scope::kCluster, kBackwardCut.block, true>;
  const void* const entry = reinterpret_cast<const void*>(kernel);
  cudaFuncAttributes attributes{};
  C10_CUDA_CHECK(cudaFuncGetAttributes(&attributes, entry));
  if (device.major < 9 || attributes.ptxVersion < 90) return 1;
  allow_large_clusters(entry);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(kMaxCluster);
  config.blockDim = dim3(max_threads(Scope::kCluster, true, sizeof(float), kBackwardCut));
  int blocks = 1;
  C10_CUDA_CHECK(cudaOccupancyMaxPotentialClusterSize(&blocks, entry, &config));
  int cluster = 1;
  while (2 * cluster <= blocks && 2 * cluster <= kMaxCluster) cluster *= 2;
  return cluster;
}

}  // namespace

const DeviceFigures& device_figures() {
  static std::mutex mutex;
  static std::unordered_map<int, DeviceFigures> known;
  const int index = static_cast<int>(c10::cuda::current_device());
  const std::lock_guard<std::mutex> lock(mutex);
  auto it = known.find(index);
  if (it == known.end()) {
    cudaDeviceProp device{};
    C10_CUDA_CHECK(cudaGetDeviceProperties(&device, index));
    it = known
             .emplace(index, DeviceFigures{device.multiProcessorCount, max_cluster(device),
                                           static_cast<int64_t>(device.l2CacheSize)})
             .first;
  }
  return it->second;
}

void allow_large_clusters(const void* kernel) {
  static std::mutex mutex;
  static std::set<std::pair<int, const void*>> allowed;
  const std::pair<int, const void*> key(static_cast<int>(c10::cuda::current_device()), kernel);
  const std::lock_guard<std::mutex> lock(mutex);
  if (allowed.count(key) != 0) return;
  C10_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  allowed.insert(key);
}

}  // namespace mmdet_frn
