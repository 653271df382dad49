/* plan_moe.c - launches of routing and combining. */
#include "backends/cuda/plan.h"

int32_t lcu_plan_route(lcu_planner *p, const lm_step *step)
{
    const lm_route *r = &step->u.route;
    lcu_route_args a = {.run = p->run,
                        .in = lcu_plan_slot(p, step->in[0]),
                        .ids = lcu_plan_slot(p, step->out[0]),
                        .weights = lcu_plan_slot(p, step->out[1]),
                        .bias = lcu_plan_vector(p, r->bias),
                        .kind = r->kind,
                        .experts = r->experts,
                        .used = r->used,
                        .normalise = r->normalise,
                        .scale = r->scale == 0 ? 1 : r->scale};
    lcu_launch l = {.kernel = LCU_K_route,
                    .grid = {LCU_PER(a.in.rows, 1), LCU_BLOCKS(1), LCU_BLOCKS(1)},
                    .shared_bytes = r->experts * 2 * (uint32_t)sizeof(float)};
    lcu_emit(p, &l, &a);
    return LLM_OK;
}

int32_t lcu_plan_combine(lcu_planner *p, const lm_step *step)
{
    lcu_combine_args a = {.run = p->run,
                          .parts = lcu_plan_slot(p, step->in[0]),
                          .weights = lcu_plan_slot(p, step->in[1]),
                          .out = lcu_plan_slot(p, step->out[0]),
                          .used = step->u.combine.used};
    lcu_launch l = {
        .kernel = LCU_K_combine,
        .grid = {LCU_PER(a.out.rows, 1), LCU_BLOCKS((a.out.width + 255) / 256), LCU_BLOCKS(1)}};
    lcu_emit(p, &l, &a);
    return LLM_OK;
}
