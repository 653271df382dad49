/* test_sampler.c - llm_sampler.h as a host uses it: building, picking, wrong arguments, second
 * threads, refused memory. */
#include "support/support.h"

#include <llm/llm.h>

#include <math.h>

static const float four[] = {0.5f, 2.0f, 2.0f, -1.0f};

static test_memory m;

static llm_runtime *runtime(void)
{
    llm_runtime *rt;
    test_memory_init(&m);
    llm_runtime_params params = {.struct_size = sizeof params};
    params.allocator = test_memory_host(&m);
    assert_ok(llm_runtime_create(&params, &rt));
    return rt;
}

static void test_sampler__names(void **state)
{
    (void)state;
    uint32_t n = 0;
    assert_string_equal(llm_sampler_name_at(0), "greedy");
    while (llm_sampler_name_at(n) != NULL)
        n++;
    assert_int_equal(n, 14);
    assert_null(llm_sampler_name_at(UINT32_MAX));
}

static void test_sampler__own_loop(void **state)
{
    (void)state;
    llm_runtime *rt = runtime();
    llm_sampler *s;
    llm_token token, first[20];
    assert_ok(llm_sampler_create(rt, &s));
    llm_runtime_destroy(rt); /* the sampler keeps it */
    assert_ok(llm_sampler_pick(s, NULL, four, 4, NULL, 0, &token));
    assert_int_equal(token, 1);
    llm_param temp = {"temp", LLM_KIND_FLOAT, 0, {.f = 1.5}};
    assert_ok(llm_sampler_add(s, "penalties", NULL, 0));
    assert_ok(llm_sampler_add(s, "dry", NULL, 0));
    assert_ok(llm_sampler_add(s, "temperature", &temp, 1));
    assert_ok(llm_sampler_seed(s, 17));
    for (int pass = 0; pass < 2; pass++) {
        uint64_t calls = 0;
        assert_ok(llm_sampler_reset(s));
        for (uint64_t i = 0; i < 20; i++) {
            assert_ok(llm_sampler_pick(s, NULL, four, 4, first, i, &token));
            if (pass == 0)
                first[i] = token;
            assert_int_equal(token, first[i]);
            calls = i == 0 ? m.calls : calls;
        }
        assert_int_equal(m.calls, calls);
    }
    llm_sampler_destroy(s);
    test_memory_check(&m);
}

static void test_sampler__wrong_arguments(void **state)
{
    (void)state;
    llm_runtime *rt = runtime();
    llm_sampler *s;
    llm_token token = 9;
    float bad[] = {NAN, 0};
    assert_status(llm_sampler_create(NULL, &s), LLM_E_INVALID);
    assert_status(llm_sampler_create(rt, NULL), LLM_E_INVALID);
    assert_ok(llm_sampler_create(rt, &s));
    assert_status(llm_sampler_add(NULL, "greedy", NULL, 0), LLM_E_INVALID);
    assert_status(llm_sampler_add(s, NULL, NULL, 0), LLM_E_INVALID);
    assert_status(llm_sampler_add(s, "greedy", NULL, 1), LLM_E_INVALID);
    assert_status(llm_sampler_add(s, "gready", NULL, 0), LLM_E_NOT_FOUND);
    assert_status(llm_sampler_add_host(s, NULL, NULL), LLM_E_INVALID);
    assert_status(llm_sampler_seed(NULL, 1), LLM_E_INVALID);
    assert_status(llm_sampler_reset(NULL), LLM_E_INVALID);
    assert_status(llm_sampler_pick(s, NULL, NULL, 4, NULL, 0, &token), LLM_E_INVALID);
    assert_status(llm_sampler_pick(s, NULL, four, 0, NULL, 0, &token), LLM_E_INVALID);
    assert_status(llm_sampler_pick(s, NULL, four, UINT32_MAX, NULL, 0, &token), LLM_E_INVALID);
    assert_status(llm_sampler_pick(s, NULL, four, 4, NULL, 1, &token), LLM_E_INVALID);
    assert_status(llm_sampler_pick(s, NULL, four, 4, &token, UINT64_MAX, &token), LLM_E_INVALID);
    assert_status(llm_sampler_pick(s, NULL, four, 4, NULL, 0, NULL), LLM_E_INVALID);
    assert_status(llm_sampler_pick(s, NULL, bad, 2, NULL, 0, &token), LLM_E_NUMERIC);
    assert_int_equal(token, 9);
    assert_ok(llm_sampler_pick(s, NULL, four, 4, NULL, 0, &token));
    assert_int_equal(token, 1);
    llm_sampler_destroy(s);
    llm_sampler_destroy(NULL);
    llm_runtime_destroy(rt);
    test_memory_check(&m);
}

/* A sampler of the host that uses its own chain while it runs, as a second thread would. */
static int32_t reenter(void *user, llm_candidate *candidates, uint64_t count, uint64_t *chosen)
{
    llm_token token;
    (void)candidates;
    (void)count;
    assert_status(llm_sampler_pick(user, NULL, four, 4, NULL, 0, &token), LLM_E_BUSY);
    assert_status(llm_sampler_seed(user, 4), LLM_E_BUSY);
    *chosen = 3;
    return LLM_OK;
}

static void test_sampler__serves_one_at_a_time(void **state)
{
    (void)state;
    llm_runtime *rt = runtime();
    llm_sampler *s;
    llm_token token;
    llm_sampler_class host = {.struct_size = sizeof host, .apply = reenter};
    assert_ok(llm_sampler_create(rt, &s));
    assert_ok(llm_sampler_add_host(s, &host, s));
    for (int i = 0; i < 2; i++) {
        assert_ok(llm_sampler_pick(s, NULL, four, 4, NULL, 0, &token));
        assert_int_equal(token, 3);
    }
    llm_sampler_destroy(s);
    llm_runtime_destroy(rt);
    test_memory_check(&m);
}

static int32_t build_and_pick(llm_runtime *rt)
{
    llm_sampler *s = NULL;
    llm_token token;
    int32_t rc;
    LM_GO(llm_sampler_create(rt, &s));
    LM_GO(llm_sampler_add(s, "top-k", NULL, 0));
    LM_GO(llm_sampler_add(s, "dry", NULL, 0));
    LM_GO(llm_sampler_pick(s, NULL, four, 4, NULL, 0, &token));
out:
    llm_sampler_destroy(s);
    return rc;
}

static void test_sampler__every_allocation_may_fail(void **state)
{
    (void)state;
    llm_runtime *rt = runtime();
    uint64_t before = m.calls;
    assert_ok(build_and_pick(rt));
    uint64_t calls = m.calls - before, live = m.live_blocks;
    assert_true(calls >= 8);
    for (uint64_t i = 1; i <= calls; i++) {
        m.fail_at = m.calls + i;
        assert_status(build_and_pick(rt), LLM_E_MEMORY);
        assert_int_equal(m.live_blocks, live);
    }
    m.fail_at = 0;
    assert_ok(build_and_pick(rt));
    llm_runtime_destroy(rt);
    test_memory_check(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sampler__names),
        cmocka_unit_test(test_sampler__own_loop),
        cmocka_unit_test(test_sampler__wrong_arguments),
        cmocka_unit_test(test_sampler__serves_one_at_a_time),
        cmocka_unit_test(test_sampler__every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
