// attn_combine.comp - joins the splits that attn_paged.comp left: one row and head in a workgroup.
// x: heads; y: rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "attn.glsl"

void main()
{
    uint i = gl_WorkGroupID.y, head = gl_WorkGroupID.x, at = i * push.args.heads + head;
    if (i >= push.run.count[push.args.kind])
        return;
    uvec2 range = visible_of(RUN_ROW(push.args.kind, i));
    uint first = range.x / TILE / SPLIT_TILES, slots = SPLIT_TILES * TILE;
    uint end = range.x < range.y ? (range.y + slots - 1) / slots : first;
    for (uint d = gl_LocalInvocationID.x; d < V_DIM; d += LOCAL) {
        float largest = NOTHING;
        precise float total = 0, mixed = 0;
        for (uint split = first; split < end; split++) {
            uint64_t index = uint64_t(at) * push.args.splits + split;
            F32s part = F32s(uint64_t(push.args.parts) + index * (V_DIM + 2) * 4);
            float m = part.v[0];
            if (m == NOTHING)
                continue;
            vec2 factors = join(largest, m);
            mixed = mixed * factors.x + part.v[2 + d] * factors.y;
            total = total * factors.x + part.v[1] * factors.y;
            largest = max(largest, m);
        }
        precise vec2 factors = vec2(1, 0);
        if (push.args.sinks != 0)
            factors = join(largest, F32s(push.args.sinks).v[head]);
        precise float sum = total * factors.x + factors.y;
        precise float y = mixed * factors.x * (sum == 0 ? 0 : 1 / sum);
        push.args.to.v[at * V_DIM + d] = y;
    }
}
