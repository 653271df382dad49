// pool.comp - one row per sequence: the mean, the first or the last of its rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint KIND = 0;

const uint MEAN = 0, CLS = 1;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s from, to;
    uint width;
};
PUSH(Args);

void main()
{
    uint s = gl_WorkGroupID.y, column = gl_WorkGroupID.x * LOCAL + gl_LocalInvocationID.x;
    uint width = push.args.width;
    if (s >= push.run.count[ROWS_SEQS] || column >= width)
        return;
    uint first = push.run.seqs.v[s].first_row, rows = push.run.seqs.v[s].n_rows;
    float value;
    if (KIND == MEAN) {
        value = 0;
        for (uint i = 0; i < rows; i++)
            value += push.args.from.v[(first + i) * width + column];
        value /= float(rows);
    } else {
        value = push.args.from.v[(KIND == CLS ? first : first + rows - 1) * width + column];
    }
    push.args.to.v[s * width + column] = value;
}
