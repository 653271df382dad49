/* host_refs.c - what a step refers to: proves at creation that a program has every weight and cache
 * its steps name, so that no step asks again. */
#include "backends/common/host_program.h"

typedef struct check {
    const lm_program *p;
    uint32_t missing;
} check;

static void check_weight(void *user, uint32_t weight)
{
    check *c = user;
    if (weight >= c->p->network->n_weights || c->p->weights[weight] == NULL)
        c->missing = weight;
}

static int32_t check_cache(const lm_program *p, const lm_step *s, uint32_t entry)
{
    if (entry == LM_NONE)
        return LLM_OK;
    lm_check(entry < p->network->n_caches);
    uint32_t group = p->network->caches[entry].group;
    const lm_cache *c = p->caches[group];
    if (c == NULL || entry >= c->base.n_entries || c->base.member_of[entry] == LM_NONE)
        return lm_fail(LLM_E_INVALID, "step '%s' names cache entry %u, which is not on this device",
                       lm_step_name(s->kind), (unsigned)entry);
    bool state = s->kind == LM_STEP_CONV_STATE || s->kind == LM_STEP_SCAN_STATE;
    lm_check(state == (c->base.kind == LM_CACHE_STATE));
    /* Pages behind a group's window are gone, so no step may look further back. */
    uint32_t window = p->network->groups[group].window;
    const lm_attn *a = s->kind == LM_STEP_ATTN_PAGED ? &s->u.attn
                       : s->kind == LM_STEP_ATTN_OUT ? &s->u.attn_out.attn
                                                     : NULL;
    if (a != NULL && window != 0)
        lm_check(a->window != 0 && a->window <= window);
    return LLM_OK;
}

int32_t lhost_check_refs(const lm_program *p)
{
    for (size_t i = 0; i < p->n_steps; i++) {
        check c = {p, LM_NONE};
        lm_step_each_weight(&p->steps[i], check_weight, &c);
        if (c.missing != LM_NONE)
            return lm_fail(LLM_E_INVALID, "step '%s' names weight %u, which is not on this device",
                           lm_step_name(p->steps[i].kind), (unsigned)c.missing);
        LM_TRY(check_cache(p, &p->steps[i], lm_step_cache(&p->steps[i])));
    }
    return LLM_OK;
}
