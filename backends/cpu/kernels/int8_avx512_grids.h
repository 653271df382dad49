/* int8_avx512_grids - how the IQ formats are read with AVX-512: the points of sixteen rows are
 * gathered as codes and spread to bytes in registers. See int8_avx512.h, lib/quant/iq_grids.h. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_AVX512_GRIDS_H
#define LM_BACKENDS_CPU_KERNELS_INT8_AVX512_GRIDS_H

#include "backends/cpu/kernels/int8_avx512_read.h"
#include "quant/iq_grids.h"

/* Codes of sixteen bits; what is above them is left over. Words are read, so that nothing behind
 * the table is. */
INLINE __m512i codes_at(const uint16_t *codes, __m512i index)
{
    __m512i two = _mm512_i32gather_epi32(_mm512_srli_epi32(index, 1), codes, 4);
    return _mm512_srlv_epi32(two, _mm512_and_si512(_mm512_slli_epi32(index, 4), set32(16)));
}

/* See lm_iq_spread2; of the code's low byte. */
INLINE __m512i spread2(__m512i code)
{
    __m512i x = choose(set32(0x000f0000), _mm512_slli_epi32(code, 12), code);
    x = choose(set32(0x03000300), _mm512_slli_epi32(x, 6), x);
    return _mm512_and_si512(x, set8(3));
}

/* See lm_iq_spread3. */
INLINE __m512i spread3(__m512i code)
{
    __m512i x = choose(set32(0x003f0000), _mm512_slli_epi32(code, 10), code);
    x = choose(set32(0x07000700), _mm512_slli_epi32(x, 5), x);
    return _mm512_and_si512(x, set8(7));
}

/* Magnitudes, raised by 128, of bytes 0 to 7; those whose sign is set are taken from 128. */
INLINE __m512i signed_levels(__m512i bytes, __m128i raised, __m512i signs, uint32_t i)
{
    __m512i q = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(raised), bytes);
    return _mm512_mask_sub_epi8(q, bits_of(signs, i), _mm512_setzero_si512(), q);
}

/* Four signs of seven bits in the bytes of words get their eighth, see lm_iq_even_signs. */
INLINE __m512i with_parity(__m512i seven)
{
    seven = _mm512_and_si512(seven, set8(127));
    __m512i parity = _mm512_xor_si512(seven, _mm512_srli_epi32(seven, 4));
    parity = _mm512_xor_si512(parity, _mm512_srli_epi32(parity, 2));
    parity = _mm512_xor_si512(parity, _mm512_srli_epi32(parity, 1));
    return masked_or(_mm512_slli_epi32(parity, 7), set8(-128), seven);
}

/* The signs of 32 values in the 28 low bits of words. */
INLINE __m512i tail_signs(__m512i tail)
{
    __m512i x = choose(set32(0x0000ff00), _mm512_slli_epi32(tail, 1), tail);
    x = choose(set32(0x00ff0000), _mm512_slli_epi32(tail, 2), x);
    x = choose(set32(0xff000000), _mm512_slli_epi32(tail, 3), x);
    return with_parity(x);
}

