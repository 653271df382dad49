/* int8_avx512 - what the two halves of the AVX-512 VNNI set share: the layout of activations and
 * panels, and how formats are read from the file. vpdpbusd multiplies unsigned by signed bytes, so
 * weights are kept as w + 128 and sums start at -128 times the sum of the activations. */
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

/* 32 activations. */
typedef struct act_block {
    int8_t q[BLOCK];
    float scale;
    float minus;     /* -(sum of q) * scale */
    int32_t start;   /* -128 * sum of q */
    int32_t half[2]; /* the same of each sixteen */
    int32_t unused[3];
} act_block;
_Static_assert(sizeof(act_block) == 64, "one line of the cache");

/* Scales of a run of blocks, lane by row. */
typedef struct run_scales {
    __m512 scale[RUN], minimum[RUN];
    __m512 half[RUN][2];
} run_scales;

/* A panel is, block after block of columns, the bytes [8][ROWS][4] and then the vectors of its
 * kind: scale; scale and minimum; scale and two factors. In lines of 64 bytes: */
#define LINES(kind) ((kind) == LCPU_PLAIN ? 9u : (kind) == LCPU_MINIMA ? 10u : 11u)
#define LINE        64u

/* Products of panels, one for each kind; in int8_avx512_panels.c. */
void lcpu_avx512_plain(const void *panels, uint32_t n_w, const void *const *x, uint32_t n_x,
                       uint32_t k, float *const *out, size_t at);
void lcpu_avx512_minima(const void *panels, uint32_t n_w, const void *const *x, uint32_t n_x,
                        uint32_t k, float *const *out, size_t at);
void lcpu_avx512_halves(const void *panels, uint32_t n_w, const void *const *x, uint32_t n_x,
                        uint32_t k, float *const *out, size_t at);

/* --- reading the file -------------------------------------------------------------------------
 * For each format `pair_<name>`: two neighbouring blocks of a row as bytes w + 128, given where the
 * run starts and the number of the pair; `scales_<name>`: those of a run of sixteen rows. */

typedef __m512i (*pair_fn)(const uint8_t *from, uint32_t pair);
typedef void (*scales_fn)(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s);

INLINE __m256i load32(const void *from)
{
    return _mm256_loadu_si256(from);
}

INLINE __m128i load16(const void *from)
{
    return _mm_loadu_si128(from);
}

INLINE __m512i join(__m256i low, __m256i high)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

INLINE __m512i twice(__m256i x)
{
    return _mm512_broadcast_i64x4(x);
}

/* Shifts of 64-bit elements: `a` for the first half of the register, `b` for the other. */
INLINE __m512i shifts(int64_t a, int64_t b)
{
    return _mm512_setr_epi64(a, a, a, a, b, b, b, b);
}

INLINE __m512i pair_q8_0(const uint8_t *from, uint32_t pair)
{
    const lm_block_q8_0 *w = (const lm_block_q8_0 *)from + 2 * pair;
    return _mm512_xor_si512(join(load32(w[0].q), load32(w[1].q)), _mm512_set1_epi8(-128));
}

INLINE __m512i pair_q4_0(const uint8_t *from, uint32_t pair)
{
    const lm_block_q4_0 *w = (const lm_block_q4_0 *)from + 2 * pair;
    __m512i both = join(_mm256_broadcastsi128_si256(load16(w[0].q)),
                        _mm256_broadcastsi128_si256(load16(w[1].q)));
    __m512i shift = _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4);
    __m512i q = _mm512_and_si512(_mm512_srlv_epi64(both, shift), _mm512_set1_epi8(15));
    return _mm512_add_epi8(q, _mm512_set1_epi8(120));
}

INLINE __m512i pair_q4_k(const uint8_t *from, uint32_t pair)
{
    const lm_block_q4_k *w = (const lm_block_q4_k *)from;
    __m512i q = _mm512_srlv_epi64(twice(load32(w->q + 32 * pair)), shifts(0, 4));
    /* (q & 15) | 128 */
    return _mm512_ternarylogic_epi64(q, _mm512_set1_epi8(15), _mm512_set1_epi8(-128), 0xea);
}

