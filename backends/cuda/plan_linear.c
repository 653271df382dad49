/* plan_linear.c - launches of multiplications. */
#include "backends/cuda/plan.h"

#define ROWS_PER_BLOCK 4u /* of the weight: one per warp */

int32_t lcu_plan_linear_step(lcu_planner *p, const lm_step *step)
{
    bool heads = step->kind == LM_STEP_LINEAR_HEADS;
    const lm_linear *linear = heads ? &step->u.heads.linear : &step->u.linear;
    lcu_linear_args a = {.run = p->run,
                         .in = lcu_plan_slot(p, step->in[0]),
                         .out = lcu_plan_slot(p, step->out[0]),
                         .linear = lcu_plan_linear(p, linear),
                         .heads = heads ? step->u.heads.heads : 1};
    lcu_launch l = {.kernel = LCU_K_linear,
                    .grid = {LCU_BLOCKS((a.linear.w.rows + ROWS_PER_BLOCK - 1) / ROWS_PER_BLOCK),
                             LCU_PER(a.in.rows, 1), LCU_BLOCKS(a.heads)}};
    lcu_emit(p, &l, &a);
    return LLM_OK;
}

int32_t lcu_plan_expert(lcu_planner *p, const lm_step *step)
{
    lcu_expert_args a = {.run = p->run,
                         .in = lcu_plan_slot(p, step->in[0]),
                         .ids = lcu_plan_slot(p, step->in[1]),
                         .out = lcu_plan_slot(p, step->out[0]),
                         .linear = lcu_plan_linear(p, &step->u.expert.linear),
                         .used = step->u.expert.used,
                         .per_expert_input = step->u.expert.per_expert_input};
    lcu_launch l = {.kernel = LCU_K_expert,
                    .grid = {LCU_BLOCKS((a.linear.w.rows + ROWS_PER_BLOCK - 1) / ROWS_PER_BLOCK),
                             LCU_PER(a.in.rows, 1), LCU_BLOCKS(a.used)}};
    lcu_emit(p, &l, &a);
    return LLM_OK;
}
