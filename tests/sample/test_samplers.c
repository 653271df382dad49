/* test_samplers.c - every truncating and reshaping sampler against its definition, on random logits
 * of several shapes; edge values of the parameters. */
#include "sample/oracle.h"

#include <math.h>
#include <string.h>

static float logits[ORACLE_MAX];
static oracle o;
static shown s;
static int32_t history[300];

/* One random case: makes logits and a chain, lets `body` add the sampler and apply the oracle. */
typedef void (*body_fn)(lm_chain *chain, uint64_t *random);

static void compare_with_oracle(body_fn body, uint64_t seed)
{
    test_memory m;
    test_memory_init(&m);
    uint64_t random = seed;
    for (unsigned round = 0; round < 300; round++) {
        static const uint32_t sizes[] = {1, 2, 7, 60, 1100, 3000};
        uint32_t n = sizes[round % 6];
        lm_chain *chain;
        assert_ok(lm_chain_create(&m.alloc, &chain));
        random_logits(&random, round / 6 % ORACLE_KINDS, logits, n);
        for (size_t i = 0; i < 300; i++)
            history[i] = (int32_t)(test_random(&random) % n);
        oracle_load(&o, logits, n);
        body(chain, &random);
        show(chain, logits, n, history, 300, NULL, &s);
        assert_shown(&s, &o);
        lm_chain_destroy(chain);
    }
    test_memory_check(&m);
}

static size_t some_keep(uint64_t *random)
{
    static const size_t keeps[] = {0, 1, 1, 3, 50, 100000};
    return keeps[test_random(random) % 6];
}

static void temperature(lm_chain *chain, uint64_t *random)
{
    double temp = test_random_unit(random) * 2.0 + 0.1;
    add(chain, "temperature", F("temp", temp));
    oracle_temperature(&o, temp, 0.0, 1.0);
}

static void dynamic_temperature(lm_chain *chain, uint64_t *random)
{
    double temp = test_random_unit(random) * 2.0 + 0.2, exponent = test_random_unit(random) * 3.0;
    double range = test_random_unit(random) * 1.5 + 0.01;
    add(chain, "temperature", F("temp", temp), F("range", range), F("exponent", exponent));
    oracle_temperature(&o, temp, range, exponent);
}

static void top_k(lm_chain *chain, uint64_t *random)
{
    size_t k = 1 + test_random(random) % 100;
    add(chain, "top-k", I("k", (int64_t)k));
    oracle_top_k(&o, k);
}

static void top_p(lm_chain *chain, uint64_t *random)
{
    double p = test_random_unit(random);
    size_t min_keep = some_keep(random);
    add(chain, "top-p", F("p", p), I("min_keep", (int64_t)min_keep));
    oracle_top_p(&o, p, min_keep);
}

static void min_p(lm_chain *chain, uint64_t *random)
{
    double p = pow(test_random_unit(random), 3.0);
    size_t min_keep = some_keep(random);
    add(chain, "min-p", F("p", p), I("min_keep", (int64_t)min_keep));
    oracle_min_p(&o, p, min_keep);
}

/* Floats cannot order distances that are equal but for rounding: shapes with ties have their own
 * test. */
static void typical(lm_chain *chain, uint64_t *random)
{
    double p = test_random_unit(random);
    size_t min_keep = some_keep(random);
    bool ties = true;
    for (size_t i = 0; i < o.n && ties; i++)
        ties = logits[i] == floorf(logits[i]);
    if (ties)
        return;
    add(chain, "typical", F("p", p), I("min_keep", (int64_t)min_keep));
    oracle_typical(&o, p, min_keep);
}

static void top_n_sigma(lm_chain *chain, uint64_t *random)
{
    double n = test_random_unit(random) * 3.0 + 0.01;
    add(chain, "top-n-sigma", F("n", n));
    oracle_top_n_sigma(&o, n);
}

static void xtc(lm_chain *chain, uint64_t *random)
{
    double threshold = test_random_unit(random) * 0.5;
    size_t min_keep = some_keep(random);
    add(chain, "xtc", F("probability", 1), F("threshold", threshold),
        I("min_keep", (int64_t)min_keep));
    oracle_xtc(&o, threshold, min_keep);
}

static void penalties(lm_chain *chain, uint64_t *random)
{
    static const int64_t windows[] = {-1, 0, 1, 17, 64, 299, 300, 100000};
    int64_t last_n = windows[test_random(random) % 8];
    double repeat = 0.5 + test_random_unit(random), frequency = test_random_normal(random);
    double presence = test_random_normal(random);
    add(chain, "penalties", I("last_n", last_n), F("repeat", repeat), F("frequency", frequency),
        F("presence", presence));
    oracle_penalties(&o, history, 300, (long)last_n, repeat, frequency, presence);
}

static void logit_bias(lm_chain *chain, uint64_t *random)
{
    llm_token tokens[20];
    float bias[20];
    for (int i = 0; i < 20; i++) {
        tokens[i] = (llm_token)(test_random(random) % (o.n + 3));
        bias[i] = tokens[i] > 0 && i % 5 == 0 ? -INFINITY : (float)test_random_normal(random);
    }
    llm_param params[] = {{"tokens", LLM_KIND_TOKENS, 20, {.p = tokens}},
                          {"bias", LLM_KIND_FLOATS, 20, {.p = bias}}};
    assert_ok(lm_chain_add(chain, "logit-bias", params, 2));
    for (int i = 0; i < 20; i++)
        if ((size_t)tokens[i] < o.n)
            o.logit[tokens[i]] += bias[i];
    memset(tokens, 0xff, sizeof tokens); /* the chain has its own copy */
    memset(bias, 0xff, sizeof bias);
}

