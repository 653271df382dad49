/* plan_sample.c - launches of the choice of tokens on the device. */
#include "backends/cuda/plan.h"

int32_t lcu_plan_sample(lcu_planner *p, const lm_step *step)
{
    lcu_sample_args a = {.run = p->run,
                         .in = lcu_plan_slot(p, step->in[0]),
                         .out = lcu_plan_slot(p, step->out[0])};
    lcu_launch l = {.kernel = LCU_K_sample_row,
                    .grid = {LCU_PER(a.in.rows, 1), LCU_BLOCKS(1), LCU_BLOCKS(1)}};
    lcu_emit(p, &l, &a);
    return LLM_OK;
}
