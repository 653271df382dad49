/* kernels_state.c - steps that write what stays between runs: keys and values, and the inputs that the
 * short convolution looks back to. */
#include "backends/vulkan/kernels.h"

#include <string.h>

#define LOCAL 128u

/* --- kv_append.comp --------------------------------------------------------------------------- */

typedef struct append_args {
    uint64_t from;
    uint32_t heads, dim, group, page_tokens, offset, head_stride, token_stride;
    uint32_t dims, sections[4];
    float magnitude;
    uint32_t padding;
    uint64_t turns[LVK_MAX_PAIRS];
} append_args;

int32_t lvk_plan_stored(lvk_plan *p, uint32_t cache, uint32_t part, const lm_rope *rope,
                        const lvk_slot *from)
{
    lvk_part to = lvk_plan_part(p, cache, part);
    bool turned = rope != NULL && rope->style != LM_ROPE_NONE;
    uint32_t items = to.heads * (to.dim / to.format->block);
    append_args args = {.from = from->address,
                        .heads = to.heads,
                        .dim = to.dim,
                        .group = to.group,
                        .page_tokens = to.page_tokens,
                        .offset = to.offset,
                        .head_stride = to.head_stride,
                        .token_stride = to.token_stride,
                        .dims = turned ? rope->dims : 0};
    if (turned) {
        memcpy(args.sections, rope->sections, sizeof args.sections);
        LM_TRY(lvk_rope_turns(p, rope, &args.magnitude, args.turns));
    }
    lvk_dispatch d = {
        .shader = LVK_SHADER_kv_append,
        .spec = {LOCAL, to.format->id, turned ? rope->style : LM_ROPE_NONE},
        .n_spec = 3,
        .x = {.times = (items + LOCAL - 1) / LOCAL},
        .y = {.rows = LM_ROWS_ALL, .per = 1, .times = 1},
        .z = {.times = 1},
        .bucket_rows = LM_ROWS_ALL,
        .args = &args,
        .args_bytes = (uint32_t)(offsetof(append_args, turns) + args.dims / 2 * sizeof(uint64_t))};
    lvk_reads_slot(&d, from);
    lvk_writes_part(&d, cache, part);
    return lvk_plan_dispatch(p, &d);
}

int32_t lvk_plan_append(lvk_plan *p, const lm_step *s)
{
    for (uint32_t part = 0; part < 2 && s->in[part] != LM_NONE; part++) {
        lvk_slot from = lvk_plan_slot(p, s->in[part]);
        LM_TRY(lvk_plan_stored(p, s->u.append.cache, part, NULL, &from));
    }
    return LLM_OK;
}

/* --- conv_state.comp -------------------------------------------------------------------------- */

#define MAX_TAPS 16u

typedef struct conv_args {
    uint64_t from, to, weight, bias;
    uint32_t channels, group, offset, padding;
} conv_args;

bool lvk_takes_conv(const lvk_features *f, const lm_network *n, const lm_step *s)
{
    (void)f;
    (void)n;
    return s->u.conv.kernel >= 1 && s->u.conv.kernel <= MAX_TAPS;
}

int32_t lvk_plan_conv(lvk_plan *p, const lm_step *s)
{
    const lm_conv *c = &s->u.conv;
    lvk_slot from = lvk_plan_slot(p, s->in[0]), to = lvk_plan_slot(p, s->out[0]);
    lvk_part state = lvk_plan_part(p, c->cache, 0);
    conv_args args = {.from = from.address,
                      .to = to.address,
                      .weight = lvk_plan_weight(p, c->weight).address,
                      .bias = lvk_plan_weight(p, c->bias).address,
                      .channels = c->channels,
                      .group = state.group,
                      .offset = state.offset};
    lvk_dispatch d = {.shader = LVK_SHADER_conv_state,
                      .spec = {LOCAL, c->act, c->kernel, c->bias != LM_NONE},
                      .n_spec = 4,
                      .x = {.times = (c->channels + LOCAL - 1) / LOCAL},
                      .y = {.rows = LM_ROWS_SEQS, .per = 1, .times = 1},
                      .z = {.times = 1},
                      .bucket_rows = LM_ROWS_ALL,
                      .args = &args,
                      .args_bytes = sizeof args};
    lvk_reads_slot(&d, &from);
    lvk_writes_slot(&d, &to);
    lvk_reads_part(&d, c->cache, 0);
    lvk_writes_part(&d, c->cache, 0);
    return lvk_plan_dispatch(p, &d);
}
