/* amx_bf16 - what the products of BF16 weights in matrix registers share. Activations are rounded to
 * bfloat16; columns are taken in steps of 32, which are a line of memory. */
#ifndef LM_BACKENDS_CPU_KERNELS_AMX_BF16_H
#define LM_BACKENDS_CPU_KERNELS_AMX_BF16_H

#include "backends/cpu/kernels/amx_turned.h"
#include "backends/cpu/kernels/kernels.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

#define STEP 32u /* columns */
#define LINE 64u /* bytes of them */

#define LCPU_AMX_FEW 16u /* rows of activations that are taken with weights where they lie */

INLINE uint32_t steps_of(uint32_t columns)
{
    return (columns + STEP - 1) / STEP;
}

/* Bits of those of 32 that are there. */
INLINE __mmask32 there_of(uint32_t count)
{
    return count >= STEP ? 0xffffffffu : (1u << count) - 1;
}

/* Products from the file's rows with few rows of activations, and from panels with many. */
void lcpu_amx_bf16_few(const uint8_t *from, size_t stride, uint32_t n_w, const void *const *x,
                       uint32_t n_x, uint32_t k, float *const *out, size_t at, const uint8_t *next);
void lcpu_amx_bf16_unpack(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k,
                          void *panels);
void lcpu_amx_bf16_many(const void *panels, uint32_t n_w, const void *const *x, uint32_t n_x,
                        uint32_t k, float *const *out, size_t at, const uint8_t *next,
                        size_t next_bytes);

#endif
