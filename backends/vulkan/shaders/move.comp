// move.comp - columns of rows, or of each of their heads, to columns of rows, four bytes each: copies,
// concatenation, picking the wanted rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const bool PICK = false; // from the wanted rows of the run

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    U32s from, to;
    uint from_width, to_width, from_column, to_column, width;
    uint rows; // of `to`: which count
    uint from_head, to_head, heads, padding;
};
PUSH(Args);

void main()
{
    uint row = gl_WorkGroupID.y, column = gl_WorkGroupID.x * LOCAL + gl_LocalInvocationID.x;
    if (row >= push.run.count[push.args.rows] || column >= push.args.width * push.args.heads)
        return;
    uint source = PICK ? push.run.wanted.v[row] : row;
    uint head = column / push.args.width, c = column % push.args.width;
    push.args.to.v[row * push.args.to_width + head * push.args.to_head + push.args.to_column + c] =
        push.args.from.v[source * push.args.from_width + head * push.args.from_head +
                         push.args.from_column + c];
}
