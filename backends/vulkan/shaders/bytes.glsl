// bytes.glsl - reading memory behind addresses, and arithmetic on four bytes in one word.
#ifndef BYTES_GLSL
#define BYTES_GLSL

layout(buffer_reference, scalar, buffer_reference_align = 1) readonly buffer ByteAt { uint8_t v; };
layout(buffer_reference, scalar, buffer_reference_align = 2) readonly buffer HalfAt { uint16_t v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer WordAt { uint v; };
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer PairAt { uvec2 v; };
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer QuadAt { uvec4 v; };

uint byte_at(uint64_t at) { return uint(ByteAt(at).v); }
uint half_at(uint64_t at) { return uint(HalfAt(at).v); }
uint word_at(uint64_t at) { return WordAt(at).v; }

// Four bytes from an address of less than a word's alignment.
uint word_at_half(uint64_t at) { return half_at(at) | half_at(at + 2) << 16; }
uint word_at_byte(uint64_t at)
{
    return byte_at(at) | byte_at(at + 1) << 8 | byte_at(at + 2) << 16 | byte_at(at + 3) << 24;
}

float f32_at(uint64_t at) { return uintBitsToFloat(word_at(at)); }
float f16_at(uint64_t at) { return unpackHalf2x16(half_at(at)).x; }
float bf16_at(uint64_t at) { return uintBitsToFloat(half_at(at) << 16); }

// A number of lib/base/half.h.
float e4m3_of(uint b)
{
    uint magnitude = b & 0x7fu, bits = (magnitude << 20) + 0x3c000000u;
    if (magnitude < 8u)
        bits = floatBitsToUint(float(magnitude) * (1.0 / 512));
    if (magnitude == 0x7fu)
        bits = 0x7fc00000u;
    return uintBitsToFloat(bits | (b & 0x80u) << 24);
}

vec4 e4m3_bytes(uint w)
{
    return vec4(e4m3_of(w & 255u), e4m3_of(w >> 8 & 255u), e4m3_of(w >> 16 & 255u), e4m3_of(w >> 24));
}

const uint ONES = 0x01010101u; // one in each byte

vec4 signed_bytes(uint w)
{
    return vec4(int(w << 24) >> 24, int(w << 16) >> 24, int(w << 8) >> 24, int(w) >> 24);
}

// Each byte, below 128, less `n`.
uint bytes_less(uint w, uint n) { return ((w | 0x80u * ONES) - n * ONES) ^ 0x80u * ONES; }

// Bit i of four, in byte i.
uint bits_to_bytes(uint bits) { return (bits & 15u) * 0x00204081u & ONES; }

// Each byte, not 0, with the sign minus where its bit is set.
uint bytes_negated(uint w, uint bits)
{
    uint minus = bits_to_bytes(bits);
    return (w ^ minus * 255u) + minus;
}

#endif
