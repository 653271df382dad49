// embed.comp - rows of a table, picked by token, by position, or the first; or the host's own
// embeddings.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "format.glsl"

layout(constant_id = 3) const uint SOURCE = 0;

const uint TOKENS = 0, POSITIONS = 1;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    uint64_t table, row_bytes, codebook;
    F32s to;
    uint width, rows; // rows: which count
    float scale;
};
PUSH(Args);

void main()
{
    uint i = gl_WorkGroupID.y, column = gl_WorkGroupID.x * LOCAL + gl_LocalInvocationID.x;
    if (i >= push.run.count[push.args.rows] || column >= push.args.width)
        return;
    uint row = RUN_ROW(push.args.rows, i), pick = 0;
    if (SOURCE == TOKENS) {
        int token = push.run.tokens.v[row];
        if (token < 0) {
            push.args.to.v[i * push.args.width + column] =
                push.run.embeddings.v[row * push.args.width + column];
            return;
        }
        pick = uint(token);
    } else if (SOURCE == POSITIONS) {
        pick = push.run.positions.v[row * 4];
    }
    codebook = push.args.codebook;
    precise float value = weight_at(push.args.table + pick * push.args.row_bytes, column);
    if (push.args.scale != 1)
        value = value * push.args.scale;
    push.args.to.v[i * push.args.width + column] = value;
}
