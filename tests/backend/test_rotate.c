/* test_rotate.c - caches of four bits hold rotated heads: what a page exports is the Hadamard transform of what
 * was appended, by its formula, and attention sees what it would have seen. */
#include "backend/cases.h"

#include "base/half.h"
#include "quant/q_legacy.h"

#include <math.h>

enum { HEADS = 2, DIM = 64, BLOCK = 32, EXPORTED = 10 * (int)sizeof(lm_block_q4_0) };
enum { INPUT_KEYS = 1, INPUT_VALUES = 2 };

/* Value i of a rotated head: signs are the parity of the bits that both numbers have. */
static double rotated(const float *x, uint32_t i)
{
    double sum = 0;
    for (uint32_t k = 0; k < DIM; k++) {
        uint32_t odd = 0;
        for (uint32_t both = i & k; both != 0; both &= both - 1)
            odd ^= 1;
        sum += odd != 0 ? -(double)x[k] : (double)x[k];
    }
    return sum / sqrt(DIM);
}

/* Rounding to four bits moves a value by half a step, at the far end of the scale by a whole one. */
static void expect_rotated(const rig_model *m, uint32_t input, const lm_block_q4_0 *blocks)
{
    for (uint32_t h = 0; h < HEADS; h++) {
        float x[DIM], decoded[DIM];
        for (uint32_t i = 0; i < DIM; i++)
            x[i] = rig_value(m, input, 0, 0, h * DIM + i);
        lm_format_by_id(LM_Q4_0)->decode(blocks + h * DIM / BLOCK, decoded, DIM);
        for (uint32_t i = 0; i < DIM; i++) {
            lm_half d = blocks[(h * DIM + i) / BLOCK].d;
            double step = fabs((double)lm_f16_to_f32(lm_load_u16(&d)));
            assert_true(step > 0 && fabs(decoded[i] - rotated(x, i)) <= 1.01 * step);
        }
    }
}

static void pages_are_rotated(const char *backend)
{
    static const rig_part part[] = {{0, 1}};
    lm_block_q4_0 blocks[10];
    rig_model m;
    rig r;
    case_build(&m, "attn SHARED", 71);
    rig_options o = {.backend = backend, .k_format = LM_Q4_0, .v_format = LM_Q4_0};
    rig_open(&r, &m, &o);
    assert_ok(rig_run(&r, part, 1));
    assert_ok(
        r.backend->page_export(r.device, r.caches[0], r.seqs[0].pages[0][0], 1, blocks, EXPORTED));
    expect_rotated(&m, INPUT_KEYS, blocks + 2); /* behind the small entry's own */
    expect_rotated(&m, INPUT_VALUES, blocks + 6);
    rig_close(&r);
    rig_model_finish(&m);
}

static void test_rotate__pages_of_ref(void **state)
{
    (void)state;
    pages_are_rotated("ref");
}

static void test_rotate__pages_of_cpu(void **state)
{
    (void)state;
    pages_are_rotated("cpu");
}

/* One slot is all that the first row sees, so its output is the value that was appended, as near as four
 * bits keep it. */
static void test_rotate__outputs_are_turned_back(void **state)
{
    static const rig_part part[] = {{0, 1}};
    static const char *const backends[] = {"ref", "cpu"};
    (void)state;
    for (size_t b = 0; b < 2; b++) {
        rig_model m;
        rig r;
        double error = 0, size = 0;
        case_build(&m, "attn SHARED", 72);
        rig_options o = {.backend = backends[b], .k_format = LM_Q4_0, .v_format = LM_Q4_0};
        rig_open(&r, &m, &o);
        assert_ok(rig_run(&r, part, 1));
        const float *out = rig_row(&r, 0, 0, 0);
        for (uint32_t i = 0; i < DIM; i++) {
            double wanted = (double)rig_value(&m, INPUT_VALUES, 0, 0, i);
            error += (out[i] - wanted) * (out[i] - wanted);
            size += wanted * wanted;
        }
        assert_true(sqrt(error / size) < 0.12); /* a step is a seventh of the largest value */
        rig_close(&r);
        rig_model_finish(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotate__pages_of_ref),
        cmocka_unit_test(test_rotate__pages_of_cpu),
        cmocka_unit_test(test_rotate__outputs_are_turned_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
