/* int8_x86_panels - products of panels: tiles of some panels by some activation rows, sums in
 * registers. Columns are taken in runs that stay in the first cache while all activation rows pass;
 * between runs the sums rest in the output. The set has defined TILE_P and TILE_X, the shape of a
 * tile, SCALE_VECTORS and what is declared here. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_X86_PANELS_H
#define LM_BACKENDS_CPU_KERNELS_INT8_X86_PANELS_H

#include "backends/cpu/kernels/ahead.h"
#include "backends/cpu/kernels/int8_x86.h"

#define RUN_COLUMNS 512u

/* The sums of `count` groups of four columns, from `at` on, of block b of X activation rows and of P
 * panels whose bytes are at `line`, `stride` apart. */
INLINE void sum_columns(const reader *f, const uint8_t *line, size_t stride,
                        const act_block *const *x, uint32_t b, uint32_t at, uint32_t count,
                        uint32_t P, uint32_t X, vec sum[MOST_P][MOST_X]);
/* A sum times a scale; `second` is what a panel holds behind the scale, if anything. */
INLINE vecf scaled(vec sum, vecf scale, vecf second);

/* P panels by X rows over `blocks` blocks. */
typedef struct panels_of {
    const uint8_t *panel;
    size_t stride; /* from panel to panel */
    const act_block *const *x;
    const act_block *const *next; /* as many rows, fetched ahead */
    uint32_t first, blocks;
    float *const *out;
    size_t at;
    uint32_t last;     /* rows that are there in the last panel */
    lcpu_ahead *ahead; /* of other weights */
    size_t share;      /* that is fetched with a block of a tile */
} panels_of;

/* Columns that share the scale in register `scales` of the block. */
INLINE void add_columns(const reader *f, const uint8_t *line, size_t stride,
                        const act_block *const *x, uint32_t b, uint32_t at, uint32_t count,
                        uint32_t scales, uint32_t P, uint32_t X, vecf acc[MOST_P][MOST_X])
{
    vec sum[MOST_P][MOST_X];
    sum_columns(f, line, stride, x, b, at, count, P, X, sum);
    EACH (p, P) {
        const uint8_t *vectors = line + p * stride + scales * LINE;
        vecf scale = f_load(vectors), second = f_load(vectors + (SCALE_VECTORS - 1) * LINE);
        EACH (r, X)
            acc[p][r] = f_mac(scaled(sum[p][r], scale, second), f_set(x[r][b].scale), acc[p][r]);
    }
}

INLINE void add_minima(const reader *f, const uint8_t *line, size_t stride,
                       const act_block *const *x, uint32_t b, uint32_t P, uint32_t X,
                       vecf acc[MOST_P][MOST_X])
{
    for (uint32_t h = 0; h < MINIMA(f->kind); h++)
        EACH (p, P) {
            vecf minimum = f_load(line + p * stride + (8 + SCALE_VECTORS + h) * LINE);
            EACH (r, X) {
                float minus = f->kind == LCPU_MINIMA ? x[r][b].minus : x[r][b].half_minus[h];
                acc[p][r] = f_mac(f_set(minus), minimum, acc[p][r]);
            }
        }
}

INLINE void tile(const reader *f, const panels_of *t, uint32_t P, uint32_t X)
{
    const act_block *x[MOST_X], *next[MOST_X];
    const uint8_t *line = t->panel;
    vecf acc[MOST_P][MOST_X];
    EACH (r, X) {
        x[r] = t->x[r] + t->first;
        next[r] = t->next[r] + t->first;
    }
    EACH (p, P)
        EACH (r, X)
            acc[p][r] = t->first == 0 ? f_set(0)
                                      : f_load_some(t->out[r] + t->at + p * ROWS,
                                                    p + 1 == P ? t->last : ROWS);
    for (uint32_t b = 0; b < t->blocks; b++, line += LINES(f->kind) * LINE) {
        EACH (r, X)
            _mm_prefetch((const char *)(next[r] + b), _MM_HINT_T0);
        if (X == TILE_X)
            lcpu_ahead_fetch(t->ahead, t->share);
        add_columns(f, line, t->stride, x, b, 0, 8 / SCALES(f->kind), 8, P, X, acc);
        if (f->kind == LCPU_HALVES)
            add_columns(f, line, t->stride, x, b, 4, 4, 8 + SCALE_VECTORS, P, X, acc);
        add_minima(f, line, t->stride, x, b, P, X, acc);
    }
    EACH (p, P)
        EACH (r, X)
            f_store_some(t->out[r] + t->at + p * ROWS, p + 1 == P ? t->last : ROWS, acc[p][r]);
}

/* All activation rows against one group of panels. */
INLINE void rows_of(const reader *f, panels_of t, uint32_t n_x, uint32_t P)
{
    uint32_t i = 0;
    for (; i + TILE_X <= n_x; i += TILE_X, t.x += TILE_X, t.out += TILE_X) {
        t.next = i + 2 * TILE_X <= n_x ? t.x + TILE_X : t.x;
        tile(f, &t, P, TILE_X);
    }
    for (; i < n_x; i++, t.x++, t.out++) {
        t.next = t.x;
        tile(f, &t, P, 1);
    }
}

INLINE void multiply(const reader *f, const void *panels, uint32_t n_w, const void *const *x,
                     uint32_t n_x, uint32_t k, float *const *out, size_t at, lcpu_ahead ahead,
                     size_t ahead_bytes)
{
    uint32_t blocks = k / BLOCK, step = RUN_COLUMNS / BLOCK;
    size_t block_bytes = LINES(f->kind) * LINE;
    uint32_t tiles = (n_w + TILE_P * ROWS - 1) / (TILE_P * ROWS) * ((n_x + TILE_X - 1) / TILE_X);
    size_t share = ahead_bytes / ((size_t)tiles * blocks);
    for (uint32_t o = 0; o < n_w;) {
        uint32_t left = (n_w - o + ROWS - 1) / ROWS, P = left < TILE_P ? 1 : TILE_P;
        uint32_t rows = n_w - o < P * ROWS ? n_w - o : P * ROWS;
        panels_of t = {.stride = blocks * block_bytes,
                       .x = (const act_block *const *)x,
                       .out = out,
                       .at = at + o,
                       .ahead = &ahead,
                       .share = share,
                       .last = rows - (P - 1) * ROWS};
        for (; t.first < blocks; t.first += step) {
            t.blocks = blocks - t.first < step ? blocks - t.first : step;
            t.panel = (const uint8_t *)panels + o / ROWS * t.stride + t.first * block_bytes;
            if (P == 1)
                rows_of(f, t, n_x, 1);
            else
                rows_of(f, t, n_x, TILE_P);
        }
        o += P * ROWS;
    }
}

#define MATMUL(name, reader)                                                                       \
    static void matmul_##name(const void *panels, uint32_t n_w, const void *const *x,              \
                              uint32_t n_x, uint32_t k, float *const *out, size_t at,              \
                              const uint8_t *next, size_t next_bytes)                              \
    {                                                                                              \
        multiply(reader, panels, n_w, x, n_x, k, out, at, lcpu_ahead_of(next, next_bytes),         \
                 next_bytes);                                                                      \
    }

/* For sets whose products need no more of a reader than its kind. */
#define MATMUL_OF_KIND(name, of)                                                                   \
    static const reader name = {.kind = (of)};                                                     \
    MATMUL(name, &name)

#endif
