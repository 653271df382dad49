/* math.cuh - functions that several kernels share, with the rounding of docs/numerics.md. */
#ifndef LM_BACKENDS_CUDA_MATH_CUH
#define LM_BACKENDS_CUDA_MATH_CUH

#include "backends/cuda/kernels/wrap.cuh"

/* Eight values from two vectors of four. */
LCU_DEV void lcu_eight(const float4 &a, const float4 &b, float v[8])
{
    v[0] = a.x;
    v[1] = a.y;
    v[2] = a.z;
    v[3] = a.w;
    v[4] = b.x;
    v[5] = b.y;
    v[6] = b.z;
    v[7] = b.w;
}

/* Of eight values of 16 bits, those that are not finite become zero; whether there were any. */
LCU_DEV bool lcu_make_finite(bool bf16, uint4 &v)
{
    uint32_t w[4] = {v.x, v.y, v.z, v.w}, top = bf16 ? 0x7f80u : 0x7c00u;
    bool odd = false;
    LCU_UNROLL
    for (uint32_t k = 0; k < 4; k++) {
        bool low = (w[k] & top) == top, high = (w[k] >> 16 & top) == top;
        w[k] &= (low ? 0xffff0000u : ~0u) & (high ? 0xffffu : ~0u);
        odd |= low || high;
    }
    v = make_uint4(w[0], w[1], w[2], w[3]);
    return odd;
}

LCU_DEV float lcu_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

LCU_DEV float lcu_softplus(float x)
{
    return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x));
}

LCU_DEV float lcu_gelu_tanh(float x)
{
    return (0.5f * x) * (1.0f + tanhf(0.79788456f * (x + ((0.044715f * x) * x) * x)));
}

LCU_DEV float lcu_act(uint32_t act, float x)
{
    switch (act) {
    case LM_ACT_SILU:
        return x / (1.0f + expf(-x));
    case LM_ACT_GELU_TANH:
        return lcu_gelu_tanh(x);
    case LM_ACT_GELU_ERF:
        return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case LM_ACT_RELU:
        return x > 0 ? x : x != x ? x : 0;
    case LM_ACT_RELU2:
        return x > 0 ? x * x : x != x ? x : 0;
    case LM_ACT_SIGMOID:
        return lcu_sigmoid(x);
    case LM_ACT_GELU_QUICK:
        return x / (1.0f + expf(-1.702f * x));
    case LM_ACT_SOFTPLUS:
        return lcu_softplus(x);
    default:
        return x;
    }
}

/* How much a head's scores fall per slot of distance; heads beyond a power of two take the odd steps
 * between. */
LCU_DEV float lcu_alibi_slope(float alibi, uint32_t heads, uint32_t h)
{
    uint32_t pow2 = 1;
    if (alibi <= 0)
        return 0;
    while (pow2 * 2 <= heads)
        pow2 *= 2;
    float exponent = h < pow2 ? (float)(h + 1) : (float)(2 * (h - pow2) + 1) / 2;
    return exp2f(-alibi / (float)pow2 * exponent);
}

/* A sum over the block's threads, the same for all of them; `parts` has one place per warp. */
LCU_DEV float lcu_block_sum(float v, lcu_shared<float> parts)
{
    v = lcu_warp_sum(v);
    lcu_sync(); /* whoever read `parts` before is done */
    if (lcu_lane() == 0)
        parts[lcu_warp()] = v;
    lcu_sync();
    float sum = 0;
    for (uint32_t i = 0; i < lcu_threads() / 32; i++) {
        float part = parts[i];
        sum += part;
    }
    return sum;
}

#endif
