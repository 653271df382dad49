/* host_best - the largest values of a row, best first. */
#ifndef LM_BACKENDS_HOST_BEST_H
#define LM_BACKENDS_HOST_BEST_H

#include <stdint.h>

/* The `k` largest of `n` values with their columns, in falling order; the lower column first among
 * equals, NaN before everything. */
void lhost_best(const float *values, uint32_t n, uint32_t k, int32_t *ids, float *best);

#endif
