/* test_quant.c - the registry: what it lists, how it finds, what a row weighs. */
#include "support/support.h"

#include "quant/quant.h"

#include <string.h>

static void test_quant__finds_each_by_id_and_name(void **state)
{
    (void)state;
    size_t n = 0;
    for (const lm_format *f; (f = lm_format_at(n)) != NULL; n++) {
        assert_ptr_equal(lm_format_by_id(f->id), f);
        assert_ptr_equal(lm_format_by_name(f->name), f);
        assert_true(f->block > 0 && f->bytes > 0);
        assert_true(f->decode != NULL || f->encode == NULL);
    }
    assert_true(n >= 14);
    assert_null(lm_format_at(SIZE_MAX));
}

static void test_quant__knows_no_removed_type(void **state)
{
    (void)state;
    static const uint32_t absent[] = {4, 5, 31, 32, 33, 36, 37, 38, 999, 0x7fffffff, UINT32_MAX};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        assert_null(lm_format_by_id(absent[i]));
    assert_null(lm_format_by_name(""));
    assert_null(lm_format_by_name("q4_00"));
    assert_null(lm_format_by_name("Q4_0"));
}

static void test_quant__weighs_rows(void **state)
{
    (void)state;
    const lm_format *f32 = lm_format_by_id(LM_F32), *q4_0 = lm_format_by_id(LM_Q4_0);
    uint64_t bytes = 7;
    assert_true(lm_format_row_bytes(f32, 0, &bytes));
    assert_int_equal(bytes, 0);
    assert_true(lm_format_row_bytes(q4_0, 4096, &bytes));
    assert_int_equal(bytes, 4096 / 32 * 18);
    assert_false(lm_format_row_bytes(q4_0, 4097, &bytes));
    assert_false(lm_format_row_bytes(q4_0, 31, &bytes));
    assert_true(lm_format_row_bytes(f32, UINT64_MAX / 4, &bytes));
    assert_true(bytes == UINT64_MAX - 3);
    assert_false(lm_format_row_bytes(f32, UINT64_MAX / 4 + 1, &bytes));
    assert_false(lm_format_row_bytes(f32, UINT64_MAX, &bytes));
    assert_true(lm_format_row_bytes(q4_0, UINT64_MAX - 31, &bytes)); /* 18/32 of it fits */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quant__finds_each_by_id_and_name),
        cmocka_unit_test(test_quant__knows_no_removed_type),
        cmocka_unit_test(test_quant__weighs_rows),
    };
    return cmocka_run_group_tests_name("quant", tests, NULL, NULL);
}
