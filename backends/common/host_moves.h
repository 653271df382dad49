/* host_moves - the steps that only move or convert values, so that every backend in host memory
 * does them alike: table rows, copies, the cache's conversions. */
#ifndef LM_BACKENDS_HOST_MOVES_H
#define LM_BACKENDS_HOST_MOVES_H

#include "backends/common/host_program.h"

int32_t lhost_run_embed(lhost_run *r, const lm_step *step);
int32_t lhost_run_gather(lhost_run *r, const lm_step *step); /* also TAP */
int32_t lhost_run_copy(lhost_run *r, const lm_step *step);
int32_t lhost_run_concat(lhost_run *r, const lm_step *step);
int32_t lhost_run_append(lhost_run *r, const lm_step *step);
int32_t lhost_run_best(lhost_run *r, const lm_step *step);
int32_t lhost_run_all_reduce(lhost_run *r, const lm_step *step); /* a sum over one device */

/* Rows [first, end) of an append, for backends that share them out. */
void lhost_append_rows(const lhost_run *r, const lm_step *step, uint32_t first, uint32_t end);

void lhost_append_row(const lhost_run *r, uint32_t cache, uint32_t row, const float *keys,
                      const float *values);

/* POOL: the first or last row of each sequence, or the mean, which is the backend's arithmetic. */
int32_t lhost_run_pool(lhost_run *r, const lm_step *step,
                       void (*mean)(const float *rows, uint32_t n_rows, uint32_t width,
                                    float *out));

#endif
