/* cpu_rows.c - steps that treat values or rows alone: sums, activations, norms, pooling, appending.
 */
#include "backends/common/host_moves.h"
#include "backends/cpu/cpu.h"

#include <math.h>
#include <string.h>

#define VALUES_GRAIN 16384u /* values per task: below, waking a thread costs more than it gives */

/* --- values ----------------------------------------------------------------------------------- */

typedef struct values {
    const lcpu_kernels *k;
    const lm_step *step;
    const float *a, *b; /* b may be NULL */
    float *out;
    uint32_t width;
} values;

static int32_t run_values(lhost_run *r, const lm_step *step, const float *b, lcpu_range_fn fn)
{
    values v = {&lcpu_of(r)->k,
                step,
                lhost_slot(r, step->in[0]),
                b,
                lhost_slot(r, step->out[0]),
                lhost_width(r, step->out[0])};
    lcpu_ranges(r, (size_t)lhost_rows(r, step->out[0]) * v.width, VALUES_GRAIN, fn, &v);
    return LLM_OK;
}

static void add_range(void *arg, size_t first, size_t end)
{
    const values *v = arg;
    for (size_t i = first; i < end; i++)
        v->out[i] = v->a[i] + v->b[i];
}

int32_t lcpu_add(lhost_run *r, const lm_step *step)
{
    return run_values(r, step, lhost_slot(r, step->in[1]), add_range);
}

static void row_add_range(void *arg, size_t first, size_t end)
{
    const values *v = arg;
    for (size_t i = first; i < end; i++)
        v->out[i] = v->b == NULL ? v->a[i] : v->a[i] + v->b[i % v->width];
}

int32_t lcpu_row_add(lhost_run *r, const lm_step *step)
{
    return run_values(r, step, lhost_vector(r, step->u.vector.weight), row_add_range);
}

static void scale_range(void *arg, size_t first, size_t end)
{
    const values *v = arg;
    v->k->softcap(v->a + first, v->step->u.scale.scale, v->step->u.scale.cap, v->out + first,
                  end - first);
}

int32_t lcpu_scale(lhost_run *r, const lm_step *step)
{
    return run_values(r, step, NULL, scale_range);
}

static void act_range(void *arg, size_t first, size_t end)
{
    const values *v = arg;
    v->k->act(v->step->u.act.act, v->a + first, v->b == NULL ? NULL : v->b + first, v->out + first,
              end - first);
}

int32_t lcpu_act_mul(lhost_run *r, const lm_step *step)
{
    return run_values(r, step, step->in[1] == LM_NONE ? NULL : lhost_slot(r, step->in[1]),
                      act_range);
}

/* --- norms ------------------------------------------------------------------------------------ */

typedef struct norms {
    const lcpu_kernels *k;
    const lm_norm *norm;
    const float *in, *weight, *bias;
    float *out;
    uint32_t group, per_row; /* groups in a row */
    bool weight_repeats, bias_repeats;
} norms;

static float norm_factor(const norms *n, const float *x, float *mean)
{
    float count = (float)n->group;
    *mean = n->norm->kind == LM_NORM_LAYER ? n->k->sum(x, n->group) / count : 0;
    float squares = n->k->sum_squares(x, *mean, n->group);
    if (n->norm->kind != LM_NORM_L2)
        return 1.0f / sqrtf(squares / count + n->norm->eps);
    float length = sqrtf(squares);
    return 1.0f / (length <= n->norm->eps ? n->norm->eps : length);
}

/* One group; g counts groups over all rows. */
static void norm_group(const norms *n, size_t g)
{
    const float *x = n->in + g * n->group;
    float *y = n->out + g * n->group, mean;
    float factor = norm_factor(n, x, &mean);
    size_t in_row = g % n->per_row * n->group;
    for (uint32_t i = 0; i < n->group; i++)
        y[i] = (x[i] - mean) * factor;
    const float *w = n->weight == NULL ? NULL : n->weight + (n->weight_repeats ? 0 : in_row);
    for (uint32_t i = 0; w != NULL && i < n->group; i++)
        y[i] *= w[i] + n->norm->offset;
    const float *b = n->bias == NULL ? NULL : n->bias + (n->bias_repeats ? 0 : in_row);
    for (uint32_t i = 0; b != NULL && i < n->group; i++)
        y[i] += b[i];
}

static void norm_range(void *arg, size_t first, size_t end)
{
    for (size_t g = first; g < end; g++)
        norm_group(arg, g);
}

static bool repeats(const lhost_run *r, uint32_t weight, uint32_t group)
{
    if (weight == LM_NONE)
        return false;
    const lm_weight *w = lhost_weight(r, weight);
    return (uint64_t)w->rows * w->cols == group;
}

static norms norms_of(const lhost_run *r, const lm_norm *norm, const float *in, float *out,
                      uint32_t width)
{
    uint32_t group = norm->group == 0 ? width : norm->group;
    return (norms){.k = &lcpu_of(r)->k,
                   .norm = norm,
                   .in = in,
                   .weight = lhost_vector(r, norm->weight),
                   .bias = lhost_vector(r, norm->bias),
                   .out = out,
                   .group = group,
                   .per_row = width / group,
                   .weight_repeats = repeats(r, norm->weight, group),
                   .bias_repeats = repeats(r, norm->bias, group)};
}

void lcpu_norm_rows(const lhost_run *r, const lm_norm *norm, const float *in, float *out,
                    uint32_t width, size_t first, size_t end)
{
    norms n = norms_of(r, norm, in, out, width);
    norm_range(&n, first * n.per_row, end * n.per_row);
}

int32_t lcpu_norm(lhost_run *r, const lm_step *step)
{
    norms n = norms_of(r, &step->u.norm, lhost_slot(r, step->in[0]), lhost_slot(r, step->out[0]),
                       lhost_width(r, step->in[0]));
    lcpu_ranges(r, (size_t)lhost_rows(r, step->in[0]) * n.per_row, VALUES_GRAIN / 2 / n.group + 1,
                norm_range, &n);
    return LLM_OK;
}

/* --- pooling and appending -------------------------------------------------------------------- */

static void mean_of(const float *rows, uint32_t n_rows, uint32_t width, float *out)
{
    memset(out, 0, width * sizeof *out);
    for (uint32_t i = 0; i < n_rows; i++)
        for (uint32_t c = 0; c < width; c++)
            out[c] += rows[(size_t)i * width + c];
    for (uint32_t c = 0; c < width; c++)
        out[c] /= (float)n_rows;
}

int32_t lcpu_pool(lhost_run *r, const lm_step *step)
{
    return lhost_run_pool(r, step, mean_of);
}

typedef struct append {
    const lhost_run *r;
    const lm_step *step;
} append;

static void append_range(void *arg, size_t first, size_t end)
{
    const append *a = arg;
    lhost_append_rows(a->r, a->step, (uint32_t)first, (uint32_t)end);
}

int32_t lcpu_append(lhost_run *r, const lm_step *step)
{
    append a = {r, step};
    uint32_t width = lhost_width(r, step->in[0]);
    width += step->in[1] == LM_NONE ? 0 : lhost_width(r, step->in[1]);
    lcpu_ranges(r, r->run->n_rows, VALUES_GRAIN / 4 / width + 1, append_range, &a);
    return LLM_OK;
}
