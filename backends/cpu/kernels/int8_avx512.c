/* int8_avx512.c - the int8 family with AVX-512 VNNI, but for the products of panels: activations
 * are quantised, weights unpacked into panels, and few activation rows multiplied straight from the
 * file. */
#include "backends/cpu/kernels/int8_avx512.h"

#include <float.h>
#include <math.h>

static size_t row_bytes(uint32_t k)
{
    return k / BLOCK * sizeof(act_block);
}

/* --- activations ------------------------------------------------------------------------------ */

static void quantise_block(const float *x, act_block *b)
{
    __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
    __m512i bits = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
                                    _mm512_and_si512(_mm512_castps_si512(high), magnitude));
    uint32_t largest_bits = (uint32_t)_mm512_reduce_max_epi32(bits);
    *b = (act_block){.scale = NAN, .minus = NAN, .minus_half = {NAN, NAN}};
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
        b->half[h] = -128 * total[h];
    }
    b->scale = largest / 127.0f;
    b->minus_half[0] = -(float)total[0] * b->scale;
    b->minus_half[1] = -(float)total[1] * b->scale;
    b->minus = -(float)(total[0] + total[1]) * b->scale;
    b->start = b->half[0] + b->half[1];
}

static void quantise(const float *x, uint32_t k, void *row)
{
    act_block *b = row;
    for (uint32_t i = 0; i < k / BLOCK; i++)
        quantise_block(x + i * BLOCK, &b[i]);
}

/* --- walking through the file ----------------------------------------------------------------- */

/* A format, as a constant that the compiler unfolds. */
typedef struct reader {
    pair_fn pair;
    scales_fn scales;
    uint32_t values, bytes; /* of a block of the file */
    int kind;
} reader;

/* Where sixteen rows are read; rows that are not there repeat the last. */
typedef struct walk {
    const uint8_t *rows[ROWS];
    uint8_t odd[ROWS][80];
} walk;

INLINE void walk_begin(walk *w, const uint8_t *from, size_t stride, uint32_t n_w)
{
    for (uint32_t r = 0; r < ROWS; r++)
        w->rows[r] = from + (r < n_w ? r : n_w - 1) * stride;
}

INLINE void walk_on(walk *w, size_t bytes)
{
    for (uint32_t r = 0; r < ROWS; r++)
        w->rows[r] += bytes;
}

/* A last single block is read from a copy, so that nothing behind the row is. */
INLINE void walk_odd(walk *w, size_t skip, size_t bytes)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        memset(w->odd[r], 0, sizeof w->odd[r]);
        memcpy(w->odd[r], w->rows[r] + skip, bytes);
        w->rows[r] = w->odd[r];
    }
}

/* --- panels ----------------------------------------------------------------------------------- */

