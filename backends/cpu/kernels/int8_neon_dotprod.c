/* int8_neon_dotprod.c - the int8 family with NEON's dot products of four bytes. Panels are
 * [column / 4][row][4], so that one register of activations serves four products by lane. */
#include <arm_neon.h>
#include <float.h>
#include <math.h>

#include "backends/cpu/kernels/ahead.h"
#include "backends/cpu/kernels/int8_neon.h"

/* --- activations ------------------------------------------------------------------------------ */

static size_t row_bytes(uint32_t k)
{
    return k / BLOCK * sizeof(act_block);
}

static void quantise_block(const float *x, act_block *b)
{
    uint32_t largest_bits = 0;
    for (uint32_t i = 0; i < BLOCK; i++) {
        uint32_t bits = lm_f32_bits(x[i]) & 0x7fffffffu;
        largest_bits = bits > largest_bits ? bits : largest_bits;
    }
    *b = (act_block){.scale = NAN, .minus = {NAN, NAN, NAN}};
    if (largest_bits >= 0x7f800000u)
        return;
    float largest = lm_f32_from_bits(largest_bits);
    float inverse = largest > 0 ? 127.0f / largest : 0;
    inverse = inverse > FLT_MAX ? FLT_MAX : inverse;
    int32_t total[2] = {0, 0};
    for (uint32_t i = 0; i < BLOCK; i++) {
        /* Adding 1.5 * 2^23 rounds to the nearest integer, ties to even. */
        int32_t q = (int32_t)(lm_f32_bits(x[i] * inverse + 12582912.0f) - 0x4b400000u);
        b->q[i] = (int8_t)q;
    }
    for (uint32_t i = 0; i < BLOCK / 2; i++) {
        total[0] += b->q[i];
        total[1] += b->q[i + BLOCK / 2];
    }
    b->scale = largest / 127.0f;
    b->minus[0] = -(float)total[0] * b->scale;
    b->minus[1] = -(float)total[1] * b->scale;
    b->minus[2] = -(float)(total[0] + total[1]) * b->scale;
}

static void quantise(const float *x, uint32_t k, void *row)
{
    act_block *b = row;
    for (uint32_t i = 0; i < k / BLOCK; i++)
        quantise_block(x + i * BLOCK, &b[i]);
}

/* --- panels ----------------------------------------------------------------------------------- */

/* Words of four columns, four rows at a time. */
static inline void store_bytes(int8x16_t q[ROWS][2], int8_t *to)
{
    for (uint32_t h = 0; h < 2; h++) {
        EACH (r, 2) {
            int32x4x4_t words = {
                {vreinterpretq_s32_s8(q[4 * r][h]), vreinterpretq_s32_s8(q[4 * r + 1][h]),
                 vreinterpretq_s32_s8(q[4 * r + 2][h]), vreinterpretq_s32_s8(q[4 * r + 3][h])}};
            int32_t turned[16];
            vst4q_s32(turned, words);
            for (uint32_t i = 0; i < 4; i++)
                memcpy(to + ((4 * h + i) * ROWS + 4 * r) * 4, turned + 4 * i, 16);
        }
    }
}

/* Sixteen columns of a panel with X rows of activations, into sums of four rows each. */
#define COLUMNS(i)                                                                                 \
    do {                                                                                           \
        int8x16_t low = vld1q_s8(w + 4 * ROWS * (i)), high = vld1q_s8(w + 4 * ROWS * (i) + 16);    \
        EACH (r, X) {                                                                              \
            sum[r][0] = vdotq_laneq_s32(sum[r][0], low, x[r], i);                                  \
            sum[r][1] = vdotq_laneq_s32(sum[r][1], high, x[r], i);                                 \
        }                                                                                          \
    } while (0)

INLINE void add_half(const int8_t *w, const int8x16_t *x, uint32_t X, int32x4_t sum[4][2])
{
    COLUMNS(0);
    COLUMNS(1);
    COLUMNS(2);
    COLUMNS(3);
}

INLINE void add_block(const panel_block *w, const act_block *const *x, uint32_t b, uint32_t X,
                      int kind, float32x4_t acc[4][2])
{
    int32x4_t sum[4][2];
    for (uint32_t h = 0; h < 2; h++) {
        int8x16_t q[4];
        EACH (r, X) {
            q[r] = vld1q_s8(x[r][b].q + 16 * h);
            if (h == 0 || kind == LCPU_HALVES)
                sum[r][0] = sum[r][1] = vdupq_n_s32(0);
        }
        add_half(w->q + h * (ROWS * BLOCK / 2), q, X, sum);
        if (h == 0 && kind != LCPU_HALVES)
            continue;
        EACH (r, X)
            EACH (p, 2)
                acc[r][p] =
                    add_products(acc[r][p], sum[r][p],
                                 w->scale[kind == LCPU_HALVES ? h : 0] + 4 * p, x[r][b].scale);
    }
    EACH (r, X)
        EACH (p, 2)
            acc[r][p] = add_minima(acc[r][p], w, &x[r][b], p, kind);
}