/* A whole row of them, as hosts build it. */
static void together(lm_chain *chain, uint64_t *random)
{
    double p = 0.5 + 0.5 * test_random_unit(random);
    add(chain, "penalties", F("repeat", 1.3), I("last_n", 40));
    oracle_penalties(&o, history, 300, 40, 1.3, 0.0, 0.0);
    add(chain, "top-k", I("k", 200));
    oracle_top_k(&o, 200);
    add(chain, "min-p", F("p", 0.001));
    oracle_min_p(&o, 0.001, 1);
    add(chain, "xtc", F("probability", 1), F("threshold", 0.1));
    oracle_xtc(&o, 0.1, 1);
    add(chain, "temperature", F("temp", 0.7));
    oracle_temperature(&o, 0.7, 0.0, 1.0);
    add(chain, "top-p", F("p", p));
    oracle_top_p(&o, p, 1);
}

#define ORACLE_TEST(name)                                                                          \
    static void test_samplers__##name(void **state)                                                \
    {                                                                                              \
        (void)state;                                                                               \
        compare_with_oracle(name, sizeof #name * 77u);                                             \
    }
ORACLE_TEST(temperature)
ORACLE_TEST(dynamic_temperature)
ORACLE_TEST(top_k)
ORACLE_TEST(top_p)
ORACLE_TEST(min_p)
ORACLE_TEST(typical)
ORACLE_TEST(top_n_sigma)
ORACLE_TEST(xtc)
ORACLE_TEST(penalties)
ORACLE_TEST(logit_bias)
ORACLE_TEST(together)

/* What is left of {1, 3, 3, 2, -Inf} after one sampler. */
static void expect(const char *name, llm_param param, const char *left)
{
    static const float five[] = {1.0f, 3.0f, 3.0f, 2.0f, -INFINITY};
    test_memory m;
    test_memory_init(&m);
    lm_chain *chain;
    assert_ok(lm_chain_create(&m.alloc, &chain));
    assert_ok(lm_chain_add(chain, name, &param, 1));
    show(chain, five, 5, NULL, 0, NULL, &s);
    char seen[6] = "-----";
    for (size_t i = 0; i < s.n; i++)
        seen[s.items[i].id] = (char)('0' + s.items[i].id);
    assert_string_equal(seen, left);
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static void test_samplers__edges(void **state)
{
    (void)state;
    expect("temperature", (llm_param)F("temp", 0), "-1---");
    expect("temperature", (llm_param)F("temp", 1e-40), "-1---");
    expect("temperature", (llm_param)F("temp", 1e6), "0123-");
    expect("top-k", (llm_param)I("k", 0), "0123-");
    expect("top-k", (llm_param)I("k", 1), "-1---");
    expect("top-k", (llm_param)I("k", INT32_MAX), "0123-");
    expect("top-p", (llm_param)F("p", 0), "-1---");
    expect("top-p", (llm_param)F("p", 1), "0123-");
    expect("min-p", (llm_param)F("p", 0), "0123-");
    expect("min-p", (llm_param)F("p", 1), "-12--");
    expect("typical", (llm_param)F("p", 1), "0123-");
    expect("top-n-sigma", (llm_param)F("n", 0), "0123-");
    expect("xtc", (llm_param)F("probability", 0), "0123-");
    expect("xtc", (llm_param)F("threshold", 0.51), "0123-");
}

static void test_samplers__typical_with_ties(void **state)
{
    (void)state;
    /* p = 4/8, 1/8 x 4: entropy 2 bits. Surprises 1 and 3 are equally far: ids decide. */
    static const float tied[] = {-2.0794415f, -2.0794415f, -0.6931472f, -2.0794415f, -2.0794415f};
    test_memory m;
    test_memory_init(&m);
    lm_chain *chain;
    assert_ok(lm_chain_create(&m.alloc, &chain));
    add(chain, "typical", F("p", 0.6));
    show(chain, tied, 5, NULL, 0, NULL, &s);
    double mass = 0.0;
    for (size_t i = 0; i < s.n; i++)
        mass += exp(s.items[i].logit);
    assert_true(mass >= 0.6 && mass <= 1.0);
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static void test_samplers__penalties_ignore_foreign_history(void **state)
{
    (void)state;
    static const float two[] = {1.0f, -1.0f};
    static const int32_t foreign[] = {-5, 7, INT32_MAX, INT32_MIN, 1};
    test_memory m;
    test_memory_init(&m);
    lm_chain *chain;
    assert_ok(lm_chain_create(&m.alloc, &chain));
    add(chain, "penalties", F("repeat", 2));
    show(chain, two, 2, foreign, 5, NULL, &s);
    assert_true(s.items[0].logit == 1.0f && s.items[1].logit == -2.0f);
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samplers__temperature),
        cmocka_unit_test(test_samplers__dynamic_temperature),
        cmocka_unit_test(test_samplers__top_k),
        cmocka_unit_test(test_samplers__top_p),
        cmocka_unit_test(test_samplers__min_p),
        cmocka_unit_test(test_samplers__typical),
        cmocka_unit_test(test_samplers__top_n_sigma),
        cmocka_unit_test(test_samplers__xtc),
        cmocka_unit_test(test_samplers__penalties),
        cmocka_unit_test(test_samplers__logit_bias),
        cmocka_unit_test(test_samplers__together),
        cmocka_unit_test(test_samplers__edges),
        cmocka_unit_test(test_samplers__typical_with_ties),
        cmocka_unit_test(test_samplers__penalties_ignore_foreign_history),
    };
    return cmocka_run_group_tests_name("samplers", tests, NULL, NULL);
}
