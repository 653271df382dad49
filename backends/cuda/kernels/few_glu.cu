/* few_glu.cu - few rows of activations against gate and up, which have one shape: act(gate) * up. See few.cuh. */
#include "backends/cuda/kernels/few.cuh"

template <uint32_t L, uint32_t N> LCU_BODY void few_glu(const lcu_few_args &a)
{
    few_rows<L, N, L, true>(a);
}

LCU_DEFINE_ALL(LCU_TABLE_FEW_GLU)
