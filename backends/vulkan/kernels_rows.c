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

int32_t lvk_plan_normed(lvk_plan *p, const lm_norm *n, const lvk_slot *from, const lvk_slot *to)
{
    lvk_matrix weight = lvk_plan_weight(p, n->weight), bias = lvk_plan_weight(p, n->bias);
    uint32_t group = n->group == 0 ? from->width : n->group;
    norm_args args = {.from = from->address,
                      .to = to->address,
                      .weight = weight.address,
                      .bias = bias.address,
                      .width = from->width,
                      .group = group,
                      .weight_period = period_of(&weight, group, from->width),
                      .bias_period = period_of(&bias, group, from->width),
                      .rows = from->rows,
                      .eps = n->eps,
                      .offset = n->offset};
    lvk_dispatch d = {.shader = LVK_SHADER_norm,
                      .spec = {local_for(group), n->kind, n->weight != LM_NONE, n->bias != LM_NONE},
                      .n_spec = 4,
                      .x = {.times = from->width / group},
                      .y = {.rows = from->rows, .per = 1, .times = 1},
                      .z = {.times = 1},
                      .bucket_rows = from->rows,
                      .args = &args,
                      .args_bytes = sizeof args};
    lvk_reads_slot(&d, from);
    lvk_writes_slot(&d, to);
    return lvk_plan_dispatch(p, &d);
}

int32_t lvk_plan_norm(lvk_plan *p, const lm_step *s)
{
    lvk_slot from = lvk_plan_slot(p, s->in[0]), to = lvk_plan_slot(p, s->out[0]);
    return lvk_plan_normed(p, &s->u.norm, &from, &to);
}

/* --- rope.comp -------------------------------------------------------------------------------- */

typedef struct rope_args {
    uint64_t from, to;
    uint32_t width, heads, head_dim, dims, sections[4], rows;
    float magnitude;
    uint64_t turns[LVK_MAX_PAIRS];
} rope_args;

bool lvk_can_rope(const lm_rope *rope)
{
    return rope->style == LM_ROPE_NONE || rope->dims / 2 <= LVK_MAX_PAIRS;
}

bool lvk_takes_rope(const lvk_features *f, const lm_network *n, const lm_step *s)
{
    (void)f;
    (void)n;
    return lvk_can_rope(&s->u.rope.rope);
}

/* Speeds as fractions of a turn in 64 bits; whole turns are no turn. */
int32_t lvk_rope_turns(const lvk_plan *p, const lm_rope *rope, float *magnitude, uint64_t *turns)
{
    float factors[LVK_MAX_PAIRS];
    double speeds[LVK_MAX_PAIRS], times;
    uint32_t pairs = rope->dims / 2;
    if (rope->factors != LM_NONE)
        LM_TRY(lvk_plan_vector(p, rope->factors, factors, pairs));
    lm_rope_table(rope, rope->factors == LM_NONE ? NULL : factors, speeds, &times);
    *magnitude = (float)times;
    for (uint32_t i = 0; i < pairs; i++) {
        double whole, part = modf(speeds[i] / 6.283185307179586476925, &whole);
        turns[i] = part >= 0 && part < 1 ? (uint64_t)(part * 0x1p64) : 0;
    }
    return LLM_OK;
}

int32_t lvk_plan_rotated(lvk_plan *p, const lm_rope *rope, uint32_t heads, uint32_t head_dim,
                         const lvk_slot *from, const lvk_slot *to)
{
    bool off = rope->style == LM_ROPE_NONE, in_place = from->offset == to->offset;
    rope_args args = {.from = from->address,
                      .to = to->address,
                      .width = from->width,
                      .heads = heads,
                      .head_dim = head_dim,
                      .dims = off ? 0 : rope->dims,
                      .rows = from->rows};
    memcpy(args.sections, rope->sections, sizeof args.sections);
    if (!off)
        LM_TRY(lvk_rope_turns(p, rope, &args.magnitude, args.turns));
    uint32_t items = (args.head_dim - args.dims / 2) * args.heads;
    lvk_dispatch d = {
        .shader = LVK_SHADER_rope,
        .spec = {LOCAL, rope->style == LM_ROPE_HALVES, in_place},
        .n_spec = 3,
        .x = {.times = (items + LOCAL - 1) / LOCAL},
        .y = {.rows = from->rows, .per = 1, .times = 1},
        .z = {.times = 1},
        .bucket_rows = from->rows,
        .args = &args,
        .args_bytes = (uint32_t)(offsetof(rope_args, turns) + args.dims / 2 * sizeof(uint64_t))};
    lvk_reads_slot(&d, from);
    lvk_writes_slot(&d, to);
    return lvk_plan_dispatch(p, &d);
}

int32_t lvk_plan_rope(lvk_plan *p, const lm_step *s)
{
    lvk_slot from = lvk_plan_slot(p, s->in[0]), to = lvk_plan_slot(p, s->out[0]);
    return lvk_plan_rotated(p, &s->u.rope.rope, s->u.rope.heads, s->u.rope.head_dim, &from, &to);
}
