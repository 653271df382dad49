/* test_draws.c - what is drawn, against exact distributions computed here; and that a draw depends
 * on seed and number alone. */
#include "sample/oracle.h"

#include "base/bytes.h"

#include <math.h>
#include <string.h>

enum { DRAWS = 100000, VOCAB = 60 };

static float logits[VOCAB];
static oracle o;
static double p[ORACLE_MAX];
static uint32_t counts[VOCAB];
static test_memory m;

static lm_chain *begin(uint64_t random_seed, double width)
{
    uint64_t random = random_seed;
    for (size_t i = 0; i < VOCAB; i++)
        logits[i] = (float)(width * test_random_normal(&random));
    logits[17] = -INFINITY;
    test_memory_init(&m);
    oracle_load(&o, logits, VOCAB);
    lm_chain *chain;
    assert_ok(lm_chain_create(&m.alloc, &chain));
    assert_ok(lm_chain_reserve(chain, VOCAB));
    return chain;
}

/* Draws many times and compares with what the oracle was left with. */
static void finish(lm_chain *chain)
{
    memset(counts, 0, sizeof counts);
    for (int i = 0; i < DRAWS; i++) {
        int32_t token;
        assert_ok(lm_chain_pick(chain, logits, VOCAB, NULL, 0, NULL, &token));
        counts[token]++;
        lm_chain_accept(chain, token);
    }
    oracle_softmax(&o, p);
    assert_distribution(counts, p, VOCAB, DRAWS);
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static void test_draws__dist(void **state)
{
    (void)state;
    lm_chain *chain = begin(1, 1.5);
    assert_ok(lm_chain_add(chain, "dist", NULL, 0));
    finish(chain);
}

static void test_draws__seed_moves_everything(void **state)
{
    (void)state;
    lm_chain *chain = begin(1, 1.5);
    lm_chain_seed(chain, 0x123456789abcdefu);
    assert_ok(lm_chain_add(chain, "dist", NULL, 0));
    finish(chain);
}

static void test_draws__temperature(void **state)
{
    (void)state;
    lm_chain *chain = begin(2, 1.5);
    add(chain, "temperature", F("temp", 1.7));
    oracle_temperature(&o, 1.7, 0, 1);
    finish(chain);
}

static void test_draws__truncated(void **state)
{
    (void)state;
    lm_chain *chain = begin(3, 1.0);
    add(chain, "top-k", I("k", 25));
    oracle_top_k(&o, 25);
    add(chain, "top-p", F("p", 0.8));
    oracle_top_p(&o, 0.8, 1);
    finish(chain);
}

static void test_draws__typical(void **state)
{
    (void)state;
    lm_chain *chain = begin(4, 2.0);
    add(chain, "typical", F("p", 0.7));
    oracle_typical(&o, 0.7, 1);
    finish(chain);
}

/* With xtc the distribution is the mixture of the cut and the whole one. */
static void test_draws__xtc_mixture(void **state)
{
    (void)state;
    static double whole[ORACLE_MAX];
    lm_chain *chain = begin(5, 1.5);
    add(chain, "xtc", F("probability", 0.3), F("threshold", 0.05));
    oracle_softmax(&o, whole);
    oracle_xtc(&o, 0.05, 1);
    oracle_softmax(&o, p);
    assert_true(oracle_count(&o) < VOCAB - 2);
    for (size_t i = 0; i < VOCAB; i++)
        p[i] = 0.3 * p[i] + 0.7 * whole[i];
    memset(counts, 0, sizeof counts);
    for (int i = 0; i < DRAWS; i++) {
        int32_t token;
        assert_ok(lm_chain_pick(chain, logits, VOCAB, NULL, 0, NULL, &token));
        counts[token]++;
        lm_chain_accept(chain, token);
    }
    assert_distribution(counts, p, VOCAB, DRAWS);
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static double saved_mu(const lm_chain *chain)
{
    unsigned char bytes[64];
    double mu;
    assert_int_equal(lm_chain_state_size(chain), 40);
    lm_chain_state_save(chain, bytes);
    memcpy(&mu, bytes + 32, sizeof mu);
    return mu;
}

/* eta 0 freezes mu at 2 tau, so that the distribution stands still. */
static void test_draws__mirostat_with_fixed_mu(void **state)
{
    (void)state;
    lm_chain *chain = begin(6, 2.0);
    add(chain, "mirostat", F("tau", 3.25), F("eta", 0), I("m", 30));
    double k = oracle_mirostat_k(&o, 6.5, 30);
    assert_true(k > 2.0 && k < VOCAB - 2.0);
    oracle_top_k(&o, (size_t)k);
    finish(chain);
}

static void test_draws__mirostat_2_with_fixed_mu(void **state)
{
    (void)state;
    lm_chain *chain = begin(7, 2.0);
    add(chain, "mirostat-2", F("tau", 1.75), F("eta", 0));
    oracle_mirostat_2(&o, 3.5);
    assert_true(oracle_count(&o) > 2 && oracle_count(&o) < VOCAB - 2);
    finish(chain);
}

/* Follows mu by hand: each accepted token moves it by eta times the error of its surprise. */
static void follow_mu(const char *name, void (*truncate)(double mu))
{
    lm_chain *chain = begin(8, 2.0);
    add(chain, name, F("tau", 2.0), F("eta", 0.2));
    double mu = 4.0;
    assert_true(isnan(saved_mu(chain)));
    for (int i = 0; i < 200; i++) {
        int32_t token;
        assert_ok(lm_chain_pick(chain, logits, VOCAB, NULL, 0, NULL, &token));
        oracle_load(&o, logits, VOCAB);
        truncate(mu);
        oracle_softmax(&o, p);
        assert_true(p[token] > 0.0);
        mu -= 0.2 * (-log2(p[token]) - 2.0);
        lm_chain_accept(chain, token);
        assert_true(fabs(saved_mu(chain) - mu) < 1e-4);
    }
    int32_t token;
    assert_ok(lm_chain_pick(chain, logits, VOCAB, NULL, 0, NULL, &token));
    lm_chain_accept(chain, token == 0 ? 1 : 0); /* forced by the host: mu stays */
    assert_true(fabs(saved_mu(chain) - mu) < 1e-4);
    lm_chain_accept(chain, token);
    assert_true(fabs(saved_mu(chain) - mu) < 1e-4);
    lm_chain_reset(chain);
    assert_true(isnan(saved_mu(chain)));
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static void truncate_1(double mu)
{
    double k = fmax(1.0, floor(oracle_mirostat_k(&o, mu, 100)));
    oracle_top_k(&o, (size_t)fmin(k, VOCAB));
}

static void truncate_2(double mu)
{
    oracle_mirostat_2(&o, mu);
}

static void test_draws__mirostat_mu_follows(void **state)
{
    (void)state;
    follow_mu("mirostat", truncate_1);
    follow_mu("mirostat-2", truncate_2);
}

/* The mean surprise settles at tau when the distribution allows it. */
static void test_draws__mirostat_2_holds_the_level(void **state)
{
    (void)state;
    lm_chain *chain = begin(9, 1.0);
    add(chain, "mirostat-2", F("tau", 2.5), F("eta", 0.1));
    double sum = 0.0;
    enum { N = 20000 };
    for (int i = 0; i < N; i++) {
        int32_t token;
        assert_ok(lm_chain_pick(chain, logits, VOCAB, NULL, 0, NULL, &token));
        double before = isnan(saved_mu(chain)) ? 5.0 : saved_mu(chain);
        lm_chain_accept(chain, token);
        sum += 2.5 - (saved_mu(chain) - before) / 0.1;
    }
    /* mu stays bounded, so the sum of errors telescopes: |mean - tau| <= range of mu / (eta N) */
    assert_true(fabs(sum / N - 2.5) < 0.01);
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static void test_draws__mirostat_on_odd_distributions(void **state)
{
    (void)state;
    static const float shapes[][4] = {{0, 0, 0, 0},
                                      {90, 0, 0, 0},
                                      {1, 1, -3e38f, -3e38f},
                                      {0, -0.6931472f, -1.0986123f, -1.3862944f}};
    static const char *const names[] = {"mirostat", "mirostat-2"};
    for (size_t i = 0; i < 8; i++) {
        test_memory_init(&m);
        lm_chain *chain;
        assert_ok(lm_chain_create(&m.alloc, &chain));
        assert_ok(lm_chain_add(chain, names[i % 2], NULL, 0));
        assert_ok(lm_chain_reserve(chain, 4));
        for (uint32_t n = 1; n <= 4; n++) {
            int32_t token = -1;
            assert_ok(lm_chain_pick(chain, shapes[i / 2], n, NULL, 0, NULL, &token));
            assert_in_range(token, 0, n - 1);
            lm_chain_accept(chain, token);
            assert_true(isfinite(saved_mu(chain)));
        }
        lm_chain_destroy(chain);
        test_memory_check(&m);
    }
}

/* Other calls, a repeated pick or another length of history change nothing. */
static void test_draws__depend_on_seed_and_number_alone(void **state)
{
    (void)state;
    int32_t first[200], token;
    for (int pass = 0; pass < 2; pass++) {
        lm_chain *chain = begin(10, 1.0);
        lm_chain_seed(chain, 99);
        add(chain, "xtc", F("probability", 0.5), F("threshold", 0.05));
        assert_ok(lm_chain_add(chain, "dist", NULL, 0));
        uint64_t random = 5;
        for (int i = 0; i < 200; i++) {
            int32_t history[3] = {1, 2, 3};
            for (uint64_t n = pass ? test_random(&random) % 3 : 0; n > 0; n--)
                assert_ok(lm_chain_pick(chain, logits, VOCAB, history, n, NULL, &token));
            assert_ok(lm_chain_pick(chain, logits, VOCAB, NULL, 0, NULL, &token));
            if (pass == 0)
                first[i] = token;
            assert_int_equal(token, first[i]);
            lm_chain_accept(chain, token);
        }
        lm_chain_reset(chain);
        assert_ok(lm_chain_pick(chain, logits, VOCAB, NULL, 0, NULL, &token));
        assert_int_equal(token, first[0]);
        lm_chain_destroy(chain);
        test_memory_check(&m);
    }
}

/* The final draw is the same number whether "dist" is written or implied, and however long the
 * chain. */
static void test_draws__final_draw_ignores_the_chain(void **state)
{
    (void)state;
    int32_t plain, implied, longer;
    lm_chain *a = begin(11, 1.0), *b, *c;
    assert_ok(lm_chain_clone(a, &b));
    assert_ok(lm_chain_clone(a, &c));
    assert_ok(lm_chain_add(a, "dist", NULL, 0));
    add(b, "top-k", I("k", 0));
    add(c, "top-k", I("k", 0));
    add(c, "min-p", F("p", 0));
    assert_ok(lm_chain_add(c, "dist", NULL, 0));
    for (int i = 0; i < 100; i++) {
        assert_ok(lm_chain_pick(a, logits, VOCAB, NULL, 0, NULL, &plain));
        assert_ok(lm_chain_pick(b, logits, VOCAB, NULL, 0, NULL, &implied));
        assert_ok(lm_chain_pick(c, logits, VOCAB, NULL, 0, NULL, &longer));
        assert_int_equal(plain, implied);
        assert_int_equal(plain, longer);
        lm_chain_accept(a, plain);
        lm_chain_accept(b, plain);
        lm_chain_accept(c, plain);
    }
    lm_chain_destroy(a);
    lm_chain_destroy(b);
    lm_chain_destroy(c);
    test_memory_check(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws__dist),
        cmocka_unit_test(test_draws__seed_moves_everything),
        cmocka_unit_test(test_draws__temperature),
        cmocka_unit_test(test_draws__truncated),
        cmocka_unit_test(test_draws__typical),
        cmocka_unit_test(test_draws__xtc_mixture),
        cmocka_unit_test(test_draws__mirostat_with_fixed_mu),
        cmocka_unit_test(test_draws__mirostat_2_with_fixed_mu),
        cmocka_unit_test(test_draws__mirostat_mu_follows),
        cmocka_unit_test(test_draws__mirostat_2_holds_the_level),
        cmocka_unit_test(test_draws__mirostat_on_odd_distributions),
        cmocka_unit_test(test_draws__depend_on_seed_and_number_alone),
        cmocka_unit_test(test_draws__final_draw_ignores_the_chain),
    };
    return cmocka_run_group_tests_name("draws", tests, NULL, NULL);
}
