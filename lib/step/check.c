/* check.c - proves a graph sound before any backend sees it: every index in range, every width what
 * the step needs. Backends rely on it and do not check again. */
#include "step/check.h"

typedef struct context {
    const lm_network *n;
    const lm_graph *g;
    const lm_step *s;
    size_t index;
} context;

#define WANT(c, condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return lm_fail(LLM_E_INTERNAL, "step %u (%s, layer %u): %s does not hold",             \
                           (unsigned)(c)->index, lm_step_name((c)->s->kind),                       \
                           (unsigned)(c)->s->layer, #condition);                                   \
    } while (0)

static uint32_t width_in(const context *c, uint32_t i)
{
    uint32_t slot = c->s->in[i];
    return slot < c->g->n_slots ? c->g->slots[slot].width : 0;
}

static uint32_t width_out(const context *c, uint32_t i)
{
    uint32_t slot = c->s->out[i];
    return slot < c->g->n_slots ? c->g->slots[slot].width : 0;
}

static bool weight_is(const context *c, uint32_t w, uint32_t rows, uint32_t cols)
{
    return w < c->n->n_weights && c->n->weights[w].rows == rows && c->n->weights[w].cols == cols;
}

/* A vector weight with this many values, however they are shaped; or absent. */
static bool vector_or_none(const context *c, uint32_t w, uint64_t values)
{
    return w == LM_NONE || (w < c->n->n_weights && (c->n->weights[w].uses & LM_USE_VECTOR) != 0 &&
                            (uint64_t)c->n->weights[w].rows * c->n->weights[w].cols == values);
}

/* `experts` matrices, each with its bias. */
static bool linears_fit(const context *c, const lm_linear *l, uint32_t in, uint32_t out,
                        uint32_t experts)
{
    return weight_is(c, l->weight, out, in) && c->n->weights[l->weight].experts == experts &&
           (c->n->weights[l->weight].uses & (LM_USE_MATMUL | LM_USE_EXPERT)) != 0 &&
           vector_or_none(c, l->bias, (uint64_t)out * experts);
}

static bool linear_fits(const context *c, const lm_linear *l, uint32_t in, uint32_t out)
{
    return linears_fit(c, l, in, out, 1);
}

static bool linear_fits_or_none(const context *c, const lm_linear *l, uint32_t in, uint32_t out)
{
    return l->weight == LM_NONE || linear_fits(c, l, in, out);
}

static uint32_t rows_of(const context *c, const lm_linear *l)
{
    return l->weight < c->n->n_weights ? c->n->weights[l->weight].rows : 0;
}

/* Of an entry that is there. */
static bool latent_entry(const context *c, uint32_t cache)
{
    return c->n->groups[c->n->caches[cache].group].kind == LM_CACHE_LATENT;
}

static bool kv_entry(const context *c, uint32_t cache, uint32_t kv_heads, uint32_t k_dim,
                     uint32_t v_dim)
{
    if (cache >= c->n->n_caches)
        return false;
    const lm_cache_entry *e = &c->n->caches[cache];
    return e->group < c->n->n_groups && c->n->groups[e->group].kind != LM_CACHE_STATE &&
           e->kv_heads == kv_heads && e->k_dim == k_dim && e->v_dim == v_dim &&
           (!latent_entry(c, cache) || (kv_heads == 1 && v_dim <= k_dim));
}

static bool state_entry(const context *c, uint32_t cache)
{
    return cache < c->n->n_caches && c->n->caches[cache].group < c->n->n_groups &&
           c->n->groups[c->n->caches[cache].group].kind == LM_CACHE_STATE;
}

/* Pages behind a group's window are gone: no step may look further back. */
static bool window_fits(const context *c, const lm_attn *a)
{
    uint32_t window = c->n->groups[c->n->caches[a->cache].group].window;
    return window == 0 || (a->window != 0 && a->window <= window);
}

static bool norm_fits(const context *c, const lm_norm *norm, uint32_t width)
{
    uint32_t group = norm->group == 0 ? width : norm->group;
    if (norm->kind > LM_NORM_L2 || group == 0 || width % group != 0)
        return false;
    return (vector_or_none(c, norm->weight, group) || vector_or_none(c, norm->weight, width)) &&
           (vector_or_none(c, norm->bias, group) || vector_or_none(c, norm->bias, width));
}

