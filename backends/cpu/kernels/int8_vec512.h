/* int8_vec512 - the registers of the int8 family: sixteen rows of weights with AVX-512. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_VEC512_H
#define LM_BACKENDS_CPU_KERNELS_INT8_VEC512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
/* A loop that is written out, so that its arrays become registers. */
#define EACH(i, count) _Pragma("GCC unroll 16") for (uint32_t i = 0; i < (count); i++)

#define ROWS 16u /* of a panel: the 32-bit lanes of a register */

typedef __m512i vec;
typedef __m512 vecf;
typedef __mmask64 byte_mask;

INLINE __m128i load16(const void *from)
{
    return _mm_loadu_si128(from);
}

INLINE __m256i load32(const void *from)
{
    return _mm256_loadu_si256(from);
}

INLINE vec v_load(const void *from)
{
    return _mm512_loadu_si512(from);
}

INLINE void v_store(void *to, vec x)
{
    _mm512_storeu_si512(to, x);
}

INLINE vec v_set8(int value)
{
    return _mm512_set1_epi8((char)value);
}

INLINE vec v_set16(int value)
{
    return _mm512_set1_epi16((short)value);
}

INLINE vec v_set32(uint32_t value)
{
    return _mm512_set1_epi32((int32_t)value);
}

INLINE vec v_and(vec a, vec b)
{
    return _mm512_and_si512(a, b);
}

INLINE vec v_or(vec a, vec b)
{
    return _mm512_or_si512(a, b);
}

INLINE vec v_xor(vec a, vec b)
{
    return _mm512_xor_si512(a, b);
}

/* (x & mask) | rest */
INLINE vec v_and_or(vec x, vec mask, vec rest)
{
    return _mm512_ternarylogic_epi64(x, mask, rest, 0xea);
}

/* a where `mask` is set, else b. */
INLINE vec v_choose(vec mask, vec a, vec b)
{
    return _mm512_ternarylogic_epi64(mask, a, b, 0xca);
}

INLINE vec v_add8(vec a, vec b)
{
    return _mm512_add_epi8(a, b);
}

INLINE vec v_sub8(vec a, vec b)
{
    return _mm512_sub_epi8(a, b);
}

INLINE vec v_mul16(vec a, vec b)
{
    return _mm512_mullo_epi16(a, b);
}

INLINE vec v_sub16(vec a, vec b)
{
    return _mm512_sub_epi16(a, b);
}

/* The high byte of each sixteen bits, with its sign. */
INLINE vec v_top16(vec x)
{
    return _mm512_srai_epi16(x, 8);
}

INLINE vec v_down16(vec x, uint32_t bits)
{
    return _mm512_srli_epi16(x, bits);
}

INLINE vec v_add32(vec a, vec b)
{
    return _mm512_add_epi32(a, b);
}

INLINE vec v_down(vec x, uint32_t bits)
{
    return __builtin_constant_p(bits) ? _mm512_srli_epi32(x, bits)
                                      : _mm512_srlv_epi32(x, v_set32(bits));
}

INLINE vec v_up(vec x, uint32_t bits)
{
    return __builtin_constant_p(bits) ? _mm512_slli_epi32(x, bits)
                                      : _mm512_sllv_epi32(x, v_set32(bits));
}

/* The highest byte, with its sign. */
INLINE vec v_top(vec x)
{
    return _mm512_srai_epi32(x, 24);
}

INLINE vec v_down_by(vec x, vec bits)
{
    return _mm512_srlv_epi32(x, bits);
}

INLINE vec v_up_by(vec x, vec bits)
{
    return _mm512_sllv_epi32(x, bits);
}

/* x > limit ? a : b and x == y ? a : b, lane by lane, with signs. */
INLINE vec v_if_above(vec x, vec limit, vec a, vec b)
{
    return _mm512_mask_mov_epi32(b, _mm512_cmpgt_epi32_mask(x, limit), a);
}

INLINE vec v_if_equal(vec x, vec y, vec a, vec b)
{
    return _mm512_mask_mov_epi32(b, _mm512_cmpeq_epi32_mask(x, y), a);
}

/* Bytes of a table of sixteen. */
INLINE vec v_lookup(__m128i table, vec index)
{
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), index);
}

/* Bytes of each sixteen, `from` for all of them. */
INLINE vec v_shuffle(vec x, __m128i from)
{
    return _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(from));
}

/* Bytes that have the bit. */
INLINE byte_mask v_test(vec x, vec bit)
{
    return _mm512_test_epi8_mask(x, bit);
}

INLINE vec v_add8_where(byte_mask where, vec a, vec b)
{
    return _mm512_mask_add_epi8(a, where, a, b);
}

INLINE vec v_negate8_where(byte_mask where, vec x)
{
    return _mm512_mask_sub_epi8(x, where, _mm512_setzero_si512(), x);
}

INLINE vec v_gather(const void *table, vec index)
{
    return _mm512_i32gather_epi32(index, table, 4);
}

INLINE vecf f_load(const void *from)
{
    return _mm512_loadu_ps(from);
}

INLINE void f_store(void *to, vecf x)
{
    _mm512_storeu_ps(to, x);
}

/* Of the first `count` rows; the others are zeros, or are left alone. */
INLINE vecf f_load_some(const float *from, uint32_t count)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from);
}

INLINE void f_store_some(float *to, uint32_t count, vecf x)
{
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), x);
}

INLINE vecf f_set(float value)
{
    return _mm512_set1_ps(value);
}

INLINE vecf f_from(vec whole)
{
    return _mm512_cvtepi32_ps(whole);
}

INLINE vecf f_bits(vec bits)
{
    return _mm512_castsi512_ps(bits);
}

INLINE vec v_bits(vecf x)
{
    return _mm512_castps_si512(x);
}

INLINE vecf f_mul(vecf a, vecf b)
{
    return _mm512_mul_ps(a, b);
}

INLINE vecf f_mac(vecf a, vecf b, vecf sum)
{
    return _mm512_fmadd_ps(a, b, sum);
}

/* Halves in the low parts of words. */
INLINE vecf f_low_halves(vec words)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
}

/* --- sixteen rows of the file ----------------------------------------------------------------- */

typedef struct walk {
    const uint8_t *base;
    size_t stride;
    __m512i apart; /* r * stride */
} walk;

INLINE walk walk_of(const uint8_t *base, size_t stride)
{
    __m512i row = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return (walk){base, stride, _mm512_mullo_epi32(row, v_set32((uint32_t)stride))};
}

/* Four bytes of each row. */
INLINE vec words_at(const walk *w, size_t offset)
{
    return _mm512_i32gather_epi32(w->apart, w->base + offset, 1);
}

/* Sixteen bytes of each row, turned: to[i] holds the rows' words i. */
INLINE void turn16(const walk *w, size_t offset, vec to[4])
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
INLINE void turn32(const walk *w, size_t offset, vec to[8])
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

#endif
