/* pack_value.cpp - one value of a packed weight, as kernels read it. */
#include "backends/cuda/kernels/layouts.cuh"

extern "C" float pack_value(const lcu_weight_view *v, uint32_t expert, uint32_t row, uint32_t col)
{
    return lcu_weight_at(*v, expert, row, col);
}
