/* int8_avx512.c - the int8 family with AVX-512 VNNI, but for the products of panels: activations
 * are quantised, weights unpacked into panels, and few activation rows multiplied straight from the
 * file. */
#include "backends/cpu/kernels/int8_avx512_grids.h"

#include <float.h>
#include <math.h>

/* A quarter of the cache's sets more than whole rounds, so that four rows do not fall into the same
 * ones. */
static size_t row_bytes(uint32_t k)
{
    size_t sets = 64, lines = k / BLOCK;
    return ((lines + sets * 3 / 4 - 1) / sets * sets + sets / 4) * LINE;
}

/* --- activations ------------------------------------------------------------------------------ */

static void quantise_block(const float *x, act_block *b)
{
    __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
    __m512i bits = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
                                    _mm512_and_si512(_mm512_castps_si512(high), magnitude));
    uint32_t largest_bits = (uint32_t)_mm512_reduce_max_epi32(bits);
    *b = (act_block){.scale = NAN,
                     .minus = NAN,
                     .half_minus = {NAN, NAN},
                     .start = LIFT_BITS,
                     .half_start = {LIFT_BITS, LIFT_BITS}};
    if (largest_bits >= 0x7f800000u)
        return;
    float largest = lm_f32_from_bits(largest_bits);
    float inverse = largest > 0 ? 127.0f / largest : 0;
    __m512 factor = _mm512_set1_ps(inverse > FLT_MAX ? FLT_MAX : inverse);
    __m512i q[2] = {_mm512_cvtps_epi32(_mm512_mul_ps(low, factor)),
                    _mm512_cvtps_epi32(_mm512_mul_ps(high, factor))};
    int32_t total[2];
    for (int h = 0; h < 2; h++) {
        _mm_store_si128((__m128i *)(void *)(b->q + 16 * h), _mm512_cvtepi32_epi8(q[h]));
        total[h] = _mm512_reduce_add_epi32(q[h]);
        b->half_start[h] = LIFT_BITS - 128 * total[h];
    }
    b->scale = largest / 127.0f;
    b->half_minus[0] = -(float)total[0] * b->scale;
    b->half_minus[1] = -(float)total[1] * b->scale;
    b->minus = -(float)(total[0] + total[1]) * b->scale;
    b->start = LIFT_BITS - 128 * (total[0] + total[1]);
}

static void quantise(const float *x, uint32_t k, void *row)
{
    act_block *b = row;
    for (uint32_t i = 0; i < k / BLOCK; i++)
        quantise_block(x + i * BLOCK, &b[i]);
}

/* --- walking through the file ----------------------------------------------------------------- */

/* Runs that lack rows or blocks are read from a copy, where rows that are not there repeat the
 * last, and nothing behind a row of the file is read. */
typedef struct copy {
    uint8_t rows[ROWS][320];
} copy;

INLINE walk walk_of(const uint8_t *base, size_t stride)
{
    __m512i row = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return (walk){base, stride, _mm512_mullo_epi32(row, set32((uint32_t)stride))};
}

static __attribute__((noinline)) void copy_run(const uint8_t *from, size_t stride, uint32_t n_w,
                                               size_t bytes, copy *to)
{
    memset(to, 0, sizeof *to);
    for (uint32_t r = 0; r < ROWS; r++)
        memcpy(to->rows[r], from + (r < n_w ? r : n_w - 1) * stride, bytes);
}

/* --- panels ----------------------------------------------------------------------------------- */

INLINE void store_vectors(const run *s, uint32_t block, int kind, uint8_t *to)
{
    for (uint32_t h = 0; h < SCALES(kind); h++, to += 2 * LINE) {
        _mm512_storeu_ps(to, s->scale[block][h]);
        _mm512_storeu_ps(to + LINE, _mm512_mul_ps(s->scale[block][h], _mm512_set1_ps(-LIFT)));
    }
    for (uint32_t h = 0; h < MINIMA(kind); h++, to += LINE)
        _mm512_storeu_ps(to, s->minimum[block][h]);
}

