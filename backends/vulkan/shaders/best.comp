// best.comp - the WANTED best of each KEYS values, sorted; repeated on what it leaves until one list
// of a row remains. A value and its column make one number that orders as they do: the larger value
// first, NaN before everything, the lower column first among equals. x: stretches of KEYS; y: rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

const uint KEYS = 2048;
layout(constant_id = 1) const uint WANTED = 1;
layout(constant_id = 2) const bool FIRST = true; // reads values, not what a pass before left
layout(constant_id = 3) const bool LAST = true;  // writes the result

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s values;   // [rows, width]
    U64s from, to; // [rows, count] keys of the pass before, [rows, stretches, WANTED] of this one
    I32s ids;      // [rows, WANTED]
    F32s best;     // [rows, WANTED]
    uint kind, width, count, stretches;
};
PUSH(Args);

shared uint64_t keys[KEYS];

uint64_t key_of(float x, uint column)
{
    uint bits = floatBitsToUint(x == 0 ? 0 : x);
    bits = isnan(x) ? NONE : (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
    return uint64_t(bits) << 32 | (NONE - column);
}

void load(uint row)
{
    uint64_t values = uint64_t(push.args.values) + uint64_t(row) * push.args.width * 4;
    uint64_t from = uint64_t(push.args.from) + uint64_t(row) * push.args.count * 8;
    for (uint i = gl_LocalInvocationID.x; i < KEYS; i += LOCAL) {
        uint at = gl_WorkGroupID.x * KEYS + i;
        keys[i] = 0; // behind all others
        if (at < push.args.count)
            keys[i] = FIRST ? key_of(F32s(values).v[at], at) : U64s(from).v[at];
    }
    barrier();
}

// A bitonic sorting network, the largest first.
void sort()
{
    for (uint size = 2; size <= KEYS; size *= 2)
        for (uint apart = size / 2; apart > 0; apart /= 2) {
            for (uint i = gl_LocalInvocationID.x; i < KEYS / 2; i += LOCAL) {
                uint a = 2 * i - (i & (apart - 1)), b = a + apart;
                uint64_t x = keys[a], y = keys[b];
                bool falling = (a & size) == 0;
                if (falling ? x < y : y < x) {
                    keys[a] = y;
                    keys[b] = x;
                }
            }
            barrier();
        }
}

void main()
{
    uint row = gl_WorkGroupID.y;
    if (row >= push.run.count[push.args.kind])
        return;
    load(row);
    sort();
    uint64_t list = (uint64_t(row) * push.args.stretches + gl_WorkGroupID.x) * WANTED;
    for (uint i = gl_LocalInvocationID.x; i < WANTED; i += LOCAL) {
        uint64_t key = keys[i];
        if (LAST) {
            uint column = NONE - uint(key & 0xffffffffu);
            push.args.ids.v[uint(list) + i] = int(column);
            uint64_t values = uint64_t(push.args.values) + uint64_t(row) * push.args.width * 4;
            push.args.best.v[uint(list) + i] = F32s(values).v[column];
        } else {
            U64s(uint64_t(push.args.to) + (list + i) * 8).v[0] = key;
        }
    }
}
