/* test_memory.c - memory as a host sees it: the plan against what is taken, the hard budget, no allocation
 * while decoding, and every refused allocation survived. */
#include "support/support.h"

#include <llm/llm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const llm_token prompt[] = {13, 41, 32, 33, 47, 45, 58, 17, 35, 13};
#define PROMPT (sizeof prompt / sizeof prompt[0])

static char model_path[4096];

static const char *model_file(const char *name)
{
    char relative[256];
    snprintf(relative, sizeof relative, "model/data/%s.gguf", name);
    snprintf(model_path, sizeof model_path, "%s", test_file_path(relative));
    return model_path;
}

/* --- plan and budget -------------------------------------------------------------------------- */

static uint64_t device_bytes(llm_engine *e)
{
    llm_engine_stats stats = {.struct_size = sizeof stats};
    assert_ok(llm_engine_get_stats(e, &stats));
    return stats.device_bytes;
}

static void check_plan(const char *device)
{
    llm_runtime *rt;
    llm_model *model;
    llm_engine *engine;
    llm_session *s;
    llm_memory_plan plan = {.struct_size = sizeof plan};
    llm_engine_params ep = {.struct_size = sizeof ep, .context = 128, .page_tokens = 16};
    llm_model_params mp = {.struct_size = sizeof mp,
                           .devices = device,
                           .load = LLM_LOAD_HEADER,
                           .source = LLM_SOURCE_READ};
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(llm_model_open(rt, model_file("llama"), &mp, &model));
    assert_ok(llm_model_plan(model, &ep, 0, &plan));
    assert_status(llm_model_plan(model, &ep, 1, &plan), LLM_E_NOT_FOUND);
    assert_status(llm_engine_create(model, &ep, &engine), LLM_E_STATE);
    assert_ok(llm_model_load(model, NULL, NULL));
    assert_ok(llm_engine_create(model, &ep, &engine));
    uint64_t fixed = plan.weights + plan.workspace + plan.cache_fixed;
    assert_int_equal(device_bytes(engine), fixed);
    llm_session_params sp = {.struct_size = sizeof sp, .engine = engine};
    assert_ok(llm_session_create(model, &sp, &s));
    assert_ok(llm_session_feed(s, prompt, PROMPT, NULL));
    llm_engine_stats stats = {.struct_size = sizeof stats};
    assert_ok(llm_engine_get_stats(engine, &stats));
    assert_int_equal(stats.device_bytes, fixed + stats.pages_total * plan.cache_page);
    llm_session_destroy(s);
    llm_engine_release(engine);
    llm_model_release(model);
    llm_runtime_destroy(rt);
}

static void test_memory__plan_is_exact(void **state)
{
    (void)state;
    check_plan("ref");
    check_plan("cpu");
    check_plan("null");
}

static void test_memory__budget_is_hard(void **state)
{
    (void)state;
    llm_runtime *rt;
    llm_model *model;
    llm_engine *engine;
    llm_memory_plan plan = {.struct_size = sizeof plan};
    llm_engine_params ep = {.struct_size = sizeof ep, .page_tokens = 16};
    llm_model_params mp = {.struct_size = sizeof mp,
                           .devices = "ref",
                           .load = LLM_LOAD_HEADER,
                           .source = LLM_SOURCE_READ};
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(llm_model_open(rt, model_file("llama"), &mp, &model));
    assert_ok(llm_model_plan(model, &ep, 0, &plan));
    llm_model_release(model);
    mp.budget = plan.weights - 1;
    mp.load = LLM_LOAD_ALL;
    assert_status(llm_model_open(rt, model_file("llama"), &mp, &model), LLM_E_BUDGET);
    mp.budget = plan.weights + plan.workspace + plan.cache_fixed + 3 * plan.cache_page;
    assert_ok(llm_model_open(rt, model_file("llama"), &mp, &model));
    assert_ok(llm_engine_create(model, &ep, &engine));
    llm_session_params sp = {.struct_size = sizeof sp, .engine = engine};
    llm_session *a, *b;
    assert_ok(llm_session_create(model, &sp, &a));
    sp.salt = 1;
    assert_ok(llm_session_create(model, &sp, &b));
    llm_token tokens[64];
    for (int i = 0; i < 64; i++)
        tokens[i] = i;
    assert_ok(llm_session_feed(a, tokens, 48, NULL)); /* three pages: all there are */
    assert_status(llm_session_feed(b, tokens, 1, NULL), LLM_E_BUDGET);
    assert_true(device_bytes(engine) <= mp.budget);
    llm_session_destroy(a);
    assert_ok(llm_session_feed(b, tokens, 48, NULL)); /* pages kept for reuse give way */
    assert_status(llm_session_feed(b, tokens, 1, NULL), LLM_E_BUDGET);
    assert_int_equal(llm_session_length(b), 48);
    llm_session_destroy(b);
    llm_engine_release(engine);
    mp.budget = plan.weights + plan.workspace;
    llm_model_release(model);
    assert_ok(llm_model_open(rt, model_file("llama"), &mp, &model));
    assert_status(llm_engine_create(model, &ep, &engine), LLM_E_BUDGET);
    llm_model_release(model);
    llm_runtime_destroy(rt);
}

