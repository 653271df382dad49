/* f32_portable.c - conversions and f32 products for any processor, and the portable set's table. */
#include "backends/cpu/kernels/values.h"
#include "backends/cpu/kernels/vec.h"
#include "quant/q_fp8.h"
#include "quant/quant.h"

/* --- conversions ------------------------------------------------------------------------------ */

static lcpu_v4 f16_four(lcpu_u4 h)
{
    /* The exponent moved by a product: exact, subnormals included. */
    lcpu_u4 magnitude = h & 0x7fffu, sign = (h & 0x8000u) << 16;
    lcpu_v4 value = (lcpu_v4)(magnitude << 13) * 0x1p112f;
    lcpu_u4 wrong = (lcpu_u4)(magnitude > 0x7bffu) & 0x7f800000u; /* infinity or NaN */
    return (lcpu_v4)((lcpu_u4)value | wrong | sign);
}

static lcpu_v4 bf16_four(lcpu_u4 h)
{
    return (lcpu_v4)(h << 16);
}

static inline lcpu_u4 load_halves(const uint8_t *from)
{
    lcpu_h4 h;
    memcpy(&h, from, sizeof h);
    return __builtin_convertvector(h, lcpu_u4);
}

#define CONVERT(name, four)                                                                        \
    void name(const void *from, float *to, size_t count)                                           \
    {                                                                                              \
        const uint8_t *at = from;                                                                  \
        size_t i = 0;                                                                              \
        for (; i + 4 <= count; i += 4) {                                                           \
            lcpu_v4 v = four(load_halves(at + 2 * i));                                             \
            memcpy(to + i, &v, sizeof v);                                                          \
        }                                                                                          \
        if (i < count) {                                                                           \
            uint8_t last[8] = {0};                                                                 \
            memcpy(last, at + 2 * i, 2 * (count - i));                                             \
            lcpu_v4 v = four(load_halves(last));                                                   \
            memcpy(to + i, &v, (count - i) * sizeof *to);                                          \
        }                                                                                          \
    }

CONVERT(lcpu_portable_f16_decode, f16_four)
CONVERT(lcpu_portable_bf16_decode, bf16_four)

void lcpu_portable_e4m3_decode(const void *from, float *to, size_t count)
{
    const uint8_t *at = from;
    for (size_t i = 0; i < count; i++) {
        uint32_t magnitude = at[i] & 0x7fu, sign = (uint32_t)(at[i] & 0x80u) << 24, bits;
        float value = (float)(int32_t)magnitude * 0x1p-9f;
        memcpy(&bits, &value, sizeof bits);
        bits = magnitude < 8 ? bits : (magnitude << 20) + 0x3c000000u;
        bits = (magnitude == 0x7fu ? 0x7fc00000u : bits) | sign;
        memcpy(to + i, &bits, sizeof bits);
    }
}

static void f8_e4m3_decode(const void *from, float *to, size_t count)
{
    const lm_block_f8_e4m3 *b = from;
    for (size_t i = 0; i < count; i += LM_F8_BLOCK, b++) {
        float d = lm_load_f32(b->d);
        lcpu_portable_e4m3_decode(b->q, to + i, LM_F8_BLOCK);
        for (int j = 0; j < LM_F8_BLOCK; j++)
            to[i + j] *= d;
    }
}

/* --- products --------------------------------------------------------------------------------- */

/* One weight row against one activation row. */
static float dot(const float *w, const float *x, uint32_t k)
{
    lcpu_lanes sum = {0};
    uint32_t i = 0;
    for (; i + LCPU_LANES <= k; i += LCPU_LANES)
        sum = lcpu_mac16(sum, lcpu_load16(w + i), lcpu_load16(x + i));
    if (i < k)
        sum = lcpu_mac16(sum, lcpu_load_some(w + i, k - i), lcpu_load_some(x + i, k - i));
    return lcpu_reduce16(sum);
}

/* One weight row against two: each load of a weight serves both. */
static void dot2(const float *w, const float *x, const float *y, uint32_t k, float *out_x,
                 float *out_y)
{
    lcpu_lanes sum_x = {0}, sum_y = {0};
    uint32_t i = 0;
    for (; i + LCPU_LANES <= k; i += LCPU_LANES) {
        lcpu_lanes weights = lcpu_load16(w + i);
        sum_x = lcpu_mac16(sum_x, weights, lcpu_load16(x + i));
        sum_y = lcpu_mac16(sum_y, weights, lcpu_load16(y + i));
    }
    if (i < k) {
        lcpu_lanes weights = lcpu_load_some(w + i, k - i);
        sum_x = lcpu_mac16(sum_x, weights, lcpu_load_some(x + i, k - i));
        sum_y = lcpu_mac16(sum_y, weights, lcpu_load_some(y + i, k - i));
    }
    *out_x = lcpu_reduce16(sum_x);
    *out_y = lcpu_reduce16(sum_y);
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

/* --- sums ------------------------------------------------------------------------------------- */

float lcpu_portable_sum(const float *x, uint32_t n)
{
    lcpu_lanes sum = {0}, one = {{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}};
    uint32_t i = 0;
    for (; i + LCPU_LANES <= n; i += LCPU_LANES)
        sum = lcpu_mac16(sum, lcpu_load16(x + i), one);
    if (i < n)
        sum = lcpu_mac16(sum, lcpu_load_some(x + i, n - i), one);
    return lcpu_reduce16(sum);
}

static inline lcpu_lanes less(lcpu_lanes x, float mean)
{
    return (lcpu_lanes){x.a - mean, x.b - mean, x.c - mean, x.d - mean};
}

float lcpu_portable_sum_squares(const float *x, float mean, uint32_t n)
{
    lcpu_lanes sum = {0};
    uint32_t i = 0;
    for (; i + LCPU_LANES <= n; i += LCPU_LANES) {
        lcpu_lanes d = less(lcpu_load16(x + i), mean);
        sum = lcpu_mac16(sum, d, d);
    }
    if (i < n) {
        float last[LCPU_LANES];
        for (uint32_t l = 0; l < LCPU_LANES; l++)
            last[l] = i + l < n ? x[i + l] : mean;
        lcpu_lanes d = less(lcpu_load16(last), mean);
        sum = lcpu_mac16(sum, d, d);
    }
    return lcpu_reduce16(sum);
}

void lcpu_fill_portable(lcpu_kernels *k)
{
    k->f16_decode = lcpu_portable_f16_decode;
    k->bf16_decode = lcpu_portable_bf16_decode;
    k->q8_0_decode = lm_format_by_id(LM_Q8_0)->decode;
    k->e4m3_decode = lcpu_portable_e4m3_decode;
    k->f8_e4m3_decode = f8_e4m3_decode;
    k->f32_matmul = lcpu_portable_f32_matmul;
    k->sum = lcpu_portable_sum;
    k->sum_squares = lcpu_portable_sum_squares;
    values_fill(k);
    lcpu_fill_portable_attn(k);
    lcpu_fill_portable_int8(k);
    lcpu_fill_portable_state(k);
}
