/* sampler_penalties.c - makes tokens of the recent history less likely: `repeat` scales their logit
 * towards impossible, `frequency` takes off so much per occurrence, `presence` once. */
#include "sample/sampler.h"

typedef struct penalties_state {
    int64_t last_n;
    double repeat, frequency, presence;
} penalties_state;

static const lm_param_row rows[] = {
    {"last_n", LLM_KIND_INT, offsetof(penalties_state, last_n), -1, INT32_MAX},
    {"repeat", LLM_KIND_FLOAT, offsetof(penalties_state, repeat), 0.01, 100},
    {"frequency", LLM_KIND_FLOAT, offsetof(penalties_state, frequency), -100, 100},
    {"presence", LLM_KIND_FLOAT, offsetof(penalties_state, presence), -100, 100},
};

/* Leaves the number of occurrences of every candidate in by_token. */
static void count_tokens(const lm_sample_context *context, int64_t last_n, lm_candidates *c)
{
    const int32_t *tokens;
    size_t n = lm_sample_window(context, last_n, &tokens);
    for (size_t i = 0; i < c->count; i++)
        c->by_token[c->items[i].id] = 0.0f;
    for (size_t i = 0; i < n; i++)
        if (tokens[i] >= 0 && (uint32_t)tokens[i] < context->n_vocab)
            c->by_token[tokens[i]] += 1.0f;
}

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    const penalties_state *s = state;
    count_tokens(context, s->last_n, c);
    for (size_t i = 0; i < c->count; i++) {
        double count = c->by_token[c->items[i].id], logit = c->items[i].logit;
        if (count == 0.0)
            continue;
        logit = logit > 0.0 ? logit / s->repeat : logit * s->repeat;
        c->items[i].logit = lm_logit(logit - count * s->frequency - s->presence);
        c->n_sorted = 0;
    }
    return LLM_OK;
}

const lm_sampler_class lm_sampler_penalties = {
    .name = "penalties",
    .state_size = sizeof(penalties_state),
    .defaults = &(const penalties_state){.last_n = 64, .repeat = 1.0},
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .apply = apply,
};
