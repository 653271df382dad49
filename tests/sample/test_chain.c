/* test_chain.c - building, copying and running chains: names and parameters, numeric failures,
 * memory. */
#include "sample/oracle.h"

#include <math.h>
#include <string.h>

static const float four[] = {0.5f, 2.0f, 2.0f, -1.0f};

static test_memory m;

static lm_chain *create(void)
{
    lm_chain *chain;
    test_memory_init(&m);
    assert_ok(lm_chain_create(&m.alloc, &chain));
    assert_ok(lm_chain_reserve(chain, 4));
    return chain;
}

static void destroy(lm_chain *chain)
{
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static int32_t pick(lm_chain *chain, const float *logits, uint32_t n)
{
    int32_t token = -1;
    assert_ok(lm_chain_pick(chain, logits, n, NULL, 0, NULL, &token));
    return token;
}

static void test_chain__names(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "greedy",      "dist", "temperature", "top-k",     "top-p",      "min-p",    "typical",
        "top-n-sigma", "xtc",  "dry",         "penalties", "logit-bias", "mirostat", "mirostat-2"};
    for (uint32_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        assert_non_null(lm_sampler_class_by_name(wanted[i]));
    lm_chain *chain = create();
    const lm_sampler_class *class_;
    uint32_t count = 0;
    for (; (class_ = lm_sampler_class_at(count)) != NULL; count++) {
        assert_ptr_equal(lm_sampler_class_by_name(class_->name), class_);
        assert_ok(lm_chain_add(chain, class_->name, NULL, 0)); /* defaults must do */
    }
    assert_int_equal(count, sizeof wanted / sizeof wanted[0]);
    assert_null(lm_sampler_class_by_name("host"));
    assert_status(lm_chain_add(chain, "topk", NULL, 0), LLM_E_NOT_FOUND);
    assert_string_equal(llm_last_error(),
                        "there is no sampler 'topk'; llm_sampler_name_at lists them");
    destroy(chain);
}

static void test_chain__greedy(void **state)
{
    (void)state;
    lm_chain *chain = create();
    assert_int_equal(pick(chain, four, 4), 1); /* empty chain, lowest id among equals */
    assert_ok(lm_chain_add(chain, "greedy", NULL, 0));
    assert_int_equal(pick(chain, four, 4), 1);
    assert_int_equal(pick(chain, four + 2, 2), 0);
    destroy(chain);
}

static void test_chain__a_pick_ends_the_chain(void **state)
{
    (void)state;
    lm_chain *chain = create();
    assert_ok(lm_chain_add(chain, "greedy", NULL, 0));
    llm_token tokens[] = {0, 1, 2, 3};
    float bias[] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    llm_param params[] = {{"tokens", LLM_KIND_TOKENS, 4, {.p = tokens}},
                          {"bias", LLM_KIND_FLOATS, 4, {.p = bias}}};
    assert_ok(lm_chain_add(chain, "logit-bias", params, 2));
    assert_int_equal(pick(chain, four, 4), 1);
    destroy(chain);
}

static void test_chain__numeric_failures(void **state)
{
    (void)state;
    float bad[4];
    int32_t token = 77;
    lm_chain *chain = create();
    for (int sampled = 0; sampled < 2; sampled++) {
        memcpy(bad, four, sizeof bad);
        bad[2] = NAN;
        assert_status(lm_chain_pick(chain, bad, 4, NULL, 0, NULL, &token), LLM_E_NUMERIC);
        assert_non_null(strstr(llm_last_error(), "token 2 is NaN"));
        bad[2] = INFINITY;
        assert_status(lm_chain_pick(chain, bad, 4, NULL, 0, NULL, &token), LLM_E_NUMERIC);
        assert_non_null(strstr(llm_last_error(), "token 2 is +Inf"));
        for (int i = 0; i < 4; i++)
            bad[i] = -INFINITY;
        assert_status(lm_chain_pick(chain, bad, 4, NULL, 0, NULL, &token), LLM_E_NUMERIC);
        assert_non_null(strstr(llm_last_error(), "all 4 logits are -Inf"));
        assert_status(lm_chain_pick(chain, bad, 0, NULL, 0, NULL, &token), LLM_E_NUMERIC);
        bad[3] = -3e38f;
        assert_int_equal(pick(chain, bad, 4), 3);
        assert_ok(lm_chain_add(chain, "dist", NULL, 0));
    }
    assert_int_equal(token, 77);
    assert_status(lm_chain_pick(chain, four, 5, NULL, 0, NULL, &token), LLM_E_INTERNAL);
    destroy(chain);
}

static void test_chain__everything_forbidden(void **state)
{
    (void)state;
    llm_token tokens[] = {0, 1, 2, 3};
    float bias[] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    llm_param params[] = {{"tokens", LLM_KIND_TOKENS, 4, {.p = tokens}},
                          {"bias", LLM_KIND_FLOATS, 4, {.p = bias}}};
    int32_t token;
    lm_chain *chain = create();
    assert_ok(lm_chain_add(chain, "logit-bias", params, 2));
    assert_ok(lm_chain_add(chain, "temperature", NULL, 0));
    assert_status(lm_chain_pick(chain, four, 4, NULL, 0, NULL, &token), LLM_E_NUMERIC);
    assert_string_equal(llm_last_error(), "the sampler 'logit-bias' has removed every candidate");
    destroy(chain);
}

/* Every parameter of every sampler, from its own table: below, above, NaN, the wrong kind. */
static void test_chain__bad_parameters(void **state)
{
    (void)state;
    lm_chain *chain = create();
    assert_ok(lm_chain_add(chain, "greedy", NULL, 0));
    const lm_sampler_class *class_;
    for (uint32_t i = 0; (class_ = lm_sampler_class_at(i)) != NULL; i++) {
        llm_param unknown = I("no_such_key", 1);
        assert_status(lm_chain_add(chain, class_->name, &unknown, 1), LLM_E_INVALID);
        assert_non_null(strstr(llm_last_error(), class_->name));
        for (uint32_t r = 0; r < class_->n_rows; r++) {
            const lm_param_row *row = &class_->rows[r];
            llm_param wrong = {row->key, LLM_KIND_BOOL, 0, {.i = 1}};
            assert_status(lm_chain_add(chain, class_->name, &wrong, 1), LLM_E_INVALID);
            if (row->kind != LLM_KIND_INT && row->kind != LLM_KIND_FLOAT)
                continue;
            assert_true(row->min < row->max); /* every number has a range */
            llm_param below = I(row->key, (int64_t)row->min - 1);
            llm_param above = I(row->key, (int64_t)row->max + 1);
            llm_param twice[] = {I(row->key, (int64_t)row->max), I(row->key, (int64_t)row->max)};
            assert_status(lm_chain_add(chain, class_->name, &below, 1), LLM_E_INVALID);
            assert_status(lm_chain_add(chain, class_->name, &above, 1), LLM_E_INVALID);
            assert_status(lm_chain_add(chain, class_->name, twice, 2), LLM_E_INVALID);
            llm_param nan = F(row->key, NAN), infinite = F(row->key, INFINITY);
            assert_status(lm_chain_add(chain, class_->name, &nan, 1), LLM_E_INVALID);
            assert_status(lm_chain_add(chain, class_->name, &infinite, 1), LLM_E_INVALID);
        }
    }
    assert_int_equal(pick(chain, four, 4), 1); /* still the one greedy sampler */
    assert_int_equal(lm_chain_state_size(chain), 32);
    destroy(chain);
}

static void test_chain__logit_bias_parameters(void **state)
{
    (void)state;
    llm_token tokens[] = {0, -1};
    float bias[] = {1.0f, NAN}, infinite[] = {INFINITY};
    llm_param lengths[] = {{"tokens", LLM_KIND_TOKENS, 2, {.p = tokens}},
                           {"bias", LLM_KIND_FLOATS, 1, {.p = bias}}};
    llm_param negative[] = {{"tokens", LLM_KIND_TOKENS, 1, {.p = tokens + 1}},
                            {"bias", LLM_KIND_FLOATS, 1, {.p = bias}}};
    llm_param nan[] = {{"tokens", LLM_KIND_TOKENS, 1, {.p = tokens}},
                       {"bias", LLM_KIND_FLOATS, 1, {.p = bias + 1}}};
    llm_param inf[] = {{"tokens", LLM_KIND_TOKENS, 1, {.p = tokens}},
                       {"bias", LLM_KIND_FLOATS, 1, {.p = infinite}}};
    lm_chain *chain = create();
    assert_status(lm_chain_add(chain, "logit-bias", lengths, 2), LLM_E_INVALID);
    assert_status(lm_chain_add(chain, "logit-bias", negative, 2), LLM_E_INVALID);
    assert_status(lm_chain_add(chain, "logit-bias", nan, 2), LLM_E_INVALID);
    assert_status(lm_chain_add(chain, "logit-bias", inf, 2), LLM_E_INVALID);
    destroy(chain);
}

/* One of each that does not pick, with parameters that need memory of their own. */
static int32_t add_all(lm_chain *chain)
{
    static const llm_token tokens[] = {0, 2};
    static const float bias[] = {1.0f, -1.0f};
    llm_param params[] = {{"tokens", LLM_KIND_TOKENS, 2, {.p = tokens}},
                          {"bias", LLM_KIND_FLOATS, 2, {.p = bias}}};
    LM_TRY(lm_chain_add(chain, "logit-bias", params, 2));
    static const char *const names[] = {"penalties",   "dry",       "top-n-sigma", "top-k",
                                        "typical",     "top-p",     "min-p",       "xtc",
                                        "temperature", "mirostat-2"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        LM_TRY(lm_chain_add(chain, names[i], NULL, 0));
    return LLM_OK;
}

static int32_t whole_life(lm_allocator *alloc)
{
    static const int32_t history[] = {1, 2, 1, 2, 1, 2};
    lm_chain *chain = NULL, *copy = NULL;
    int32_t rc, token;
    LM_GO(lm_chain_create(alloc, &chain));
    LM_GO(add_all(chain));
    LM_GO(lm_chain_reserve(chain, 4));
    LM_GO(lm_chain_clone(chain, &copy));
    LM_GO(add_all(copy));
    uint64_t calls = alloc->calls;
    for (int i = 0; i < 50; i++) {
        LM_GO(lm_chain_pick(copy, four, 4, history, 6, NULL, &token));
        lm_chain_accept(copy, token);
    }
    assert_int_equal(alloc->calls, calls); /* picking allocates nothing */
    rc = LLM_OK;
out:
    lm_chain_destroy(copy);
    lm_chain_destroy(chain);
    return rc;
}

static void test_chain__every_allocation_may_fail(void **state)
{
    (void)state;
    test_memory_init(&m);
    assert_ok(whole_life(&m.alloc));
    uint64_t calls = m.calls;
    assert_true(calls > 40);
    for (uint64_t i = 1; i <= calls; i++) {
        test_memory_init(&m);
        m.fail_at = i;
        m.fail_after = i % 2 == 0;
        assert_status(whole_life(&m.alloc), LLM_E_MEMORY);
        test_memory_check(&m);
    }
}

static void test_chain__failed_calls_change_nothing(void **state)
{
    (void)state;
    lm_chain *chain = create();
    assert_ok(lm_chain_add(chain, "greedy", NULL, 0));
    for (int i = 1; i <= 2; i++) {
        m.fail_at = m.calls + (uint64_t)i;
        assert_status(lm_chain_reserve(chain, 1000), LLM_E_MEMORY);
        assert_int_equal(pick(chain, four, 4), 1);
    }
    m.fail_at = m.calls + 1;
    assert_status(lm_chain_add(chain, "dry", NULL, 0), LLM_E_MEMORY);
    m.fail_at = 0;
    assert_int_equal(pick(chain, four, 4), 1);
    destroy(chain);
}

static void test_chain__clone_is_independent(void **state)
{
    (void)state;
    lm_chain *chain = create(), *copy;
    lm_chain_seed(chain, 31);
    assert_ok(add_all(chain));
    for (int i = 0; i < 5; i++)
        lm_chain_accept(chain, pick(chain, four, 4));
    assert_ok(lm_chain_clone(chain, &copy));
    int32_t first[50];
    for (int i = 0; i < 50; i++) {
        first[i] = pick(chain, four, 4);
        lm_chain_accept(chain, first[i]);
    }
    lm_chain_destroy(chain);
    for (int i = 0; i < 50; i++) { /* the same future, untouched by the other's */
        int32_t token = pick(copy, four, 4);
        assert_int_equal(token, first[i]);
        lm_chain_accept(copy, token);
    }
    destroy(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain__names),
        cmocka_unit_test(test_chain__greedy),
        cmocka_unit_test(test_chain__a_pick_ends_the_chain),
        cmocka_unit_test(test_chain__numeric_failures),
        cmocka_unit_test(test_chain__everything_forbidden),
        cmocka_unit_test(test_chain__bad_parameters),
        cmocka_unit_test(test_chain__logit_bias_parameters),
        cmocka_unit_test(test_chain__every_allocation_may_fail),
        cmocka_unit_test(test_chain__failed_calls_change_nothing),
        cmocka_unit_test(test_chain__clone_is_independent),
    };
    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
