/* int8_vec256 - the registers of the int8 family: eight rows of weights with AVX2. See
 * int8_vec512.h for what the functions do. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_VEC256_H
#define LM_BACKENDS_CPU_KERNELS_INT8_VEC256_H

#include "base/bytes.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE         static inline __attribute__((always_inline))
#define EACH(i, count) _Pragma("GCC unroll 16") for (uint32_t i = 0; i < (count); i++)

#define ROWS 8u

typedef __m256i vec;
typedef __m256 vecf;
typedef __m256i byte_mask;

INLINE __m128i load16(const void *from)
{
    return _mm_loadu_si128(from);
}

INLINE vec v_load(const void *from)
{
    return _mm256_loadu_si256(from);
}

INLINE void v_store(void *to, vec x)
{
    _mm256_storeu_si256(to, x);
}

INLINE vec v_set8(int value)
{
    return _mm256_set1_epi8((char)value);
}

INLINE vec v_set16(int value)
{
    return _mm256_set1_epi16((short)value);
}

INLINE vec v_set32(uint32_t value)
{
    return _mm256_set1_epi32((int32_t)value);
}

INLINE vec v_and(vec a, vec b)
{
    return _mm256_and_si256(a, b);
}

INLINE vec v_or(vec a, vec b)
{
    return _mm256_or_si256(a, b);
}

INLINE vec v_xor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

INLINE vec v_and_or(vec x, vec mask, vec rest)
{
    return v_or(v_and(x, mask), rest);
}

INLINE vec v_choose(vec mask, vec a, vec b)
{
    return v_or(v_and(mask, a), _mm256_andnot_si256(mask, b));
}

INLINE vec v_add8(vec a, vec b)
{
    return _mm256_add_epi8(a, b);
}

INLINE vec v_sub8(vec a, vec b)
{
    return _mm256_sub_epi8(a, b);
}

INLINE vec v_mul16(vec a, vec b)
{
    return _mm256_mullo_epi16(a, b);
}

INLINE vec v_sub16(vec a, vec b)
{
    return _mm256_sub_epi16(a, b);
}

/* The high byte of each sixteen bits, with its sign. */
INLINE vec v_top16(vec x)
{
    return _mm256_srai_epi16(x, 8);
}

INLINE vec v_down16(vec x, uint32_t bits)
{
    return _mm256_srli_epi16(x, (int)bits);
}

INLINE vec v_add32(vec a, vec b)
{
    return _mm256_add_epi32(a, b);
}

INLINE vec v_down(vec x, uint32_t bits)
{
    return _mm256_srl_epi32(x, _mm_cvtsi32_si128((int)bits));
}

INLINE vec v_up(vec x, uint32_t bits)
{
    return _mm256_sll_epi32(x, _mm_cvtsi32_si128((int)bits));
}

INLINE vec v_top(vec x)
{
    return _mm256_srai_epi32(x, 24);
}

INLINE vec v_down_by(vec x, vec bits)
{
    return _mm256_srlv_epi32(x, bits);
}

INLINE vec v_up_by(vec x, vec bits)
{
    return _mm256_sllv_epi32(x, bits);
}

INLINE vec v_if_above(vec x, vec limit, vec a, vec b)
{
    return _mm256_blendv_epi8(b, a, _mm256_cmpgt_epi32(x, limit));
}

INLINE vec v_if_equal(vec x, vec y, vec a, vec b)
{
    return _mm256_blendv_epi8(b, a, _mm256_cmpeq_epi32(x, y));
}

INLINE vec v_lookup(__m128i table, vec index)
{
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), index);
}

INLINE vec v_shuffle(vec x, __m128i from)
{
    return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(from));
}

INLINE byte_mask v_test(vec x, vec bit)
{
    return _mm256_cmpeq_epi8(v_and(x, bit), bit);
}

INLINE vec v_add8_where(byte_mask where, vec a, vec b)
{
    return v_add8(a, v_and(where, b));
}

INLINE vec v_negate8_where(byte_mask where, vec x)
{
    return v_sub8(v_xor(x, where), where);
}

INLINE vec v_gather(const void *table, vec index)
{
    return _mm256_i32gather_epi32(table, index, 4);
}

INLINE vecf f_load(const void *from)
{
    return _mm256_loadu_ps(from);
}

INLINE void f_store(void *to, vecf x)
{
    _mm256_storeu_ps(to, x);
}

INLINE vecf f_load_some(const float *from, uint32_t count)
{
    float all[ROWS] = {0};
    memcpy(all, from, count * sizeof *from);
    return f_load(all);
}

INLINE void f_store_some(float *to, uint32_t count, vecf x)
{
    float all[ROWS];
    f_store(all, x);
    memcpy(to, all, count * sizeof *to);
}

INLINE vecf f_set(float value)
{
    return _mm256_set1_ps(value);
}

INLINE vecf f_from(vec whole)
{
    return _mm256_cvtepi32_ps(whole);
}

INLINE vecf f_bits(vec bits)
{
    return _mm256_castsi256_ps(bits);
}

INLINE vec v_bits(vecf x)
{
    return _mm256_castps_si256(x);
}

INLINE vecf f_mul(vecf a, vecf b)
{
    return _mm256_mul_ps(a, b);
}

INLINE vecf f_mac(vecf a, vecf b, vecf sum)
{
    return _mm256_fmadd_ps(a, b, sum);
}

INLINE vecf f_low_halves(vec words)
{
    vec low = v_and(words, v_set32(0xffff));
    low = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(low));
}

/* --- eight rows of the file ------------------------------------------------------------------- */

typedef struct walk {
    const uint8_t *base;
    size_t stride;
} walk;

INLINE walk walk_of(const uint8_t *base, size_t stride)
{
    return (walk){base, stride};
}

INLINE vec words_at(const walk *w, size_t offset)
{
    uint32_t words[ROWS];
    EACH (r, ROWS)
        words[r] = lm_load_u32(w->base + offset + r * w->stride);
    return _mm256_setr_epi32((int)words[0], (int)words[1], (int)words[2], (int)words[3],
                             (int)words[4], (int)words[5], (int)words[6], (int)words[7]);
}

INLINE void turn16(const walk *w, size_t offset, vec to[4])
{
    const uint8_t *from = w->base + offset;
    __m256i z[4], t[4];
    EACH (i, 4) {
        const uint8_t *row = from + i * w->stride;
        z[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(load16(row)),
                                       load16(row + 4 * w->stride), 1);
    }
    t[0] = _mm256_unpacklo_epi32(z[0], z[1]);
    t[1] = _mm256_unpackhi_epi32(z[0], z[1]);
    t[2] = _mm256_unpacklo_epi32(z[2], z[3]);
    t[3] = _mm256_unpackhi_epi32(z[2], z[3]);
    to[0] = _mm256_unpacklo_epi64(t[0], t[2]);
    to[1] = _mm256_unpackhi_epi64(t[0], t[2]);
    to[2] = _mm256_unpacklo_epi64(t[1], t[3]);
    to[3] = _mm256_unpackhi_epi64(t[1], t[3]);
}

INLINE void turn32(const walk *w, size_t offset, vec to[8])
{
    turn16(w, offset, to);
    turn16(w, offset + 16, to + 4);
}

#endif
