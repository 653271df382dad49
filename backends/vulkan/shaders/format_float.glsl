// format_float.glsl - F32, F16, BF16. Rows have any length, so a row of halves may begin between
// two words; ALIGNED says that rows are multiples of eight values.

float float_weight(uint64_t row, uint i)
{
    if (FORMAT == F32)
        return f32_at(row + 4 * i);
    return FORMAT == F16 ? f16_at(row + 2 * i) : bf16_at(row + 2 * i);
}

vec4 float_weights4(uint64_t row, uint i)
{
    if (!ALIGNED)
        return vec4(float_weight(row, i), float_weight(row, i + 1), float_weight(row, i + 2),
                    float_weight(row, i + 3));
    if (FORMAT == F32)
        return uintBitsToFloat(QuadAt(row + 4 * i).v);
    uvec2 w = PairAt(row + 2 * i).v;
    if (FORMAT == F16)
        return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
    return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
}
