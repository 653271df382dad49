/* int8_x86 - what the x86 sets of the int8 family share: the layout of activations and panels, and
 * what reading the file needs. Included behind the registers of a set (int8_vec256.h, int8_vec512.h);
 * lanes are rows of weights everywhere. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_X86_H
#define LM_BACKENDS_CPU_KERNELS_INT8_X86_H

#include "backends/cpu/kernels/int8_rows.h"
#include "backends/cpu/kernels/kernels.h"

#include <float.h>

#define RUN   8u /* blocks read at a time: one block of the K formats */
#define BLOCK LCPU_BLOCK

/* --- activations ------------------------------------------------------------------------------ */

/* 32 of them. */
typedef struct act_block {
    int8_t q[BLOCK];
    float scale;
    float minus;     /* -(sum of q) * scale */
    int32_t whole;   /* what a set wants of the sum of q, */
    int32_t half[2]; /* and of the sums of each sixteen */
    float half_minus[2];
    int16_t four[2]; /* four times the sums of each sixteen */
} act_block;
_Static_assert(sizeof(act_block) == 64, "one line of the cache");

/* A quarter of the cache's sets more than whole rounds, so that four rows do not fall into the same
 * ones. */
static inline size_t act_row_bytes(uint32_t k)
{
    size_t sets = 64, lines = k / BLOCK;
    return ((lines + sets * 3 / 4 - 1) / sets * sets + sets / 4) * sizeof(act_block);
}

/* What the set wants of a sum of q. */
INLINE int32_t of_sum(int32_t sum);

static inline void quantise_block(const float *x, act_block *b)
{
    uint32_t largest_bits = 0;
    for (uint32_t i = 0; i < BLOCK; i++) {
        uint32_t bits = lm_f32_bits(x[i]) & 0x7fffffffu;
        largest_bits = bits > largest_bits ? bits : largest_bits;
    }
    *b = (act_block){.scale = NAN,
                     .minus = NAN,
                     .half_minus = {NAN, NAN},
                     .whole = of_sum(0),
                     .half = {of_sum(0), of_sum(0)}};
    if (largest_bits >= 0x7f800000u)
        return;
    float largest = lm_f32_from_bits(largest_bits);
    float inverse = largest > 0 ? 127.0f / largest : 0;
    inverse = inverse > FLT_MAX ? FLT_MAX : inverse;
    int32_t sum[2] = {0, 0}, q[BLOCK];
    /* Adding 1.5 * 2^23 rounds to the nearest integer, ties to even. */
    for (uint32_t i = 0; i < BLOCK; i++)
        q[i] = (int32_t)(lm_f32_bits(x[i] * inverse + 12582912.0f) - 0x4b400000u);
    for (uint32_t i = 0; i < BLOCK / 2; i++) {
        sum[0] += q[i];
        sum[1] += q[i + BLOCK / 2];
    }
    for (uint32_t i = 0; i < BLOCK; i++)
        b->q[i] = (int8_t)q[i];
    b->scale = largest / 127.0f;
    b->whole = of_sum(sum[0] + sum[1]);
    b->minus = -(float)(sum[0] + sum[1]) * b->scale;
    for (uint32_t h = 0; h < 2; h++) {
        b->half[h] = of_sum(sum[h]);
        b->half_minus[h] = -(float)sum[h] * b->scale;
        b->four[h] = (int16_t)(4 * sum[h]);
    }
}

static inline void quantise(const float *x, uint32_t k, void *row)
{
    act_block *b = row;
    for (uint32_t i = 0; i < k / BLOCK; i++)
        quantise_block(x + i * BLOCK, &b[i]);
}

INLINE vec four_of(const act_block *x, uint32_t i)
{
    int32_t four;
    memcpy(&four, x->q + 4 * i, sizeof four);
    return v_set32((uint32_t)four);
}

/* --- panels ----------------------------------------------------------------------------------- */

/* A panel is, block after block of columns, the bytes [8][ROWS][4] and then the vectors of its kind:
 * each scale (with SCALE_VECTORS of the set), then minima. In registers: */
#define LINE         (4u * ROWS)
#define SCALES(kind) ((kind) == LCPU_HALVES ? 2u : 1u)
#define MINIMA(kind) ((kind) == LCPU_MINIMA ? 1u : (kind) == LCPU_HALF_MINIMA ? 2u : 0u)
#define LINES(kind)  (8u + SCALE_VECTORS * SCALES(kind) + MINIMA(kind))

/* Sums of up to so many panels and activation rows at once. */
#define MOST_P 3
#define MOST_X 4

/* --- reading the file ------------------------------------------------------------------------- */

/* Eight blocks of ROWS rows: what they have beside bytes, and what their reader keeps. */
typedef struct run {
    vecf scale[RUN][2];
    vecf minimum[RUN][2];
    vec kept[48];
} run;

/* For each format `read_<name>_run` reads the scales of `blocks` blocks, and `read_<name>` two
 * neighbouring blocks, four columns in each of sixteen registers: as bytes w + 128 when `raised`,
 * else as the file has them, see OFFSET_<name>. */
typedef void (*run_fn)(const walk *w, uint32_t blocks, run *s);
typedef void (*pair_fn)(const walk *w, uint32_t pair, run *s, bool raised, vec z[16]);

/* A format, as a constant that the compiler unfolds. */
typedef struct reader {
    run_fn run;
    pair_fn pair;
    uint32_t values, bytes; /* of a block of the file */
    int kind;
    int offset; /* of bytes that are not raised; -1: they have signs */
    int most;   /* their largest magnitude */
} reader;

/* Bits 4i to 4i + 3 of each word, for the four bytes there. */
INLINE byte_mask bits_of(vec words, uint32_t i)
{
    __m128i from = _mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
    from = _mm_add_epi8(from, _mm_set1_epi8((char)(i / 2)));
    return v_test(v_shuffle(words, from), v_set32(i % 2 == 0 ? 0x08040201u : 0x80402010u));
}

INLINE vecf f_high_halves(vec words)
{
    return f_low_halves(v_down(words, 16));
}

INLINE vecf f_negative(vecf x)
{
    return f_bits(v_xor(v_bits(x), v_set32(0x80000000u)));
}

/* `count` bits of each word from bit `at` on, as floats times a factor. */
INLINE vecf bits_times(vec words, uint32_t at, uint32_t count, vecf factor)
{
    return f_mul(f_from(v_and(v_down(words, at), v_set32((1u << count) - 1))), factor);
}

/* (2 * step + 1) times a factor, the step being `count` bits from bit `at` on. */
INLINE vecf odd_times(vec words, uint32_t at, uint32_t count, vecf factor)
{
    vec bits = v_and(v_down(words, at), v_set32((1u << count) - 1));
    return f_mul(f_from(v_add32(v_add32(bits, bits), v_set32(1))), factor);
}

/* Signed byte g of sixteen, times a factor. */
INLINE vecf signed_byte_times(const vec words[4], uint32_t g, vecf factor)
{
    return f_mul(f_from(v_top(v_up(words[g / 4], 24 - g % 4 * 8))), factor);
}

INLINE vecf eighth(vecf x)
{
    return f_mul(x, f_set(0.125f));
}

#endif
