/* int8_avx2.c - the int8 family with AVX2. Weights are panels of eight rows of 16-bit integers,
 * two columns to a lane, for vpmaddwd: bytes would need a product that saturates. */
#include "backends/cpu/kernels/int8_grids.h"
#include "backends/cpu/kernels/kernels.h"

#include <float.h>
#include <immintrin.h>
#include <math.h>

#define INLINE static inline __attribute__((always_inline))
/* A loop that is written out, so that its arrays become registers. */
#define EACH(i, count) _Pragma("GCC unroll 16") for (uint32_t i = 0; i < (count); i++)

#define BLOCK LCPU_BLOCK
#define ROWS  8u /* of a panel */
#define PAIRS (BLOCK / 2)

/* 32 activations. */
typedef struct act_block {
    int16_t q[BLOCK];
    float scale;
    float minus[3]; /* -(sum of q) * scale, of the halves and of the block */
} act_block;

/* 32 columns of a panel. */
typedef struct panel_block {
    int16_t q[PAIRS][ROWS][2];
    float scale[2][ROWS]; /* the first unless the kind is LCPU_HALVES */
    float minimum[2][ROWS];
} panel_block;

static size_t row_bytes(uint32_t k)
{
    return k / BLOCK * sizeof(act_block);
}

/* --- activations ------------------------------------------------------------------------------ */

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
    int32_t total[2] = {0, 0}, q[BLOCK];
    for (uint32_t i = 0; i < BLOCK; i++) {
        /* Adding 1.5 * 2^23 rounds to the nearest integer, ties to even. */
        q[i] = (int32_t)(lm_f32_bits(x[i] * inverse + 12582912.0f) - 0x4b400000u);
        b->q[i] = (int16_t)q[i];
    }
    for (uint32_t i = 0; i < BLOCK / 2; i++) {
        total[0] += q[i];
        total[1] += q[i + BLOCK / 2];
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

INLINE void turn(__m256i z[8])
{
    __m256i t[8];
    EACH (i, 4) {
        t[2 * i] = _mm256_unpacklo_epi32(z[2 * i], z[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_epi32(z[2 * i], z[2 * i + 1]);
    }
    EACH (i, 2) {
        const __m256i *four = t + 4 * i;
        z[4 * i] = _mm256_unpacklo_epi64(four[0], four[2]);
        z[4 * i + 1] = _mm256_unpackhi_epi64(four[0], four[2]);
        z[4 * i + 2] = _mm256_unpacklo_epi64(four[1], four[3]);
        z[4 * i + 3] = _mm256_unpackhi_epi64(four[1], four[3]);
    }
    EACH (i, 4) {
        t[i] = _mm256_permute2x128_si256(z[i], z[i + 4], 0x20);
        t[i + 4] = _mm256_permute2x128_si256(z[i], z[i + 4], 0x31);
    }
    EACH (i, 8)
        z[i] = t[i];
}

/* Sixteen columns of a block, in 16 bits. */
INLINE __m256i widened(const lcpu_int8_block *b, uint32_t half)
{
    __m128i q = _mm_loadu_si128((const __m128i *)(const void *)(b->q + 16 * half));
    return _mm256_cvtepi8_epi16(q);
}

/* The blocks of eight rows, `apart` from row to row. */
static void store_block(const lcpu_int8_block *b, size_t apart, panel_block *to)
{
    for (uint32_t h = 0; h < 2; h++) {
        __m256i z[ROWS];
        EACH (r, ROWS)
            z[r] = widened(b + r * apart, h);
        turn(z);
        EACH (i, ROWS)
            _mm256_storeu_si256((__m256i *)(void *)to->q[8 * h + i], z[i]);
    }
    for (uint32_t r = 0; r < ROWS; r++) {
        for (uint32_t h = 0; h < 2; h++) {
            to->scale[h][r] = b[r * apart].scale[h];
            to->minimum[h][r] = b[r * apart].minimum[h];
        }
    }
}

#define UNPACK(name, format, values, type, kind)                                                   \
    static void unpack_##name(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k,        \
                              void *panels)                                                        \
    {                                                                                              \
        enum { EACH_ROW = (values) / BLOCK };                                                      \
        panel_block *to = panels;                                                                  \
        for (uint32_t o = 0; o < n_w; o += ROWS) {                                                 \
            for (uint32_t i = 0; i < k / (values); i++) {                                          \
                lcpu_int8_block blocks[ROWS][EACH_ROW];                                            \
                for (uint32_t r = 0; r < ROWS; r++) {                                              \
                    uint32_t row = o + r < n_w ? o + r : n_w - 1;                                  \
                    lcpu_block_##name((const type *)(from + row * stride) + i, blocks[r]);         \
                }                                                                                  \
                for (uint32_t g = 0; g < EACH_ROW; g++)                                            \
                    store_block(&blocks[0][g], EACH_ROW, to++);                                    \
            }                                                                                      \
        }                                                                                          \
    }

LCPU_INT8_FORMATS(UNPACK)

/* --- products --------------------------------------------------------------------------------- */

typedef struct panel_of {
    const panel_block *panel;
    const act_block *const *x;
    uint32_t blocks;
    float *const *out;
    size_t at;
    uint32_t rows; /* that are there */
} panel_of;

/* `pairs` columns from `at` on, which share a scale. */
INLINE void add_columns(const panel_block *w, const act_block *const *x, uint32_t b, uint32_t at,
                        uint32_t pairs, const float *scales, uint32_t X, __m256 acc[4])
{
    __m256i sum[4];
    EACH (r, X)
        sum[r] = _mm256_setzero_si256();
    /* Written out as a whole, gcc would sort the sums anew and run out of registers. */
    _Pragma("GCC unroll 2") for (uint32_t i = at; i < at + pairs; i++)
    {
        __m256i columns = _mm256_loadu_si256((const __m256i *)(const void *)w->q[i]);
        EACH (r, X) {
            int32_t two;
            memcpy(&two, x[r][b].q + 2 * i, sizeof two);
            sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(columns, _mm256_set1_epi32(two)));
        }
    }
    __m256 scale = _mm256_loadu_ps(scales);
    EACH (r, X)
        acc[r] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum[r]), scale),
                                 _mm256_set1_ps(x[r][b].scale), acc[r]);
}

