// linear_dot.glsl - integer dot products of 32 weights and 32 inputs rounded to bytes. Needs
// VK_KHR_shader_integer_dot_product; compilers without GL_EXT_integer_dot_product know the
// instruction all the same.
#extension GL_EXT_spirv_intrinsics : require

// OpSDot; the last operand says that four bytes are packed in each word.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018], id = 4450)
int packed_dot(uint a, uint b, spirv_literal int packing);

// As quantize_rows.comp writes it.
struct Input {
    uint codes[8];
    float scale;
    uint sums; // of the codes, 16 and 16
    uint padding[2];
};

layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer InputAt { Input v; };

struct Weights {
    uint codes[8];
    vec2 low, high; // steps and offsets of the first and the last sixteen
};

Weights weights_of(uint64_t row, uint block)
{
    Weights w;
    codes32(row, block * 32, w.codes);
    w.low = step_of(row, block * 32);
    w.high = STEP_OF_16 ? step_of(row, block * 32 + 16) : w.low;
    return w;
}

// A block's products under their steps and the input's scale. `dots` and `sums`: of 16 and 16.
float add_products(float sum, vec2 low, vec2 high, ivec2 dots, float scale, uint sums)
{
    int low_sum = int(sums << 16) >> 16, high_sum = int(sums) >> 16;
    if (!STEP_OF_16) {
        sum = fma(float(dots.x + dots.y), low.x * scale, sum);
        return HAS_OFFSET ? fma(float(low_sum + high_sum), low.y * scale, sum) : sum;
    }
    sum = fma(float(dots.x), low.x * scale, sum);
    sum = fma(float(dots.y), high.x * scale, sum);
    if (!HAS_OFFSET)
        return sum;
    sum = fma(float(low_sum), low.y * scale, sum);
    return fma(float(high_sum), high.y * scale, sum);
}

float add_block(float sum, Weights w, Input x)
{
    ivec2 dots = ivec2(0);
    [[unroll]] for (uint j = 0; j < 4; j++)
        dots += ivec2(packed_dot(w.codes[j], x.codes[j], 0), packed_dot(w.codes[4 + j], x.codes[4 + j], 0));
    return add_products(sum, w.low, w.high, dots, x.scale, x.sums);
}
