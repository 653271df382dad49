// format_legacy.glsl - Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: blocks of 32 (lib/quant/q_legacy.h).

const bool LEGACY_OFFSET = FORMAT == Q4_1 || FORMAT == Q5_1;
const uint LEGACY_HIGH = LEGACY_OFFSET ? 4 : 2; // where the fifth bits lie
const uint LEGACY_QUANTS = LEGACY_HIGH + (FORMAT == Q5_0 || FORMAT == Q5_1 ? 4 : 0);
const uint LEGACY_BYTES = LEGACY_QUANTS + (FORMAT == Q8_0 ? 32 : 16);

uint legacy_codes(uint64_t row, uint i)
{
    uint64_t b = row + uint64_t(i / 32) * LEGACY_BYTES;
    uint j = i % 32;
    if (FORMAT == Q8_0)
        return word_at_half(b + LEGACY_QUANTS + j);
    uint q = word_at_half(b + LEGACY_QUANTS + j % 16) >> (j / 16 * 4) & 15u * ONES;
    if (FORMAT == Q5_0 || FORMAT == Q5_1)
        q |= bits_to_bytes(word_at_half(b + LEGACY_HIGH) >> j) << 4;
    return LEGACY_OFFSET ? q : bytes_less(q, FORMAT == Q4_0 ? 8 : 16);
}

vec2 legacy_step(uint64_t row, uint i)
{
    uint64_t b = row + uint64_t(i / 32) * LEGACY_BYTES;
    return vec2(f16_at(b), LEGACY_OFFSET ? f16_at(b + 2) : 0);
}
