/* cases_block.c - layers of coarse steps, as architectures emit them, in the forms that the fused
 * ones tell apart. */
#include "backend/cases.h"

#include <math.h>

enum { Q, K, V, OUT, GATE, UP, DOWN, MATRICES };

typedef struct form {
    uint32_t format[MATRICES];
    uint32_t width, ff;
    uint32_t act, rope;
    bool gated, residual, head_norms, biases;
    bool norms_behind; /* results are normed before they are added */
} form;

#define ALL(f)                                                                                     \
    {                                                                                              \
        f, f, f, f, f, f, f                                                                        \
    }

static const form forms[] = {
    {ALL(LM_F32), 64, 96, LM_ACT_SILU, LM_ROPE_HALVES, true, true, false, false},
    {ALL(LM_Q8_0), 64, 160, LM_ACT_SILU, LM_ROPE_PAIRS, true, true, true, false},
    {{LM_Q4_K, LM_Q4_K, LM_Q6_K, LM_Q8_0, LM_Q4_K, LM_Q4_K, LM_Q5_1},
     256,
     288,
     LM_ACT_GELU_TANH,
     LM_ROPE_HALVES,
     true,
     true,
     false,
     true},
    {{LM_F32, LM_Q8_0, LM_F16, LM_BF16, LM_Q4_0, LM_F16, LM_F32},
     64,
     100,
     LM_ACT_SILU,
     LM_ROPE_HALVES,
     true,
     true,
     false,
     true},
    {{LM_F16, LM_F16, LM_F16, LM_F16, LM_F16, LM_F16, LM_Q8_0},
     96,
     64,
     LM_ACT_SILU,
     LM_ROPE_NONE,
     true,
     false,
     true,
     false},
    {ALL(LM_Q4_0), 64, 224, LM_ACT_GELU_ERF, LM_ROPE_NONE, false, true, false, true},
    {ALL(LM_F16), 64, 70, LM_ACT_RELU, LM_ROPE_PAIRS, false, false, false, false},
    {ALL(LM_Q5_0), 64, 96, LM_ACT_GELU_TANH, LM_ROPE_HALVES, true, false, true, false, true},
};

enum { HEADS = 4, KV_HEADS = 2, DIM = 32 };

static lm_linear linear(rig_model *m, const form *f, int matrix, uint32_t rows, uint32_t cols)
{
    bool more = f->biases && matrix != UP;
    return (lm_linear){rig_matrix(m, f->format[matrix], rows, cols),
                       more ? rig_vector(m, rows, 0, 0.3) : LM_NONE, LM_NONE, more ? 0.75f : 0};
}

static lm_norm norm(rig_model *m, uint32_t width, uint32_t group)
{
    return (lm_norm){.kind = LM_NORM_RMS,
                     .weight = rig_vector(m, width, 1, 0.1),
                     .bias = LM_NONE,
                     .group = group,
                     .eps = 1e-5f};
}

static uint32_t emit_attention(rig_model *m, const form *f, uint32_t x)
{
    uint32_t group = lm_build_group(&m->b, LM_CACHE_FULL, 0);
    uint32_t cache = lm_build_kv(&m->b, group, KV_HEADS, DIM, DIM);
    lm_norm before = norm(m, f->width, 0);
    uint32_t normed = lm_emit_norm(&m->b, x, &before);
    lm_step qkv = {.u.qkv = {.q = linear(m, f, Q, HEADS * DIM, f->width),
                             .k = linear(m, f, K, KV_HEADS * DIM, f->width),
                             .v = linear(m, f, V, KV_HEADS * DIM, f->width),
                             .q_norm = f->head_norms ? norm(m, DIM, DIM) : lm_norm_absent(),
                             .k_norm = f->head_norms ? norm(m, DIM, DIM) : lm_norm_absent(),
                             .rope = {.style = f->rope,
                                      .dims = DIM,
                                      .base = 10000,
                                      .freq_scale = 1,
                                      .factors = LM_NONE},
                             .cache = cache,
                             .heads = HEADS,
                             .kv_heads = KV_HEADS,
                             .k_dim = DIM,
                             .v_dim = DIM}};
    uint32_t q = lm_emit_coarse(&m->b, &qkv, LM_STEP_QKV_ROPE_APPEND, normed, LM_NONE, HEADS * DIM);
    lm_step out = {.u.attn_out = {.attn = {.cache = cache,
                                           .heads = HEADS,
                                           .kv_heads = KV_HEADS,
                                           .k_dim = DIM,
                                           .v_dim = DIM,
                                           .scale = 0.1768f,
                                           .sinks = LM_NONE},
                                  .out = linear(m, f, OUT, f->width, HEADS * DIM)}};
    return lm_emit_coarse(&m->b, &out, LM_STEP_ATTN_OUT, q, f->residual ? x : LM_NONE, f->width);
}

