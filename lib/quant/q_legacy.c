/* q_legacy.c - decode and encode of the 32-value formats. Without importance the arithmetic and its
 * order are those of the `gguf` Python package, so that files agree bit for bit; with it the scale
 * (and the offset) are searched. Eight bits need no search. */
#include "quant/q_legacy.h"

#include "quant/families.h"
#include "quant/k_search.h"

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

/* Codes of the formats without an offset, `zero` the code that stands for 0. */
static lm_half plain_codes(const float *x, int32_t zero, uint8_t *codes)
{
    float d = extreme(x) / (float)-zero, scale = reciprocal(d), offset = (float)zero + 0.5f;
    for (int j = 0; j < BLOCK; j++) {
        int32_t q = truncate_code(x[j] * scale + offset);
        codes[j] = (uint8_t)(q < 2 * zero - 1 ? q : 2 * zero - 1);
    }
    return lm_half_from(d);
}

static lm_half searched_codes(const float *x, const float *importance, int32_t zero, uint8_t *codes)
{
    lm_grid grid = {(float)-zero, (float)(zero - 1), NULL, 0};
    lm_k_source s;
    float q[BLOCK] = {0}, d = 0.0f;
    lm_half stored = {{0, 0}};
    lm_k_prepare(x, importance, BLOCK, 0.0f, &s);
    if (!s.empty) {
        lm_group group = {s.x, s.w, BLOCK};
        stored = lm_k_nearest_half(lm_search_scale(&grid, group), s.unit, &d);
        lm_search_codes(&grid, group, d, 0.0f, q);
    }
    for (int j = 0; j < BLOCK; j++)
        codes[j] = (uint8_t)((int32_t)q[j] + zero);
    return stored;
}

/* Codes of the formats with an offset, 0 to `top`. */
static void plain_offset_codes(const float *x, int32_t top, lm_half *d, lm_half *m, uint8_t *codes)
{
    float low, high;
    range(x, &low, &high);
    float step = (high - low) / (float)top, scale = reciprocal(step);
    for (int j = 0; j < BLOCK; j++) {
        int32_t q = truncate_code((x[j] - low) * scale + 0.5f);
        codes[j] = (uint8_t)(q < top ? q : top);
    }
    *d = lm_half_from(step);
    *m = lm_half_from(low);
}

static void searched_offset_codes(const float *x, const float *importance, int32_t top, lm_half *d,
                                  lm_half *m, uint8_t *codes)
{
    lm_grid grid = {0.0f, (float)top, NULL, 0};
    lm_k_source s;
    float below[BLOCK], q[BLOCK] = {0}, low, high, scale, offset, step = 0.0f, least = 0.0f;
    *d = *m = (lm_half){{0, 0}};
    lm_k_prepare(x, importance, BLOCK, 0.0f, &s);
    if (!s.empty) {
        /* The search wants an offset downwards: it gets the values as seen from the highest. */
        range(s.x, &low, &high);
        for (int j = 0; j < BLOCK; j++)
            below[j] = s.x[j] - high;
        lm_search_affine(&grid, (lm_group){below, s.w, BLOCK}, &scale, &offset);
        *d = lm_k_nearest_half(scale, s.unit, &step);
        *m = lm_k_nearest_half(high - offset, s.unit, &least);
        lm_search_codes(&grid, (lm_group){s.x, s.w, BLOCK}, step, -least, q);
    }
    for (int j = 0; j < BLOCK; j++)
        codes[j] = (uint8_t)q[j];
}

static lm_half signed_codes(const float *x, const float *importance, int32_t zero, uint8_t *codes)
{
    return importance ? searched_codes(x, importance, zero, codes) : plain_codes(x, zero, codes);
}

static void offset_codes(const float *x, const float *importance, int32_t top, lm_half *d,
                         lm_half *m, uint8_t *codes)
{
    if (importance)
        searched_offset_codes(x, importance, top, d, m, codes);
    else
        plain_offset_codes(x, top, d, m, codes);
}

static const float *at(const float *importance, size_t i)
{
    return importance ? importance + i : NULL;
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
    lm_block_q4_0 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        uint8_t codes[BLOCK];
        b->d = signed_codes(values + i, at(importance, i), 8, codes);
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
    lm_block_q4_1 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        uint8_t codes[BLOCK];
        offset_codes(values + i, at(importance, i), 15, &b->d, &b->m, codes);
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
    lm_block_q5_0 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        uint8_t codes[BLOCK];
        b->d = signed_codes(values + i, at(importance, i), 16, codes);
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
    lm_block_q5_1 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        uint8_t codes[BLOCK];
        offset_codes(values + i, at(importance, i), 31, &b->d, &b->m, codes);
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
