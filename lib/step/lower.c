/* lower.c - the one lowering of each coarse step into primitives. The last primitive writes the coarse
 * step's own output slot, so a graph may hold either form. */
#include "step/network.h"

#include <string.h>

/* After a failure slots may be missing; the builder remembers it, and nothing is built any more. */
static lm_slot_info info_of(const lm_builder *b, uint32_t slot)
{
    static const lm_slot_info missing = {0, LM_ROWS_ALL, LM_SLOT_F32};
    return slot < b->graph->n_slots ? b->graph->slots[slot] : missing;
}

static uint32_t slot_like(lm_builder *b, uint32_t slot, uint32_t width)
{
    return lm_build_slot(b, width, info_of(b, slot).rows, LM_SLOT_F32);
}

static lm_step make(uint32_t kind, uint32_t in0, uint32_t in1, uint32_t out)
{
    lm_step step;
    memset(&step, 0, sizeof step);
    step.kind = (uint16_t)kind;
    step.in[0] = in0;
    step.in[1] = in1;
    step.in[2] = LM_NONE;
    step.out[0] = out;
    step.out[1] = LM_NONE;
    return step;
}

static uint32_t rows_of(const lm_builder *b, const lm_linear *linear)
{
    return linear->weight < b->network->n_weights ? b->network->weights[linear->weight].rows : 0;
}

static void linear_into(lm_builder *b, const lm_linear *linear, uint32_t in, uint32_t out)
{
    lm_step step = make(LM_STEP_LINEAR, in, LM_NONE, out);
    step.u.linear = *linear;
    lm_build_step(b, &step);
}

static uint32_t linear(lm_builder *b, const lm_linear *l, uint32_t in)
{
    uint32_t out = slot_like(b, in, rows_of(b, l));
    linear_into(b, l, in, out);
    return out;
}

static void add_into(lm_builder *b, uint32_t a, uint32_t c, uint32_t out)
{
    lm_step step = make(LM_STEP_ADD, a, c, out);
    lm_build_step(b, &step);
}

static void act_mul_into(lm_builder *b, uint32_t act, uint32_t in, uint32_t factor, uint32_t out)
{
    lm_step step = make(LM_STEP_ACT_MUL, in, factor, out);
    step.u.act.act = act;
    lm_build_step(b, &step);
}

/* The last linear of a block, with the residual where there is one. */
static void linear_residual(lm_builder *b, const lm_linear *l, uint32_t in, const lm_step *coarse)
{
    if (coarse->in[1] == LM_NONE) {
        linear_into(b, l, in, coarse->out[0]);
        return;
    }
    uint32_t part = linear(b, l, in);
    add_into(b, part, coarse->in[1], coarse->out[0]);
}

static void norm_in_place(lm_builder *b, const lm_norm *norm, uint32_t slot)
{
    if (norm->weight == LM_NONE && norm->group == 0)
        return;
    lm_step step = make(LM_STEP_NORM, slot, LM_NONE, slot);
    step.u.norm = *norm;
    lm_build_step(b, &step);
}

static void rope_in_place(lm_builder *b, const lm_rope *rope, uint32_t heads, uint32_t dim,
                          uint32_t slot)
{
    if (rope->style == LM_ROPE_NONE)
        return;
    lm_step step = make(LM_STEP_ROPE, slot, LM_NONE, slot);
    step.u.rope.rope = *rope;
    step.u.rope.heads = heads;
    step.u.rope.head_dim = dim;
    lm_build_step(b, &step);
}

static void lower_qkv(lm_builder *b, const lm_step *s)
{
    uint32_t in = s->in[0], q = s->out[0];
    linear_into(b, &s->u.qkv.q, in, q);
    uint32_t k = linear(b, &s->u.qkv.k, in);
    uint32_t v = linear(b, &s->u.qkv.v, in);
    norm_in_place(b, &s->u.qkv.q_norm, q);
    norm_in_place(b, &s->u.qkv.k_norm, k);
    rope_in_place(b, &s->u.qkv.rope, s->u.qkv.heads, s->u.qkv.k_dim, q);
    rope_in_place(b, &s->u.qkv.rope, s->u.qkv.kv_heads, s->u.qkv.k_dim, k);
    lm_step append = make(LM_STEP_KV_APPEND, k, v, LM_NONE);
    append.u.append.cache = s->u.qkv.cache;
    lm_build_step(b, &append);
}

static void lower_attn_out(lm_builder *b, const lm_step *s)
{
    const lm_attn *a = &s->u.attn_out.attn;
    uint32_t mixed = slot_like(b, s->in[0], a->heads * a->v_dim);
    lm_step attn = make(LM_STEP_ATTN_PAGED, s->in[0], LM_NONE, mixed);
    attn.u.attn = *a;
    lm_build_step(b, &attn);
    linear_residual(b, &s->u.attn_out.out, mixed, s);
}

