// values.comp - steps that treat every value alone: sums, scaling, activations, copies.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "math.glsl"

layout(constant_id = 1) const uint OP = 0;
layout(constant_id = 2) const uint ACT = 0;

const uint ADD = 0, ROW_ADD = 1, SCALE = 2, CAP = 3, ACTIVATE = 4, ACT_MUL = 5, SAME = 6;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s a, b, to;
    uint width, rows; // rows: which count
    float scale, cap;
};
PUSH(Args);

// One row per workgroup along y, LOCAL of its values along x.
void main()
{
    uint row = gl_WorkGroupID.y, column = gl_WorkGroupID.x * LOCAL + gl_LocalInvocationID.x;
    if (row >= push.run.count[push.args.rows] || column >= push.args.width)
        return;
    uint i = row * push.args.width + column;
    precise float x = push.args.a.v[i];
    if (OP == ADD)
        x = x + push.args.b.v[i];
    else if (OP == ROW_ADD)
        x = x + push.args.b.v[column];
    else if (OP == SCALE)
        x = x * push.args.scale;
    else if (OP == CAP)
        x = push.args.cap * lm_tanh(x * push.args.scale / push.args.cap);
    else if (OP == ACTIVATE)
        x = lm_act(ACT, x);
    else if (OP == ACT_MUL)
        x = lm_act(ACT, x) * push.args.b.v[i];
    push.args.to.v[i] = x;
}
