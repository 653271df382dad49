/* test_random.c - the generator against published vectors, and its independence. */
#include "support/support.h"

#include "sample/sampler.h"

static void test_random__known_answers(void **state)
{
    (void)state;
    /* kat_vectors of Random123, philox 4x32 10 rounds: the first two words */
    assert_true(lm_random_u64(0, 0, 0) == 0xe169c58d6627e8d5u);
    assert_true(lm_random_u64(UINT64_MAX, UINT64_MAX, UINT64_MAX) == 0x41c83b0e408f276du);
    assert_true(lm_random_u64(0x299f31d0a4093822u, 0x85a308d3243f6a88u, 0x0370734413198a2eu) ==
                0x94fdccebd16cfe09u);
}

static void test_random__unit_is_even(void **state)
{
    (void)state;
    double sum = 0.0;
    uint32_t cells[16] = {0};
    enum { N = 160000 };
    for (uint64_t i = 0; i < N; i++) {
        double u = lm_random_unit(42, i, 3);
        assert_true(u >= 0.0 && u < 1.0);
        sum += u;
        cells[(int)(u * 16.0)]++;
    }
    /* deviations of the mean: sqrt(1/12/N) = 7.2e-4; of a cell: sqrt(N/16 * 15/16) = 97; five each
     */
    assert_true(sum / N > 0.5 - 0.0036 && sum / N < 0.5 + 0.0036);
    for (int i = 0; i < 16; i++)
        assert_in_range(cells[i], N / 16 - 485, N / 16 + 485);
}

static void test_random__seed_draw_and_stream_all_count(void **state)
{
    (void)state;
    uint64_t base = lm_random_u64(7, 8, 9);
    assert_true(base == lm_random_u64(7, 8, 9));
    for (int bit = 0; bit < 64; bit++) {
        uint64_t flip = 1ull << bit;
        assert_true(base != lm_random_u64(7 ^ flip, 8, 9));
        assert_true(base != lm_random_u64(7, 8 ^ flip, 9));
        assert_true(base != lm_random_u64(7, 8, 9 ^ flip));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random__known_answers),
        cmocka_unit_test(test_random__unit_is_even),
        cmocka_unit_test(test_random__seed_draw_and_stream_all_count),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
