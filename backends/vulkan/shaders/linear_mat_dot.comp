// linear_mat_dot.comp - linear_mat.comp in integer dot products: one block of 32 at a time through
// shared memory, the sums of linear_vec.comp with INTEGER_DOT. 128 invocations.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "linear.glsl"
#include "linear_dot.glsl"
#include "linear_tile.glsl"

const uint PARTS = 128 / COLUMNS; // invocations that load one input row

shared uint weights[8][TILE_ROWS + 1];
shared vec2 steps[2][TILE_ROWS];
shared uint inputs[8][COLUMNS + 1];
shared float scales[COLUMNS];
shared uint sums[COLUMNS];

void load_weights(uint64_t row, uint block)
{
    uint m = gl_LocalInvocationID.x % TILE_ROWS, side = gl_LocalInvocationID.x / TILE_ROWS;
    for (uint j = 0; j < 4; j++)
        weights[side * 4 + j][m] = codes4(row, block * 32 + side * 16 + 4 * j);
    if (STEP_OF_16 || side == 0)
        steps[side][m] = step_of(row, block * 32 + side * 16);
}

void load_inputs(uint64_t from, uint block)
{
    uint n = gl_LocalInvocationID.x % COLUMNS, part = gl_LocalInvocationID.x / COLUMNS;
    if (from == 0)
        return;
    InputAt x = InputAt(from + block * 48);
    for (uint j = part; j < 8; j += PARTS)
        inputs[j][n] = x.v.codes[j];
    if (part == 0) {
        scales[n] = x.v.scale;
        sums[n] = x.v.sums;
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
    uint blocks = matrix < push.args.matrices ? push.args.cols / 32 : 0;
    for (uint strand = 0; strand < min(STRANDS, blocks); strand++) {
        vec4 sum[2][EACH];
        for (uint j = 0; j < EACH; j++)
            sum[0][j] = sum[1][j] = vec4(0);
        for (uint block = strand; block < blocks; block += STRANDS) {
            load_weights(row, block);
            load_inputs(from, block);
            barrier();
            for (uint i = 0; i < 8; i++) {
                uint m = i / 4 * 32 + tm * 4 + i % 4;
                for (uint j = 0; j < EACH; j++) {
                    uint n = tn + 16 * j;
                    ivec2 dots = ivec2(0);
                    [[unroll]] for (uint k = 0; k < 4; k++)
                        dots += ivec2(packed_dot(weights[k][m], inputs[k][n], 0),
                                      packed_dot(weights[4 + k][m], inputs[4 + k][n], 0));
                    sum[i / 4][j][i % 4] = add_products(sum[i / 4][j][i % 4], steps[0][m],
                                                        steps[STEP_OF_16 ? 1 : 0][m], dots, scales[n], sums[n]);
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
