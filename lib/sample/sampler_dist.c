/* sampler_dist.c - a candidate drawn by its probability. */
#include "sample/sampler.h"

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    (void)state;
    lm_candidates_draw(c, context);
    return LLM_OK;
}

const lm_sampler_class lm_sampler_dist = {
    .name = "dist",
    .apply = apply,
};
