// add.comp - sum of two slots, value by value.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s a, b, to;
    uint width, rows; // rows: which count
};
PUSH(Args);

void main()
{
    uint64_t count = uint64_t(push.run.count[push.args.rows]) * push.args.width;
    uint64_t i = uint64_t(gl_WorkGroupID.x) * LOCAL + gl_LocalInvocationID.x;
    if (i < count)
        push.args.to.v[uint(i)] = push.args.a.v[uint(i)] + push.args.b.v[uint(i)];
}
