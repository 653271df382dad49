/* int8_avx512 - what the parts of the AVX-512 VNNI set share: the layout of activations and panels,
 * and how sixteen rows of the file are walked. vpdpbusd multiplies unsigned by signed bytes, so
 * weights are kept as w + 128 and sums start at -128 times the sum of the activations. Lanes are
 * weight rows everywhere.
 *
 * Sums start 0x4b400000 higher: as floats they are then 1.5 * 2^23 + s, and one multiply-add takes
 * the place of a conversion and a product, with the same bits: (1.5 * 2^23 + s) * d - 1.5 * 2^23 * d,
 * whose last term is exact because no d has more than 21 significant bits. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_AVX512_H
#define LM_BACKENDS_CPU_KERNELS_INT8_AVX512_H

#include "backends/cpu/kernels/int8_rows.h"
#include "backends/cpu/kernels/kernels.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
/* A loop that is written out, so that its arrays become registers. */
#define EACH(i, count) _Pragma("GCC unroll 16") for (uint32_t i = 0; i < (count); i++)

#define ROWS  16u /* of a panel: the lanes of a register */
#define RUN   8u  /* blocks read at a time: one block of the K formats */
#define BLOCK LCPU_BLOCK

#define LIFT      12582912.0f /* 1.5 * 2^23 */
#define LIFT_BITS 0x4b400000

/* 32 activations. */
typedef struct act_block {
    int8_t q[BLOCK];
    float scale;
    float minus;           /* -(sum of q) * scale */
    int32_t start;         /* LIFT_BITS - 128 * sum of q */
    int32_t half_start[2]; /* the same of each sixteen */
    float half_minus[2];
    int32_t unused;
} act_block;
_Static_assert(sizeof(act_block) == 64, "one line of the cache");

/* A panel is, block after block of columns, the bytes [8][ROWS][4] and then the vectors of its
 * kind: for each scale the scale and -LIFT times it, then minima. In lines of 64 bytes: */
#define LINE         64u
#define SCALES(kind) ((kind) == LCPU_HALVES ? 2u : 1u)
#define MINIMA(kind) ((kind) == LCPU_MINIMA ? 1u : (kind) == LCPU_HALF_MINIMA ? 2u : 0u)
#define LINES(kind)  (8u + 2 * SCALES(kind) + MINIMA(kind))

/* Products of panels by kind; in int8_avx512_panels.c. */
typedef void (*panels_fn)(const void *panels, uint32_t n_w, const void *const *x, uint32_t n_x,
                          uint32_t k, float *const *out, size_t at);
extern const panels_fn lcpu_avx512_panels[4];

/* --- sixteen rows of the file ----------------------------------------------------------------- */

typedef struct walk {
    const uint8_t *base;
    size_t stride;
    __m512i apart; /* r * stride */
} walk;

/* Eight blocks of sixteen rows: what they have beside bytes, and what their reader keeps. */
typedef struct run {
    __m512 scale[RUN][2];
    __m512 minimum[RUN][2];
    __m512i kept[48];
} run;

/* For each format `read_<name>_run` reads the scales of `blocks` blocks, and `read_<name>` two
 * neighbouring blocks as bytes w + 128, four columns in each of sixteen registers. */
typedef void (*run_fn)(const walk *w, uint32_t blocks, run *s);
typedef void (*pair_fn)(const walk *w, uint32_t pair, run *s, __m512i z[16]);

/* A format, as a constant that the compiler unfolds. */
typedef struct reader {
    run_fn run;
    pair_fn pair;
    uint32_t values, bytes; /* of a block of the file */
    int kind;
} reader;

INLINE __m512i set8(int value)
{
    return _mm512_set1_epi8((char)value);
}

INLINE __m512i set32(uint32_t value)
{
    return _mm512_set1_epi32((int32_t)value);
}

INLINE __m512i right(__m512i x, uint32_t bits)
{
    return _mm512_srlv_epi32(x, set32(bits));
}

INLINE __m512i left(__m512i x, uint32_t bits)
{
    return _mm512_sllv_epi32(x, set32(bits));
}

/* (x & mask) | rest */
INLINE __m512i masked_or(__m512i x, __m512i mask, __m512i rest)
{
    return _mm512_ternarylogic_epi64(x, mask, rest, 0xea);
}

/* a where `mask` is set, else b. */
INLINE __m512i choose(__m512i mask, __m512i a, __m512i b)
{
    return _mm512_ternarylogic_epi64(mask, a, b, 0xca);
}

INLINE __m128i load16(const void *from)
{
    return _mm_loadu_si128(from);
}

INLINE __m256i load32(const void *from)
{
    return _mm256_loadu_si256(from);
}

