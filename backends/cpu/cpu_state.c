/* cpu_state.c - steps with recurrent state: the short causal convolution and the Mamba-2
 * recurrence, token after token. A sequence's state is read from one slot and written to another,
 * or the same. */
#include "backends/cpu/cpu.h"
#include "backends/cpu/kernels/math.h"

#include <string.h>

/* --- convolution ------------------------------------------------------------------------------ */

#define CHANNELS 256u /* of a task */

typedef struct conv_job {
    const lhost_run *r;
    const lm_step *step;
    const float *in, *weight, *bias;
    float *out;
    float *room; /* [workers]: the next state of a task's channels, then their weights by tap */
    uint32_t n_parts;
} conv_job;

static size_t room_floats(uint32_t kernel)
{
    return (2 * (size_t)kernel - 1) * CHANNELS;
}

uint64_t lcpu_conv_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step)
{
    (void)desc;
    return (uint64_t)lcpu_team_size(lcpu_device_of(d)->team) * room_floats(step->u.conv.kernel) *
           sizeof(float);
}

/* The inputs `back` rows before row `i`: among the rows, in the state (oldest first), or NULL:
 * zeros. */
static const float *past(const lm_conv *conv, const float *rows, const float *state, uint32_t i,
                         uint32_t back)
{
    if (back <= i)
        return rows + (size_t)(i - back) * conv->channels;
    if (state == NULL)
        return NULL;
    return state + (size_t)(conv->kernel - 1 - (back - i)) * conv->channels;
}

static void turn_weights(const conv_job *j, uint32_t first, uint32_t end, float *taps)
{
    uint32_t kernel = j->step->u.conv.kernel;
    for (uint32_t c = first; c < end; c++)
        for (uint32_t k = 0; k < kernel; k++)
            taps[k * CHANNELS + (c - first)] = j->weight[(size_t)c * kernel + k];
}

static void conv_row(const conv_job *j, const float *taps, const float *rows, const float *state,
                     uint32_t i, uint32_t first, uint32_t end, float *out)
{
    const lm_conv *conv = &j->step->u.conv;
    for (uint32_t c = first; c < end; c++)
        out[c] = j->bias == NULL ? 0 : j->bias[c];
    for (uint32_t k = 0; k < conv->kernel; k++) {
        const float *x = past(conv, rows, state, i, conv->kernel - 1 - k);
        if (x != NULL)
            lcpu_of(j->r)->k.mac(taps + (size_t)k * CHANNELS, x + first, out + first, end - first);
    }
    lcpu_of(j->r)->k.act(conv->act, out + first, NULL, out + first, end - first);
}

/* Channels of one sequence. */
static void conv_part(void *arg, uint32_t task, uint32_t worker)
{
    const conv_job *j = arg;
    const lm_conv *conv = &j->step->u.conv;
    uint32_t s = task / j->n_parts, first = task % j->n_parts * CHANNELS, kept = conv->kernel - 1;
    uint32_t end = first + CHANNELS < conv->channels ? first + CHANNELS : conv->channels;
    const lm_run_seq *seq = &j->r->run->seqs[s];
    size_t base = (size_t)seq->first_row * conv->channels;
    const float *state = lhost_state_at(j->r, conv->cache, s, 0, false);
    float *to = lhost_state_at(j->r, conv->cache, s, 0, true);
    float *next = j->room + worker * room_floats(conv->kernel), *taps = next + kept * CHANNELS;
    turn_weights(j, first, end, taps);
    for (uint32_t i = 0; i < seq->n_rows; i++)
        conv_row(j, taps, j->in + base, state, i, first, end,
                 j->out + base + (size_t)i * conv->channels);
    size_t bytes = (end - first) * sizeof *next;
    for (uint32_t k = 0; k < kept; k++) {
        const float *x = past(conv, j->in + base, state, seq->n_rows - 1, kept - 1 - k);
        if (x != NULL)
            memcpy(next + (size_t)k * CHANNELS, x + first, bytes);
        else
            memset(next + (size_t)k * CHANNELS, 0, bytes);
    }
    for (uint32_t k = 0; k < kept; k++)
        memcpy(to + (size_t)k * conv->channels + first, next + (size_t)k * CHANNELS, bytes);
}

