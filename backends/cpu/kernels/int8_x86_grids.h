/* int8_x86_grids - how the IQ formats are read: the points of sixteen rows are
 * gathered as codes and spread to bytes in registers. See int8_x86.h, lib/quant/iq_grids.h. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_X86_GRIDS_H
#define LM_BACKENDS_CPU_KERNELS_INT8_X86_GRIDS_H

#include "backends/cpu/kernels/int8_x86_read.h"
#include "quant/iq_grids.h"

/* Codes of sixteen bits; what is above them is left over. Words are read, so that nothing behind
 * the table is. */
INLINE vec codes_at(const uint16_t *codes, vec index)
{
    vec two = v_gather(codes, v_down(index, 1));
    return v_down_by(two, v_and(v_up(index, 4), v_set32(16)));
}

/* See lm_iq_spread2; of the code's low byte. */
INLINE vec spread2(vec code)
{
    vec x = v_choose(v_set32(0x000f0000), v_up(code, 12), code);
    x = v_choose(v_set32(0x03000300), v_up(x, 6), x);
    return v_and(x, v_set8(3));
}

/* See lm_iq_spread3. */
INLINE vec spread3(vec code)
{
    vec x = v_choose(v_set32(0x003f0000), v_up(code, 10), code);
    x = v_choose(v_set32(0x07000700), v_up(x, 5), x);
    return v_and(x, v_set8(7));
}

/* Magnitudes of bytes 0 to 7, `table` being raised or not; those with a sign are taken off. */
INLINE vec signed_levels(vec bytes, __m128i table, vec signs, uint32_t i)
{
    return v_negate8_where(bits_of(signs, i), v_lookup(table, bytes));
}

INLINE __m128i raised_levels(__m128i levels, bool raised)
{
    return _mm_xor_si128(levels, _mm_set1_epi8((char)(raised ? -128 : 0)));
}

/* Four signs of seven bits in the bytes of words get their eighth, see lm_iq_even_signs. */
INLINE vec with_parity(vec seven)
{
    seven = v_and(seven, v_set8(127));
    vec parity = v_xor(seven, v_down(seven, 4));
    parity = v_xor(parity, v_down(parity, 2));
    parity = v_xor(parity, v_down(parity, 1));
    return v_and_or(v_up(parity, 7), v_set8(-128), seven);
}

/* The signs of 32 values in the 28 low bits of words. */
INLINE vec tail_signs(vec tail)
{
    vec x = v_choose(v_set32(0x0000ff00), v_up(tail, 1), tail);
    x = v_choose(v_set32(0x00ff0000), v_up(tail, 2), x);
    x = v_choose(v_set32(0xff000000), v_up(tail, 3), x);
    return with_parity(x);
}

INLINE __m128i iq2_levels(bool raised)
{
    return raised_levels(_mm_setr_epi8(8, 25, 43, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), raised);
}

/* Eight columns of IQ2, registers i and i + 1 of a block. */
INLINE void iq2_point(const uint16_t *codes, vec index, vec signs, uint32_t i, bool raised,
                      vec z[2])
{
    vec code = codes_at(codes, index);
    z[0] = signed_levels(spread2(code), iq2_levels(raised), signs, i);
    z[1] = signed_levels(spread2(v_down(code, 8)), iq2_levels(raised), signs, i + 1);
}

/* Byte i of words. */
INLINE vec byte_of(vec words, uint32_t i)
{
    return v_and(v_down(words, 8 * i), v_set32(255));
}

/* --- IQ3 -------------------------------------------------------------------------------------- */

RUN_OF(iq3_s)
{
    vecf d = f_low_halves(words_at(w, 0));
    vec steps = words_at(w, IN(iq3_s, steps));
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
        raised_levels(_mm_setr_epi8(1, 3, 5, 7, 9, 11, 13, 15, 0, 0, 0, 0, 0, 0, 0, 0), raised);
    vec index[4];
    turn16(w, IN(iq3_s, index) + 16 * pair, index);
    EACH (b, 2) {
        vec high = v_down(s->kept[8 + pair / 2], (2 * pair + b) % 4 * 8);
        vec signs = s->kept[2 * pair + b];
        EACH (i, 8) {
            vec ninth = v_up(high, 8 - i);
            vec at = v_and_or(ninth, v_set32(256), byte_of(index[2 * b + i / 4], i % 4));
            z[8 * b + i] = signed_levels(spread3(codes_at(lm_iq3_s_codes, at)), table, signs, i);
        }
    }
}

RUN_OF(iq3_xxs)
{
    vecf d = f_mul(f_low_halves(words_at(w, 0)), f_set(0.25f));
    (void)blocks;
    turn32(w, IN(iq3_xxs, tails), s->kept);
    EACH (g, RUN)
        s->scale[g][0] = odd_times(s->kept[g], 28, 4, d);
}

PAIR_OF(iq3_xxs)
{
    __m128i table =
        raised_levels(_mm_setr_epi8(4, 12, 20, 28, 36, 44, 52, 62, 0, 0, 0, 0, 0, 0, 0, 0), raised);
    vec index[4];
    turn16(w, IN(iq3_xxs, index) + 16 * pair, index);
    EACH (b, 2) {
        vec signs = tail_signs(s->kept[2 * pair + b]);
        EACH (i, 8) {
            vec at = byte_of(index[2 * b + i / 4], i % 4);
            z[8 * b + i] = signed_levels(spread3(codes_at(lm_iq3_xxs_codes, at)), table, signs, i);
        }
    }
}

