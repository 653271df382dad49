/* q_fp8.c - decode and encode of E4M3 and F8_E4M3. */
#include "quant/q_fp8.h"

#include "quant/families.h"

#include <math.h>
#include <stdbool.h>

enum { BLOCK = LM_F8_BLOCK, LANES = 16, LEAST = 8, MOST = 14 /* eighths of the top exponent */ };

static void e4m3_decode(const void *blocks, float *values, size_t count)
{
    const uint8_t *q = blocks;
    for (size_t i = 0; i < count; i++)
        values[i] = lm_e4m3_to_f32(q[i]);
}

static void e4m3_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    uint8_t *q = blocks;
    for (size_t i = 0; i < count; i++)
        q[i] = lm_f32_to_e4m3(values[i]);
}

static void f8_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_f8_e4m3 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float d = lm_load_f32(b->d);
        for (int j = 0; j < BLOCK; j++)
            values[i + j] = d * lm_e4m3_to_f32(b->q[j]);
    }
}

/* The values over their largest, which is answered; 0: they are all zeros. NaN counts as 0. */
static float divided(const float *values, float *x)
{
    /* Below the first a scale would lose bits; what is beyond the second is cut. */
    static const float smallest = 0x1p-110f, largest = 0x1p127f;
    float peak = 0.0f;
    for (int j = 0; j < BLOCK; j++)
        peak = fabsf(values[j]) > peak ? fabsf(values[j]) : peak;
    if (peak == 0.0f)
        return 0.0f;
    peak = peak > smallest ? peak : smallest;
    peak = peak < largest ? peak : largest;
    for (int j = 0; j < BLOCK; j++)
        x[j] = values[j] == values[j] ? values[j] / peak : 0.0f;
    return peak;
}

/* The E4M3 number nearest to v of at most 448: v rounded to a multiple of 2^-3 of its power of two,
 * or of 2^-9. */
static inline float nearest(float v)
{
    int32_t power = (int32_t)(lm_f32_bits(v) & 0x7f800000u), least = 0x3c800000 /* 2^-6 */;
    power = power > least ? power : least;
    float large = lm_f32_from_bits(((uint32_t)power + (20u << 23)) | 0x400000u);
    return (v + large) - large;
}

/* When the largest value becomes `peak`. */
static float error_of(const float *x, const float *weights, float peak)
{
    float sums[LANES] = {0}, error = 0.0f;
    for (int j = 0; j < BLOCK; j += LANES)
        for (int l = 0; l < LANES; l++) {
            float v = x[j + l] * peak, e = v - nearest(v);
            sums[l] += weights[j + l] * (e * e);
        }
    for (int l = 0; l < LANES; l++)
        error += sums[l];
    return error / (peak * peak);
}

/* What the largest value becomes: one of the numbers from 256 to 448. So values that came from a
 * block find its scale again, up to its rounding and a power of two. */
static float searched_peak(const float *x, const float *importance)
{
    float weights[BLOCK], best = INFINITY, peak = 32.0f * MOST;
    for (int j = 0; j < BLOCK; j++) {
        float w = importance == NULL ? 1.0f : importance[j];
        weights[j] = w > 0.0f && w < INFINITY ? w : 0.0f;
    }
    for (int eighths = MOST; eighths >= LEAST; eighths--) {
        float error = error_of(x, weights, 32.0f * (float)eighths);
        if (error < best) {
            best = error;
            peak = 32.0f * (float)eighths;
        }
    }
    return peak;
}

static void f8_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_block_f8_e4m3 *b = blocks;
    for (size_t i = 0; i < count; i += BLOCK, b++) {
        float x[BLOCK], largest = divided(values + i, x);
        *b = (lm_block_f8_e4m3){{0}, {0}};
        if (largest == 0.0f)
            continue;
        float peak = searched_peak(x, importance == NULL ? NULL : importance + i);
        lm_store_f32(b->d, largest / peak);
        for (int j = 0; j < BLOCK; j++)
            b->q[j] = lm_f32_to_e4m3(x[j] * peak);
    }
}

const lm_format lm_formats_fp8[] = {
    {LM_F8_E4M3, "f8_e4m3", BLOCK, sizeof(lm_block_f8_e4m3), f8_decode, f8_encode},
    {LM_E4M3, "e4m3", 1, 1, e4m3_decode, e4m3_encode},
    {0},
};
