/* int8_portable.c - products of quantised weights with activations in int8 blocks. A row holds
 * 16-bit integers (so that scales of half blocks fold in), and per 32 of them a scale, a minimum, a
 * total. */
#include "backends/cpu/kernels/kernels.h"

#include "base/bytes.h"
#include "base/half.h"
#include "quant/q_4k.h"
#include "quant/q_6k.h"
#include "quant/q_legacy.h"

#include <math.h>

#define BLOCK 32u

typedef struct block {
    int16_t q[BLOCK];
    float scale;
    float minimum; /* weights */
    int32_t total; /* activations: sum of q */
} block;

size_t lcpu_portable_int8_row_bytes(uint32_t k)
{
    return k / BLOCK * sizeof(block);
}

/* --- activations ------------------------------------------------------------------------------ */

static void quantise_block(const float *x, block *b)
{
    float largest = 0, wrong = 0;
    for (uint32_t i = 0; i < BLOCK; i++) {
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
        wrong += x[i] * 0; /* NaN when any value is not finite */
    }
    bool finite = wrong == 0;
    float inverse = finite && largest > 0 ? 127.0f / largest : 0;
    int32_t total = 0;
    for (uint32_t i = 0; i < BLOCK; i++) {
        /* Adding 1.5 * 2^23 rounds to the nearest integer, ties to even. */
        float shifted = (finite ? x[i] * inverse : 0) + 12582912.0f;
        int32_t q = (int32_t)(lm_f32_bits(shifted) - 0x4b400000u);
        b->q[i] = (int16_t)q;
        total += q;
    }
    b->scale = finite ? largest / 127.0f : NAN;
    b->minimum = 0;
    b->total = total;
}

void lcpu_portable_int8_quantise(const float *x, uint32_t k, void *row)
{
    block *b = row;
    for (uint32_t i = 0; i < k / BLOCK; i++)
        quantise_block(x + i * BLOCK, &b[i]);
}

/* --- weights ---------------------------------------------------------------------------------- */

void lcpu_portable_unpack_q8_0(const uint8_t *from, uint32_t k, void *row)
{
    const lm_block_q8_0 *w = (const lm_block_q8_0 *)from;
    block *b = row;
    for (uint32_t i = 0; i < k / BLOCK; i++) {
        for (uint32_t j = 0; j < BLOCK; j++)
            b[i].q[j] = w[i].q[j];
        b[i].scale = lm_half_get(w[i].d);
        b[i].minimum = 0;
    }
}

void lcpu_portable_unpack_q4_0(const uint8_t *from, uint32_t k, void *row)
{
    const lm_block_q4_0 *w = (const lm_block_q4_0 *)from;
    block *b = row;
    for (uint32_t i = 0; i < k / BLOCK; i++) {
        for (uint32_t j = 0; j < 16; j++) {
            b[i].q[j] = (int16_t)((w[i].q[j] & 15) - 8);
            b[i].q[j + 16] = (int16_t)((w[i].q[j] >> 4) - 8);
        }
        b[i].scale = lm_half_get(w[i].d);
        b[i].minimum = 0;
    }
}

void lcpu_portable_unpack_q4_k(const uint8_t *from, uint32_t k, void *row)
{
    const lm_block_q4_k *w = (const lm_block_q4_k *)from;
    block *b = row;
    for (uint32_t i = 0; i < k / 256; i++, w++, b += 8) {
        float d = lm_half_get(w->d), m = lm_half_get(w->m);
        for (int g = 0; g < 8; g += 2) {
            const uint8_t *q = w->q + g * 16;
            for (uint32_t j = 0; j < BLOCK; j++)
                b[g].q[j] = q[j] & 15;
            for (uint32_t j = 0; j < BLOCK; j++)
                b[g + 1].q[j] = q[j] >> 4;
        }
        for (int g = 0; g < 8; g++) {
            uint8_t scale, minimum;
            lm_q4_k_scale(w->scale, g, &scale, &minimum);
            b[g].scale = d * (float)scale;
            b[g].minimum = m * (float)minimum;
        }
    }
}

/* The 128 values of half a Q6_K block, 0 to 63, group after group. */
static void join_q6_k(const uint8_t *low, const uint8_t *high, uint8_t q[4][BLOCK])
{
    for (uint32_t j = 0; j < BLOCK; j++)
        q[0][j] = (uint8_t)((low[j] & 15) | (high[j] & 3) << 4);
    for (uint32_t j = 0; j < BLOCK; j++)
        q[1][j] = (uint8_t)((low[j + 32] & 15) | (high[j] & 12) << 2);
    for (uint32_t j = 0; j < BLOCK; j++)
        q[2][j] = (uint8_t)(low[j] >> 4 | (high[j] & 48));
    for (uint32_t j = 0; j < BLOCK; j++)
        q[3][j] = (uint8_t)(low[j + 32] >> 4 | (high[j] & 192) >> 2);
}

static void scale_16(const uint8_t *q, int16_t scale, int16_t *out)
{
    for (int j = 0; j < 16; j++)
        out[j] = (int16_t)((int16_t)(q[j] - 32) * scale);
}

void lcpu_portable_unpack_q6_k(const uint8_t *from, uint32_t k, void *row)
{
    const lm_block_q6_k *w = (const lm_block_q6_k *)from;
    block *b = row;
    for (uint32_t i = 0; i < k / 256; i++, w++) {
        float d = lm_half_get(w->d);
        for (int half = 0; half < 2; half++) {
            uint8_t q[4][BLOCK];
            join_q6_k(w->low + 64 * half, w->high + 32 * half, q);
            for (int g = 0; g < 4; g++, b++) {
                scale_16(q[g], w->scale[8 * half + 2 * g], b->q);
                scale_16(q[g] + 16, w->scale[8 * half + 2 * g + 1], b->q + 16);
                b->scale = d;
                b->minimum = 0;
            }
        }
    }
}

/* --- products --------------------------------------------------------------------------------- */

static int32_t block_sum(const int16_t *w, const int16_t *q)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < BLOCK; i++)
        sum += w[i] * q[i];
    return sum;
}

static float dot(const block *w, const block *x, uint32_t blocks)
{
    float acc = 0;
    for (uint32_t i = 0; i < blocks; i++) {
        acc = (float)block_sum(w[i].q, x[i].q) * (w[i].scale * x[i].scale) + acc;
        /* Exact nothing for formats without minima, but not for a NaN scale, which is NaN already.
         */
        acc = -(float)x[i].total * (w[i].minimum * x[i].scale) + acc;
    }
    return acc;
}

void lcpu_portable_int8_matmul(const void *w, uint32_t n_w, const void *const *x, uint32_t n_x,
                               uint32_t k, float *const *out, size_t at)
{
    const block *row = w;
    uint32_t blocks = k / BLOCK;
    for (uint32_t i = 0; i < n_x; i++)
        for (uint32_t o = 0; o < n_w; o++)
            out[i][at + o] = dot(row + (size_t)o * blocks, x[i], blocks);
}
