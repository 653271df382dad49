/* arch.c - the list of families, and what their tables and emit functions share. */
#include "arch/arch.h"

#include <string.h>

#define X(name) extern const lm_arch lm_arch_##name;
#include "arch/list.h"
#undef X

static const lm_arch *const archs[] = {
#define X(name) &lm_arch_##name,
#include "arch/list.h"
#undef X
};

#define COUNT (sizeof archs / sizeof archs[0])

const lm_arch *lm_arch_by_name(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        for (const char *const *n = archs[i]->names; *n != NULL; n++)
            if (strcmp(*n, name) == 0)
                return archs[i];
    return NULL;
}

bool lm_layer_has_experts(const lm_hparams *h, uint32_t layer)
{
    return h->experts > 0 && layer >= h->leading_dense;
}

uint64_t lm_dim(const lm_hparams *h, uint32_t dim, uint32_t layer)
{
    uint64_t heads = layer < h->n_layers ? h->heads[layer] : 0;
    uint64_t kv = layer < h->n_layers ? h->kv_heads[layer] : 0;
    uint64_t ff = layer < h->n_layers ? h->ff[layer] : 0;
    uint64_t q = heads * h->k_dim, k = kv * h->k_dim, v = kv * h->v_dim;
    uint64_t conv = (uint64_t)h->inner + 2ull * h->groups * h->state;
    switch (dim) {
    case LM_DIM_ONE:
        return 1;
    case LM_DIM_WIDTH:
        return h->width;
    case LM_DIM_VOCAB:
        return h->n_vocab;
    case LM_DIM_Q:
        return q;
    case LM_DIM_K:
        return k;
    case LM_DIM_V:
        return v;
    case LM_DIM_ATTN:
        return heads * h->v_dim;
    case LM_DIM_QKV:
        return q + k + v;
    case LM_DIM_FF:
        return ff;
    case LM_DIM_FF2:
        return 2 * ff;
    case LM_DIM_HEAD_K:
        return h->k_dim;
    case LM_DIM_HEADS:
        return heads;
    case LM_DIM_ROPE_HALF:
        return h->rope_dims / 2;
    case LM_DIM_CONTEXT:
        return h->context_train;
    case LM_DIM_TYPES:
        return h->n_token_types;
    case LM_DIM_EXPERTS:
        return h->experts;
    case LM_DIM_EXPERT_FF:
        return h->expert_ff;
    case LM_DIM_SHARED_FF:
        return h->shared_ff;
    case LM_DIM_INNER:
        return h->inner;
    case LM_DIM_CONV_CHANNELS:
        return conv;
    case LM_DIM_KERNEL:
        return h->conv_kernel;
    case LM_DIM_DT:
        return h->dt_heads;
    case LM_DIM_SSM_IN:
        return h->inner + conv + h->dt_heads;
    case LM_DIM_GROUP_INNER:
        return h->groups == 0 ? 0 : h->inner / h->groups;
    case LM_DIM_GROUPS:
        return h->groups;
    default:
        return 0;
    }
}

uint32_t lm_role(const lm_emit *e, uint32_t role)
{
    uint32_t layer = e->b.layer == 0xffff ? e->h->n_layers : e->b.layer;
    return e->roles[(size_t)layer * LM_ROLE_COUNT + role];
}

uint32_t lm_role_outside(const lm_emit *e, uint32_t role)
{
    return e->roles[(size_t)e->h->n_layers * LM_ROLE_COUNT + role];
}

lm_linear lm_role_linear(lm_emit *e, uint32_t role, uint32_t bias_role)
{
    uint32_t bias = bias_role == LM_ROLE_COUNT ? LM_NONE : lm_role(e, bias_role);
    return lm_linear_of(&e->b, lm_role(e, role), bias);
}
