// linear_mat_coop.comp - many rows times a matrix with VK_KHR_cooperative_matrix: operands of F16, sums
// of F32. The inputs are as halve_rows.comp leaves them. Subgroups share a tile's fragments out; those
// that are too many do none. x, y, z as in linear_mat.comp. 128 invocations.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define COOPERATIVE
#include "common.glsl"
#include "linear.glsl"
#include "linear_tile.glsl"

// A fragment, and the grid of subgroups that have some.
layout(constant_id = 5) const uint FRAGMENT_M = 16;
layout(constant_id = 6) const uint FRAGMENT_N = 16;
layout(constant_id = 7) const uint FRAGMENT_K = 16;
layout(constant_id = 8) const uint GRID_M = 2;
layout(constant_id = 9) const uint GRID_N = 2;

const uint DEPTH = 32, PAD = 2; // of values and of vectors: banks of shared memory
const uint LINE = DEPTH / 4 + PAD;
const uint MS = TILE_ROWS / FRAGMENT_M / GRID_M; // fragments of a subgroup
const uint NS = COLUMNS / FRAGMENT_N / GRID_N;
const uint PARTS = 128 / COLUMNS; // invocations that load one input row

shared f16vec4 weights[TILE_ROWS * LINE];
shared f16vec4 inputs[COLUMNS * LINE];
shared float results[GRID_M * GRID_N * FRAGMENT_M * FRAGMENT_N];
shared float scales[COLUMNS];

void load_weights(uint64_t row, uint at)
{
    uint m = gl_LocalInvocationID.x % TILE_ROWS, first = gl_LocalInvocationID.x / TILE_ROWS * 16;
    vec2 step = IS_FLOAT || at >= push.args.cols ? vec2(0) : step_of(row, at + first);
    for (uint k = first; k < first + 16; k += 4) {
        vec4 w = at + k < push.args.cols ? weights_in(row, at + k, step) : vec4(0);
        weights[m * LINE + k / 4] = f16vec4(w);
    }
}

void load_inputs(uint64_t from, uint at)
{
    uint n = gl_LocalInvocationID.x % COLUMNS, each = DEPTH / PARTS;
    uint first = gl_LocalInvocationID.x / COLUMNS * each;
    for (uint k = first; k < first + each; k += 8) {
        uvec4 x = from != 0 ? QuadAt(from + 2 * (at + k)).v : uvec4(0);
        inputs[n * LINE + k / 4] = f16vec4(unpackFloat2x16(x.x), unpackFloat2x16(x.y));
        inputs[n * LINE + k / 4 + 1] = f16vec4(unpackFloat2x16(x.z), unpackFloat2x16(x.w));
    }
}

// Through shared memory: which invocation holds what of a fragment is not known.
void store_fragment(uint base, uint m, uint n, uint matrix, uint live)
{
    for (uint i = gl_SubgroupInvocationID; i < FRAGMENT_M * FRAGMENT_N; i += gl_SubgroupSize) {
        uint row = tile * TILE_ROWS + m + i % FRAGMENT_M, column = n + i / FRAGMENT_M;
        if (row < push.args.parts[part].rows && column < live)
            store(matrix, places[column], row, results[base + i] * scales[column]);
    }
}

void main()
{
    codebook = push.args.codes;
    uint matrix, live = find_places(matrix);
    if (live == 0)
        return;
    barrier();
    uint64_t row = loaded_row(matrix), from = loaded_input(live);
    if (gl_LocalInvocationID.x < live)
        scales[gl_LocalInvocationID.x] = F32s(push.args.scales).v[from_row(places[gl_LocalInvocationID.x])];

    bool works = gl_SubgroupID < GRID_M * GRID_N;
    uint first_m = gl_SubgroupID % GRID_M * MS * FRAGMENT_M, first_n = gl_SubgroupID / GRID_M * NS * FRAGMENT_N;
    coopmat<float, gl_ScopeSubgroup, FRAGMENT_M, FRAGMENT_N, gl_MatrixUseAccumulator> sum[MS * NS];
    for (uint i = 0; i < MS * NS; i++)
        sum[i] = coopmat<float, gl_ScopeSubgroup, FRAGMENT_M, FRAGMENT_N, gl_MatrixUseAccumulator>(0);

    uint cols = matrix < push.args.matrices ? push.args.cols : 0;
    for (uint at = 0; at < cols; at += DEPTH) {
        load_weights(row, at);
        load_inputs(from, at);
        barrier();
        for (uint k = 0; works && k < DEPTH; k += FRAGMENT_K) {
            coopmat<float16_t, gl_ScopeSubgroup, FRAGMENT_K, FRAGMENT_N, gl_MatrixUseB> b[NS];
            [[unroll]] for (uint j = 0; j < NS; j++)
                coopMatLoad(b[j], inputs, (first_n + j * FRAGMENT_N) * LINE + k / 4, LINE,
                            gl_CooperativeMatrixLayoutColumnMajor);
            [[unroll]] for (uint i = 0; i < MS; i++) {
                coopmat<float16_t, gl_ScopeSubgroup, FRAGMENT_M, FRAGMENT_K, gl_MatrixUseA> a;
                coopMatLoad(a, weights, (first_m + i * FRAGMENT_M) * LINE + k / 4, LINE,
                            gl_CooperativeMatrixLayoutRowMajor);
                [[unroll]] for (uint j = 0; j < NS; j++)
                    sum[i * NS + j] = coopMatMulAdd(a, b[j], sum[i * NS + j]);
            }
        }
        barrier();
    }
    uint base = gl_SubgroupID * FRAGMENT_M * FRAGMENT_N;
    [[unroll]] for (uint i = 0; i < MS * NS; i++) {
        if (works)
            coopMatStore(sum[i], results, base, FRAGMENT_M, gl_CooperativeMatrixLayoutColumnMajor);
        barrier();
        if (works)
            store_fragment(base, first_m + i / NS * FRAGMENT_M, first_n + i % NS * FRAGMENT_N, matrix, live);
        barrier();
    }
}