INLINE __m128i iq2_levels(void)
{
    return _mm_setr_epi8(-120, -103, -85, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

/* Eight columns of IQ2, registers i and i + 1 of a block. */
INLINE void iq2_point(const uint16_t *codes, __m512i index, __m512i signs, uint32_t i, __m512i z[2])
{
    __m512i code = codes_at(codes, index);
    z[0] = signed_levels(spread2(code), iq2_levels(), signs, i);
    z[1] = signed_levels(spread2(_mm512_srli_epi32(code, 8)), iq2_levels(), signs, i + 1);
}

/* Byte i of words. */
INLINE __m512i byte_of(__m512i words, uint32_t i)
{
    return _mm512_and_si512(_mm512_srli_epi32(words, 8 * i), set32(255));
}

/* --- IQ3 -------------------------------------------------------------------------------------- */

RUN_OF(iq3_s)
{
    __m512 d = low_halves(words_at(w, 0));
    __m512i steps = words_at(w, IN(iq3_s, steps));
    (void)blocks;
    EACH (g, RUN)
        s->scale[g][0] = odd_times(steps, 4 * g, 4, d);
    turn32(w, IN(iq3_s, signs), s->kept);
    s->kept[8] = words_at(w, IN(iq3_s, high));
    s->kept[9] = words_at(w, IN(iq3_s, high) + 4);
}

PAIR_OF(iq3_s)
{
    __m128i table =
        _mm_setr_epi8(-127, -125, -123, -121, -119, -117, -115, -113, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512i index[4];
    turn16(w, IN(iq3_s, index) + 16 * pair, index);
    EACH (b, 2) {
        __m512i high = right(s->kept[8 + pair / 2], (2 * pair + b) % 4 * 8);
        __m512i signs = s->kept[2 * pair + b];
        EACH (i, 8) {
            __m512i ninth = _mm512_slli_epi32(high, 8 - i);
            __m512i at = masked_or(ninth, set32(256), byte_of(index[2 * b + i / 4], i % 4));
            z[8 * b + i] = signed_levels(spread3(codes_at(lm_iq3_s_codes, at)), table, signs, i);
        }
    }
}

RUN_OF(iq3_xxs)
{
    __m512 d = _mm512_mul_ps(low_halves(words_at(w, 0)), _mm512_set1_ps(0.25f));
    (void)blocks;
    turn32(w, IN(iq3_xxs, tails), s->kept);
    EACH (g, RUN)
        s->scale[g][0] = odd_times(s->kept[g], 28, 4, d);
}

PAIR_OF(iq3_xxs)
{
    __m128i table =
        _mm_setr_epi8(-124, -116, -108, -100, -92, -84, -76, -66, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512i index[4];
    turn16(w, IN(iq3_xxs, index) + 16 * pair, index);
    EACH (b, 2) {
        __m512i signs = tail_signs(s->kept[2 * pair + b]);
        EACH (i, 8) {
            __m512i at = byte_of(index[2 * b + i / 4], i % 4);
            z[8 * b + i] = signed_levels(spread3(codes_at(lm_iq3_xxs_codes, at)), table, signs, i);
        }
    }
}

/* --- IQ2 -------------------------------------------------------------------------------------- */

RUN_OF(iq2_xxs)
{
    __m512 d = eighth(low_halves(words_at(w, 0)));
    (void)blocks;
    EACH (g, RUN)
        s->scale[g][0] = odd_times(words_at(w, IN(iq2_xxs, quads) + 8 * g + 4), 28, 4, d);
}

PAIR_OF(iq2_xxs)
{
    __m512i quad[4];
    (void)s;
    turn16(w, IN(iq2_xxs, quads) + 16 * pair, quad);
    EACH (b, 2) {
        __m512i signs = tail_signs(quad[2 * b + 1]);
        EACH (i, 4)
            iq2_point(lm_iq2_xxs_codes, byte_of(quad[2 * b], i), signs, 2 * i, z + 8 * b + 2 * i);
    }
}

/* The steps of IQ2_XS and IQ2_S: nibbles of two words. */
INLINE void iq2_steps(const walk *w, size_t offset, run *s)
{
    __m512 d = eighth(low_halves(words_at(w, 0)));
    __m512i words[2] = {words_at(w, offset), words_at(w, offset + 4)};
    EACH (g, 16)
        s->scale[g / 2][g % 2] = odd_times(words[g / 8], g % 8 * 4, 4, d);
}

RUN_OF(iq2_xs)
{
    (void)blocks;
    iq2_steps(w, IN(iq2_xs, steps), s);
}

PAIR_OF(iq2_xs)
{
    __m512i two[4];
    (void)s;
    turn16(w, IN(iq2_xs, words) + 16 * pair, two);
    EACH (b, 2) {
        const __m512i *words = two + 2 * b;
        __m512i signs = choose(set32(0x0000ff00), _mm512_srli_epi32(words[0], 17),
                               _mm512_srli_epi32(words[0], 9));
        signs = choose(set32(0x00ff0000), _mm512_slli_epi32(words[1], 7), signs);
        signs = choose(set32(0xff000000), _mm512_srli_epi32(words[1], 1), signs);
        signs = with_parity(signs);
        EACH (i, 4) {
            __m512i index = _mm512_srli_epi32(words[i / 2], i % 2 * 16);
            index = _mm512_and_si512(index, set32(511));
            iq2_point(lm_iq2_xs_codes, index, signs, 2 * i, z + 8 * b + 2 * i);
        }
    }
}

RUN_OF(iq2_s)
{
    (void)blocks;
    iq2_steps(w, IN(iq2_s, steps), s);
    turn32(w, IN(iq2_s, index), s->kept);
    turn32(w, IN(iq2_s, signs), s->kept + 8);
    s->kept[16] = words_at(w, IN(iq2_s, high));
    s->kept[17] = words_at(w, IN(iq2_s, high) + 4);
}

PAIR_OF(iq2_s)
{
    (void)w;
    EACH (b, 2) {
        __m512i high = right(s->kept[16 + pair / 2], (2 * pair + b) % 4 * 8);
        __m512i signs = s->kept[8 + 2 * pair + b];
        EACH (i, 4) {
            __m512i index = masked_or(_mm512_slli_epi32(high, 8 - 2 * i), set32(0x300),
                                      byte_of(s->kept[2 * pair + b], i));
            iq2_point(lm_iq2_s_codes, index, signs, 2 * i, z + 8 * b + 2 * i);
        }
    }
}

/* --- IQ1 -------------------------------------------------------------------------------------- */

/* Eight columns: eight times coordinate + shift; `raise` is 120 and the shift. */
INLINE void iq1_point(__m512i index, __m512i raise, __m512i z[2])
{
    __m512i code = codes_at(lm_iq1_codes, index);
    z[0] = _mm512_add_epi8(_mm512_slli_epi32(spread2(code), 3), raise);
    z[1] = _mm512_add_epi8(_mm512_slli_epi32(spread2(_mm512_srli_epi32(code, 8)), 3), raise);
}

/* 120 and a shift of -1 where bit `at` of the word is set, else 1. */
INLINE __m512i raise_of(__m512i words, uint32_t at)
{
    __mmask16 minus = _mm512_test_epi32_mask(words, left(set32(1), at));
    return _mm512_mask_mov_epi32(set8(121), minus, set8(119));
}

RUN_OF(iq1_s)
{
    __m512 d = eighth(low_halves(words_at(w, 0)));
    (void)blocks;
    turn32(w, IN(iq1_s, index), s->kept);
    turn16(w, IN(iq1_s, high), s->kept + 8);
    EACH (g, RUN)
        s->scale[g][0] = odd_times(s->kept[8 + g / 2], g % 2 * 16 + 12, 3, d);
}

PAIR_OF(iq1_s)
{
    (void)w;
    EACH (b, 2) {
        __m512i high = _mm512_srli_epi32(s->kept[8 + pair], 16 * b);
        __m512i raise = raise_of(high, 15);
        EACH (i, 4) {
            __m512i top = i < 3 ? _mm512_slli_epi32(high, 8 - 3 * i) : _mm512_srli_epi32(high, 1);
            iq1_point(masked_or(top, set32(0x700), byte_of(s->kept[2 * pair + b], i)), raise,
                      z + 8 * b + 2 * i);
        }
    }
}

RUN_OF(iq1_m)
{
    __m512i words[2] = {words_at(w, IN(iq1_m, scales)), words_at(w, IN(iq1_m, scales) + 4)};
    __m512i d = _mm512_and_si512(_mm512_srli_epi32(words[0], 12), set32(0x000f));
    (void)blocks;
    d = masked_or(_mm512_srli_epi32(words[0], 24), set32(0x00f0), d);
    d = masked_or(_mm512_srli_epi32(words[1], 4), set32(0x0f00), d);
    d = masked_or(_mm512_srli_epi32(words[1], 16), set32(0xf000), d);
    turn32(w, IN(iq1_m, index), s->kept);
    turn16(w, IN(iq1_m, high), s->kept + 8);
    EACH (g, 16)
        s->scale[g / 2][g % 2] =
            odd_times(words[g / 8], g / 4 % 2 * 16 + g % 4 * 3, 3, eighth(low_halves(d)));
}

PAIR_OF(iq1_m)
{
    (void)w;
    EACH (b, 2) {
        __m512i high = _mm512_srli_epi32(s->kept[8 + pair], 16 * b);
        EACH (i, 4) {
            __m512i top =
                i < 2 ? _mm512_slli_epi32(high, 8 - 4 * i) : _mm512_srli_epi32(high, 4 * i - 8);
            iq1_point(masked_or(top, set32(0x700), byte_of(s->kept[2 * pair + b], i)),
                      raise_of(high, 4 * i + 3), z + 8 * b + 2 * i);
        }
    }
}

#endif
