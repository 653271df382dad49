/* cpu - the backend for processors: a thread team, kernels chosen by instruction set, and the
 * canonical arithmetic of docs/numerics.md. */
#ifndef LM_BACKENDS_CPU_CPU_H
#define LM_BACKENDS_CPU_CPU_H

#include "backends/common/host_program.h"
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/team.h"

extern const lm_backend lm_backend_cpu;

typedef struct lcpu_device {
    lhost_device host;
    lcpu_team *team;
    lcpu_kernels k;
} lcpu_device;

static inline lcpu_device *lcpu_of(const lhost_run *r)
{
    return (lcpu_device *)r->device;
}

static inline const lcpu_device *lcpu_device_of(const lhost_device *d)
{
    return (const lcpu_device *)d;
}

/* Most rows a slot can have. */
static inline uint32_t lcpu_max_rows(const lm_program_desc *desc, uint32_t slot)
{
    const uint32_t rows[] = {desc->limits.rows, desc->limits.wanted, desc->limits.seqs};
    return rows[desc->graph->slots[slot].rows];
}

/* Cuts [0, count) into ranges of `grain` and runs them on the team. */
typedef void (*lcpu_range_fn)(void *arg, size_t first, size_t end);
void lcpu_ranges(lhost_run *r, size_t count, size_t grain, lcpu_range_fn fn, void *arg);

/* Takes pieces of a step's scratch one after the other; with base NULL it only counts. */
typedef struct lcpu_carve {
    uint8_t *base;
    uint64_t used;
} lcpu_carve;

static inline void *lcpu_take(lcpu_carve *c, uint64_t bytes)
{
    uint64_t at = c->used;
    c->used += (bytes + LM_ALIGN - 1) / LM_ALIGN * LM_ALIGN;
    return c->base == NULL ? NULL : c->base + at;
}

/* --- steps, one file per family --------------------------------------------------------------- */

int32_t lcpu_linear(lhost_run *r, const lm_step *step);
int32_t lcpu_linear_heads(lhost_run *r, const lm_step *step);
int32_t lcpu_linear_expert(lhost_run *r, const lm_step *step);
uint64_t lcpu_linear_scratch(const lhost_device *d, const lm_program_desc *desc,
                             const lm_step *step);
/* The tag of a multiplication: how many steps from it on are one job, 0: done with one before. */
void lcpu_linear_plan(const lm_program_desc *desc, uint32_t *tags);

int32_t lcpu_add(lhost_run *r, const lm_step *step);
int32_t lcpu_row_add(lhost_run *r, const lm_step *step);
int32_t lcpu_scale(lhost_run *r, const lm_step *step);
int32_t lcpu_act_mul(lhost_run *r, const lm_step *step);
int32_t lcpu_norm(lhost_run *r, const lm_step *step);
int32_t lcpu_pool(lhost_run *r, const lm_step *step);
int32_t lcpu_append(lhost_run *r, const lm_step *step);

int32_t lcpu_rope(lhost_run *r, const lm_step *step);
uint64_t lcpu_rope_plan(const lhost_device *d, const lm_program_desc *desc, uint32_t *tags);
int32_t lcpu_rope_begin(lhost_run *r);

/* Rows [first, end), wherever they lie; for the steps and for what is fused of them. */
void lcpu_norm_rows(const lhost_run *r, const lm_norm *norm, const float *in, float *out,
                    uint32_t width, size_t first, size_t end);
void lcpu_rope_rows(const lhost_run *r, const lm_rope *rope, uint32_t slot, uint32_t heads,
                    uint32_t dim, const float *in, float *out, size_t first, size_t end);

int32_t lcpu_attn(lhost_run *r, const lm_step *step);
uint64_t lcpu_attn_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step);
uint64_t lcpu_attn_needs(const lhost_device *d, const lm_program_desc *desc, const lm_attn *a,
                         uint32_t slot);
/* Of the queries in `slot`, with `scratch` of as many bytes as it needs. */
void lcpu_attn_into(lhost_run *r, const lm_attn *a, uint32_t slot, float *out, void *scratch);

int32_t lcpu_qkv(lhost_run *r, const lm_step *step);
uint64_t lcpu_qkv_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step);
int32_t lcpu_attn_out(lhost_run *r, const lm_step *step);
uint64_t lcpu_attn_out_scratch(const lhost_device *d, const lm_program_desc *desc,
                               const lm_step *step);
int32_t lcpu_ffn(lhost_run *r, const lm_step *step);
uint64_t lcpu_ffn_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step);

int32_t lcpu_route(lhost_run *r, const lm_step *step);
uint64_t lcpu_route_scratch(const lhost_device *d, const lm_program_desc *desc,
                            const lm_step *step);
int32_t lcpu_combine(lhost_run *r, const lm_step *step);

int32_t lcpu_conv(lhost_run *r, const lm_step *step);
uint64_t lcpu_conv_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step);
int32_t lcpu_scan(lhost_run *r, const lm_step *step);

#endif
