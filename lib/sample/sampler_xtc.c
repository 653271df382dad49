/* sampler_xtc.c - "exclude top choices": with the given probability, removes all candidates that
 * reach the threshold but the least likely of them, so that a good but less obvious one is taken.
 */
#include "sample/sampler.h"

typedef struct xtc_state {
    double probability, threshold;
    int64_t min_keep;
} xtc_state;

static const lm_param_row rows[] = {
    {"probability", LLM_KIND_FLOAT, offsetof(xtc_state, probability), 0, 1},
    {"threshold", LLM_KIND_FLOAT, offsetof(xtc_state, threshold), 0, 1},
    {"min_keep", LLM_KIND_INT, offsetof(xtc_state, min_keep), 0, INT32_MAX},
};

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    const xtc_state *s = state;
    if (!(lm_random_unit(context->seed, context->draw, context->stream) < s->probability))
        return LLM_OK;
    lm_candidates_softmax(c);
    size_t top = 0;
    for (size_t i = 0; i < c->count; i++)
        top += c->items[i].p >= s->threshold;
    if (top < 2 || c->count - (top - 1) < (uint64_t)s->min_keep)
        return LLM_OK;
    lm_candidates_sort(c, top);
    for (size_t i = top - 1; i < c->count; i++)
        c->items[i - (top - 1)] = c->items[i];
    c->count -= top - 1;
    c->n_sorted -= top - 1;
    return LLM_OK;
}

const lm_sampler_class lm_sampler_xtc = {
    .name = "xtc",
    .state_size = sizeof(xtc_state),
    .defaults = &(const xtc_state){.probability = 0.5, .threshold = 0.1, .min_keep = 1},
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .apply = apply,
};
