/* every_kind.c - builds it: embeddings, a transformer layer coarse and once more in primitives,
 * experts, a recurrent layer, and the ends that graphs have. */
#include "step/every_kind.h"

#include <string.h>

enum { WIDTH = 24, HEADS = 4, KV = 2, DIM = 8, FF = 20, EXPERTS = 5, USED = 2, WORDS = 30 };

static uint32_t weight(every_kind *k, uint32_t rows, uint32_t cols, uint32_t experts, uint32_t uses)
{
    const lm_format *f = lm_format_by_id(LM_F32);
    return lm_build_weight(&k->b, &(lm_weight_desc){.name = "w",
                                                    .format = f,
                                                    .rows = rows,
                                                    .cols = cols,
                                                    .experts = experts,
                                                    .uses = uses,
                                                    .bytes = 4ull * rows * cols * experts});
}

static uint32_t vector(every_kind *k, uint32_t count)
{
    return weight(k, 1, count, 1, LM_USE_VECTOR);
}

static lm_linear linear(every_kind *k, uint32_t rows, uint32_t cols)
{
    uint32_t w = weight(k, rows, cols, 1, LM_USE_MATMUL);
    return lm_linear_of(&k->b, w, vector(k, rows));
}

static lm_linear experts(every_kind *k, uint32_t rows, uint32_t cols)
{
    return lm_linear_of(&k->b, weight(k, rows, cols, EXPERTS, LM_USE_EXPERT),
                        vector(k, rows * EXPERTS));
}

static lm_norm norm(every_kind *k, uint32_t group)
{
    return (lm_norm){LM_NORM_LAYER, vector(k, group), vector(k, group), group, 1e-5f, 0};
}

static lm_rope rope(every_kind *k)
{
    return (lm_rope){.style = LM_ROPE_HALVES,
                     .dims = DIM,
                     .base = 100,
                     .freq_scale = 1,
                     .factors = vector(k, DIM / 2)};
}

static lm_attn attn(every_kind *k, uint32_t cache, uint32_t window)
{
    return (lm_attn){.cache = cache,
                     .heads = HEADS,
                     .kv_heads = KV,
                     .k_dim = DIM,
                     .v_dim = DIM,
                     .scale = 1,
                     .window = window,
                     .sinks = vector(k, HEADS)};
}

static lm_route route(every_kind *k)
{
    return (lm_route){
        .kind = LM_ROUTE_SIGMOID, .experts = EXPERTS, .used = USED, .bias = vector(k, EXPERTS)};
}

/* A step with the outputs named. */
static void step(every_kind *k, lm_step s, uint32_t kind, uint32_t in0, uint32_t in1, uint32_t out0,
                 uint32_t out1)
{
    s.kind = (uint16_t)kind;
    s.in[0] = in0;
    s.in[1] = in1;
    s.in[2] = LM_NONE;
    s.out[0] = out0;
    s.out[1] = out1;
    lm_build_step(&k->b, &s);
}

static uint32_t slot(every_kind *k, uint32_t width)
{
    return lm_build_slot(&k->b, width, LM_ROWS_ALL, LM_SLOT_F32);
}

static uint32_t coarse_layer(every_kind *k, uint32_t x)
{
    uint32_t cache = lm_build_kv(&k->b, lm_build_group(&k->b, LM_CACHE_WINDOW, 16), KV, DIM, DIM);
    lm_step qkv = {.u.qkv = {.q = linear(k, HEADS * DIM, WIDTH),
                             .k = linear(k, KV * DIM, WIDTH),
                             .v = linear(k, KV * DIM, WIDTH),
                             .q_norm = norm(k, DIM),
                             .k_norm = norm(k, DIM),
                             .rope = rope(k),
                             .cache = cache,
                             .heads = HEADS,
                             .kv_heads = KV,
                             .k_dim = DIM,
                             .v_dim = DIM}};
    uint32_t q = lm_emit_coarse(&k->b, &qkv, LM_STEP_QKV_ROPE_APPEND, x, LM_NONE, HEADS * DIM);
    lm_step out = {
        .u.attn_out = {.attn = attn(k, cache, 16), .out = linear(k, WIDTH, HEADS * DIM)}};
    x = lm_emit_coarse(&k->b, &out, LM_STEP_ATTN_OUT, q, x, WIDTH);
    lm_step ffn = {.u.ffn = {.gate = linear(k, FF, WIDTH),
                             .up = linear(k, FF, WIDTH),
                             .down = linear(k, WIDTH, FF),
                             .act = LM_ACT_SILU}};
    x = lm_emit_coarse(&k->b, &ffn, LM_STEP_GLU_FFN, x, x, WIDTH);
    lm_step moe = {.u.moe = {.router = linear(k, EXPERTS, WIDTH),
                             .gate = experts(k, FF, WIDTH),
                             .up = experts(k, FF, WIDTH),
                             .down = experts(k, WIDTH, FF),
                             .shared_router = linear(k, 1, WIDTH),
                             .shared_gate = linear(k, FF, WIDTH),
                             .shared_up = linear(k, FF, WIDTH),
                             .shared_down = linear(k, WIDTH, FF),
                             .route = route(k)}};
    return lm_emit_coarse(&k->b, &moe, LM_STEP_MOE_FFN, x, x, WIDTH);
}

