/* ref_moe.c - choosing experts for each row and adding up what they answer. */
#include "backends/ref/ref.h"

#include <math.h>

uint64_t lref_route_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step)
{
    (void)d;
    (void)desc;
    return (uint64_t)step->u.route.experts * 2 * sizeof(double);
}

/* exp(x) over the sum of all. */
static void softmax(double *x, uint32_t n)
{
    double largest = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        largest = fmax(largest, x[i]);
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] = exp(x[i] - largest);
    for (uint32_t i = 0; i < n; i++)
        x[i] /= sum;
}

/* The best not taken yet, the lowest number among equals; a NaN is worse than all else. */
static uint32_t best_of(const double *rank, uint32_t n, const int32_t *taken, uint32_t n_taken)
{
    uint32_t best = LM_NONE;
    for (uint32_t e = 0; e < n; e++) {
        bool used = false;
        for (uint32_t k = 0; k < n_taken; k++)
            used |= taken[k] == (int32_t)e;
        if (!used && (best == LM_NONE || rank[e] > rank[best] ||
                      (rank[best] != rank[best] && rank[e] == rank[e])))
            best = e;
    }
    return best;
}

static void route_row(const lm_route *route, const float *logits, const float *bias, double *value,
                      double *rank, int32_t *ids, float *weights)
{
    for (uint32_t e = 0; e < route->experts; e++)
        value[e] =
            route->kind == LM_ROUTE_SIGMOID ? lref_act(LM_ACT_SIGMOID, logits[e]) : logits[e];
    if (route->kind == LM_ROUTE_SOFTMAX)
        softmax(value, route->experts);
    for (uint32_t e = 0; e < route->experts; e++)
        rank[e] = value[e] + (bias == NULL ? 0 : bias[e]);
    for (uint32_t k = 0; k < route->used; k++)
        ids[k] = (int32_t)best_of(rank, route->experts, ids, k);
    double *picked = rank, sum = 0;
    for (uint32_t k = 0; k < route->used; k++)
        picked[k] = value[ids[k]];
    if (route->kind == LM_ROUTE_SOFTMAX_PICKED)
        softmax(picked, route->used);
    for (uint32_t k = 0; k < route->used; k++)
        sum += picked[k];
    double factor = route->scale == 0 ? 1 : (double)route->scale;
    if (route->normalise && sum != 0)
        factor /= sum;
    for (uint32_t k = 0; k < route->used; k++)
        weights[k] = (float)(picked[k] * factor);
}

int32_t lref_route(lhost_run *r, const lm_step *step)
{
    const lm_route *route = &step->u.route;
    const float *logits = lhost_slot(r, step->in[0]), *bias = lhost_vector(r, route->bias);
    int32_t *ids = lhost_slot(r, step->out[0]);
    float *weights = lhost_slot(r, step->out[1]);
    double *value = lhost_scratch(r);
    for (uint32_t i = 0; i < lhost_rows(r, step->in[0]); i++)
        route_row(route, logits + (size_t)i * route->experts, bias, value, value + route->experts,
                  ids + (size_t)i * route->used, weights + (size_t)i * route->used);
    return LLM_OK;
}

int32_t lref_combine(lhost_run *r, const lm_step *step)
{
    const float *parts = lhost_slot(r, step->in[0]), *weights = lhost_slot(r, step->in[1]);
    float *out = lhost_slot(r, step->out[0]);
    uint32_t used = step->u.combine.used, width = lhost_width(r, step->out[0]);
    for (uint32_t i = 0; i < lhost_rows(r, step->in[0]); i++) {
        for (uint32_t c = 0; c < width; c++) {
            double sum = 0;
            for (uint32_t k = 0; k < used; k++)
                sum += (double)weights[(size_t)i * used + k] *
                       parts[((size_t)i * used + k) * width + c];
            out[(size_t)i * width + c] = (float)sum;
        }
    }
    return LLM_OK;
}