/* Columns of every head: `in_column` and `out_column` within one. */
static void copy_into(lm_builder *b, uint32_t heads, uint32_t in, uint32_t in_column, uint32_t out,
                      uint32_t out_column, uint32_t width)
{
    lm_step step = make(LM_STEP_COPY, in, LM_NONE, out);
    step.u.copy.in_column = in_column;
    step.u.copy.out_column = out_column;
    step.u.copy.width = width;
    step.u.copy.heads = heads;
    lm_build_step(b, &step);
}

static uint32_t columns(lm_builder *b, uint32_t heads, uint32_t in, uint32_t column, uint32_t width)
{
    uint32_t out = slot_like(b, in, heads * width);
    copy_into(b, heads, in, column, out, 0, width);
    return out;
}

static uint32_t linear_heads(lm_builder *b, const lm_linear *l, uint32_t heads, uint32_t in)
{
    uint32_t out = slot_like(b, in, heads * rows_of(b, l));
    lm_step step = make(LM_STEP_LINEAR_HEADS, in, LM_NONE, out);
    step.u.heads.linear = *l;
    step.u.heads.heads = heads;
    lm_build_step(b, &step);
    return out;
}

/* Queries against latent keys: what k_up makes of one part, the other rotated. */
static uint32_t latent_queries(lm_builder *b, const lm_step *s)
{
    const lm_attn *a = &s->u.mla.attn;
    uint32_t in = s->in[0], rotated = a->k_dim - a->v_dim;
    if (s->u.mla.q_down.weight != LM_NONE) {
        in = linear(b, &s->u.mla.q_down, in);
        norm_in_place(b, &s->u.mla.q_norm, in);
    }
    uint32_t q = linear(b, &s->u.mla.q_up, in), plain = info_of(b, q).width / a->heads - rotated;
    uint32_t latent = linear_heads(b, &s->u.mla.k_up, a->heads, columns(b, a->heads, q, 0, plain));
    uint32_t turned = columns(b, a->heads, q, plain, rotated);
    rope_in_place(b, &s->u.mla.rope, a->heads, rotated, turned);
    uint32_t out = slot_like(b, q, a->heads * a->k_dim);
    copy_into(b, a->heads, latent, 0, out, 0, a->v_dim);
    copy_into(b, a->heads, turned, 0, out, a->v_dim, rotated);
    return out;
}

static uint32_t latent_keys(lm_builder *b, const lm_step *s)
{
    const lm_attn *a = &s->u.mla.attn;
    uint32_t kv = linear(b, &s->u.mla.kv_down, s->in[0]), rotated = a->k_dim - a->v_dim;
    uint32_t latent = columns(b, 1, kv, 0, a->v_dim), turned = columns(b, 1, kv, a->v_dim, rotated);
    norm_in_place(b, &s->u.mla.kv_norm, latent);
    rope_in_place(b, &s->u.mla.rope, 1, rotated, turned);
    uint32_t out = slot_like(b, kv, a->k_dim);
    lm_step concat = make(LM_STEP_CONCAT, latent, turned, out);
    lm_build_step(b, &concat);
    return out;
}

static void lower_mla(lm_builder *b, const lm_step *s)
{
    const lm_attn *a = &s->u.mla.attn;
    uint32_t queries = latent_queries(b, s);
    lm_step append = make(LM_STEP_KV_APPEND, latent_keys(b, s), LM_NONE, LM_NONE);
    append.u.append.cache = a->cache;
    lm_build_step(b, &append);
    uint32_t mixed = slot_like(b, s->in[0], a->heads * a->v_dim);
    lm_step attn = make(LM_STEP_ATTN_PAGED, queries, LM_NONE, mixed);
    attn.u.attn = *a;
    lm_build_step(b, &attn);
    linear_residual(b, &s->u.mla.out, linear_heads(b, &s->u.mla.v_up, a->heads, mixed), s);
}

static void lower_ffn(lm_builder *b, const lm_step *s)
{
    uint32_t up = linear(b, &s->u.ffn.up, s->in[0]);
    if (s->u.ffn.gate.weight == LM_NONE) {
        act_mul_into(b, s->u.ffn.act, up, LM_NONE, up);
        linear_residual(b, &s->u.ffn.down, up, s);
        return;
    }
    uint32_t gate = linear(b, &s->u.ffn.gate, s->in[0]);
    act_mul_into(b, s->u.ffn.act, gate, up, gate);
    linear_residual(b, &s->u.ffn.down, gate, s);
}

