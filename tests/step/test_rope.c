/* test_rope.c - rotation speeds against the published formulas: plain, linear, divided, and YaRN as
 * transformers computes it (make_rope_values.py). */
#include "support/support.h"

#include "step/network.h"

#include <math.h>

static void close_to(double found, double wanted, double tolerance)
{
    if (!(fabs(found - wanted) <= tolerance * fabs(wanted)))
        fail_msg("%.12g where %.12g was wanted", found, wanted);
}

/* base^(-2i/d), the formula of the rotary embedding's paper. */
static void test_rope__plain(void **state)
{
    (void)state;
    lm_rope rope = {.style = LM_ROPE_PAIRS, .dims = 48, .base = 500000, .freq_scale = 1};
    double speeds[24], magnitude;
    lm_rope_table(&rope, NULL, speeds, &magnitude);
    assert_true(magnitude == 1);
    assert_true(speeds[0] == 1);
    for (int i = 0; i < 24; i++)
        close_to(speeds[i], exp(-2.0 * i / 48 * log(500000)), 1e-12);
}

/* Positions divided by the factor; a scale of 0 is none. */
static void test_rope__linear(void **state)
{
    (void)state;
    lm_rope rope = {.dims = 16, .base = 10000, .freq_scale = 0.125f};
    double plain[8], scaled[8], magnitude;
    lm_rope_table(&rope, NULL, scaled, &magnitude);
    rope.freq_scale = 0;
    lm_rope_table(&rope, NULL, plain, &magnitude);
    for (int i = 0; i < 8; i++)
        close_to(scaled[i], plain[i] / 8, 1e-12);
}

/* Llama 3's and long RoPE's divisors, one per pair, and the factor of the result. */
static void test_rope__divided(void **state)
{
    (void)state;
    lm_rope rope = {.dims = 8, .base = 10000, .freq_scale = 1, .attn_factor = 1.25f};
    static const float factors[4] = {1, 2, 8, 0.5f};
    double speeds[4], magnitude;
    lm_rope_table(&rope, factors, speeds, &magnitude);
    assert_true(magnitude == 1.25);
    close_to(speeds[0], 1, 1e-12);
    close_to(speeds[1], 0.1 / 2, 1e-12);
    close_to(speeds[2], 0.01 / 8, 1e-12);
    close_to(speeds[3], 0.001 / 0.5, 1e-12);
}

typedef struct yarn {
    lm_rope rope;
    float speeds[32];
} yarn;

static const yarn yarns[] = {
    {{.dims = 64, .base = 10000, .freq_scale = 1 / 4.0f, .context_original = 2048},
     {1,
      0.749894202f,
      0.562341332f,
      0.421696514f,
      0.316227764f,
      0.237137362f,
      0.177827939f,
      0.133352146f,
      0.100000001f,
      0.070663102f,
      0.0497455746f,
      0.0348710567f,
      0.0243252143f,
      0.0168732349f,
      0.0116272122f,
      0.00794983935f,
      0.00538461516f,
      0.00360526075f,
      0.00237913639f,
      0.00154081406f,
      0.000973008573f,
      0.000592843455f,
      0.000444569858f,
      0.000333380362f,
      0.000250000012f,
      0.000187473546f,
      0.000140585325f,
      0.000105424122f,
      7.90569466e-05f,
      5.92843462e-05f,
      4.44569851e-05f,
      3.33380376e-05f}},
    {{.dims = 32, .base = 1e6f, .freq_scale = 1 / 16.0f, .context_original = 4096},
     {1, 0.421696514f, 0.177827939f, 0.0749894157f, 0.0256935079f, 0.0083345091f, 0.00246024318f,
      0.000592843455f, 6.2500003e-05f, 2.63560305e-05f, 1.11142463e-05f, 4.68683902e-06f,
      1.97642339e-06f, 8.33450883e-07f, 3.51463342e-07f, 1.48210859e-07f}},
};

static void test_rope__yarn(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof yarns / sizeof yarns[0]; n++) {
        lm_rope rope = yarns[n].rope;
        double speeds[32], half[32], plain[32], magnitude;
        rope.yarn_mix = 1;
        rope.beta_fast = 32;
        rope.beta_slow = 1;
        lm_rope_table(&rope, NULL, speeds, &magnitude);
        for (uint32_t i = 0; i < rope.dims / 2; i++)
            close_to(speeds[i], yarns[n].speeds[i], 2e-6); /* theirs are float32 */
        /* half of it lies half way to linear scaling */
        rope.yarn_mix = 0.5f;
        lm_rope_table(&rope, NULL, half, &magnitude);
        rope.yarn_mix = 0;
        lm_rope_table(&rope, NULL, plain, &magnitude);
        for (uint32_t i = 0; i < rope.dims / 2; i++)
            close_to(half[i], (speeds[i] + plain[i]) / 2, 1e-9);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope__plain),
        cmocka_unit_test(test_rope__linear),
        cmocka_unit_test(test_rope__divided),
        cmocka_unit_test(test_rope__yarn),
    };
    return cmocka_run_group_tests_name("rope", tests, NULL, NULL);
}
