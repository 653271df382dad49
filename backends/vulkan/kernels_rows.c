/* kernels_rows.c - steps within a row: norms over groups of it, rotated heads. */
#include "backends/vulkan/kernels.h"

#include <math.h>
#include <string.h>

#define LOCAL 128u

/* --- norm.comp -------------------------------------------------------------------------------- */

typedef struct norm_args {
    uint64_t from, to, weight, bias;
    uint32_t width, group, weight_period, bias_period, rows;
    float eps, offset;
    uint32_t padding;
} norm_args;

/* A vector repeats per group when it has the group's size, else it runs along the row. */
static uint32_t period_of(const lvk_matrix *vector, uint32_t group, uint32_t width)
{
    return (uint64_t)vector->rows * vector->cols == group ? group : width;
}

/* A power of two: as many invocations as there are values, at most LOCAL. */
static uint32_t local_for(uint32_t values)
{
    uint32_t local = 32;
    while (local < LOCAL && local < values)
        local *= 2;
    return local;
}

int32_t lvk_plan_norm(lvk_plan *p, const lm_step *s)
{
    const lm_norm *n = &s->u.norm;
    lvk_slot from = lvk_plan_slot(p, s->in[0]), to = lvk_plan_slot(p, s->out[0]);
    lvk_matrix weight = lvk_plan_weight(p, n->weight), bias = lvk_plan_weight(p, n->bias);
    uint32_t group = n->group == 0 ? from.width : n->group;
    norm_args args = {.from = from.address,
                      .to = to.address,
                      .weight = weight.address,
                      .bias = bias.address,
                      .width = from.width,
                      .group = group,
                      .weight_period = period_of(&weight, group, from.width),
                      .bias_period = period_of(&bias, group, from.width),
                      .rows = from.rows,
                      .eps = n->eps,
                      .offset = n->offset};
    lvk_dispatch d = {.shader = LVK_SHADER_norm,
                      .spec = {local_for(group), n->kind, n->weight != LM_NONE, n->bias != LM_NONE},
                      .n_spec = 4,
                      .x = {.times = from.width / group},
                      .y = {.rows = from.rows, .per = 1, .times = 1},
                      .z = {.times = 1},
                      .bucket_rows = from.rows,
                      .args = &args,
                      .args_bytes = sizeof args};
    lvk_reads_slot(&d, &from);
    lvk_writes_slot(&d, &to);
    return lvk_plan_dispatch(p, &d);
}

/* --- rope.comp -------------------------------------------------------------------------------- */

#define MAX_PAIRS 512u

typedef struct rope_args {
    uint64_t from, to;
    uint32_t width, heads, head_dim, dims, sections[4], rows;
    float magnitude;
    uint64_t turns[MAX_PAIRS];
} rope_args;

bool lvk_takes_rope(const lvk_features *f, const lm_network *n, const lm_step *s)
{
    (void)f;
    (void)n;
    return s->u.rope.rope.dims / 2 <= MAX_PAIRS;
}

/* Speeds as fractions of a turn in 64 bits; whole turns are no turn. */
static int32_t fill_turns(const lvk_plan *p, const lm_rope *rope, rope_args *args)
{
    float factors[MAX_PAIRS];
    double speeds[MAX_PAIRS], magnitude;
    uint32_t pairs = rope->dims / 2;
    if (rope->factors != LM_NONE)
        LM_TRY(lvk_plan_vector(p, rope->factors, factors, pairs));
    lm_rope_table(rope, rope->factors == LM_NONE ? NULL : factors, speeds, &magnitude);
    args->magnitude = (float)magnitude;
    for (uint32_t i = 0; i < pairs; i++) {
        double turns = speeds[i] / 6.283185307179586476925, whole;
        double part = modf(turns, &whole);
        args->turns[i] = part >= 0 && part < 1 ? (uint64_t)(part * 0x1p64) : 0;
    }
    return LLM_OK;
}

int32_t lvk_plan_rope(lvk_plan *p, const lm_step *s)
{
    const lm_rope *rope = &s->u.rope.rope;
    lvk_slot from = lvk_plan_slot(p, s->in[0]), to = lvk_plan_slot(p, s->out[0]);
    bool off = rope->style == LM_ROPE_NONE, in_place = s->in[0] == s->out[0];
    rope_args args = {.from = from.address,
                      .to = to.address,
                      .width = from.width,
                      .heads = s->u.rope.heads,
                      .head_dim = s->u.rope.head_dim,
                      .dims = off ? 0 : rope->dims,
                      .rows = from.rows};
    memcpy(args.sections, rope->sections, sizeof args.sections);
    if (!off)
        LM_TRY(fill_turns(p, rope, &args));
    uint32_t items = (args.head_dim - args.dims / 2) * args.heads;
    lvk_dispatch d = {
        .shader = LVK_SHADER_rope,
        .spec = {LOCAL, rope->style == LM_ROPE_HALVES, in_place},
        .n_spec = 3,
        .x = {.times = (items + LOCAL - 1) / LOCAL},
        .y = {.rows = from.rows, .per = 1, .times = 1},
        .z = {.times = 1},
        .bucket_rows = from.rows,
        .args = &args,
        .args_bytes = (uint32_t)(offsetof(rope_args, turns) + args.dims / 2 * sizeof(uint64_t))};
    lvk_reads_slot(&d, &from);
    lvk_writes_slot(&d, &to);
    return lvk_plan_dispatch(p, &d);
}
