/* cpu_next.c - the multiplications that follow a step, so that their first weights are fetched while
 * the last ones of the step are used up. */
#include "backends/cpu/cpu_product.h"

/* What one step multiplies first, all in one job. */
static uint32_t linears_of(const lm_step *step, uint32_t joined, const lm_linear *to[LCPU_BATCH])
{
    uint32_t n = 0;
    for (; step->kind == LM_STEP_LINEAR && n < joined; n++)
        to[n] = &step[n].u.linear;
    for (; step->kind == LM_STEP_LINEAR_EXPERT && n < joined; n++)
        to[n] = &step[n].u.expert.linear;
    if (step->kind == LM_STEP_ATTN_OUT)
        to[n++] = &step->u.attn_out.out;
    if (step->kind == LM_STEP_QKV_ROPE_APPEND) {
        to[n++] = &step->u.qkv.q;
        to[n++] = &step->u.qkv.k;
        to[n++] = &step->u.qkv.v;
    }
    if (step->kind == LM_STEP_GLU_FFN) {
        if (step->u.ffn.gate.weight != LM_NONE)
            to[n++] = &step->u.ffn.gate;
        to[n++] = &step->u.ffn.up;
    }
    return n;
}

const lcpu_batch *lcpu_next_find(const lhost_run *r, const lm_step *step,
                                 const lcpu_product *chosen, lcpu_next *next)
{
    static const lcpu_pair pair = {.n = 2};
    lcpu_plan plan = lcpu_plan_of(r);
    const lm_step *from = step, *end = r->program->steps + r->program->n_steps;
    const lm_linear *linears[LCPU_BATCH];
    uint32_t n = 0;
    if (r->run->n_rows > plan.d->k.int8.direct_max)
        return NULL;
    while (n == 0 && ++step < end)
        n = linears_of(step, r->program->tags[step - r->program->steps], linears);
    bool experts = n > 0 && step->kind == LM_STEP_LINEAR_EXPERT;
    if (n == 0 || (experts && (chosen == NULL || step->in[1] != from->in[1])))
        return NULL;
    lcpu_carve none = {NULL, 0};
    *next = (lcpu_next){.b.d = plan.d, .b.fast = plan.fast, .all = {0, 0, r->run->n_rows}};
    for (uint32_t i = 0; i < n; i++) {
        const lm_weight *w = lhost_weight(r, linears[i]->weight);
        uint32_t places = experts ? r->run->n_rows * step->u.expert.used : r->run->n_rows;
        lcpu_batch_add(&next->b, w->format, w->cols, places, experts ? w->experts : 1, &none);
        next->b.p[i].w = w;
        next->b.p[i].groups = experts ? chosen->groups : &next->all;
        next->b.p[i].n_groups = experts ? chosen->n_groups : 1;
    }
    lcpu_batch_finish(&next->b, step->kind == LM_STEP_GLU_FFN ? &pair : NULL, &none);
    return &next->b;
}
