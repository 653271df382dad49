/* host_refs.c - proves at creation that a program has every weight and cache its steps name, so that
 * no step asks again. */
#include "backends/common/host_refs.h"

#include "backends/common/host_storage.h"

/* --- forms of steps --------------------------------------------------------------------------- */

/* Steps whose output may lie over an input. */
static bool may_be_in_place(uint32_t kind)
{
    static const uint8_t kinds[] = {LM_STEP_ADD,       LM_STEP_ROW_ADD, LM_STEP_SCALE,
                                    LM_STEP_NORM,      LM_STEP_ACT_MUL, LM_STEP_ROPE,
                                    LM_STEP_ALL_REDUCE};
    for (size_t i = 0; i < sizeof kinds; i++)
        if (kinds[i] == kind)
            return true;
    return false;
}

static bool is_in_place(const lm_step *s)
{
    for (int o = 0; o < LM_STEP_OUTS; o++)
        for (int i = 0; i < LM_STEP_INS; i++)
            if (s->out[o] != LM_NONE && s->out[o] == s->in[i])
                return true;
    return false;
}

bool lhost_step_form(const lm_step *step)
{
    if (step->kind == LM_STEP_SCAN_STATE && step->u.scan.kind != LM_SCAN_MAMBA2)
        return false;
    /* A combination of one part is a multiplication by a column and works in place. */
    bool one_part = step->kind == LM_STEP_COMBINE && step->u.combine.used == 1;
    return !is_in_place(step) || may_be_in_place(step->kind) || one_part;
}

int32_t lhost_check_steps(lm_device *device, const lm_program_desc *desc)
{
    for (size_t i = 0; i < desc->n_steps; i++) {
        lm_step_support support;
        LM_TRY(device->backend->step_query(device, desc->network, &desc->steps[i], &support));
        if (support.support == LM_SUPPORT_NO)
            return lm_fail(LLM_E_UNSUPPORTED, "the backend '%s' has no step '%s' of this form",
                           device->backend->name, lm_step_name(desc->steps[i].kind));
    }
    return LLM_OK;
}

/* --- what steps name -------------------------------------------------------------------------- */

typedef struct weights {
    const lm_program_desc *desc;
    uint32_t missing;
} weights;

static void check_weight(void *user, uint32_t weight)
{
    weights *w = user;
    if (weight >= w->desc->network->n_weights || w->desc->weights[weight] == NULL)
        w->missing = weight;
}

/* What a kind of step finds in its cache entry. */
enum { NOTHING, TOKENS, STATE };
static const uint8_t finds[LM_STEP_COUNT] = {
    [LM_STEP_KV_APPEND] = TOKENS, [LM_STEP_QKV_ROPE_APPEND] = TOKENS, [LM_STEP_ATTN_PAGED] = TOKENS,
    [LM_STEP_ATTN_OUT] = TOKENS,  [LM_STEP_MLA_ATTN] = TOKENS,        [LM_STEP_CONV_STATE] = STATE,
    [LM_STEP_SCAN_STATE] = STATE,
};

static const lm_attn *attention_of(const lm_step *s)
{
    return s->kind == LM_STEP_ATTN_PAGED ? &s->u.attn
           : s->kind == LM_STEP_ATTN_OUT ? &s->u.attn_out.attn
           : s->kind == LM_STEP_MLA_ATTN ? &s->u.mla.attn
                                         : NULL;
}

static int32_t check_cache(const lm_program_desc *desc, const lm_step *s)
{
    const lm_network *n = desc->network;
    uint32_t entry = lm_step_cache(s);
    if (finds[s->kind] == NOTHING)
        return LLM_OK;
    const lhost_storage *c = entry >= n->n_caches || desc->caches == NULL
                                 ? NULL
                                 : lhost_storage_of(desc->caches[n->caches[entry].group]);
    if (c == NULL || entry >= c->n_entries || c->member_of[entry] == LM_NONE)
        return lm_fail(LLM_E_INVALID, "step '%s' names cache entry %u, which is not on this device",
                       lm_step_name(s->kind), (unsigned)entry);
    if ((c->kind == LM_CACHE_STATE) != (finds[s->kind] == STATE))
        return lm_fail(LLM_E_INVALID, "step '%s' names cache entry %u, which is of another kind",
                       lm_step_name(s->kind), (unsigned)entry);
    /* Pages behind a group's window are gone, so no step may look further back. */
    uint32_t window = n->groups[n->caches[entry].group].window;
    const lm_attn *a = attention_of(s);
    if (a != NULL && window != 0 && (a->window == 0 || a->window > window))
        return lm_fail(LLM_E_INVALID, "step '%s' looks back %u tokens (0: all) in a window of %u",
                       lm_step_name(s->kind), (unsigned)a->window, (unsigned)window);
    return LLM_OK;
}

int32_t lhost_check_refs(const lm_program_desc *desc)
{
    for (size_t i = 0; i < desc->n_steps; i++) {
        const lm_step *s = &desc->steps[i];
        weights w = {desc, LM_NONE};
        lm_step_each_weight(s, check_weight, &w);
        if (w.missing != LM_NONE)
            return lm_fail(LLM_E_INVALID, "step '%s' names weight %u, which is not on this device",
                           lm_step_name(s->kind), (unsigned)w.missing);
        LM_TRY(check_cache(desc, s));
    }
    return LLM_OK;
}
