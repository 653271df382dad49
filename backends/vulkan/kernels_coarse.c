/* kernels_coarse.c - coarse steps in few dispatches and fewer barriers: weights that meet the same inputs
 * together, activations and residuals where results are written, keys turned on their way into the
 * cache. Every number is computed as by the steps that they would be lowered to. */
#include "backends/vulkan/kernels.h"

static uint32_t rows_of(const lvk_plan *p, const lm_linear *linear)
{
    return lvk_plan_weight(p, linear->weight).rows;
}

static bool is_absent(const lm_norm *norm)
{
    return norm->weight == LM_NONE && norm->group == 0;
}

bool lvk_takes_qkv(const lvk_features *f, const lm_network *n, const lm_step *step)
{
    (void)f;
    (void)n;
    return lvk_can_rope(&step->u.qkv.rope);
}

int32_t lvk_plan_qkv(lvk_plan *p, const lm_step *step)
{
    const lm_rope *rope = &step->u.qkv.rope;
    lvk_slot in = lvk_plan_slot(p, step->in[0]), q = lvk_plan_slot(p, step->out[0]);
    lvk_slot k = lvk_plan_slot_of(p, rows_of(p, &step->u.qkv.k), in.rows);
    lvk_slot v = lvk_plan_slot_of(p, rows_of(p, &step->u.qkv.v), in.rows);
    lvk_product product = {.in = in,
                           .linear = {&step->u.qkv.q, &step->u.qkv.k, &step->u.qkv.v},
                           .out = {q, k, v},
                           .n_parts = 3};
    LM_TRY(lvk_plan_product(p, &product));
    if (!is_absent(&step->u.qkv.q_norm))
        LM_TRY(lvk_plan_normed(p, &step->u.qkv.q_norm, &q, &q));
    if (!is_absent(&step->u.qkv.k_norm))
        LM_TRY(lvk_plan_normed(p, &step->u.qkv.k_norm, &k, &k));
    if (rope->style != LM_ROPE_NONE)
        LM_TRY(lvk_plan_rotated(p, rope, step->u.qkv.heads, step->u.qkv.k_dim, &q, &q));
    LM_TRY(lvk_plan_stored(p, step->u.qkv.cache, 0, rope, &k));
    return lvk_plan_stored(p, step->u.qkv.cache, 1, NULL, &v);
}

/* The last multiplication of a block, with the step's residual where it has one. */
static int32_t plan_last(lvk_plan *p, const lm_step *step, const lm_linear *linear,
                         const lvk_slot *in)
{
    lvk_product product = {.in = *in,
                           .linear = {linear},
                           .out = {lvk_plan_slot(p, step->out[0])},
                           .n_parts = 1,
                           .residual = lvk_plan_slot(p, step->in[1])};
    return lvk_plan_product(p, &product);
}

bool lvk_takes_attn_out(const lvk_features *f, const lm_network *n, const lm_step *step)
{
    (void)f;
    (void)n;
    return lvk_can_attn(&step->u.attn_out.attn);
}

int32_t lvk_plan_attn_out(lvk_plan *p, const lm_step *step)
{
    const lm_attn *attn = &step->u.attn_out.attn;
    lvk_slot in = lvk_plan_slot(p, step->in[0]);
    lvk_slot mixed = lvk_plan_slot_of(p, attn->heads * attn->v_dim, in.rows);
    LM_TRY(lvk_plan_attention(p, attn, &in, &mixed));
    return plan_last(p, step, &step->u.attn_out.out, &mixed);
}

/* act(gate) * up of the same inputs. */
static int32_t plan_gated(lvk_plan *p, const lm_linear *gate, const lm_linear *up, uint32_t act,
                          const lvk_slot *in, const lvk_slot *out)
{
    lvk_product product = {.in = *in,
                           .linear = {gate, up},
                           .out = {*out, lvk_plan_slot_of(p, out->width, out->rows)},
                           .n_parts = 2,
                           .gated = true,
                           .act = act};
    return lvk_plan_product(p, &product);
}

int32_t lvk_plan_ffn(lvk_plan *p, const lm_step *step)
{
    const lm_linear *gate = &step->u.ffn.gate, *up = &step->u.ffn.up;
    lvk_slot in = lvk_plan_slot(p, step->in[0]), none = {0};
    lvk_slot middle = lvk_plan_slot_of(p, rows_of(p, up), in.rows);
    if (gate->weight != LM_NONE) {
        LM_TRY(plan_gated(p, gate, up, step->u.ffn.act, &in, &middle));
    } else {
        lvk_product product = {.in = in, .linear = {up}, .out = {middle}, .n_parts = 1};
        LM_TRY(lvk_plan_product(p, &product));
        LM_TRY(lvk_plan_activated(p, step->u.ffn.act, &middle, &none, &middle, 0));
    }
    return plan_last(p, step, &step->u.ffn.down, &middle);
}

