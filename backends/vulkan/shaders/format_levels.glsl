// format_levels.glsl - four-bit codes that stand for levels: IQ4_NL, IQ4_XS, MXFP4, NVFP4
// (lib/quant/q_iq4.h, q_fp4.h).

const uint LEVELS_BLOCK = FORMAT == IQ4_XS ? 256 : FORMAT == NVFP4 ? 64 : 32;
const uint LEVELS_GROUP = FORMAT == NVFP4 ? 16 : 32;
const uint LEVELS_QUANTS = FORMAT == IQ4_NL ? 2 : FORMAT == IQ4_XS ? 8 : FORMAT == MXFP4 ? 1 : 4;
const uint LEVELS_BYTES = LEVELS_QUANTS + LEVELS_BLOCK / 2;

// Sixteen signed bytes each.
const uvec4 IQ4_LEVELS = uvec4(0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u);
const uvec4 FP4_LEVELS = uvec4(0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu);

uint level(uint code)
{
    uvec4 levels = FP4_LEVELS;
    if (FORMAT == IQ4_NL || FORMAT == IQ4_XS)
        levels = IQ4_LEVELS;
    uvec2 part = (code & 8u) == 0 ? levels.xy : levels.zw;
    return ((code & 4u) == 0 ? part.x : part.y) >> (code & 3u) * 8 & 255u;
}

uint levels_codes(uint64_t row, uint i)
{
    uint j = i % LEVELS_GROUP, half_group = LEVELS_GROUP / 2;
    uint64_t at = row + uint64_t(i / LEVELS_BLOCK) * LEVELS_BYTES + LEVELS_QUANTS +
                  i % LEVELS_BLOCK / LEVELS_GROUP * half_group + j % half_group;
    uint q = FORMAT == MXFP4 ? word_at_byte(at) : word_at_half(at);
    q >>= j / half_group * 4;
    return level(q) | level(q >> 8) << 8 | level(q >> 16) << 16 | level(q >> 24) << 24;
}

float mxfp4_scale(uint s) { return uintBitsToFloat(s < 2 ? 0x00200000u << s : (s - 1) << 23); }

float nvfp4_scale(uint s)
{
    uint exponent = s >> 3 & 15u, mantissa = s & 7u;
    float scale = exponent == 0 ? float(mantissa) * (1.0 / 1024)
                                : uintBitsToFloat((exponent + 119) << 23 | mantissa << 20);
    return s == 0x7f ? 0 : scale;
}

float iq4_xs_scale(uint64_t b, uint g)
{
    uint low = byte_at(b + 4 + g / 2) >> (g % 2 * 4) & 15u, high = half_at(b + 2) >> (2 * g) & 3u;
    return f16_at(b) * float(int(low | high << 4) - 32);
}

vec2 levels_step(uint64_t row, uint i)
{
    uint64_t b = row + uint64_t(i / LEVELS_BLOCK) * LEVELS_BYTES;
    switch (FORMAT) {
    case IQ4_NL:
        return vec2(f16_at(b), 0);
    case IQ4_XS:
        return vec2(iq4_xs_scale(b, i % 256 / 32), 0);
    case MXFP4:
        return vec2(mxfp4_scale(byte_at(b)), 0);
    default:
        return vec2(nvfp4_scale(byte_at(b + i % 64 / 16)), 0);
    }
}
