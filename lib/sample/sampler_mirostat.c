/* sampler_mirostat.c - mirostat 1: estimates the Zipf exponent of the distribution from its m best
 * candidates and from it the k whose expected surprise is mu. Draws the token itself. */
#include "sample/mirostat.h"

typedef struct mirostat_state {
    lm_mirostat common;
    int64_t m;
} mirostat_state;

static const lm_param_row rows[] = {
    {"tau", LLM_KIND_FLOAT, offsetof(mirostat_state, common.tau), 0, 1e3},
    {"eta", LLM_KIND_FLOAT, offsetof(mirostat_state, common.eta), 0, 1e3},
    {"m", LLM_KIND_INT, offsetof(mirostat_state, m), 2, 65536},
};

/* Least squares of the fall of the log-probabilities over the log of the rank. */
static double zipf_exponent(const lm_candidates *c, size_t m)
{
    double products = 0.0, squares = 0.0;
    for (size_t i = 0; i + 1 < m && i + 1 < c->count; i++) {
        double t = log((double)(i + 2) / (double)(i + 1));
        double b = (double)c->items[i].logit - c->items[i + 1].logit;
        products += t * b;
        squares += t * t;
    }
    return products / squares;
}

/* k = (e 2^mu / (1 - N^-e))^(1/s) with e = s - 1, through logarithms; e -> 0 has the limit
 * 2^mu / ln N. */
static double zipf_k(double s, double mu, double n_vocab)
{
    double e = s - 1.0;
    double factor = fabs(e) < 1e-9 ? 1.0 / log(n_vocab) : e / (1.0 - pow(n_vocab, -e));
    return exp((log(factor) + mu * log(2.0)) / s);
}

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    mirostat_state *s = state;
    if (c->count > 1) {
        lm_candidates_sort(c, (size_t)s->m);
        double k = zipf_k(zipf_exponent(c, (size_t)s->m), lm_mirostat_mu(&s->common),
                          (double)context->n_vocab);
        size_t kept = k < (double)c->count ? (size_t)fmax(k, 1.0) : c->count;
        lm_candidates_sort(c, kept);
        lm_candidates_keep(c, kept);
    }
    lm_mirostat_draw(&s->common, context, c);
    return LLM_OK;
}

static void accept(void *state, int32_t token)
{
    lm_mirostat_accept(&((mirostat_state *)state)->common, token);
}

static void reset(void *state)
{
    lm_mirostat_reset(&((mirostat_state *)state)->common);
}

const lm_sampler_class lm_sampler_mirostat = {
    .name = "mirostat",
    .state_size = sizeof(mirostat_state),
    .defaults = &(const mirostat_state){.common = LM_MIROSTAT_DEFAULTS, .m = 100},
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .moving_offset = offsetof(mirostat_state, common.mu),
    .moving_size = sizeof(double),
    .moving_valid = lm_mirostat_moving_valid,
    .apply = apply,
    .accept = accept,
    .reset = reset,
};
