/* q_fp4.c - decode and encode of MXFP4 and NVFP4. Without importance the MXFP4 encoder gives the
 * bytes of the `gguf` Python package; for NVFP4, which that only reads, the scales are searched. */
#include "quant/q_fp4.h"

#include "quant/families.h"
#include "quant/k_search.h"

#include <float.h>
#include <math.h>

enum { MX = 32, NV = 64, NV_GROUP = 16 };

static const float levels[16] = LM_FP4_LEVELS;

static void decode_group(const uint8_t *q, int n, float step, float *values)
{
    for (int j = 0; j < n / 2; j++) {
        values[j] = step * levels[q[j] & 15];
        values[j + n / 2] = step * levels[q[j] >> 4];
    }
}

/* The nearest levels; of two equally near the smaller one. Zero has one code, without sign. */
static void codes_of(const float *x, int n, float step, uint8_t *codes)
{
    static const float middles[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5.0f, 7.0f, 10.0f};
    for (int j = 0; j < n; j++) {
        int code = 0;
        for (int k = 0; k < 7; k++)
            code += fabsf(x[j]) > middles[k] * step;
        codes[j] = (uint8_t)(code != 0 && x[j] < 0.0f ? code | 8 : code);
    }
}

static void pack(const uint8_t *codes, int n, uint8_t *q)
{
    for (int j = 0; j < n / 2; j++)
        q[j] = (uint8_t)(codes[j] | codes[j + n / 2] << 4);
}

static float error_of(const float *x, const float *weights, int n, float step, uint8_t *codes)
{
    float error = 0.0f;
    codes_of(x, n, step, codes);
    for (int j = 0; j < n; j++) {
        float e = x[j] - step * levels[codes[j]];
        error += weights[j] * (e * e);
    }
    return error;
}

static float peak_of(const float *x, int n)
{
    float peak = 0.0f;
    for (int j = 0; j < n; j++)
        peak = fabsf(x[j]) > peak ? fabsf(x[j]) : peak;
    return peak < FLT_MAX ? peak : FLT_MAX;
}

/* floor(log2(v)) of a v > 0, for a log2 that is rounded to float first: it reaches the next integer
 * when v is within `slack` parts in 2^24 below that power of two. */
static int rounded_log2_floor(float v)
{
    static const int slack[8] = {0, 1, 2, 5, 11, 22, 44, 88}; /* 2^k * ln 2, cut */
    int exponent, k = 0;
    float below = (1.0f - frexpf(v, &exponent)) * 0x1p24f;
    int size = exponent < 0 ? -exponent : exponent;
    while (k < 7 && size >> (k + 1) != 0)
        k++;
    if (exponent > 0 && size == 1 << k) /* floats are twice as dense below a power of two */
        k = k > 0 ? k - 1 : 0;
    return size != 0 && below <= (float)slack[k] ? exponent : exponent - 1;
}

static void mxfp4_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_mxfp4 *b = blocks;
    for (size_t i = 0; i < count; i += MX, b++)
        decode_group(b->q, MX, lm_mxfp4_step(b->scale), values + i);
}

/* Of the neighbouring powers of two the one with the least error. */
static uint8_t searched_scale(const float *x, const float *importance, uint8_t scale)
{
    lm_k_source s;
    uint8_t best_scale = scale, codes[MX];
    float best = INFINITY;
    lm_k_prepare(x, importance, MX, 0.0f, &s);
    for (int t = scale - 1; t <= scale + 1 && !s.empty; t++) {
        if (t < 0 || t > 254)
            continue;
        float error = error_of(x, s.w, MX, lm_mxfp4_step((uint8_t)t), codes);
        if (error < best) {
            best = error;
            best_scale = (uint8_t)t;
        }
    }
    return best_scale;
}

static void mxfp4_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_block_mxfp4 *b = blocks;
    for (size_t i = 0; i < count; i += MX, b++) {
        float peak = peak_of(values + i, MX);
        uint8_t codes[MX];
        /* Peaks below 2^-125 wrap round to a large scale, under which all values are 0. */
        b->scale = (uint8_t)(peak > 0.0f ? rounded_log2_floor(peak) - 2 + 127 : 0);
        if (importance != NULL)
            b->scale = searched_scale(values + i, importance + i, b->scale);
        codes_of(values + i, MX, lm_mxfp4_step(b->scale), codes);
        pack(codes, MX, b->q);
    }
}

static void nvfp4_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_nvfp4 *b = blocks;
    for (size_t i = 0; i < count; i += NV, b++)
        for (int g = 0; g < NV / NV_GROUP; g++)
            decode_group(b->q + 8 * g, NV_GROUP, lm_nvfp4_step(b->scale[g]),
                         values + i + NV_GROUP * g);
}

/* The scale with the largest step up to `step`, by bisection: the steps ascend. */
static int scale_near(float step)
{
    int low = 0, high = 0x7e;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (lm_nvfp4_step((uint8_t)middle) <= step)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* The largest value may be cut a little, or be put on the level below the highest, which takes 1.5
 * times the step: 4 or 5 scales further. */
static void nvfp4_group(const float *x, const float *weights, uint8_t *scale, uint8_t *q)
{
    int middle = scale_near(peak_of(x, NV_GROUP) / 12.0f);
    float best = INFINITY;
    uint8_t codes[NV_GROUP];
    *scale = (uint8_t)middle; /* stays when all errors are infinite */
    for (int s = middle < 2 ? 0 : middle - 2; s <= middle + 6 && s <= 0x7e; s++) {
        float step = lm_nvfp4_step((uint8_t)s);
        float error = error_of(x, weights, NV_GROUP, step, codes);
        if (error < best) {
            best = error;
            *scale = (uint8_t)s;
        }
    }
    codes_of(x, NV_GROUP, lm_nvfp4_step(*scale), codes);
    pack(codes, NV_GROUP, q);
}

static void nvfp4_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_block_nvfp4 *b = blocks;
    for (size_t i = 0; i < count; i += NV, b++) {
        lm_k_source s;
        *b = (lm_block_nvfp4){{0}};
        lm_k_prepare(values + i, importance ? importance + i : NULL, NV, 2.0f, &s);
        for (int g = 0; g < NV / NV_GROUP && !s.empty; g++)
            nvfp4_group(values + i + NV_GROUP * g, s.w + NV_GROUP * g, &b->scale[g], b->q + 8 * g);
    }
}

const lm_format lm_formats_fp4[] = {
    {LM_MXFP4, "mxfp4", MX, sizeof(lm_block_mxfp4), mxfp4_decode, mxfp4_encode},
    {LM_NVFP4, "nvfp4", NV, sizeof(lm_block_nvfp4), nvfp4_decode, nvfp4_encode},
    {0},
};
