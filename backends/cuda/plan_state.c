/* plan_state.c - launches of steps with recurrent state. */
#include "backends/cuda/plan.h"

int32_t lcu_plan_conv(lcu_planner *p, const lm_step *step)
{
    const lm_conv *c = &step->u.conv;
    lcu_conv_args a = {.run = p->run,
                       .in = lcu_plan_slot(p, step->in[0]),
                       .out = lcu_plan_slot(p, step->out[0]),
                       .cache = lcu_plan_cache(p, c->cache),
                       .weight = lcu_plan_vector(p, c->weight),
                       .bias = lcu_plan_vector(p, c->bias),
                       .channels = c->channels,
                       .kernel = c->kernel,
                       .act = c->act};
    uint32_t blocks = (c->channels + 127) / 128;
    lcu_launch rows = {.kernel = LCU_K_conv,
                       .grid = {LCU_PER(LCU_COUNT_ROWS, 1), LCU_BLOCKS(blocks), LCU_BLOCKS(1)}};
    lcu_emit(p, &rows, &a);
    /* The state may be written where it was read, so after all rows. */
    lcu_launch keep = {.kernel = LCU_K_conv_keep,
                       .grid = {LCU_PER(LCU_COUNT_SEQS, 1), LCU_BLOCKS(blocks), LCU_BLOCKS(1)}};
    lcu_emit(p, &keep, &a);
    return LLM_OK;
}

int32_t lcu_plan_scan(lcu_planner *p, const lm_step *step)
{
    const lm_scan *s = &step->u.scan;
    lcu_scan_args a = {.run = p->run,
                       .xbc = lcu_plan_slot(p, step->in[0]),
                       .dt = lcu_plan_slot(p, step->in[1]),
                       .out = lcu_plan_slot(p, step->out[0]),
                       .cache = lcu_plan_cache(p, s->cache),
                       .heads = s->heads,
                       .head_dim = s->head_dim,
                       .state = s->state,
                       .groups = s->groups,
                       .a = lcu_plan_vector(p, s->a),
                       .d = lcu_plan_vector(p, s->d),
                       .dt_bias = lcu_plan_vector(p, s->dt_bias)};
    lcu_launch l = {.kernel = LCU_K_scan,
                    .grid = {LCU_PER(LCU_COUNT_SEQS, 1), LCU_BLOCKS(s->heads),
                             LCU_BLOCKS((s->head_dim + 3) / 4)}};
    lcu_emit(p, &l, &a);
    return LLM_OK;
}
