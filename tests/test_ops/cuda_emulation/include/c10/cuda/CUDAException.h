#include "emulated_torch.h"
