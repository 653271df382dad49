/* layouts.cuh - single values of weights, by layout (see pack.c). */
#ifndef LM_BACKENDS_CUDA_LAYOUTS_CUH
#define LM_BACKENDS_CUDA_LAYOUTS_CUH

#include "backends/cuda/kernels/wrap.cuh"

LCU_DEV float lcu_weight_at(const lcu_weight_view &w, uint32_t expert, uint32_t row, uint32_t col)
{
    const float *matrix = (const float *)(w.data + expert * w.matrix_bytes);
    return matrix[(size_t)row * w.cols + col];
}

#endif
