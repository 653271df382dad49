/* ref - the oracle: every primitive step, scalar, with sums in double. No speed. */
#ifndef LM_BACKENDS_REF_REF_H
#define LM_BACKENDS_REF_REF_H

#include "backends/common/host_program.h"

extern const lm_backend lm_backend_ref;

/* --- steps, one file per family; scratch sizes beside those that need some -------------------- */

int32_t lref_linear(lhost_run *r, const lm_step *step);
int32_t lref_linear_heads(lhost_run *r, const lm_step *step);
int32_t lref_linear_expert(lhost_run *r, const lm_step *step);
uint64_t lref_linear_scratch(const lhost_device *d, const lm_program_desc *desc,
                             const lm_step *step);

int32_t lref_add(lhost_run *r, const lm_step *step);
int32_t lref_row_add(lhost_run *r, const lm_step *step);
int32_t lref_scale(lhost_run *r, const lm_step *step);
int32_t lref_act_mul(lhost_run *r, const lm_step *step);

int32_t lref_norm(lhost_run *r, const lm_step *step);
int32_t lref_pool(lhost_run *r, const lm_step *step);

int32_t lref_rope(lhost_run *r, const lm_step *step);
uint64_t lref_rope_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step);

int32_t lref_attn(lhost_run *r, const lm_step *step);
uint64_t lref_attn_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step);

int32_t lref_route(lhost_run *r, const lm_step *step);
uint64_t lref_route_scratch(const lhost_device *d, const lm_program_desc *desc,
                            const lm_step *step);
int32_t lref_combine(lhost_run *r, const lm_step *step);

int32_t lref_conv(lhost_run *r, const lm_step *step);
uint64_t lref_conv_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step);
int32_t lref_scan(lhost_run *r, const lm_step *step);

/* act(x) of LM_ACT_... */
double lref_act(uint32_t act, double x);

#endif