/* Two engines of one model do not spend the same bytes twice. */
static void test_memory__engines_share_the_budget(void **state)
{
    (void)state;
    llm_runtime *rt;
    llm_model *model;
    llm_engine *engines[2];
    llm_session *sessions[2];
    llm_memory_plan plan = {.struct_size = sizeof plan};
    llm_engine_params ep = {.struct_size = sizeof ep, .page_tokens = 16};
    llm_model_params mp = {.struct_size = sizeof mp,
                           .devices = "ref",
                           .load = LLM_LOAD_HEADER,
                           .source = LLM_SOURCE_READ};
    llm_token tokens[64] = {0};
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(llm_model_open(rt, model_file("llama"), &mp, &model));
    assert_ok(llm_model_plan(model, &ep, 0, &plan));
    llm_model_release(model);
    uint64_t fixed = plan.workspace + plan.cache_fixed;
    mp.load = LLM_LOAD_ALL;
    mp.budget = plan.weights + 2 * fixed + 3 * plan.cache_page;
    assert_ok(llm_model_open(rt, model_file("llama"), &mp, &model));
    for (int i = 0; i < 2; i++) {
        assert_ok(llm_engine_create(model, &ep, &engines[i]));
        llm_session_params sp = {.struct_size = sizeof sp, .engine = engines[i]};
        assert_ok(llm_session_create(model, &sp, &sessions[i]));
    }
    llm_engine *third;
    assert_status(llm_engine_create(model, &ep, &third), LLM_E_BUDGET);
    assert_ok(llm_session_feed(sessions[0], tokens, 40, NULL)); /* three pages: all there are */
    assert_status(llm_session_feed(sessions[1], tokens, 1, NULL), LLM_E_BUDGET);
    assert_int_equal(device_bytes(engines[0]), mp.budget);
    llm_session_destroy(sessions[0]);
    llm_engine_release(engines[0]); /* what it took is free again */
    assert_ok(llm_session_feed(sessions[1], tokens, 40, NULL));
    llm_session_destroy(sessions[1]);
    llm_engine_release(engines[1]);
    llm_model_release(model);
    llm_runtime_destroy(rt);
}

static void test_memory__decoding_allocates_nothing(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    llm_runtime_params rp = {.struct_size = sizeof rp, .allocator = test_memory_host(&m)};
    static const char *const devices[] = {"ref", "cpu"};
    for (size_t d = 0; d < 2; d++) {
        llm_runtime *rt;
        llm_model *model;
        llm_session *s;
        llm_sampler *sampler;
        llm_model_params mp = {.struct_size = sizeof mp, .devices = devices[d]};
        assert_ok(llm_runtime_create(&rp, &rt));
        assert_ok(llm_model_open(rt, model_file("llama"), &mp, &model));
        assert_ok(llm_sampler_create(rt, &sampler));
        llm_param temp = {"temp", LLM_KIND_FLOAT, 0, {.f = 0.8}};
        llm_param k = {"k", LLM_KIND_INT, 0, {.i = 20}};
        assert_ok(llm_sampler_add(sampler, "top-k", &k, 1));
        assert_ok(llm_sampler_add(sampler, "temperature", &temp, 1));
        llm_session_params sp = {.struct_size = sizeof sp, .sampler = sampler, .top_n = 4};
        assert_ok(llm_session_create(model, &sp, &s));
        assert_ok(llm_session_feed(s, prompt, PROMPT, NULL));
        llm_piece piece = LLM_PIECE_INIT;
        assert_int_equal(llm_session_next(s, &piece), LLM_OK);
        uint64_t before = m.calls;
        for (int i = 0; i < 100; i++) /* over three page boundaries */
            assert_int_equal(llm_session_next(s, &piece), LLM_OK);
        assert_int_equal(m.calls, before);
        llm_session_destroy(s);
        llm_sampler_destroy(sampler);
        llm_model_release(model);
        llm_runtime_destroy(rt);
    }
    test_memory_check(&m);
}

