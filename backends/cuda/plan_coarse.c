/* plan_coarse.c - coarse steps as few launches: weights that share activations together, residuals and
 * activation functions where results are written. The arithmetic is that of the lowered steps. */
#include "backends/cuda/plan.h"

static uint32_t rows_of(const lcu_planner *p, const lm_linear *linear)
{
    return p->desc->network->weights[linear->weight].rows;
}

/* The residual of a step, laid out as its result. */
static const float *residual_of(const lcu_planner *p, const lm_step *step)
{
    return step->in[1] == LM_NONE ? NULL : lcu_plan_slot(p, step->in[1]).data;
}

static bool is_absent(const lm_norm *norm)
{
    return norm->weight == LM_NONE && norm->group == 0;
}

int32_t lcu_plan_qkv(lcu_planner *p, const lm_step *step)
{
    lcu_slot in = lcu_plan_slot(p, step->in[0]), q = lcu_plan_slot(p, step->out[0]);
    lcu_slot k = lcu_plan_slot_of(p, rows_of(p, &step->u.qkv.k), in.rows);
    lcu_slot v = lcu_plan_slot_of(p, rows_of(p, &step->u.qkv.v), in.rows);
    lcu_product product = {.in = in,
                           .parts = 3,
                           .linear = {lcu_plan_linear(p, &step->u.qkv.q),
                                      lcu_plan_linear(p, &step->u.qkv.k),
                                      lcu_plan_linear(p, &step->u.qkv.v)},
                           .out = {q, k, v},
                           .heads = 1};
    lcu_plan_product(p, &product);
    if (!is_absent(&step->u.qkv.q_norm))
        lcu_plan_normed(p, &step->u.qkv.q_norm, q, q);
    if (!is_absent(&step->u.qkv.k_norm))
        lcu_plan_normed(p, &step->u.qkv.k_norm, k, k);
    const lm_rope *rope = &step->u.qkv.rope;
    if (rope->style != LM_ROPE_NONE) {
        LM_TRY(lcu_plan_rotated(p, rope, step->u.qkv.heads, step->u.qkv.k_dim, q, q));
        LM_TRY(lcu_plan_rotated(p, rope, step->u.qkv.kv_heads, step->u.qkv.k_dim, k, k));
    }
    lcu_plan_stored(p, step->u.qkv.cache, k, v);
    return LLM_OK;
}

int32_t lcu_plan_attn_out(lcu_planner *p, const lm_step *step)
{
    const lm_attn *attn = &step->u.attn_out.attn;
    lcu_slot in = lcu_plan_slot(p, step->in[0]);
    lcu_slot mixed = lcu_plan_slot_of(p, attn->heads * attn->v_dim, in.rows);
    LM_TRY(lcu_plan_attention(p, attn, in, mixed));
    lcu_product product = {.in = mixed,
                           .parts = 1,
                           .linear = {lcu_plan_linear(p, &step->u.attn_out.out)},
                           .out = {lcu_plan_slot(p, step->out[0])},
                           .heads = 1,
                           .residual = residual_of(p, step)};
    lcu_plan_product(p, &product);
    return LLM_OK;
}

int32_t lcu_plan_ffn(lcu_planner *p, const lm_step *step)
{
    const lm_linear *gate = &step->u.ffn.gate, *up = &step->u.ffn.up;
    bool glu = gate->weight != LM_NONE;
    lcu_slot in = lcu_plan_slot(p, step->in[0]);
    lcu_slot middle = lcu_plan_slot_of(p, rows_of(p, up), in.rows);
    lcu_product wide = {.in = in,
                        .parts = glu ? 2 : 1,
                        .linear = {lcu_plan_linear(p, glu ? gate : up)},
                        .out = {middle},
                        .heads = 1,
                        .glu = glu,
                        .act = step->u.ffn.act};
    if (glu)
        wide.linear[1] = lcu_plan_linear(p, up);
    lcu_plan_product(p, &wide);
    if (!glu)
        lcu_plan_act_mul(p, step->u.ffn.act, middle, middle, true, middle, 1);
    lcu_product down = {.in = middle,
                        .parts = 1,
                        .linear = {lcu_plan_linear(p, &step->u.ffn.down)},
                        .out = {lcu_plan_slot(p, step->out[0])},
                        .heads = 1,
                        .residual = residual_of(p, step)};
    lcu_plan_product(p, &down);
    return LLM_OK;
}
