/* blocks.c - attention, feed-forward, experts and head as coarse steps. */
#include "arch/blocks.h"

#include <math.h>
#include <string.h>

#define MOST_VALUES (1u << 24) /* of all heads of a row */

int32_t lm_check_attention(lm_hparams *h, const char *name)
{
    uint32_t heads = h->heads[0];
    if (heads == 0)
        return lm_fail(LLM_E_FORMAT, "%s.attention.head_count is missing or 0", name);
    for (uint32_t i = 0; i < h->n_layers; i++) {
        if (h->kv_heads[i] == 0)
            h->kv_heads[i] = h->heads[i];
        if (h->heads[i] == 0 || h->heads[i] % h->kv_heads[i] != 0)
            return lm_fail(LLM_E_FORMAT, "%s: layer %u has %u heads over %u K/V heads", name,
                           (unsigned)i, (unsigned)h->heads[i], (unsigned)h->kv_heads[i]);
    }
    if (h->k_dim == 0) {
        if (h->width % heads != 0)
            return lm_fail(LLM_E_FORMAT, "%s: a width of %u does not divide by %u heads", name,
                           (unsigned)h->width, (unsigned)heads);
        h->k_dim = h->width / heads;
    }
    if (h->v_dim == 0)
        h->v_dim = h->k_dim;
    for (uint32_t i = 0; i < h->n_layers; i++)
        if ((uint64_t)h->heads[i] * h->k_dim > MOST_VALUES ||
            (uint64_t)h->heads[i] * h->v_dim > MOST_VALUES)
            return lm_fail(LLM_E_FORMAT, "%s: layer %u has %u heads of %u and %u values", name,
                           (unsigned)i, (unsigned)h->heads[i], (unsigned)h->k_dim,
                           (unsigned)h->v_dim);
    if (h->rope_dims == 0)
        h->rope_dims = h->k_dim;
    if (h->rope_dims > h->k_dim || h->rope_dims % 2 != 0)
        return lm_fail(LLM_E_FORMAT, "%s.rope.dimension_count is %u with heads of %u", name,
                       (unsigned)h->rope_dims, (unsigned)h->k_dim);
    return LLM_OK;
}

int32_t lm_check_experts(lm_hparams *h, const char *name)
{
    if (h->experts == 0)
        return LLM_OK;
    if (h->experts_used == 0 || h->experts_used > h->experts)
        return lm_fail(LLM_E_FORMAT, "%s.expert_used_count is %u of %u experts", name,
                       (unsigned)h->experts_used, (unsigned)h->experts);
    if (h->expert_ff == 0)
        h->expert_ff = h->ff[h->n_layers - 1];
    return LLM_OK;
}

lm_norm lm_rms_norm(const lm_emit *e, uint32_t role)
{
    return (lm_norm){LM_NORM_RMS, lm_role(e, role), LM_NONE, 0, e->h->norm_eps, 0};
}

lm_norm lm_layer_norm(const lm_emit *e, uint32_t role, uint32_t bias_role)
{
    return (lm_norm){LM_NORM_LAYER, lm_role(e, role), lm_role(e, bias_role), 0, e->h->norm_eps, 0};
}

lm_norm lm_head_norm(const lm_emit *e, uint32_t role, uint32_t head_dim)
{
    uint32_t weight = lm_role(e, role);
    if (weight == LM_NONE)
        return lm_norm_absent();
    return (lm_norm){LM_NORM_RMS, weight, LM_NONE, head_dim, e->h->norm_eps, 0};
}

/* YaRN's factor of q and k for a context stretched by `factor`. */
static float yarn_magnitude(float factor, float multiplier)
{
    return factor <= 1 ? 1 : 0.1f * multiplier * logf(factor) + 1;
}

lm_rope lm_rope_of(const lm_emit *e, uint32_t style)
{
    const lm_hparams *h = e->h;
    uint32_t original = h->rope_context_original != 0 ? h->rope_context_original : h->context_train;
    lm_rope rope = {.style = style,
                    .dims = h->rope_dims,
                    .base = h->rope_base,
                    .freq_scale = 1,
                    .attn_factor = h->rope_attn_factor,
                    .factors = lm_role_outside(e, LM_ROLE_ROPE_FREQS)};
    if (rope.factors == LM_NONE)
        rope.factors =
            lm_role_outside(e, e->context > original ? LM_ROLE_ROPE_LONG : LM_ROLE_ROPE_SHORT);
    if (h->rope_factor > 0 &&
        (h->rope_scaling == LM_SCALING_LINEAR || h->rope_scaling == LM_SCALING_YARN))
        rope.freq_scale = 1 / h->rope_factor;
    if (h->rope_factor > 0 && h->rope_scaling == LM_SCALING_YARN) {
        rope.yarn_mix = 1;
        rope.beta_fast = h->yarn_beta_fast;
        rope.beta_slow = h->yarn_beta_slow;
        rope.context_original = original;
        rope.attn_factor *= yarn_magnitude(h->rope_factor, 1);
        if (h->yarn_log_multiplier != 0)
            rope.attn_factor /= yarn_magnitude(h->rope_factor, h->yarn_log_multiplier);
    }
    return rope;
}

uint32_t lm_layer_window(const lm_hparams *h, uint32_t layer)
{
    bool whole = h->window_pattern != 0 && layer % h->window_pattern == h->window_pattern - 1;
    return whole ? 0 : h->window;
}

