/* sampler_mirostat_2.c - mirostat 2: removes the candidates whose surprise is over mu, bits. Draws
 * the token itself. */
#include "sample/mirostat.h"

static const lm_param_row rows[] = {
    {"tau", LLM_KIND_FLOAT, offsetof(lm_mirostat, tau), 0, 1e3},
    {"eta", LLM_KIND_FLOAT, offsetof(lm_mirostat, eta), 0, 1e3},
};

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    lm_mirostat *m = state;
    double best = c->items[lm_candidates_best(c)].logit, sum = 0.0;
    for (size_t i = 0; i < c->count; i++)
        sum += exp(c->items[i].logit - best);
    /* -log2(p) <= mu, written for the logit */
    lm_candidates_keep_above(c, best + log(sum) - lm_mirostat_mu(m) * log(2.0), 1);
    lm_mirostat_draw(m, context, c);
    return LLM_OK;
}

static void accept(void *state, int32_t token)
{
    lm_mirostat_accept(state, token);
}

static void reset(void *state)
{
    lm_mirostat_reset(state);
}

const lm_sampler_class lm_sampler_mirostat_2 = {
    .name = "mirostat-2",
    .state_size = sizeof(lm_mirostat),
    .defaults = &(const lm_mirostat)LM_MIROSTAT_DEFAULTS,
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .moving_offset = offsetof(lm_mirostat, mu),
    .moving_size = sizeof(double),
    .moving_valid = lm_mirostat_moving_valid,
    .apply = apply,
    .accept = accept,
    .reset = reset,
};
