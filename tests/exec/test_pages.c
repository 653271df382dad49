/* test_pages.c - page numbers: handed out once, counted, found free again, kept when the pool grows. */
#include "support/support.h"

#include "exec/pages.h"

static void test_pages__nothing_at_first(void **state)
{
    (void)state;
    test_memory m;
    lm_pages p;
    test_memory_init(&m);
    lm_pages_init(&p, &m.alloc);
    assert_int_equal(lm_pages_take(&p), LM_NO_PAGE);
    lm_pages_release(&p, LM_NO_PAGE);
    lm_pages_finish(&p);
    lm_pages_finish(&p); /* once more is fine */
    test_memory_check(&m);
}

static void test_pages__each_page_once(void **state)
{
    (void)state;
    test_memory m;
    lm_pages p;
    test_memory_init(&m);
    lm_pages_init(&p, &m.alloc);
    assert_ok(lm_pages_reserve(&p, 5));
    assert_int_equal(lm_pages_take(&p), LM_NO_PAGE); /* reserved is not added */
    lm_pages_add(&p, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(lm_pages_take(&p), i);
    assert_int_equal(lm_pages_take(&p), LM_NO_PAGE);
    lm_pages_add(&p, 5);
    assert_int_equal(p.n_free, 2);
    assert_int_equal(lm_pages_take(&p), 3);
    lm_pages_release(&p, 1);
    assert_int_equal(lm_pages_take(&p), 1); /* the last one given back is taken first */
    assert_int_equal(lm_pages_take(&p), 4);
    assert_int_equal(lm_pages_take(&p), LM_NO_PAGE);
    assert_int_equal(p.total, 5);
    lm_pages_finish(&p);
    test_memory_check(&m);
}

static void test_pages__counted(void **state)
{
    (void)state;
    test_memory m;
    lm_pages p;
    test_memory_init(&m);
    lm_pages_init(&p, &m.alloc);
    assert_ok(lm_pages_reserve(&p, 2));
    lm_pages_add(&p, 2);
    uint32_t page = lm_pages_take(&p);
    lm_pages_retain(&p, page);
    lm_pages_retain(&p, page);
    assert_int_equal(p.refs[page], 3);
    lm_pages_release(&p, page);
    lm_pages_release(&p, page);
    assert_int_equal(p.n_free, 1);
    lm_pages_release(&p, page);
    assert_int_equal(p.n_free, 2);
    assert_int_equal(p.refs[page], 0);
    assert_int_equal(lm_pages_take(&p), page);
    assert_int_equal(p.refs[page], 1);
    lm_pages_finish(&p);
    test_memory_check(&m);
}

/* Growing keeps who holds what and what is free; a refused growth changes nothing. */
static void test_pages__growing(void **state)
{
    (void)state;
    test_memory m;
    lm_pages p;
    test_memory_init(&m);
    lm_pages_init(&p, &m.alloc);
    assert_ok(lm_pages_reserve(&p, 4));
    lm_pages_add(&p, 4);
    for (int i = 0; i < 3; i++)
        lm_pages_take(&p);
    lm_pages_retain(&p, 2);
    lm_pages_release(&p, 0);
    for (uint64_t n = 1; n <= 2; n++) {
        m.fail_at = m.calls + n;
        assert_status(lm_pages_reserve(&p, 100), LLM_E_MEMORY);
        assert_int_equal(p.capacity, 4);
    }
    m.fail_at = 0;
    assert_ok(lm_pages_reserve(&p, 100));
    assert_ok(lm_pages_reserve(&p, 50)); /* there is room for more already */
    assert_int_equal(p.capacity, 100);
    lm_pages_add(&p, 100);
    assert_int_equal(p.n_free, 98);
    assert_int_equal(p.refs[1], 1);
    assert_int_equal(p.refs[2], 2);
    bool seen[100] = {false};
    seen[1] = seen[2] = true;
    for (uint32_t i = 0; i < 98; i++) {
        uint32_t page = lm_pages_take(&p);
        assert_true(page < 100 && !seen[page]);
        seen[page] = true;
    }
    assert_int_equal(lm_pages_take(&p), LM_NO_PAGE);
    lm_pages_finish(&p);
    test_memory_check(&m);
}

/* The row behind `length` tokens sees the `window` last slots including its own. */
static void test_pages__first_page_of_a_window(void **state)
{
    (void)state;
    for (uint32_t page = 16; page <= 64; page *= 2)
        for (uint32_t window = 1; window < 100; window++)
            for (uint32_t length = 0; length < 300; length++) {
                uint32_t first_slot = length + 1 > window ? length + 1 - window : 0;
                assert_int_equal(lm_first_page(length, window, page), first_slot / page);
            }
    assert_int_equal(lm_first_page(4000, 0, 16), 0);
    assert_int_equal(lm_first_page(4000, UINT32_MAX, 16), 0);
    assert_int_equal(lm_first_page(UINT32_MAX, UINT32_MAX, 16), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages__nothing_at_first),
        cmocka_unit_test(test_pages__each_page_once),
        cmocka_unit_test(test_pages__counted),
        cmocka_unit_test(test_pages__growing),
        cmocka_unit_test(test_pages__first_page_of_a_window),
    };
    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
