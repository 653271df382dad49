/* q_8k.c - decode and encode of Q8_K. */
#include "quant/q_8k.h"

#include "quant/families.h"

#include <math.h>

enum { BLOCK = 256 };

static void decode(const void *blocks, float *values, size_t count)
{
    const lm_block_q8_k *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = lm_load_f32(b->d);
        for (size_t k = 0; k < BLOCK; k++)
            values[i + k] = d * (float)b->q[k];
    }
}

/* Codes per unit: the value of the largest magnitude becomes -127, the end of the range that every
 * kernel can take. 0 when there is nothing to store. */
static float density_of(const float *x)
{
    float extreme = 0.0f;
    for (int k = 0; k < BLOCK; k++)
        extreme = fabsf(x[k]) > fabsf(extreme) ? x[k] : extreme;
    float density = -127.0f / extreme;
    return extreme != 0.0f && fabsf(density) < INFINITY ? density : 0.0f;
}

static void encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    lm_block_q8_k *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float density = density_of(values + i);
        lm_store_f32(b->d, density == 0.0f ? 0.0f : 1.0f / density);
        for (int g = 0; g < 16; g++) {
            int sum = 0;
            for (int k = 16 * g; k < 16 * g + 16; k++) {
                float v = values[i + (size_t)k] * density;
                v = v > -127.0f ? v : -127.0f; /* NaN as well */
                v = v < 127.0f ? v : 127.0f;
                b->q[k] = (int8_t)((v + 12582912.0f) - 12582912.0f); /* ties to even */
                sum += b->q[k];
            }
            lm_store_u16(b->sum[g], (uint16_t)(int16_t)sum);
        }
    }
}

const lm_format lm_formats_8k[] = {
    {LM_Q8_K, "q8_k", BLOCK, sizeof(lm_block_q8_k), decode, encode},
    {0},
};
