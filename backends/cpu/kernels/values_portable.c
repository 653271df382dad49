/* values_portable.c - activations, exponentials and the tile of attention in plain C. */
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/math.h"
#include "step/step.h"

/* --- activations ------------------------------------------------------------------------------ */

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
void lcpu_portable_act(uint32_t act, const float *x, const float *factor, float *out, size_t n)
{
    float piece[64];
    for (size_t at = 0; at < n; at += 64) {
        size_t count = n - at < 64 ? n - at : 64;
        acts[act](x + at, piece, count);
        for (size_t i = 0; i < count; i++)
            out[at + i] = factor == NULL ? piece[i] : piece[i] * factor[at + i];
    }
}

void lcpu_portable_softcap(const float *x, float scale, float cap, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = cap > 0 ? cap * lcpu_tanh(x[i] * scale / cap) : x[i] * scale;
}

void lcpu_portable_exp(const float *x, float minus, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = lcpu_exp(x[i] - minus);
}

/* --- attention -------------------------------------------------------------------------------- */

static void add_value(float *o, const float *value, float p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        o[i] += p * value[i];
}

void lcpu_portable_attn_tile(const lcpu_attn_tile *t)
{
    float largest = *t->m, p[32], lane[16];
    for (uint32_t j = 0; j < 32; j++)
        if ((t->visible >> j & 1u) != 0 && t->scores[j] > largest)
            largest = t->scores[j];
    /* All that is seen so far is minus infinity or NaN: exp must not meet inf - inf. */
    float shift = largest == -INFINITY ? 0 : largest;
    float correction = lcpu_exp(*t->m - shift);
    for (uint32_t j = 0; j < 32; j++)
        p[j] = (t->visible >> j & 1u) != 0 ? lcpu_exp(t->scores[j] - shift) : 0;
    for (uint32_t j = 0; j < 16; j++)
        lane[j] = p[j] + p[j + 16];
    *t->m = largest;
    *t->l = *t->l * correction + lcpu_tree16(lane);
    for (uint32_t i = 0; i < t->v_dim; i++)
        t->o[i] *= correction;
    for (uint32_t j = 0; j < 32; j++)
        if ((t->visible >> j & 1u) != 0)
            add_value(t->o, t->values + (size_t)j * t->v_dim, p[j], t->v_dim);
}

void lcpu_fill_portable(lcpu_kernels *k)
{
    k->f16_decode = lcpu_portable_f16_decode;
    k->bf16_decode = lcpu_portable_bf16_decode;
    k->f32_matmul = lcpu_portable_f32_matmul;
    k->int8 = (lcpu_int8){lcpu_portable_int8_row_bytes, lcpu_portable_int8_quantise,
                          lcpu_portable_int8_matmul};
    k->attn_tile = lcpu_portable_attn_tile;
    k->sum = lcpu_portable_sum;
    k->sum_squares = lcpu_portable_sum_squares;
    k->act = lcpu_portable_act;
    k->softcap = lcpu_portable_softcap;
    k->exp = lcpu_portable_exp;
    static const struct {
        uint32_t format;
        lcpu_unpack_fn unpack;
    } unpackers[] = {{LM_Q8_0, lcpu_portable_unpack_q8_0},
                     {LM_Q4_0, lcpu_portable_unpack_q4_0},
                     {LM_Q4_K, lcpu_portable_unpack_q4_k},
                     {LM_Q6_K, lcpu_portable_unpack_q6_k}};
    k->n_unpackers = sizeof unpackers / sizeof unpackers[0];
    for (uint32_t i = 0; i < k->n_unpackers; i++)
        k->unpackers[i] =
            (struct lcpu_unpacker){lm_format_by_id(unpackers[i].format), unpackers[i].unpack};
}
