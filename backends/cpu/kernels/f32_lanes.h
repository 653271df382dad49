/* f32_lanes - the f32 kernels of the sets with fused multiply-add, written once over a type of sixteen lanes.
 * Whoever includes it defines before: what attn_lanes.h asks for, _load_some, and TILE_W, TILE_X, TURN_P and
 * TURN_X (see f32_turned.h), the sizes of tiles of products that its registers hold. */
#ifndef LM_BACKENDS_CPU_KERNELS_F32_LANES_H
#define LM_BACKENDS_CPU_KERNELS_F32_LANES_H

#include "backends/cpu/kernels/ahead.h"
#include "backends/cpu/kernels/attn_lanes.h"
#include "backends/cpu/kernels/f32_turned.h"
#include "backends/cpu/kernels/values.h"
#include "quant/q_fp8.h"

/* --- products --------------------------------------------------------------------------------- */

#define FEW_ROWS 6u /* of activations: more are worth decoding for */

typedef struct tile_of {
    const uint8_t *w;
    size_t stride; /* bytes */
    const float *const *x;
    uint32_t k;
    float *const *out;
    size_t at;
    lcpu_ahead *next; /* for one row of activations */
} tile_of;

/* Columns and rows that are multiplied together, so that weights stay in the first cache and what
 * goes with them in the second; sums wait meanwhile. */
#define PART_K 512u
#define PART_W 16u
#define PART_X (4u * TILE_X)

/* W rows of weights by X rows of activations for the columns [from, end); sums come from `sums` but
 * for the first column and go there but for the last. `bytes` is the size of one weight; `scale` gives
 * what a block's weights are multiplied with, or is NULL. */
INLINE void tile(const tile_of *t, uint32_t from, uint32_t end, lanes *sums, uint32_t W, uint32_t X,
                 row_fn load, row_fn scale, uint32_t bytes)
{
    lanes sum[TILE_W][TILE_X], d[TILE_W];
    EACH (o, W) {
        d[o] = lanes_zero();
        EACH (i, X)
            sum[o][i] = from == 0 ? lanes_zero() : sums[o * TILE_X + i];
    }
    uint32_t c = from;
    for (; c + LANES <= end; c += LANES) {
        lanes w[TILE_W];
        if (X == 1)
            lcpu_ahead_fetch(t->next, (size_t)W * LANES * bytes);
        if (scale != NULL && c % LM_F8_BLOCK == 0)
            EACH (o, W)
                d[o] = scale(t->w + o * t->stride, c);
        EACH (o, W) {
            w[o] = load(t->w + o * t->stride, c);
            w[o] = scale != NULL ? lanes_mul(w[o], d[o]) : w[o];
        }
        EACH (i, X) {
            lanes x = lanes_load(t->x[i] + c);
            EACH (o, W)
                sum[o][i] = lanes_mac(w[o], x, sum[o][i]);
        }
    }
    if (c < end) {
        /* Zeros behind the end change no sum. */
        EACH (o, W) {
            uint8_t last[LANES * sizeof(float)] = {0};
            memcpy(last, t->w + o * t->stride + (size_t)c * bytes, (end - c) * (size_t)bytes);
            lanes w = load(last, 0);
            EACH (i, X)
                sum[o][i] = lanes_mac(w, lanes_load_some(t->x[i] + c, end - c), sum[o][i]);
        }
    }
    if (end < t->k) {
        EACH (o, W)
            EACH (i, X)
                sums[o * TILE_X + i] = sum[o][i];
        return;
    }
    EACH (i, X)
        EACH (o, W)
            t->out[i][t->at + o] = lanes_reduce(sum[o][i]);
}

INLINE void row_tile(const tile_of *t, uint32_t from, uint32_t end, lanes *sums, uint32_t X,
                     row_fn load, row_fn scale, uint32_t bytes){
#define ROWS(X) tile(t, from, end, sums, TILE_W, X, load, scale, bytes)
    SOME_OF(X, TILE_X, ROWS)
#undef ROWS
}

/* At most PART_W rows by PART_X. */
INLINE void multiply_part(const tile_of *all, uint32_t n_w, uint32_t n_x, row_fn load, row_fn scale,
                          uint32_t bytes)
{
    lanes sums[PART_W * PART_X];
    uint32_t step = n_x <= TILE_X ? all->k : PART_K, from = 0;
    do {
        uint32_t end = all->k - from < step ? all->k : from + step;
        for (uint32_t i = 0; i < n_x; i += TILE_X) {
            tile_of t = *all;
            uint32_t rows = n_x - i < TILE_X ? n_x - i : TILE_X, o = 0;
            t.x += i;
            t.out += i;
            for (; o + TILE_W <= n_w; o += TILE_W) {
                row_tile(&t, from, end, sums + (size_t)i * PART_W + (size_t)o * TILE_X, rows, load,
                         scale, bytes);
                t.w += TILE_W * t.stride;
                t.at += TILE_W;
            }
            for (; o < n_w; o++) {
                for (uint32_t r = 0; r < rows; r++) {
                    tile_of one = t;
                    one.x += r;
                    one.out += r;
                    tile(&one, from, end, sums + (size_t)i * PART_W + (size_t)o * TILE_X + r, 1, 1,
                         load, scale, bytes);
                }
                t.w += t.stride;
                t.at++;
            }
        }
        from = end;
    } while (from < all->k);
}

