/* test_check.c - lm_graph_check accepts a sound graph with every kind of step and refuses it when
 * any one thing about it is changed. */
#include "step/every_kind.h"

#include <string.h>

static int setup(void **state)
{
    static every_kind k;
    every_kind_init(&k);
    *state = &k;
    return 0;
}

static int teardown(void **state)
{
    every_kind_finish(*state);
    return 0;
}

static int32_t check(const every_kind *k)
{
    return lm_graph_check(&k->network, &k->network.decode);
}

/* Refused, and refused with a message that leads to the step. */
static void refused(const every_kind *k, const char *what, size_t index)
{
    int32_t rc = check(k);
    if (rc != LLM_E_INTERNAL)
        fail_msg("%s, %u: %s", what, (unsigned)index, llm_status_name(rc));
}

static void test_check__sound(void **state)
{
    const every_kind *k = *state;
    assert_ok(check(k));
    for (uint32_t kind = 0; kind < LM_STEP_COUNT; kind++)
        every_kind_find(k, kind);
}

/* --- slots ----------------------------------------------------------------------------------- */

static bool optional_input(uint32_t kind, uint32_t i)
{
    return i == 1 &&
           (kind == LM_STEP_ACT_MUL || kind == LM_STEP_ATTN_OUT || kind == LM_STEP_GLU_FFN ||
            kind == LM_STEP_MOE_FFN || kind == LM_STEP_MLA_ATTN);
}

static void change_slot(every_kind *k, size_t step, uint32_t *slot, bool optional)
{
    uint32_t kept = *slot;
    *slot = (uint32_t)k->network.decode.n_slots;
    refused(k, "a slot that is not there", step);
    if (kept == LM_NONE && !optional) {
        *slot = 0;
        refused(k, "a slot too many", step);
    } else if (!optional) {
        *slot = LM_NONE;
        refused(k, "a slot missing", step);
    }
    *slot = kept;
}

static void test_check__slot_indices(void **state)
{
    every_kind *k = *state;
    for (size_t i = 0; i < k->network.decode.n_steps; i++) {
        lm_step *s = &k->network.decode.steps[i];
        for (uint32_t n = 0; n < LM_STEP_INS; n++)
            change_slot(k, i, &s->in[n], optional_input(s->kind, n));
        for (uint32_t n = 0; n < LM_STEP_OUTS; n++)
            change_slot(k, i, &s->out[n], false);
    }
    assert_ok(check(k));
}

/* Does any step hold the slot to its width? A copy takes a piece of any. */
static bool width_matters(const lm_graph *g, uint32_t slot)
{
    for (size_t i = 0; i < g->n_steps; i++) {
        const lm_step *s = &g->steps[i];
        bool here = s->in[0] == slot || s->in[1] == slot || s->out[0] == slot || s->out[1] == slot;
        if (here && s->kind != LM_STEP_COPY)
            return true;
    }
    return false;
}

static void test_check__slot_shapes(void **state)
{
    every_kind *k = *state;
    lm_graph *g = &k->network.decode;
    for (uint32_t i = 0; i < g->n_slots; i++) {
        lm_slot_info kept = g->slots[i];
        assert_true(width_matters(g, i));
        g->slots[i].width++;
        refused(k, "a wider slot", i);
        g->slots[i].width = 0;
        refused(k, "an empty slot", i);
        g->slots[i] = kept;
        g->slots[i].rows = (uint8_t)((kept.rows + 1) % 3);
        refused(k, "a slot of other rows", i);
        g->slots[i].rows = 3;
        refused(k, "a slot of no rows", i);
        g->slots[i] = kept;
        g->slots[i].type = kept.type == LM_SLOT_F32 ? LM_SLOT_I32 : LM_SLOT_F32;
        refused(k, "a slot of another type", i);
        g->slots[i] = kept;
    }
    assert_ok(check(k));
}

static void test_check__order(void **state)
{
    every_kind *k = *state;
    lm_graph *g = &k->network.decode;
    lm_step first = g->steps[0];
    memmove(g->steps, g->steps + 1, (g->n_steps - 1) * sizeof *g->steps);
    g->steps[g->n_steps - 1] = first;
    refused(k, "the embedding last", 0);
    memmove(g->steps + 1, g->steps, (g->n_steps - 1) * sizeof *g->steps);
    g->steps[0] = first;
    assert_ok(check(k));
}

