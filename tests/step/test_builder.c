/* test_builder.c - growing a network: numbering, sharing of groups, inherited rows, the first
 * failure kept, references found, lines printed. */
#include "step/every_kind.h"

#include <string.h>

static void test_builder__groups(void **state)
{
    every_kind k;
    (void)state;
    test_memory_init(&k.memory);
    lm_network_init(&k.network, &k.memory.alloc);
    lm_builder_init(&k.b, &k.network, &k.network.decode);
    uint32_t full = lm_build_group(&k.b, LM_CACHE_FULL, 0);
    uint32_t window = lm_build_group(&k.b, LM_CACHE_WINDOW, 64);
    assert_int_equal(lm_build_group(&k.b, LM_CACHE_FULL, 0), full);
    assert_int_equal(lm_build_group(&k.b, LM_CACHE_WINDOW, 64), window);
    assert_int_not_equal(full, window);
    assert_int_not_equal(lm_build_group(&k.b, LM_CACHE_WINDOW, 65), window);
    lm_build_group(&k.b, LM_CACHE_STATE, 0);
    assert_ok(lm_builder_status(&k.b));
    assert_int_equal(k.network.n_groups, LM_MAX_GROUPS);
    assert_int_equal(lm_build_group(&k.b, LM_CACHE_CROSS, 0), LM_NONE);
    assert_status(lm_builder_status(&k.b), LLM_E_UNSUPPORTED);
    /* what follows changes nothing more */
    assert_int_equal(lm_build_slot(&k.b, 4, LM_ROWS_ALL, LM_SLOT_F32), LM_NONE);
    assert_int_equal(k.network.decode.n_slots, 0);
    every_kind_finish(&k);
}

/* Outputs have the rows of the first input, pooled and wanted ones their own; steps the layer that
 * was set; linears a site each. */
static void test_builder__emitted(void **state)
{
    every_kind k;
    (void)state;
    every_kind_init(&k);
    const lm_graph *g = &k.network.decode;
    const lm_step *pool = &g->steps[every_kind_find(&k, LM_STEP_POOL)];
    const lm_step *head = &g->steps[every_kind_find(&k, LM_STEP_HEAD)];
    assert_int_equal(g->slots[pool->out[0]].rows, LM_ROWS_SEQS);
    assert_int_equal(g->slots[head->out[0]].rows, LM_ROWS_WANTED);
    assert_int_equal(g->result, head->out[0]);
    assert_int_equal(g->steps[0].layer, 0xffff);
    assert_int_equal(g->steps[every_kind_find(&k, LM_STEP_QKV_ROPE_APPEND)].layer, 0);
    assert_int_equal(g->steps[every_kind_find(&k, LM_STEP_KV_APPEND)].layer, 1);
    assert_int_equal(g->steps[every_kind_find(&k, LM_STEP_SCAN_STATE)].layer, 3);
    assert_int_equal(head->layer, 0xffff);
    every_kind_finish(&k);
}

static void mark_site(void *user, const lm_linear *l)
{
    bool *seen = user;
    assert_false(seen[l->site]);
    seen[l->site] = true;
}

static void mark_weight(void *user, uint32_t weight)
{
    ((bool *)user)[weight] = true;
}

/* Every weight of the network is found through the steps that name it, and every linear once. */
static void test_builder__references(void **state)
{
    every_kind k;
    bool sites[128] = {false}, weights[256] = {false};
    (void)state;
    every_kind_init(&k);
    assert_true(k.network.n_sites <= 128 && k.network.n_weights <= 256);
    for (size_t i = 0; i < k.network.decode.n_steps; i++) {
        const lm_step *s = &k.network.decode.steps[i];
        lm_step_each_linear(s, mark_site, sites);
        lm_step_each_weight(s, mark_weight, weights);
        bool attends = s->kind == LM_STEP_KV_APPEND || s->kind == LM_STEP_ATTN_PAGED ||
                       s->kind == LM_STEP_QKV_ROPE_APPEND || s->kind == LM_STEP_ATTN_OUT ||
                       s->kind == LM_STEP_MLA_ATTN;
        bool remembers = s->kind == LM_STEP_CONV_STATE || s->kind == LM_STEP_SCAN_STATE;
        assert_true((lm_step_cache(s) != LM_NONE) == (attends || remembers));
    }
    for (uint32_t i = 0; i < k.network.n_sites; i++)
        assert_true(sites[i]);
    for (uint32_t i = 0; i < k.network.n_weights; i++)
        assert_true(weights[i]);
    every_kind_finish(&k);
}

