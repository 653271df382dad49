/* int8_x86_read - how formats without grids are read; see int8_x86.h. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_X86_READ_H
#define LM_BACKENDS_CPU_KERNELS_INT8_X86_READ_H

#include "backends/cpu/kernels/int8_x86.h"

/* Bytes that are not raised: w + offset, from 0 to `most`; -1: w itself. */
enum {
    OFFSET_q8_0 = -1,
    OFFSET_q4_0 = 8,
    OFFSET_q4_1 = 0,
    OFFSET_q5_0 = 16,
    OFFSET_q5_1 = 0,
    OFFSET_q2_k = 0,
    OFFSET_q3_k = -1,
    OFFSET_q4_k = 0,
    OFFSET_q5_k = 0,
    OFFSET_q6_k = 32,
    OFFSET_iq4_nl = -1,
    OFFSET_iq4_xs = -1,
    OFFSET_mxfp4 = -1,
    OFFSET_nvfp4 = -1,
    OFFSET_iq3_s = -1,
    OFFSET_iq3_xxs = -1,
    OFFSET_iq2_s = -1,
    OFFSET_iq2_xs = -1,
    OFFSET_iq2_xxs = -1,
    OFFSET_iq1_s = -1,
    OFFSET_iq1_m = -1,
    OFFSET_tq1_0 = 1,
    OFFSET_tq2_0 = 1,
    MOST_q8_0 = 128,
    MOST_q4_0 = 15,
    MOST_q4_1 = 15,
    MOST_q5_0 = 31,
    MOST_q5_1 = 31,
    MOST_q2_k = 45,
    MOST_q3_k = 128,
    MOST_q4_k = 15,
    MOST_q5_k = 31,
    MOST_q6_k = 63,
    MOST_iq4_nl = 127,
    MOST_iq4_xs = 127,
    MOST_mxfp4 = 12,
    MOST_nvfp4 = 12,
    MOST_iq3_s = 15,
    MOST_iq3_xxs = 62,
    MOST_iq2_s = 43,
    MOST_iq2_xs = 43,
    MOST_iq2_xxs = 43,
    MOST_iq1_s = 9,
    MOST_iq1_m = 9,
    MOST_tq1_0 = 2,
    MOST_tq2_0 = 2,
};

#define RUN_OF(name) INLINE void read_##name##_run(const walk *w, uint32_t blocks, run *s)
#define PAIR_OF(name)                                                                              \
    INLINE void read_##name(const walk *w, uint32_t pair, run *s, bool raised, vec z[16])

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
            s->scale[b][0] = f_low_halves(words_at(w, FIELD(name, b, d)));                         \
    }

#define SMALL_RUN_WITH_MINIMA(name)                                                                \
    RUN_OF(name)                                                                                   \
    {                                                                                              \
        for (uint32_t b = 0; b < blocks; b++) {                                                    \
            vec words = words_at(w, FIELD(name, b, d));                                            \
            s->scale[b][0] = f_low_halves(words);                                                  \
            s->minimum[b][0] = f_negative(f_high_halves(words));                                   \
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
            z[8 * b + i] = v_xor(z[8 * b + i], v_set8(raised ? -128 : 0));
    }
}

/* Nibbles of sixteen bytes: of all the low ones, then the high ones. */
INLINE void nibbles(const walk *w, size_t offset, vec rest, vec z[8])
{
    turn16(w, offset, z);
    EACH (i, 4) {
        z[i + 4] = v_and_or(v_down(z[i], 4), v_set8(15), rest);
        z[i] = v_and_or(z[i], v_set8(15), rest);
    }
}

INLINE void add_all(vec z[8], int value)
{
    EACH (i, 8)
        z[i] = v_add8(z[i], v_set8(value));
}

INLINE void levels(vec z[8], const int8_t table[16], bool raised)
{
    __m128i t = _mm_xor_si128(load16(table), _mm_set1_epi8((char)(raised ? -128 : 0)));
    EACH (i, 8)
        z[i] = v_lookup(t, z[i]);
}

/* Adds 16 to the bytes whose bit is set in their row's word. */
INLINE void fifth_bits(const walk *w, size_t offset, vec z[8])
{
    vec words = words_at(w, offset);
    EACH (i, 8)
        z[i] = v_add8_where(bits_of(words, i), z[i], v_set8(16));
}

PAIR_OF(q4_0)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, FIELD(q4_0, 2 * pair + b, q), v_set8(0), z + 8 * b);
        if (raised)
            add_all(z + 8 * b, 120);
    }
}

PAIR_OF(q4_1)
{
    (void)s;
    EACH (b, 2)
        nibbles(w, FIELD(q4_1, 2 * pair + b, q), v_set8(raised ? -128 : 0), z + 8 * b);
}

