/* amx_bf16_many.c - products of BF16 weights with many rows of activations in matrix registers. Panels are
 * sixteen rows of weights, turned step by step; two of them meet two times sixteen rows of activations, and
 * sums wait in memory while the next columns of these stay in the first cache. */
#include "backends/cpu/kernels/ahead.h"
#include "backends/cpu/kernels/amx_bf16.h"

#include <string.h>

#define ROWS  128u                 /* of weights whose sums are kept meanwhile */
#define X     (2 * SIDE)           /* rows of activations at once */
#define CHUNK 16u                  /* steps of each of them that are taken at once */
#define APART ((CHUNK + 1) * LINE) /* from row to row in a copy */

/* Registers: the sums of two by two, two of activations, two of weights. */
#define SUM_00  0
#define SUM_01  1
#define SUM_10  2
#define SUM_11  3
#define LEFT_0  4
#define LEFT_1  5
#define RIGHT_0 6
#define RIGHT_1 7

/* --- panels ----------------------------------------------------------------------------------- */

/* A step of up to sixteen rows; what is not there is zero. */
static void turn_step(const uint8_t *from, size_t stride, uint32_t rows, __mmask32 there,
                      uint8_t *to)
{
    lanes words[SIDE];
    for (uint32_t i = 0; i < SIDE; i++)
        words[i] = i < rows
                       ? _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(there, from + i * stride))
                       : lanes_zero();
    store_turned(to, words);
}

void lcpu_amx_bf16_unpack(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k,
                          void *panels)
{
    uint8_t *to = panels;
    for (uint32_t row = 0; row < n_w; row += SIDE)
        for (uint32_t c = 0; c < k; c += STEP, to += TILE)
            turn_step(from + row * stride + (size_t)c * 2, stride, n_w - row, there_of(k - c), to);
}

/* --- products --------------------------------------------------------------------------------- */

/* Up to 32 rows of activations over a run of steps, against all panels. */
typedef struct run {
    const uint8_t *x; /* the first row's first step */
    size_t apart;     /* from row to row */
    uint32_t steps, n_x;
    bool first;        /* sums start from zero */
    lcpu_ahead *ahead; /* of other weights */
    size_t share;      /* that is fetched with a step */
} run;

INLINE void multiply_steps(const run *r, const uint8_t *w, size_t stride, uint32_t P, bool two)
{
    const uint8_t *x = r->x;
    for (uint32_t s = 0; s < r->steps; s++, x += LINE, w += TILE) {
        lcpu_ahead_fetch(r->ahead, r->share);
        TILE_LOAD(RIGHT_0, w, LINE);
        TILE_LOAD(LEFT_0, x, r->apart);
        TILE_MAC("tdpbf16ps", SUM_00, LEFT_0, RIGHT_0);
        if (P > 1) {
            TILE_LOAD(RIGHT_1, w + stride, LINE);
            TILE_MAC("tdpbf16ps", SUM_01, LEFT_0, RIGHT_1);
        }
        if (two) {
            TILE_LOAD(LEFT_1, x + SIDE * r->apart, r->apart);
            TILE_MAC("tdpbf16ps", SUM_10, LEFT_1, RIGHT_0);
            if (P > 1)
                TILE_MAC("tdpbf16ps", SUM_11, LEFT_1, RIGHT_1);
        }
    }
}

INLINE void multiply_pair(const run *r, const uint8_t *w, size_t stride, uint8_t *sums, uint32_t P,
                          bool two)
{
    if (r->first) {
        TILE_ZERO(SUM_00);
        TILE_ZERO(SUM_01);
        TILE_ZERO(SUM_10);
        TILE_ZERO(SUM_11);
    } else {
        TILE_LOAD(SUM_00, sums, LINE);
        TILE_LOAD(SUM_01, sums + TILE, LINE);
        TILE_LOAD(SUM_10, sums + 2 * TILE, LINE);
        TILE_LOAD(SUM_11, sums + 3 * TILE, LINE);
    }
    multiply_steps(r, w, stride, P, two);
    TILE_STORE(SUM_00, sums, LINE);
    TILE_STORE(SUM_01, sums + TILE, LINE);
    TILE_STORE(SUM_10, sums + 2 * TILE, LINE);
    TILE_STORE(SUM_11, sums + 3 * TILE, LINE);
}

