/* f32_portable.c - conversions and f32 products in plain C, laid out so that compilers vectorise
 * the sixteen lanes. */
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/math.h"
#include "base/bytes.h"

void lcpu_portable_f16_decode(const void *from, float *to, size_t count)
{
    const uint8_t *at = from;
    for (size_t i = 0; i < count; i++) {
        /* The exponent moved by a product: exact, subnormals included. */
        uint32_t h = lm_load_u16(at + 2 * i), magnitude = h & 0x7fffu;
        uint32_t bits = lm_f32_bits(lm_f32_from_bits(magnitude << 13) * 0x1p112f);
        bits = magnitude >= 0x7c00u ? 0x7f800000u | magnitude << 13 : bits;
        to[i] = lm_f32_from_bits(bits | (h & 0x8000u) << 16);
    }
}

void lcpu_portable_bf16_decode(const void *from, float *to, size_t count)
{
    const uint8_t *at = from;
    for (size_t i = 0; i < count; i++)
        to[i] = lm_bf16_to_f32(lm_load_u16(at + 2 * i));
}

/* One weight row against one activation row. */
static float dot(const float *w, const float *x, uint32_t k)
{
    float lane[16] = {0};
    uint32_t i = 0;
    for (; i + 16 <= k; i += 16)
        for (uint32_t l = 0; l < 16; l++)
            lane[l] += w[i + l] * x[i + l];
    for (uint32_t l = 0; i + l < k; l++)
        lane[l] += w[i + l] * x[i + l];
    return lcpu_tree16(lane);
}

/* One weight row against two: each load of a weight serves both. */
static void dot2(const float *w, const float *x, const float *y, uint32_t k, float *out_x,
                 float *out_y)
{
    float lane_x[16] = {0}, lane_y[16] = {0};
    uint32_t i = 0;
    for (; i + 16 <= k; i += 16) {
        for (uint32_t l = 0; l < 16; l++)
            lane_x[l] += w[i + l] * x[i + l];
        for (uint32_t l = 0; l < 16; l++)
            lane_y[l] += w[i + l] * y[i + l];
    }
    for (uint32_t l = 0; i + l < k; l++) {
        lane_x[l] += w[i + l] * x[i + l];
        lane_y[l] += w[i + l] * y[i + l];
    }
    *out_x = lcpu_tree16(lane_x);
    *out_y = lcpu_tree16(lane_y);
}

void lcpu_portable_f32_matmul(const float *w, size_t stride, uint32_t n_w, const float *const *x,
                              uint32_t n_x, uint32_t k, float *const *out, size_t at)
{
    uint32_t i = 0;
    for (; i + 2 <= n_x; i += 2)
        for (uint32_t o = 0; o < n_w; o++)
            dot2(w + o * stride, x[i], x[i + 1], k, &out[i][at + o], &out[i + 1][at + o]);
    for (; i < n_x; i++)
        for (uint32_t o = 0; o < n_w; o++)
            out[i][at + o] = dot(w + o * stride, x[i], k);
}

float lcpu_portable_sum(const float *x, uint32_t n)
{
    float lane[16] = {0};
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (uint32_t l = 0; l < 16; l++)
            lane[l] += x[i + l];
    for (uint32_t l = 0; i + l < n; l++)
        lane[l] += x[i + l];
    return lcpu_tree16(lane);
}

float lcpu_portable_sum_squares(const float *x, float mean, uint32_t n)
{
    float lane[16] = {0};
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (uint32_t l = 0; l < 16; l++)
            lane[l] += (x[i + l] - mean) * (x[i + l] - mean);
    for (uint32_t l = 0; i + l < n; l++)
        lane[l] += (x[i + l] - mean) * (x[i + l] - mean);
    return lcpu_tree16(lane);
}
