/* library - cuBLASLt, opened at run time where it is: the products of long prompts. */
#ifndef LM_BACKENDS_CUDA_LIBRARY_H
#define LM_BACKENDS_CUDA_LIBRARY_H

#include "backends/cuda/api.h"

/* LCU_OK with a handle that is NULL: the library is not there, or not of a kind that is known. */
lcu_result lcu_library_open(lcu_library *out);
void lcu_library_close(lcu_library *library);
lcu_result lcu_library_product(const lcu_library *library, const lcu_gemm *g, lcu_stream stream);

#endif
