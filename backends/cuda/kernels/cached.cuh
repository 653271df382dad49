/* cached.cuh - single values of keys and values in the cache. */
#ifndef LM_BACKENDS_CUDA_CACHED_CUH
#define LM_BACKENDS_CUDA_CACHED_CUH

#include "backends/cuda/kernels/wrap.cuh"

/* Value i of the head whose bytes begin at `at`. */
LCU_DEV float lcu_cached(uint32_t format, const uint8_t *at, uint32_t i)
{
    if (format == LM_F32)
        return ((const float *)at)[i];
    if (format == LM_F16)
        return lcu_from_f16(((const uint16_t *)at)[i]);
    if (format == LM_BF16)
        return lcu_from_bf16(((const uint16_t *)at)[i]);
    const uint8_t *block = at + i / 32 * 34; /* Q8_0 */
    return lcu_from_f16((uint16_t)(block[0] | block[1] << 8)) * (float)(int8_t)block[2 + i % 32];
}

#endif
