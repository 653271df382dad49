/* host_rotate - a cache of four bits keeps keys and values rotated, head by head: a Hadamard matrix
 * spreads a value that is larger than its neighbours over the whole head, whose blocks then need no
 * scale of its size. It is its own inverse, and products of two rotated vectors are those of the
 * vectors, so attention rotates queries and outputs instead of what is cached. */
#ifndef LM_BACKENDS_HOST_ROTATE_H
#define LM_BACKENDS_HOST_ROTATE_H

#include "backends/common/host_layout.h"

#define LHOST_ROTATED_MOST 1024u /* values of a head */

static inline bool lhost_is_rotated(const lm_format *format)
{
    return format->id == LM_Q4_0;
}

/* LLM_E_UNSUPPORTED for heads that cannot be rotated. */
int32_t lhost_rotate_check(const lhost_part *part);

/* n values, a power of two; see kv_append in docs/numerics.md. */
void lhost_rotate(float *x, uint32_t n);

#endif
