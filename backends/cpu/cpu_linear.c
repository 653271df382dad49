/* cpu_linear.c - the steps that are one multiplication: which row of activations meets which matrix.
 * Those that follow one another with the same input are one job, done with the first of them. */
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

/* --- steps that are one job ------------------------------------------------------------------- */

static bool reads(const lm_step *step, uint32_t slot)
{
    for (uint32_t i = 0; i < LM_STEP_INS; i++)
        if (step->in[i] == slot)
            return true;
    return false;
}

/* Whether the result is wanted after step `at`: only then its place is its own until there. */
static bool outlives(const lm_program_desc *desc, size_t at, uint32_t slot)
{
    for (uint32_t i = 0; i < desc->n_outputs; i++)
        if (desc->outputs[i] == slot)
            return true;
    for (size_t i = at + 1; i < desc->n_steps; i++)
        if (reads(&desc->steps[i], slot))
            return true;
    return false;
}

/* The same rows of activations, and the same experts. */
static bool same_input(const lm_step *a, const lm_step *b)
{
    bool alike = a->kind == b->kind && memcmp(a->in, b->in, sizeof a->in) == 0;
    if (a->kind == LM_STEP_LINEAR_EXPERT)
        return alike && a->u.expert.used == b->u.expert.used &&
               a->u.expert.per_expert_input == b->u.expert.per_expert_input;
    return alike && a->kind == LM_STEP_LINEAR;
}

/* How many steps from `first` on are one job, whose results are all written at once. */
static uint32_t joined(const lm_program_desc *desc, size_t first)
{
    const lm_step *step = &desc->steps[first];
    uint32_t n = 1;
    while (n < LCPU_BATCH && first + n < desc->n_steps && same_input(step, step + n) &&
           !reads(step, step[n - 1].out[0]) && outlives(desc, first + n, step[n - 1].out[0]))
        n++;
    return n;
}

void lcpu_linear_plan(const lm_program_desc *desc, uint32_t *tags)
{
    for (size_t i = 0; i < desc->n_steps; i++) {
        uint16_t kind = desc->steps[i].kind;
        if (kind != LM_STEP_LINEAR && kind != LM_STEP_LINEAR_EXPERT)
            continue;
        tags[i] = joined(desc, i);
        for (uint32_t more = tags[i] - 1; more > 0; more--)
            tags[++i] = 0;
    }
}

/* Steps at work: their activations, and a batch of their products. */
typedef struct job {
    lcpu_acts acts;
    lcpu_batch b;
} job;

/* Cuts the scratch into the job's arrays; the same cuts count it beforehand. */
static void carve(job *j, const lcpu_plan *plan, const lm_step *step, uint32_t n, uint32_t rows,
                  lcpu_carve *c)
{
    uint32_t wants = 0;
    *j = (job){.b.d = plan->d, .b.fast = plan->fast};
    for (uint32_t i = 0; i < n; i++) {
        const lm_weight_desc *w = &plan->network->weights[linear_of(step + i)->weight];
        shape s = shape_of(step, rows, w->experts);
        lcpu_batch_add(&j->b, w->format, w->cols, s.places, s.groups, c);
        wants |= lcpu_acts_wanted(plan, w->format, s.groups);
    }
    lcpu_acts_carve(&j->acts, j->b.d, shape_of(step, rows, 0).rows, j->b.p[0].cols, false, wants,
                    c);
    lcpu_batch_finish(&j->b, NULL, c);
}

uint64_t lcpu_linear_scratch(const lhost_device *d, const lm_program_desc *desc,
                             const lm_step *step)
{
    lcpu_plan plan = lcpu_plan_for(d, desc);
    job j;
    lcpu_carve c = {NULL, 0};
    carve(&j, &plan, step, joined(desc, (size_t)(step - desc->steps)),
          lcpu_max_rows(desc, step->in[0]), &c);
    return c.used;
}

static void start(lhost_run *r, const lm_step *step, uint32_t n, job *j)
{
    lcpu_plan plan = lcpu_plan_of(r);
    lcpu_carve c = {lhost_scratch(r), 0};
    carve(j, &plan, step, n, lhost_rows(r, step->in[0]), &c);
    for (uint32_t i = 0; i < n; i++)
        lcpu_product_bind(r, linear_of(step + i), &j->acts, &j->b.p[i]);
    j->acts.in = lhost_slot(r, step->in[0]);
    lcpu_acts_prepare(r, &j->acts);
}

/* --- the steps -------------------------------------------------------------------------------- */

int32_t lcpu_linear(lhost_run *r, const lm_step *step)
{
    uint32_t n = r->program->tags[r->index];
    job j;
    if (n == 0)
        return LLM_OK;
    start(r, step, n, &j);
    for (uint32_t i = 0; i < n; i++)
        lcpu_product_rows(&j.b.p[i], lhost_slot(r, step[i].out[0]));
    lcpu_next next;
    j.b.then = lcpu_next_find(r, step + n - 1, NULL, &next);
    lcpu_batch_run(&j.b);
    return LLM_OK;
}

int32_t lcpu_linear_heads(lhost_run *r, const lm_step *step)
{
    job j;
    start(r, step, 1, &j);
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
static void group_places(lcpu_product *p, const int32_t *ids, const lm_step *step, uint32_t places,
                         float *out)
{
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
    uint32_t n = r->program->tags[r->index];
    job j;
    if (n == 0)
        return LLM_OK;
    start(r, step, n, &j);
    uint32_t places = lhost_rows(r, step->in[0]) * step->u.expert.used;
    for (uint32_t i = 0; i < n; i++)
        group_places(&j.b.p[i], lhost_slot(r, step->in[1]), step, places,
                     lhost_slot(r, step[i].out[0]));
    lcpu_next next;
    j.b.then = lcpu_next_find(r, step + n - 1, &j.b.p[0], &next);
    lcpu_batch_run(&j.b);
    return LLM_OK;
}
