/* sampler_typical.c - locally typical sampling (Meister et al., 2022): keeps the candidates whose
 * surprise lies nearest to the entropy, until they hold probability p. */
#include "sample/sampler.h"

#include <math.h>

typedef struct typical_state {
    double p;
    int64_t min_keep;
} typical_state;

static const lm_param_row rows[] = {
    {"p", LLM_KIND_FLOAT, offsetof(typical_state, p), 0, 1},
    {"min_keep", LLM_KIND_INT, offsetof(typical_state, min_keep), 0, INT32_MAX},
};

/* The logit that a candidate of exactly average surprise would have: the p-weighted mean logit. */
static double typical_logit(const lm_candidates *c)
{
    double mean = 0.0;
    for (size_t i = 0; i < c->count; i++)
        mean += (double)c->items[i].p * c->items[i].logit;
    return mean;
}

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    const typical_state *s = state;
    (void)context;
    if (s->p >= 1.0)
        return LLM_OK;
    lm_candidates_softmax(c);
    double typical = typical_logit(c);
    /* Order by distance: the distance stands in for the logit while the cut is made. */
    for (size_t i = 0; i < c->count; i++) {
        lm_candidate *item = &c->items[i];
        c->by_token[item->id] = item->logit;
        item->logit = lm_logit(-fabs(item->logit - typical));
    }
    c->n_sorted = 0;
    lm_candidates_keep(c, lm_candidates_mass(c, s->p, (size_t)s->min_keep));
    for (size_t i = 0; i < c->count; i++)
        c->items[i].logit = c->by_token[c->items[i].id];
    c->n_sorted = 0;
    return LLM_OK;
}

const lm_sampler_class lm_sampler_typical = {
    .name = "typical",
    .state_size = sizeof(typical_state),
    .defaults = &(const typical_state){.p = 0.95, .min_keep = 1},
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .apply = apply,
};
