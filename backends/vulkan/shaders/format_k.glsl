// format_k.glsl - Q2_K to Q6_K: blocks of 256 in groups of 16 or 32 (lib/quant/q_2k.h to q_6k.h).

const uint Q2_K_BYTES = 84, Q3_K_BYTES = 110, Q4_K_BYTES = 144, Q5_K_BYTES = 176, Q6_K_BYTES = 210;

uint q2_k_codes(uint64_t b, uint k)
{
    return word_at(b + 16 + k / 128 * 32 + k % 32) >> (k % 128 / 32 * 2) & 3u * ONES;
}

vec2 q2_k_step(uint64_t b, uint k)
{
    uint s = byte_at(b + k / 16);
    return vec2(f16_at(b + 80) * float(s & 15u), -(f16_at(b + 82) * float(s >> 4)));
}

uint q3_k_codes(uint64_t b, uint k)
{
    uint low = word_at_half(b + 32 + k / 128 * 32 + k % 32) >> (k % 128 / 32 * 2) & 3u * ONES;
    uint high = word_at_half(b + k % 32) >> (k / 32) & ONES;
    return bytes_less(low | high << 2, 4);
}

vec2 q3_k_step(uint64_t b, uint k)
{
    uint g = k / 16;
    uint low = byte_at(b + 96 + g % 8) >> (g / 8 * 4) & 15u;
    uint high = byte_at(b + 104 + g % 4) >> (g / 4 * 2) & 3u;
    return vec2(f16_at(b + 108) * float(int(low | high << 4) - 32), 0);
}

// Of Q4_K; Q5_K has its fifth bits between the scales and the nibbles.
uint q4_k_codes(uint64_t b, uint k)
{
    uint nibbles = FORMAT == Q5_K ? 48 : 16;
    uint q = word_at(b + nibbles + k / 64 * 32 + k % 32) >> (k / 32 % 2 * 4) & 15u * ONES;
    if (FORMAT == Q5_K)
        q |= (word_at(b + 16 + k % 32) >> (k / 32) & ONES) << 4;
    return q;
}

// The same 32 at once: blocks and their parts are multiples of sixteen bytes.
void q4_k_codes32(uint64_t b, uint k, out uint codes[8])
{
    uint nibbles = FORMAT == Q5_K ? 48 : 16, shift = k / 32 % 2 * 4;
    [[unroll]] for (uint half_way = 0; half_way < 2; half_way++) {
        uvec4 q = QuadAt(b + nibbles + k / 64 * 32 + 16 * half_way).v >> shift & 15u * ONES;
        if (FORMAT == Q5_K)
            q |= (QuadAt(b + 16 + 16 * half_way).v >> (k / 32) & ONES) << 4;
        [[unroll]] for (uint j = 0; j < 4; j++)
            codes[half_way * 4 + j] = q[j];
    }
}

vec2 q4_k_step(uint64_t b, uint k)
{
    uvec4 head = QuadAt(b).v; // scale and minimum of the block, then twelve bytes of small ones
    uint g = k / 32, shift = g % 4 * 8;
    uint scales = head.y >> shift & 255u, offsets = head.z >> shift & 255u;
    uint rest = head.w >> shift & 255u;
    uint scale = g < 4 ? scales & 63u : (rest & 15u) | scales >> 6 << 4;
    uint offset = g < 4 ? offsets & 63u : rest >> 4 | offsets >> 6 << 4;
    vec2 d = unpackHalf2x16(head.x);
    return vec2(d.x * float(scale), -(d.y * float(offset)));
}

uint q6_k_codes(uint64_t b, uint k)
{
    uint h = k / 128, j = k % 128 / 32, l = k % 32;
    uint low = word_at_half(b + 64 * h + 32 * (j % 2) + l) >> (j / 2 * 4) & 15u * ONES;
    uint high = word_at_half(b + 128 + 32 * h + l) >> (2 * j) & 3u * ONES;
    return bytes_less(low | high << 4, 32);
}

vec2 q6_k_step(uint64_t b, uint k)
{
    int scale = int(byte_at(b + 192 + k / 16) << 24) >> 24;
    return vec2(f16_at(b + 208) * float(scale), 0);
}

uint64_t k_block(uint64_t row, uint i)
{
    return row + uint64_t(i / 256) * (FORMAT == Q2_K   ? Q2_K_BYTES
                                      : FORMAT == Q3_K ? Q3_K_BYTES
                                      : FORMAT == Q4_K ? Q4_K_BYTES
                                      : FORMAT == Q5_K ? Q5_K_BYTES
                                                       : Q6_K_BYTES);
}

uint k_codes(uint64_t row, uint i)
{
    uint64_t b = k_block(row, i);
    switch (FORMAT) {
    case Q2_K:
        return q2_k_codes(b, i % 256);
    case Q3_K:
        return q3_k_codes(b, i % 256);
    case Q6_K:
        return q6_k_codes(b, i % 256);
    default:
        return q4_k_codes(b, i % 256);
    }
}

vec2 k_step(uint64_t row, uint i)
{
    uint64_t b = k_block(row, i);
    switch (FORMAT) {
    case Q2_K:
        return q2_k_step(b, i % 256);
    case Q3_K:
        return q3_k_step(b, i % 256);
    case Q6_K:
        return q6_k_step(b, i % 256);
    default:
        return q4_k_step(b, i % 256);
    }
}