PAIR_OF(q5_0)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, FIELD(q5_0, 2 * pair + b, q), v_set8(0), z + 8 * b);
        if (raised)
            add_all(z + 8 * b, 112);
        fifth_bits(w, FIELD(q5_0, 2 * pair + b, high), z + 8 * b);
    }
}

PAIR_OF(q5_1)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, FIELD(q5_1, 2 * pair + b, q), v_set8(raised ? -128 : 0), z + 8 * b);
        fifth_bits(w, FIELD(q5_1, 2 * pair + b, high), z + 8 * b);
    }
}

static const int8_t iq4_levels[16] = LM_IQ4_LEVELS;
static const int8_t fp4_levels[16] = LM_FP4_LEVELS;

PAIR_OF(iq4_nl)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, FIELD(iq4_nl, 2 * pair + b, q), v_set8(0), z + 8 * b);
        levels(z + 8 * b, iq4_levels, raised);
    }
}

PAIR_OF(mxfp4)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, FIELD(mxfp4, 2 * pair + b, q), v_set8(0), z + 8 * b);
        levels(z + 8 * b, fp4_levels, raised);
    }
}

/* See lcpu_mxfp4_scale. */
RUN_OF(mxfp4)
{
    for (uint32_t b = 0; b < blocks; b++) {
        vec scale = v_and(words_at(w, FIELD(mxfp4, b, scale)), v_set32(255));
        vec usual = v_up(v_add32(scale, v_set32(0xffffffffu)), 23);
        vec tiny = v_up_by(v_set32(0x00200000), scale);
        usual = v_if_above(scale, v_set32(1), usual, tiny);
        usual = v_if_above(scale, v_set32(231), v_set32(0x7fc00000), usual);
        s->scale[b][0] = f_bits(usual);
    }
}

/* See lm_nvfp4_step. */
INLINE vecf nvfp4_step(vec words, uint32_t g)
{
    vec byte = v_and(v_down(words, 8 * g), v_set32(255));
    vec low = v_and(byte, v_set32(127));
    vec step = v_add32(v_up(low, 20), v_set32(119u << 23));
    vec tiny = v_bits(f_mul(f_from(low), f_set(0x1p-10f)));
    step = v_if_above(low, v_set32(7), step, tiny);
    return f_bits(v_if_equal(byte, v_set32(0x7f), v_set32(0), step));
}

RUN_OF(nvfp4)
{
    for (uint32_t b = 0; b < blocks / 2; b++) {
        vec words = words_at(w, FIELD(nvfp4, b, scale));
        EACH (g, 4)
            s->scale[2 * b + g / 2][g % 2] = nvfp4_step(words, g);
    }
}

PAIR_OF(nvfp4)
{
    (void)s;
    EACH (b, 2) {
        vec t[8];
        nibbles(w, FIELD(nvfp4, pair, q) + 16 * b, v_set8(0), t);
        EACH (i, 4) { /* eight bytes hold sixteen columns */
            z[8 * b + i / 2 * 4 + i % 2] = t[i];
            z[8 * b + i / 2 * 4 + i % 2 + 2] = t[i + 4];
        }
        levels(z + 8 * b, fp4_levels, raised);
    }
}

/* --- blocks of 256 with four bits or more ----------------------------------------------------- */

/* The heads of Q4_K and Q5_K, see lm_q4_k_scale: four groups at a time in the bytes of words. */
RUN_OF(q4_k)
{
    vec words[4], six = v_set8(63), low = v_set8(15), top = v_set8(0x30);
    (void)blocks;
    turn16(w, 0, words);
    vecf d = f_low_halves(words[0]), m = f_high_halves(words[0]);
    vec scale[2] = {v_and(words[1], six), v_and_or(words[3], low, v_and(v_down(words[1], 2), top))};
    vec minimum[2] = {v_and(words[2], six),
                      v_and_or(v_down(words[3], 4), low, v_and(v_down(words[2], 2), top))};
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
        z[i + 8] = v_and_or(v_down(z[i], 4), v_set8(15), v_set8(raised ? -128 : 0));
        z[i] = v_and_or(z[i], v_set8(15), v_set8(raised ? -128 : 0));
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
        vec high = v_up(v_and(v_down(s->kept[i], 2 * pair), v_set8(3)), 4);
        vec first = v_and_or(high, v_set8(16), v_set8(raised ? -128 : 0));
        vec second = v_and_or(v_down(high, 1), v_set8(16), v_set8(raised ? -128 : 0));
        z[i + 8] = v_and_or(v_down(z[i], 4), v_set8(15), second);
        z[i] = v_and_or(z[i], v_set8(15), first);
    }
}

