/* kernels_scan.c - the recurrence of Mamba-2. */
#include "backends/vulkan/kernels.h"

enum { LOCAL = 128, VALUES = 8, MAX_STATE = 512 };

/* As in shaders/scan_state.comp. */
typedef struct scan_args {
    uint64_t xbc, dt, to, a, d, dt_bias;
    uint32_t heads, head_dim, groups, group, offset, padding;
} scan_args;

bool lvk_takes_scan(const lvk_features *f, const lm_network *n, const lm_step *step)
{
    (void)f;
    (void)n;
    return step->u.scan.kind == LM_SCAN_MAMBA2 && step->u.scan.state <= MAX_STATE;
}

int32_t lvk_plan_scan_state(lvk_plan *p, const lm_step *step)
{
    const lm_scan *s = &step->u.scan;
    lvk_slot xbc = lvk_plan_slot(p, step->in[0]), dt = lvk_plan_slot(p, step->in[1]);
    lvk_slot out = lvk_plan_slot(p, step->out[0]);
    lvk_part state = lvk_plan_part(p, s->cache, 1);
    scan_args args = {.xbc = xbc.address,
                      .dt = dt.address,
                      .to = out.address,
                      .a = lvk_plan_weight(p, s->a).address,
                      .d = lvk_plan_weight(p, s->d).address,
                      .dt_bias = lvk_plan_weight(p, s->dt_bias).address,
                      .heads = s->heads,
                      .head_dim = s->head_dim,
                      .groups = s->groups,
                      .group = state.group,
                      .offset = state.offset};
    lvk_dispatch d = {.shader = LVK_SHADER_scan_state,
                      .spec = {LOCAL, s->state},
                      .n_spec = 2,
                      .x = {.times = s->heads * ((s->head_dim + VALUES - 1) / VALUES)},
                      .y = {.rows = LM_ROWS_SEQS, .per = 1, .times = 1},
                      .z = {.times = 1},
                      .bucket_rows = LM_ROWS_ALL,
                      .args = &args,
                      .args_bytes = sizeof args};
    lvk_reads_slot(&d, &xbc);
    lvk_reads_slot(&d, &dt);
    lvk_writes_slot(&d, &out);
    lvk_reads_part(&d, s->cache, 1);
    lvk_writes_part(&d, s->cache, 1);
    return lvk_plan_dispatch(p, &d);
}