static void test_check__graph(void **state)
{
    every_kind *k = *state;
    lm_graph *g = &k->network.decode;
    uint32_t result = g->result;
    size_t n_steps = g->n_steps;
    g->result = LM_NONE;
    refused(k, "no result", 0);
    g->result = (uint32_t)g->n_slots;
    refused(k, "a result that is not there", 0);
    g->result = result;
    g->n_steps = 0;
    refused(k, "no steps", 0);
    g->n_steps = n_steps;
    uint16_t kind = g->steps[3].kind;
    g->steps[3].kind = LM_STEP_COUNT;
    refused(k, "no kind", 3);
    g->steps[3].kind = kind;
    assert_ok(check(k));
}

/* --- weights --------------------------------------------------------------------------------- */

static void test_check__weight_shapes(void **state)
{
    every_kind *k = *state;
    for (size_t i = 0; i < k->network.n_weights; i++) {
        lm_weight_desc *w = &k->network.weights[i], kept = *w;
        w->cols++;
        refused(k, "a wider weight", i);
        *w = kept;
        if (w->uses != LM_USE_GATHER) { /* a table may have any number of rows */
            w->rows += 7;               /* twice as long a norm could be one of the whole row */
            refused(k, "a higher weight", i);
            *w = kept;
        }
        if ((w->uses & (LM_USE_MATMUL | LM_USE_EXPERT)) != 0) {
            w->experts++;
            refused(k, "an expert more", i);
            *w = kept;
        }
        w->uses = 0;
        refused(k, "a weight for nothing", i);
        *w = kept;
    }
    assert_ok(check(k));
}

typedef struct place {
    uint16_t kind;
    bool needed;
    size_t offset;
} place;

#define NEEDED(kind, member)                                                                       \
    {                                                                                              \
        LM_STEP_##kind, true, offsetof(lm_step, u.member)                                          \
    }
#define OPTIONAL(kind, member)                                                                     \
    {                                                                                              \
        LM_STEP_##kind, false, offsetof(lm_step, u.member)                                         \
    }
#define LINEAR(kind, member) NEEDED(kind, member.weight), OPTIONAL(kind, member.bias)
#define NORM(kind, member)   OPTIONAL(kind, member.weight), OPTIONAL(kind, member.bias)

/* Where steps name weights. */
static const place weights[] = {
    NEEDED(EMBED, embed.weight),
    OPTIONAL(ROW_ADD, vector.weight),
    NORM(NORM, norm),
    LINEAR(LINEAR, linear),
    LINEAR(LINEAR_HEADS, heads.linear),
    LINEAR(LINEAR_EXPERT, expert.linear),
    OPTIONAL(ROUTE_TOPK, route.bias),
    OPTIONAL(ROPE, rope.rope.factors),
    OPTIONAL(ATTN_PAGED, attn.sinks),
    NEEDED(CONV_STATE, conv.weight),
    OPTIONAL(CONV_STATE, conv.bias),
    NEEDED(SCAN_STATE, scan.a),
    OPTIONAL(SCAN_STATE, scan.d),
    OPTIONAL(SCAN_STATE, scan.dt_bias),
    LINEAR(QKV_ROPE_APPEND, qkv.q),
    LINEAR(QKV_ROPE_APPEND, qkv.k),
    LINEAR(QKV_ROPE_APPEND, qkv.v),
    NORM(QKV_ROPE_APPEND, qkv.q_norm),
    NORM(QKV_ROPE_APPEND, qkv.k_norm),
    OPTIONAL(QKV_ROPE_APPEND, qkv.rope.factors),
    LINEAR(ATTN_OUT, attn_out.out),
    OPTIONAL(ATTN_OUT, attn_out.attn.sinks),
    OPTIONAL(GLU_FFN, ffn.gate.weight),
    LINEAR(GLU_FFN, ffn.up),
    LINEAR(GLU_FFN, ffn.down),
    LINEAR(MOE_FFN, moe.router),
    LINEAR(MOE_FFN, moe.gate),
    LINEAR(MOE_FFN, moe.up),
    LINEAR(MOE_FFN, moe.down),
    OPTIONAL(MOE_FFN, moe.route.bias),
    OPTIONAL(MOE_FFN, moe.shared_router.weight),
    LINEAR(MOE_FFN, moe.shared_gate),
    LINEAR(MOE_FFN, moe.shared_up),
    OPTIONAL(MOE_FFN, moe.shared_down.weight),
    LINEAR(MLA_ATTN, mla.q_down),
    LINEAR(MLA_ATTN, mla.q_up),
    LINEAR(MLA_ATTN, mla.kv_down),
    LINEAR(MLA_ATTN, mla.k_up),
    LINEAR(MLA_ATTN, mla.v_up),
    LINEAR(MLA_ATTN, mla.out),
    NORM(MLA_ATTN, mla.q_norm),
    NORM(MLA_ATTN, mla.kv_norm),
    OPTIONAL(MLA_ATTN, mla.rope.factors),
    OPTIONAL(MLA_ATTN, mla.attn.sinks),
    NORM(HEAD, head.norm),
    LINEAR(HEAD, head.out),
};

