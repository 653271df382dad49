// linear_mat.comp - many rows times a matrix, in tiles: TILE_ROWS rows of the weight by COLUMNS rows
// of the run, DEPTH values at a time through shared memory. Strand after strand, so that the sums
// are those of linear_vec.comp. x: tiles of the weight; y: of the run, or the sorted tiles of
// experts; z: heads. 128 invocations.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "linear.glsl"
#include "linear_tile.glsl"

const uint DEPTH = 32;
const uint PARTS = 128 / COLUMNS; // invocations that load one input row

shared vec4 weights[DEPTH][TILE_ROWS / 4 + 1];
shared float inputs[DEPTH][COLUMNS + 1];

// Where value `k` of tile `t` of a strand lies in the row.
uint column_of(uint strand, uint t, uint k)
{
    return ((t * (DEPTH / SPAN) + k / SPAN) * STRANDS + strand) * SPAN + k % SPAN;
}

void load_weights(uint64_t row, uint strand, uint t)
{
    uint m = gl_LocalInvocationID.x % TILE_ROWS, first = gl_LocalInvocationID.x / TILE_ROWS * 16;
    vec2 step = IS_FLOAT ? vec2(0) : step_of(row, column_of(strand, t, first));
    for (uint k = first; k < first + 16; k += 4) {
        uint i = column_of(strand, t, k);
        vec4 w = i < push.args.cols ? weights_in(row, i, step) : vec4(0);
        for (uint j = 0; j < 4; j++)
            weights[k + j][m / 4][m % 4] = w[j];
    }
}

void load_inputs(uint64_t from, uint strand, uint t)
{
    uint n = gl_LocalInvocationID.x % COLUMNS, each = DEPTH / PARTS;
    uint first = gl_LocalInvocationID.x / COLUMNS * each;
    for (uint k = first; k < first + each; k += 4) {
        uint i = column_of(strand, t, k);
        vec4 x = from != 0 && i < push.args.cols ? inputs_in(from, i) : vec4(0);
        for (uint j = 0; j < 4; j++)
            inputs[k + j][n] = x[j];
    }
}

void main()
{
    codebook = push.args.codes;
    uint matrix, live = find_places(matrix);
    if (live == 0)
        return;
    barrier();
    uint tm = gl_LocalInvocationID.x % 8, tn = gl_LocalInvocationID.x / 8;
    uint64_t row = loaded_row(matrix), from = loaded_input(live);

    precise vec4 total[2][EACH];
    for (uint j = 0; j < EACH; j++)
        total[0][j] = total[1][j] = vec4(0);
    uint spans = matrix < push.args.matrices ? (push.args.cols + SPAN - 1) / SPAN : 0;
    for (uint strand = 0; strand < min(STRANDS, spans); strand++) {
        uint values = (spans - strand + STRANDS - 1) / STRANDS * SPAN;
        precise vec4 sum[2][EACH];
        for (uint j = 0; j < EACH; j++)
            sum[0][j] = sum[1][j] = vec4(0);
        for (uint t = 0; t * DEPTH < values; t++) {
            load_weights(row, strand, t);
            load_inputs(from, strand, t);
            barrier();
            uint depth = SPAN == DEPTH ? DEPTH : min(DEPTH, values - t * DEPTH);
            for (uint k = 0; k < depth; k++) {
                vec4 low = weights[k][tm], high = weights[k][8 + tm];
                [[unroll]] for (uint j = 0; j < EACH; j++) {
                    float x = inputs[k][tn + 16 * j];
                    sum[0][j] = fma(low, vec4(x), sum[0][j]);
                    sum[1][j] = fma(high, vec4(x), sum[1][j]);
                }
            }
            barrier();
        }
        for (uint j = 0; j < EACH; j++) {
            total[0][j] = total[0][j] + sum[0][j];
            total[1][j] = total[1][j] + sum[1][j];
        }
    }
    store_tile(total, matrix, live);
}
