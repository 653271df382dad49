/* test_sampler_host.c - samplers written by the host: what they see, what they may do, who owns
 * them. */
#include "sample/oracle.h"

#include <math.h>
#include <string.h>

static test_memory m;
static const float four[] = {0.5f, 2.0f, 1.0f, -1.0f};

typedef struct probe {
    int clones, destroys, accepts, resets, applies;
    int32_t last_accepted, answer;
    uint64_t seen_count, pick;
    float write[4]; /* added to the logits */
    bool swap, refuse_clone;
} probe;

static int32_t probe_apply(void *user, llm_candidate *candidates, uint64_t count, uint64_t *chosen)
{
    probe *p = user;
    assert_true(*chosen == UINT64_MAX);
    p->applies++;
    p->seen_count = count;
    for (uint64_t i = 0; i < count; i++)
        candidates[i].logit += p->write[candidates[i].id];
    if (p->swap) {
        llm_candidate first = candidates[0];
        candidates[0] = candidates[1];
        candidates[1] = first;
    }
    *chosen = p->pick;
    return p->answer;
}

static void probe_accept(void *user, llm_token token)
{
    probe *p = user;
    p->accepts++;
    p->last_accepted = token;
}

static void probe_reset(void *user)
{
    ((probe *)user)->resets++;
}

static void *probe_clone(void *user)
{
    probe *p = user;
    p->clones++;
    return p->refuse_clone ? NULL : p;
}

static void probe_destroy(void *user)
{
    ((probe *)user)->destroys++;
}

static const llm_sampler_class whole = {sizeof(llm_sampler_class),
                                        0,
                                        probe_apply,
                                        probe_accept,
                                        probe_reset,
                                        probe_clone,
                                        probe_destroy};

static lm_chain *create(probe *p)
{
    lm_chain *chain;
    test_memory_init(&m);
    assert_ok(lm_chain_create(&m.alloc, &chain));
    assert_ok(lm_chain_add_host(chain, &whole, p));
    assert_ok(lm_chain_reserve(chain, 4));
    return chain;
}

static int32_t pick(lm_chain *chain, int32_t *token)
{
    return lm_chain_pick(chain, four, 4, NULL, 0, NULL, token);
}

static void test_sampler_host__picks(void **state)
{
    (void)state;
    probe p = {.pick = 2};
    lm_chain *chain = create(&p);
    int32_t token;
    assert_ok(pick(chain, &token));
    assert_int_equal(token, 2);
    assert_int_equal(p.seen_count, 4);
    lm_chain_accept(chain, 3);
    assert_int_equal(p.last_accepted, 3);
    lm_chain_reset(chain);
    assert_int_equal(p.resets, 1);
    lm_chain_destroy(chain);
    assert_int_equal(p.destroys, 1);
    test_memory_check(&m);
}