static void test_check__weight_indices(void **state)
{
    every_kind *k = *state;
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        lm_step *s = &k->network.decode.steps[every_kind_find(k, weights[i].kind)];
        uint32_t *index = (uint32_t *)(void *)((char *)s + weights[i].offset), kept = *index;
        assert_int_not_equal(kept, LM_NONE); /* the graph has all that is optional */
        *index = (uint32_t)k->network.n_weights;
        refused(k, "a weight that is not there", i);
        *index = LM_NONE;
        if (weights[i].needed)
            refused(k, "a weight missing", i);
        else
            assert_ok(check(k));
        *index = kept;
    }
}

/* --- caches ---------------------------------------------------------------------------------- */

static void test_check__caches(void **state)
{
    every_kind *k = *state;
    for (size_t i = 0; i < k->network.n_caches; i++) {
        lm_cache_entry *e = &k->network.caches[i], kept = *e;
        bool is_state = k->network.groups[e->group].kind == LM_CACHE_STATE;
        uint32_t *const token_sizes[] = {&e->kv_heads, &e->k_dim, &e->v_dim};
        uint32_t *const state_sizes[] = {&e->conv_values, &e->scan_values};
        for (size_t n = 0; n < (is_state ? 2u : 3u); n++) {
            ++*(is_state ? state_sizes[n] : token_sizes[n]);
            refused(k, "a larger cache", i);
            *e = kept;
        }
        e->group = k->network.n_groups;
        refused(k, "a group that is not there", i);
        *e = kept;
        uint32_t *kind = &k->network.groups[e->group].kind, kept_kind = *kind;
        *kind = is_state ? LM_CACHE_FULL : LM_CACHE_STATE;
        refused(k, "a group of another kind", i);
        *kind = kept_kind == LM_CACHE_LATENT ? LM_CACHE_FULL : LM_CACHE_LATENT;
        refused(k, "a group of one vector per token", i);
        *kind = kept_kind;
    }
}

/* --- parameters ------------------------------------------------------------------------------ */

typedef struct change {
    uint16_t kind;
    size_t offset;
    uint32_t value;
} change;

#define CHANGE(kind, member, value)                                                                \
    {                                                                                              \
        LM_STEP_##kind, offsetof(lm_step, u.member), value                                         \
    }

