/* q_ternary.c - decode and encode of TQ1_0 and TQ2_0. They store what was trained to be ternary, so
 * the encoders do no search: the arithmetic is that of the `gguf` Python package, bit for bit. */
#include "quant/q_ternary.h"

#include "quant/families.h"

#include <math.h>

enum { BLOCK = 256 };

/* The three runs of a TQ1_0 block: where the bytes and values begin, and how they lie. */
static const struct run {
    int byte, bytes, value, digits;
} runs[3] = {{0, 32, 0, 5}, {32, 16, 160, 5}, {48, 4, 240, 4}};

_Static_assert(offsetof(lm_block_tq1_0, last) == 48, "q and last are one array of bytes");

/* Halves go away from zero; what is no number in reach becomes the middle. */
static uint8_t trit(float v)
{
    float safe = v > -2.0f && v < 2.0f ? v : 0.0f;
    return (uint8_t)(1 + (safe >= 0.5f) - (safe <= -0.5f));
}

static float trits_of(const float *x, uint8_t *trits)
{
    float d = 0.0f;
    for (int k = 0; k < BLOCK; k++)
        d = fabsf(x[k]) > d ? fabsf(x[k]) : d;
    float inverse = d == 0.0f ? 0.0f : 1.0f / d;
    for (int k = 0; k < BLOCK; k++)
        trits[k] = trit(x[k] * inverse);
    return d;
}

static void tq1_decode(const void *blocks, float *values, size_t count)
{
    const uint8_t *bytes = blocks;
    for (size_t i = 0; i < count; i += BLOCK, bytes += sizeof(lm_block_tq1_0)) {
        float d = lm_half_get(((const lm_block_tq1_0 *)bytes)->d);
        for (const struct run *r = runs; r < runs + 3; r++)
            for (int n = 0; n < r->digits; n++)
                for (int l = 0; l < r->bytes; l++)
                    values[i + (size_t)(r->value + n * r->bytes + l)] =
                        d * (float)(lm_tq1_0_digit(bytes[r->byte + l], n) - 1);
    }
}

static void tq1_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    uint8_t *bytes = blocks;
    for (size_t i = 0; i < count; i += BLOCK, bytes += sizeof(lm_block_tq1_0)) {
        uint8_t trits[BLOCK];
        ((lm_block_tq1_0 *)bytes)->d = lm_half_from(trits_of(values + i, trits));
        for (const struct run *r = runs; r < runs + 3; r++)
            for (int l = 0; l < r->bytes; l++) {
                int number = 0;
                for (int n = 0; n < 5; n++)
                    number = number * 3 + (n < r->digits ? trits[r->value + n * r->bytes + l] : 0);
                bytes[r->byte + l] = (uint8_t)((number * 256 + 242) / 243);
            }
    }
}

static void tq2_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_tq2_0 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = lm_half_get(b->d);
        for (int k = 0; k < BLOCK; k++) {
            int t = b->q[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
            values[i + (size_t)k] = d * (float)(t - 1);
        }
    }
}

static void tq2_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    lm_block_tq2_0 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        uint8_t trits[BLOCK];
        *b = (lm_block_tq2_0){.d = lm_half_from(trits_of(values + i, trits))};
        for (int k = 0; k < BLOCK; k++)
            b->q[k / 128 * 32 + k % 32] |= (uint8_t)(trits[k] << (k % 128 / 32 * 2));
    }
}

const lm_format lm_formats_ternary[] = {
    {LM_TQ1_0, "tq1_0", BLOCK, sizeof(lm_block_tq1_0), tq1_decode, tq1_encode},
    {LM_TQ2_0, "tq2_0", BLOCK, sizeof(lm_block_tq2_0), tq2_decode, tq2_encode},
    {0},
};