INLINE void tile(const tile_of *t, uint32_t X, int kind)
{
    float32x4_t acc[4][2];
    EACH (r, X)
        acc[r][0] = acc[r][1] = vdupq_n_f32(0);
    for (uint32_t b = 0; b < t->blocks; b++)
        add_block(t->panel + b, t->x, b, X, kind, acc);
    EACH (r, X)
        store_rows(t, r, acc[r][0], acc[r][1]);
}

MATMULS

/* --- straight from the file ------------------------------------------------------------------- */

/* Sums of four rows in the lanes of one register. */
INLINE int32x4_t across(const int32x4_t s[4])
{
    return vpaddq_s32(vpaddq_s32(s[0], s[1]), vpaddq_s32(s[2], s[3]));
}

typedef struct four_rows {
    const uint8_t *row[4];
    float scale[16][4], minimum[16][4];
    int8_t kept[4][KEPT];
} four_rows;

/* Group g of a block of four rows with the activations `x`. */
INLINE float32x4_t add_group(const four_rows *f, const uint8_t *const at[4], uint32_t g,
                             bytes_fn read, int kind, const act_block *x, float32x4_t acc)
{
    int8x16_t x0 = vld1q_s8(x->q), x1 = vld1q_s8(x->q + 16);
    int32x4_t first[4], second[4];
    EACH (r, 4) {
        int8x16_t q[2];
        read(at[r], g, f->kept[r], q);
        first[r] = vdotq_s32(vdupq_n_s32(0), q[0], x0);
        second[r] = vdotq_s32(kind == LCPU_HALVES ? vdupq_n_s32(0) : first[r], q[1], x1);
    }
    if (kind == LCPU_HALVES) {
        acc = add_products(acc, across(first), f->scale[2 * g], x->scale);
        return add_products(acc, across(second), f->scale[2 * g + 1], x->scale);
    }
    acc = add_products(acc, across(second), f->scale[g], x->scale);
    if (kind == LCPU_MINIMA)
        acc = vfmaq_n_f32(acc, vld1q_f32(f->minimum[g]), x->minus[2]);
    for (uint32_t h = 0; kind == LCPU_HALF_MINIMA && h < 2; h++)
        acc = vfmaq_n_f32(acc, vld1q_f32(f->minimum[2 * g + h]), x->minus[h]);
    return acc;
}

INLINE float32x4_t multiply_rows(four_rows *f, size_t bytes, uint32_t groups, uint32_t k,
                                 head_fn head, bytes_fn read, int kind, const act_block *x)
{
    float32x4_t acc = vdupq_n_f32(0);
    for (uint32_t i = 0; i < k / BLOCK / groups; i++) {
        const uint8_t *at[4];
        EACH (r, 4) {
            at[r] = f->row[r] + i * bytes;
            head(at[r], &(heads){&f->scale[0][r], &f->minimum[0][r], 4, groups, f->kept[r]});
        }
        for (uint32_t g = 0; g < groups; g++, x++)
            acc = add_group(f, at, g, read, kind, x, acc);
    }
    return acc;
}

#define DIRECT(name, format, values, type, kind)                                                   \
    static void direct_##name(const uint8_t *from, size_t stride, uint32_t n_w,                    \
                              const void *const *x, uint32_t n_x, uint32_t k, float *const *out,   \
                              size_t at, const uint8_t *next)                                      \
    {                                                                                              \
        four_rows f;                                                                               \
        lcpu_ahead to_come = lcpu_ahead_of(next, n_w * stride);                                    \
        for (uint32_t i = 0; i < n_x; i++) {                                                       \
            for (uint32_t o = 0; o < n_w; o += 4) {                                                \
                float all[4];                                                                      \
                lcpu_ahead_fetch(&to_come, 4 * stride);                                            \
                for (uint32_t r = 0; r < 4; r++)                                                   \
                    f.row[r] = from + (o + r < n_w ? o + r : n_w - 1) * stride;                    \
                vst1q_f32(all, multiply_rows(&f, sizeof(type), (values) / BLOCK, k, head_##name,   \
                                             bytes_##name, kind, x[i]));                           \
                memcpy(out[i] + at + o, all, (n_w - o < 4 ? n_w - o : 4) * sizeof all[0]);         \
            }                                                                                      \
        }                                                                                          \
    }

LCPU_INT8_FORMATS(DIRECT)

#define FORMAT(name, format, values, type, kind)                                                   \
    {format, sizeof(panel_block), unpack_##name, matmul_of[kind], direct_##name},

void lcpu_fill_neon_dotprod(lcpu_kernels *k)
{
    const lcpu_int8_format formats[] = {LCPU_INT8_FORMATS(FORMAT)};
    k->int8 = (lcpu_int8){.panel_rows = ROWS,
                          .tile_rows = 4 * ROWS,
                          .direct_max = 1,
                          .act_bytes = sizeof(act_block),
                          .row_bytes = row_bytes,
                          .quantise = quantise,
                          .n_formats = sizeof formats / sizeof formats[0]};
    memcpy(k->int8.formats, formats, sizeof formats);
}
