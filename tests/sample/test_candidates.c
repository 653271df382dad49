/* test_candidates.c - ordering, probabilities and cuts of the candidate list. */
#include "sample/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lm_candidate items[ORACLE_MAX], sorted[ORACLE_MAX];
static float by_token[ORACLE_MAX], logits[ORACLE_MAX];

static lm_candidates make(uint64_t *random, unsigned kind, size_t n)
{
    lm_candidates c = {.items = items, .by_token = by_token, .chosen = -1};
    random_logits(random, kind, logits, n);
    for (size_t i = 0; i < n; i++)
        if (logits[i] > -INFINITY)
            items[c.count++] = (lm_candidate){.id = (int32_t)i, .logit = logits[i]};
    return c;
}

static int by_logit(const void *a, const void *b)
{
    const lm_candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static void assert_front(const lm_candidates *c, size_t k)
{
    assert_true(c->n_sorted >= k);
    for (size_t i = 0; i < k; i++)
        assert_int_equal(c->items[i].id, sorted[i].id);
}

static void test_candidates__sort_any_front(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (unsigned round = 0; round < 400; round++) {
        size_t n = 1 + test_random(&random) % 300;
        lm_candidates c = make(&random, round % ORACLE_KINDS, n);
        memcpy(sorted, items, c.count * sizeof *items);
        qsort(sorted, c.count, sizeof *sorted, by_logit);
        size_t best = lm_candidates_best(&c);
        assert_int_equal(c.items[best].id, sorted[0].id);
        for (size_t k = 1; k <= c.count; k += 1 + test_random(&random) % 40) {
            lm_candidates_sort(&c, k);
            assert_front(&c, k);
        }
        lm_candidates_sort(&c, n + 5);
        assert_front(&c, c.count);
        assert_int_equal(lm_candidates_best(&c), 0);
    }
}

static void test_candidates__sort_loses_none_and_survives_bad_orders(void **state)
{
    (void)state;
    for (int shape = 0; shape < 4; shape++) {
        lm_candidates c = {.items = items, .count = ORACLE_MAX};
        for (size_t i = 0; i < c.count; i++) {
            float shapes[] = {(float)i, -(float)i, 0.0f, (float)(i % 7)};
            items[i] = (lm_candidate){.id = (int32_t)i, .logit = shapes[shape]};
        }
        memcpy(sorted, items, sizeof sorted);
        qsort(sorted, c.count, sizeof *sorted, by_logit);
        lm_candidates_sort(&c, 1000);
        assert_front(&c, 1000);
        lm_candidates_sort(&c, c.count);
        assert_front(&c, c.count);
    }
}

static void test_candidates__softmax_is_exact(void **state)
{
    (void)state;
    static oracle o;
    static double p[ORACLE_MAX];
    uint64_t random = 2;
    for (unsigned round = 0; round < 50; round++) {
        lm_candidates c = make(&random, round % ORACLE_KINDS, 2000);
        oracle_load(&o, logits, 2000);
        oracle_softmax(&o, p);
        lm_candidates_softmax(&c);
        double sum = 0.0;
        for (size_t i = 0; i < c.count; i++) {
            double exact = p[c.items[i].id];
            /* rounding of the difference (ulp of 60 is 4e-6), of the exponential and of the
             * quotient */
            assert_true(fabs(c.items[i].p - exact) <= 5e-6 * exact + 1e-37);
            sum += c.items[i].p;
        }
        assert_true(fabs(sum - 1.0) < 1e-5);
    }
}

static void test_candidates__extreme_logits(void **state)
{
    (void)state;
    lm_candidates c = {.items = items, .count = 3};
    items[0] = (lm_candidate){.id = 0, .logit = -3.4e38f};
    items[1] = (lm_candidate){.id = 1, .logit = 3.4e38f};
    items[2] = (lm_candidate){.id = 2, .logit = 3.4e38f};
    lm_candidates_softmax(&c);
    assert_true(items[0].p == 0.0f && items[1].p == 0.5f && items[2].p == 0.5f);
    assert_true(lm_logit(1e39) == 3.402823466e38f && lm_logit(-1e39) == -3.402823466e38f);
    assert_true(lm_logit(0.1) == 0.1f);
}

static void test_candidates__mass_sorts_on_demand(void **state)
{
    (void)state;
    lm_candidates c = {.items = items, .count = ORACLE_MAX};
    for (size_t i = 0; i < c.count; i++)
        items[i] = (lm_candidate){.id = (int32_t)i, .logit = i == 4321 ? 30.0f : 0.0f};
    lm_candidates_softmax(&c);
    assert_int_equal(lm_candidates_mass(&c, 0.9, 1), 1);
    assert_int_equal(c.items[0].id, 4321);
    assert_int_equal(c.n_sorted, 128);
    assert_int_equal(lm_candidates_mass(&c, 0.9, 700), 700);
    assert_int_equal(c.n_sorted, 1024);
    assert_int_equal(lm_candidates_mass(&c, 2.0, 1), ORACLE_MAX);
    lm_candidates_keep(&c, 10);
    assert_int_equal(c.count, 10);
    assert_int_equal(c.n_sorted, 10);
}

/* Distributions so flat that the cut lies far behind the sorted front. */
static void test_candidates__mass_of_flat_distributions(void **state)
{
    (void)state;
    uint64_t random = 4;
    for (unsigned round = 0; round < 60; round++) {
        double width[] = {1e-3, 0.5, 2.0, 0.0, 1e30}, sum = 0.0, mass = test_random_unit(&random);
        lm_candidates c = {.items = items, .count = ORACLE_MAX};
        for (size_t i = 0; i < c.count; i++)
            items[i] = (lm_candidate){
                .id = (int32_t)i, .logit = (float)(width[round % 5] * test_random_normal(&random))};
        lm_candidates_softmax(&c);
        memcpy(sorted, items, sizeof sorted);
        qsort(sorted, c.count, sizeof *sorted, by_logit);
        size_t min_keep = round % 3 == 0 ? test_random(&random) % ORACLE_MAX : 1, wanted = 0;
        while (wanted < c.count && (wanted < min_keep || sum < mass))
            sum += sorted[wanted++].p;
        lm_candidates_keep(&c, lm_candidates_mass(&c, mass, min_keep));
        assert_int_equal(c.count, wanted);
        assert_front(&c, c.n_sorted);
        lm_candidates_sort(&c, c.count);
        assert_front(&c, wanted);
    }
}

static void test_candidates__keep_above_keeps_a_sorted_front(void **state)
{
    (void)state;
    uint64_t random = 3;
    for (unsigned round = 0; round < 200; round++) {
        lm_candidates c = make(&random, round % ORACLE_KINDS, 200);
        memcpy(sorted, items, c.count * sizeof *items);
        qsort(sorted, c.count, sizeof *sorted, by_logit);
        lm_candidates_sort(&c, test_random(&random) % 50);
        size_t min_keep = test_random(&random) % 30, wanted = 0;
        double floor = 6.0 * test_random_normal(&random);
        while (wanted < c.count &&
               (sorted[wanted].logit >= floor || wanted < (min_keep > 0 ? min_keep : 1)))
            wanted++;
        lm_candidates_keep_above(&c, floor, min_keep);
        assert_int_equal(c.count, wanted);
        assert_front(&c, c.n_sorted);
        lm_candidates_sort(&c, c.count);
        assert_front(&c, wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_candidates__sort_any_front),
        cmocka_unit_test(test_candidates__sort_loses_none_and_survives_bad_orders),
        cmocka_unit_test(test_candidates__softmax_is_exact),
        cmocka_unit_test(test_candidates__extreme_logits),
        cmocka_unit_test(test_candidates__mass_sorts_on_demand),
        cmocka_unit_test(test_candidates__mass_of_flat_distributions),
        cmocka_unit_test(test_candidates__keep_above_keeps_a_sorted_front),
    };
    return cmocka_run_group_tests_name("candidates", tests, NULL, NULL);
}
