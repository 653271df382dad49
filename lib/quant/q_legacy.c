/* q_legacy.c - decode and encode of the 32-value formats. The arithmetic and its order are those
 * of the `gguf` Python package, so that files agree bit for bit. */
#include "quant/q_legacy.h"

#include "quant/families.h"

enum { BLOCK = LM_LEGACY_BLOCK, HALF = BLOCK / 2 };

/* Truncates; what no integer code can stand for (NaN, infinity) becomes 0. The value is selected
 * before the conversion so that the loops around this vectorise. */
static inline int32_t truncate_code(float v)
{
    float safe = v > -65536.0f && v < 65536.0f ? v : 0.0f;
    return (int32_t)safe;
}

/* Halves go away from zero. */
static inline int32_t round_code(float v)
{
    float safe = v > -65536.0f && v < 65536.0f ? v : 0.0f;
    int32_t whole = (int32_t)safe;
    float rest = safe - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

static inline float reciprocal(float d)
{
    return d == 0.0f ? 0.0f : 1.0f / d;
}

/* Magnitudes order like their bits; integer maxima vectorise where float ones may not. */
static float largest_magnitude(const float *x)
{
    int32_t peak = 0;
    for (int j = 0; j < BLOCK; j++) {
        int32_t bits = (int32_t)(lm_f32_bits(x[j]) & 0x7fffffffu);
        peak = bits > peak ? bits : peak;
    }
    return lm_f32_from_bits((uint32_t)peak);
}

/* The first value of the largest magnitude, with its sign. */
static float extreme(const float *x)
{
    uint32_t peak = lm_f32_bits(largest_magnitude(x));
    int j = 0;
    while (j < BLOCK - 1 && (lm_f32_bits(x[j]) & 0x7fffffffu) != peak)
        j++;
    return x[j];
}

static void range(const float *x, float *low, float *high)
{
    float least = x[0], most = x[0];
    for (int j = 1; j < BLOCK; j++) {
        least = x[j] < least ? x[j] : least;
        most = x[j] > most ? x[j] : most;
    }
    *low = least;
    *high = most;
}

/* The codes of all 32 values, rounded from x * scale + offset and cut at `top`. */
static void codes_of(const float *x, float scale, float offset, int32_t top, uint8_t *codes)
{
    for (int j = 0; j < BLOCK; j++) {
        int32_t q = truncate_code(x[j] * scale + offset);
        codes[j] = (uint8_t)(q < top ? q : top);
    }
}

static void codes_above(const float *x, float low, float scale, int32_t top, uint8_t *codes)
{
    for (int j = 0; j < BLOCK; j++) {
        int32_t q = truncate_code((x[j] - low) * scale + 0.5f);
        codes[j] = (uint8_t)(q < top ? q : top);
    }
}

static void pack_low(const uint8_t *codes, uint8_t *q)
{
    for (int j = 0; j < HALF; j++)
        q[j] = (uint8_t)((codes[j] & 15) | (codes[j + HALF] & 15) << 4);
}

static void pack_high(const uint8_t *codes, uint8_t *high)
{
    uint32_t bits = 0;
    for (int j = 0; j < BLOCK; j++)
        bits |= (uint32_t)(codes[j] >> 4) << j;
    lm_store_u32(high, bits);
}

static void unpack_low(const uint8_t *q, uint8_t *codes)
{
    for (int j = 0; j < HALF; j++) {
        codes[j] = q[j] & 15;
        codes[j + HALF] = q[j] >> 4;
    }
}

static void unpack_high(const uint8_t *high, uint8_t *codes)
{
    uint32_t bits = lm_load_u32(high);
    for (int j = 0; j < BLOCK; j++)
        codes[j] = (uint8_t)(codes[j] | (bits >> j & 1u) << 4);
}

static void q4_0_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_q4_0 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = lm_half_get(b->d);
        uint8_t codes[BLOCK];
        unpack_low(b->q, codes);
        for (int j = 0; j < BLOCK; j++)
            values[i + j] = d * (float)(codes[j] - 8);
    }
}

static void q4_0_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    lm_block_q4_0 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = extreme(values + i) / -8.0f;
        uint8_t codes[BLOCK];
        codes_of(values + i, reciprocal(d), 8.5f, 15, codes);
        b->d = lm_half_from(d);
        pack_low(codes, b->q);
    }
}

