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
    float minus_half[2];
    int32_t unused;
} act_block;
_Static_assert(sizeof(act_block) == 64, "one line of the cache");

/* Scales of a run of blocks, lane by row. */
typedef struct run_scales {
    __m512 scale[RUN];
    __m512 half[RUN][2];
    __m512 minimum[RUN][2]; /* the first unless the kind is LCPU_BOTH */
} run_scales;

/* A panel is, block after block of columns, the bytes [8][ROWS][4] and then the vectors of its kind:
 * scale, factors, minima. In lines of 64 bytes: */
#define LINE         64u
#define HALVES(kind) ((kind) == LCPU_HALVES || (kind) == LCPU_BOTH ? 2u : 0u)
#define MINIMA(kind) ((kind) == LCPU_MINIMA ? 1u : (kind) == LCPU_BOTH ? 2u : 0u)
#define LINES(kind)  (9u + HALVES(kind) + MINIMA(kind))

/* Products of panels by kind; in int8_avx512_panels.c. */
typedef void (*panels_fn)(const void *panels, uint32_t n_w, const void *const *x, uint32_t n_x,
                          uint32_t k, float *const *out, size_t at);
extern const panels_fn lcpu_avx512_panels[4];

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
INLINE __m512i shifts(uint32_t a, uint32_t b)
{
    return join(_mm256_set1_epi64x(a), _mm256_set1_epi64x(b));
}

INLINE __m512i pair_q8_0(const uint8_t *from, uint32_t pair)
{
    const lm_block_q8_0 *w = (const lm_block_q8_0 *)from + 2 * pair;
    return _mm512_xor_si512(join(load32(w[0].q), load32(w[1].q)), _mm512_set1_epi8(-128));
}

/* Nibbles of two blocks' sixteen bytes: of each the low ones, then the high ones. */
INLINE __m512i nibbles(const uint8_t *first, const uint8_t *second)
{
    __m512i both = join(_mm256_broadcastsi128_si256(load16(first)),
                        _mm256_broadcastsi128_si256(load16(second)));
    __m512i shift = _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4);
    return _mm512_and_si512(_mm512_srlv_epi64(both, shift), _mm512_set1_epi8(15));
}

INLINE __m512i levels(__m512i q, const int8_t table[16])
{
    __m128i t = _mm_xor_si128(load16(table), _mm_set1_epi8(-128));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), q);
}

INLINE __m512i fifth_bits(__m512i q, const uint8_t *first, const uint8_t *second)
{
    __mmask64 set = lm_load_u32(first) | (uint64_t)lm_load_u32(second) << 32;
    return _mm512_mask_add_epi8(q, set, q, _mm512_set1_epi8(16));
}

INLINE __m512i pair_q4_0(const uint8_t *from, uint32_t pair)
{
    const lm_block_q4_0 *w = (const lm_block_q4_0 *)from + 2 * pair;
    return _mm512_add_epi8(nibbles(w[0].q, w[1].q), _mm512_set1_epi8(120));
}

INLINE __m512i pair_q4_1(const uint8_t *from, uint32_t pair)
{
    const lm_block_q4_1 *w = (const lm_block_q4_1 *)from + 2 * pair;
    return _mm512_or_si512(nibbles(w[0].q, w[1].q), _mm512_set1_epi8(-128));
}

INLINE __m512i pair_q5_0(const uint8_t *from, uint32_t pair)
{
    const lm_block_q5_0 *w = (const lm_block_q5_0 *)from + 2 * pair;
    __m512i q = _mm512_add_epi8(nibbles(w[0].q, w[1].q), _mm512_set1_epi8(112));
    return fifth_bits(q, w[0].high, w[1].high);
}

INLINE __m512i pair_q5_1(const uint8_t *from, uint32_t pair)
{
    const lm_block_q5_1 *w = (const lm_block_q5_1 *)from + 2 * pair;
    __m512i q = _mm512_or_si512(nibbles(w[0].q, w[1].q), _mm512_set1_epi8(-128));
    return fifth_bits(q, w[0].high, w[1].high);
}