static bool rope_fits(const context *c, const lm_rope *rope, uint32_t head_dim)
{
    return rope->style == LM_ROPE_NONE ||
           (rope->style <= LM_ROPE_HALVES && rope->dims % 2 == 0 && rope->dims >= 2 &&
            rope->dims <= head_dim && vector_or_none(c, rope->factors, rope->dims / 2));
}

static int32_t check_attn(const context *c, const lm_attn *a)
{
    WANT(c, a->heads > 0 && a->kv_heads > 0 && a->heads % a->kv_heads == 0);
    WANT(c, kv_entry(c, a->cache, a->kv_heads, a->k_dim, a->v_dim));
    WANT(c, window_fits(c, a));
    WANT(c, vector_or_none(c, a->sinks, a->heads));
    return LLM_OK;
}

/* Attention of queries that are there, not made by the step itself. */
static int32_t check_queries(const context *c, const lm_attn *a)
{
    LM_TRY(check_attn(c, a));
    WANT(c, width_in(c, 0) == a->heads * a->k_dim);
    return LLM_OK;
}

static int32_t check_route(const context *c, const lm_route *r)
{
    WANT(c, r->kind <= LM_ROUTE_SIGMOID && r->used >= 1 && r->used <= r->experts);
    WANT(c, vector_or_none(c, r->bias, r->experts));
    return LLM_OK;
}

static int32_t check_qkv(const context *c)
{
    const lm_step *s = c->s;
    uint32_t in = width_in(c, 0);
    WANT(c, linear_fits(c, &s->u.qkv.q, in, s->u.qkv.heads * s->u.qkv.k_dim));
    WANT(c, linear_fits(c, &s->u.qkv.k, in, s->u.qkv.kv_heads * s->u.qkv.k_dim));
    WANT(c, linear_fits(c, &s->u.qkv.v, in, s->u.qkv.kv_heads * s->u.qkv.v_dim));
    WANT(c, width_out(c, 0) == s->u.qkv.heads * s->u.qkv.k_dim);
    WANT(c, norm_fits(c, &s->u.qkv.q_norm, s->u.qkv.heads * s->u.qkv.k_dim));
    WANT(c, norm_fits(c, &s->u.qkv.k_norm, s->u.qkv.kv_heads * s->u.qkv.k_dim));
    WANT(c, rope_fits(c, &s->u.qkv.rope, s->u.qkv.k_dim));
    WANT(c, kv_entry(c, s->u.qkv.cache, s->u.qkv.kv_heads, s->u.qkv.k_dim, s->u.qkv.v_dim));
    WANT(c, !latent_entry(c, s->u.qkv.cache));
    return LLM_OK;
}

static int32_t check_attn_out(const context *c)
{
    const lm_step *s = c->s;
    LM_TRY(check_queries(c, &s->u.attn_out.attn));
    WANT(c, linear_fits(c, &s->u.attn_out.out, s->u.attn_out.attn.heads * s->u.attn_out.attn.v_dim,
                        width_out(c, 0)));
    WANT(c, s->in[1] == LM_NONE || width_in(c, 1) == width_out(c, 0));
    return LLM_OK;
}

static int32_t check_mla(const context *c)
{
    const lm_step *s = c->s;
    const lm_attn *a = &s->u.mla.attn;
    LM_TRY(check_attn(c, a));
    WANT(c, latent_entry(c, a->cache) && a->k_dim > a->v_dim);
    uint32_t in = width_in(c, 0), heads = a->heads, rotated = a->k_dim - a->v_dim;
    uint32_t low = s->u.mla.q_down.weight == LM_NONE ? in : rows_of(c, &s->u.mla.q_down);
    uint32_t plain =
        s->u.mla.k_up.weight < c->n->n_weights ? c->n->weights[s->u.mla.k_up.weight].cols : 0;
    uint32_t value = rows_of(c, &s->u.mla.v_up);
    WANT(c, linear_fits_or_none(c, &s->u.mla.q_down, in, low));
    WANT(c, norm_fits(c, &s->u.mla.q_norm, low));
    WANT(c, s->u.mla.q_down.weight != LM_NONE || s->u.mla.q_norm.weight == LM_NONE);
    WANT(c, linear_fits(c, &s->u.mla.q_up, low, heads * (plain + rotated)));
    WANT(c, linear_fits(c, &s->u.mla.kv_down, in, a->k_dim));
    WANT(c, norm_fits(c, &s->u.mla.kv_norm, a->v_dim));
    WANT(c, linears_fit(c, &s->u.mla.k_up, plain, a->v_dim, heads));
    WANT(c, linears_fit(c, &s->u.mla.v_up, a->v_dim, value, heads));
    WANT(c, linear_fits(c, &s->u.mla.out, heads * value, width_out(c, 0)));
    WANT(c, rope_fits(c, &s->u.mla.rope, rotated));
    WANT(c, s->in[1] == LM_NONE || width_in(c, 1) == width_out(c, 0));
    return LLM_OK;
}

