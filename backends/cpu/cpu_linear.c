/* cpu_linear.c - the steps that are one multiplication: which row of activations meets which matrix.
 */
#include "backends/cpu/cpu_product.h"

#include <string.h>

typedef struct shape {
    uint32_t rows, places, groups; /* at most */
} shape;

static const lm_linear *linear_of(const lm_step *step)
{
    switch (step->kind) {
    case LM_STEP_LINEAR_HEADS:
        return &step->u.heads.linear;
    case LM_STEP_LINEAR_EXPERT:
        return &step->u.expert.linear;
    default:
        return &step->u.linear;
    }
}

static shape shape_of(const lm_step *step, uint32_t rows, uint32_t experts)
{
    if (step->kind == LM_STEP_LINEAR_HEADS)
        return (shape){rows * step->u.heads.heads, rows * step->u.heads.heads, step->u.heads.heads};
    if (step->kind == LM_STEP_LINEAR_EXPERT) {
        uint32_t places = rows * step->u.expert.used;
        return (shape){step->u.expert.per_expert_input ? places : rows, places, experts};
    }
    return (shape){rows, rows, 1};
}

/* One step at work: its activations, and a batch of one product. */
typedef struct job {
    lcpu_acts acts;
    lcpu_batch b;
} job;

/* Cuts the scratch into the job's arrays; the same cuts count it beforehand. */
static void carve(job *j, const lm_format *format, uint32_t cols, shape s, lcpu_carve *c)
{
    lcpu_batch_add(&j->b, format, cols, s.places, s.groups, c);
    lcpu_acts_carve(&j->acts, j->b.d, s.rows, cols, false, lcpu_acts_wanted(j->b.d, format), c);
    lcpu_batch_finish(&j->b, NULL, c);
}

uint64_t lcpu_linear_scratch(const lhost_device *d, const lm_program_desc *desc,
                             const lm_step *step)
{
    const lm_weight_desc *w = &desc->network->weights[linear_of(step)->weight];
    job j = {.b.d = lcpu_device_of(d)};
    lcpu_carve c = {NULL, 0};
    carve(&j, w->format, w->cols, shape_of(step, lcpu_max_rows(desc, step->in[0]), w->experts), &c);
    return c.used;
}

static void start(lhost_run *r, const lm_step *step, job *j)
{
    const lm_weight *w = lhost_weight(r, linear_of(step)->weight);
    *j = (job){.b.d = lcpu_of(r)};
    lcpu_carve c = {lhost_scratch(r), 0};
    carve(j, w->format, w->cols, shape_of(step, lhost_rows(r, step->in[0]), w->experts), &c);
    lcpu_product_bind(r, linear_of(step), &j->acts, &j->b.p[0]);
    j->acts.in = lhost_slot(r, step->in[0]);
    lcpu_acts_prepare(r, &j->acts);
}

int32_t lcpu_linear(lhost_run *r, const lm_step *step)
{
    job j;
    start(r, step, &j);
    lcpu_product_rows(&j.b.p[0], lhost_slot(r, step->out[0]));
    lcpu_next next;
    j.b.then = lcpu_next_find(r, step, &next);
    lcpu_batch_run(&j.b);
    return LLM_OK;
}

int32_t lcpu_linear_heads(lhost_run *r, const lm_step *step)
{
    job j;
    start(r, step, &j);
    lcpu_product *p = &j.b.p[0];
    float *out = lhost_slot(r, step->out[0]);
    uint32_t heads = step->u.heads.heads, rows = lhost_rows(r, step->in[0]);
    for (uint32_t h = 0, place = 0; h < heads && rows > 0; h++) {
        p->groups[p->n_groups++] = (lcpu_group){h, place, rows};
        for (uint32_t i = 0; i < rows; i++, place++) {
            p->x[place] = lcpu_product_x(p, (size_t)i * heads + h);
            p->out[place] = out + ((size_t)i * heads + h) * p->w->rows;
        }
    }
    lcpu_batch_run(&j.b);
    return LLM_OK;
}

static bool is_here(const lcpu_product *p, int32_t expert)
{
    return expert >= 0 && (uint32_t)expert < p->w->experts;
}

/* Orders the places by expert; experts without any make no group. An expert that is not here adds
 * nothing. */
static void group_places(job *j, const int32_t *ids, const lm_step *step, uint32_t places,
                         float *out)
{
    lcpu_product *p = &j->b.p[0];
    uint32_t at = 0, used = step->u.expert.used;
    for (uint32_t e = 0; e < p->w->experts; e++)
        p->groups[e] = (lcpu_group){e, 0, 0};
    for (uint32_t place = 0; place < places; place++)
        if (is_here(p, ids[place]))
            p->groups[ids[place]].count++;
    for (uint32_t e = 0; e < p->w->experts; at += p->groups[e++].count)
        p->groups[e].first = at;
    for (uint32_t e = 0; e < p->w->experts; e++)
        p->groups[e].count = 0;
    for (uint32_t place = 0; place < places; place++) {
        float *row = out + (size_t)place * p->w->rows;
        if (!is_here(p, ids[place])) {
            memset(row, 0, p->w->rows * sizeof *row);
            continue;
        }
        lcpu_group *g = &p->groups[ids[place]];
        p->x[g->first + g->count] =
            lcpu_product_x(p, step->u.expert.per_expert_input ? place : place / used);
        p->out[g->first + g->count++] = row;
    }
    for (uint32_t e = 0; e < p->w->experts; e++)
        if (p->groups[e].count > 0)
            p->groups[p->n_groups++] = p->groups[e];
}

int32_t lcpu_linear_expert(lhost_run *r, const lm_step *step)
{
    job j;
    start(r, step, &j);
    group_places(&j, lhost_slot(r, step->in[1]), step,
                 lhost_rows(r, step->in[0]) * step->u.expert.used, lhost_slot(r, step->out[0]));
    lcpu_batch_run(&j.b);
    return LLM_OK;
}
