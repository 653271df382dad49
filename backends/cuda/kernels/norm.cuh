/* norm.cuh - the arithmetic of norms, for kernels of their own and for those that norm what they read. */
#ifndef LM_BACKENDS_CUDA_NORM_CUH
#define LM_BACKENDS_CUDA_NORM_CUH

#include "backends/cuda/kernels/math.cuh"

struct lcu_norm_numbers {
    float mean, factor;
};

/* What is left to do with a value once its group's numbers are known, by the weight and the bias of these
 * places. */
LCU_DEV float lcu_normed(const lcu_norm_args &a, uint32_t weight, uint32_t bias, float x,
                         lcu_norm_numbers n)
{
    float v = (x - n.mean) * n.factor;
    if (a.weight != NULL)
        v = v * (a.weight[weight] + a.offset);
    if (a.bias != NULL)
        v = v + a.bias[bias];
    return v;
}

LCU_DEV float lcu_norm_factor(const lcu_norm_args &a, float squares)
{
    if (a.kind == LM_NORM_L2)
        return 1.0f / fmaxf(sqrtf(squares), a.eps);
    return 1.0f / sqrtf(squares / (float)a.group + a.eps);
}

/* Of one group `x`, by a warp, or by a block of 256 threads. All threads get the result. */
template <bool WARP, class X>
LCU_DEV lcu_norm_numbers lcu_measure(const lcu_norm_args &a, X x, lcu_shared<float> parts)
{
    uint32_t first = WARP ? lcu_lane() : lcu_thread(), step = WARP ? 32 : lcu_threads();
    float mean = 0, sum = 0;
    if (a.kind == LM_NORM_LAYER) {
        for (uint32_t i = first; i < a.group; i += step)
            sum += x[i];
        mean = (WARP ? lcu_warp_sum(sum) : lcu_block_sum(sum, parts)) / (float)a.group;
        sum = 0;
    }
    for (uint32_t i = first; i < a.group; i += step)
        sum = fmaf(x[i] - mean, x[i] - mean, sum);
    return {mean, lcu_norm_factor(a, WARP ? lcu_warp_sum(sum) : lcu_block_sum(sum, parts))};
}

#endif