static void test_sampler_host__masks(void **state)
{
    (void)state;
    probe p = {.pick = UINT64_MAX, .write = {0, -INFINITY, 0, 0}};
    lm_chain *chain = create(&p);
    assert_ok(lm_chain_add(chain, "greedy", NULL, 0));
    int32_t token;
    assert_ok(pick(chain, &token));
    assert_int_equal(token, 2);
    p.write[3] = 9.0f;
    assert_ok(pick(chain, &token));
    assert_int_equal(token, 3);
    for (int i = 0; i < 4; i++)
        p.write[i] = -INFINITY;
    assert_status(pick(chain, &token), LLM_E_NUMERIC);
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static void test_sampler_host__misbehaviour(void **state)
{
    (void)state;
    probe p = {.pick = 4};
    lm_chain *chain = create(&p);
    int32_t token = 55;
    assert_status(pick(chain, &token), LLM_E_INVALID);
    p = (probe){.pick = 1, .write = {0, -INFINITY, 0, 0}};
    assert_status(pick(chain, &token), LLM_E_INVALID);
    p = (probe){.pick = 1, .write = {0, NAN, 0, 0}};
    assert_status(pick(chain, &token), LLM_E_NUMERIC);
    p = (probe){.pick = 1, .write = {INFINITY, 0, 0, 0}};
    assert_status(pick(chain, &token), LLM_E_NUMERIC);
    p = (probe){.pick = 1, .swap = true};
    assert_status(pick(chain, &token), LLM_E_INVALID);
    p = (probe){.pick = 1, .answer = LLM_E_LIMIT};
    assert_status(pick(chain, &token), LLM_E_LIMIT);
    assert_non_null(strstr(llm_last_error(), "LLM_E_LIMIT"));
    p = (probe){.pick = 1, .answer = -4711};
    assert_status(pick(chain, &token), -4711);
    assert_int_equal(token, 55);
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static void test_sampler_host__classes(void **state)
{
    (void)state;
    probe p = {0};
    lm_chain *chain = create(&p);
    llm_sampler_class bad = whole;
    bad.apply = NULL;
    assert_status(lm_chain_add_host(chain, &bad, &p), LLM_E_INVALID);
    assert_status(lm_chain_add_host(chain, NULL, &p), LLM_E_INVALID);
    bad = whole;
    bad.struct_size = 0;
    assert_status(lm_chain_add_host(chain, &bad, &p), LLM_E_INVALID);
    bad = whole;
    bad.reserved = 1;
    assert_status(lm_chain_add_host(chain, &bad, &p), LLM_E_UNSUPPORTED);
    assert_int_equal(p.destroys, 0);
    lm_chain_destroy(chain);
    assert_int_equal(p.destroys, 1);
    test_memory_check(&m);
}

static void test_sampler_host__clones(void **state)
{
    (void)state;
    probe p = {.pick = 1};
    lm_chain *chain = create(&p), *copy;
    assert_ok(lm_chain_clone(chain, &copy));
    assert_int_equal(p.clones, 1);
    int32_t token;
    assert_ok(pick(copy, &token));
    lm_chain_destroy(chain);
    lm_chain_destroy(copy);
    assert_int_equal(p.destroys, 2);
    test_memory_check(&m);
    p = (probe){.refuse_clone = true};
    chain = create(&p);
    assert_status(lm_chain_clone(chain, &copy), LLM_E_MEMORY);
    assert_int_equal(p.destroys, 0);
    lm_chain_destroy(chain);
    assert_int_equal(p.destroys, 1);
    test_memory_check(&m);
}

static void test_sampler_host__is_shared_without_clone(void **state)
{
    (void)state;
    probe p = {.pick = 1};
    llm_sampler_class sharing = whole;
    sharing.clone = NULL;
    lm_chain *chain, *copy, *third;
    test_memory_init(&m);
    assert_ok(lm_chain_create(&m.alloc, &chain));
    assert_ok(lm_chain_add_host(chain, &sharing, &p));
    assert_ok(lm_chain_clone(chain, &copy));
    lm_chain_destroy(chain);
    assert_int_equal(p.destroys, 0);
    assert_ok(lm_chain_clone(copy, &third));
    lm_chain_destroy(copy);
    lm_chain_accept(third, 1);
    assert_int_equal(p.accepts, 1);
    assert_int_equal(p.destroys, 0);
    lm_chain_destroy(third);
    assert_int_equal(p.destroys, 1);
    test_memory_check(&m);
}

static void test_sampler_host__only_apply(void **state)
{
    (void)state;
    probe p = {.pick = 3};
    llm_sampler_class bare = {.struct_size = sizeof bare, .apply = probe_apply};
    lm_chain *chain, *copy;
    int32_t token;
    test_memory_init(&m);
    assert_ok(lm_chain_create(&m.alloc, &chain));
    assert_ok(lm_chain_reserve(chain, 4));
    assert_ok(lm_chain_add_host(chain, &bare, &p)); /* after reserve: room is made at once */
    assert_ok(pick(chain, &token));
    assert_int_equal(token, 3);
    lm_chain_accept(chain, token);
    lm_chain_reset(chain);
    assert_ok(lm_chain_clone(chain, &copy));
    uint64_t calls = m.alloc.calls;
    assert_ok(pick(copy, &token));
    assert_int_equal(m.alloc.calls, calls);
    lm_chain_destroy(chain);
    lm_chain_destroy(copy);
    test_memory_check(&m);
}

static void test_sampler_host__out_of_memory_leaves_user_alone(void **state)
{
    (void)state;
    probe p = {0};
    test_memory_init(&m);
    lm_chain *chain;
    assert_ok(lm_chain_create(&m.alloc, &chain));
    assert_ok(lm_chain_reserve(chain, 4));
    uint64_t failures = 0;
    for (uint64_t i = 1; i < 20; i++) {
        m.fail_at = m.calls + i;
        int32_t rc = lm_chain_add_host(chain, &whole, &p);
        if (rc == LLM_OK)
            break;
        assert_int_equal(rc, LLM_E_MEMORY);
        assert_int_equal(p.destroys, 0);
        failures++;
    }
    assert_true(failures >= 3);
    lm_chain_destroy(chain);
    assert_int_equal(p.destroys, 1);
    test_memory_check(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sampler_host__picks),
        cmocka_unit_test(test_sampler_host__masks),
        cmocka_unit_test(test_sampler_host__misbehaviour),
        cmocka_unit_test(test_sampler_host__classes),
        cmocka_unit_test(test_sampler_host__clones),
        cmocka_unit_test(test_sampler_host__is_shared_without_clone),
        cmocka_unit_test(test_sampler_host__only_apply),
        cmocka_unit_test(test_sampler_host__out_of_memory_leaves_user_alone),
    };
    return cmocka_run_group_tests_name("sampler_host", tests, NULL, NULL);
}
