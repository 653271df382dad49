// format_iq.glsl - the codebook formats IQ1, IQ2, IQ3 (lib/quant/q_iq1.h to q_iq3.h).

// The address of the format's codes, 16 bits each, as in lib/quant/iq_grids.h; a shader sets it
// from its arguments.
uint64_t codebook;

// Four codes of two or three bits, one per byte.
uint spread2(uint x)
{
    x = (x | x << 12) & 0x000f000fu;
    return (x | x << 6) & 3u * ONES;
}

uint spread3(uint x)
{
    x = (x | x << 10) & 0x003f003fu;
    return (x | x << 5) & 7u * ONES;
}

// Seven stored signs give eight: the number of negative values is even.
uint even_signs(uint seven) { return seven | (uint(bitCount(seven)) & 1u) << 7; }

// Four coordinates of a point of eight, as levels 0, 1, 2.
uint point_of_eight(uint index, uint k)
{
    return spread2(half_at(codebook + 2 * index) >> (k % 8 * 2) & 255u);
}

uint nibble_at(uint64_t at, uint n) { return byte_at(at + n / 2) >> (n % 2 * 4) & 15u; }

// --- IQ1: eighths, 8 (level - 1) + 1 or - 1 ------------------------------------------------------

uint iq1_codes(uint64_t b, uint k)
{
    uint g = k / 8, index, high, minus;
    if (FORMAT == IQ1_S) {
        high = half_at(b + 34 + g / 4 * 2);
        index = byte_at(b + 2 + g) | (high >> (g % 4 * 3) & 7u) << 8;
        minus = high >> 15;
    } else {
        high = nibble_at(b + 32, g);
        index = byte_at(b + g) | (high & 7u) << 8;
        minus = high >> 3;
    }
    return bytes_less(point_of_eight(index, k) * 8 + (minus == 1 ? 0 : 2 * ONES), 9);
}

float iq1_step(uint64_t b, uint k)
{
    if (FORMAT == IQ1_S)
        return f16_at(b) * float(2 * (half_at(b + 34 + k / 32 * 2) >> 12 & 7u) + 1) * 0.125;
    uint d = half_at(b + 48) >> 12 | half_at(b + 50) >> 12 << 4 | half_at(b + 52) >> 12 << 8 |
             half_at(b + 54) >> 12 << 12;
    uint step = half_at(b + 48 + k / 64 * 2) >> (k / 16 % 4 * 3) & 7u;
    return unpackHalf2x16(d).x * float(2 * step + 1) * 0.125;
}

// --- IQ2: levels 8, 25, 43 and signs -------------------------------------------------------------

uint iq2_codes(uint64_t b, uint k)
{
    uint g = k / 8, index, signs;
    if (FORMAT == IQ2_XXS) {
        uint64_t quad = b + 2 + g / 4 * 8;
        index = byte_at(quad + g % 4);
        signs = even_signs(word_at_half(quad + 4) >> (g % 4 * 7) & 127u);
    } else if (FORMAT == IQ2_XS) {
        uint pair = half_at(b + 2 + 2 * g);
        index = pair & 511u;
        signs = even_signs(pair >> 9);
    } else {
        index = byte_at(b + 2 + g) | (byte_at(b + 66 + g / 4) >> (g % 4 * 2) & 3u) << 8;
        signs = byte_at(b + 34 + g);
    }
    uint levels = point_of_eight(index, k);
    return bytes_negated(levels * 17 + (levels >> 1 & ONES) + 8 * ONES, signs >> (k % 8));
}

float iq2_step(uint64_t b, uint k)
{
    uint step = FORMAT == IQ2_XXS  ? half_at(b + 8 + k / 32 * 8) >> 12
                : FORMAT == IQ2_XS ? nibble_at(b + 66, k / 16)
                                   : nibble_at(b + 74, k / 16);
    return f16_at(b) * (0.5 + float(step)) * 0.25;
}

// --- IQ3: four coordinates of eight levels and signs ---------------------------------------------

uint iq3_codes(uint64_t b, uint k)
{
    uint g = k / 4, index = byte_at(b + 2 + g);
    if (FORMAT == IQ3_XXS) {
        uint signs = even_signs(word_at_half(b + 66 + g / 8 * 4) >> (g / 2 % 4 * 7) & 127u);
        uint levels = spread3(half_at(codebook + 2 * index)); // 4, 12, ... 52, 62
        uint magnitudes = levels * 8 + ((levels + ONES) >> 2 & 2u * ONES) + 4 * ONES;
        return bytes_negated(magnitudes, signs >> (k % 8));
    }
    index |= (byte_at(b + 66 + g / 8) >> (g % 8) & 1u) << 8;
    uint magnitudes = spread3(half_at(codebook + 2 * index)) * 2 + ONES; // 1, 3, ... 15
    return bytes_negated(magnitudes, byte_at(b + 74 + g / 2) >> (k % 8));
}

float iq3_step(uint64_t b, uint k)
{
    if (FORMAT == IQ3_XXS)
        return f16_at(b) * (0.5 + float(half_at(b + 68 + k / 32 * 4) >> 12)) * 0.5;
    return f16_at(b) * float(2 * nibble_at(b + 106, k / 32) + 1);
}

// -------------------------------------------------------------------------------------------------

uint64_t iq_block(uint64_t row, uint i)
{
    return row + uint64_t(i / 256) * (FORMAT == IQ1_S     ? 50
                                      : FORMAT == IQ1_M   ? 56
                                      : FORMAT == IQ2_XXS ? 66
                                      : FORMAT == IQ2_XS  ? 74
                                      : FORMAT == IQ2_S   ? 82
                                      : FORMAT == IQ3_XXS ? 98
                                                          : 110);
}

uint iq_codes(uint64_t row, uint i)
{
    uint64_t b = iq_block(row, i);
    if (FORMAT == IQ1_S || FORMAT == IQ1_M)
        return iq1_codes(b, i % 256);
    if (FORMAT == IQ3_XXS || FORMAT == IQ3_S)
        return iq3_codes(b, i % 256);
    return iq2_codes(b, i % 256);
}

vec2 iq_step(uint64_t row, uint i)
{
    uint64_t b = iq_block(row, i);
    if (FORMAT == IQ1_S || FORMAT == IQ1_M)
        return vec2(iq1_step(b, i % 256), 0);
    if (FORMAT == IQ3_XXS || FORMAT == IQ3_S)
        return vec2(iq3_step(b, i % 256), 0);
    return vec2(iq2_step(b, i % 256), 0);
}