INLINE __m512i pair_iq4_nl(const uint8_t *from, uint32_t pair)
{
    static const int8_t table[16] = LM_IQ4_LEVELS;
    const lm_block_iq4_nl *w = (const lm_block_iq4_nl *)from + 2 * pair;
    return levels(nibbles(w[0].q, w[1].q), table);
}

INLINE __m512i pair_iq4_xs(const uint8_t *from, uint32_t pair)
{
    static const int8_t table[16] = LM_IQ4_LEVELS;
    const uint8_t *q = ((const lm_block_iq4_xs *)from)->q + 32 * pair;
    return levels(nibbles(q, q + 16), table);
}

INLINE __m512i pair_mxfp4(const uint8_t *from, uint32_t pair)
{
    static const int8_t table[16] = LM_FP4_LEVELS;
    const lm_block_mxfp4 *w = (const lm_block_mxfp4 *)from + 2 * pair;
    return levels(nibbles(w[0].q, w[1].q), table);
}

/* Turns each byte so far that bit `a` of the first block's (`b` of the second's) becomes bit `to`;
 * what comes in from neighbouring bytes is masked off by the caller. */
INLINE __m512i turned(__m256i bytes, uint32_t a, uint32_t b, uint32_t to)
{
    return _mm512_rorv_epi64(twice(bytes), shifts((a + 64 - to) % 64, (b + 64 - to) % 64));
}

/* The two bits of Q2_K and Q3_K. */
INLINE __m512i two_bits(const uint8_t *q, uint32_t pair)
{
    uint32_t bit = pair % 2 * 4;
    return _mm512_and_si512(turned(load32(q + pair / 2 * 32), bit, bit + 2, 0),
                            _mm512_set1_epi8(3));
}

INLINE __m512i pair_q2_k(const uint8_t *from, uint32_t pair)
{
    const lm_block_q2_k *w = (const lm_block_q2_k *)from;
    return _mm512_or_si512(two_bits(w->q, pair), _mm512_set1_epi8(-128));
}

INLINE __m512i pair_q3_k(const uint8_t *from, uint32_t pair)
{
    const lm_block_q3_k *w = (const lm_block_q3_k *)from;
    __m512i high = turned(load32(w->high), 2 * pair, 2 * pair + 1, 2);
    high = _mm512_and_si512(high, _mm512_set1_epi8(4));
    return _mm512_add_epi8(_mm512_or_si512(two_bits(w->q, pair), high), _mm512_set1_epi8(124));
}

/* (q & 15) | rest */
INLINE __m512i low_nibbles(__m512i q, __m512i rest)
{
    return _mm512_ternarylogic_epi64(q, _mm512_set1_epi8(15), rest, 0xea);
}

INLINE __m512i pair_q4_k(const uint8_t *from, uint32_t pair)
{
    const lm_block_q4_k *w = (const lm_block_q4_k *)from;
    return low_nibbles(_mm512_srlv_epi64(twice(load32(w->q + 32 * pair)), shifts(0, 4)),
                       _mm512_set1_epi8(-128));
}

INLINE __m512i pair_q5_k(const uint8_t *from, uint32_t pair)
{
    const lm_block_q5_k *w = (const lm_block_q5_k *)from;
    __m512i high = turned(load32(w->high), 2 * pair, 2 * pair + 1, 4);
    /* (high & 16) | 128 */
    high = _mm512_ternarylogic_epi64(high, _mm512_set1_epi8(16), _mm512_set1_epi8(-128), 0xea);
    return low_nibbles(_mm512_srlv_epi64(twice(load32(w->q + 32 * pair)), shifts(0, 4)), high);
}

INLINE __m512i pair_q6_k(const uint8_t *from, uint32_t pair)
{
    const lm_block_q6_k *w = (const lm_block_q6_k *)from;
    uint32_t bit = pair % 2 * 4;
    __m512i low = _mm512_loadu_si512(w->low + pair / 2 * 64);
    low = _mm512_srl_epi64(low, _mm_cvtsi32_si128((int)bit));
    __m512i high = turned(load32(w->high + pair / 2 * 32), bit, bit + 2, 4);
    high = _mm512_and_si512(high, _mm512_set1_epi8(0x30));
    return _mm512_add_epi8(low_nibbles(low, high), _mm512_set1_epi8(96));
}