INLINE void add_block(const panel_block *w, const act_block *const *x, uint32_t b, uint32_t X,
                      int kind, __m256 acc[4])
{
    uint32_t parts = kind == LCPU_HALVES ? 2 : 1;
    EACH (h, parts)
        add_columns(w, x, b, h * PAIRS / 2, PAIRS / parts, w->scale[h], X, acc);
    if (kind == LCPU_MINIMA)
        EACH (r, X)
            acc[r] = _mm256_fmadd_ps(_mm256_set1_ps(x[r][b].minus[2]),
                                     _mm256_loadu_ps(w->minimum[0]), acc[r]);
    for (uint32_t h = 0; kind == LCPU_HALF_MINIMA && h < 2; h++)
        EACH (r, X)
            acc[r] = _mm256_fmadd_ps(_mm256_set1_ps(x[r][b].minus[h]),
                                     _mm256_loadu_ps(w->minimum[h]), acc[r]);
}

INLINE void tile(const panel_of *t, uint32_t X, int kind)
{
    __m256 acc[4];
    EACH (r, X)
        acc[r] = _mm256_setzero_ps();
    for (uint32_t b = 0; b < t->blocks; b++)
        add_block(t->panel + b, t->x, b, X, kind, acc);
    EACH (r, X) {
        float all[ROWS];
        _mm256_storeu_ps(all, acc[r]);
        memcpy(t->out[r] + t->at, all, t->rows * sizeof all[0]);
    }
}

INLINE void multiply(const void *panels, uint32_t n_w, const void *const *x, uint32_t n_x,
                     uint32_t k, float *const *out, size_t at, int kind)
{
    for (uint32_t o = 0; o < n_w; o += ROWS) {
        panel_of t = {.panel = (const panel_block *)panels + (size_t)o / ROWS * (k / BLOCK),
                      .x = (const act_block *const *)x,
                      .blocks = k / BLOCK,
                      .out = out,
                      .at = at + o,
                      .rows = n_w - o < ROWS ? n_w - o : ROWS};
        uint32_t i = 0;
        for (; i + 4 <= n_x; i += 4, t.x += 4, t.out += 4)
            tile(&t, 4, kind);
        for (; i < n_x; i++, t.x++, t.out++)
            tile(&t, 1, kind);
    }
}

#define MATMUL(name, kind)                                                                         \
    static void matmul_##name(const void *panels, uint32_t n_w, const void *const *x,              \
                              uint32_t n_x, uint32_t k, float *const *out, size_t at)              \
    {                                                                                              \
        multiply(panels, n_w, x, n_x, k, out, at, kind);                                           \
    }

MATMUL(plain, LCPU_PLAIN)
MATMUL(minima, LCPU_MINIMA)
MATMUL(halves, LCPU_HALVES)
MATMUL(half_minima, LCPU_HALF_MINIMA)

static void (*const matmul_of[])(const void *panels, uint32_t n_w, const void *const *x,
                                 uint32_t n_x, uint32_t k, float *const *out, size_t at) = {
    [LCPU_PLAIN] = matmul_plain,
    [LCPU_MINIMA] = matmul_minima,
    [LCPU_HALVES] = matmul_halves,
    [LCPU_HALF_MINIMA] = matmul_half_minima,
};

#define ADD(name, format, values, type, kind)                                                      \
    k->int8.formats[k->int8.n_formats++] =                                                         \
        (lcpu_int8_format){format, sizeof(panel_block), unpack_##name, matmul_of[kind], NULL};

void lcpu_fill_avx2_int8(lcpu_kernels *k)
{
    k->int8 = (lcpu_int8){
        .panel_rows = ROWS, .tile_rows = 4 * ROWS, .row_bytes = row_bytes, .quantise = quantise};
    LCPU_INT8_FORMATS(ADD)
}
