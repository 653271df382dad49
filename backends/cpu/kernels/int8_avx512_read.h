/* int8_avx512_read - how formats without grids are read with AVX-512; see int8_avx512.h. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_AVX512_READ_H
#define LM_BACKENDS_CPU_KERNELS_INT8_AVX512_READ_H

#include "backends/cpu/kernels/int8_avx512.h"

#define RUN_OF(name)  INLINE void read_##name##_run(const walk *w, uint32_t blocks, run *s)
#define PAIR_OF(name) INLINE void read_##name(const walk *w, uint32_t pair, run *s, __m512i z[16])

/* The byte where block b of a format with small blocks has a field. */
#define FIELD(name, b, field) ((b) * sizeof(lm_block_##name) + offsetof(lm_block_##name, field))
/* The same for formats with one block to a run. */
#define IN(name, field) offsetof(lm_block_##name, field)

/* --- small blocks ----------------------------------------------------------------------------- */

/* All of them begin with d; Q4_1 and Q5_1 go on with m. */
#define SMALL_RUN(name)                                                                            \
    RUN_OF(name)                                                                                   \
    {                                                                                              \
        for (uint32_t b = 0; b < blocks; b++)                                                      \
            s->scale[b][0] = low_halves(words_at(w, FIELD(name, b, d)));                           \
    }

#define SMALL_RUN_WITH_MINIMA(name)                                                                \
    RUN_OF(name)                                                                                   \
    {                                                                                              \
        for (uint32_t b = 0; b < blocks; b++) {                                                    \
            __m512i words = words_at(w, FIELD(name, b, d));                                        \
            s->scale[b][0] = low_halves(words);                                                    \
            s->minimum[b][0] = _mm512_sub_ps(_mm512_set1_ps(-0.0f), high_halves(words));           \
        }                                                                                          \
    }

SMALL_RUN(q8_0)
SMALL_RUN(q4_0)
SMALL_RUN(q5_0)
SMALL_RUN(iq4_nl)
SMALL_RUN_WITH_MINIMA(q4_1)
SMALL_RUN_WITH_MINIMA(q5_1)

PAIR_OF(q8_0)
{
    (void)s;
    EACH (b, 2) {
        turn32(w, FIELD(q8_0, 2 * pair + b, q), z + 8 * b);
        EACH (i, 8)
            z[8 * b + i] = _mm512_xor_si512(z[8 * b + i], set8(-128));
    }
}

/* Nibbles of sixteen bytes: of all the low ones, then the high ones. */
INLINE void nibbles(const walk *w, size_t offset, __m512i rest, __m512i z[8])
{
    turn16(w, offset, z);
    EACH (i, 4) {
        z[i + 4] = masked_or(_mm512_srli_epi32(z[i], 4), set8(15), rest);
        z[i] = masked_or(z[i], set8(15), rest);
    }
}

INLINE void add_all(__m512i z[8], int value)
{
    EACH (i, 8)
        z[i] = _mm512_add_epi8(z[i], set8(value));
}

INLINE void levels(__m512i z[8], const int8_t table[16])
{
    __m512i t = _mm512_broadcast_i32x4(_mm_xor_si128(load16(table), _mm_set1_epi8(-128)));
    EACH (i, 8)
        z[i] = _mm512_shuffle_epi8(t, z[i]);
}

/* Adds 16 to the bytes whose bit is set in their row's word. */
INLINE void fifth_bits(const walk *w, size_t offset, __m512i z[8])
{
    __m512i words = words_at(w, offset);
    EACH (i, 8)
        z[i] = _mm512_mask_add_epi8(z[i], bits_of(words, i), z[i], set8(16));
}

PAIR_OF(q4_0)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, FIELD(q4_0, 2 * pair + b, q), _mm512_setzero_si512(), z + 8 * b);
        add_all(z + 8 * b, 120);
    }
}

PAIR_OF(q4_1)
{
    (void)s;
    EACH (b, 2)
        nibbles(w, FIELD(q4_1, 2 * pair + b, q), set8(-128), z + 8 * b);
}

PAIR_OF(q5_0)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, FIELD(q5_0, 2 * pair + b, q), _mm512_setzero_si512(), z + 8 * b);
        add_all(z + 8 * b, 112);
        fifth_bits(w, FIELD(q5_0, 2 * pair + b, high), z + 8 * b);
    }
}

PAIR_OF(q5_1)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, FIELD(q5_1, 2 * pair + b, q), set8(-128), z + 8 * b);
        fifth_bits(w, FIELD(q5_1, 2 * pair + b, high), z + 8 * b);
    }
}

static const int8_t iq4_levels[16] = LM_IQ4_LEVELS;
static const int8_t fp4_levels[16] = LM_FP4_LEVELS;

