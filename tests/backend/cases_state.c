/* cases_state.c - the convolution and the recurrence with carried state. */
#include "backend/cases.h"

/* Variant: taps of the kernel, plus 100 with a bias and an activation. */
static void build_conv(rig_model *m, uint32_t variant)
{
    uint32_t channels = 300, kernel = variant % 100;
    uint32_t group = lm_build_group(&m->b, LM_CACHE_STATE, 0);
    uint32_t cache = lm_build_state(&m->b, group, channels * (kernel - 1), 0);
    uint32_t in = rig_input(m, channels), out = rig_slot(m, channels);
    lm_step step = rig_make(LM_STEP_CONV_STATE, in, LM_NONE, out);
    step.u.conv =
        (lm_conv){.cache = cache,
                  .channels = channels,
                  .kernel = kernel,
                  .weight = rig_weight(m, LM_F32, channels, kernel, 1, LM_USE_VECTOR, 0, 0.5),
                  .bias = variant >= 100 ? rig_vector(m, channels, 0, 1) : LM_NONE,
                  .act = variant >= 100 ? LM_ACT_SILU : LM_ACT_NONE};
    rig_step(m, &step);
    rig_output(m, out);
}

/* Variant: groups of heads, plus 10 with all vectors. */
static void build_scan(rig_model *m, uint32_t variant)
{
    uint32_t heads = 6, dim = 8, state = 20, groups = variant % 10;
    uint32_t group = lm_build_group(&m->b, LM_CACHE_STATE, 0);
    uint32_t cache = lm_build_state(&m->b, group, 0, heads * dim * state);
    uint32_t in = rig_input(m, heads * dim + 2 * groups * state), dt = rig_input(m, heads);
    uint32_t out = rig_slot(m, heads * dim);
    lm_step step = rig_make(LM_STEP_SCAN_STATE, in, dt, out);
    step.u.scan = (lm_scan){.kind = LM_SCAN_MAMBA2,
                            .cache = cache,
                            .heads = heads,
                            .head_dim = dim,
                            .state = state,
                            .groups = groups,
                            .a = rig_vector(m, heads, -0.6, 0.1),
                            .d = variant >= 10 ? rig_vector(m, heads, 1, 0.1) : LM_NONE,
                            .dt_bias = variant >= 10 ? rig_vector(m, heads, 0, 0.5) : LM_NONE};
    rig_step(m, &step);
    rig_output(m, out);
}

static const rig_case list[] = {
    {"conv 4 taps", build_conv, 4, LM_STEP_CONV_STATE, false, false},
    {"conv 4 taps, bias, SILU", build_conv, 104, LM_STEP_CONV_STATE, false, false},
    {"conv 2 taps", build_conv, 2, LM_STEP_CONV_STATE, false, false},
    {"scan one group", build_scan, 1, LM_STEP_SCAN_STATE, false, false},
    {"scan three groups, all vectors", build_scan, 13, LM_STEP_SCAN_STATE, false, false},
};

CASES_OF(cases_state, list);
