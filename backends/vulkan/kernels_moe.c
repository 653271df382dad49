/* kernels_moe.c - choosing experts for each row and adding up what they answer. */
#include "backends/vulkan/kernels.h"

enum { LOCAL = 64, COMBINE_LOCAL = 128, MAX_EXPERTS = 2048 };

/* As in shaders/route_topk.comp. */
typedef struct route_args {
    uint64_t logits, ids, weights, bias;
    uint32_t kind;
    float scale;
} route_args;

/* As in shaders/combine.comp. */
typedef struct combine_args {
    uint64_t parts, weights, to;
    uint32_t kind, used, width, padding;
} combine_args;

bool lvk_can_route(const lm_route *route)
{
    return route->experts <= MAX_EXPERTS;
}

bool lvk_takes_route(const lvk_features *f, const lm_network *n, const lm_step *step)
{
    (void)f;
    (void)n;
    return lvk_can_route(&step->u.route);
}

int32_t lvk_plan_routed(lvk_plan *p, const lm_route *r, const lvk_slot *in, const lvk_slot *ids,
                        const lvk_slot *weights)
{
    route_args args = {.logits = in->address,
                       .ids = ids->address,
                       .weights = weights->address,
                       .bias = lvk_plan_weight(p, r->bias).address,
                       .kind = in->rows,
                       .scale = r->scale == 0 ? 1 : r->scale};
    lvk_dispatch d = {.shader = LVK_SHADER_route_topk,
                      .spec = {LOCAL, r->experts, r->used, r->kind, r->normalise},
                      .n_spec = 5,
                      .x = {.rows = in->rows, .per = 1, .times = 1},
                      .y = {.times = 1},
                      .z = {.times = 1},
                      .bucket_rows = in->rows,
                      .args = &args,
                      .args_bytes = sizeof args};
    lvk_reads_slot(&d, in);
    lvk_writes_slot(&d, ids);
    lvk_writes_slot(&d, weights);
    return lvk_plan_dispatch(p, &d);
}

int32_t lvk_plan_route_topk(lvk_plan *p, const lm_step *step)
{
    lvk_slot in = lvk_plan_slot(p, step->in[0]);
    lvk_slot ids = lvk_plan_slot(p, step->out[0]), weights = lvk_plan_slot(p, step->out[1]);
    return lvk_plan_routed(p, &step->u.route, &in, &ids, &weights);
}

int32_t lvk_plan_combined(lvk_plan *p, uint32_t used, const lvk_slot *parts,
                          const lvk_slot *weights, const lvk_slot *out)
{
    combine_args args = {.parts = parts->address,
                         .weights = weights->address,
                         .to = out->address,
                         .kind = parts->rows,
                         .used = used,
                         .width = out->width};
    lvk_dispatch d = {.shader = LVK_SHADER_combine,
                      .spec = {COMBINE_LOCAL},
                      .n_spec = 1,
                      .x = {.times = (out->width + COMBINE_LOCAL - 1) / COMBINE_LOCAL},
                      .y = {.rows = parts->rows, .per = 1, .times = 1},
                      .z = {.times = 1},
                      .bucket_rows = parts->rows,
                      .args = &args,
                      .args_bytes = sizeof args};
    lvk_reads_slot(&d, parts);
    lvk_reads_slot(&d, weights);
    lvk_writes_slot(&d, out);
    return lvk_plan_dispatch(p, &d);
}

int32_t lvk_plan_combine(lvk_plan *p, const lm_step *step)
{
    lvk_slot parts = lvk_plan_slot(p, step->in[0]), weights = lvk_plan_slot(p, step->in[1]);
    lvk_slot out = lvk_plan_slot(p, step->out[0]);
    return lvk_plan_combined(p, step->u.combine.used, &parts, &weights, &out);
}
