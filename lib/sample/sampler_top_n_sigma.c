/* sampler_top_n_sigma.c - keeps the candidates whose logit lies within n standard deviations of the
 * best. Works on logits, so the choice does not depend on the temperature. */
#include "sample/sampler.h"

#include <math.h>

typedef struct top_n_sigma_state {
    double n;
} top_n_sigma_state;

static const lm_param_row rows[] = {
    {"n", LLM_KIND_FLOAT, offsetof(top_n_sigma_state, n), 0, 1e6},
};

static double deviation(const lm_candidates *c)
{
    double sum = 0.0, squares = 0.0, count = (double)c->count;
    for (size_t i = 0; i < c->count; i++)
        sum += c->items[i].logit;
    for (size_t i = 0; i < c->count; i++) {
        double distance = c->items[i].logit - sum / count;
        squares += distance * distance;
    }
    return sqrt(squares / count);
}

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    const top_n_sigma_state *s = state;
    (void)context;
    if (s->n <= 0.0)
        return LLM_OK;
    double best = c->items[lm_candidates_best(c)].logit;
    lm_candidates_keep_above(c, best - s->n * deviation(c), 1);
    return LLM_OK;
}

const lm_sampler_class lm_sampler_top_n_sigma = {
    .name = "top-n-sigma",
    .state_size = sizeof(top_n_sigma_state),
    .defaults = &(const top_n_sigma_state){.n = 1.0},
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .apply = apply,
};
