// rope.comp - pairs of a head's values turned by position times speed. Speeds are fractions of a turn in
// 64 bits, so that the product wraps where the angle does and loses nothing at far positions.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const bool HALVES = false; // else neighbours are pairs
layout(constant_id = 2) const bool IN_PLACE = false;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s from, to;
    uint width, heads, head_dim, dims;
    uint sections[4]; // pairs taken from each position axis, again and again; all 0: axis 0
    uint rows;        // which count
    float magnitude;
    uint64_t turns[]; // [dims / 2]
};
PUSH(Args);

// Of an angle in turns of 2^64.
void sincos(uint64_t angle, out float s, out float c)
{
    uint64_t shifted = angle + (uint64_t(1) << 61);
    uint quarter = uint(shifted >> 62);
    // what is left, within an eighth of a turn of the quarter's middle, as 2^-34 turns
    int rest = int(int64_t(angle - (uint64_t(quarter) << 62)) >> 30);
    float x = float(rest) * 3.6572951981346e-10; // 2 pi / 2^34
    float z = x * x;
    float sine = fma(fma(fma(-1.9515295891e-4, z, 8.3321608736e-3), z, -1.6666654611e-1) * z, x, x);
    float cosine = fma(fma(fma(2.443315711809948e-5, z, -1.388731625493765e-3), z,
                           4.166664568298827e-2) * z - 0.5, z, 1.0);
    bool swap = (quarter & 1u) != 0;
    s = swap ? cosine : sine;
    c = swap ? sine : cosine;
    s = quarter >= 2 ? -s : s;
    c = quarter == 1 || quarter == 2 ? -c : c;
}

uint axis_of(uint pair)
{
    uint total = push.args.sections[0] + push.args.sections[1] + push.args.sections[2] +
                 push.args.sections[3];
    if (total == 0)
        return 0;
    uint at = pair % total, axis = 0;
    while (at >= push.args.sections[axis])
        at -= push.args.sections[axis++];
    return axis;
}

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
    uint position = push.run.positions.v[RUN_ROW(push.args.rows, row) * 4 + axis_of(i)];
    precise float x = push.args.from.v[a], y = push.args.from.v[b];
    float s, c;
    sincos(position * push.args.turns[i], s, c);
    precise float sine = s * push.args.magnitude, cosine = c * push.args.magnitude;
    precise float turned_x = x * cosine - y * sine, turned_y = x * sine + y * cosine;
    push.args.to.v[a] = turned_x;
    push.args.to.v[b] = turned_y;
}
