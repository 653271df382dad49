/* arch_mamba2.c - Mamba-2: no attention and no feed-forward, but a short convolution and a
 * recurrence over a state of fixed size in every layer. */
#include "arch/blocks.h"

#define AT(field) offsetof(lm_hparams, field)

#define MOST_VALUES (1ull << 30) /* of one layer's state */

static const lm_hparam_row hparams[] = {
    {"ssm.conv_kernel", LM_HPARAM_U32, AT(conv_kernel), 2, 64, true, 0},
    {"ssm.inner_size", LM_HPARAM_U32, AT(inner), 1, 1 << 24, true, 0},
    {"ssm.state_size", LM_HPARAM_U32, AT(state), 1, 1 << 16, true, 0},
    {"ssm.time_step_rank", LM_HPARAM_U32, AT(dt_heads), 1, 1 << 16, true, 0},
    {"ssm.group_count", LM_HPARAM_U32, AT(groups), 1, 1 << 16, false, 1},
};

/* One tensor makes the gate z, the convolution's x, B, C, and the time steps. */
#define SSM_IN(part, first0, first1, count)                                                        \
    LM_ROW_VIEW(SSM_IN_##part, "blk.%u.ssm_in.weight", LM_USE_MATMUL, LM_DIM_WIDTH, LM_DIM_SSM_IN, \
                LM_LAYER, first0, first1, count)

static const lm_tensor_row tensors[] = {
    LM_ROW_EMBEDDING,
    LM_ROW_OUTPUT,
    LM_ROW_VECTOR(OUT_NORM, "output_norm.weight", LM_DIM_WIDTH, 0),
    LM_ROW_VECTOR(ATTN_NORM, "blk.%u.attn_norm.weight", LM_DIM_WIDTH, LM_LAYER),
    SSM_IN(Z, LM_DIM_NONE, LM_DIM_NONE, LM_DIM_INNER),
    SSM_IN(XBC, LM_DIM_INNER, LM_DIM_NONE, LM_DIM_CONV_CHANNELS),
    SSM_IN(DT, LM_DIM_INNER, LM_DIM_CONV_CHANNELS, LM_DIM_DT),
    LM_ROW_TAPS(SSM_CONV, "blk.%u.ssm_conv1d.weight", LM_DIM_KERNEL, LM_DIM_CONV_CHANNELS,
                LM_LAYER),
    LM_ROW_VECTOR(SSM_CONV_BIAS, "blk.%u.ssm_conv1d.bias", LM_DIM_CONV_CHANNELS, LM_LAYER_OPTIONAL),
    LM_ROW_VECTOR(SSM_DT_BIAS, "blk.%u.ssm_dt.bias", LM_DIM_DT, LM_LAYER),
    LM_ROW_VECTOR(SSM_A, "blk.%u.ssm_a", LM_DIM_DT, LM_LAYER),
    LM_ROW_VECTOR(SSM_D, "blk.%u.ssm_d", LM_DIM_DT, LM_LAYER),
    LM_ROW_VECTOR(SSM_NORM, "blk.%u.ssm_norm.weight", LM_DIM_INNER, LM_LAYER),
    LM_ROW_MATRIX(SSM_OUT, "blk.%u.ssm_out.weight", LM_DIM_INNER, LM_DIM_WIDTH, LM_LAYER),
};

static int32_t check(lm_hparams *h, const char *name)
{
    if (h->inner % h->dt_heads != 0 || h->inner % h->groups != 0 || h->dt_heads % h->groups != 0)
        return lm_fail(LLM_E_FORMAT, "%s.ssm: an inner size of %u with %u heads in %u groups", name,
                       (unsigned)h->inner, (unsigned)h->dt_heads, (unsigned)h->groups);
    if ((uint64_t)h->inner * h->state > MOST_VALUES ||
        lm_dim(h, LM_DIM_CONV_CHANNELS, 0) * h->conv_kernel > MOST_VALUES)
        return lm_fail(LLM_E_FORMAT, "%s.ssm: a state of %u times %u values in %u groups", name,
                       (unsigned)h->inner, (unsigned)h->state, (unsigned)h->groups);
    return LLM_OK;
}

/* Convolution and recurrence over x, B and C. */
static uint32_t emit_recurrence(lm_emit *e, uint32_t xbc, uint32_t dt)
{
    const lm_hparams *h = e->h;
    uint32_t channels = (uint32_t)lm_dim(h, LM_DIM_CONV_CHANNELS, 0);
    uint32_t group = lm_build_group(&e->b, LM_CACHE_STATE, 0);
    uint32_t cache =
        lm_build_state(&e->b, group, channels * (h->conv_kernel - 1), h->inner * h->state);
    lm_conv conv = {.cache = cache,
                    .channels = channels,
                    .kernel = h->conv_kernel,
                    .weight = lm_role(e, LM_ROLE_SSM_CONV),
                    .bias = lm_role(e, LM_ROLE_SSM_CONV_BIAS),
                    .act = LM_ACT_SILU};
    lm_scan scan = {.kind = LM_SCAN_MAMBA2,
                    .cache = cache,
                    .heads = h->dt_heads,
                    .head_dim = h->inner / h->dt_heads,
                    .state = h->state,
                    .groups = h->groups,
                    .a = lm_role(e, LM_ROLE_SSM_A),
                    .d = lm_role(e, LM_ROLE_SSM_D),
                    .dt_bias = lm_role(e, LM_ROLE_SSM_DT_BIAS)};
    return lm_emit_scan(&e->b, lm_emit_conv(&e->b, xbc, &conv), dt, &scan);
}

static uint32_t emit_linear(lm_emit *e, uint32_t role, uint32_t in)
{
    lm_linear linear = lm_role_linear(e, role, LM_ROLE_COUNT);
    return lm_emit_linear(&e->b, in, &linear);
}

static void emit(lm_emit *e)
{
    uint32_t x = lm_emit_embed(&e->b, LM_EMBED_TOKENS, lm_role(e, LM_ROLE_TOKEN_EMBD), 1);
    for (uint32_t layer = 0; layer < e->h->n_layers; layer++) {
        e->b.layer = (uint16_t)layer;
        lm_norm norm = lm_rms_norm(e, LM_ROLE_ATTN_NORM);
        uint32_t normed = lm_emit_norm(&e->b, x, &norm);
        uint32_t z = emit_linear(e, LM_ROLE_SSM_IN_Z, normed);
        uint32_t xbc = emit_linear(e, LM_ROLE_SSM_IN_XBC, normed);
        uint32_t dt = emit_linear(e, LM_ROLE_SSM_IN_DT, normed);
        uint32_t y = emit_recurrence(e, xbc, dt);
        lm_norm gated_norm = lm_rms_norm(e, LM_ROLE_SSM_NORM);
        gated_norm.group = e->h->inner / e->h->groups;
        uint32_t gated = lm_emit_act_mul(&e->b, LM_ACT_SILU, z, y);
        x = lm_emit_add(
            &e->b, emit_linear(e, LM_ROLE_SSM_OUT, lm_emit_norm(&e->b, gated, &gated_norm)), x);
    }
    e->b.layer = 0xffff;
    lm_norm out_norm = lm_rms_norm(e, LM_ROLE_OUT_NORM);
    lm_emit_logits(e, x, &out_norm, 0);
}

const lm_arch lm_arch_mamba2 = {
    .names = {"mamba2"},
    .hparams = hparams,
    .n_hparams = sizeof hparams / sizeof hparams[0],
    .tensors = tensors,
    .n_tensors = sizeof tensors / sizeof tensors[0],
    .check = check,
    .emit = emit,
};
