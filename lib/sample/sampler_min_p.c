/* sampler_min_p.c - keeps candidates at least p times as likely as the most likely one. */
#include "sample/sampler.h"

#include <math.h>

typedef struct min_p_state {
    double p;
    int64_t min_keep;
} min_p_state;

static const lm_param_row rows[] = {
    {"p", LLM_KIND_FLOAT, offsetof(min_p_state, p), 0, 1},
    {"min_keep", LLM_KIND_INT, offsetof(min_p_state, min_keep), 0, INT32_MAX},
};

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    const min_p_state *s = state;
    (void)context;
    if (s->p <= 0.0)
        return LLM_OK;
    double best = c->items[lm_candidates_best(c)].logit;
    lm_candidates_keep_above(c, best + log(s->p), (size_t)s->min_keep);
    return LLM_OK;
}

const lm_sampler_class lm_sampler_min_p = {
    .name = "min-p",
    .state_size = sizeof(min_p_state),
    .defaults = &(const min_p_state){.p = 0.05, .min_keep = 1},
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .apply = apply,
};
