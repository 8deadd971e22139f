// The figures of a device that the launch plans ask for.
#pragma once

#include "plan.h"

namespace mmdet_frn {

// Of the current device; asked once per device.
const DeviceFigures& device_figures();

}  // namespace mmdet_frn