static int32_t check_ffn(const context *c)
{
    const lm_step *s = c->s;
    uint32_t ff = rows_of(c, &s->u.ffn.up);
    WANT(c, linear_fits(c, &s->u.ffn.up, width_in(c, 0), ff));
    WANT(c, linear_fits_or_none(c, &s->u.ffn.gate, width_in(c, 0), ff));
    WANT(c, linear_fits(c, &s->u.ffn.down, ff, width_out(c, 0)));
    WANT(c, s->in[1] == LM_NONE || width_in(c, 1) == width_out(c, 0));
    return LLM_OK;
}

static int32_t check_moe(const context *c)
{
    const lm_step *s = c->s;
    uint32_t ff = rows_of(c, &s->u.moe.up), shared = rows_of(c, &s->u.moe.shared_up);
    LM_TRY(check_route(c, &s->u.moe.route));
    WANT(c, linear_fits(c, &s->u.moe.router, width_in(c, 0), s->u.moe.route.experts));
    WANT(c, linears_fit(c, &s->u.moe.gate, width_in(c, 0), ff, s->u.moe.route.experts));
    WANT(c, linears_fit(c, &s->u.moe.up, width_in(c, 0), ff, s->u.moe.route.experts));
    WANT(c, linears_fit(c, &s->u.moe.down, ff, width_out(c, 0), s->u.moe.route.experts));
    WANT(c, linear_fits_or_none(c, &s->u.moe.shared_down, shared, width_out(c, 0)));
    WANT(c, s->u.moe.shared_down.weight == LM_NONE ||
                (linear_fits(c, &s->u.moe.shared_gate, width_in(c, 0), shared) &&
                 linear_fits(c, &s->u.moe.shared_up, width_in(c, 0), shared)));
    WANT(c, linear_fits_or_none(c, &s->u.moe.shared_router, width_in(c, 0), 1));
    WANT(c, s->in[1] == LM_NONE || width_in(c, 1) == width_out(c, 0));
    return LLM_OK;
}

static int32_t check_head(const context *c)
{
    const lm_step *s = c->s;
    WANT(c, norm_fits(c, &s->u.head.norm, width_in(c, 0)));
    WANT(c, linear_fits(c, &s->u.head.out, width_in(c, 0), width_out(c, 0)));
    return LLM_OK;
}

static int32_t check_state(const context *c)
{
    const lm_step *s = c->s;
    if (s->kind == LM_STEP_CONV_STATE) {
        const lm_conv *v = &s->u.conv;
        WANT(c, state_entry(c, v->cache) && v->kernel >= 1);
        WANT(c, c->n->caches[v->cache].conv_values == v->channels * (v->kernel - 1));
        WANT(c, width_in(c, 0) == v->channels && width_out(c, 0) == v->channels);
        WANT(c, v->weight != LM_NONE);
        WANT(c, vector_or_none(c, v->weight, (uint64_t)v->channels * v->kernel));
        WANT(c, vector_or_none(c, v->bias, v->channels));
        return LLM_OK;
    }
    const lm_scan *v = &s->u.scan;
    WANT(c, v->kind == LM_SCAN_MAMBA2);
    WANT(c, v->groups > 0 && v->heads % v->groups == 0 && state_entry(c, v->cache));
    WANT(c, c->n->caches[v->cache].scan_values == v->heads * v->head_dim * v->state);
    WANT(c, width_in(c, 0) == v->heads * v->head_dim + 2 * v->groups * v->state);
    WANT(c, width_in(c, 1) == v->heads && width_out(c, 0) == v->heads * v->head_dim);
    WANT(c, v->a != LM_NONE && vector_or_none(c, v->a, v->heads));
    WANT(c, vector_or_none(c, v->d, v->heads) && vector_or_none(c, v->dt_bias, v->heads));
    return LLM_OK;
}

