/* host_rotate.c - the fast Walsh-Hadamard transform in plain C: sums of neighbours at growing
 * distances, each rounded. */
#include "backends/common/host_rotate.h"

#include "base/checked.h"

#include <math.h>

int32_t lhost_rotate_check(const lhost_part *part)
{
    if (!lhost_is_rotated(part->format) ||
        (lm_is_pow2(part->dim) && part->dim <= LHOST_ROTATED_MOST))
        return LLM_OK;
    return lm_fail(LLM_E_UNSUPPORTED,
                   "heads of %u values cannot be cached as %s: they are rotated, which takes a "
                   "power of two up to %u; use q8_0",
                   (unsigned)part->dim, part->format->name, LHOST_ROTATED_MOST);
}

void lhost_rotate(float *x, uint32_t n)
{
    for (uint32_t half = 1; half < n; half *= 2)
        for (uint32_t i = 0; i < n; i += 2 * half)
            for (uint32_t k = i; k < i + half; k++) {
                float a = x[k], b = x[k + half];
                x[k] = a + b;
                x[k + half] = a - b;
            }
    float scale = 1.0f / sqrtf((float)n);
    for (uint32_t i = 0; i < n; i++)
        x[i] *= scale;
}