static uint32_t emit_ffn(rig_model *m, const form *f, uint32_t x)
{
    lm_norm before = norm(m, f->width, 0);
    uint32_t normed = lm_emit_norm(&m->b, x, &before);
    lm_step ffn = {
        .u.ffn = {.gate = f->gated ? linear(m, f, GATE, f->ff, f->width) : lm_linear_absent(),
                  .up = linear(m, f, UP, f->ff, f->width),
                  .down = linear(m, f, DOWN, f->width, f->ff),
                  .act = f->act}};
    return lm_emit_coarse(&m->b, &ffn, LM_STEP_GLU_FFN, normed, f->residual ? x : LM_NONE,
                          f->width);
}

static uint32_t add_behind(rig_model *m, const form *f, uint32_t x, uint32_t result)
{
    if (!f->norms_behind)
        return result;
    lm_norm behind = norm(m, f->width, 0);
    return lm_emit_add(&m->b, lm_emit_norm(&m->b, result, &behind), x);
}

/* Two layers; the steps stay coarse. */
static void build_block(rig_model *m, uint32_t variant)
{
    const form *f = &forms[variant];
    uint32_t table = rig_weight(m, LM_F32, m->network.n_vocab, f->width, 1, LM_USE_GATHER, 0, 1);
    uint32_t x = lm_emit_embed(&m->b, LM_EMBED_TOKENS, table, 1);
    for (int layer = 0; layer < 2; layer++) {
        x = add_behind(m, f, x, emit_attention(m, f, x));
        x = add_behind(m, f, x, emit_ffn(m, f, x));
    }
    rig_output(m, x);
}

/* --- experts ---------------------------------------------------------------------------------- */

enum { EXPERTS = 6, USED = 2, SHARED_FF = 64 };

typedef struct expert_form {
    uint32_t gate, up, down, act;
    bool shared, shared_router, residual;
} expert_form;

static const expert_form expert_forms[] = {
    {LM_F32, LM_F32, LM_F32, LM_ACT_SILU, false, false, true},
    {LM_Q8_0, LM_Q8_0, LM_Q4_0, LM_ACT_GELU_TANH, true, true, true},
    {LM_F16, LM_Q8_0, LM_Q5_1, LM_ACT_SILU, true, false, false},
};

static lm_linear matrices(rig_model *m, uint32_t format, uint32_t rows, uint32_t cols,
                          uint32_t experts)
{
    uint32_t use = experts > 1 ? LM_USE_EXPERT : LM_USE_MATMUL;
    return (lm_linear){rig_weight(m, format, rows, cols, experts, use, 0, 1 / sqrt(cols)), LM_NONE,
                       LM_NONE, 0};
}

/* One layer: experts are chosen by what is the same on every backend. */
static void build_experts(rig_model *m, uint32_t variant)
{
    const expert_form *f = &expert_forms[variant];
    uint32_t width = 64, ff = 96;
    uint32_t table = rig_weight(m, LM_F32, m->network.n_vocab, width, 1, LM_USE_GATHER, 0, 1);
    uint32_t x = lm_emit_embed(&m->b, LM_EMBED_TOKENS, table, 1);
    lm_linear none = lm_linear_absent();
    lm_step moe = {
        .u.moe = {.router = matrices(m, LM_F32, EXPERTS, width, 1),
                  .gate = matrices(m, f->gate, ff, width, EXPERTS),
                  .up = matrices(m, f->up, ff, width, EXPERTS),
                  .down = matrices(m, f->down, width, ff, EXPERTS),
                  .shared_router = f->shared_router ? matrices(m, LM_F32, 1, width, 1) : none,
                  .shared_gate = f->shared ? matrices(m, f->gate, SHARED_FF, width, 1) : none,
                  .shared_up = f->shared ? matrices(m, f->up, SHARED_FF, width, 1) : none,
                  .shared_down = f->shared ? matrices(m, f->down, width, SHARED_FF, 1) : none,
                  .route = {.kind = LM_ROUTE_SOFTMAX,
                            .experts = EXPERTS,
                            .used = USED,
                            .bias = LM_NONE,
                            .normalise = true},
                  .act = f->act}};
    rig_output(m,
               lm_emit_coarse(&m->b, &moe, LM_STEP_MOE_FFN, x, f->residual ? x : LM_NONE, width));
}

static const rig_case list[] = {
    {"layers F32", build_block, 0, LM_STEP_HEAD, false, false},
    {"layers Q8_0, norms of heads", build_block, 1, LM_STEP_HEAD, true, false},
    {"layers of K formats, biases", build_block, 2, LM_STEP_HEAD, true, false},
    {"layers of many formats", build_block, 3, LM_STEP_HEAD, true, false},
    {"layers without residuals", build_block, 4, LM_STEP_HEAD, true, false},
    {"layers without gates", build_block, 5, LM_STEP_HEAD, true, false},
    {"layers F16, bare", build_block, 6, LM_STEP_HEAD, false, false},
    {"layers with norms behind", build_block, 7, LM_STEP_HEAD, true, false},
    {"layers of experts F32", build_experts, 0, LM_STEP_HEAD, false, false},
    {"layers of experts, shared and gated", build_experts, 1, LM_STEP_HEAD, true, false},
    {"layers of experts, shared, many formats", build_experts, 2, LM_STEP_HEAD, true, false},
};

const rig_case *case_block_at(size_t index)
{
    return index < sizeof list / sizeof list[0] ? &list[index] : NULL;
}
