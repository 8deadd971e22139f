// The figures of a device that the launch plans ask for.
#pragma once

#include "plan.h"

namespace mmdet_frn {

// Of the current device; asked once per device.
const DeviceFigures& device_figures();

// Lets a kernel be launched on the current device in clusters of more than 8 blocks, which are not
// portable; told to CUDA once per kernel and device.
void allow_large_clusters(const void* kernel);

}  // namespace mmdet_frn
