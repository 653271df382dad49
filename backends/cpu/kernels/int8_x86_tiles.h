/* int8_x86_tiles - a set's ways through the file: unpacking into panels, and few activation rows
 * straight from it. The set has defined RAISED, SCALE_VECTORS and what is declared here. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_X86_TILES_H
#define LM_BACKENDS_CPU_KERNELS_INT8_X86_TILES_H

#include "backends/cpu/kernels/ahead.h"
#include "backends/cpu/kernels/int8_x86_grids.h"

/* See int8_x86_panels.h. */
INLINE void sum_columns(const reader *f, const uint8_t *line, size_t stride,
                        const act_block *const *x, uint32_t b, uint32_t at, uint32_t count,
                        uint32_t P, uint32_t X, vec sum[MOST_P][MOST_X]);
INLINE vecf scaled(vec sum, vecf scale, vecf second);
/* What panels hold behind a scale when SCALE_VECTORS is 2. */
INLINE vecf second_scale(vecf scale);

/* The sums of sixteen columns, from group `at` of four on, of few bits and without any start; and the
 * sums of two such halves times their factors, in sixteen bits each, as scaled() takes sums. */
INLINE vec half_sum(const vec z[4], const act_block *x, uint32_t at);
INLINE vec factored_sum(vec halves, vec factors);

/* Runs that lack rows or blocks are read from a copy, where rows that are not there repeat the
 * last, and nothing behind a row of the file is read. */
typedef struct copy {
    uint8_t rows[ROWS][320];
} copy;

static __attribute__((noinline)) void copy_run(const uint8_t *from, size_t stride, uint32_t n_w,
                                               size_t bytes, copy *to)
{
    memset(to, 0, sizeof *to);
    for (uint32_t r = 0; r < ROWS; r++)
        memcpy(to->rows[r], from + (r < n_w ? r : n_w - 1) * stride, bytes);
}

INLINE size_t run_bytes(const reader *f, uint32_t blocks)
{
    return (size_t)blocks * BLOCK / f->values * f->bytes;
}

/* --- panels ----------------------------------------------------------------------------------- */

INLINE void store_vectors(const run *s, uint32_t block, int kind, uint8_t *to)
{
    for (uint32_t h = 0; h < SCALES(kind); h++, to += SCALE_VECTORS * LINE) {
        f_store(to, s->scale[block][h]);
        if (SCALE_VECTORS == 2)
            f_store(to + LINE, second_scale(s->scale[block][h]));
    }
    for (uint32_t h = 0; h < MINIMA(kind); h++, to += LINE)
        f_store(to, s->minimum[block][h]);
}

INLINE void unpack_run(const reader *f, const walk *w, uint32_t blocks, uint8_t *panel)
{
    size_t block_bytes = LINES(f->kind) * LINE;
    run s;
    f->run(w, blocks, &s);
    for (uint32_t b = 0; b < blocks; b++)
        store_vectors(&s, b, f->kind, panel + b * block_bytes + 8 * LINE);
    for (uint32_t b = 0; b < blocks; b += 2, panel += 2 * block_bytes) {
        vec z[16];
        f->pair(w, b / 2, &s, RAISED, z);
        EACH (i, 8)
            v_store(panel + i * LINE, z[i]);
        if (b + 1 == blocks)
            break;
        EACH (i, 8)
            v_store(panel + block_bytes + i * LINE, z[i + 8]);
    }
}

INLINE void unpack_panel(const reader *f, const uint8_t *from, size_t stride, uint32_t n_w,
                         uint32_t k, uint8_t *panel)
{
    for (uint32_t at = 0; at < k / BLOCK; at += RUN, from += run_bytes(f, RUN)) {
        uint32_t blocks = k / BLOCK - at < RUN ? k / BLOCK - at : RUN;
        uint8_t *to = panel + (size_t)at * LINES(f->kind) * LINE;
        walk w = walk_of(from, stride);
        if (blocks == RUN && n_w == ROWS) {
            unpack_run(f, &w, RUN, to);
            continue;
        }
        copy part;
        copy_run(from, stride, n_w, run_bytes(f, blocks), &part);
        w = walk_of(part.rows[0], sizeof part.rows[0]);
        unpack_run(f, &w, blocks, to);
    }
}

INLINE void unpack(const reader *f, const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k,
                   uint8_t *panels)
{
    for (uint32_t o = 0; o < n_w; o += ROWS) {
        unpack_panel(f, from + o * stride, stride, n_w - o < ROWS ? n_w - o : ROWS, k, panels);
        panels += (size_t)k / BLOCK * LINES(f->kind) * LINE;
    }
}

/* --- straight from the file ------------------------------------------------------------------- */

#define DIRECT_MAX 4u

/* Columns that share a scale. */
INLINE vecf add_part(const reader *f, const vec *z, const act_block *x, uint32_t at, uint32_t count,
                     vecf scale, vecf acc)
{
    vec sum[MOST_P][MOST_X];
    sum_columns(f, (const uint8_t *)z, 0, &x, 0, at, count, 1, 1, sum);
    return f_mac(scaled(sum[0][0], scale, second_scale(scale)), f_set(x->scale), acc);
}

/* A block whose bytes come without their factors, which then are needed twice and not 32 times; of
 * Q3_K as q, where 4 - q is multiplied. */
