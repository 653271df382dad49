/* half - conversions between float and the narrow floating formats, exact and branch-light.
 * Float to narrow rounds to nearest, ties to even; NaN stays NaN. */
#ifndef LM_BASE_HALF_H
#define LM_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float lm_f32_from_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline uint32_t lm_f32_bits(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline float lm_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 31u, mantissa = h & 1023u;
    if (exponent == 31)
        return lm_f32_from_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent != 0)
        return lm_f32_from_bits(sign | (exponent + 112u) << 23 | mantissa << 13);
    /* subnormal: mantissa * 2^-24 is exact in float */
    float magnitude = (float)mantissa * 5.9604644775390625e-8f;
    return lm_f32_from_bits(sign | lm_f32_bits(magnitude));
}

static inline uint16_t lm_f32_to_f16(float v)
{
    uint32_t bits = lm_f32_bits(v);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) /* quiet, with the payload that fits */
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x477ff000u) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: adding 0.5 lets the hardware round */
        float shifted = lm_f32_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (lm_f32_bits(shifted) - 0x3f000000u));
    }
    uint32_t odd = magnitude >> 13 & 1u;
    return (uint16_t)(sign | ((magnitude + 0xfffu + odd - 0x38000000u) >> 13));
}

static inline float lm_bf16_to_f32(uint16_t h)
{
    return lm_f32_from_bits((uint32_t)h << 16);
}

static inline uint16_t lm_f32_to_bf16(float v)
{
    uint32_t bits = lm_f32_bits(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 64u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* E4M3 in the "FN" variant: no infinities, 0x7f and 0xff are NaN, largest 448. */
static inline float lm_e4m3_to_f32(uint8_t e)
{
    uint32_t sign = (uint32_t)(e & 0x80u) << 24;
    uint32_t exponent = (e >> 3) & 15u, mantissa = e & 7u;
    if ((e & 0x7fu) == 0x7fu)
        return lm_f32_from_bits(sign | 0x7fc00000u);
    if (exponent == 0)
        return lm_f32_from_bits(sign | lm_f32_bits((float)mantissa * 0.001953125f));
    return lm_f32_from_bits(sign | (exponent + 120u) << 23 | mantissa << 20);
}

static inline uint8_t lm_f32_to_e4m3(float v)
{
    uint32_t bits = lm_f32_bits(v);
    uint8_t sign = (uint8_t)(bits >> 24 & 0x80u);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint8_t)(sign | 0x7fu);
    if (magnitude >= 0x43e00000u) /* 448 and more saturate */
        return (uint8_t)(sign | 0x7eu);
    if (magnitude < 0x3c800000u) { /* below 2^-6: adding 2^14 rounds to multiples of 2^-9 */
        float shifted = lm_f32_from_bits(magnitude) + 16384.0f;
        return (uint8_t)(sign | (lm_f32_bits(shifted) - 0x46800000u));
    }
    uint32_t odd = magnitude >> 20 & 1u;
    uint32_t rounded = (magnitude + 0x7ffffu + odd - 0x3c000000u) >> 20;
    return (uint8_t)(sign | (rounded > 0x7eu ? 0x7eu : rounded));
}

#endif
