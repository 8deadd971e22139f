// Launches: what a device allows, and the log of what ran.
#include <cxxabi.h>
#include <dlfcn.h>

#include <set>

#include "machine.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {

int g_device = 0;
int g_order = 0;
std::mt19937 g_random;
Launch g_launch;
uint32_t g_launches = 0, g_groups = 0;
std::vector<Block> g_blocks;
std::vector<Thread> g_threads;
Thread* g_thread = nullptr;
std::vector<int> g_arrivals;
uint32_t g_relaxed = 0;
bool g_failed = false;

namespace {

std::set<std::pair<int, const void*>> g_large_clusters;  // allowed: device, kernel
std::string g_errors, g_log;

std::string kernel_name() {
  Dl_info info{};
  dladdr(g_launch.kernel, &info);
  char* text = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, nullptr);
  const std::string name = text ? text : "?";
  free(text);
  return name;
}

}  // namespace

void error(const std::string& what) {
  g_failed = true;
  if (!g_errors.empty()) return;  // the first says most
  g_errors = what + " in " + kernel_name();
  if (g_thread) {
    g_errors += ", block " + std::to_string(g_blocks[g_thread->block].number) + ", thread " +
                std::to_string(g_thread->index);
  }
}

// ---- what emulated_cuda.h and emulated_torch.h declare ------------------------------------------

int current_device() { return g_device; }

void check_bounds(int max_threads, int) {
  if (g_launch.threads > max_threads) error("more threads than __launch_bounds__");
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
       (g_launch.cluster <= 8 || g_large_clusters.count({g_device, kernel}) != 0) &&
       gridDim.x % g_launch.cluster == 0);
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

// CUDA takes it any number of times; the launchers are to spend one call per kernel and device.
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int) {
  const bool first = emulation::g_large_clusters.insert({emulation::g_device, kernel}).second;
  return first ? cudaSuccess : cudaErrorInvalidConfiguration;
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

// Forgets all tensors, errors and launches. order: see g_order.
void emulation_reset(int device, int order) {
  using namespace emulation;
  forget_tensors();
  g_device = device;
  g_order = order;
  g_random.seed(static_cast<unsigned>(order));
  g_failed = false;
  g_errors.clear();
  g_log.clear();
}
const char* emulation_error() { return emulation::g_errors.c_str(); }
// A line per launch: kernel, blocks, threads, cluster, bytes read and written, between tabs.
const char* emulation_log() { return emulation::g_log.c_str(); }
}
