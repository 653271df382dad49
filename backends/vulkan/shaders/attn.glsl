// attn.glsl - what both passes of attention share. The arithmetic is fixed by absolute slots
// (docs/numerics.md): tiles of 32, splits of 512, each split's sums begun anew and combined in
// rising order. Which workgroup does which of it changes no bit.
#include "cache.glsl"
#include "math.glsl"

const uint TILE = 32, SPLIT_TILES = 16;
const float NOTHING = -1.0 / 0.0; // the largest score of no slots

layout(constant_id = 1) const uint K_FORMAT = 0;
layout(constant_id = 2) const uint V_FORMAT = 0;
layout(constant_id = 3) const uint K_DIM = 128;
layout(constant_id = 4) const uint V_DIM = 128;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s queries;  // [rows, heads, K_DIM]
    F32s to;       // [rows, heads, V_DIM]
    F32s parts;    // [rows, heads, splits, 2 + V_DIM]: largest score, sum, mixed values
    uint64_t sinks; // [heads] or 0
    uint kind, heads, kv_heads, window;
    uint group, page_tokens;
    uint k_offset, k_token, k_head;
    uint v_offset, v_token, v_head;
    uint splits;
    float scale, softcap, alibi;
};
PUSH(Args);

// Slots [x, y) that a row of the run may see, were it not for ancestors.
uvec2 visible_of(uint row)
{
    uint slot = push.run.slots.v[row], window = push.args.window;
    uint first = window != 0 && slot + 1 > window ? slot + 1 - window : 0;
    return uvec2(first, push.run.visible_end.v[row]);
}

// What to multiply by when a part of the slots with largest score `m` joins those before, whose
// largest is `known`: known * x + part * y.
vec2 join(float known, float m)
{
    float both = max(known, m);
    return known == NOTHING ? vec2(0, 1) : vec2(lm_exp(known - both), lm_exp(m - both));
}