static int32_t check_expert(const context *c)
{
    const lm_step *s = c->s;
    const lm_linear *l = &s->u.expert.linear;
    uint32_t used = s->u.expert.used;
    WANT(c, used >= 1 && width_in(c, 1) == used);
    WANT(c, l->weight < c->n->n_weights && c->n->weights[l->weight].experts >= 1);
    WANT(c, width_out(c, 0) % used == 0);
    WANT(c, !s->u.expert.per_expert_input || width_in(c, 0) % used == 0);
    uint32_t in = s->u.expert.per_expert_input ? width_in(c, 0) / used : width_in(c, 0);
    WANT(c, linears_fit(c, l, in, width_out(c, 0) / used, c->n->weights[l->weight].experts));
    return LLM_OK;
}

static int32_t check_embed(const context *c)
{
    const lm_step *s = c->s;
    WANT(c, s->u.embed.weight < c->n->n_weights && s->u.embed.source <= LM_EMBED_CONSTANT);
    WANT(c, (c->n->weights[s->u.embed.weight].uses & LM_USE_GATHER) != 0);
    WANT(c, c->n->weights[s->u.embed.weight].cols == width_out(c, 0));
    return LLM_OK;
}

static int32_t check_same_width(const context *c)
{
    WANT(c, width_in(c, 0) == width_out(c, 0));
    return LLM_OK;
}

static int32_t check_copy(const context *c)
{
    const lm_step *s = c->s;
    uint32_t heads = s->u.copy.heads == 0 ? 1 : s->u.copy.heads;
    WANT(c, width_in(c, 0) % heads == 0 && width_out(c, 0) % heads == 0);
    WANT(c, (uint64_t)s->u.copy.in_column + s->u.copy.width <= width_in(c, 0) / heads);
    WANT(c, (uint64_t)s->u.copy.out_column + s->u.copy.width <= width_out(c, 0) / heads);
    return LLM_OK;
}

static int32_t check_concat(const context *c)
{
    WANT(c, width_in(c, 0) + width_in(c, 1) == width_out(c, 0));
    return LLM_OK;
}

static int32_t check_add(const context *c)
{
    WANT(c, width_in(c, 0) == width_out(c, 0) && width_in(c, 1) == width_out(c, 0));
    return LLM_OK;
}

static int32_t check_row_add(const context *c)
{
    const lm_step *s = c->s;
    WANT(c, width_in(c, 0) == width_out(c, 0));
    WANT(c, vector_or_none(c, s->u.vector.weight, width_out(c, 0)));
    return LLM_OK;
}

static int32_t check_norm(const context *c)
{
    const lm_step *s = c->s;
    WANT(c, width_in(c, 0) == width_out(c, 0) && norm_fits(c, &s->u.norm, width_in(c, 0)));
    return LLM_OK;
}

static int32_t check_act_mul(const context *c)
{
    const lm_step *s = c->s;
    WANT(c, width_in(c, 0) == width_out(c, 0));
    WANT(c, s->in[1] == LM_NONE || width_in(c, 1) == width_out(c, 0));
    return LLM_OK;
}

static int32_t check_linear(const context *c)
{
    const lm_step *s = c->s;
    WANT(c, linear_fits(c, &s->u.linear, width_in(c, 0), width_out(c, 0)));
    return LLM_OK;
}

static int32_t check_heads(const context *c)
{
    const lm_step *s = c->s;
    uint32_t heads = s->u.heads.heads;
    WANT(c, heads >= 1 && width_in(c, 0) % heads == 0 && width_out(c, 0) % heads == 0);
    WANT(c, linears_fit(c, &s->u.heads.linear, width_in(c, 0) / heads, width_out(c, 0) / heads,
                        heads));
    return LLM_OK;
}

static int32_t check_best(const context *c)
{
    WANT(c, width_out(c, 0) <= width_in(c, 0) && width_out(c, 1) == width_out(c, 0));
    return LLM_OK;
}