static void q4_1_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_q4_1 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = lm_half_get(b->d), m = lm_half_get(b->m);
        uint8_t codes[BLOCK];
        unpack_low(b->q, codes);
        for (int j = 0; j < BLOCK; j++)
            values[i + j] = d * (float)codes[j] + m;
    }
}

static void q4_1_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    lm_block_q4_1 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float low, high;
        range(values + i, &low, &high);
        float d = (high - low) / 15.0f;
        uint8_t codes[BLOCK];
        codes_above(values + i, low, reciprocal(d), 15, codes);
        b->d = lm_half_from(d);
        b->m = lm_half_from(low);
        pack_low(codes, b->q);
    }
}

static void q5_0_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_q5_0 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = lm_half_get(b->d);
        uint8_t codes[BLOCK];
        unpack_low(b->q, codes);
        unpack_high(b->high, codes);
        for (int j = 0; j < BLOCK; j++)
            values[i + j] = d * (float)(codes[j] - 16);
    }
}

static void q5_0_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    lm_block_q5_0 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = extreme(values + i) / -16.0f;
        uint8_t codes[BLOCK];
        codes_of(values + i, reciprocal(d), 16.5f, 31, codes);
        b->d = lm_half_from(d);
        pack_low(codes, b->q);
        pack_high(codes, b->high);
    }
}

static void q5_1_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_q5_1 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = lm_half_get(b->d), m = lm_half_get(b->m);
        uint8_t codes[BLOCK];
        unpack_low(b->q, codes);
        unpack_high(b->high, codes);
        for (int j = 0; j < BLOCK; j++)
            values[i + j] = d * (float)codes[j] + m;
    }
}

static void q5_1_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    lm_block_q5_1 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float low, high;
        range(values + i, &low, &high);
        float d = (high - low) / 31.0f;
        uint8_t codes[BLOCK];
        codes_above(values + i, low, reciprocal(d), 31, codes);
        b->d = lm_half_from(d);
        b->m = lm_half_from(low);
        pack_low(codes, b->q);
        pack_high(codes, b->high);
    }
}

static void q8_0_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_q8_0 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = lm_half_get(b->d);
        for (int j = 0; j < BLOCK; j++)
            values[i + j] = (float)b->q[j] * d;
    }
}

static void q8_0_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    lm_block_q8_0 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = largest_magnitude(values + i) / 127.0f, inverse = reciprocal(d);
        for (int j = 0; j < BLOCK; j++)
            b->q[j] = (int8_t)round_code(values[i + j] * inverse);
        b->d = lm_half_from(d);
    }
}

static void q8_1_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_q8_1 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = lm_half_get(b->d);
        for (int j = 0; j < BLOCK; j++)
            values[i + j] = (float)b->q[j] * d;
    }
}

static void q8_1_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    lm_block_q8_1 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = largest_magnitude(values + i) / 127.0f, inverse = reciprocal(d);
        int32_t sum = 0;
        for (int j = 0; j < BLOCK; j++) {
            b->q[j] = (int8_t)round_code(values[i + j] * inverse);
            sum += b->q[j];
        }
        b->d = lm_half_from(d);
        b->s = lm_half_from((float)sum * d);
    }
}

const lm_format lm_formats_legacy[] = {
    {LM_Q4_0, "q4_0", BLOCK, sizeof(lm_block_q4_0), q4_0_decode, q4_0_encode},
    {LM_Q4_1, "q4_1", BLOCK, sizeof(lm_block_q4_1), q4_1_decode, q4_1_encode},
    {LM_Q5_0, "q5_0", BLOCK, sizeof(lm_block_q5_0), q5_0_decode, q5_0_encode},
    {LM_Q5_1, "q5_1", BLOCK, sizeof(lm_block_q5_1), q5_1_decode, q5_1_encode},
    {LM_Q8_0, "q8_0", BLOCK, sizeof(lm_block_q8_0), q8_0_decode, q8_0_encode},
    {LM_Q8_1, "q8_1", BLOCK, sizeof(lm_block_q8_1), q8_1_decode, q8_1_encode},
    {0},
};