/* A half of each row for each block of the run, blocks being `bytes` apart. */
INLINE void halves_of(const uint8_t *const rows[ROWS], size_t offset, uint32_t blocks, size_t bytes,
                      __m512 to[RUN])
{
    uint16_t d[RUN][ROWS];
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t b = 0; b < blocks; b++)
            memcpy(&d[b][r], rows[r] + offset + b * bytes, sizeof d[b][r]);
    for (uint32_t b = 0; b < blocks; b++)
        to[b] = _mm512_cvtph_ps(load32(d[b]));
}

#define SCALES(name)                                                                               \
    INLINE void scales_##name(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)     \
    {                                                                                              \
        halves_of(rows, offsetof(lm_block_##name, d), blocks, sizeof(lm_block_##name), s->scale);  \
    }

SCALES(q8_0)
SCALES(q4_0)
SCALES(q5_0)
SCALES(iq4_nl)

#define SCALES_AND_MINIMA(name)                                                                    \
    INLINE void scales_##name(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)     \
    {                                                                                              \
        __m512 m[RUN];                                                                             \
        halves_of(rows, offsetof(lm_block_##name, d), blocks, sizeof(lm_block_##name), s->scale);  \
        halves_of(rows, offsetof(lm_block_##name, m), blocks, sizeof(lm_block_##name), m);         \
        for (uint32_t b = 0; b < blocks; b++)                                                      \
            s->minimum[b][0] = _mm512_sub_ps(_mm512_set1_ps(-0.0f), m[b]);                         \
    }

SCALES_AND_MINIMA(q4_1)
SCALES_AND_MINIMA(q5_1)

/* See lm_mxfp4_step. */
INLINE void scales_mxfp4(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)
{
    uint8_t e[RUN][ROWS];
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t b = 0; b < blocks; b++)
            e[b][r] = rows[r][b * sizeof(lm_block_mxfp4)];
    for (uint32_t b = 0; b < blocks; b++) {
        __m512i scale = _mm512_cvtepu8_epi32(load16(e[b])), one = _mm512_set1_epi32(1);
        __m512i usual = _mm512_slli_epi32(_mm512_sub_epi32(scale, one), 23);
        __m512i tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), scale);
        __mmask16 small = _mm512_cmple_epu32_mask(scale, one);
        s->scale[b] = _mm512_castsi512_ps(_mm512_mask_mov_epi32(usual, small, tiny));
    }
}

/* Four words of each row, turned: to[i] holds the rows' words i. */
INLINE void turn_words(const __m128i row[ROWS], __m512i to[4])
{
    __m512i z[4], t[4];
    EACH (i, 4) {
        z[i] = _mm512_castsi128_si512(row[i]);
        z[i] = _mm512_inserti32x4(z[i], row[i + 4], 1);
        z[i] = _mm512_inserti32x4(z[i], row[i + 8], 2);
        z[i] = _mm512_inserti32x4(z[i], row[i + 12], 3);
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

/* The same for sixteen bytes at `offset`. */
INLINE void turn_bytes(const uint8_t *const rows[ROWS], size_t offset, __m512i to[4])
{
    __m128i row[ROWS];
    EACH (r, ROWS)
        row[r] = load16(rows[r] + offset);
    turn_words(row, to);
}

INLINE __m512 halves_in(__m512i words)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
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
    turn_bytes(rows, 0, w);
    __m512 d = halves_in(w[0]);
    __m512 m = halves_in(_mm512_srli_epi32(w[0], 16));
    __m512i scale[2] = {_mm512_and_si512(w[1], six),
                        _mm512_or_si512(_mm512_and_si512(w[3], low),
                                        _mm512_and_si512(_mm512_srli_epi32(w[1], 2), top))};
    __m512i minimum[2] = {_mm512_and_si512(w[2], six),
                          _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(w[3], 4), low),
                                          _mm512_and_si512(_mm512_srli_epi32(w[2], 2), top))};
    EACH (g, RUN) {
        s->scale[g] = byte_times(scale[g / 4], g % 4, d);
        s->minimum[g][0] = byte_times(minimum[g / 4], g % 4, m);
    }
}

INLINE void scales_q5_k(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)
{
    scales_q4_k(rows, blocks, s); /* the heads are the same */
}

/* Sixteen signed bytes as factors. */
INLINE void factors_of(const __m512i w[4], run_scales *s)
{
    EACH (g, 16) {
        __m512i byte = _mm512_sll_epi32(w[g / 4], _mm_cvtsi32_si128((int)(24 - g % 4 * 8)));
        s->half[g / 2][g % 2] = _mm512_cvtepi32_ps(_mm512_srai_epi32(byte, 24));
    }
}

INLINE void scale_all(__m512 d, run_scales *s)
{
    EACH (g, RUN)
        s->scale[g] = d;
}

INLINE void scales_q6_k(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)
{
    __m512i w[4];
    __m512 d[RUN];
    (void)blocks;
    turn_bytes(rows, offsetof(lm_block_q6_k, scale), w);
    factors_of(w, s);
    halves_of(rows, offsetof(lm_block_q6_k, d), 1, 0, d);
    scale_all(d[0], s);
}

/* See lm_q3_k_scale. The block ends with the scales and d: read with the two bytes before. */
INLINE void scales_q3_k(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)
{
    __m512i w[4], low = _mm512_set1_epi8(15), top = _mm512_set1_epi8(0x30), factor[4];
    __m128i row[ROWS];
    (void)blocks;
    EACH (r, ROWS)
        row[r] = _mm_srli_si128(load16(rows[r] + offsetof(lm_block_q3_k, scale) - 2), 2);
    turn_words(row, w);
    __m512i high[4] = {_mm512_slli_epi32(w[2], 4), _mm512_slli_epi32(w[2], 2), w[2],
                       _mm512_srli_epi32(w[2], 2)};
    EACH (i, 4) {
        __m512i nibble = i < 2 ? w[i] : _mm512_srli_epi32(w[i - 2], 4);
        factor[i] = _mm512_or_si512(_mm512_and_si512(nibble, low), _mm512_and_si512(high[i], top));
        factor[i] = _mm512_sub_epi8(factor[i], _mm512_set1_epi8(32));
    }
    factors_of(factor, s);
    scale_all(halves_in(w[3]), s);
}

INLINE void scales_q2_k(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)
{
    __m512i w[4], low = _mm512_set1_epi8(15), factor[4];
    __m512 d[RUN], m[RUN];
    (void)blocks;
    turn_bytes(rows, offsetof(lm_block_q2_k, scale), w);
    halves_of(rows, offsetof(lm_block_q2_k, d), 1, 0, d);
    halves_of(rows, offsetof(lm_block_q2_k, m), 1, 0, m);
    EACH (i, 4) {
        factor[i] = _mm512_and_si512(w[i], low);
        w[i] = _mm512_and_si512(_mm512_srli_epi32(w[i], 4), low);
    }
    factors_of(factor, s);
    EACH (g, 16)
        s->minimum[g / 2][g % 2] = byte_times(w[g / 4], g % 4, m[0]);
    scale_all(d[0], s);
}

/* See lm_iq4_xs_scale. */
INLINE void scales_iq4_xs(const uint8_t *const rows[ROWS], uint32_t blocks, run_scales *s)
{
    __m512i w[4];
    (void)blocks;
    turn_bytes(rows, 0, w);
    __m512 d = halves_in(w[0]);
    EACH (g, RUN) {
        __m512i low = _mm512_srl_epi32(w[1], _mm_cvtsi32_si128((int)(4 * g)));
        __m512i high = _mm512_srl_epi32(w[0], _mm_cvtsi32_si128((int)(12 + 2 * g)));
        low = _mm512_and_si512(low, _mm512_set1_epi32(15));
        high = _mm512_and_si512(high, _mm512_set1_epi32(0x30));
        low = _mm512_sub_epi32(_mm512_or_si512(low, high), _mm512_set1_epi32(32));
        s->scale[g] = _mm512_mul_ps(_mm512_cvtepi32_ps(low), d);
    }
}

#endif