INLINE vecf add_factored(const reader *f, const vec *z, vec factors, const act_block *x, vecf scale,
                         vecf acc)
{
    vec second = v_up(half_sum(z + 4, x, 4), 16);
    vec halves = v_and_or(half_sum(z, x, 0), v_set32(0xffff), second);
    if (f->pair == read_q3_k) {
        uint32_t four;
        memcpy(&four, x->four, sizeof four);
        halves = v_sub16(v_set32(four), halves);
    }
    vec sum = factored_sum(halves, factors);
    return f_mac(scaled(sum, scale, second_scale(scale)), f_set(x->scale), acc);
}

/* The next block of one activation row. */
INLINE vecf add_block(const reader *f, const vec *z, const run *s, uint32_t b, const act_block *x,
                      vecf acc)
{
    if (bare_of(f) != NULL)
        acc = add_factored(f, z, factors_of(s, b), x, s->scale[b][0], acc);
    else
        acc = add_part(f, z, x, 0, 8 / SCALES(f->kind), s->scale[b][0], acc);
    if (f->kind == LCPU_HALVES)
        acc = add_part(f, z, x, 4, 4, s->scale[b][1], acc);
    if (f->kind == LCPU_MINIMA)
        acc = f_mac(f_set(x->minus), s->minimum[b][0], acc);
    for (uint32_t h = 0; f->kind == LCPU_HALF_MINIMA && h < 2; h++)
        acc = f_mac(f_set(x->half_minus[h]), s->minimum[b][h], acc);
    return acc;
}

INLINE void direct_run(const reader *f, const walk *w, uint32_t at, uint32_t blocks,
                       const act_block *const *x, uint32_t n_x, lcpu_ahead *next,
                       vecf acc[DIRECT_MAX])
{
    size_t pair_bytes = ROWS * run_bytes(f, RUN) / (RUN / 2);
    run s;
    f->run(w, blocks, &s);
    for (uint32_t b = 0; b < blocks; b += 2) {
        vec z[16];
        lcpu_ahead_fetch(next, pair_bytes);
        if (bare_of(f) != NULL)
            bare_of(f)(w, b / 2, &s, false, z);
        else
            f->pair(w, b / 2, &s, RAISED, z);
        _Pragma("GCC unroll 1") for (uint32_t i = 0; i < n_x; i++)
        {
            acc[i] = add_block(f, z, &s, b, x[i] + at + b, acc[i]);
            if (b + 1 < blocks)
                acc[i] = add_block(f, z + 8, &s, b + 1, x[i] + at + b + 1, acc[i]);
        }
    }
}

/* One tile of rows. */
INLINE void direct_rows(const reader *f, const uint8_t *from, size_t stride, uint32_t n_w,
                        const act_block *const *x, uint32_t n_x, uint32_t k, lcpu_ahead *next,
                        vecf acc[DIRECT_MAX])
{
    for (uint32_t i = 0; i < n_x; i++)
        acc[i] = f_set(0);
    for (uint32_t at = 0; at < k / BLOCK; at += RUN, from += run_bytes(f, RUN)) {
        uint32_t blocks = k / BLOCK - at < RUN ? k / BLOCK - at : RUN;
        walk w = walk_of(from, stride);
        if (blocks == RUN && n_w == ROWS) {
            direct_run(f, &w, at, RUN, x, n_x, next, acc);
            continue;
        }
        copy part;
        copy_run(from, stride, n_w, run_bytes(f, blocks), &part);
        w = walk_of(part.rows[0], sizeof part.rows[0]);
        direct_run(f, &w, at, blocks, x, n_x, next, acc);
    }
}

INLINE void direct(const reader *f, const uint8_t *from, size_t stride, uint32_t n_w,
                   const void *const *x, uint32_t n_x, uint32_t k, float *const *out, size_t at,
                   const uint8_t *next)
{
    lcpu_ahead to_come = lcpu_ahead_of(next, n_w * stride);
    const act_block *rows[DIRECT_MAX];
    for (uint32_t i = 0; i < n_x; i++)
        rows[i] = x[i];
    for (uint32_t o = 0; o < n_w; o += ROWS) {
        uint32_t count = n_w - o < ROWS ? n_w - o : ROWS;
        vecf acc[DIRECT_MAX];
        direct_rows(f, from + o * stride, stride, count, rows, n_x, k, &to_come, acc);
        for (uint32_t i = 0; i < n_x; i++)
            f_store_some(out[i] + at + o, count, acc[i]);
    }
}

/* --- for a table ------------------------------------------------------------------------------ */

#define READER(name, type, values, kind)                                                           \
    static const reader reader_##name = {                                                          \
        read_##name##_run, read_##name, values, sizeof(type), kind, OFFSET_##name, MOST_##name};

#define KERNELS(name, format, values, type, kind)                                                  \
    READER(name, type, values, kind)                                                               \
    static void unpack_##name(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k,        \
                              void *panels)                                                        \
    {                                                                                              \
        unpack(&reader_##name, from, stride, n_w, k, panels);                                      \
    }                                                                                              \
    static void direct_##name(const uint8_t *from, size_t stride, uint32_t n_w,                    \
                              const void *const *x, uint32_t n_x, uint32_t k, float *const *out,   \
                              size_t at, const uint8_t *next)                                      \
    {                                                                                              \
        direct(&reader_##name, from, stride, n_w, x, n_x, k, out, at, next);                       \
    }

#endif