INLINE void matmul(const tile_of *all, uint32_t n_w, uint32_t n_x, row_fn load, row_fn scale,
                   uint32_t bytes)
{
    for (uint32_t i = 0; i < n_x; i += PART_X)
        for (uint32_t o = 0; o < n_w; o += PART_W) {
            tile_of t = *all;
            t.x += i;
            t.out += i;
            t.w += o * t.stride;
            t.at += o;
            multiply_part(&t, n_w - o < PART_W ? n_w - o : PART_W,
                          n_x - i < PART_X ? n_x - i : PART_X, load, scale, bytes);
        }
}

/* Of F8_E4M3, whose rows are whole blocks: the numbers of four bytes before each 128. */
INLINE lanes row_f8_e4m3(const uint8_t *row, uint32_t column)
{
    return lanes_load_e4m3(row + column + (column / LM_F8_BLOCK + 1) * 4);
}

INLINE lanes scale_f8_e4m3(const uint8_t *row, uint32_t column)
{
    const lm_block_f8_e4m3 *b = (const lm_block_f8_e4m3 *)(const void *)row + column / LM_F8_BLOCK;
    return lanes_set(lm_load_f32(b->d));
}

static void f32_matmul(const float *w, size_t stride, uint32_t n_w, const float *const *x,
                       uint32_t n_x, uint32_t k, float *const *out, size_t at)
{
    lcpu_ahead none = lcpu_ahead_of(NULL, 0);
    tile_of t = {(const uint8_t *)w, stride * sizeof *w, x, k, out, at, &none};
    matmul(&t, n_w, n_x, row_f32, NULL, sizeof(float));
}

#define IN_PLACE(name, scale, bytes)                                                               \
    static void name##_matmul(const uint8_t *w, size_t stride, uint32_t n_w,                       \
                              const float *const *x, uint32_t n_x, uint32_t k, float *const *out,  \
                              size_t at, const uint8_t *next)                                      \
    {                                                                                              \
        lcpu_ahead to_come = lcpu_ahead_of(next, n_w * stride);                                    \
        tile_of t = {w, stride, x, k, out, at, &to_come};                                          \
        matmul(&t, n_w, n_x, row_##name, scale, bytes);                                            \
    }

IN_PLACE(f16, NULL, 2)
IN_PLACE(bf16, NULL, 2)
IN_PLACE(f8_e4m3, scale_f8_e4m3, 1)

/* --- conversions and sums --------------------------------------------------------------------- */

INLINE void decode(const uint8_t *from, float *to, size_t count, row_fn load, size_t bytes)
{
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        lanes_store(to + i, load(from + bytes * i, 0));
    if (i < count) {
        uint8_t last[2 * LANES] = {0};
        float values[LANES];
        memcpy(last, from + bytes * i, bytes * (count - i));
        lanes_store(values, load(last, 0));
        memcpy(to + i, values, (count - i) * sizeof *to);
    }
}

static void f16_decode(const void *from, float *to, size_t count)
{
    decode(from, to, count, row_f16, 2);
}

static void bf16_decode(const void *from, float *to, size_t count)
{
    decode(from, to, count, row_bf16, 2);
}

static void e4m3_decode(const void *from, float *to, size_t count)
{
    decode(from, to, count, row_e4m3, 1);
}

static void f8_e4m3_decode(const void *from, float *to, size_t count)
{
    for (uint32_t b = 0; b < count; b += LM_F8_BLOCK) {
        lanes d = scale_f8_e4m3(from, b);
        for (uint32_t i = b; i < b + LM_F8_BLOCK; i += LANES)
            lanes_store(to + i, lanes_mul(row_f8_e4m3(from, i), d));
    }
}

static void q8_0_decode(const void *from, float *to, size_t count)
{
    const lm_block_q8_0 *b = from;
    for (size_t i = 0; i < count; i += 32, b++) {
        lanes d = lanes_set_f16(&b->d);
        lanes_store(to + i, lanes_mul(lanes_load_i8(b->q), d));
        lanes_store(to + i + 16, lanes_mul(lanes_load_i8(b->q + 16), d));
    }
}

static float sum(const float *x, uint32_t n)
{
    lanes total = lanes_zero();
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        total = lanes_add(total, lanes_load(x + i));
    if (i < n)
        total = lanes_add(total, lanes_load_some(x + i, n - i));
    return lanes_reduce(total);
}

static float sum_squares(const float *x, float mean, uint32_t n)
{
    lanes total = lanes_zero(), center = lanes_set(mean);
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes d = lanes_sub(lanes_load(x + i), center);
        total = lanes_mac(d, d, total);
    }
    if (i < n) {
        float last[LANES];
        for (uint32_t l = 0; l < LANES; l++)
            last[l] = i + l < n ? x[i + l] : mean;
        lanes d = lanes_sub(lanes_load(last), center);
        total = lanes_mac(d, d, total);
    }
    return lanes_reduce(total);
}

static void fill_f32(lcpu_kernels *k)
{
    k->f16_decode = f16_decode;
    k->bf16_decode = bf16_decode;
    k->q8_0_decode = q8_0_decode;
    k->e4m3_decode = e4m3_decode;
    k->f8_e4m3_decode = f8_e4m3_decode;
    k->f32_matmul = f32_matmul;
    k->f16_matmul = f16_matmul;
    k->bf16_matmul = bf16_matmul;
    k->f8_e4m3_matmul = f8_e4m3_matmul;
    k->f16_most = k->bf16_most = k->f8_e4m3_most = FEW_ROWS;
    k->turned = (lcpu_turned){FEW_ROWS + 1, TURN_P * LANES, turn_row, turn_rows, turned_matmul};
    k->sum = sum;
    k->sum_squares = sum_squares;
    values_fill(k);
    attn_fill(k);
}

#endif
