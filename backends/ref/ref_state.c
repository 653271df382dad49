/* ref_state.c - steps with recurrent state: the short causal convolution and the Mamba-2
 * recurrence. A sequence's state is read from one slot of the cache and written to another, or the
 * same. */
#include "backends/ref/ref.h"

#include <math.h>
#include <string.h>

uint64_t lref_conv_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step)
{
    (void)d;
    (void)desc;
    return (uint64_t)step->u.conv.channels * (step->u.conv.kernel - 1) * sizeof(float);
}

/* The input `back` rows before row `i` of a sequence: from the rows themselves or the state, which
 * holds the last kernel - 1 inputs, oldest first. */
static double past(const lm_conv *conv, const float *rows, const float *state, uint32_t i,
                   uint32_t back, uint32_t channel)
{
    if (back <= i)
        return rows[(size_t)(i - back) * conv->channels + channel];
    if (state == NULL)
        return 0;
    return state[(size_t)(conv->kernel - 1 - (back - i)) * conv->channels + channel];
}

static void conv_seq(const lhost_run *r, const lm_step *step, uint32_t s)
{
    const lm_conv *conv = &step->u.conv;
    const lm_run_seq *seq = &r->run->seqs[s];
    const float *weight = lhost_vector(r, conv->weight), *bias = lhost_vector(r, conv->bias);
    const float *rows =
        (float *)lhost_slot(r, step->in[0]) + (size_t)seq->first_row * conv->channels;
    float *out = (float *)lhost_slot(r, step->out[0]) + (size_t)seq->first_row * conv->channels;
    const float *state = lhost_state_at(r, conv->cache, s, 0, false);
    float *next = lhost_scratch(r);
    uint32_t kept = conv->kernel - 1;
    for (uint32_t i = 0; i < seq->n_rows; i++) {
        for (uint32_t c = 0; c < conv->channels; c++) {
            double sum = bias == NULL ? 0 : bias[c];
            for (uint32_t k = 0; k < conv->kernel; k++)
                sum += (double)weight[(size_t)c * conv->kernel + k] *
                       past(conv, rows, state, i, kept - k, c);
            out[(size_t)i * conv->channels + c] = (float)lref_act(conv->act, sum);
        }
    }
    for (uint32_t k = 0; k < kept; k++)
        for (uint32_t c = 0; c < conv->channels; c++)
            next[(size_t)k * conv->channels + c] =
                (float)past(conv, rows, state, seq->n_rows - 1, kept - 1 - k, c);
    memcpy(lhost_state_at(r, conv->cache, s, 0, true), next,
           (size_t)kept * conv->channels * sizeof *next);
}

int32_t lref_conv(lhost_run *r, const lm_step *step)
{
    for (uint32_t s = 0; s < r->run->n_seqs; s++)
        conv_seq(r, step, s);
    return LLM_OK;
}

/* The vectors of a scan. */
typedef struct scan_weights {
    const float *a, *d, *dt_bias;
} scan_weights;

/* One row of one head: h = exp(dt a) h + dt x B', y = h C + d x. */
static void scan_head(const lm_scan *scan, const scan_weights *w, uint32_t head, const float *xbc,
                      double dt, float *h, float *y)
{
    uint32_t inner = scan->heads * scan->head_dim, group = head / (scan->heads / scan->groups);
    const float *x = xbc + (size_t)head * scan->head_dim;
    const float *b = xbc + inner + (size_t)group * scan->state;
    const float *c = b + (size_t)scan->groups * scan->state;
    if (w->dt_bias != NULL)
        dt += w->dt_bias[head];
    dt = lref_act(LM_ACT_SOFTPLUS, dt);
    double decay = exp(dt * w->a[head]);
    for (uint32_t p = 0; p < scan->head_dim; p++) {
        double sum = 0;
        for (uint32_t n = 0; n < scan->state; n++) {
            float *value = &h[(size_t)p * scan->state + n];
            *value = (float)(decay * *value + dt * b[n] * x[p]);
            sum += (double)*value * c[n];
        }
        y[p] = (float)(w->d == NULL ? sum : sum + (double)w->d[head] * x[p]);
    }
}

static void scan_seq(const lhost_run *r, const lm_step *step, uint32_t s)
{
    const lm_scan *scan = &step->u.scan;
    const lm_run_seq *seq = &r->run->seqs[s];
    scan_weights w = {lhost_vector(r, scan->a), lhost_vector(r, scan->d),
                      lhost_vector(r, scan->dt_bias)};
    const float *xbc = lhost_slot(r, step->in[0]), *dt = lhost_slot(r, step->in[1]);
    float *out = lhost_slot(r, step->out[0]);
    size_t width = lhost_width(r, step->in[0]), inner = (size_t)scan->heads * scan->head_dim;
    size_t head_values = (size_t)scan->head_dim * scan->state;
    const float *from = lhost_state_at(r, scan->cache, s, 1, false);
    float *state = lhost_state_at(r, scan->cache, s, 1, true);
    if (from == NULL)
        memset(state, 0, head_values * scan->heads * sizeof *state);
    else if (from != state)
        memcpy(state, from, head_values * scan->heads * sizeof *state);
    for (uint32_t i = seq->first_row; i < seq->first_row + seq->n_rows; i++)
        for (uint32_t h = 0; h < scan->heads; h++)
            scan_head(scan, &w, h, xbc + i * width, dt[(size_t)i * scan->heads + h],
                      state + h * head_values, out + i * inner + (size_t)h * scan->head_dim);
}

int32_t lref_scan(lhost_run *r, const lm_step *step)
{
    for (uint32_t s = 0; s < r->run->n_seqs; s++)
        scan_seq(r, step, s);
    return LLM_OK;
}
