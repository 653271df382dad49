/* iq_grids - the codebooks of the IQ formats. A point of a codebook gives the magnitudes of four
 * or eight neighbouring values; it is stored as one code and spread to a byte per value when used.
 * The codes of a codebook ascend. */
#ifndef LM_QUANT_IQ_GRIDS_H
#define LM_QUANT_IQ_GRIDS_H

#include <stdint.h>

/* 2 bits per coordinate, 8 coordinates. */
extern const uint16_t lm_iq1_codes[2048]; /* both IQ1_S and IQ1_M */
extern const uint16_t lm_iq2_xxs_codes[256];
extern const uint16_t lm_iq2_xs_codes[512];
extern const uint16_t lm_iq2_s_codes[1024];
/* 3 bits per coordinate, 4 coordinates. */
extern const uint16_t lm_iq3_xxs_codes[256];
extern const uint16_t lm_iq3_s_codes[512];

/* The levels of a 2-bit code, one per byte, the first coordinate in the lowest byte. */
static inline uint64_t lm_iq_spread2(uint16_t code)
{
    uint64_t x = code;
    x = (x | x << 24) & 0x000000ff000000ffu;
    x = (x | x << 12) & 0x000f000f000f000fu;
    return (x | x << 6) & 0x0303030303030303u;
}

/* Levels 0, 1, 2 of the IQ2 formats mean 8, 25, 43. */
static inline uint64_t lm_iq2_magnitudes(uint16_t code)
{
    uint64_t x = lm_iq_spread2(code);
    return x * 17u + (x >> 1 & 0x0101010101010101u) + 0x0808080808080808u;
}

/* The levels of a 3-bit code, one per byte. */
static inline uint32_t lm_iq_spread3(uint16_t code)
{
    uint32_t x = code;
    x = (x | x << 10) & 0x003f003fu;
    return (x | x << 5) & 0x07070707u;
}

/* Levels 0 to 6 of IQ3_XXS mean 4, 12, ... 52; level 7 means 62. */
static inline uint32_t lm_iq3_xxs_magnitudes(uint16_t code)
{
    uint32_t x = lm_iq_spread3(code);
    return x * 8u + ((x + 0x01010101u) >> 2 & 0x02020202u) + 0x04040404u;
}

/* Level l of IQ3_S means 2 l + 1. */
static inline uint32_t lm_iq3_s_magnitudes(uint16_t code)
{
    return lm_iq_spread3(code) * 2u + 0x01010101u;
}

/* Seven stored signs give eight: the number of negative values is even. */
static inline uint8_t lm_iq_even_signs(uint32_t seven)
{
    uint32_t parity = seven ^ seven >> 4;
    parity ^= parity >> 2;
    parity ^= parity >> 1;
    return (uint8_t)(seven | (parity & 1u) << 7);
}

#endif