/* Four bytes of each row. */
INLINE __m512i words_at(const walk *w, size_t offset)
{
    return _mm512_i32gather_epi32(w->apart, w->base + offset, 1);
}

/* Sixteen bytes of each row, turned: to[i] holds the rows' words i. */
INLINE void turn16(const walk *w, size_t offset, __m512i to[4])
{
    const uint8_t *from = w->base + offset;
    __m512i z[4], t[4];
    EACH (i, 4) {
        const uint8_t *row = from + i * w->stride;
        z[i] = _mm512_castsi128_si512(load16(row));
        z[i] = _mm512_inserti32x4(z[i], load16(row + 4 * w->stride), 1);
        z[i] = _mm512_inserti32x4(z[i], load16(row + 8 * w->stride), 2);
        z[i] = _mm512_inserti32x4(z[i], load16(row + 12 * w->stride), 3);
    }
    t[0] = _mm512_unpacklo_epi32(z[0], z[1]);
    t[1] = _mm512_unpackhi_epi32(z[0], z[1]);
    t[2] = _mm512_unpacklo_epi32(z[2], z[3]);
    t[3] = _mm512_unpackhi_epi32(z[2], z[3]);
    to[0] = _mm512_unpacklo_epi64(t[0], t[2]);
    to[1] = _mm512_unpackhi_epi64(t[0], t[2]);
    to[2] = _mm512_unpacklo_epi64(t[1], t[3]);
    to[3] = _mm512_unpackhi_epi64(t[1], t[3]);
}

/* The same for 32 bytes. */
INLINE void turn32(const walk *w, size_t offset, __m512i to[8])
{
    const uint8_t *from = w->base + offset;
    __m512i z[8], t[8];
    EACH (i, 8) { /* rows 0 to 3 and 8 to 11, with the one four rows on */
        const uint8_t *row = from + (i / 4 * 8 + i % 4) * w->stride;
        z[i] =
            _mm512_inserti64x4(_mm512_castsi256_si512(load32(row)), load32(row + 4 * w->stride), 1);
    }
    EACH (i, 4) {
        t[2 * i] = _mm512_unpacklo_epi32(z[2 * i], z[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(z[2 * i], z[2 * i + 1]);
    }
    EACH (i, 2) {
        const __m512i *four = t + 4 * i;
        z[4 * i] = _mm512_unpacklo_epi64(four[0], four[2]);
        z[4 * i + 1] = _mm512_unpackhi_epi64(four[0], four[2]);
        z[4 * i + 2] = _mm512_unpacklo_epi64(four[1], four[3]);
        z[4 * i + 3] = _mm512_unpackhi_epi64(four[1], four[3]);
    }
    EACH (i, 4) {
        to[i] = _mm512_shuffle_i32x4(z[i], z[i + 4], 0x88);
        to[i + 4] = _mm512_shuffle_i32x4(z[i], z[i + 4], 0xdd);
    }
}

/* Bits 4i to 4i + 3 of each word, for the four bytes there. */
INLINE __mmask64 bits_of(__m512i words, uint32_t i)
{
    __m128i from = _mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
    from = _mm_add_epi8(from, _mm_set1_epi8((char)(i / 2)));
    return _mm512_test_epi8_mask(_mm512_shuffle_epi8(words, _mm512_broadcast_i32x4(from)),
                                 set32(i % 2 == 0 ? 0x08040201u : 0x80402010u));
}

/* Halves in the low or the high parts of words. */
INLINE __m512 low_halves(__m512i words)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
}

INLINE __m512 high_halves(__m512i words)
{
    return low_halves(_mm512_srli_epi32(words, 16));
}

/* `count` bits of each word from bit `at` on, as floats times a factor. */
INLINE __m512 bits_times(__m512i words, uint32_t at, uint32_t count, __m512 factor)
{
    __m512i bits = _mm512_and_si512(right(words, at), set32((1u << count) - 1));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(bits), factor);
}

/* (2 * step + 1) times a factor, the step being `count` bits from bit `at` on. */
INLINE __m512 odd_times(__m512i words, uint32_t at, uint32_t count, __m512 factor)
{
    __m512i bits = _mm512_and_si512(right(words, at), set32((1u << count) - 1));
    bits = _mm512_add_epi32(_mm512_add_epi32(bits, bits), set32(1));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(bits), factor);
}

/* Signed byte g of sixteen, times a factor. */
INLINE __m512 signed_byte_times(const __m512i words[4], uint32_t g, __m512 factor)
{
    __m512i byte = _mm512_srai_epi32(left(words[g / 4], 24 - g % 4 * 8), 24);
    return _mm512_mul_ps(_mm512_cvtepi32_ps(byte), factor);
}

INLINE __m512 eighth(__m512 x)
{
    return _mm512_mul_ps(x, _mm512_set1_ps(0.125f));
}

#endif
