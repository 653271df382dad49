// combine.comp - adds up what a row's experts answered, in the order of the picks; one invocation
// for each value of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s parts;   // [rows, used, width]
    F32s weights; // [rows, used]
    F32s to;      // [rows, width]
    uint kind, used, width;
};
PUSH(Args);

void main()
{
    uint row = gl_WorkGroupID.y, column = gl_WorkGroupID.x * LOCAL + gl_LocalInvocationID.x;
    if (row >= push.run.count[push.args.kind] || column >= push.args.width)
        return;
    precise float sum = 0;
    for (uint k = row * push.args.used; k < (row + 1) * push.args.used; k++)
        sum = sum + push.args.weights.v[k] * push.args.parts.v[k * push.args.width + column];
    push.args.to.v[row * push.args.width + column] = sum;
}