uint32_t lm_emit_attention(lm_emit *e, uint32_t in, uint32_t residual, const lm_attention *a)
{
    const lm_hparams *h = e->h;
    uint32_t layer = e->b.layer, heads = h->heads[layer], kv_heads = h->kv_heads[layer];
    uint32_t window = a->window < e->context ? a->window : 0; /* nothing is ever behind it */
    uint32_t kind = window != 0 ? LM_CACHE_WINDOW : LM_CACHE_FULL;
    uint32_t group = lm_build_group(&e->b, kind, window);
    uint32_t cache = lm_build_kv(&e->b, group, kv_heads, h->k_dim, h->v_dim);

    lm_step qkv;
    memset(&qkv, 0, sizeof qkv);
    qkv.u.qkv.q = lm_role_linear(e, LM_ROLE_ATTN_Q, LM_ROLE_ATTN_Q_BIAS);
    qkv.u.qkv.k = lm_role_linear(e, LM_ROLE_ATTN_K, LM_ROLE_ATTN_K_BIAS);
    qkv.u.qkv.v = lm_role_linear(e, LM_ROLE_ATTN_V, LM_ROLE_ATTN_V_BIAS);
    qkv.u.qkv.q_norm = lm_head_norm(e, LM_ROLE_ATTN_Q_NORM, h->k_dim);
    qkv.u.qkv.k_norm = lm_head_norm(e, LM_ROLE_ATTN_K_NORM, h->k_dim);
    qkv.u.qkv.rope = a->rope;
    qkv.u.qkv.cache = cache;
    qkv.u.qkv.heads = heads;
    qkv.u.qkv.kv_heads = kv_heads;
    qkv.u.qkv.k_dim = h->k_dim;
    qkv.u.qkv.v_dim = h->v_dim;
    uint32_t q =
        lm_emit_coarse(&e->b, &qkv, LM_STEP_QKV_ROPE_APPEND, in, LM_NONE, heads * h->k_dim);

    lm_step out;
    memset(&out, 0, sizeof out);
    out.u.attn_out.out = lm_role_linear(e, LM_ROLE_ATTN_OUT, LM_ROLE_ATTN_OUT_BIAS);
    out.u.attn_out.attn = (lm_attn){.cache = cache,
                                    .heads = heads,
                                    .kv_heads = kv_heads,
                                    .k_dim = h->k_dim,
                                    .v_dim = h->v_dim,
                                    .scale = a->scale != 0 ? a->scale : 1 / sqrtf((float)h->k_dim),
                                    .softcap = a->softcap,
                                    .window = window,
                                    .sinks = lm_role(e, LM_ROLE_ATTN_SINKS)};
    return lm_emit_coarse(&e->b, &out, LM_STEP_ATTN_OUT, q, residual, h->width);
}

uint32_t lm_emit_ffn(lm_emit *e, uint32_t in, uint32_t residual, uint32_t act)
{
    lm_step ffn;
    memset(&ffn, 0, sizeof ffn);
    ffn.u.ffn.gate = lm_role_linear(e, LM_ROLE_FFN_GATE, LM_ROLE_FFN_GATE_BIAS);
    ffn.u.ffn.up = lm_role_linear(e, LM_ROLE_FFN_UP, LM_ROLE_FFN_UP_BIAS);
    ffn.u.ffn.down = lm_role_linear(e, LM_ROLE_FFN_DOWN, LM_ROLE_FFN_DOWN_BIAS);
    ffn.u.ffn.act = act;
    return lm_emit_coarse(&e->b, &ffn, LM_STEP_GLU_FFN, in, residual, e->h->width);
}

uint32_t lm_emit_experts(lm_emit *e, uint32_t in, uint32_t residual, uint32_t act,
                         const lm_route *route)
{
    lm_step moe;
    memset(&moe, 0, sizeof moe);
    moe.u.moe.router = lm_role_linear(e, LM_ROLE_ROUTER, LM_ROLE_COUNT);
    moe.u.moe.gate = lm_role_linear(e, LM_ROLE_EXPERT_GATE, LM_ROLE_COUNT);
    moe.u.moe.up = lm_role_linear(e, LM_ROLE_EXPERT_UP, LM_ROLE_COUNT);
    moe.u.moe.down = lm_role_linear(e, LM_ROLE_EXPERT_DOWN, LM_ROLE_COUNT);
    moe.u.moe.shared_router = lm_role_linear(e, LM_ROLE_SHARED_ROUTER, LM_ROLE_COUNT);
    moe.u.moe.shared_gate = lm_role_linear(e, LM_ROLE_SHARED_GATE, LM_ROLE_COUNT);
    moe.u.moe.shared_up = lm_role_linear(e, LM_ROLE_SHARED_UP, LM_ROLE_COUNT);
    moe.u.moe.shared_down = lm_role_linear(e, LM_ROLE_SHARED_DOWN, LM_ROLE_COUNT);
    moe.u.moe.route = *route;
    moe.u.moe.act = act;
    return lm_emit_coarse(&e->b, &moe, LM_STEP_MOE_FFN, in, residual, e->h->width);
}

void lm_emit_logits(lm_emit *e, uint32_t in, const lm_norm *norm, float cap)
{
    uint32_t role = lm_role(e, LM_ROLE_OUTPUT) != LM_NONE ? LM_ROLE_OUTPUT : LM_ROLE_TOKEN_EMBD;
    lm_linear out = lm_role_linear(e, role, LM_ROLE_OUTPUT_BIAS);
    out.scale = e->h->logit_scale;
    lm_emit_head(&e->b, in, norm, &out, cap);
}