/* One or two blocks of the panel. */
INLINE void unpack_pair(const reader *f, const walk *w, uint32_t pair, uint32_t blocks, run *s,
                        uint8_t *panel)
{
    __m512i z[16];
    f->pair(w, pair, s, z);
    EACH (i, 8)
        _mm512_storeu_si512(panel + i * LINE, z[i]);
    if (blocks == 1)
        return;
    EACH (i, 8)
        _mm512_storeu_si512(panel + (LINES(f->kind) + i) * LINE, z[i + 8]);
}

INLINE void unpack_run(const reader *f, const walk *w, uint32_t blocks, uint8_t *panel)
{
    size_t block_bytes = LINES(f->kind) * LINE;
    run s;
    f->run(w, blocks, &s);
    for (uint32_t b = 0; b < blocks; b++)
        store_vectors(&s, b, f->kind, panel + b * block_bytes + 8 * LINE);
    for (uint32_t b = 0; b < blocks; b += 2)
        unpack_pair(f, w, b / 2, blocks - b < 2 ? 1 : 2, &s, panel + b * block_bytes);
}

INLINE void unpack_panel(const reader *f, const uint8_t *from, size_t stride, uint32_t n_w,
                         uint32_t k, uint8_t *panel)
{
    size_t block_bytes = LINES(f->kind) * LINE, run_bytes = RUN * BLOCK / f->values * f->bytes;
    walk w = walk_of(from, stride);
    for (uint32_t at = 0; at < k / BLOCK; at += RUN) {
        uint32_t blocks = k / BLOCK - at < RUN ? k / BLOCK - at : RUN;
        if (blocks == RUN && n_w == ROWS) {
            unpack_run(f, &w, RUN, panel + at * block_bytes);
            w.base += run_bytes;
            continue;
        }
        copy part;
        copy_run(from + at / RUN * run_bytes, stride, n_w, blocks * BLOCK / f->values * f->bytes,
                 &part);
        walk c = walk_of(part.rows[0], sizeof part.rows[0]);
        unpack_run(f, &c, blocks, panel + at * block_bytes);
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
/* What follows is fetched into the second cache in the order of memory, two tiles ahead: few bytes
 * at a time, for a burst would hold up the loads of what is needed now. */
INLINE void fetch(const uint8_t *from, size_t bytes)
{
    for (size_t line = 0; line < bytes; line += LINE)
        _mm_prefetch((const char *)from + line, _MM_HINT_T1);
}

INLINE __m512 activation(float value)
{
    return _mm512_set1_ps(value);
}

/* Adds `count` groups of four columns, from `at` on, that share a scale. */
INLINE __m512 add_columns(const __m512i *z, const act_block *x, uint32_t at, uint32_t count,
                          int32_t start, __m512 scale, __m512 acc)
{
    __m512i sum = _mm512_set1_epi32(start);
    EACH (i, count) {
        int32_t four;
        memcpy(&four, x->q + 4 * (at + i), sizeof four);
        sum = _mm512_dpbusd_epi32(sum, z[at + i], _mm512_set1_epi32(four));
    }
    __m512 product =
        _mm512_fmadd_ps(_mm512_castsi512_ps(sum), scale, _mm512_mul_ps(scale, activation(-LIFT)));
    return _mm512_fmadd_ps(product, activation(x->scale), acc);
}

/* The next block of one activation row. */
INLINE __m512 add_block(const __m512i *z, const run *s, uint32_t b, const act_block *x, int kind,
                        __m512 acc)
{
    if (kind == LCPU_HALVES) {
        acc = add_columns(z, x, 0, 4, x->half_start[0], s->scale[b][0], acc);
        return add_columns(z, x, 4, 4, x->half_start[1], s->scale[b][1], acc);
    }
    acc = add_columns(z, x, 0, 8, x->start, s->scale[b][0], acc);
    if (kind == LCPU_MINIMA)
        acc = _mm512_fmadd_ps(activation(x->minus), s->minimum[b][0], acc);
    for (uint32_t h = 0; kind == LCPU_HALF_MINIMA && h < 2; h++)
        acc = _mm512_fmadd_ps(activation(x->half_minus[h]), s->minimum[b][h], acc);
    return acc;
}

INLINE void direct_run(const reader *f, const walk *w, uint32_t at, uint32_t blocks,
                       const act_block *const *x, uint32_t n_x, const uint8_t *ahead,
                       size_t ahead_bytes, __m512 acc[DIRECT_MAX])
{
    run s;
    f->run(w, blocks, &s);
    for (uint32_t b = 0; b < blocks; b += 2) {
        __m512i z[16];
        fetch(ahead + b / 2 * ahead_bytes, ahead_bytes);
        f->pair(w, b / 2, &s, z);
        _Pragma("GCC unroll 1") for (uint32_t i = 0; i < n_x; i++)
        {
            acc[i] = add_block(z, &s, b, x[i] + at + b, f->kind, acc[i]);
            if (b + 1 < blocks)
                acc[i] = add_block(z + 8, &s, b + 1, x[i] + at + b + 1, f->kind, acc[i]);
        }
    }
}

/* Sixteen rows. */
INLINE void direct_rows(const reader *f, const uint8_t *from, size_t stride, uint32_t n_w,
                        const act_block *const *x, uint32_t n_x, uint32_t k, __m512 acc[DIRECT_MAX])
{
    size_t run_bytes = RUN * BLOCK / f->values * f->bytes;
    walk w = walk_of(from, stride);
    for (uint32_t i = 0; i < n_x; i++)
        acc[i] = _mm512_setzero_ps();
    for (uint32_t at = 0; at < k / BLOCK; at += RUN) {
        uint32_t blocks = k / BLOCK - at < RUN ? k / BLOCK - at : RUN;
        if (blocks == RUN && n_w == ROWS) {
            direct_run(f, &w, at, RUN, x, n_x,
                       from + 2 * ROWS * stride + (size_t)at / RUN * ROWS * run_bytes,
                       ROWS * run_bytes / 4, acc);
            w.base += run_bytes;
            continue;
        }
        copy part;
        copy_run(from + at / RUN * run_bytes, stride, n_w, blocks * BLOCK / f->values * f->bytes,
                 &part);
        walk c = walk_of(part.rows[0], sizeof part.rows[0]);
        direct_run(f, &c, at, blocks, x, n_x, from, 0, acc);
    }
}

INLINE void direct(const reader *f, const uint8_t *from, size_t stride, uint32_t n_w,
                   const void *const *x, uint32_t n_x, uint32_t k, float *const *out, size_t at)
{
    const act_block *rows[DIRECT_MAX];
    for (uint32_t i = 0; i < n_x; i++)
        rows[i] = x[i];
    for (uint32_t o = 0; o < n_w; o += ROWS) {
        uint32_t count = n_w - o < ROWS ? n_w - o : ROWS;
        __m512 acc[DIRECT_MAX];
        direct_rows(f, from + o * stride, stride, count, rows, n_x, k, acc);
        for (uint32_t i = 0; i < n_x; i++)
            _mm512_mask_storeu_ps(out[i] + at + o, (__mmask16)((1u << count) - 1), acc[i]);
    }
}

/* --- the table -------------------------------------------------------------------------------- */

#define KERNELS(name, format, values, type, kind)                                                  \
    static const reader reader_##name = {read_##name##_run, read_##name, values, sizeof(type),     \
                                         kind};                                                    \
    static void unpack_##name(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k,        \
                              void *panels)                                                        \
    {                                                                                              \
        unpack(&reader_##name, from, stride, n_w, k, panels);                                      \
    }                                                                                              \
    static void direct_##name(const uint8_t *from, size_t stride, uint32_t n_w,                    \
                              const void *const *x, uint32_t n_x, uint32_t k, float *const *out,   \
                              size_t at)                                                           \
    {                                                                                              \
        direct(&reader_##name, from, stride, n_w, x, n_x, k, out, at);                             \
    }

LCPU_INT8_FORMATS(KERNELS)

#define ADD(name, format, values, type, kind)                                                      \
    k->int8.formats[k->int8.n_formats++] = (lcpu_int8_format){                                     \
        format, LINES(kind) * LINE, unpack_##name, lcpu_avx512_panels[kind], direct_##name};

void lcpu_fill_avx512_vnni(lcpu_kernels *k)
{
    k->int8 = (lcpu_int8){.panel_rows = ROWS,
                          .tile_rows = 3 * ROWS,
                          .direct_max = DIRECT_MAX,
                          .row_bytes = row_bytes,
                          .quantise = quantise};
    LCPU_INT8_FORMATS(ADD)
}