RUN_OF(q6_k)
{
    vec words[4];
    (void)blocks;
    turn16(w, IN(q6_k, scale), words);
    vecf d = f_high_halves(words_at(w, IN(q6_k, d) - 2)); /* the block ends with d */
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
    const vec *kept = s->kept + pair / 2 * 24;
    (void)w;
    EACH (i, 8) {
        vec high = v_down(kept[16 + i], bit);
        vec first = v_and(v_up(high, 4), v_set8(0x30));
        vec second = v_and(v_up(high, 2), v_set8(0x30));
        z[i] = v_and_or(v_down(kept[i], bit), v_set8(15), first);
        z[i + 8] = v_and_or(v_down(kept[8 + i], bit), v_set8(15), second);
    }
    if (raised) {
        add_all(z, 96);
        add_all(z + 8, 96);
    }
}

/* See lm_iq4_xs_scale. */
RUN_OF(iq4_xs)
{
    vec head = words_at(w, 0), low = words_at(w, IN(iq4_xs, scale_low));
    vecf d = f_low_halves(head);
    (void)blocks;
    EACH (g, RUN) {
        vec top = v_and(v_down(head, 12 + 2 * g), v_set32(0x30));
        vec scale = v_and_or(v_down(low, 4 * g), v_set32(15), top);
        scale = v_add32(scale, v_set32((uint32_t)-32));
        s->scale[g][0] = f_mul(f_from(scale), d);
    }
}

PAIR_OF(iq4_xs)
{
    (void)s;
    EACH (b, 2) {
        nibbles(w, IN(iq4_xs, q) + 32 * pair + 16 * b, v_set8(0), z + 8 * b);
        levels(z + 8 * b, iq4_levels, raised);
    }
}

/* --- blocks of 256 with two or three bits ----------------------------------------------------- */

/* The 64 bytes of two bits are kept in front; two pairs share 32 of them. */
INLINE void keep_two_bits(const walk *w, size_t offset, run *s)
{
    turn32(w, offset, s->kept);
    turn32(w, offset + 32, s->kept + 8);
}

INLINE void two_bits(uint32_t pair, const run *s, vec z[16])
{
    EACH (i, 8) {
        vec q = v_down(s->kept[pair / 2 * 8 + i], pair % 2 * 4);
        z[i] = v_and(q, v_set8(3));
        z[i + 8] = v_and(v_down(q, 2), v_set8(3));
    }
}

/* Byte `g` of sixteen, twice as a 16-bit integer. */
INLINE vec factor16(const vec words[4], uint32_t g)
{
    vec byte = v_top(v_up(words[g / 4], 24 - g % 4 * 8));
    return v_or(v_and(byte, v_set32(0xffff)), v_up(byte, 16));
}

RUN_OF(q2_k)
{
    vec words[4], dm = words_at(w, IN(q2_k, d));
    vecf d = f_low_halves(dm), m = f_high_halves(dm);
    (void)blocks;
    turn16(w, IN(q2_k, scale), words);
    keep_two_bits(w, IN(q2_k, q), s);
    EACH (g, 16)
        s->minimum[g / 2][g % 2] = bits_times(words[g / 4], g % 4 * 8 + 4, 4, m);
    EACH (i, 4)
        s->kept[20 + i] = v_and(words[i], v_set8(15));
    EACH (g, RUN)
        s->scale[g][0] = d;
}

/* The same without the factors, which are in s->kept[20] and behind it. */
PAIR_OF(q2_k_bare)
{
    (void)w, (void)raised;
    two_bits(pair, s, z);
}

PAIR_OF(q2_k)
{
    read_q2_k_bare(w, pair, s, false, z);
    EACH (h, 4) { /* 3 * 15 stays in its byte */
        vec factor = factor16(s->kept + 20 + pair, h);
        EACH (i, 4)
            z[4 * h + i] = v_or(v_mul16(z[4 * h + i], factor), v_set8(raised ? -128 : 0));
    }
}

/* The factors, see lm_q3_k_scale. The block ends with their twelve bytes and d. */
RUN_OF(q3_k)
{
    vec last[4];
    turn16(w, sizeof(lm_block_q3_k) - 16, last);
    vec first = v_or(v_down(last[0], 16), v_up(last[1], 16));
    vec second = v_or(v_down(last[1], 16), v_up(last[2], 16));
    vec third = v_or(v_down(last[2], 16), v_up(last[3], 16));
    vec high[4] = {v_up(third, 4), v_up(third, 2), third, v_down(third, 2)};
    vec low[4] = {first, second, v_down(first, 4), v_down(second, 4)};
    (void)blocks;
    EACH (i, 4) {
        vec factor = v_and_or(low[i], v_set8(15), v_and(high[i], v_set8(0x30)));
        s->kept[20 + i] = v_sub8(factor, v_set8(32));
    }
    keep_two_bits(w, IN(q3_k, q), s);
    turn32(w, IN(q3_k, high), s->kept + 24);
    vecf d = f_high_halves(last[3]);
    EACH (g, RUN)
        s->scale[g][0] = f_negative(d);
}

