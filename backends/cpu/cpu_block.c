/* cpu_block.c - the coarse steps of a layer: queries, keys and values; attention and its output; the
 * feed-forward block. Each activation is quantised once, independent multiplications are one job of
 * the team, and what follows them value by value is done on the way. */
#include "backends/common/host_moves.h"
#include "backends/cpu/cpu_product.h"

#define GRAIN 16384u /* values of a task that goes over rows */

/* --- what all of them do ---------------------------------------------------------------------- */

static const lm_format *format_of(const lm_network *n, const lm_linear *l)
{
    return n->weights[l->weight].format;
}

static uint32_t cols_of(const lm_network *n, const lm_linear *l)
{
    return n->weights[l->weight].cols;
}

static uint32_t rows_of(const lm_network *n, const lm_linear *l)
{
    return n->weights[l->weight].rows;
}

static uint32_t wanted(const lcpu_plan *plan, const lm_linear *l)
{
    return lcpu_acts_wanted(plan, format_of(plan->network, l), 1);
}

static void add(lcpu_batch *b, const lm_network *n, const lm_linear *l, uint32_t rows,
                lcpu_carve *c)
{
    lcpu_batch_add(b, format_of(n, l), cols_of(n, l), rows, 1, c);
}

static const float *residual_of(const lhost_run *r, const lm_step *step)
{
    return step->in[1] == LM_NONE ? NULL : lhost_slot(r, step->in[1]);
}

/* --- queries, keys, values -------------------------------------------------------------------- */

typedef struct qkv {
    const lhost_run *r;
    const lm_step *step;
    lcpu_acts acts;
    lcpu_batch b;
    float *q, *k, *v;
    uint32_t k_width, v_width;
} qkv;

static void carve_qkv(qkv *j, const lcpu_plan *plan, const lm_step *step, uint32_t rows,
                      lcpu_carve *c)
{
    const lm_linear *linears[] = {&step->u.qkv.q, &step->u.qkv.k, &step->u.qkv.v};
    const lm_network *n = plan->network;
    uint32_t wants = 0;
    j->step = step;
    j->b.d = plan->d;
    j->b.fast = plan->fast;
    for (int i = 0; i < 3; i++) {
        wants |= wanted(plan, linears[i]);
        add(&j->b, n, linears[i], rows, c);
    }
    lcpu_batch_finish(&j->b, NULL, c);
    lcpu_acts_carve(&j->acts, plan->d, rows, cols_of(n, linears[0]), false, wants, c);
    j->k_width = rows_of(n, linears[1]);
    j->v_width = rows_of(n, linears[2]);
    j->k = lcpu_take(c, (uint64_t)rows * j->k_width * sizeof(float));
    j->v = lcpu_take(c, (uint64_t)rows * j->v_width * sizeof(float));
}

uint64_t lcpu_qkv_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step)
{
    qkv j = {.r = NULL};
    lcpu_plan plan = lcpu_plan_for(d, desc);
    lcpu_carve c = {NULL, 0};
    carve_qkv(&j, &plan, step, lcpu_max_rows(desc, step->in[0]), &c);
    return c.used;
}

static void norm_heads(const qkv *j, const lm_norm *norm, float *x, uint32_t width, size_t first,
                       size_t end)
{
    if (norm->weight != LM_NONE || norm->group != 0)
        lcpu_norm_rows(j->r, norm, x, x, width, first, end);
}

static void rotate_heads(const qkv *j, uint32_t heads, float *x, size_t first, size_t end)
{
    const lm_rope *rope = &j->step->u.qkv.rope;
    if (rope->style != LM_ROPE_NONE)
        lcpu_rope_rows(j->r, rope, j->step->in[0], heads, j->step->u.qkv.k_dim, x, x, first, end);
}

static void place_rows(void *arg, size_t first, size_t end)
{
    const qkv *j = arg;
    const lm_step *s = j->step;
    norm_heads(j, &s->u.qkv.q_norm, j->q, s->u.qkv.heads * s->u.qkv.k_dim, first, end);
    norm_heads(j, &s->u.qkv.k_norm, j->k, j->k_width, first, end);
    rotate_heads(j, s->u.qkv.heads, j->q, first, end);
    rotate_heads(j, s->u.qkv.kv_heads, j->k, first, end);
    for (size_t i = first; i < end; i++)
        lhost_append_row(j->r, s->u.qkv.cache, (uint32_t)i, j->k + i * j->k_width,
                         j->v + i * j->v_width);
}

int32_t lcpu_qkv(lhost_run *r, const lm_step *step)
{
    uint32_t rows = r->run->n_rows;
    qkv j = {.r = r, .q = lhost_slot(r, step->out[0])};
    lcpu_plan plan = lcpu_plan_of(r);
    lcpu_carve c = {lhost_scratch(r), 0};
    carve_qkv(&j, &plan, step, rows, &c);
    j.acts.in = lhost_slot(r, step->in[0]);
    lcpu_acts_prepare(r, &j.acts);
    const lm_linear *linears[] = {&step->u.qkv.q, &step->u.qkv.k, &step->u.qkv.v};
    float *outs[] = {j.q, j.k, j.v};
    for (int i = 0; i < 3; i++) {
        lcpu_product_bind(r, linears[i], &j.acts, &j.b.p[i]);
        lcpu_product_rows(&j.b.p[i], outs[i]);
    }
    lcpu_next next;
    j.b.then = lcpu_next_find(r, step, NULL, &next);
    lcpu_batch_run(&j.b);
    uint32_t width = lhost_width(r, step->out[0]) + j.k_width + j.v_width;
    lcpu_ranges(r, rows, GRAIN / width + 1, place_rows, &j);
    return LLM_OK;
}

