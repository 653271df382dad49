/* test_chain_state.c - saved state goes on as if nothing had happened, and damaged state is
 * refused. */
#include "sample/oracle.h"

#include <math.h>
#include <string.h>

enum { VOCAB = 50 };

static float logits[VOCAB];
static test_memory m;

static lm_chain *create(const char *last)
{
    lm_chain *chain;
    uint64_t random = 3;
    random_logits(&random, 0, logits, VOCAB);
    assert_ok(lm_chain_create(&m.alloc, &chain));
    assert_ok(lm_chain_reserve(chain, VOCAB));
    add(chain, "xtc", F("probability", 0.5), F("threshold", 0.05));
    assert_ok(lm_chain_add(chain, last, NULL, 0));
    return chain;
}

static int32_t step(lm_chain *chain)
{
    int32_t token;
    assert_ok(lm_chain_pick(chain, logits, VOCAB, NULL, 0, NULL, &token));
    lm_chain_accept(chain, token);
    return token;
}

static void continue_identically(const char *last)
{
    unsigned char saved[128], again[128];
    int32_t wanted[100];
    test_memory_init(&m);
    lm_chain *chain = create(last);
    lm_chain_seed(chain, 1234567890123u);
    for (int i = 0; i < 37; i++)
        step(chain);
    size_t size = lm_chain_state_size(chain);
    assert_in_range(size, 32, sizeof saved);
    lm_chain_state_save(chain, saved);
    for (int i = 0; i < 100; i++)
        wanted[i] = step(chain);
    lm_chain_destroy(chain);
    chain = create(last);
    assert_ok(lm_chain_state_load(chain, saved, size));
    lm_chain_state_save(chain, again);
    assert_memory_equal(saved, again, size);
    for (int i = 0; i < 100; i++)
        assert_int_equal(step(chain), wanted[i]);
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static void test_chain_state__continues_identically(void **state)
{
    (void)state;
    continue_identically("dist");
    continue_identically("mirostat");
    continue_identically("mirostat-2");
}

static void test_chain_state__refuses_damage(void **state)
{
    (void)state;
    unsigned char saved[128], damaged[128], after[128];
    test_memory_init(&m);
    lm_chain *chain = create("mirostat"), *other = create("mirostat-2"), *longer = create("dist");
    assert_ok(lm_chain_add(longer, "mirostat", NULL, 0));
    step(chain);
    size_t size = lm_chain_state_size(chain);
    lm_chain_state_save(chain, saved);
    assert_status(lm_chain_state_load(other, saved, size), LLM_E_MISMATCH);
    assert_status(lm_chain_state_load(longer, saved, size), LLM_E_MISMATCH);
    for (size_t cut = 0; cut < size; cut++)
        assert_status(lm_chain_state_load(chain, saved, cut), LLM_E_FORMAT);
    assert_status(lm_chain_state_load(chain, saved, size + 1), LLM_E_FORMAT);
    memcpy(damaged, saved, size);
    damaged[0] ^= 0x40;
    assert_status(lm_chain_state_load(chain, damaged, size), LLM_E_UNSUPPORTED);
    memcpy(damaged, saved, size);
    double infinite = INFINITY;
    memcpy(damaged + size - sizeof infinite, &infinite, sizeof infinite);
    damaged[24] ^= 1;
    assert_status(lm_chain_state_load(chain, damaged, size), LLM_E_FORMAT);
    lm_chain_state_save(chain, after);
    assert_memory_equal(saved, after, size);
    lm_chain_destroy(chain);
    lm_chain_destroy(other);
    lm_chain_destroy(longer);
    test_memory_check(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_state__continues_identically),
        cmocka_unit_test(test_chain_state__refuses_damage),
    };
    return cmocka_run_group_tests_name("chain_state", tests, NULL, NULL);
}
