/* sampler_greedy.c - the most likely candidate, the lowest id among equals. */
#include "sample/sampler.h"

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    (void)state;
    (void)context;
    c->chosen = c->items[lm_candidates_best(c)].id;
    return LLM_OK;
}

static uint32_t enough(const void *state)
{
    (void)state;
    return 1;
}

const lm_sampler_class lm_sampler_greedy = {
    .name = "greedy",
    .enough = enough,
    .apply = apply,
};
