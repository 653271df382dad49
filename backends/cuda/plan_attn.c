/* plan_attn.c - launches of attention. */
#include "backends/cuda/plan.h"

int32_t lcu_plan_attn(lcu_planner *p, const lm_step *step)
{
    const lm_attn *at = &step->u.attn;
    lcu_attn_args a = {.run = p->run,
                       .in = lcu_plan_slot(p, step->in[0]),
                       .out = lcu_plan_slot(p, step->out[0]),
                       .cache = lcu_plan_cache(p, at->cache),
                       .heads = at->heads,
                       .kv_heads = at->kv_heads,
                       .k_dim = at->k_dim,
                       .v_dim = at->v_dim,
                       .window = at->window,
                       .scale = at->scale,
                       .softcap = at->softcap,
                       .alibi = at->alibi,
                       .sinks = lcu_plan_vector(p, at->sinks)};
    lcu_launch l = {.kernel = LCU_K_attn,
                    .grid = {LCU_PER(a.in.rows, 1), LCU_BLOCKS(at->heads), LCU_BLOCKS(1)},
                    .shared_bytes = (at->k_dim + at->v_dim) * (uint32_t)sizeof(float)};
    lcu_emit(p, &l, &a);
    return LLM_OK;
}
