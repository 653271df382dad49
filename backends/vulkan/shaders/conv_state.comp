// conv_state.comp - the short causal convolution with carried state: the last inputs of the sequence,
// oldest first. One channel of one sequence per invocation.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "math.glsl"

layout(constant_id = 1) const uint ACT = 0;
layout(constant_id = 2) const uint KERNEL = 4;
layout(constant_id = 3) const bool BIAS = false;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s from, to, weight, bias;
    uint channels, group, offset;
};
PUSH(Args);

const uint KEPT = KERNEL - 1;

void main()
{
    uint s = gl_WorkGroupID.y, channel = gl_WorkGroupID.x * LOCAL + gl_LocalInvocationID.x;
    uint channels = push.args.channels;
    if (s >= push.run.count[ROWS_SEQS] || channel >= channels)
        return;
    uint first = push.run.seqs.v[s].first_row, rows = push.run.seqs.v[s].n_rows;
    uint64_t old = push.run.seqs.v[s].groups[push.args.group].state_read;
    uint64_t next = push.run.seqs.v[s].groups[push.args.group].state_write;
    float recent[KERNEL]; // inputs before the row, oldest first, then the row's own
    for (uint k = 0; k < KEPT; k++)
        recent[k] = old == 0 ? 0.0 : F32s(old + push.args.offset).v[k * channels + channel];
    for (uint row = first; row < first + rows; row++) {
        recent[KEPT] = push.args.from.v[row * channels + channel];
        float sum = BIAS ? push.args.bias.v[channel] : 0.0;
        for (uint k = 0; k < KERNEL; k++)
            sum = fma(push.args.weight.v[channel * KERNEL + k], recent[k], sum);
        push.args.to.v[row * channels + channel] = lm_act(ACT, sum);
        for (uint k = 0; k < KEPT; k++)
            recent[k] = recent[k + 1];
    }
    for (uint k = 0; k < KEPT; k++)
        F32s(next + push.args.offset).v[k * channels + channel] = recent[k];
}
