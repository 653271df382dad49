/* values - activations and exponentials value by value, in plain C that compilers turn into vector
 * code: every set includes it and gets it in its own instructions, with the same bits. */
#ifndef LM_BACKENDS_CPU_KERNELS_VALUES_H
#define LM_BACKENDS_CPU_KERNELS_VALUES_H

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/math.h"
#include "step/step.h"

#define ACT(name, expression)                                                                      \
    static void act_##name(const float *in, float *out, size_t n)                                  \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            float x = in[i];                                                                       \
            out[i] = expression;                                                                   \
        }                                                                                          \
    }

ACT(none, x)
ACT(silu, x / (1.0f + lcpu_exp(-x)))
ACT(gelu_tanh, (0.5f * x) * (1.0f + lcpu_tanh(0.79788456f * (x + ((0.044715f * x) * x) * x))))
ACT(gelu_erf, (0.5f * x) * (1.0f + erff(x * 0.70710678f)))
ACT(relu, x < 0 ? 0 : x)
ACT(relu2, x < 0 ? 0 : x * x)
ACT(sigmoid, lcpu_sigmoid(x))
ACT(gelu_quick, x / (1.0f + lcpu_exp(-1.702f * x)))
ACT(softplus, (x > 0 ? x : 0) + log1pf(lcpu_exp(x > 0 ? -x : x)))

static void (*const acts[])(const float *in, float *out, size_t n) = {
    [LM_ACT_NONE] = act_none,           [LM_ACT_SILU] = act_silu,
    [LM_ACT_GELU_TANH] = act_gelu_tanh, [LM_ACT_GELU_ERF] = act_gelu_erf,
    [LM_ACT_RELU] = act_relu,           [LM_ACT_RELU2] = act_relu2,
    [LM_ACT_SIGMOID] = act_sigmoid,     [LM_ACT_GELU_QUICK] = act_gelu_quick,
    [LM_ACT_SOFTPLUS] = act_softplus,
};

/* `out` may lie over either input, so the product works on pieces of its own. */
static void values_act(uint32_t act, const float *x, const float *factor, float *out, size_t n)
{
    float piece[64];
    for (size_t at = 0; at < n; at += 64) {
        size_t count = n - at < 64 ? n - at : 64;
        acts[act](x + at, piece, count);
        for (size_t i = 0; i < count; i++)
            out[at + i] = factor == NULL ? piece[i] : piece[i] * factor[at + i];
    }
}

static void values_softcap(const float *x, float scale, float cap, float *out, size_t n)
{
    if (cap <= 0)
        for (size_t i = 0; i < n; i++)
            out[i] = x[i] * scale;
    else
        for (size_t i = 0; i < n; i++)
            out[i] = cap * lcpu_tanh(x[i] * scale / cap);
}

static void values_exp(const float *x, float minus, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = lcpu_exp(x[i] - minus);
}

static void values_blend(float *restrict to, float a, const float *restrict from, float b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = to[i] * a + from[i] * b;
}

static void values_mac(const float *restrict x, const float *restrict y, float *restrict sum,
                       size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] = LCPU_MAC(x[i], y[i], sum[i]);
}

static void values_fill(lcpu_kernels *k)
{
    k->act = values_act;
    k->softcap = values_softcap;
    k->exp = values_exp;
    k->blend = values_blend;
    k->mac = values_mac;
}

#endif