PAIR_OF(iq4_nl)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, FIELD(iq4_nl, 2 * pair + b, q), _mm512_setzero_si512(), z + 8 * b);
        levels(z + 8 * b, iq4_levels);
    }
}

PAIR_OF(mxfp4)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, FIELD(mxfp4, 2 * pair + b, q), _mm512_setzero_si512(), z + 8 * b);
        levels(z + 8 * b, fp4_levels);
    }
}

/* See lcpu_mxfp4_scale. */
RUN_OF(mxfp4)
{
    for (uint32_t b = 0; b < blocks; b++) {
        __m512i scale = _mm512_and_si512(words_at(w, FIELD(mxfp4, b, scale)), set32(255));
        __m512i usual = _mm512_slli_epi32(_mm512_sub_epi32(scale, set32(1)), 23);
        __m512i tiny = _mm512_sllv_epi32(set32(0x00200000), scale);
        usual = _mm512_mask_mov_epi32(usual, _mm512_cmple_epu32_mask(scale, set32(1)), tiny);
        usual = _mm512_mask_mov_epi32(usual, _mm512_cmpgt_epu32_mask(scale, set32(231)),
                                      set32(0x7fc00000));
        s->scale[b][0] = _mm512_castsi512_ps(usual);
    }
}

/* See lm_nvfp4_step. */
INLINE __m512 nvfp4_step(__m512i words, uint32_t g)
{
    __m512i byte = _mm512_and_si512(right(words, 8 * g), set32(255));
    __m512i low = _mm512_and_si512(byte, set32(127));
    __m512 step =
        _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(low, 20), set32(119u << 23)));
    __m512 tiny = _mm512_mul_ps(_mm512_cvtepi32_ps(low), _mm512_set1_ps(0x1p-10f));
    step = _mm512_mask_mov_ps(step, _mm512_cmplt_epu32_mask(low, set32(8)), tiny);
    return _mm512_maskz_mov_ps(_mm512_cmpneq_epu32_mask(byte, set32(0x7f)), step);
}

RUN_OF(nvfp4)
{
    for (uint32_t b = 0; b < blocks / 2; b++) {
        __m512i words = words_at(w, FIELD(nvfp4, b, scale));
        EACH (g, 4)
            s->scale[2 * b + g / 2][g % 2] = nvfp4_step(words, g);
    }
}

PAIR_OF(nvfp4)
{
    (void)s;
    EACH (b, 2) {
        __m512i t[8];
        nibbles(w, FIELD(nvfp4, pair, q) + 16 * b, _mm512_setzero_si512(), t);
        EACH (i, 4) { /* eight bytes hold sixteen columns */
            z[8 * b + i / 2 * 4 + i % 2] = t[i];
            z[8 * b + i / 2 * 4 + i % 2 + 2] = t[i + 4];
        }
        levels(z + 8 * b, fp4_levels);
    }
}

/* --- blocks of 256 with four bits or more ----------------------------------------------------- */

/* The heads of Q4_K and Q5_K, see lm_q4_k_scale: four groups at a time in the bytes of words. */
RUN_OF(q4_k)
{
    __m512i words[4], six = set8(63), low = set8(15), top = set8(0x30);
    (void)blocks;
    turn16(w, 0, words);
    __m512 d = low_halves(words[0]), m = high_halves(words[0]);
    __m512i scale[2] = {
        _mm512_and_si512(words[1], six),
        masked_or(words[3], low, _mm512_and_si512(_mm512_srli_epi32(words[1], 2), top))};
    __m512i minimum[2] = {_mm512_and_si512(words[2], six),
                          masked_or(_mm512_srli_epi32(words[3], 4), low,
                                    _mm512_and_si512(_mm512_srli_epi32(words[2], 2), top))};
    EACH (g, RUN) {
        s->scale[g][0] = bits_times(scale[g / 4], g % 4 * 8, 8, d);
        s->minimum[g][0] = bits_times(minimum[g / 4], g % 4 * 8, 8, m);
    }
}

PAIR_OF(q4_k)
{
    (void)s;
    turn32(w, IN(q4_k, q) + 32 * pair, z);
    EACH (i, 8) {
        z[i + 8] = masked_or(_mm512_srli_epi32(z[i], 4), set8(15), set8(-128));
        z[i] = masked_or(z[i], set8(15), set8(-128));
    }
}

RUN_OF(q5_k)
{
    read_q4_k_run(w, blocks, s);
    turn32(w, IN(q5_k, high), s->kept);
}

PAIR_OF(q5_k)
{
    turn32(w, IN(q5_k, q) + 32 * pair, z);
    EACH (i, 8) {
        /* Bits 2 pair and 2 pair + 1 become bit 4. */
        __m512i high = _mm512_rorv_epi32(s->kept[i], set32(2 * pair + 28));
        __m512i first = masked_or(high, set8(16), set8(-128));
        __m512i second = masked_or(_mm512_srli_epi32(high, 1), set8(16), set8(-128));
        z[i + 8] = masked_or(_mm512_srli_epi32(z[i], 4), set8(15), second);
        z[i] = masked_or(z[i], set8(15), first);
    }
}

