// expert_sort.comp - sorts the places of a run by their expert, so that each expert multiplies all
// its rows at once. One workgroup of 256. Writes
//
//   order[0]                       number of tiles
//   order[1 + 3 t], + 1, + 2       expert of tile t, index of its first place in `order`, places
//   order[1 + 3 max_tiles ...]     the places
//
// Places without an expert (an id out of range) come last, as those of expert number `experts`.
// Which of an expert's places comes first is not fixed, and nothing depends on it.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint TILE = 32;
layout(constant_id = 2) const uint BINS = 2; // experts + 1

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    uint64_t ids, order;
    uint kind, used, max_tiles;
};
PUSH(Args);

shared uint next[BINS];          // first the places of a bin, then where its next one goes
shared uvec2 before[gl_WorkGroupSize.x]; // places and tiles of the bins before

uint bin_of(uint place) { return min(U32s(push.args.ids).v[place], BINS - 1); }

uvec2 sizes_of(uint bin) { return uvec2(next[bin], (next[bin] + TILE - 1) / TILE); }

void write_tiles(uint bin, uvec2 at, uint places)
{
    U32s order = U32s(push.args.order);
    uint list = 1 + 3 * push.args.max_tiles;
    for (uint done = 0; done < places; done += TILE, at.y++) {
        order.v[1 + 3 * at.y] = bin;
        order.v[2 + 3 * at.y] = list + at.x + done;
        order.v[3 + 3 * at.y] = min(TILE, places - done);
    }
    next[bin] = list + at.x;
}

void main()
{
    uint me = gl_LocalInvocationID.x, count = push.run.count[push.args.kind] * push.args.used;
    for (uint b = me; b < BINS; b += LOCAL)
        next[b] = 0;
    barrier();
    for (uint place = me; place < count; place += LOCAL)
        atomicAdd(next[bin_of(place)], 1);
    barrier();

    // Each invocation sums up its bins; then a scan over the invocations.
    uint each = (BINS + LOCAL - 1) / LOCAL, first = min(me * each, BINS), end = min(first + each, BINS);
    uvec2 mine = uvec2(0);
    for (uint b = first; b < end; b++)
        mine += sizes_of(b);
    before[me] = mine;
    barrier();
    for (uint step = 1; step < LOCAL; step *= 2) {
        uvec2 other = me >= step ? before[me - step] : uvec2(0);
        barrier();
        before[me] += other;
        barrier();
    }
    uvec2 at = before[me] - mine;
    for (uint b = first; b < end; b++) {
        uvec2 size = sizes_of(b);
        write_tiles(b, at, size.x);
        at += size;
    }
    if (me == LOCAL - 1)
        U32s(push.args.order).v[0] = before[me].y;
    barrier();

    for (uint place = me; place < count; place += LOCAL)
        U32s(push.args.order).v[atomicAdd(next[bin_of(place)], 1)] = place;
}
