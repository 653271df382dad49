/* cases_model.c - small whole models from coarse steps, lowered as the core lowers them. */
#include "backend/cases.h"

#include <string.h>

typedef struct maker {
    rig_model *m;
    lm_builder coarse; /* emits into a graph of its own, lowered at the end */
    lm_graph graph;
    uint32_t format;
    uint32_t width, head, ffn;
} maker;

static lm_linear linear(maker *k, uint32_t rows, uint32_t cols)
{
    return (lm_linear){rig_matrix(k->m, k->format, rows, cols), LM_NONE, LM_NONE, 0};
}

static lm_norm norm(maker *k, uint32_t width)
{
    return (lm_norm){.kind = LM_NORM_RMS,
                     .weight = rig_vector(k->m, width, 1, 0.1),
                     .bias = LM_NONE,
                     .eps = 1e-5f};
}

static uint32_t attention(maker *k, uint32_t x, uint32_t group, uint32_t window)
{
    uint32_t width = k->width, heads = 4, kv_heads = 2, dim = k->head;
    uint32_t cache = lm_build_kv(&k->coarse, group, kv_heads, dim, dim);
    lm_norm before = norm(k, width);
    uint32_t normed = lm_emit_norm(&k->coarse, x, &before);
    lm_step qkv = {.u.qkv = {.q = linear(k, heads * dim, width),
                             .k = linear(k, kv_heads * dim, width),
                             .v = linear(k, kv_heads * dim, width),
                             .q_norm = lm_norm_absent(),
                             .k_norm = lm_norm_absent(),
                             .rope = {.style = LM_ROPE_HALVES,
                                      .dims = dim,
                                      .base = 10000,
                                      .freq_scale = 1,
                                      .factors = LM_NONE},
                             .cache = cache,
                             .heads = heads,
                             .kv_heads = kv_heads,
                             .k_dim = dim,
                             .v_dim = dim}};
    uint32_t q =
        lm_emit_coarse(&k->coarse, &qkv, LM_STEP_QKV_ROPE_APPEND, normed, LM_NONE, heads * dim);
    lm_step out = {.u.attn_out = {.attn = {.cache = cache,
                                           .heads = heads,
                                           .kv_heads = kv_heads,
                                           .k_dim = dim,
                                           .v_dim = dim,
                                           .scale = 0.1768f,
                                           .window = window,
                                           .sinks = LM_NONE},
                                  .out = linear(k, width, heads * dim)}};
    return lm_emit_coarse(&k->coarse, &out, LM_STEP_ATTN_OUT, q, x, width);
}

static uint32_t feed_forward(maker *k, uint32_t x)
{
    lm_norm before = norm(k, k->width);
    uint32_t normed = lm_emit_norm(&k->coarse, x, &before);
    lm_step ffn = {.u.ffn = {.gate = linear(k, k->ffn, k->width),
                             .up = linear(k, k->ffn, k->width),
                             .down = linear(k, k->width, k->ffn),
                             .act = LM_ACT_SILU}};
    return lm_emit_coarse(&k->coarse, &ffn, LM_STEP_GLU_FFN, normed, x, k->width);
}

static void lower_all(maker *k, uint32_t result)
{
    for (size_t i = 0; i < k->graph.n_slots; i++)
        lm_build_slot(&k->m->b, k->graph.slots[i].width, k->graph.slots[i].rows,
                      k->graph.slots[i].type);
    for (size_t i = 0; i < k->graph.n_steps; i++)
        assert_ok(lm_lower(&k->m->b, &k->graph.steps[i]));
    rig_output(k->m, result);
    lm_graph_finish(&k->graph, &k->m->alloc);
}

/* Two layers, the second with a window in a group of its own. Variant: the weights' format. */
static void build_llama(rig_model *m, uint32_t format)
{
    bool wide = lm_format_by_id(format)->block > 32;
    maker k = {m, .format = format, .width = 64, .head = 32, .ffn = 96};
    if (wide)
        k.width = k.ffn = 256, k.head = 64;
    lm_graph_init(&k.graph, "coarse");
    lm_builder_init(&k.coarse, &m->network, &k.graph);
    uint32_t full = lm_build_group(&k.coarse, LM_CACHE_FULL, 0);
    uint32_t window = lm_build_group(&k.coarse, LM_CACHE_WINDOW, 24);
    uint32_t table = rig_weight(m, LM_F32, m->network.n_vocab, k.width, 1, LM_USE_GATHER, 0, 1);
    uint32_t x = lm_emit_embed(&k.coarse, LM_EMBED_TOKENS, table, 1);
    x = feed_forward(&k, attention(&k, x, full, 0));
    x = feed_forward(&k, attention(&k, x, window, 24));
    lm_norm last = norm(&k, k.width);
    lm_linear out = linear(&k, m->network.n_vocab, k.width);
    uint32_t logits = lm_emit_head(&k.coarse, x, &last, &out, 0);
    assert_ok(lm_builder_status(&k.coarse));
    lower_all(&k, logits);
}

#define INT8(format)                                                                               \
    {                                                                                              \
        "model " #format, build_llama, LM_##format, LM_STEP_HEAD, true, false                      \
    }

static const rig_case list[] = {
    {"model F32", build_llama, LM_F32, LM_STEP_HEAD, false, false},
    {"model F16", build_llama, LM_F16, LM_STEP_HEAD, false, false},
    INT8(Q8_0),
    INT8(Q4_0),
    INT8(Q4_1),
    INT8(Q5_0),
    INT8(Q5_1),
    INT8(Q2_K),
    INT8(Q3_K),
    INT8(Q4_K),
    INT8(Q5_K),
    INT8(Q6_K),
    INT8(IQ4_NL),
    INT8(IQ4_XS),
    INT8(MXFP4),
    INT8(NVFP4),
    {"model F8_E4M3", build_llama, LM_F8_E4M3, LM_STEP_HEAD, false, false},
    INT8(IQ3_S),
    INT8(IQ3_XXS),
    INT8(IQ2_S),
    INT8(IQ2_XS),
    INT8(IQ2_XXS),
    INT8(IQ1_S),
    INT8(IQ1_M),
    INT8(TQ1_0),
    INT8(TQ2_0),
};

CASES_OF(cases_model, list);
