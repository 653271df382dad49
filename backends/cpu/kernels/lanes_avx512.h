/* lanes_avx512 - sixteen lanes as one register of AVX-512, with the functions that attn_lanes.h and
 * f32_lanes.h are written over. */
#ifndef LM_BACKENDS_CPU_KERNELS_LANES_AVX512_H
#define LM_BACKENDS_CPU_KERNELS_LANES_AVX512_H

#include "backends/cpu/kernels/math.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef __m512 lanes;

static inline lanes lanes_zero(void)
{
    return _mm512_setzero_ps();
}

static inline lanes lanes_set(float x)
{
    return _mm512_set1_ps(x);
}

static inline lanes lanes_load(const float *x)
{
    return _mm512_loadu_ps(x);
}

static inline lanes lanes_load_some(const float *x, uint32_t count)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), x);
}

static inline void lanes_store(float *to, lanes x)
{
    _mm512_storeu_ps(to, x);
}

static inline lanes lanes_add(lanes a, lanes b)
{
    return _mm512_add_ps(a, b);
}

static inline lanes lanes_sub(lanes a, lanes b)
{
    return _mm512_sub_ps(a, b);
}

static inline lanes lanes_mul(lanes a, lanes b)
{
    return _mm512_mul_ps(a, b);
}

static inline lanes lanes_mac(lanes x, lanes y, lanes sum)
{
    return _mm512_fmadd_ps(x, y, sum);
}

/* x > y ? x : y, so y when x is NaN. */
static inline lanes lanes_max(lanes x, lanes y)
{
    return _mm512_max_ps(x, y);
}

static inline lanes lanes_pick(uint32_t bits, lanes x, lanes y)
{
    return _mm512_mask_blend_ps((__mmask16)bits, y, x);
}

static inline float lanes_largest(lanes x)
{
    return _mm512_reduce_max_ps(x);
}

static inline lanes lanes_exponent(lanes shifted)
{
    __m512i one = _mm512_set1_epi32(LCPU_EXP_ONE);
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_sub_epi32(_mm512_castps_si512(shifted), one), 23));
}

static inline float lanes_reduce(lanes x)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline lanes lanes_load_f16(const uint8_t *from)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

static inline lanes lanes_load_bf16(const uint8_t *from)
{
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

static inline lanes lanes_load_i8(const int8_t *from)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)from);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

/* As the halves that they are under a bias of 15: 2^-8 of their value. NaN gets the topmost bit. */
static inline lanes lanes_load_e4m3(const uint8_t *from)
{
    __m256i bytes = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)from));
    __m256i half = _mm256_slli_epi16(bytes, 7);
    half = _mm256_and_si256(half, _mm256_set1_epi16((int16_t)0xbf80));
    __m256i carry = _mm256_add_epi16(half, _mm256_set1_epi16(0x80));
    half = _mm256_or_si256(half, _mm256_and_si256(carry, _mm256_set1_epi16(0x4000)));
    return _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0f));
}

static inline lanes lanes_set_f16(const void *from)
{
    int16_t bits;
    memcpy(&bits, from, sizeof bits);
    return _mm512_cvtph_ps(_mm256_set1_epi16(bits));
}

/* Sixteen halves `stride` bytes apart. */
static inline lanes lanes_gather_f16(const uint8_t *from, size_t stride)
{
    __m512i each = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i at = _mm512_mullo_epi32(each, _mm512_set1_epi32((int)stride));
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_i32gather_epi32(at, from, 1)));
}

/* Four by four within each quarter, then the quarters. */
static inline void lanes_transpose(lanes x[16])
{
    lanes y[16];
    for (int i = 0; i < 16; i += 4) {
        lanes ab = _mm512_unpacklo_ps(x[i], x[i + 1]), cd = _mm512_unpacklo_ps(x[i + 2], x[i + 3]);
        lanes ef = _mm512_unpackhi_ps(x[i], x[i + 1]), gh = _mm512_unpackhi_ps(x[i + 2], x[i + 3]);
        y[i] = _mm512_shuffle_ps(ab, cd, 0x44);
        y[i + 1] = _mm512_shuffle_ps(ab, cd, 0xee);
        y[i + 2] = _mm512_shuffle_ps(ef, gh, 0x44);
        y[i + 3] = _mm512_shuffle_ps(ef, gh, 0xee);
    }
    for (int i = 0; i < 4; i++) {
        lanes ab = _mm512_shuffle_f32x4(y[i], y[i + 4], 0x88);
        lanes cd = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0x88);
        lanes ef = _mm512_shuffle_f32x4(y[i], y[i + 4], 0xdd);
        lanes gh = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0xdd);
        x[i] = _mm512_shuffle_f32x4(ab, cd, 0x88);
        x[i + 4] = _mm512_shuffle_f32x4(ef, gh, 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(ab, cd, 0xdd);
        x[i + 12] = _mm512_shuffle_f32x4(ef, gh, 0xdd);
    }
}

#endif