/* --- IQ2 -------------------------------------------------------------------------------------- */

RUN_OF(iq2_xxs)
{
    vecf d = eighth(f_low_halves(words_at(w, 0)));
    (void)blocks;
    EACH (g, RUN)
        s->scale[g][0] = odd_times(words_at(w, IN(iq2_xxs, quads) + 8 * g + 4), 28, 4, d);
}

PAIR_OF(iq2_xxs)
{
    vec quad[4];
    (void)s;
    turn16(w, IN(iq2_xxs, quads) + 16 * pair, quad);
    EACH (b, 2) {
        vec signs = tail_signs(quad[2 * b + 1]);
        EACH (i, 4)
            iq2_point(lm_iq2_xxs_codes, byte_of(quad[2 * b], i), signs, 2 * i, raised,
                      z + 8 * b + 2 * i);
    }
}

/* The steps of IQ2_XS and IQ2_S: nibbles of two words. */
INLINE void iq2_steps(const walk *w, size_t offset, run *s)
{
    vecf d = eighth(f_low_halves(words_at(w, 0)));
    vec words[2] = {words_at(w, offset), words_at(w, offset + 4)};
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
    vec two[4];
    (void)s;
    turn16(w, IN(iq2_xs, words) + 16 * pair, two);
    EACH (b, 2) {
        const vec *words = two + 2 * b;
        vec signs = v_choose(v_set32(0x0000ff00), v_down(words[0], 17), v_down(words[0], 9));
        signs = v_choose(v_set32(0x00ff0000), v_up(words[1], 7), signs);
        signs = v_choose(v_set32(0xff000000), v_down(words[1], 1), signs);
        signs = with_parity(signs);
        EACH (i, 4) {
            vec index = v_down(words[i / 2], i % 2 * 16);
            index = v_and(index, v_set32(511));
            iq2_point(lm_iq2_xs_codes, index, signs, 2 * i, raised, z + 8 * b + 2 * i);
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
        vec high = v_down(s->kept[16 + pair / 2], (2 * pair + b) % 4 * 8);
        vec signs = s->kept[8 + 2 * pair + b];
        EACH (i, 4) {
            vec index =
                v_and_or(v_up(high, 8 - 2 * i), v_set32(0x300), byte_of(s->kept[2 * pair + b], i));
            iq2_point(lm_iq2_s_codes, index, signs, 2 * i, raised, z + 8 * b + 2 * i);
        }
    }
}

/* --- IQ1 -------------------------------------------------------------------------------------- */

/* Eight columns: eight times coordinate + shift; `raise` is the shift and what belongs to coordinate -1. */
INLINE void iq1_point(vec index, vec raise, vec z[2])
{
    vec code = codes_at(lm_iq1_codes, index);
    z[0] = v_add8(v_up(spread2(code), 3), raise);
    z[1] = v_add8(v_up(spread2(v_down(code, 8)), 3), raise);
}

/* -8 and a shift of -1 where bit `at` of the word is set, else 1. */
INLINE vec raise_of(vec words, uint32_t at, bool raised)
{
    vec bit = v_and(words, v_up(v_set32(1), at));
    int least = raised ? 119 : -9;
    return v_if_equal(bit, v_set32(0), v_set8(least + 2), v_set8(least));
}

RUN_OF(iq1_s)
{
    vecf d = eighth(f_low_halves(words_at(w, 0)));
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
        vec high = v_down(s->kept[8 + pair], 16 * b);
        vec raise = raise_of(high, 15, raised);
        EACH (i, 4) {
            vec top = i < 3 ? v_up(high, 8 - 3 * i) : v_down(high, 1);
            iq1_point(v_and_or(top, v_set32(0x700), byte_of(s->kept[2 * pair + b], i)), raise,
                      z + 8 * b + 2 * i);
        }
    }
}

RUN_OF(iq1_m)
{
    vec words[2] = {words_at(w, IN(iq1_m, scales)), words_at(w, IN(iq1_m, scales) + 4)};
    vec d = v_and(v_down(words[0], 12), v_set32(0x000f));
    (void)blocks;
    d = v_and_or(v_down(words[0], 24), v_set32(0x00f0), d);
    d = v_and_or(v_down(words[1], 4), v_set32(0x0f00), d);
    d = v_and_or(v_down(words[1], 16), v_set32(0xf000), d);
    turn32(w, IN(iq1_m, index), s->kept);
    turn16(w, IN(iq1_m, high), s->kept + 8);
    EACH (g, 16)
        s->scale[g / 2][g % 2] =
            odd_times(words[g / 8], g / 4 % 2 * 16 + g % 4 * 3, 3, eighth(f_low_halves(d)));
}

PAIR_OF(iq1_m)
{
    (void)w;
    EACH (b, 2) {
        vec high = v_down(s->kept[8 + pair], 16 * b);
        EACH (i, 4) {
            vec top = i < 2 ? v_up(high, 8 - 4 * i) : v_down(high, 4 * i - 8);
            iq1_point(v_and_or(top, v_set32(0x700), byte_of(s->kept[2 * pair + b], i)),
                      raise_of(high, 4 * i + 3, raised), z + 8 * b + 2 * i);
        }
    }
}

#endif