static void multiply_run(const run *r, const uint8_t *w, size_t stride, uint32_t n_w, uint8_t *sums)
{
    bool two = r->n_x > SIDE;
    for (uint32_t row = 0; row < n_w; row += 2 * SIDE, w += 2 * stride, sums += 4 * TILE) {
        if (n_w - row > SIDE && two)
            multiply_pair(r, w, stride, sums, 2, true);
        else if (n_w - row > SIDE)
            multiply_pair(r, w, stride, sums, 2, false);
        else if (two)
            multiply_pair(r, w, stride, sums, 1, true);
        else
            multiply_pair(r, w, stride, sums, 1, false);
    }
}

/* --- rows of activations ---------------------------------------------------------------------- */

static bool even(const void *const *x, uint32_t count)
{
    const uint8_t *const *rows = (const uint8_t *const *)x;
    for (uint32_t i = 1; i < count; i++)
        if (rows[i] < rows[i - 1] || rows[i] - rows[i - 1] != rows[1] - rows[0])
            return false;
    return count == X;
}

/* Rows at uneven distances, and fewer than there are registers for, are copied; those that are not
 * there are the last one again. */
static void copy_rows(const void *const *x, uint32_t count, size_t at, size_t bytes, uint8_t *to)
{
    for (uint32_t i = 0; i < (count > SIDE ? X : SIDE); i++, to += APART)
        memcpy(to, (const uint8_t *)x[i < count ? i : count - 1] + at, bytes);
}

static void hand_out(const uint8_t *sums, uint32_t n_w, uint32_t n_x, float *const *out, size_t at)
{
    for (uint32_t row = 0; row < n_w; row += SIDE) {
        __mmask16 there = (__mmask16)there_of(n_w - row);
        const uint8_t *pair = sums + (row / X * 4 + row / SIDE % 2) * TILE;
        for (uint32_t i = 0; i < n_x; i++) {
            const uint8_t *from = pair + i / SIDE * 2 * TILE + i % SIDE * LINE;
            _mm512_mask_storeu_ps(out[i] + at + row, there, _mm512_load_ps(from));
        }
    }
}

/* Up to 32 rows of activations against up to 128 of weights. */
static void multiply_rows(const uint8_t *panels, size_t stride, uint32_t n_w, const void *const *x,
                          uint32_t k, float *const *out, size_t at, run r)
{
    _Alignas(64) uint8_t sums[ROWS / SIDE * 2 * TILE], copy[X * APART];
    uint32_t steps = steps_of(k);
    bool in_place = even(x, r.n_x);
    r.apart = in_place ? (size_t)((const uint8_t *)x[1] - (const uint8_t *)x[0]) : APART;
    for (uint32_t s = 0; s < steps; s += CHUNK) {
        size_t from = (size_t)s * LINE;
        r.steps = steps - s < CHUNK ? steps - s : CHUNK;
        r.first = s == 0;
        r.x = in_place ? (const uint8_t *)x[0] + from : copy;
        if (!in_place)
            copy_rows(x, r.n_x, from, (size_t)r.steps * LINE, copy);
        multiply_run(&r, panels + (size_t)s * TILE, stride, n_w, sums);
    }
    hand_out(sums, n_w, r.n_x, out, at);
}

void lcpu_amx_bf16_many(const void *panels, uint32_t n_w, const void *const *x, uint32_t n_x,
                        uint32_t k, float *const *out, size_t at, const uint8_t *next,
                        size_t next_bytes)
{
    const uint8_t *first = panels;
    size_t turns = (size_t)((n_x + X - 1) / X) * ((n_w + X - 1) / X) * steps_of(k);
    size_t stride = (size_t)steps_of(k) * TILE;
    lcpu_ahead ahead = lcpu_ahead_of(next, next_bytes);
    tiles_begin_whole();
    for (uint32_t row = 0; row < n_w; row += ROWS)
        for (uint32_t i = 0; i < n_x; i += X) {
            run r = {
                .n_x = n_x - i < X ? n_x - i : X, .ahead = &ahead, .share = next_bytes / turns};
            multiply_rows(first + row / SIDE * stride, stride, n_w - row < ROWS ? n_w - row : ROWS,
                          x + i, k, out + i, at + row, r);
        }
    tiles_end();
}
