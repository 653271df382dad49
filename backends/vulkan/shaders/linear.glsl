// linear.glsl - what the multiplications share: their arguments, which rows belong together, and
// the order of every sum (docs/numerics.md): a row is cut into spans, span s belongs to strand s mod
// STRANDS, a strand is one chain of fused multiply-adds in rising order, and the strands are added
// up in rising order. So one row and a tile of many give the same bits.
#include "format.glsl"
#include "math.glsl"

const uint MODE_PLAIN = 0, MODE_HEADS = 1, MODE_EXPERTS = 2;
layout(constant_id = 3) const uint MODE = MODE_PLAIN;

const uint STRANDS = 32;
const uint SPAN = IS_FLOAT ? 8 : 32;

// One of the weights that meet the same inputs.
struct Part {
    uint64_t weight, matrix_bytes; // of one matrix: of a head, of an expert
    uint64_t bias;                 // [matrices, rows] or 0
    uint64_t to;                   // [places, rows]
    uint64_t residual;             // added in the end, [places, rows] or 0
    uint rows, row_bytes;
    float scale;
    uint padding;
};

const uint MAX_PARTS = 3;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    uint64_t from;          // [places, cols]; see INPUT_BYTES
    uint64_t codes;         // of formats with a codebook
    uint64_t ids;           // [places] experts
    uint64_t order;         // sorted places and tiles of experts; see expert_sort.comp
    uint64_t scales;        // of halved inputs, by row; see halve_rows.comp
    uint cols, kind;        // which count of the run
    uint matrices;          // heads or experts
    uint used, own_input;   // experts: per row, and whether each place has an input of its own
    uint n_parts;
    Part parts[MAX_PARTS];
};
PUSH(Args);

// Which weight this workgroup is of, and which tile of that weight's rows.
uint part = 0, tile = gl_WorkGroupID.x;

void find_part(uint tile_rows)
{
    for (; part + 1 < push.args.n_parts; part++) {
        uint tiles = (push.args.parts[part].rows + tile_rows - 1) / tile_rows;
        if (tile < tiles)
            break;
        tile -= tiles;
    }
}

// Inputs are floats, or as quantize_rows.comp or halve_rows.comp leaves them.
#if defined(INTEGER_DOT)
#define INPUT_BYTES(cols) ((cols) / 32 * 48)
#elif defined(COOPERATIVE)
#define INPUT_BYTES(cols) (((cols) + 31) / 32 * 64)
#else
#define INPUT_BYTES(cols) ((cols) * 4)
#endif

// A place is a row of the run, a head of it, or an expert's part of it.
uint from_row(uint place)
{
    return MODE == MODE_EXPERTS && push.args.own_input == 0 ? place / push.args.used : place;
}

uint64_t from_place(uint place)
{
    return push.args.from + uint64_t(from_row(place)) * INPUT_BYTES(push.args.cols);
}

uint64_t weight_row(uint matrix, uint row)
{
    return push.args.parts[part].weight + matrix * push.args.parts[part].matrix_bytes +
           uint64_t(min(row, push.args.parts[part].rows - 1)) * push.args.parts[part].row_bytes;
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

// --- results --------------------------------------------------------------------------------------

// Of a part's row, before the residual; 0 for places without an expert.
float finished(uint p, uint matrix, uint row, float sum)
{
    if (matrix >= push.args.matrices)
        return 0;
    float scale = push.args.parts[p].scale;
    uint64_t bias = push.args.parts[p].bias;
    precise float y = scale == 1 ? sum : sum * scale;
    if (bias != 0)
        y = y + F32s(bias).v[matrix * push.args.parts[p].rows + row];
    return y;
}

void put(uint place, uint row, float y)
{
    uint rows = push.args.parts[part].rows;
    uint64_t residual = push.args.parts[part].residual;
    precise float sum = y;
    if (residual != 0)
        sum = sum + F32s(residual + uint64_t(place) * rows * 4).v[row];
    F32s(push.args.parts[part].to + uint64_t(place) * rows * 4).v[row] = sum;
}

void store(uint matrix, uint place, uint row, float sum)
{
    put(place, row, finished(part, matrix, row, sum));
}
