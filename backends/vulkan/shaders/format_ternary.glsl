// format_ternary.glsl - TQ1_0 and TQ2_0 (lib/quant/q_ternary.h).

const uint TERNARY_SCALE = FORMAT == TQ1_0 ? 52 : 64, TERNARY_BYTES = TERNARY_SCALE + 2;

// Digit n, behind whose power of three the byte was multiplied.
uint tq1_0_digit(uint w, uint power) { return ((w & 255u) * power & 255u) * 3 >> 8; }

uint tq1_0_codes(uint64_t b, uint k)
{
    uvec3 run = k < 160 ? uvec3(0, 32, 0) : k < 240 ? uvec3(32, 16, 160) : uvec3(48, 4, 240);
    uint w = word_at_half(b + run.x + (k - run.z) % run.y), n = (k - run.z) / run.y;
    uint power = n == 0 ? 1 : n == 1 ? 3 : n == 2 ? 9 : n == 3 ? 27 : 81;
    return tq1_0_digit(w, power) | tq1_0_digit(w >> 8, power) << 8 |
           tq1_0_digit(w >> 16, power) << 16 | tq1_0_digit(w >> 24, power) << 24;
}

uint tq2_0_codes(uint64_t b, uint k)
{
    return word_at_half(b + k / 128 * 32 + k % 32) >> (k % 128 / 32 * 2) & 3u * ONES;
}

uint ternary_codes(uint64_t row, uint i)
{
    uint64_t b = row + uint64_t(i / 256) * TERNARY_BYTES;
    return bytes_less(FORMAT == TQ1_0 ? tq1_0_codes(b, i % 256) : tq2_0_codes(b, i % 256), 1);
}

vec2 ternary_step(uint64_t row, uint i)
{
    return vec2(f16_at(row + uint64_t(i / 256) * TERNARY_BYTES + TERNARY_SCALE), 0);
}