static uint32_t expert_linear(lm_builder *b, const lm_linear *l, uint32_t in, uint32_t ids,
                              uint32_t used, bool per_expert_input)
{
    uint32_t out = slot_like(b, in, rows_of(b, l) * used);
    lm_step step = make(LM_STEP_LINEAR_EXPERT, in, ids, out);
    step.u.expert.linear = *l;
    step.u.expert.used = used;
    step.u.expert.per_expert_input = per_expert_input;
    lm_build_step(b, &step);
    return out;
}

/* Shared experts run for every row, optionally weighted by a gate of their own. */
static uint32_t shared_experts(lm_builder *b, const lm_step *s)
{
    uint32_t in = s->in[0];
    uint32_t gate = linear(b, &s->u.moe.shared_gate, in);
    uint32_t up = linear(b, &s->u.moe.shared_up, in);
    act_mul_into(b, s->u.moe.act, gate, up, gate);
    uint32_t out = linear(b, &s->u.moe.shared_down, gate);
    if (s->u.moe.shared_router.weight == LM_NONE)
        return out;
    uint32_t score = linear(b, &s->u.moe.shared_router, in);
    act_mul_into(b, LM_ACT_SIGMOID, score, LM_NONE, score);
    lm_step combine = make(LM_STEP_COMBINE, out, score, out);
    combine.u.combine.used = 1;
    lm_build_step(b, &combine);
    return out;
}

static void lower_moe(lm_builder *b, const lm_step *s)
{
    uint32_t in = s->in[0], used = s->u.moe.route.used;
    uint32_t scores = linear(b, &s->u.moe.router, in);
    uint32_t ids = lm_build_slot(b, used, info_of(b, in).rows, LM_SLOT_I32);
    uint32_t weights = slot_like(b, in, used);
    lm_step route = make(LM_STEP_ROUTE_TOPK, scores, LM_NONE, ids);
    route.out[1] = weights;
    route.u.route = s->u.moe.route;
    lm_build_step(b, &route);
    uint32_t gate = expert_linear(b, &s->u.moe.gate, in, ids, used, false);
    uint32_t up = expert_linear(b, &s->u.moe.up, in, ids, used, false);
    act_mul_into(b, s->u.moe.act, gate, up, gate);
    uint32_t down = expert_linear(b, &s->u.moe.down, gate, ids, used, true);
    bool shared = s->u.moe.shared_down.weight != LM_NONE, residual = s->in[1] != LM_NONE;
    uint32_t sum = shared || residual ? slot_like(b, in, rows_of(b, &s->u.moe.down)) : s->out[0];
    lm_step combine = make(LM_STEP_COMBINE, down, weights, sum);
    combine.u.combine.used = used;
    lm_build_step(b, &combine);
    if (shared) {
        uint32_t extra = shared_experts(b, s);
        uint32_t total = residual ? sum : s->out[0];
        add_into(b, sum, extra, total);
        sum = total;
    }
    if (residual)
        add_into(b, sum, s->in[1], s->out[0]);
}

static void lower_head(lm_builder *b, const lm_step *s)
{
    uint32_t width = info_of(b, s->in[0]).width;
    uint32_t rows = lm_build_slot(b, width, LM_ROWS_WANTED, LM_SLOT_F32);
    lm_step gather = make(LM_STEP_GATHER_ROWS, s->in[0], LM_NONE, rows);
    lm_build_step(b, &gather);
    norm_in_place(b, &s->u.head.norm, rows);
    linear_into(b, &s->u.head.out, rows, s->out[0]);
    if (s->u.head.cap > 0) {
        lm_step cap = make(LM_STEP_SCALE, s->out[0], LM_NONE, s->out[0]);
        cap.u.scale.scale = 1;
        cap.u.scale.cap = s->u.head.cap;
        lm_build_step(b, &cap);
    }
}

/* NULL: a primitive. */
static void (*const lowerings[LM_STEP_COUNT])(lm_builder *b, const lm_step *s) = {
    [LM_STEP_QKV_ROPE_APPEND] = lower_qkv, [LM_STEP_ATTN_OUT] = lower_attn_out,
    [LM_STEP_GLU_FFN] = lower_ffn,         [LM_STEP_MOE_FFN] = lower_moe,
    [LM_STEP_MLA_ATTN] = lower_mla,        [LM_STEP_HEAD] = lower_head,
};

int32_t lm_lower(lm_builder *b, const lm_step *step)
{
    b->layer = step->layer;
    if (lowerings[step->kind] == NULL)
        lm_build_step(b, step);
    else
        lowerings[step->kind](b, step);
    return b->status;
}
