/* visit.c - what a step refers to: its weights, its linears, its cache entry. The one place that knows
 * where each kind keeps them. */
#include "step/network.h"

#include <stddef.h>

typedef struct field {
    uint16_t kind;
    uint16_t offset; /* in lm_step */
} field;

#define AT(member) offsetof(lm_step, u.member)

static const field linears[] = {
    {LM_STEP_LINEAR, AT(linear)},
    {LM_STEP_LINEAR_HEADS, AT(heads.linear)},
    {LM_STEP_LINEAR_EXPERT, AT(expert.linear)},
    {LM_STEP_QKV_ROPE_APPEND, AT(qkv.q)},
    {LM_STEP_QKV_ROPE_APPEND, AT(qkv.k)},
    {LM_STEP_QKV_ROPE_APPEND, AT(qkv.v)},
    {LM_STEP_ATTN_OUT, AT(attn_out.out)},
    {LM_STEP_GLU_FFN, AT(ffn.gate)},
    {LM_STEP_GLU_FFN, AT(ffn.up)},
    {LM_STEP_GLU_FFN, AT(ffn.down)},
    {LM_STEP_MOE_FFN, AT(moe.router)},
    {LM_STEP_MOE_FFN, AT(moe.gate)},
    {LM_STEP_MOE_FFN, AT(moe.up)},
    {LM_STEP_MOE_FFN, AT(moe.down)},
    {LM_STEP_MOE_FFN, AT(moe.shared_router)},
    {LM_STEP_MOE_FFN, AT(moe.shared_gate)},
    {LM_STEP_MOE_FFN, AT(moe.shared_up)},
    {LM_STEP_MOE_FFN, AT(moe.shared_down)},
    {LM_STEP_MLA_ATTN, AT(mla.q_down)},
    {LM_STEP_MLA_ATTN, AT(mla.q_up)},
    {LM_STEP_MLA_ATTN, AT(mla.kv_down)},
    {LM_STEP_MLA_ATTN, AT(mla.k_up)},
    {LM_STEP_MLA_ATTN, AT(mla.v_up)},
    {LM_STEP_MLA_ATTN, AT(mla.out)},
    {LM_STEP_HEAD, AT(head.out)},
};

/* Weights outside of linears. */
static const field vectors[] = {
    {LM_STEP_EMBED, AT(embed.weight)},
    {LM_STEP_ROW_ADD, AT(vector.weight)},
    {LM_STEP_NORM, AT(norm.weight)},
    {LM_STEP_NORM, AT(norm.bias)},
    {LM_STEP_ROUTE_TOPK, AT(route.bias)},
    {LM_STEP_ROPE, AT(rope.rope.factors)},
    {LM_STEP_ATTN_PAGED, AT(attn.sinks)},
    {LM_STEP_CONV_STATE, AT(conv.weight)},
    {LM_STEP_CONV_STATE, AT(conv.bias)},
    {LM_STEP_SCAN_STATE, AT(scan.a)},
    {LM_STEP_SCAN_STATE, AT(scan.d)},
    {LM_STEP_SCAN_STATE, AT(scan.dt_bias)},
    {LM_STEP_QKV_ROPE_APPEND, AT(qkv.q_norm.weight)},
    {LM_STEP_QKV_ROPE_APPEND, AT(qkv.q_norm.bias)},
    {LM_STEP_QKV_ROPE_APPEND, AT(qkv.k_norm.weight)},
    {LM_STEP_QKV_ROPE_APPEND, AT(qkv.k_norm.bias)},
    {LM_STEP_QKV_ROPE_APPEND, AT(qkv.rope.factors)},
    {LM_STEP_ATTN_OUT, AT(attn_out.attn.sinks)},
    {LM_STEP_MOE_FFN, AT(moe.route.bias)},
    {LM_STEP_MLA_ATTN, AT(mla.q_norm.weight)},
    {LM_STEP_MLA_ATTN, AT(mla.q_norm.bias)},
    {LM_STEP_MLA_ATTN, AT(mla.kv_norm.weight)},
    {LM_STEP_MLA_ATTN, AT(mla.kv_norm.bias)},
    {LM_STEP_MLA_ATTN, AT(mla.rope.factors)},
    {LM_STEP_MLA_ATTN, AT(mla.attn.sinks)},
    {LM_STEP_HEAD, AT(head.norm.weight)},
    {LM_STEP_HEAD, AT(head.norm.bias)},
};

static const field caches[] = {
    {LM_STEP_KV_APPEND, AT(append.cache)},    {LM_STEP_ATTN_PAGED, AT(attn.cache)},
    {LM_STEP_CONV_STATE, AT(conv.cache)},     {LM_STEP_SCAN_STATE, AT(scan.cache)},
    {LM_STEP_QKV_ROPE_APPEND, AT(qkv.cache)}, {LM_STEP_ATTN_OUT, AT(attn_out.attn.cache)},
    {LM_STEP_MLA_ATTN, AT(mla.attn.cache)},
};

#define COUNT(table) (sizeof table / sizeof table[0])

static const void *at(const lm_step *step, const field *f)
{
    return (const char *)step + f->offset;
}

void lm_step_each_linear(const lm_step *step, void (*visit)(void *user, const lm_linear *l),
                         void *user)
{
    for (size_t i = 0; i < COUNT(linears); i++) {
        if (linears[i].kind != step->kind)
            continue;
        const lm_linear *l = at(step, &linears[i]);
        if (l->weight != LM_NONE)
            visit(user, l);
    }
}

typedef struct each {
    void (*visit)(void *user, uint32_t weight);
    void *user;
} each;

static void visit_linear(void *user, const lm_linear *l)
{
    const each *e = user;
    e->visit(e->user, l->weight);
    if (l->bias != LM_NONE)
        e->visit(e->user, l->bias);
}

void lm_step_each_weight(const lm_step *step, void (*visit)(void *user, uint32_t weight),
                         void *user)
{
    each e = {visit, user};
    lm_step_each_linear(step, visit_linear, &e);
    for (size_t i = 0; i < COUNT(vectors); i++) {
        if (vectors[i].kind != step->kind)
            continue;
        uint32_t weight = *(const uint32_t *)at(step, &vectors[i]);
        if (weight != LM_NONE)
            visit(user, weight);
    }
}

uint32_t lm_step_cache(const lm_step *step)
{
    for (size_t i = 0; i < COUNT(caches); i++)
        if (caches[i].kind == step->kind)
            return *(const uint32_t *)at(step, &caches[i]);
    return LM_NONE;
}