/* Turns sixteen registers of sixteen words. */
INLINE void turn(__m512i z[16])
{
    __m512i t[16];
    EACH (i, 8) {
        t[2 * i] = _mm512_unpacklo_epi32(z[2 * i], z[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(z[2 * i], z[2 * i + 1]);
    }
    EACH (i, 4) {
        const __m512i *four = t + 4 * i;
        z[4 * i] = _mm512_unpacklo_epi64(four[0], four[2]);
        z[4 * i + 1] = _mm512_unpackhi_epi64(four[0], four[2]);
        z[4 * i + 2] = _mm512_unpacklo_epi64(four[1], four[3]);
        z[4 * i + 3] = _mm512_unpackhi_epi64(four[1], four[3]);
    }
    EACH (i, 4) {
        t[i] = _mm512_shuffle_i32x4(z[i], z[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(z[i], z[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(z[i + 8], z[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(z[i + 8], z[i + 12], 0xdd);
    }
    EACH (i, 4) {
        z[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        z[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        z[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        z[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

INLINE void store_vectors(const run_scales *s, uint32_t block, int kind, uint8_t *to)
{
    _mm512_storeu_ps(to, s->scale[block]);
    to += LINE;
    for (uint32_t h = 0; h < HALVES(kind); h++)
        _mm512_storeu_ps(to + h * LINE, s->half[block][h]);
    to += HALVES(kind) * LINE;
    for (uint32_t h = 0; h < MINIMA(kind); h++)
        _mm512_storeu_ps(to + h * LINE, s->minimum[block][h]);
}

/* One or two blocks of the panel. */
INLINE void unpack_pair(const reader *f, const walk *w, uint32_t pair, uint32_t blocks,
                        uint8_t *panel)
{
    __m512i z[16];
    EACH (r, ROWS)
        z[r] = f->pair(w->rows[r], pair);
    turn(z);
    EACH (i, 8)
        _mm512_storeu_si512(panel + i * LINE, z[i]);
    if (blocks == 1)
        return;
    EACH (i, 8)
        _mm512_storeu_si512(panel + (LINES(f->kind) + i) * LINE, z[i + 8]);
}

INLINE void unpack_panel(const reader *f, const uint8_t *from, size_t stride, uint32_t n_w,
                         uint32_t k, uint8_t *panel)
{
    size_t block_bytes = LINES(f->kind) * LINE;
    walk w;
    walk_begin(&w, from, stride, n_w);
    for (uint32_t at = 0; at < k / BLOCK; at += RUN, panel += RUN * block_bytes) {
        uint32_t blocks = k / BLOCK - at < RUN ? k / BLOCK - at : RUN;
        run_scales s;
        f->scales(w.rows, blocks, &s);
        for (uint32_t b = 0; b < blocks; b++)
            store_vectors(&s, b, f->kind, panel + b * block_bytes + 8 * LINE);
        for (uint32_t pair = 0; pair < blocks / 2; pair++)
            unpack_pair(f, &w, pair, 2, panel + 2 * pair * block_bytes);
        if (blocks % 2 != 0) {
            walk_odd(&w, (blocks - 1) * f->bytes, f->bytes);
            unpack_pair(f, &w, 0, 1, panel + (blocks - 1) * block_bytes);
        }
        walk_on(&w, RUN * BLOCK / f->values * f->bytes);
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

/* Adds the words of each quarter of sixteen registers: part[q] holds, by register, the sums of
 * quarter q. */
INLINE void add_quarters(const __m512i s[16], __m512i part[4])
{
    __m512i u[4];
    EACH (i, 4) {
        __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(s[4 * i], s[4 * i + 1]),
                                     _mm512_unpackhi_epi32(s[4 * i], s[4 * i + 1]));
        __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(s[4 * i + 2], s[4 * i + 3]),
                                     _mm512_unpackhi_epi32(s[4 * i + 2], s[4 * i + 3]));
        u[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    __m512i even[2] = {_mm512_shuffle_i32x4(u[0], u[1], 0x88),
                       _mm512_shuffle_i32x4(u[2], u[3], 0x88)};
    __m512i odd[2] = {_mm512_shuffle_i32x4(u[0], u[1], 0xdd),
                      _mm512_shuffle_i32x4(u[2], u[3], 0xdd)};
    part[0] = _mm512_shuffle_i32x4(even[0], even[1], 0x88);
    part[2] = _mm512_shuffle_i32x4(even[0], even[1], 0xdd);
    part[1] = _mm512_shuffle_i32x4(odd[0], odd[1], 0x88);
    part[3] = _mm512_shuffle_i32x4(odd[0], odd[1], 0xdd);
}

/* The next block of one activation row, from the sums of its halves. */
INLINE __m512 add_block(const run_scales *s, uint32_t b, const act_block *x, int kind,
                        __m512i first, __m512i second, __m512 acc)
{
    __m512 sum, step = _mm512_mul_ps(s->scale[b], _mm512_set1_ps(x->scale));
    if (HALVES(kind) != 0) {
        first = _mm512_add_epi32(first, _mm512_set1_epi32(x->half[0]));
        second = _mm512_add_epi32(second, _mm512_set1_epi32(x->half[1]));
        /* Below 2^24: exact. */
        sum = _mm512_mul_ps(_mm512_cvtepi32_ps(first), s->half[b][0]);
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(second), s->half[b][1], sum);
    } else {
        first = _mm512_add_epi32(first, _mm512_set1_epi32(x->start));
        sum = _mm512_cvtepi32_ps(_mm512_add_epi32(first, second));
    }
    acc = _mm512_fmadd_ps(sum, step, acc);
    if (kind == LCPU_MINIMA)
        acc = _mm512_fmadd_ps(_mm512_set1_ps(x->minus), s->minimum[b][0], acc);
    for (uint32_t h = 0; kind == LCPU_BOTH && h < 2; h++)
        acc = _mm512_fmadd_ps(_mm512_set1_ps(x->minus_half[h]), s->minimum[b][h], acc);
    return acc;
}

INLINE void direct_pair(const reader *f, const walk *w, const run_scales *s, uint32_t pair,
                        uint32_t at, uint32_t blocks, const act_block *const *x, uint32_t n_x,
                        __m512 acc[DIRECT_MAX])
{
    for (uint32_t i = 0; i < n_x; i++) {
        const act_block *b = x[i] + at;
        __m512i q = blocks == 2 ? join(load32(b[0].q), load32(b[1].q))
                                : _mm512_zextsi256_si512(load32(b[0].q));
        __m512i sum[16], part[4];
        EACH (r, ROWS)
            sum[r] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), f->pair(w->rows[r], pair), q);
        add_quarters(sum, part);
        uint32_t first = at % RUN;
        acc[i] = add_block(s, first, b, f->kind, part[0], part[1], acc[i]);
        if (blocks == 2)
            acc[i] = add_block(s, first + 1, b + 1, f->kind, part[2], part[3], acc[i]);
    }
}

/* Sixteen rows; the same place of the next sixteen is fetched ahead. */
INLINE void direct_rows(const reader *f, const uint8_t *from, size_t stride, uint32_t n_w,
                        const act_block *const *x, uint32_t n_x, uint32_t k, __m512 acc[DIRECT_MAX])
{
    size_t run_bytes = RUN * BLOCK / f->values * f->bytes;
    walk w;
    walk_begin(&w, from, stride, n_w);
    for (uint32_t i = 0; i < n_x; i++)
        acc[i] = _mm512_setzero_ps();
    for (uint32_t at = 0; at < k / BLOCK; at += RUN) {
        uint32_t blocks = k / BLOCK - at < RUN ? k / BLOCK - at : RUN;
        run_scales s;
        for (uint32_t r = 0; r < ROWS; r++)
            for (size_t line = 0; line < run_bytes; line += LINE)
                _mm_prefetch((const char *)w.rows[r] + ROWS * stride + line, _MM_HINT_T0);
        f->scales(w.rows, blocks, &s);
        for (uint32_t pair = 0; pair < blocks / 2; pair++)
            direct_pair(f, &w, &s, pair, at + 2 * pair, 2, x, n_x, acc);
        if (blocks % 2 != 0) {
            walk_odd(&w, (blocks - 1) * f->bytes, f->bytes);
            direct_pair(f, &w, &s, 0, at + blocks - 1, 1, x, n_x, acc);
        }
        walk_on(&w, run_bytes);
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
    static const reader read_##name = {pair_##name, scales_##name, values, sizeof(type), kind};    \
    static void unpack_##name(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k,        \
                              void *panels)                                                        \
    {                                                                                              \
        unpack(&read_##name, from, stride, n_w, k, panels);                                        \
    }                                                                                              \
    static void direct_##name(const uint8_t *from, size_t stride, uint32_t n_w,                    \
                              const void *const *x, uint32_t n_x, uint32_t k, float *const *out,   \
                              size_t at)                                                           \
    {                                                                                              \
        direct(&read_##name, from, stride, n_w, x, n_x, k, out, at);                               \
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
