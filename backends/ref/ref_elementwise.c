/* ref_elementwise.c - steps that treat every value alone: sums, scaling, activations. */
#include "backends/ref/ref.h"

#include <math.h>

double lref_act(uint32_t act, double x)
{
    switch (act) {
    case LM_ACT_SILU:
        return x / (1 + exp(-x));
    case LM_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case LM_ACT_GELU_ERF:
        return 0.5 * x * (1 + erf(x * 0.7071067811865476));
    case LM_ACT_RELU:
        return x > 0 ? x : x != x ? x : 0;
    case LM_ACT_RELU2:
        return x > 0 ? x * x : x != x ? x : 0;
    case LM_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case LM_ACT_GELU_QUICK:
        return x / (1 + exp(-1.702 * x));
    case LM_ACT_SOFTPLUS:
        return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    default:
        return x;
    }
}

static size_t values_of(const lhost_run *r, uint32_t slot)
{
    return (size_t)lhost_rows(r, slot) * lhost_width(r, slot);
}

int32_t lref_add(lhost_run *r, const lm_step *step)
{
    const float *a = lhost_slot(r, step->in[0]), *b = lhost_slot(r, step->in[1]);
    float *out = lhost_slot(r, step->out[0]);
    for (size_t i = 0; i < values_of(r, step->out[0]); i++)
        out[i] = a[i] + b[i];
    return LLM_OK;
}

int32_t lref_row_add(lhost_run *r, const lm_step *step)
{
    const float *in = lhost_slot(r, step->in[0]), *v = lhost_vector(r, step->u.vector.weight);
    float *out = lhost_slot(r, step->out[0]);
    uint32_t width = lhost_width(r, step->out[0]);
    for (size_t i = 0; i < values_of(r, step->out[0]); i++)
        out[i] = in[i] + (v == NULL ? 0 : v[i % width]);
    return LLM_OK;
}

int32_t lref_scale(lhost_run *r, const lm_step *step)
{
    const float *in = lhost_slot(r, step->in[0]);
    float *out = lhost_slot(r, step->out[0]);
    double scale = step->u.scale.scale, cap = step->u.scale.cap;
    for (size_t i = 0; i < values_of(r, step->out[0]); i++) {
        double v = scale * in[i];
        out[i] = (float)(cap > 0 ? cap * tanh(v / cap) : v);
    }
    return LLM_OK;
}

int32_t lref_act_mul(lhost_run *r, const lm_step *step)
{
    const float *in = lhost_slot(r, step->in[0]);
    const float *factor = step->in[1] == LM_NONE ? NULL : lhost_slot(r, step->in[1]);
    float *out = lhost_slot(r, step->out[0]);
    for (size_t i = 0; i < values_of(r, step->out[0]); i++) {
        double v = lref_act(step->u.act.act, in[i]);
        out[i] = (float)(factor == NULL ? v : v * factor[i]);
    }
    return LLM_OK;
}
