/* cpu_moe.c - choosing experts for each row and adding up what they answer. */
#include "backends/cpu/cpu.h"

#include <math.h>

typedef struct scores {
    float *value, *rank; /* [experts] */
    bool *taken;
} scores;

static scores carve(uint32_t experts, lcpu_carve *c)
{
    scores s;
    s.value = lcpu_take(c, experts * sizeof *s.value);
    s.rank = lcpu_take(c, experts * sizeof *s.rank);
    s.taken = lcpu_take(c, experts * sizeof *s.taken);
    return s;
}

uint64_t lcpu_route_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step)
{
    (void)desc;
    lcpu_carve c = {NULL, 0};
    carve(step->u.route.experts, &c);
    return c.used * lcpu_team_size(lcpu_device_of(d)->team);
}

static void softmax(const lcpu_kernels *k, float *x, uint32_t n)
{
    float largest = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    k->exp(x, largest, x, n);
    for (uint32_t i = 0; i < n; i++)
        sum += x[i];
    for (uint32_t i = 0; i < n; i++)
        x[i] /= sum;
}

/* The best not taken yet, the lowest number among equals; a NaN is worse than all else. */
static uint32_t take_best(const scores *s, uint32_t n)
{
    uint32_t best = LM_NONE;
    for (uint32_t e = 0; e < n; e++) {
        if (s->taken[e])
            continue;
        if (best == LM_NONE || s->rank[e] > s->rank[best] ||
            (isnan(s->rank[best]) && !isnan(s->rank[e])))
            best = e;
    }
    s->taken[best] = true;
    return best;
}

static void weigh(const lcpu_kernels *k, const lm_route *route, float *weights)
{
    if (route->kind == LM_ROUTE_SOFTMAX_PICKED)
        softmax(k, weights, route->used);
    float sum = 0, scale = route->scale == 0 ? 1 : route->scale;
    for (uint32_t i = 0; i < route->used; i++)
        sum += weights[i];
    for (uint32_t i = 0; i < route->used; i++) {
        if (route->normalise && sum != 0)
            weights[i] /= sum;
        weights[i] *= scale;
    }
}

static void route_row(const lcpu_kernels *k, const lm_route *route, const float *logits,
                      const float *bias, const scores *s, int32_t *ids, float *weights)
{
    k->act(route->kind == LM_ROUTE_SIGMOID ? LM_ACT_SIGMOID : LM_ACT_NONE, logits, NULL, s->value,
           route->experts);
    if (route->kind == LM_ROUTE_SOFTMAX)
        softmax(k, s->value, route->experts);
    for (uint32_t e = 0; e < route->experts; e++) {
        s->rank[e] = bias == NULL ? s->value[e] : s->value[e] + bias[e];
        s->taken[e] = false;
    }
    for (uint32_t i = 0; i < route->used; i++) {
        ids[i] = (int32_t)take_best(s, route->experts);
        weights[i] = s->value[ids[i]];
    }
    weigh(k, route, weights);
}

typedef struct routing {
    const lcpu_kernels *k;
    const lm_route *route;
    const float *logits, *bias;
    int32_t *ids;
    float *weights;
    uint8_t *scratch; /* [workers, scratch_bytes] */
    uint64_t scratch_bytes;
    uint32_t rows, task_rows;
} routing;

static void route_rows(void *arg, uint32_t task, uint32_t worker)
{
    const routing *j = arg;
    const lm_route *route = j->route;
    lcpu_carve c = {j->scratch + worker * j->scratch_bytes, 0};
    scores s = carve(route->experts, &c);
    size_t first = (size_t)task * j->task_rows, end = first + j->task_rows;
    for (size_t i = first; i < end && i < j->rows; i++)
        route_row(j->k, route, j->logits + i * route->experts, j->bias, &s,
                  j->ids + i * route->used, j->weights + i * route->used);
}

int32_t lcpu_route(lhost_run *r, const lm_step *step)
{
    const lm_route *route = &step->u.route;
    lcpu_carve one = {NULL, 0};
    carve(route->experts, &one);
    routing j = {.k = &lcpu_of(r)->k,
                 .route = route,
                 .logits = lhost_slot(r, step->in[0]),
                 .bias = lhost_vector(r, route->bias),
                 .ids = lhost_slot(r, step->out[0]),
                 .weights = lhost_slot(r, step->out[1]),
                 .scratch = lhost_scratch(r),
                 .scratch_bytes = one.used,
                 .rows = lhost_rows(r, step->in[0]),
                 .task_rows = 2048 / (route->experts * route->used) + 1};
    lcpu_team_run(lcpu_of(r)->team, (j.rows + j.task_rows - 1) / j.task_rows, route_rows, &j);
    return LLM_OK;
}

typedef struct combination {
    const float *parts, *weights;
    float *out;
    uint32_t used, width;
} combination;

static void combine_rows(void *arg, size_t first, size_t end)
{
    const combination *c = arg;
    for (size_t i = first; i < end; i++) {
        float *out = c->out + i * c->width;
        for (uint32_t k = 0; k < c->used; k++) {
            const float *part = c->parts + (i * c->used + k) * c->width;
            float weight = c->weights[i * c->used + k];
            for (uint32_t n = 0; n < c->width; n++)
                out[n] = k == 0 ? weight * part[n] : out[n] + weight * part[n];
        }
    }
}

int32_t lcpu_combine(lhost_run *r, const lm_step *step)
{
    combination c = {lhost_slot(r, step->in[0]), lhost_slot(r, step->in[1]),
                     lhost_slot(r, step->out[0]), step->u.combine.used,
                     lhost_width(r, step->out[0])};
    lcpu_ranges(r, lhost_rows(r, step->in[0]), 16384 / (c.width * c.used) + 1, combine_rows, &c);
    return LLM_OK;
}
