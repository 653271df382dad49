/* amx_turned - sixteen rows of sixteen words as an operand of matrix registers that is read by columns. */
#ifndef LM_BACKENDS_CPU_KERNELS_AMX_TURNED_H
#define LM_BACKENDS_CPU_KERNELS_AMX_TURNED_H

#include "backends/cpu/kernels/amx.h"
#include "backends/cpu/kernels/lanes_avx512.h"

/* The words may be any bits; x is used up. */
static inline void store_turned(uint8_t *to, lanes x[SIDE])
{
    lanes_transpose(x);
    for (uint32_t i = 0; i < SIDE; i++)
        _mm512_store_ps(to + i * (TILE / SIDE), x[i]);
}

#endif
