// The loops for AVX-512 (F, BW, DQ, VL); nothing on other compilers and architectures.
#include "loops.h"

#ifdef MMDET_FRN_X86_DISPATCH
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
// Before GCC 13 the pragma does not define these in C++, and the headers of Vectorized ask for
// them.
#ifndef __AVX512F__
#define __AVX__ 1
#define __AVX2__ 1
#define __FMA__ 1
#define __F16C__ 1
#define __AVX512F__ 1
#define __AVX512BW__ 1
#define __AVX512DQ__ 1
#define __AVX512VL__ 1
#endif
#define CPU_CAPABILITY AVX512
#define CPU_CAPABILITY_AVX512
#define MMDET_FRN_ISA avx512
#include "loops_impl.h"
#endif
