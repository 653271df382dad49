/* int8_avx512_panels.c - products of panels with AVX-512 VNNI. A tile is up to three panels of
 * sixteen weight rows by four activation rows: twelve registers of whole numbers, twelve of floats.
 * Columns are taken in runs that stay in the first cache while all activation rows pass; between
 * runs the sums rest in the output. */
#include "backends/cpu/kernels/int8_avx512.h"

#define RUN_COLUMNS 512u

/* P panels by X rows over `blocks` blocks. */
typedef struct panels_of {
    const uint8_t *panel;
    size_t stride; /* from panel to panel */
    const act_block *const *x;
    const act_block *const *next; /* as many rows, fetched ahead */
    uint32_t first, blocks;
    float *const *out;
    size_t at;
    __mmask16 last; /* rows that are there in the last panel */
} panels_of;

/* The words of one group of four columns, `i` of 8. */
INLINE void dot4(const uint8_t *const line, size_t stride, const act_block *const *x, uint32_t b,
                 uint32_t i, uint32_t P, uint32_t X, __m512i sum[3][4])
{
    __m512i w[3];
    EACH (p, P)
        w[p] = _mm512_loadu_si512(line + p * stride + i * LINE);
    EACH (r, X) {
        int32_t four;
        memcpy(&four, x[r][b].q + 4 * i, sizeof four);
        __m512i q = _mm512_set1_epi32(four);
        EACH (p, P)
            sum[p][r] = _mm512_dpbusd_epi32(sum[p][r], w[p], q);
    }
}

/* Adds `count` groups of four columns, from `at` on, that share the scale in `scales`. */
INLINE void add_columns(const uint8_t *line, size_t stride, const act_block *const *x, uint32_t b,
                        uint32_t at, uint32_t count, uint32_t scales, uint32_t P, uint32_t X,
                        __m512 acc[3][4])
{
    __m512i sum[3][4];
    EACH (r, X) {
        const act_block *a = &x[r][b];
        EACH (p, P)
            sum[p][r] = _mm512_set1_epi32(count == 8 ? a->start : a->half_start[at / 4]);
    }
    EACH (i, count)
        dot4(line, stride, x, b, at + i, P, X, sum);
    EACH (p, P) {
        const uint8_t *vectors = line + p * stride + scales * LINE;
        __m512 scale = _mm512_loadu_ps(vectors), unlift = _mm512_loadu_ps(vectors + LINE);
        EACH (r, X)
            acc[p][r] =
                _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_castsi512_ps(sum[p][r]), scale, unlift),
                                _mm512_set1_ps(x[r][b].scale), acc[p][r]);
    }
}

INLINE void add_minima(const uint8_t *line, size_t stride, const act_block *const *x, uint32_t b,
                       uint32_t P, uint32_t X, int kind, __m512 acc[3][4])
{
    for (uint32_t h = 0; h < MINIMA(kind); h++)
        EACH (p, P) {
            __m512 minimum = _mm512_loadu_ps(line + p * stride + (10 + h) * LINE);
            EACH (r, X) {
                float minus = kind == LCPU_MINIMA ? x[r][b].minus : x[r][b].half_minus[h];
                acc[p][r] = _mm512_fmadd_ps(_mm512_set1_ps(minus), minimum, acc[p][r]);
            }
        }
}

INLINE void tile(const panels_of *t, uint32_t P, uint32_t X, int kind)
{
    const act_block *x[4], *next[4];
    const uint8_t *line = t->panel;
    __m512 acc[3][4];
    EACH (r, X) {
        x[r] = t->x[r] + t->first;
        next[r] = t->next[r] + t->first;
    }
    EACH (p, P) {
        __mmask16 mask = p + 1 == P ? t->last : 0xffff;
        EACH (r, X)
            acc[p][r] = t->first == 0 ? _mm512_setzero_ps()
                                      : _mm512_maskz_loadu_ps(mask, t->out[r] + t->at + p * ROWS);
    }
    for (uint32_t b = 0; b < t->blocks; b++, line += LINES(kind) * LINE) {
        EACH (r, X)
            _mm_prefetch((const char *)(next[r] + b), _MM_HINT_T0);
        add_columns(line, t->stride, x, b, 0, 8 / SCALES(kind), 8, P, X, acc);
        if (kind == LCPU_HALVES)
            add_columns(line, t->stride, x, b, 4, 4, 10, P, X, acc);
        add_minima(line, t->stride, x, b, P, X, kind, acc);
    }
    EACH (p, P) {
        __mmask16 mask = p + 1 == P ? t->last : 0xffff;
        EACH (r, X)
            _mm512_mask_storeu_ps(t->out[r] + t->at + p * ROWS, mask, acc[p][r]);
    }
}

/* All activation rows against one group of panels. */
INLINE void rows_of(panels_of t, uint32_t n_x, uint32_t P, int kind)
{
    uint32_t i = 0;
    for (; i + 4 <= n_x; i += 4, t.x += 4, t.out += 4) {
        t.next = i + 8 <= n_x ? t.x + 4 : t.x;
        tile(&t, P, 4, kind);
    }
    for (; i < n_x; i++, t.x++, t.out++) {
        t.next = t.x;
        tile(&t, P, 1, kind);
    }
}

/* `most` panels at a time: 3, or 2 where a kind needs more registers. */
INLINE void multiply(const void *panels, uint32_t n_w, const void *const *x, uint32_t n_x,
                     uint32_t k, float *const *out, size_t at, int kind, uint32_t most)
{
    uint32_t blocks = k / BLOCK, step = RUN_COLUMNS / BLOCK;
    for (uint32_t o = 0; o < n_w;) {
        uint32_t left = (n_w - o + ROWS - 1) / ROWS, P = left < most ? 1 : most;
        uint32_t rows = n_w - o < P * ROWS ? n_w - o : P * ROWS;
        panels_of t = {.stride = (size_t)blocks * LINES(kind) * LINE,
                       .x = (const act_block *const *)x,
                       .out = out,
                       .at = at + o,
                       .last = (__mmask16)(0xffffu >> (P * ROWS - rows))};
        for (; t.first < blocks; t.first += step) {
            t.blocks = blocks - t.first < step ? blocks - t.first : step;
            t.panel = (const uint8_t *)panels + o / ROWS * t.stride +
                      (size_t)t.first * LINES(kind) * LINE;
            if (P == 1)
                rows_of(t, n_x, 1, kind);
            else
                rows_of(t, n_x, most, kind);
        }
        o += P * ROWS;
    }
}

#define PANELS(name, kind, most)                                                                   \
    static void panels_##name(const void *panels, uint32_t n_w, const void *const *x,              \
                              uint32_t n_x, uint32_t k, float *const *out, size_t at)              \
    {                                                                                              \
        multiply(panels, n_w, x, n_x, k, out, at, kind, most);                                     \
    }

PANELS(plain, LCPU_PLAIN, 3)
PANELS(minima, LCPU_MINIMA, 3)
PANELS(halves, LCPU_HALVES, 3)
PANELS(half_minima, LCPU_HALF_MINIMA, 3)

const panels_fn lcpu_avx512_panels[4] = {
    [LCPU_PLAIN] = panels_plain,
    [LCPU_MINIMA] = panels_minima,
    [LCPU_HALVES] = panels_halves,
    [LCPU_HALF_MINIMA] = panels_half_minima,
};
