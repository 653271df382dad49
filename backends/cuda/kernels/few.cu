/* few.cu - few rows of activations against up to three weights: see few.cuh. */
#include "backends/cuda/kernels/few.cuh"

template <uint32_t L, uint32_t N, uint32_t M = L> LCU_BODY void few(const lcu_few_args &a)
{
    few_rows<L, N, M, false>(a);
}

LCU_DEFINE_ALL(LCU_TABLE_FEW)