INLINE __m512i pair_q6_k(const uint8_t *from, uint32_t pair)
{
    const lm_block_q6_k *w = (const lm_block_q6_k *)from;
    bool upper = pair % 2 != 0;
    __m512i low = _mm512_loadu_si512(w->low + pair / 2 * 64);
    __m512i high = twice(load32(w->high + pair / 2 * 32));
    low = upper ? _mm512_srli_epi64(low, 4) : low;
    high = upper ? _mm512_srlv_epi64(high, shifts(0, 2)) : _mm512_sllv_epi64(high, shifts(4, 2));
    high = _mm512_and_si512(high, _mm512_set1_epi8(0x30));
    /* (low & 15) | high */
    __m512i q = _mm512_ternarylogic_epi64(low, _mm512_set1_epi8(15), high, 0xea);
    return _mm512_add_epi8(q, _mm512_set1_epi8(96));
}

/* Scales at the head of blocks of `bytes`. */
INLINE void half_scales(const uint8_t *const rows[ROWS], uint32_t blocks, size_t bytes,
                        __m512 scale[RUN])
{
    uint16_t d[RUN][ROWS];
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t b = 0; b < blocks; b++)
            memcpy(&d[b][r], rows[r] + b * bytes, sizeof d[b][r]);
    for (uint32_t b = 0; b < blocks; b++)
        scale[b] = _mm512_cvtph_ps(load32(d[b]));
}

INLINE void scales_q8_0(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)
{
    half_scales(rows, blocks, sizeof(lm_block_q8_0), s->scale);
}

INLINE void scales_q4_0(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)
{
    half_scales(rows, blocks, sizeof(lm_block_q4_0), s->scale);
}

/* Sixteen bytes of each row at `offset`, turned: to[i] holds the rows' words i. */
INLINE void turn_words(const uint8_t *const rows[ROWS], size_t offset, __m512i to[4])
{
    __m512i z[4], t[4];
    EACH (i, 4) {
        z[i] = _mm512_castsi128_si512(load16(rows[i] + offset));
        z[i] = _mm512_inserti32x4(z[i], load16(rows[i + 4] + offset), 1);
        z[i] = _mm512_inserti32x4(z[i], load16(rows[i + 8] + offset), 2);
        z[i] = _mm512_inserti32x4(z[i], load16(rows[i + 12] + offset), 3);
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

/* Byte i of each word, times a factor. */
INLINE __m512 byte_times(__m512i words, uint32_t i, __m512 factor)
{
    __m512i byte = _mm512_and_si512(_mm512_srl_epi32(words, _mm_cvtsi32_si128((int)(8 * i))),
                                    _mm512_set1_epi32(255));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(byte), factor);
}

/* The heads of Q4_K and Q5_K, see lm_q4_k_scale: four groups at a time in the bytes of words. */
INLINE void scales_q4_k(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)
{
    __m512i w[4], six = _mm512_set1_epi8(63), low = _mm512_set1_epi8(15);
    __m512i top = _mm512_set1_epi8(0x30);
    (void)blocks;
    turn_words(rows, 0, w);
    __m512 d = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(w[0]));
    __m512 m = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(w[0], 16)));
    __m512i scale[2] = {_mm512_and_si512(w[1], six),
                        _mm512_or_si512(_mm512_and_si512(w[3], low),
                                        _mm512_and_si512(_mm512_srli_epi32(w[1], 2), top))};
    __m512i minimum[2] = {_mm512_and_si512(w[2], six),
                          _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(w[3], 4), low),
                                          _mm512_and_si512(_mm512_srli_epi32(w[2], 2), top))};
    EACH (g, RUN) {
        s->scale[g] = byte_times(scale[g / 4], g % 4, d);
        s->minimum[g] = byte_times(minimum[g / 4], g % 4, m);
    }
}

INLINE void scales_q6_k(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)
{
    __m512i w[4];
    uint16_t d[ROWS];
    (void)blocks;
    turn_words(rows, offsetof(lm_block_q6_k, scale), w);
    EACH (g, 2 * RUN) {
        __m512i byte = _mm512_sll_epi32(w[g / 4], _mm_cvtsi32_si128((int)(24 - g % 4 * 8)));
        s->half[g / 2][g % 2] = _mm512_cvtepi32_ps(_mm512_srai_epi32(byte, 24));
    }
    for (uint32_t r = 0; r < ROWS; r++)
        memcpy(&d[r], rows[r] + offsetof(lm_block_q6_k, d), sizeof d[r]);
    __m512 scale = _mm512_cvtph_ps(load32(d));
    for (uint32_t g = 0; g < RUN; g++)
        s->scale[g] = scale;
}

#endif