static const change changes[] = {
    CHANGE(EMBED, embed.source, 3),
    CHANGE(COPY, copy.width, 1000),
    CHANGE(COPY, copy.in_column, 40),
    CHANGE(COPY, copy.out_column, 1),
    CHANGE(COPY, copy.in_column, 0xffffffff),
    CHANGE(COPY, copy.heads, 7),
    CHANGE(COPY, copy.heads, 4),
    CHANGE(NORM, norm.kind, 9),
    CHANGE(NORM, norm.group, 7),
    CHANGE(NORM, norm.group, 1000),
    CHANGE(LINEAR_HEADS, heads.heads, 0),
    CHANGE(LINEAR_HEADS, heads.heads, 3),
    CHANGE(LINEAR_EXPERT, expert.used, 0),
    CHANGE(LINEAR_EXPERT, expert.used, 3),
    CHANGE(ROUTE_TOPK, route.kind, 3),
    CHANGE(ROUTE_TOPK, route.used, 0),
    CHANGE(ROUTE_TOPK, route.used, 6),
    CHANGE(ROUTE_TOPK, route.experts, 4),
    CHANGE(COMBINE, combine.used, 1),
    CHANGE(ROPE, rope.rope.style, 3),
    CHANGE(ROPE, rope.rope.dims, 7),
    CHANGE(ROPE, rope.rope.dims, 0),
    CHANGE(ROPE, rope.rope.dims, 10),
    CHANGE(ROPE, rope.heads, 3),
    CHANGE(ROPE, rope.head_dim, 9),
    CHANGE(KV_APPEND, append.cache, 99),
    CHANGE(KV_APPEND, append.cache, 2),
    CHANGE(ATTN_PAGED, attn.cache, 99),
    CHANGE(ATTN_PAGED, attn.cache, 2),
    CHANGE(ATTN_PAGED, attn.heads, 0),
    CHANGE(ATTN_PAGED, attn.heads, 3),
    CHANGE(ATTN_PAGED, attn.kv_heads, 0),
    CHANGE(ATTN_PAGED, attn.kv_heads, 3),
    CHANGE(ATTN_PAGED, attn.k_dim, 9),
    CHANGE(ATTN_PAGED, attn.v_dim, 9),
    CHANGE(ATTN_OUT, attn_out.attn.window, 17),
    CHANGE(ATTN_OUT, attn_out.attn.window, 0),
    CHANGE(CONV_STATE, conv.cache, 0),
    CHANGE(CONV_STATE, conv.cache, 99),
    CHANGE(CONV_STATE, conv.kernel, 0),
    CHANGE(CONV_STATE, conv.kernel, 4),
    CHANGE(CONV_STATE, conv.channels, 47),
    CHANGE(SCAN_STATE, scan.kind, LM_SCAN_RWKV),
    CHANGE(SCAN_STATE, scan.cache, 0),
    CHANGE(SCAN_STATE, scan.cache, 99),
    CHANGE(SCAN_STATE, scan.heads, 3),
    CHANGE(SCAN_STATE, scan.groups, 0),
    CHANGE(SCAN_STATE, scan.groups, 3),
    CHANGE(SCAN_STATE, scan.state, 5),
    CHANGE(SCAN_STATE, scan.head_dim, 9),
    CHANGE(QKV_ROPE_APPEND, qkv.heads, 3),
    CHANGE(QKV_ROPE_APPEND, qkv.kv_heads, 1),
    CHANGE(QKV_ROPE_APPEND, qkv.k_dim, 9),
    CHANGE(QKV_ROPE_APPEND, qkv.v_dim, 9),
    CHANGE(QKV_ROPE_APPEND, qkv.cache, 2),
    CHANGE(QKV_ROPE_APPEND, qkv.q_norm.group, 5),
    CHANGE(MOE_FFN, moe.route.used, 0),
    CHANGE(MOE_FFN, moe.route.used, 6),
    CHANGE(MOE_FFN, moe.route.experts, 6),
    CHANGE(MLA_ATTN, mla.attn.cache, 99),
    CHANGE(MLA_ATTN, mla.attn.cache, 0),
    CHANGE(MLA_ATTN, mla.attn.heads, 2),
    CHANGE(MLA_ATTN, mla.attn.kv_heads, 4),
    CHANGE(MLA_ATTN, mla.attn.k_dim, 13),
    CHANGE(MLA_ATTN, mla.attn.v_dim, 7),
    CHANGE(MLA_ATTN, mla.rope.dims, 10),
    CHANGE(MLA_ATTN, mla.q_norm.group, 4),
    CHANGE(MLA_ATTN, mla.kv_norm.group, 4),
    CHANGE(MLA_ATTN, mla.kv_norm.kind, 9),
    CHANGE(HEAD, head.norm.kind, 9),
};

static void test_check__parameters(void **state)
{
    every_kind *k = *state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        lm_step *s = &k->network.decode.steps[every_kind_find(k, changes[i].kind)];
        uint32_t *field = (uint32_t *)(void *)((char *)s + changes[i].offset), kept = *field;
        assert_int_not_equal(kept, changes[i].value);
        *field = changes[i].value;
        refused(k, "a parameter", i);
        *field = kept;
    }
    assert_ok(check(k));
}

static void test_check__refused_memory(void **state)
{
    every_kind *k = *state;
    k->memory.fail_at = k->memory.calls + 1;
    assert_status(check(k), LLM_E_MEMORY);
    k->memory.fail_at = 0;
    assert_ok(check(k));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_check__##name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(sound),      TEST(slot_indices),   TEST(slot_shapes),    TEST(order),
        TEST(graph),      TEST(weight_shapes),  TEST(weight_indices), TEST(caches),
        TEST(parameters), TEST(refused_memory),
    };
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
