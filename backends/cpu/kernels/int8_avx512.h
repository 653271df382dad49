/* int8_avx512 - the two parts of the AVX-512 VNNI set. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_AVX512_H
#define LM_BACKENDS_CPU_KERNELS_INT8_AVX512_H

#include "backends/cpu/kernels/int8_vec512.h"

INLINE vec v_dot(vec sum, vec w, vec q)
{
    return _mm512_dpbusd_epi32(sum, w, q);
}

INLINE vec v_dot16(vec sum, vec a, vec b)
{
    return _mm512_dpwssd_epi32(sum, a, b);
}

#include "backends/cpu/kernels/int8_x86_vnni.h"

/* Products of panels by kind; in int8_avx512_panels.c. */
extern const lcpu_panels_fn lcpu_avx512_panels[4];

#endif
