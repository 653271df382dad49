/* kernels.c - the kernels as the host knows them. */
#include "backends/cuda/plan.h"

#define X(symbol, ...) extern const void *const lcu_function_##symbol;
LCU_TABLE(X)
#undef X

const lcu_kernel lcu_kernels[LCU_KERNEL_COUNT] = {
#define X(symbol, args, threads, capability, ...)                                                  \
    {#symbol, &lcu_function_##symbol, sizeof(args), threads, capability},
    LCU_TABLE(X)
#undef X
};
