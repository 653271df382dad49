/* features.c - what the processor can do, asked from the processor itself. */
#include "backends/cpu/kernels/kernels.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <cpuid.h>

/* The registers the operating system saves on a switch. */
static uint64_t saved_registers(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Tiles, and their products of bfloat16 and of bytes. */
static uint64_t amx_features(uint32_t leaf7_edx, uint64_t saved)
{
    if ((leaf7_edx & 1u << 24) == 0 || (saved >> 17 & 3) != 3)
        return 0;
    return ((leaf7_edx & 1u << 22) != 0 ? LCPU_AMX_BF16 : 0) |
           ((leaf7_edx & 1u << 25) != 0 ? LCPU_AMX_INT8 : 0);
}

static uint64_t avx512_features(uint32_t leaf7_ebx, uint32_t leaf7_ecx)
{
    uint32_t wanted = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    uint32_t a, b, c, d;
    if ((leaf7_ebx & wanted) != wanted)
        return 0;
    uint64_t found = LCPU_AVX512;
    if ((leaf7_ecx & bit_AVX512VNNI) != 0)
        found |= LCPU_AVX512_VNNI;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5) != 0)
        found |= LCPU_AVX512_BF16;
    return found;
}

uint64_t lcpu_features(void)
{
    uint32_t a, b, c, d, leaf1_ecx;
    if (!__get_cpuid(1, &a, &b, &leaf1_ecx, &d) || (leaf1_ecx & bit_OSXSAVE) == 0)
        return 0;
    uint64_t saved = saved_registers();
    uint32_t wanted = bit_AVX | bit_FMA | bit_F16C;
    if ((saved & 6) != 6 || (leaf1_ecx & wanted) != wanted ||
        !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & bit_AVX2) == 0)
        return 0;
    uint64_t found =
        LCPU_AVX2 | ((saved & 0xe0) == 0xe0 ? avx512_features(b, c) : 0) | amx_features(d, saved);
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4) != 0)
        found |= LCPU_AVX_VNNI;
    return found;
}

#elif defined(__aarch64__)
#include "base/os.h"

/* Bits of Linux's words. */
#define HAS_DOTPROD (1u << 20) /* of the first */
#define HAS_I8MM    (1u << 13) /* of the second */

/* Every processor of this kind has NEON. */
uint64_t lcpu_features(void)
{
    uint64_t found = LCPU_NEON, words[2];
    lm_os_hwcap(words);
    if ((words[0] & HAS_DOTPROD) != 0)
        found |= LCPU_NEON_DOTPROD;
    if ((words[1] & HAS_I8MM) != 0)
        found |= LCPU_NEON_I8MM;
    return found;
}

#else

uint64_t lcpu_features(void)
{
    return 0;
}

#endif