/* q in 0..7, the factors where those of Q2_K are. */
PAIR_OF(q3_k_bare)
{
    (void)w, (void)raised;
    two_bits(pair, s, z);
    EACH (i, 8) {
        vec high = v_down(s->kept[24 + i], 2 * pair);
        z[i] = v_and_or(v_up(high, 2), v_set8(4), z[i]);
        z[i + 8] = v_and_or(v_up(high, 1), v_set8(4), z[i + 8]);
    }
}

/* Bytes times a factor, modulo 256. */
INLINE vec times(vec bytes, vec factor)
{
    vec even = v_set32(0x00ff00ff);
    vec low = v_mul16(v_and(bytes, even), factor);
    vec high = v_mul16(v_and(bytes, v_set32(0xff00ff00)), factor);
    return v_and_or(low, even, high);
}

PAIR_OF(q3_k)
{
    read_q3_k_bare(w, pair, s, false, z);
    EACH (h, 4) {
        vec factor = factor16(s->kept + 20 + pair, h);
        EACH (i, 4) {
            vec q = v_sub8(v_set8(4), z[4 * h + i]);
            z[4 * h + i] = v_xor(times(q, factor), v_set8(raised ? -128 : 0));
        }
    }
}

/* Formats whose bytes have a factor for each sixteen can be added up without it, see add_factored.
 */
INLINE pair_fn bare_of(const reader *f)
{
    return f->pair == read_q2_k ? read_q2_k_bare : f->pair == read_q3_k ? read_q3_k_bare : NULL;
}

/* The factors of block b, in sixteen bits each. */
INLINE vec factors_of(const run *s, uint32_t b)
{
    __m128i from = _mm_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
    __m128i second = _mm_setr_epi8(0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2);
    vec words = s->kept[20 + b / 2];
    return v_top16(v_shuffle(words, b % 2 == 0 ? from : _mm_add_epi8(from, second)));
}

/* --- ternary ---------------------------------------------------------------------------------- */

RUN_OF(tq2_0)
{
    vecf d = f_high_halves(words_at(w, IN(tq2_0, d) - 2)); /* the block ends with d */
    (void)blocks;
    keep_two_bits(w, IN(tq2_0, q), s);
    EACH (g, RUN)
        s->scale[g][0] = d;
}

PAIR_OF(tq2_0)
{
    (void)w;
    two_bits(pair, s, z);
    if (raised) {
        add_all(z, 127);
        add_all(z + 8, 127);
    }
}

RUN_OF(tq1_0)
{
    vecf d = f_high_halves(words_at(w, IN(tq1_0, d) - 2));
    (void)blocks;
    turn32(w, IN(tq1_0, q), s->kept);
    turn16(w, IN(tq1_0, q) + 32, s->kept + 8);
    s->kept[12] = words_at(w, IN(tq1_0, last));
    EACH (g, RUN)
        s->scale[g][0] = d;
}

/* Digit n of each byte, see lm_tq1_0_digit. */
INLINE vec ternary_digit(vec bytes, uint32_t n)
{
    uint32_t power = n == 0 ? 1 : n == 1 ? 3 : n == 2 ? 9 : n == 3 ? 27 : 81;
    vec p = v_set16((int)power), even = v_set32(0x00ff00ff);
    vec low = v_and(v_mul16(bytes, p), even);
    vec high = v_mul16(v_down16(bytes, 8), p);
    low = v_down16(v_mul16(low, v_set16(3)), 8);
    high = v_mul16(v_and(high, even), v_set16(3));
    return v_and_or(high, v_set32(0xff00ff00), low);
}

/* Registers of four columns: 40 of them lie in `q` by 32, then 20 by 16, then 4 in `last`. */
PAIR_OF(tq1_0)
{
    (void)w;
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t at = 16 * pair + i;
        uint32_t word = at < 40 ? at % 8 : at < 60 ? 8 + (at - 40) % 4 : 12;
        uint32_t digit = at < 40 ? at / 8 : at < 60 ? (at - 40) / 4 : at - 60;
        z[i] = v_add8(ternary_digit(s->kept[word], digit), v_set8(raised ? 127 : 0));
    }
}

#endif
