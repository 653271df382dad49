// norm.comp - a group of values of one row, normed together by one workgroup.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint KIND = 0;
layout(constant_id = 2) const bool WEIGHT = false;
layout(constant_id = 3) const bool BIAS = false;

const uint RMS = 0, LAYER = 1, L2 = 2;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s from, to, weight, bias;
    uint width, group;
    uint weight_period, bias_period; // after so many values of a row they repeat
    uint rows;                       // which count
    float eps, offset;
};
PUSH(Args);

shared float partial[LOCAL];

// The sum over the workgroup, in one fixed tree.
float total(float x)
{
    uint lane = gl_LocalInvocationID.x;
    barrier();
    partial[lane] = x;
    for (uint half_way = LOCAL / 2; half_way > 0; half_way /= 2) {
        barrier();
        if (lane < half_way)
            partial[lane] += partial[lane + half_way];
    }
    barrier();
    return partial[0];
}

void main()
{
    uint row = gl_WorkGroupID.y, lane = gl_LocalInvocationID.x, n = push.args.group;
    if (row >= push.run.count[push.args.rows])
        return;
    uint first = gl_WorkGroupID.x * n, at = row * push.args.width + first;
    float mean = 0, squares = 0;
    if (KIND == LAYER) {
        for (uint i = lane; i < n; i += LOCAL)
            mean += push.args.from.v[at + i];
        mean = total(mean) / float(n);
    }
    for (uint i = lane; i < n; i += LOCAL) {
        float x = push.args.from.v[at + i] - mean;
        squares = fma(x, x, squares);
    }
    squares = total(squares);
    float factor = KIND == L2 ? 1.0 / max(sqrt(squares), push.args.eps)
                              : 1.0 / sqrt(squares / float(n) + push.args.eps);
    for (uint i = lane; i < n; i += LOCAL) {
        float x = (push.args.from.v[at + i] - mean) * factor;
        if (WEIGHT)
            x *= push.args.weight.v[(first + i) % push.args.weight_period] + push.args.offset;
        if (BIAS)
            x += push.args.bias.v[(first + i) % push.args.bias_period];
        push.args.to.v[at + i] = x;
    }
}