static int32_t check_route_topk(const context *c)
{
    const lm_step *s = c->s;
    LM_TRY(check_route(c, &s->u.route));
    WANT(c, width_in(c, 0) == s->u.route.experts && width_out(c, 0) == s->u.route.used);
    WANT(c, width_out(c, 1) == s->u.route.used);
    return LLM_OK;
}

static int32_t check_combine(const context *c)
{
    const lm_step *s = c->s;
    WANT(c, width_in(c, 1) == s->u.combine.used);
    WANT(c, width_in(c, 0) == width_out(c, 0) * s->u.combine.used);
    return LLM_OK;
}

static int32_t check_rope(const context *c)
{
    const lm_step *s = c->s;
    WANT(c, width_in(c, 0) == width_out(c, 0));
    WANT(c, width_in(c, 0) == s->u.rope.heads * s->u.rope.head_dim);
    WANT(c, rope_fits(c, &s->u.rope.rope, s->u.rope.head_dim));
    return LLM_OK;
}

static int32_t check_append(const context *c)
{
    const lm_step *s = c->s;
    WANT(c, s->u.append.cache < c->n->n_caches);
    const lm_cache_entry *e = &c->n->caches[s->u.append.cache];
    WANT(c, kv_entry(c, s->u.append.cache, e->kv_heads, e->k_dim, e->v_dim));
    bool latent = latent_entry(c, s->u.append.cache);
    WANT(c, width_in(c, 0) == e->kv_heads * e->k_dim && (s->in[1] == LM_NONE) == latent);
    WANT(c, latent || width_in(c, 1) == e->kv_heads * e->v_dim);
    return LLM_OK;
}

static int32_t check_attn_paged(const context *c)
{
    const lm_step *s = c->s;
    LM_TRY(check_queries(c, &s->u.attn));
    WANT(c, width_out(c, 0) == s->u.attn.heads * s->u.attn.v_dim);
    return LLM_OK;
}

static int32_t (*const checks[LM_STEP_COUNT])(const context *c) = {
    [LM_STEP_EMBED] = check_embed,
    [LM_STEP_GATHER_ROWS] = check_same_width,
    [LM_STEP_COPY] = check_copy,
    [LM_STEP_CONCAT] = check_concat,
    [LM_STEP_ADD] = check_add,
    [LM_STEP_ROW_ADD] = check_row_add,
    [LM_STEP_SCALE] = check_same_width,
    [LM_STEP_NORM] = check_norm,
    [LM_STEP_ACT_MUL] = check_act_mul,
    [LM_STEP_LINEAR] = check_linear,
    [LM_STEP_LINEAR_HEADS] = check_heads,
    [LM_STEP_LINEAR_EXPERT] = check_expert,
    [LM_STEP_ROUTE_TOPK] = check_route_topk,
    [LM_STEP_COMBINE] = check_combine,
    [LM_STEP_ROPE] = check_rope,
    [LM_STEP_KV_APPEND] = check_append,
    [LM_STEP_ATTN_PAGED] = check_attn_paged,
    [LM_STEP_CONV_STATE] = check_state,
    [LM_STEP_SCAN_STATE] = check_state,
    [LM_STEP_POOL] = check_same_width,
    [LM_STEP_TAP] = check_same_width,
    [LM_STEP_BEST] = check_best,
    [LM_STEP_ALL_REDUCE] = check_same_width,
    [LM_STEP_QKV_ROPE_APPEND] = check_qkv,
    [LM_STEP_ATTN_OUT] = check_attn_out,
    [LM_STEP_GLU_FFN] = check_ffn,
    [LM_STEP_MOE_FFN] = check_moe,
    [LM_STEP_MLA_ATTN] = check_mla,
    [LM_STEP_HEAD] = check_head,
};

static int32_t check_step(const context *c)
{
    return checks[c->s->kind](c);
}

int32_t lm_graph_check(const lm_network *n, const lm_graph *g)
{
    LM_TRY(lm_graph_check_forms(n, g));
    for (size_t i = 0; i < g->n_steps; i++) {
        context c = {n, g, &g->steps[i], i};
        LM_TRY(check_step(&c));
    }
    if (g->n_steps == 0 || g->result >= g->n_slots)
        return lm_fail(LLM_E_INTERNAL, "the graph '%s' has no result", g->name);
    return LLM_OK;
}
