/* sampler_top_p.c - the nucleus: the fewest most likely candidates that together hold probability
 * p. */
#include "sample/sampler.h"

typedef struct top_p_state {
    double p;
    int64_t min_keep;
} top_p_state;

static const lm_param_row rows[] = {
    {"p", LLM_KIND_FLOAT, offsetof(top_p_state, p), 0, 1},
    {"min_keep", LLM_KIND_INT, offsetof(top_p_state, min_keep), 0, INT32_MAX},
};

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    const top_p_state *s = state;
    (void)context;
    if (s->p >= 1.0)
        return LLM_OK;
    lm_candidates_softmax(c);
    lm_candidates_keep(c, lm_candidates_mass(c, s->p, (size_t)s->min_keep));
    return LLM_OK;
}

const lm_sampler_class lm_sampler_top_p = {
    .name = "top-p",
    .state_size = sizeof(top_p_state),
    .defaults = &(const top_p_state){.p = 0.95, .min_keep = 1},
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .apply = apply,
};
