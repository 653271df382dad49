// linear.glsl - what the multiplications share: their arguments, which rows belong together, and
// the order of every sum (docs/numerics.md): a row is cut into spans, span s belongs to strand s mod
// STRANDS, a strand is one chain of fused multiply-adds in rising order, and the strands are added
// up in rising order. So one row and a tile of many give the same bits.
#include "format.glsl"

const uint MODE_PLAIN = 0, MODE_HEADS = 1, MODE_EXPERTS = 2;
layout(constant_id = 3) const uint MODE = MODE_PLAIN;

const uint STRANDS = 32;
const uint SPAN = IS_FLOAT ? 8 : 32;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    uint64_t weight, matrix_bytes; // of one matrix: of a head, of an expert
    uint64_t bias;                 // [matrices, rows] or 0
    uint64_t from, to;             // [places, cols], [places, rows]; see INPUT_BYTES
    uint64_t codes;                // of formats with a codebook
    uint64_t ids;                  // [places] experts
    uint64_t order;                // sorted places and tiles of experts; see expert_sort.comp
    uint rows, cols, row_bytes;
    uint kind;              // which count of the run
    uint matrices;          // heads or experts
    uint used, own_input;   // experts: per row, and whether each place has an input of its own
    float scale;
};
PUSH(Args);

// Inputs are floats, or as quantize_rows.comp leaves them.
#ifdef INTEGER_DOT
#define INPUT_BYTES(cols) ((cols) / 32 * 48)
#else
#define INPUT_BYTES(cols) ((cols) * 4)
#endif

// A place is a row of the run, a head of it, or an expert's part of it.
uint64_t from_place(uint place)
{
    uint row = MODE == MODE_EXPERTS && push.args.own_input == 0 ? place / push.args.used : place;
    return push.args.from + uint64_t(row) * INPUT_BYTES(push.args.cols);
}

F32s to_place(uint place) { return F32s(push.args.to + uint64_t(place) * push.args.rows * 4); }

uint64_t weight_row(uint matrix, uint row)
{
    return push.args.weight + matrix * push.args.matrix_bytes + uint64_t(row) * push.args.row_bytes;
}

// Weights and inputs from i to i + 3; zeros behind the end of a row. `step` is step_of(row, i), which
// callers ask for once where values share it.
vec4 weights_in(uint64_t row, uint i, vec2 step)
{
    if (!IS_FLOAT)
        return decoded(codes4(row, i), step);
    if (ALIGNED || i + 4 <= push.args.cols)
        return float_weights4(row, i);
    vec4 w = vec4(0);
    for (uint k = 0; i + k < push.args.cols; k++)
        w[k] = float_weight(row, i + k);
    return w;
}

vec4 inputs_in(uint64_t from, uint i)
{
    if (!IS_FLOAT || ALIGNED)
        return uintBitsToFloat(QuadAt(from + 4 * i).v);
    vec4 x = vec4(0);
    for (uint k = 0; k < 4 && i + k < push.args.cols; k++)
        x[k] = f32_at(from + 4 * (i + k));
    return x;
}

void store(uint matrix, uint place, uint row, float sum)
{
    precise float y = push.args.scale == 1 ? sum : sum * push.args.scale;
    if (push.args.bias != 0)
        y = y + F32s(push.args.bias).v[matrix * push.args.rows + row];
    to_place(place).v[row] = y;
}