/* --- experts ---------------------------------------------------------------------------------- */

bool lvk_takes_moe(const lvk_features *f, const lm_network *n, const lm_step *step)
{
    (void)f;
    (void)n;
    return lvk_can_route(&step->u.moe.route);
}

/* What the chosen experts answer, added up into `sum`. */
static int32_t plan_experts(lvk_plan *p, const lm_step *step, const lvk_slot *in,
                            const lvk_slot *sum)
{
    const lm_route *route = &step->u.moe.route;
    uint32_t used = route->used, rows = in->rows;
    lvk_slot scores = lvk_plan_slot_of(p, rows_of(p, &step->u.moe.router), rows);
    lvk_slot ids = lvk_plan_slot_of(p, used, rows), weights = lvk_plan_slot_of(p, used, rows);
    lvk_slot middle = lvk_plan_slot_of(p, used * rows_of(p, &step->u.moe.up), rows);
    lvk_slot answers = lvk_plan_slot_of(p, used * rows_of(p, &step->u.moe.down), rows);
    lvk_product router = {
        .in = *in, .linear = {&step->u.moe.router}, .out = {scores}, .n_parts = 1};
    LM_TRY(lvk_plan_product(p, &router));
    LM_TRY(lvk_plan_routed(p, route, &scores, &ids, &weights));
    lvk_product wide = {.in = *in,
                        .linear = {&step->u.moe.gate, &step->u.moe.up},
                        .out = {middle, lvk_plan_slot_of(p, middle.width, rows)},
                        .n_parts = 2,
                        .mode = LVK_EXPERTS,
                        .gated = true,
                        .act = step->u.moe.act,
                        .ids = ids};
    LM_TRY(lvk_plan_order(p, &ids, used, route->experts, &wide.order));
    LM_TRY(lvk_plan_product(p, &wide));
    lvk_product down = {.in = middle,
                        .linear = {&step->u.moe.down},
                        .out = {answers},
                        .n_parts = 1,
                        .mode = LVK_EXPERTS,
                        .ids = ids,
                        .order = wide.order,
                        .own_input = true};
    LM_TRY(lvk_plan_product(p, &down));
    return lvk_plan_combined(p, used, &answers, &weights, sum);
}

/* Experts that answer every row, optionally under a gate of their own. */
static int32_t plan_shared(lvk_plan *p, const lm_step *step, const lvk_slot *in,
                           const lvk_slot *out)
{
    const lm_linear *gate = &step->u.moe.shared_gate, *router = &step->u.moe.shared_router;
    lvk_slot middle = lvk_plan_slot_of(p, rows_of(p, &step->u.moe.shared_up), in->rows);
    LM_TRY(plan_gated(p, gate, &step->u.moe.shared_up, step->u.moe.act, in, &middle));
    lvk_product down = {
        .in = middle, .linear = {&step->u.moe.shared_down}, .out = {*out}, .n_parts = 1};
    LM_TRY(lvk_plan_product(p, &down));
    if (router->weight == LM_NONE)
        return LLM_OK;
    lvk_slot score = lvk_plan_slot_of(p, rows_of(p, router), in->rows), none = {0};
    lvk_product scored = {.in = *in, .linear = {router}, .out = {score}, .n_parts = 1};
    LM_TRY(lvk_plan_product(p, &scored));
    LM_TRY(lvk_plan_activated(p, LM_ACT_SIGMOID, &score, &none, &score, 0));
    return lvk_plan_combined(p, 1, out, &score, out);
}

int32_t lvk_plan_moe(lvk_plan *p, const lm_step *step)
{
    lvk_slot in = lvk_plan_slot(p, step->in[0]), residual = lvk_plan_slot(p, step->in[1]);
    lvk_slot out = lvk_plan_slot(p, step->out[0]);
    LM_TRY(plan_experts(p, step, &in, &out));
    if (step->u.moe.shared_down.weight != LM_NONE) {
        lvk_slot extra = lvk_plan_slot_of(p, out.width, out.rows);
        LM_TRY(plan_shared(p, step, &in, &extra));
        LM_TRY(lvk_plan_sum(p, &out, &extra, &out));
    }
    return residual.width > 0 ? lvk_plan_sum(p, &out, &residual, &out) : LLM_OK;
}
