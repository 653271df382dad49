/* describe.c - a step as a line of text, and what it costs. */
#include "step/network.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct line {
    char *text;
    size_t size, used;
} line;

static void put(line *l, const char *format, ...) LM_PRINTF(2, 3);

static void put(line *l, const char *format, ...)
{
    if (l->used >= l->size)
        return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->text + l->used, l->size - l->used, format, args);
    va_end(args);
    l->used += n < 0 ? 0 : (size_t)n;
}

typedef struct cost_context {
    const lm_network *n;
    uint32_t used; /* experts or heads per row */
    lm_step_cost cost;
} cost_context;

static void add_cost(void *user, const lm_linear *l)
{
    cost_context *c = user;
    const lm_weight_desc *w = &c->n->weights[l->weight];
    uint64_t times = w->experts > 1 ? c->used : 1;
    c->cost.flops += 2 * times * w->rows * w->cols;
    c->cost.weight_bytes += w->bytes / w->experts * times;
}

lm_step_cost lm_step_cost_of(const lm_network *n, const lm_step *step)
{
    cost_context c = {n, 1, {0, 0}};
    if (step->kind == LM_STEP_MOE_FFN)
        c.used = step->u.moe.route.used;
    if (step->kind == LM_STEP_LINEAR_EXPERT)
        c.used = step->u.expert.used;
    if (step->kind == LM_STEP_LINEAR_HEADS)
        c.used = step->u.heads.heads;
    if (step->kind == LM_STEP_MLA_ATTN)
        c.used = step->u.mla.attn.heads;
    lm_step_each_linear(step, add_cost, &c);
    return c.cost;
}

typedef struct name_context {
    const lm_network *n;
    line *l;
} name_context;

static void put_weight(void *user, const lm_linear *l)
{
    name_context *c = user;
    const lm_weight_desc *w = &c->n->weights[l->weight];
    put(c->l, " %s:%s[%u,%u", w->name, w->format->name, (unsigned)w->rows, (unsigned)w->cols);
    if (w->experts > 1)
        put(c->l, ",%u", (unsigned)w->experts);
    put(c->l, "]%s", l->bias == LM_NONE ? "" : "+b");
}

static void put_slots(line *l, const uint32_t *slots, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (slots[i] != LM_NONE)
            put(l, " s%u", (unsigned)slots[i]);
}

static void put_attn(line *l, const lm_attn *a)
{
    put(l, " heads %u/%u dim %u", (unsigned)a->heads, (unsigned)a->kv_heads, (unsigned)a->k_dim);
    if (a->v_dim != a->k_dim)
        put(l, "/%u", (unsigned)a->v_dim);
    put(l, " cache %u", (unsigned)a->cache);
    if (a->window != 0)
        put(l, " window %u", (unsigned)a->window);
    if (a->softcap > 0)
        put(l, " softcap %g", (double)a->softcap);
}

void lm_step_print(const lm_network *n, const lm_step *step, char *text, size_t size)
{
    line l = {text, size, 0};
    if (size > 0)
        text[0] = '\0';
    if (step->layer == 0xffff)
        put(&l, "--  ");
    else
        put(&l, "L%02u ", (unsigned)step->layer);
    for (const char *c = lm_step_name(step->kind); *c != '\0'; c++)
        put(&l, "%c", *c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    put_slots(&l, step->in, LM_STEP_INS);
    put(&l, " ->");
    put_slots(&l, step->out, LM_STEP_OUTS);
    if (step->kind == LM_STEP_EMBED && step->u.embed.weight != LM_NONE)
        put(&l, " %s", n->weights[step->u.embed.weight].name);
    if (step->kind == LM_STEP_ATTN_PAGED)
        put_attn(&l, &step->u.attn);
    if (step->kind == LM_STEP_ATTN_OUT)
        put_attn(&l, &step->u.attn_out.attn);
    if (step->kind == LM_STEP_MLA_ATTN)
        put_attn(&l, &step->u.mla.attn);
    if (step->kind == LM_STEP_MOE_FFN)
        put(&l, " top %u of %u", (unsigned)step->u.moe.route.used,
            (unsigned)step->u.moe.route.experts);
    name_context names = {n, &l};
    lm_step_each_linear(step, put_weight, &names);
}
