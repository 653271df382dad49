// move.comp - columns of rows to columns of rows, four bytes each: copies, concatenation, picking the
// wanted rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const bool PICK = false; // from the wanted rows of the run

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    U32s from, to;
    uint from_width, to_width, from_column, to_column, width;
    uint rows; // of `to`: which count
};
PUSH(Args);

void main()
{
    uint row = gl_WorkGroupID.y, column = gl_WorkGroupID.x * LOCAL + gl_LocalInvocationID.x;
    if (row >= push.run.count[push.args.rows] || column >= push.args.width)
        return;
    uint source = PICK ? push.run.wanted.v[row] : row;
    push.args.to.v[row * push.args.to_width + push.args.to_column + column] =
        push.args.from.v[source * push.args.from_width + push.args.from_column + column];
}