/* A line names the kind, and is cut rather than overrun. */
static void test_builder__printed(void **state)
{
    every_kind k;
    char line[240], small[12];
    (void)state;
    every_kind_init(&k);
    for (size_t i = 0; i < k.network.decode.n_steps; i++) {
        const lm_step *s = &k.network.decode.steps[i];
        lm_step_print(&k.network, s, line, sizeof line);
        char name[32] = "";
        const char *kind = lm_step_name(s->kind);
        for (size_t c = 0; kind[c] != '\0'; c++)
            name[c] = (char)(kind[c] >= 'A' && kind[c] <= 'Z' ? kind[c] - 'A' + 'a' : kind[c]);
        if (strstr(line, name) == NULL)
            fail_msg("'%s' does not name %s", line, name);
        lm_step_print(&k.network, s, small, sizeof small);
        assert_true(strlen(small) < sizeof small);
        assert_int_equal(strncmp(line, small, strlen(small)), 0);
    }
    every_kind_finish(&k);
}

/* Twice rows times columns for a matrix; of experts as many as are used. */
static void test_builder__costs(void **state)
{
    every_kind k;
    (void)state;
    every_kind_init(&k);
    const lm_graph *g = &k.network.decode;
    const lm_step *head = &g->steps[every_kind_find(&k, LM_STEP_HEAD)];
    lm_step_cost cost = lm_step_cost_of(&k.network, head);
    assert_int_equal(cost.flops, 2 * 30 * 24);
    assert_int_equal(cost.weight_bytes, 4 * 30 * 24);
    const lm_step *expert = &g->steps[every_kind_find(&k, LM_STEP_LINEAR_EXPERT)];
    cost = lm_step_cost_of(&k.network, expert);
    assert_int_equal(cost.flops, 2 * 2 * 20 * 24);
    assert_int_equal(cost.weight_bytes, 2 * 4 * 20 * 24);
    every_kind_finish(&k);
}

/* Refused memory at any point is remembered by the builder and nothing is lost. */
static void test_builder__refused_memory(void **state)
{
    (void)state;
    for (uint64_t fail_at = 1;; fail_at++) {
        test_memory memory;
        lm_network network;
        lm_builder b;
        test_memory_init(&memory);
        memory.fail_at = fail_at;
        lm_network_init(&network, &memory.alloc);
        lm_builder_init(&b, &network, &network.decode);
        const lm_format *f32 = lm_format_by_id(LM_F32);
        for (uint32_t i = 0; i < 40; i++) {
            lm_weight_desc desc = {.name = "w",
                                   .format = f32,
                                   .rows = 4,
                                   .cols = 4,
                                   .experts = 1,
                                   .uses = LM_USE_GATHER | LM_USE_MATMUL};
            uint32_t w = lm_build_weight(&b, &desc);
            lm_build_kv(&b, lm_build_group(&b, LM_CACHE_FULL, 0), 1, 4, 4);
            lm_linear linear = lm_linear_of(&b, w, LM_NONE);
            lm_emit_linear(&b, lm_emit_embed(&b, LM_EMBED_TOKENS, w, 1), &linear);
        }
        int32_t rc = lm_builder_status(&b);
        bool done = memory.calls < fail_at;
        assert_int_equal(rc, done ? LLM_OK : LLM_E_MEMORY);
        lm_network_finish(&network);
        test_memory_check(&memory);
        if (done)
            return;
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builder__groups),     cmocka_unit_test(test_builder__emitted),
        cmocka_unit_test(test_builder__references), cmocka_unit_test(test_builder__printed),
        cmocka_unit_test(test_builder__costs),      cmocka_unit_test(test_builder__refused_memory),
    };
    return cmocka_run_group_tests_name("builder", tests, NULL, NULL);
}
