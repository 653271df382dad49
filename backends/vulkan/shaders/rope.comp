// rope.comp - heads of rows with their pairs turned; values beyond the rotated ones pass through.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const bool HALVES = false; // else neighbours are pairs
layout(constant_id = 2) const bool IN_PLACE = false;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s from, to;
    uint width, heads, head_dim, dims;
    uint sections[4];
    uint rows; // which count
    float magnitude;
    uint64_t turns[];
};
PUSH(Args);

#include "rope.glsl"

// One pair, or one value that passes through, per invocation.
void main()
{
    uint pairs = push.args.dims / 2, items = pairs + push.args.head_dim - push.args.dims;
    uint row = gl_WorkGroupID.y, item = gl_WorkGroupID.x * LOCAL + gl_LocalInvocationID.x;
    if (row >= push.run.count[push.args.rows] || item >= items * push.args.heads)
        return;
    uint base = row * push.args.width + item / items * push.args.head_dim, i = item % items;
    if (i >= pairs) {
        if (!IN_PLACE)
            push.args.to.v[base + pairs + i] = push.args.from.v[base + pairs + i];
        return;
    }
    uint a = base + (HALVES ? i : 2 * i), b = a + (HALVES ? pairs : 1);
    vec2 xy = turned(RUN_ROW(push.args.rows, row), i, push.args.from.v[a], push.args.from.v[b]);
    push.args.to.v[a] = xy.x;
    push.args.to.v[b] = xy.y;
}
