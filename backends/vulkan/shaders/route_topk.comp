// route_topk.comp - the experts of a row and their weights, from its router logits. One workgroup of
// a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "math.glsl"

const uint SOFTMAX = 0, SOFTMAX_PICKED = 1, SIGMOID = 2;
layout(constant_id = 1) const uint EXPERTS = 8;
layout(constant_id = 2) const uint USED = 2;
layout(constant_id = 3) const uint KIND = SOFTMAX;
layout(constant_id = 4) const bool NORMALISE = false;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s logits;   // [rows, EXPERTS]
    I32s ids;      // [rows, USED]
    F32s weights;  // [rows, USED]
    uint64_t bias; // [EXPERTS] or 0
    uint kind;
    float scale;
};
PUSH(Args);

const uint TAKEN = NONE;

shared float value[EXPERTS], rank[EXPERTS];
shared float found_rank[gl_WorkGroupSize.x];
shared uint found[gl_WorkGroupSize.x];
shared uint taken[EXPERTS]; // 1: picked before
shared float picked[USED];

uint me = gl_LocalInvocationID.x;

// The sum of all exponentials, in rising order of experts by one invocation: the order is fixed.
void softmax_of(uint row)
{
    float largest = value[0];
    for (uint e = 1; e < EXPERTS; e++)
        largest = max(largest, value[e]);
    barrier();
    for (uint e = me; e < EXPERTS; e += LOCAL)
        value[e] = lm_exp(value[e] - largest);
    barrier();
    precise float sum = 0;
    for (uint e = 0; e < EXPERTS; e++)
        sum = sum + value[e];
    barrier();
    for (uint e = me; e < EXPERTS; e += LOCAL)
        value[e] = value[e] / sum;
    barrier();
}

// Whether a is to be picked before b: the larger, the lower number among equals, a NaN last.
bool better(float a, uint a_at, float b, uint b_at)
{
    if (b_at == NONE || a_at == NONE)
        return a_at != NONE;
    bool a_nan = isnan(a), b_nan = isnan(b);
    if (a_nan != b_nan)
        return b_nan;
    return a > b || (!(b > a) && a_at < b_at);
}

// The best expert not taken, known to all.
uint best()
{
    float mine = 0;
    uint at = NONE;
    for (uint e = me; e < EXPERTS; e += LOCAL)
        if (taken[e] == 0 && better(rank[e], e, mine, at)) {
            mine = rank[e];
            at = e;
        }
    found_rank[me] = mine;
    found[me] = at;
    for (uint apart = LOCAL / 2; apart > 0; apart /= 2) {
        barrier();
        uint other = me + apart;
        if (me < apart && better(found_rank[other], found[other], found_rank[me], found[me])) {
            found_rank[me] = found_rank[other];
            found[me] = found[other];
        }
    }
    barrier();
    uint e = found[0];
    if (me == 0)
        taken[e] = 1;
    barrier();
    return e;
}

void weigh(uint row)
{
    if (KIND == SOFTMAX_PICKED) {
        float largest = picked[0];
        precise float all = 0;
        for (uint k = 1; k < USED; k++)
            largest = max(largest, picked[k]);
        for (uint k = 0; k < USED; k++)
            all = all + (picked[k] = lm_exp(picked[k] - largest));
        for (uint k = 0; k < USED; k++)
            picked[k] /= all;
    }
    precise float sum = 0;
    for (uint k = 0; k < USED; k++)
        sum = sum + picked[k];
    float factor = NORMALISE && sum != 0 ? push.args.scale / sum : push.args.scale;
    for (uint k = 0; k < USED; k++)
        push.args.weights.v[row * USED + k] = picked[k] * factor;
}

void main()
{
    uint row = gl_WorkGroupID.x;
    if (row >= push.run.count[push.args.kind])
        return;
    for (uint e = me; e < EXPERTS; e += LOCAL) {
        float x = push.args.logits.v[row * EXPERTS + e];
        value[e] = KIND == SIGMOID ? 1 / (1 + lm_exp(-x)) : x;
        taken[e] = 0;
    }
    barrier();
    if (KIND == SOFTMAX)
        softmax_of(row);
    for (uint e = me; e < EXPERTS; e += LOCAL) {
        rank[e] = value[e];
        if (push.args.bias != 0)
            rank[e] += F32s(push.args.bias).v[e];
    }
    barrier();
    for (uint k = 0; k < USED; k++) {
        uint e = best();
        if (me == 0) {
            picked[k] = value[e];
            push.args.ids.v[row * USED + k] = int(e);
        }
    }
    if (me == 0)
        weigh(row);
}
