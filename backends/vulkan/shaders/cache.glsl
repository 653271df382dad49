// cache.glsl - keys and values as they lie in a page: F32, F16, BF16, Q8_0, E4M3.
#include "bytes.glsl"

const uint CACHE_F32 = 0, CACHE_F16 = 1, CACHE_Q8_0 = 8, CACHE_BF16 = 30, CACHE_E4M3 = 1001;

float cached(uint format, uint64_t head, uint i)
{
    if (format == CACHE_F32)
        return f32_at(head + 4 * i);
    if (format == CACHE_F16)
        return f16_at(head + 2 * i);
    if (format == CACHE_BF16)
        return bf16_at(head + 2 * i);
    if (format == CACHE_E4M3)
        return e4m3_of(byte_at(head + i));
    uint64_t block = head + i / 32 * 34;
    return f16_at(block) * float(int(byte_at(block + 2 + i % 32) << 24) >> 24);
}

// Values i to i + 3 of a head of `dim`, i a multiple of four; zeros behind its end.
vec4 cached4(uint format, uint dim, uint64_t head, uint i)
{
    if (dim % 4 != 0) {
        vec4 x = vec4(0);
        for (uint k = 0; k < 4 && i + k < dim; k++)
            x[k] = cached(format, head, i + k);
        return x;
    }
    if (format == CACHE_F32)
        return uintBitsToFloat(QuadAt(head + 4 * i).v);
    if (format == CACHE_Q8_0) {
        uint64_t block = head + i / 32 * 34;
        return f16_at(block) * signed_bytes(word_at_half(block + 2 + i % 32));
    }
    if (format == CACHE_E4M3)
        return e4m3_bytes(word_at(head + i));
    uvec2 w = PairAt(head + 2 * i).v;
    if (format == CACHE_F16)
        return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
    return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
}
