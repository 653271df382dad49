/* sampler_temperature.c - divides the logits by a temperature; 0 keeps the most likely alone. With
 * a range the temperature follows the entropy: sure predictions are sharpened, open ones widened.
 */
#include "sample/sampler.h"

#include <float.h>
#include <math.h>

typedef struct temperature_state {
    double temp, range, exponent;
} temperature_state;

static const lm_param_row rows[] = {
    {"temp", LLM_KIND_FLOAT, offsetof(temperature_state, temp), 0, 1e6},
    {"range", LLM_KIND_FLOAT, offsetof(temperature_state, range), 0, 1e6},
    {"exponent", LLM_KIND_FLOAT, offsetof(temperature_state, exponent), 0, 1e3},
};

/* Entropy over the largest that so many candidates can have, in [0, 1]. From the logits, because
 * the logarithm of a rounded probability near 1 says little. */
static double relative_entropy(const lm_candidates *c)
{
    double best = c->items[lm_candidates_best(c)].logit, sum = 0.0, weighted = 0.0;
    for (size_t i = 0; i < c->count; i++) {
        double behind = c->items[i].logit - best, weight = exp(behind);
        sum += weight;
        if (weight > 0.0)
            weighted += weight * behind;
    }
    double relative = (log(sum) - weighted / sum) / log((double)c->count);
    return relative < 1.0 ? relative : 1.0;
}

static void keep_best(lm_candidates *c)
{
    c->items[0] = c->items[lm_candidates_best(c)];
    lm_candidates_keep(c, 1);
}

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    const temperature_state *s = state;
    (void)context;
    double temp = s->temp;
    if (s->range > 0.0) {
        if (c->count == 1)
            return LLM_OK;
        double low = temp > s->range ? temp - s->range : 0.0, high = temp + s->range;
        temp = low + (high - low) * pow(relative_entropy(c), s->exponent);
    }
    double largest = 0.0;
    for (size_t i = 0; i < c->count; i++) { /* gcc 12 for aarch64 fails on a loop over fmax */
        double size = fabs((double)c->items[i].logit);
        largest = size > largest ? size : largest;
    }
    if (!(temp > 0.0) ||
        largest / temp > FLT_MAX) { /* too cold for floats: the limit is the same */
        keep_best(c);
        return LLM_OK;
    }
    for (size_t i = 0; i < c->count; i++)
        c->items[i].logit = (float)(c->items[i].logit / temp);
    return LLM_OK; /* the order stands */
}

const lm_sampler_class lm_sampler_temperature = {
    .name = "temperature",
    .state_size = sizeof(temperature_state),
    .defaults = &(const temperature_state){.temp = 0.8, .range = 0.0, .exponent = 1.0},
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .apply = apply,
};
