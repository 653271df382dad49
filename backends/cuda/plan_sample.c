/* plan_sample.c - launches that choose among logits on the device. */
#include "backends/cuda/plan.h"

#define MOST_BEST 4096u /* what fits into a block's shared memory */

int32_t lcu_plan_best(lcu_planner *p, const lm_step *step)
{
    lcu_best_args a = {.run = p->run,
                       .in = lcu_plan_slot(p, step->in[0]),
                       .ids = lcu_plan_slot(p, step->out[0]),
                       .values = lcu_plan_slot(p, step->out[1])};
    if (a.ids.width > MOST_BEST)
        return lm_fail(LLM_E_UNSUPPORTED, "the best %u values of a row; CUDA finds %u",
                       (unsigned)a.ids.width, (unsigned)MOST_BEST);
    lcu_launch l = {.kernel = LCU_K_best,
                    .grid = {LCU_PER(a.in.rows, 1), LCU_BLOCKS(1), LCU_BLOCKS(1)},
                    .shared_bytes = a.ids.width * 2 * (uint32_t)sizeof(uint32_t)};
    lcu_emit(p, &l, &a);
    return LLM_OK;
}