RUN_OF(q6_k)
{
    __m512i words[4];
    (void)blocks;
    turn16(w, IN(q6_k, scale), words);
    __m512 d = high_halves(words_at(w, IN(q6_k, d) - 2)); /* the block ends with d */
    EACH (g, 16)
        s->scale[g / 2][g % 2] = signed_byte_times(words, g, d);
    EACH (half, 2) {
        turn32(w, IN(q6_k, low) + 64 * half, s->kept + 24 * half);
        turn32(w, IN(q6_k, low) + 64 * half + 32, s->kept + 24 * half + 8);
        turn32(w, IN(q6_k, high) + 32 * half, s->kept + 24 * half + 16);
    }
}

PAIR_OF(q6_k)
{
    uint32_t bit = pair % 2 * 4;
    const __m512i *kept = s->kept + pair / 2 * 24;
    (void)w;
    EACH (i, 8) {
        __m512i high = right(kept[16 + i], bit);
        __m512i first = _mm512_and_si512(_mm512_slli_epi32(high, 4), set8(0x30));
        __m512i second = _mm512_and_si512(_mm512_slli_epi32(high, 2), set8(0x30));
        z[i] = masked_or(right(kept[i], bit), set8(15), first);
        z[i + 8] = masked_or(right(kept[8 + i], bit), set8(15), second);
    }
    add_all(z, 96);
    add_all(z + 8, 96);
}

/* See lm_iq4_xs_scale. */
RUN_OF(iq4_xs)
{
    __m512i head = words_at(w, 0), low = words_at(w, IN(iq4_xs, scale_low));
    __m512 d = low_halves(head);
    (void)blocks;
    EACH (g, RUN) {
        __m512i top = _mm512_and_si512(right(head, 12 + 2 * g), set32(0x30));
        __m512i scale = masked_or(right(low, 4 * g), set32(15), top);
        scale = _mm512_sub_epi32(scale, set32(32));
        s->scale[g][0] = _mm512_mul_ps(_mm512_cvtepi32_ps(scale), d);
    }
}

PAIR_OF(iq4_xs)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, IN(iq4_xs, q) + 32 * pair + 16 * b, _mm512_setzero_si512(), z + 8 * b);
        levels(z + 8 * b, iq4_levels);
    }
}

/* --- blocks of 256 with two or three bits ----------------------------------------------------- */

/* The 64 bytes of two bits are kept in front; two pairs share 32 of them. */
INLINE void keep_two_bits(const walk *w, size_t offset, run *s)
{
    turn32(w, offset, s->kept);
    turn32(w, offset + 32, s->kept + 8);
}

INLINE void two_bits(uint32_t pair, const run *s, __m512i z[16])
{
    EACH (i, 8) {
        __m512i q = right(s->kept[pair / 2 * 8 + i], pair % 2 * 4);
        z[i] = _mm512_and_si512(q, set8(3));
        z[i + 8] = _mm512_and_si512(_mm512_srli_epi32(q, 2), set8(3));
    }
}

/* Byte `g` of sixteen, twice as a 16-bit integer. */
INLINE __m512i factor16(const __m512i words[4], uint32_t g)
{
    __m512i byte = _mm512_srai_epi32(left(words[g / 4], 24 - g % 4 * 8), 24);
    return _mm512_mask_blend_epi16(0xaaaaaaaa, byte, _mm512_slli_epi32(byte, 16));
}

RUN_OF(q2_k)
{
    __m512i words[4], dm = words_at(w, IN(q2_k, d));
    __m512 d = low_halves(dm), m = high_halves(dm);
    (void)blocks;
    turn16(w, IN(q2_k, scale), words);
    keep_two_bits(w, IN(q2_k, q), s);
    EACH (g, 16)
        s->minimum[g / 2][g % 2] = bits_times(words[g / 4], g % 4 * 8 + 4, 4, m);
    EACH (i, 4)
        s->kept[20 + i] = _mm512_and_si512(words[i], set8(15));
    EACH (g, RUN)
        s->scale[g][0] = d;
}

PAIR_OF(q2_k)
{
    (void)w;
    two_bits(pair, s, z);
    EACH (h, 4) { /* 3 * 15 stays in its byte */
        __m512i factor = factor16(s->kept + 20 + pair, h);
        EACH (i, 4)
            z[4 * h + i] = _mm512_or_si512(_mm512_mullo_epi16(z[4 * h + i], factor), set8(-128));
    }
}

