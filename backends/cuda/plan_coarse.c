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

/* --- queries, keys and values ------------------------------------------------------------------------ */

#define HEAD_WARPS 8u /* of a block that finishes heads */

/* Norms of heads that one warp does. */
static bool takes_norm(const lm_norm *norm, uint32_t dim)
{
    return is_absent(norm) || norm->group == dim;
}

static bool takes_heads(const lcu_planner *p, const lm_step *step)
{
    const lm_cache_entry *e = &p->desc->network->caches[step->u.qkv.cache];
    uint32_t k = step->u.qkv.k_dim, v = step->u.qkv.v_dim;
    return e->kv_heads == step->u.qkv.kv_heads && e->k_dim == k && e->v_dim == v &&
           k >= LCU_FEW_HEAD && v >= LCU_FEW_HEAD && k <= LCU_NORM_WARP && v <= LCU_NORM_WARP &&
           takes_norm(&step->u.qkv.q_norm, k) && takes_norm(&step->u.qkv.k_norm, k);
}

static int32_t fill_heads(lcu_planner *p, const lm_step *step, const lcu_slot part[3],
                          lcu_heads_args *a)
{
    const lm_rope *rope = &step->u.qkv.rope;
    const lm_norm *norms[2] = {&step->u.qkv.q_norm, &step->u.qkv.k_norm};
    uint32_t kv_heads = step->u.qkv.kv_heads, k_dim = step->u.qkv.k_dim, v_dim = step->u.qkv.v_dim,
             all = step->u.qkv.heads + 2 * kv_heads;
    *a = (lcu_heads_args){.run = p->run,
                          .in = {part[0], part[1], part[2]},
                          .style = rope->style,
                          .dims = rope->style == LM_ROPE_NONE ? 0 : rope->dims,
                          .heads = {step->u.qkv.heads, kv_heads, kv_heads},
                          .dim = {k_dim, k_dim, v_dim},
                          .cache = lcu_plan_cache(p, step->u.qkv.cache),
                          .room = k_dim > v_dim ? k_dim : v_dim};
    for (uint32_t i = 0; i < 2; i++)
        if (!is_absent(norms[i]))
            a->norm[i] = lcu_norm_args_of(p, norms[i], part[i], part[i]);
    if (a->dims > 0)
        LM_TRY(lcu_plan_rope_table(p, rope, &a->table));
    a->counters = lcu_plan_kept(p, all * sizeof(uint32_t));
    return LLM_OK;
}

/* Runs of `from` rows or more, whose multiplications leave it to a kernel of its own. */
static void plan_heads(lcu_planner *p, const lcu_heads_args *a, uint32_t from)
{
    uint32_t all = a->heads[0] + a->heads[1] + a->heads[2];
    lcu_launch l = {.kernel = LCU_K_heads,
                    .grid = {LCU_PER(LCU_COUNT_ROWS, 1),
                             LCU_BLOCKS((all + HEAD_WARPS - 1) / HEAD_WARPS), LCU_BLOCKS(1)},
                    .shared_bytes = HEAD_WARPS * a->room * (uint32_t)sizeof(float),
                    .ladder = LCU_COUNT_ROWS,
                    .from = from,
                    .to = UINT32_MAX};
    if (from <= p->desc->limits.rows)
        lcu_emit(p, &l, a);
}

/* Heads that no warp finishes alone: step by step. */
static int32_t plan_heads_apart(lcu_planner *p, const lm_step *step, const lcu_slot part[3])
{
    const lm_rope *rope = &step->u.qkv.rope;
    if (!is_absent(&step->u.qkv.q_norm))
        lcu_plan_normed(p, &step->u.qkv.q_norm, part[0], part[0]);
    if (!is_absent(&step->u.qkv.k_norm))
        lcu_plan_normed(p, &step->u.qkv.k_norm, part[1], part[1]);
    if (rope->style != LM_ROPE_NONE) {
        LM_TRY(lcu_plan_rotated(p, rope, step->u.qkv.heads, step->u.qkv.k_dim, part[0], part[0]));
        LM_TRY(
            lcu_plan_rotated(p, rope, step->u.qkv.kv_heads, step->u.qkv.k_dim, part[1], part[1]));
    }
    lcu_plan_stored(p, step->u.qkv.cache, part[1], part[2]);
    return LLM_OK;
}

int32_t lcu_plan_qkv(lcu_planner *p, const lm_step *step)
{
    lcu_slot in = lcu_plan_slot(p, step->in[0]);
    lcu_slot part[3] = {lcu_plan_slot(p, step->out[0]),
                        lcu_plan_slot_of(p, rows_of(p, &step->u.qkv.k), in.rows),
                        lcu_plan_slot_of(p, rows_of(p, &step->u.qkv.v), in.rows)};
    lcu_product product = {.in = in,
                           .parts = 3,
                           .linear = {lcu_plan_linear(p, &step->u.qkv.q),
                                      lcu_plan_linear(p, &step->u.qkv.k),
                                      lcu_plan_linear(p, &step->u.qkv.v)},
                           .out = {part[0], part[1], part[2]},
                           .heads = 1,
                           .norm = lcu_left_norm(p, step->in[0])};
    if (!takes_heads(p, step)) {
        lcu_plan_product(p, &product);
        return plan_heads_apart(p, step, part);
    }
    lcu_heads_args heads;
    LM_TRY(fill_heads(p, step, part, &heads));
    bool few = lcu_few_fits(p, in.rows, in.width);
    product.few_heads = few ? &heads : NULL;
    lcu_plan_product(p, &product);
    plan_heads(p, &heads, few ? LCU_FEW_ROWS + 1 : 1);
    return LLM_OK;
}

/* --- the others ------------------------------------------------------------------------------------- */

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

/* Whether few rows go from one to the other as blocks of bytes. */
static bool shares_blocks(const lcu_planner *p, const lcu_product *wide, const lcu_product *down)
{
    return LCU_IS_CODES(down->linear[0].w.layout) && down->in.width % 32 == 0 &&
           (!wide->glu || wide->linear[0].w.layout == wide->linear[1].w.layout) &&
           lcu_few_fits(p, wide->in.rows, wide->in.width) &&
           lcu_few_fits(p, down->in.rows, down->in.width);
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
                        .act = step->u.ffn.act,
                        .norm = lcu_left_norm(p, step->in[0])};
    if (glu)
        wide.linear[1] = lcu_plan_linear(p, up);
    lcu_product down = {.in = middle,
                        .parts = 1,
                        .linear = {lcu_plan_linear(p, &step->u.ffn.down)},
                        .out = {lcu_plan_slot(p, step->out[0])},
                        .heads = 1,
                        .residual = residual_of(p, step)};
    if (shares_blocks(p, &wide, &down))
        wide.out_x = down.x = lcu_plan_x8(p, LCU_FEW_ROWS, middle.width);
    lcu_plan_product(p, &wide);
    lcu_plan_product(p, &down);
    return LLM_OK;
}
