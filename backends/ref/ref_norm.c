/* ref_norm.c - steps that reduce: norms over groups of a row, pooling over rows of a sequence. */
#include "backends/ref/ref.h"
#include "backends/common/host_moves.h"

#include <math.h>

/* The weight or bias of value `i` of a row: the vector repeats per group or runs along the row. */
typedef struct per_value {
    const float *values;
    uint32_t period;
} per_value;

static per_value per_value_of(const lhost_run *r, uint32_t weight, uint32_t group, uint32_t width)
{
    if (weight == LM_NONE)
        return (per_value){NULL, 1};
    const lm_weight *w = lhost_weight(r, weight);
    bool repeats = (uint64_t)w->rows * w->cols == group;
    return (per_value){lhost_vector(r, weight), repeats ? group : width};
}

/* What is subtracted from and multiplied into each value of a group. */
static void statistics(const lm_norm *norm, const float *x, uint32_t n, double *mean,
                       double *factor)
{
    double sum = 0, squares = 0;
    *mean = 0;
    if (norm->kind == LM_NORM_LAYER) {
        for (uint32_t i = 0; i < n; i++)
            sum += x[i];
        *mean = sum / n;
    }
    for (uint32_t i = 0; i < n; i++)
        squares += (x[i] - *mean) * (x[i] - *mean);
    if (norm->kind == LM_NORM_L2)
        *factor = 1 / fmax(sqrt(squares), norm->eps);
    else
        *factor = 1 / sqrt(squares / n + norm->eps);
}

int32_t lref_norm(lhost_run *r, const lm_step *step)
{
    const lm_norm *norm = &step->u.norm;
    uint32_t width = lhost_width(r, step->in[0]);
    uint32_t group = norm->group == 0 ? width : norm->group;
    per_value weight = per_value_of(r, norm->weight, group, width);
    per_value bias = per_value_of(r, norm->bias, group, width);
    size_t values = (size_t)lhost_rows(r, step->in[0]) * width;
    const float *in = lhost_slot(r, step->in[0]);
    float *out = lhost_slot(r, step->out[0]);
    for (size_t at = 0; at < values; at += group) {
        double mean, factor;
        statistics(norm, in + at, group, &mean, &factor);
        for (uint32_t i = 0; i < group; i++) {
            double v = (in[at + i] - mean) * factor;
            if (weight.values != NULL)
                v *= (double)weight.values[(at + i) % weight.period] + norm->offset;
            if (bias.values != NULL)
                v += bias.values[(at + i) % bias.period];
            out[at + i] = (float)v;
        }
    }
    return LLM_OK;
}

static void mean_of(const float *rows, uint32_t n_rows, uint32_t width, float *out)
{
    for (uint32_t c = 0; c < width; c++) {
        double sum = 0;
        for (uint32_t i = 0; i < n_rows; i++)
            sum += rows[(size_t)i * width + c];
        out[c] = (float)(sum / n_rows);
    }
}

int32_t lref_pool(lhost_run *r, const lm_step *step)
{
    return lhost_run_pool(r, step, mean_of);
}