/* The factors, see lm_q3_k_scale. The block ends with them and d. */
RUN_OF(q3_k)
{
    size_t at = IN(q3_k, scale);
    __m512i first = words_at(w, at), second = words_at(w, at + 4), third = words_at(w, at + 8);
    __m512i high[4] = {_mm512_slli_epi32(third, 4), _mm512_slli_epi32(third, 2), third,
                       _mm512_srli_epi32(third, 2)};
    __m512i low[4] = {first, second, _mm512_srli_epi32(first, 4), _mm512_srli_epi32(second, 4)};
    (void)blocks;
    EACH (i, 4) {
        __m512i factor = masked_or(low[i], set8(15), _mm512_and_si512(high[i], set8(0x30)));
        s->kept[20 + i] = _mm512_sub_epi8(factor, set8(32));
    }
    keep_two_bits(w, IN(q3_k, q), s);
    turn32(w, IN(q3_k, high), s->kept + 24);
    __m512 d = high_halves(words_at(w, IN(q3_k, d) - 2));
    EACH (g, RUN)
        s->scale[g][0] = _mm512_sub_ps(_mm512_set1_ps(-0.0f), d);
}

/* q in 0..7 */
INLINE void three_bits(uint32_t pair, const run *s, __m512i z[16])
{
    two_bits(pair, s, z);
    EACH (i, 8) {
        __m512i high = right(s->kept[24 + i], 2 * pair);
        z[i] = masked_or(_mm512_slli_epi32(high, 2), set8(4), z[i]);
        z[i + 8] = masked_or(_mm512_slli_epi32(high, 1), set8(4), z[i + 8]);
    }
}

/* Bytes times a factor, modulo 256. */
INLINE __m512i times(__m512i bytes, __m512i factor)
{
    __m512i even = set32(0x00ff00ff);
    __m512i low = _mm512_mullo_epi16(_mm512_and_si512(bytes, even), factor);
    __m512i high = _mm512_mullo_epi16(_mm512_andnot_si512(even, bytes), factor);
    return masked_or(low, even, high);
}

PAIR_OF(q3_k)
{
    (void)w;
    three_bits(pair, s, z);
    EACH (h, 4) {
        __m512i factor = factor16(s->kept + 20 + pair, h);
        EACH (i, 4) {
            __m512i q = _mm512_sub_epi8(set8(4), z[4 * h + i]);
            z[4 * h + i] = _mm512_xor_si512(times(q, factor), set8(-128));
        }
    }
}

/* --- ternary ---------------------------------------------------------------------------------- */

RUN_OF(tq2_0)
{
    __m512 d = high_halves(words_at(w, IN(tq2_0, d) - 2)); /* the block ends with d */
    (void)blocks;
    keep_two_bits(w, IN(tq2_0, q), s);
    EACH (g, RUN)
        s->scale[g][0] = d;
}

PAIR_OF(tq2_0)
{
    (void)w;
    two_bits(pair, s, z);
    add_all(z, 127);
    add_all(z + 8, 127);
}

RUN_OF(tq1_0)
{
    __m512 d = high_halves(words_at(w, IN(tq1_0, d) - 2));
    (void)blocks;
    turn32(w, IN(tq1_0, q), s->kept);
    turn16(w, IN(tq1_0, q) + 32, s->kept + 8);
    s->kept[12] = words_at(w, IN(tq1_0, last));
    EACH (g, RUN)
        s->scale[g][0] = d;
}

/* Digit n of each byte, see lm_tq1_0_digit, + 127. */
INLINE __m512i ternary_digit(__m512i bytes, uint32_t n)
{
    uint32_t power = n == 0 ? 1 : n == 1 ? 3 : n == 2 ? 9 : n == 3 ? 27 : 81;
    __m512i p = _mm512_set1_epi16((short)power), even = set32(0x00ff00ff);
    __m512i low = _mm512_and_si512(_mm512_mullo_epi16(bytes, p), even);
    __m512i high = _mm512_mullo_epi16(_mm512_srli_epi16(bytes, 8), p);
    low = _mm512_srli_epi16(_mm512_mullo_epi16(low, _mm512_set1_epi16(3)), 8);
    high = _mm512_mullo_epi16(_mm512_and_si512(high, even), _mm512_set1_epi16(3));
    return _mm512_add_epi8(masked_or(high, set32(0xff00ff00), low), set8(127));
}

/* Registers of four columns: 40 of them lie in `q` by 32, then 20 by 16, then 4 in `last`. */
PAIR_OF(tq1_0)
{
    (void)w;
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t at = 16 * pair + i;
        uint32_t word = at < 40 ? at % 8 : at < 60 ? 8 + (at - 40) % 4 : 12;
        uint32_t digit = at < 40 ? at / 8 : at < 60 ? (at - 40) / 4 : at - 60;
        z[i] = ternary_digit(s->kept[word], digit);
    }
}

#endif