static uint32_t latent_layer(every_kind *k, uint32_t x)
{
    enum { LATENT = 6, LOW = 10, PLAIN = 5, VALUE = 4, ALL = LATENT + DIM };
    uint32_t group = lm_build_group(&k->b, LM_CACHE_LATENT, 0);
    lm_attn a = attn(k, lm_build_kv(&k->b, group, 1, ALL, LATENT), 0);
    a.kv_heads = 1;
    a.k_dim = ALL;
    a.v_dim = LATENT;
    lm_linear k_up = {weight(k, LATENT, PLAIN, HEADS, LM_USE_MATMUL), vector(k, LATENT * HEADS),
                      lm_build_site(&k->b), 0};
    lm_linear v_up = {weight(k, VALUE, LATENT, HEADS, LM_USE_MATMUL), vector(k, VALUE * HEADS),
                      lm_build_site(&k->b), 0};
    lm_step mla = {.u.mla = {.q_down = linear(k, LOW, WIDTH),
                             .q_up = linear(k, HEADS * (PLAIN + DIM), LOW),
                             .kv_down = linear(k, ALL, WIDTH),
                             .k_up = k_up,
                             .v_up = v_up,
                             .out = linear(k, WIDTH, HEADS * VALUE),
                             .q_norm = norm(k, LOW),
                             .kv_norm = norm(k, LATENT),
                             .rope = rope(k),
                             .attn = a}};
    return lm_emit_coarse(&k->b, &mla, LM_STEP_MLA_ATTN, x, x, WIDTH);
}

static uint32_t primitive_layer(every_kind *k, uint32_t x)
{
    uint32_t cache = lm_build_kv(&k->b, lm_build_group(&k->b, LM_CACHE_FULL, 0), KV, DIM, DIM);
    lm_norm before = norm(k, WIDTH);
    lm_linear to_q = linear(k, HEADS * DIM, WIDTH), to_k = linear(k, KV * DIM, WIDTH);
    lm_linear to_v = linear(k, KV * DIM, WIDTH), back = linear(k, WIDTH, HEADS * DIM);
    uint32_t normed = lm_emit_norm(&k->b, x, &before);
    uint32_t q = lm_emit_linear(&k->b, normed, &to_q), key = lm_emit_linear(&k->b, normed, &to_k);
    uint32_t value = lm_emit_linear(&k->b, normed, &to_v), mixed = slot(k, HEADS * DIM);
    lm_step turn = {.u.rope = {rope(k), HEADS, DIM}};
    step(k, turn, LM_STEP_ROPE, q, LM_NONE, q, LM_NONE);
    step(k, (lm_step){.u.append = {cache}}, LM_STEP_KV_APPEND, key, value, LM_NONE, LM_NONE);
    step(k, (lm_step){.u.attn = attn(k, cache, 0)}, LM_STEP_ATTN_PAGED, q, LM_NONE, mixed, LM_NONE);
    uint32_t out = lm_emit_linear(&k->b, mixed, &back);
    step(k, (lm_step){.u.vector = {vector(k, WIDTH)}}, LM_STEP_ROW_ADD, out, LM_NONE, out, LM_NONE);
    step(k, (lm_step){0}, LM_STEP_ALL_REDUCE, out, LM_NONE, out, LM_NONE);
    x = lm_emit_add(&k->b, out, x);
    lm_linear heads = {weight(k, DIM, WIDTH / HEADS, HEADS, LM_USE_MATMUL), vector(k, DIM * HEADS),
                       lm_build_site(&k->b), 0};
    uint32_t wide = slot(k, HEADS * DIM), both = slot(k, HEADS * DIM + WIDTH),
             part = slot(k, WIDTH);
    step(k, (lm_step){.u.heads = {heads, HEADS}}, LM_STEP_LINEAR_HEADS, x, LM_NONE, wide, LM_NONE);
    step(k, (lm_step){0}, LM_STEP_CONCAT, wide, x, both, LM_NONE);
    step(k, (lm_step){.u.copy = {8, 0, WIDTH}}, LM_STEP_COPY, both, LM_NONE, part, LM_NONE);
    return lm_emit_scale(&k->b, part, 2, 10);
}

