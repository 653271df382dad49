/* ref_attn.c - attention over the pages of one sequence, one row and head at a time. */
#include "backends/common/host_rotate.h"
#include "backends/ref/ref.h"

#include <math.h>

uint64_t lref_attn_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step)
{
    (void)d;
    return (uint64_t)desc->context * sizeof(double) +
           (uint64_t)step->u.attn.v_dim * sizeof(double) +
           (uint64_t)(step->u.attn.k_dim + step->u.attn.v_dim) * sizeof(float);
}

/* One row and head at work. */
typedef struct head {
    const lm_attn *attn;
    lhost_view view;
    const lm_run *run;
    uint32_t row, kv_head;
    double slope;   /* of the distance bias */
    double *scores; /* [context] by slot */
    double *mixed;  /* [v_dim] */
    float *cached;  /* one decoded key or value */
} head;

/* One head of one slot as it was before it was cached; rotating back is rotating again. */
static const float *read_back(const head *h, int part, uint32_t slot)
{
    const lhost_part *p = &h->view.member->parts[part];
    p->format->decode(lhost_view_at(&h->view, part, slot, h->kv_head), h->cached, p->dim);
    if (lhost_is_rotated(p->format))
        lhost_rotate(h->cached, p->dim);
    return h->cached;
}

static double score(const head *h, const float *query, uint32_t slot)
{
    const lhost_part *keys = &h->view.member->parts[0];
    const float *key = read_back(h, 0, slot);
    double sum = 0;
    for (uint32_t i = 0; i < keys->dim; i++)
        sum += (double)query[i] * key[i];
    sum *= h->attn->scale;
    if (h->attn->softcap > 0)
        sum = h->attn->softcap * tanh(sum / h->attn->softcap);
    return sum - h->slope * fabs((double)h->run->slots[h->row] - slot);
}

/* Scores of the visible slots, and the largest of them and the sink. */
static double all_scores(const head *h, const float *query, uint32_t first, uint32_t end,
                         double sink)
{
    double largest = sink;
    for (uint32_t slot = first; slot < end; slot++) {
        if (!lhost_sees(h->run, h->row, slot))
            continue;
        h->scores[slot] = score(h, query, slot);
        /* written so that a NaN stays */
        largest = h->scores[slot] <= largest ? largest : h->scores[slot];
    }
    return largest;
}

static void attend(const head *h, const float *query, double sink, float *out)
{
    const lhost_part *values = &h->view.member->parts[1];
    uint32_t first, end;
    lhost_visible(h->run, h->row, h->attn->window, &first, &end);
    double largest = all_scores(h, query, first, end, sink);
    double total = sink == -INFINITY ? 0 : exp(sink - largest);
    for (uint32_t i = 0; i < values->dim; i++)
        h->mixed[i] = 0;
    for (uint32_t slot = first; slot < end; slot++) {
        if (!lhost_sees(h->run, h->row, slot))
            continue;
        double p = exp(h->scores[slot] - largest);
        total += p;
        const float *value = read_back(h, 1, slot);
        for (uint32_t i = 0; i < values->dim; i++)
            h->mixed[i] += p * value[i];
    }
    for (uint32_t i = 0; i < values->dim; i++)
        out[i] = total == 0 ? 0 : (float)(h->mixed[i] / total);
}

int32_t lref_attn(lhost_run *r, const lm_step *step)
{
    const lm_attn *a = &step->u.attn;
    const float *in = lhost_slot(r, step->in[0]), *sinks = lhost_vector(r, a->sinks);
    float *out = lhost_slot(r, step->out[0]);
    double *scratch = lhost_scratch(r);
    for (uint32_t i = 0; i < lhost_rows(r, step->in[0]); i++) {
        uint32_t row = lhost_run_row(r, step->in[0], i);
        head h = {.attn = a,
                  .view = lhost_view_of(r, a->cache, r->run->row_seq[row]),
                  .run = r->run,
                  .row = row,
                  .scores = scratch,
                  .mixed = scratch + r->program->bounds.context};
        h.cached = (float *)(h.mixed + a->v_dim);
        for (uint32_t n = 0; n < a->heads; n++) {
            h.kv_head = n / (a->heads / a->kv_heads);
            h.slope = lm_alibi_slope(a, n);
            attend(&h, in + ((size_t)i * a->heads + n) * a->k_dim,
                   sinks == NULL ? -INFINITY : sinks[n],
                   out + ((size_t)i * a->heads + n) * a->v_dim);
        }
    }
    return LLM_OK;
}