/* --- attention and its output ----------------------------------------------------------------- */

typedef struct output {
    float *mixed;
    lcpu_acts acts;
    lcpu_batch b;
} output;

static void carve_output(output *j, const lcpu_plan *plan, const lm_linear *out, uint32_t rows,
                         lcpu_carve *c)
{
    const lm_network *n = plan->network;
    j->b.d = plan->d;
    j->b.fast = plan->fast;
    j->mixed = lcpu_take(c, (uint64_t)rows * cols_of(n, out) * sizeof(float));
    lcpu_acts_carve(&j->acts, plan->d, rows, cols_of(n, out), false, wanted(plan, out), c);
    add(&j->b, n, out, rows, c);
    lcpu_batch_finish(&j->b, NULL, c);
}

uint64_t lcpu_attn_out_scratch(const lhost_device *d, const lm_program_desc *desc,
                               const lm_step *step)
{
    output j = {.mixed = NULL};
    lcpu_plan plan = lcpu_plan_for(d, desc);
    lcpu_carve c = {NULL, 0};
    carve_output(&j, &plan, &step->u.attn_out.out, lcpu_max_rows(desc, step->in[0]), &c);
    return c.used + lcpu_attn_needs(d, desc, &step->u.attn_out.attn, step->in[0]);
}

int32_t lcpu_attn_out(lhost_run *r, const lm_step *step)
{
    uint8_t *scratch = lhost_scratch(r);
    lcpu_plan plan = lcpu_plan_of(r);
    lcpu_carve c = {scratch, 0};
    output j = {.mixed = NULL};
    carve_output(&j, &plan, &step->u.attn_out.out, lhost_rows(r, step->in[0]), &c);
    lcpu_attn_into(r, &step->u.attn_out.attn, step->in[0], j.mixed, scratch + c.used);
    j.acts.in = j.mixed;
    lcpu_acts_prepare(r, &j.acts);
    lcpu_product_bind(r, &step->u.attn_out.out, &j.acts, &j.b.p[0]);
    lcpu_product_rows(&j.b.p[0], lhost_slot(r, step->out[0]));
    j.b.p[0].addend = residual_of(r, step);
    lcpu_next next;
    j.b.then = lcpu_next_find(r, step, NULL, &next);
    lcpu_batch_run(&j.b);
    return LLM_OK;
}

/* --- the feed-forward block ------------------------------------------------------------------- */

typedef struct ffn {
    lcpu_acts acts, hidden;
    lcpu_pair pair;
    lcpu_batch up, down;
    const lm_linear *linears[2]; /* of the pair */
} ffn;

static void carve_ffn(ffn *j, const lcpu_plan *plan, const lm_step *step, uint32_t rows,
                      lcpu_carve *c)
{
    const lm_linear *gate = &step->u.ffn.gate, *up = &step->u.ffn.up, *down = &step->u.ffn.down;
    const lm_network *n = plan->network;
    uint32_t wants = 0, down_wants = wanted(plan, down);
    j->up.d = j->down.d = plan->d;
    j->up.fast = j->down.fast = plan->fast;
    j->pair = (lcpu_pair){step->u.ffn.act, 0, &j->hidden};
    if (gate->weight != LM_NONE)
        j->linears[j->pair.n++] = gate;
    j->linears[j->pair.n++] = up;
    for (uint32_t i = 0; i < j->pair.n; i++) {
        wants |= wanted(plan, j->linears[i]);
        add(&j->up, n, j->linears[i], rows, c);
    }
    lcpu_batch_finish(&j->up, &j->pair, c);
    lcpu_acts_carve(&j->acts, plan->d, rows, cols_of(n, up), false, wants, c);
    lcpu_acts_carve(&j->hidden, plan->d, rows, cols_of(n, down), true, down_wants, c);
    add(&j->down, n, down, rows, c);
    lcpu_batch_finish(&j->down, NULL, c);
}

uint64_t lcpu_ffn_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step)
{
    ffn j = {.pair = {0}};
    lcpu_plan plan = lcpu_plan_for(d, desc);
    lcpu_carve c = {NULL, 0};
    carve_ffn(&j, &plan, step, lcpu_max_rows(desc, step->in[0]), &c);
    return c.used;
}

int32_t lcpu_ffn(lhost_run *r, const lm_step *step)
{
    ffn j = {.pair = {0}};
    lcpu_plan plan = lcpu_plan_of(r);
    lcpu_carve c = {lhost_scratch(r), 0};
    carve_ffn(&j, &plan, step, lhost_rows(r, step->in[0]), &c);
    j.acts.in = lhost_slot(r, step->in[0]);
    lcpu_acts_prepare(r, &j.acts);
    for (uint32_t i = 0; i < j.pair.n; i++) {
        lcpu_product_bind(r, j.linears[i], &j.acts, &j.up.p[i]);
        lcpu_product_rows(&j.up.p[i], NULL);
    }
    lcpu_product_bind(r, &step->u.ffn.down, &j.hidden, &j.down.p[0]);
    lcpu_product_rows(&j.down.p[0], lhost_slot(r, step->out[0]));
    j.down.p[0].addend = residual_of(r, step);
    lcpu_next next;
    j.up.then = &j.down;
    j.down.then = lcpu_next_find(r, step, NULL, &next);
    lcpu_batch_run(&j.up);
    lcpu_acts_prepare(r, &j.hidden);
    lcpu_batch_run(&j.down);
    return LLM_OK;
}