int32_t lcpu_conv(lhost_run *r, const lm_step *step)
{
    const lm_conv *conv = &step->u.conv;
    conv_job j = {.r = r,
                  .step = step,
                  .in = lhost_slot(r, step->in[0]),
                  .weight = lhost_vector(r, conv->weight),
                  .bias = lhost_vector(r, conv->bias),
                  .out = lhost_slot(r, step->out[0]),
                  .room = lhost_scratch(r),
                  .n_parts = (conv->channels + CHANNELS - 1) / CHANNELS};
    lcpu_team_run(lcpu_of(r)->team, r->run->n_seqs * j.n_parts, conv_part, &j);
    return LLM_OK;
}

/* --- scan ------------------------------------------------------------------------------------- */

typedef struct scan_job {
    const lhost_run *r;
    const lm_scan *scan;
    const float *xbc, *dt, *a, *d, *dt_bias;
    float *out;
    uint32_t width;
} scan_job;

static void scan_row(const scan_job *j, size_t row, uint32_t head, lcpu_scan_token *t)
{
    const lm_scan *s = j->scan;
    uint32_t inner = s->heads * s->head_dim, group = head / (s->heads / s->groups);
    const float *xbc = j->xbc + row * j->width;
    t->x = xbc + (size_t)head * s->head_dim;
    t->b = xbc + inner + (size_t)group * s->state;
    t->c = t->b + (size_t)s->groups * s->state;
    t->y = j->out + row * inner + (size_t)head * s->head_dim;
    t->dt = j->dt[row * s->heads + head] + (j->dt_bias == NULL ? 0 : j->dt_bias[head]);
    lcpu_of(j->r)->k.act(LM_ACT_SOFTPLUS, &t->dt, NULL, &t->dt, 1);
    t->decay = lcpu_exp(t->dt * j->a[head]);
    lcpu_of(j->r)->k.scan(t);
    for (uint32_t p = 0; j->d != NULL && p < s->head_dim; p++)
        t->y[p] = j->d[head] * t->x[p] + t->y[p];
}

/* One head of one sequence. The first token takes the state from where it is read to where it is
 * written, and while it does the next head's is fetched. A single one need not leave it in the caches. */
static void scan_head(void *arg, uint32_t task, uint32_t worker)
{
    const scan_job *j = arg;
    const lm_scan *scan = j->scan;
    uint32_t seq_index = task / scan->heads, head = task % scan->heads;
    const lm_run_seq *seq = &j->r->run->seqs[seq_index];
    size_t values = (size_t)scan->head_dim * scan->state;
    const float *from = lhost_state_at(j->r, scan->cache, seq_index, 1, false);
    lcpu_scan_token t = {.to =
                             lhost_state_at(j->r, scan->cache, seq_index, 1, true) + head * values,
                         .rows = scan->head_dim,
                         .state = scan->state,
                         .once = seq->n_rows == 1};
    (void)worker;
    if (from == NULL)
        t.from = memset(t.to, 0, values * sizeof *t.to);
    else
        t.from = from + head * values;
    if (from != NULL && head + 1 < scan->heads)
        t.next = t.from + values;
    for (uint32_t i = 0; i < seq->n_rows; i++) {
        scan_row(j, seq->first_row + i, head, &t);
        t.from = t.to;
        t.next = NULL;
    }
}

int32_t lcpu_scan(lhost_run *r, const lm_step *step)
{
    const lm_scan *scan = &step->u.scan;
    scan_job j = {.r = r,
                  .scan = scan,
                  .xbc = lhost_slot(r, step->in[0]),
                  .dt = lhost_slot(r, step->in[1]),
                  .a = lhost_vector(r, scan->a),
                  .d = lhost_vector(r, scan->d),
                  .dt_bias = lhost_vector(r, scan->dt_bias),
                  .out = lhost_slot(r, step->out[0]),
                  .width = lhost_width(r, step->in[0])};
    lcpu_team_run(lcpu_of(r)->team, r->run->n_seqs * scan->heads, scan_head, &j);
    return LLM_OK;
}