/* --- refused allocations ---------------------------------------------------------------------- */

typedef struct attempt {
    llm_runtime *rt;
    llm_model *model;
    llm_session *s;
    void *saved;
    uint64_t size;
} attempt;

static int32_t try_save(attempt *a)
{
    int32_t rc = llm_session_save_memory(a->s, NULL, 0, &a->size);
    if (rc != LLM_E_BUFFER)
        return rc;
    a->saved = malloc(a->size);
    assert_non_null(a->saved);
    rc = llm_session_save_memory(a->s, a->saved, a->size, &a->size);
    return rc < 0 ? rc : llm_session_load_memory(a->s, a->saved, a->size);
}

static int32_t try_all(attempt *a, const llm_runtime_params *rp, const llm_model_params *mp,
                       const char *path)
{
    int32_t rc;
    llm_piece piece = LLM_PIECE_INIT;
    if ((rc = llm_runtime_create(rp, &a->rt)) < 0 ||
        (rc = llm_model_open(a->rt, path, mp, &a->model)) < 0 ||
        (rc = llm_session_create(a->model, NULL, &a->s)) < 0 ||
        (rc = llm_session_feed(a->s, prompt, PROMPT, NULL)) < 0 ||
        (rc = llm_session_next(a->s, &piece)) < 0 || (rc = llm_session_next(a->s, &piece)) < 0)
        return rc;
    llm_session *fork = NULL;
    if ((rc = llm_session_fork(a->s, &fork)) >= 0)
        rc = llm_session_sync(fork, prompt, PROMPT - 2, NULL, NULL);
    llm_session_destroy(fork);
    return rc < 0 ? rc : try_save(a);
}

static void give_back(attempt *a)
{
    llm_session_destroy(a->s);
    llm_model_release(a->model);
    llm_runtime_destroy(a->rt);
    free(a->saved);
}

static void check_refusals(const char *model, const char *device, uint32_t source)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", model_file(model));
    llm_model_params mp = {.struct_size = sizeof mp, .devices = device, .source = source};
    int made_do = 0; /* a cache that is refused many pages takes fewer */
    for (uint64_t n = 1;; n++) {
        test_memory m;
        test_memory_init(&m);
        m.fail_at = n;
        llm_runtime_params rp = {
            .struct_size = sizeof rp, .threads = 1, .allocator = test_memory_host(&m)};
        attempt a = {0};
        int32_t rc = try_all(&a, &rp, &mp, path);
        bool refused = m.calls >= n;
        if (refused && rc >= 0 && ++made_do > 4)
            fail_msg("%s on %s: allocation %llu was refused and nobody noticed", model, device,
                     (unsigned long long)n);
        if (rc < 0)
            assert_int_equal(rc, LLM_E_MEMORY);
        /* What exists is still of use once there is memory again. */
        m.fail_at = 0;
        llm_piece piece = LLM_PIECE_INIT;
        if (a.s != NULL) {
            assert_ok(llm_session_feed(a.s, prompt, 2, NULL));
            assert_int_equal(llm_session_next(a.s, &piece), LLM_OK);
        }
        give_back(&a);
        test_memory_check(&m);
        if (!refused)
            return;
    }
}

static void test_memory__refused_allocations(void **state)
{
    (void)state;
    check_refusals("llama", "null", LLM_SOURCE_MAP);
    check_refusals("llama", "ref", LLM_SOURCE_READ);
    check_refusals("mixtral", "cpu", LLM_SOURCE_MAP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory__plan_is_exact),
        cmocka_unit_test(test_memory__budget_is_hard),
        cmocka_unit_test(test_memory__engines_share_the_budget),
        cmocka_unit_test(test_memory__decoding_allocates_nothing),
        cmocka_unit_test(test_memory__refused_allocations),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