static uint32_t primitive_experts(every_kind *k, uint32_t x)
{
    lm_linear router = linear(k, EXPERTS, WIDTH);
    uint32_t scores = lm_emit_linear(&k->b, x, &router);
    uint32_t ids = lm_build_slot(&k->b, USED, LM_ROWS_ALL, LM_SLOT_I32), shares = slot(k, USED);
    uint32_t inner = slot(k, USED * FF), outer = slot(k, USED * WIDTH), sum = slot(k, WIDTH);
    lm_step up = {.u.expert = {experts(k, FF, WIDTH), USED, false}};
    lm_step down = {.u.expert = {experts(k, WIDTH, FF), USED, true}};
    step(k, (lm_step){.u.route = route(k)}, LM_STEP_ROUTE_TOPK, scores, LM_NONE, ids, shares);
    step(k, up, LM_STEP_LINEAR_EXPERT, x, ids, inner, LM_NONE);
    uint32_t acted = lm_emit_act_mul(&k->b, LM_ACT_RELU, inner, inner);
    step(k, down, LM_STEP_LINEAR_EXPERT, acted, ids, outer, LM_NONE);
    step(k, (lm_step){.u.combine = {USED}}, LM_STEP_COMBINE, outer, shares, sum, LM_NONE);
    return lm_emit_add(&k->b, sum, x);
}

static uint32_t recurrent_layer(every_kind *k, uint32_t x)
{
    enum { STATE = 4, GROUPS = 2, KERNEL = 3, CHANNELS = HEADS * DIM + 2 * GROUPS * STATE };
    uint32_t group = lm_build_group(&k->b, LM_CACHE_STATE, 0);
    uint32_t cache = lm_build_state(&k->b, group, CHANNELS * (KERNEL - 1), HEADS * DIM * STATE);
    lm_linear to_xbc = linear(k, CHANNELS, WIDTH), to_dt = linear(k, HEADS, WIDTH);
    lm_linear back = linear(k, WIDTH, HEADS * DIM);
    lm_conv conv = {.cache = cache,
                    .channels = CHANNELS,
                    .kernel = KERNEL,
                    .weight = weight(k, CHANNELS, KERNEL, 1, LM_USE_VECTOR),
                    .bias = vector(k, CHANNELS)};
    lm_scan scan = {.cache = cache,
                    .heads = HEADS,
                    .head_dim = DIM,
                    .state = STATE,
                    .groups = GROUPS,
                    .a = vector(k, HEADS),
                    .d = vector(k, HEADS),
                    .dt_bias = vector(k, HEADS)};
    uint32_t xbc = lm_emit_conv(&k->b, lm_emit_linear(&k->b, x, &to_xbc), &conv);
    uint32_t y = lm_emit_scan(&k->b, xbc, lm_emit_linear(&k->b, x, &to_dt), &scan);
    return lm_emit_add(&k->b, lm_emit_linear(&k->b, y, &back), x);
}

static void ends(every_kind *k, uint32_t x)
{
    uint32_t tapped = lm_build_slot(&k->b, WIDTH, LM_ROWS_WANTED, LM_SLOT_F32);
    uint32_t some = lm_build_slot(&k->b, WIDTH, LM_ROWS_WANTED, LM_SLOT_F32);
    uint32_t ids = lm_build_slot(&k->b, 5, LM_ROWS_WANTED, LM_SLOT_I32);
    uint32_t best = lm_build_slot(&k->b, 5, LM_ROWS_WANTED, LM_SLOT_F32);
    step(k, (lm_step){0}, LM_STEP_TAP, x, LM_NONE, tapped, LM_NONE);
    step(k, (lm_step){0}, LM_STEP_GATHER_ROWS, x, LM_NONE, some, LM_NONE);
    lm_emit_pool(&k->b, x, LM_POOL_MEAN);
    lm_norm last = norm(k, WIDTH);
    lm_linear out = linear(k, WORDS, WIDTH);
    uint32_t logits = lm_emit_head(&k->b, x, &last, &out, 30);
    step(k, (lm_step){0}, LM_STEP_BEST, logits, LM_NONE, ids, best);
}

void every_kind_init(every_kind *k)
{
    test_memory_init(&k->memory);
    lm_network_init(&k->network, &k->memory.alloc);
    lm_builder_init(&k->b, &k->network, &k->network.decode);
    k->network.width = WIDTH;
    k->network.n_vocab = WORDS;
    uint32_t x =
        lm_emit_embed(&k->b, LM_EMBED_TOKENS, weight(k, WORDS, WIDTH, 1, LM_USE_GATHER), 1);
    uint32_t (*const layers[])(every_kind *, uint32_t) = {
        coarse_layer, primitive_layer, primitive_experts, recurrent_layer, latent_layer};
    k->network.n_layers = sizeof layers / sizeof layers[0];
    for (uint32_t i = 0; i < k->network.n_layers; i++) {
        k->b.layer = (uint16_t)i;
        x = layers[i](k, x);
    }
    k->b.layer = 0xffff;
    ends(k, x);
    assert_ok(lm_builder_status(&k->b));
}

void every_kind_finish(every_kind *k)
{
    lm_network_finish(&k->network);
    test_memory_check(&k->memory);
}

size_t every_kind_find(const every_kind *k, uint32_t kind)
{
    for (size_t i = 0; i < k->network.decode.n_steps; i++)
        if (k->network.decode.steps[i].kind == kind)
            return i;
    fail_msg("the graph has no step '%s'", lm_step_name(kind));
    return 0;
}
