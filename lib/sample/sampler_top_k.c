/* sampler_top_k.c - keeps the k most likely candidates; k = 0 keeps all. */
#include "sample/sampler.h"

typedef struct top_k_state {
    int64_t k;
} top_k_state;

static const lm_param_row rows[] = {
    {"k", LLM_KIND_INT, offsetof(top_k_state, k), 0, INT32_MAX},
};

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    const top_k_state *s = state;
    (void)context;
    if (s->k == 0 || (uint64_t)s->k >= c->count)
        return LLM_OK;
    lm_candidates_sort(c, (size_t)s->k);
    lm_candidates_keep(c, (size_t)s->k);
    return LLM_OK;
}

static uint32_t enough(const void *state)
{
    return (uint32_t)((const top_k_state *)state)->k;
}

const lm_sampler_class lm_sampler_top_k = {
    .name = "top-k",
    .enough = enough,
    .state_size = sizeof(top_k_state),
    .defaults = &(const top_k_state){.k = 40},
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .apply = apply,
};
