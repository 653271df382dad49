// linear_vec.comp - a few rows times a matrix: each weight is read once, its row's strands lie in
// STRANDS neighbouring invocations. x: rows of the weight; y: COLUMNS rows of the run, or one place
// of an expert; z: heads.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "linear.glsl"
#ifdef INTEGER_DOT
#include "linear_dot.glsl"
#endif

layout(constant_id = 4) const uint COLUMNS = 4;
layout(constant_id = 5) const bool GATED = false; // act(part 0) * part 1, of the same row
layout(constant_id = 6) const uint ACT = 0;
const uint TILE = gl_WorkGroupSize.x / STRANDS; // rows of the weight
const uint PAD = STRANDS + 1;
const uint TOGETHER = GATED ? 2 : 1; // parts that this workgroup multiplies

shared float strands[TOGETHER * TILE * COLUMNS * PAD];

uint place_of(uint column, uint head)
{
    uint n = gl_WorkGroupID.y * COLUMNS + column;
    return MODE == MODE_HEADS ? n * push.args.matrices + head : n;
}

// Span `s` of a row times the same of `live` inputs.
#ifdef INTEGER_DOT
void add_span(uint64_t weight, uint s, uint head, uint live, inout float sum[COLUMNS])
{
    Weights w = weights_of(weight, s);
    [[unroll]] for (uint c = 0; c < COLUMNS; c++)
        if (c < live)
            sum[c] = add_block(sum[c], w, InputAt(from_place(place_of(c, head)) + s * 48).v);
}
#else
void add_span(uint64_t weight, uint s, uint head, uint live, inout float sum[COLUMNS])
{
    vec2 step = vec2(0);
    [[unroll]] for (uint v = 0; v < SPAN; v += 4) {
        if (!IS_FLOAT && v % (STEP_OF_16 ? 16 : 32) == 0)
            step = step_of(weight, s * SPAN + v);
        vec4 w = weights_in(weight, s * SPAN + v, step);
        [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
            if (c >= live)
                break;
            vec4 x = inputs_in(from_place(place_of(c, head)), s * SPAN + v);
            [[unroll]] for (uint k = 0; k < 4; k++)
                sum[c] = fma(w[k], x[k], sum[c]);
        }
    }
}
#endif

// The strands of this invocation's row of `part`.
void add_row(uint matrix, uint local_row, uint lane, uint live)
{
    uint64_t weight = weight_row(matrix, tile * TILE + local_row);
    float sum[COLUMNS];
    for (uint c = 0; c < COLUMNS; c++)
        sum[c] = 0;
    uint spans = matrix < push.args.matrices ? (push.args.cols + SPAN - 1) / SPAN : 0;
    for (uint s = lane; s < spans; s += STRANDS)
        add_span(weight, s, gl_WorkGroupID.z, live, sum);
    for (uint c = 0; c < live; c++)
        strands[((part * TILE * uint(GATED) + local_row) * COLUMNS + c) * PAD + lane] = sum[c];
}

float sum_of(uint p, uint row, uint column)
{
    uint spans = (push.args.cols + SPAN - 1) / SPAN;
    precise float total = 0;
    for (uint s = 0; s < min(STRANDS, spans); s++)
        total = total + strands[((p * TILE + row) * COLUMNS + column) * PAD + s];
    return total;
}

void main()
{
    codebook = push.args.codes;
    uint head = gl_WorkGroupID.z, first = gl_WorkGroupID.y * COLUMNS, matrix = head;
    uint count = push.run.count[push.args.kind] * (MODE == MODE_EXPERTS ? push.args.used : 1);
    if (first >= count)
        return;
    if (MODE == MODE_EXPERTS)
        matrix = U32s(push.args.ids).v[first]; // -1: no expert, and nothing is read
    uint live = min(COLUMNS, count - first), lane = gl_LocalInvocationID.x % STRANDS;
    uint local_row = gl_LocalInvocationID.x / STRANDS;
    if (GATED) {
        part = 1;
        add_row(matrix, local_row, lane, live);
        part = 0;
    } else {
        find_part(TILE);
    }
    add_row(matrix, local_row, lane, live);
    barrier();

    for (uint i = gl_LocalInvocationID.x; i < TILE * live; i += LOCAL) {
        uint c = i / TILE, r = i % TILE, row = tile * TILE + r;
        if (row >= push.args.parts[part].rows)
            continue;
        if (GATED) {
            float gate = finished(0, matrix, row, sum_of(0, r, c));
            precise float y = lm_act(ACT, gate) * finished(1, matrix, row, sum_of(1, r, c));
            put(place_of(c, head), row, y);
        } else {
            store(matrix, place_of(c, head), row, sum_of(0, r, c));
        }
    }
}
