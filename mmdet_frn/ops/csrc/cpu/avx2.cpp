// The loops for AVX2 with FMA; nothing on other compilers and architectures.
#include "loops.h"

#ifdef MMDET_FRN_X86_DISPATCH
#pragma GCC target("avx2,fma,f16c")
// Before GCC 13 the pragma does not define these in C++, and the headers of Vectorized ask for
// them.
#ifndef __AVX2__
#define __AVX__ 1
#define __AVX2__ 1
#define __FMA__ 1
#define __F16C__ 1
#endif
#define CPU_CAPABILITY AVX2
#define CPU_CAPABILITY_AVX2
#define MMDET_FRN_ISA avx2
#include "loops_impl.h"
#endif
