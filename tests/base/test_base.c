/* test_base.c - allocation, arena, maps, parameters, narrow floats, files and threads. */
#include "support/support.h"

#include "base/arena.h"
#include "base/checked.h"
#include "base/half.h"
#include "base/os.h"
#include "base/params.h"
#include "base/strmap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_alloc__counts_and_aligns(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    void *a = lm_alloc(&m.alloc, 100), *b = lm_alloc_array(&m.alloc, 3, 7);
    assert_int_equal((uintptr_t)a % LM_ALIGN, 0);
    assert_int_equal(m.alloc.bytes, 121);
    lm_free(&m.alloc, a, 100);
    lm_free_array(&m.alloc, b, 3, 7);
    assert_int_equal(m.alloc.bytes, 0);
    assert_int_equal(m.alloc.peak, 121);
    assert_null(lm_alloc_array(&m.alloc, SIZE_MAX / 2, 3));
    test_memory_check(&m);
}

static void test_alloc__library_memory(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    char *p = lm_strdup(&a, "text", 4);
    assert_string_equal(p, "text");
    assert_int_equal((uintptr_t)p % LM_ALIGN, 0);
    lm_strfree(&a, p);
    assert_int_equal(a.bytes, 0);
}

static void test_arena__gives_all_back(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    lm_arena arena;
    lm_arena_init(&arena, &m.alloc);
    for (size_t i = 0; i < 1000; i++) {
        unsigned char *p = lm_arena_alloc(&arena, i * 3);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < i * 3; k++)
            assert_int_equal(p[k], 0);
        memset(p, 0xff, i * 3);
    }
    assert_null(lm_arena_alloc(&arena, SIZE_MAX - 3));
    lm_arena_finish(&arena);
    test_memory_check(&m);
}

static void test_arena__copies(void **state)
{
    static const uint32_t numbers[] = {7, 8, 9}, zeros[3];
    (void)state;
    test_memory m;
    test_memory_init(&m);
    lm_arena arena;
    lm_arena_init(&arena, &m.alloc);
    assert_memory_equal(lm_arena_copy(&arena, numbers, 3, sizeof *numbers), numbers,
                        sizeof numbers);
    assert_memory_equal(lm_arena_copy(&arena, NULL, 3, sizeof *numbers), zeros, sizeof zeros);
    assert_non_null(lm_arena_copy(&arena, numbers, 0, sizeof *numbers));
    assert_null(lm_arena_copy(&arena, numbers, SIZE_MAX, sizeof *numbers));
    lm_arena_finish(&arena);
    test_memory_check(&m);
}

static void test_strmap__finds_what_was_added(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    static char keys[5000][16];
    lm_strmap map;
    lm_strmap_init(&map, &m.alloc);
    for (uint32_t i = 0; i < 5000; i++) {
        bool added;
        snprintf(keys[i], sizeof keys[i], "key%u", i);
        assert_ok(lm_strmap_add(&map, keys[i], strlen(keys[i]), i, &added));
        assert_true(added);
        assert_ok(lm_strmap_add(&map, keys[i], strlen(keys[i]), 7, &added));
        assert_false(added);
    }
    uint32_t value;
    for (uint32_t i = 0; i < 5000; i++) {
        assert_true(lm_strmap_get(&map, keys[i], strlen(keys[i]), &value));
        assert_int_equal(value, i);
    }
    assert_false(lm_strmap_get(&map, "absent", 6, &value));
    lm_strmap_finish(&map);
    test_memory_check(&m);
}

typedef struct sample_params {
    uint32_t struct_size, a, b, c;
} sample_params;

static void test_params__sizes(void **state)
{
    (void)state;
    sample_params known;
    struct {
        sample_params head;
        uint32_t tail;
    } bigger = {{sizeof bigger, 1, 2, 3}, 0};
    assert_ok(lm_params_in(&known, sizeof known, NULL, "sample"));
    assert_int_equal(known.a, 0);
    assert_ok(lm_params_in(&known, sizeof known, &bigger, "sample"));
    assert_int_equal(known.c, 3);
    bigger.tail = 1;
    assert_status(lm_params_in(&known, sizeof known, &bigger, "sample"), LLM_E_UNSUPPORTED);
    sample_params smaller = {12, 5, 6, 7};
    assert_ok(lm_params_in(&known, sizeof known, &smaller, "sample"));
    assert_int_equal(known.b, 6);
    assert_int_equal(known.c, 0);
    sample_params out = {8, 0, 0, 99}, full = {sizeof full, 1, 2, 3};
    assert_ok(lm_params_out(&out, &full, sizeof full, "sample"));
    assert_int_equal(out.a, 1);
    assert_int_equal(out.c, 99);
    assert_int_equal(out.struct_size, 8);
    smaller.struct_size = 0;
    assert_status(lm_params_in(&known, sizeof known, &smaller, "sample"), LLM_E_INVALID);
}

static void test_params__named(void **state)
{
    (void)state;
    struct {
        int64_t k;
        double p;
    } target = {40, 0.5};
    static const lm_param_row rows[] = {{"k", LLM_KIND_INT, 0, 1, 100},
                                        {"p", LLM_KIND_FLOAT, 8, 0, 1}};
    llm_param good[] = {{"p", LLM_KIND_INT, 0, {.i = 1}}, {"k", LLM_KIND_INT, 0, {.i = 3}}};
    assert_ok(lm_params_read(good, 2, rows, 2, "thing", &target));
    assert_int_equal(target.k, 3);
    assert_true(target.p == 1.0);
    llm_param unknown = {"q", LLM_KIND_INT, 0, {.i = 1}},
              range = {"k", LLM_KIND_INT, 0, {.i = 101}};
    llm_param kind = {"k", LLM_KIND_FLOAT, 0, {.f = 1}}, nan = {"p", LLM_KIND_FLOAT, 0, {.f = NAN}};
    assert_status(lm_params_read(&unknown, 1, rows, 2, "thing", &target), LLM_E_INVALID);
    assert_status(lm_params_read(&range, 1, rows, 2, "thing", &target), LLM_E_INVALID);
    assert_status(lm_params_read(&kind, 1, rows, 2, "thing", &target), LLM_E_INVALID);
    assert_status(lm_params_read(&nan, 1, rows, 2, "thing", &target), LLM_E_INVALID);
    assert_string_equal(llm_last_error(), "thing: parameter 'p' is nan; it must lie in [0, 1]");
}

static void test_status__prefixes_and_cuts(void **state)
{
    (void)state;
    char whole[LM_MESSAGE_SIZE * 2];
    memset(whole, 'x', sizeof whole - 1);
    whole[sizeof whole - 1] = '\0';
    lm_fail(LLM_E_FORMAT, "inner");
    assert_int_equal(lm_fail_within(LLM_E_FORMAT, "file %d", 7), LLM_E_FORMAT);
    assert_string_equal(lm_message(), "file 7: inner");
    for (int length = LM_MESSAGE_SIZE - 10; length < LM_MESSAGE_SIZE + 10; length++) {
        lm_fail(LLM_E_FORMAT, "inner");
        lm_fail_within(LLM_E_FORMAT, "%.*s", length, whole);
        assert_in_range(strlen(lm_message()), LM_MESSAGE_SIZE - 10, LM_MESSAGE_SIZE - 1);
        lm_fail(LLM_E_FORMAT, "%.*s", length, whole);
        lm_fail_within(LLM_E_FORMAT, "file");
        assert_memory_equal(lm_message(), "file: xxx", 9);
        assert_in_range(strlen(lm_message()), LM_MESSAGE_SIZE - 10, LM_MESSAGE_SIZE - 1);
    }
}

/* A name from a file must not steer the terminal that a message is shown on. */
static void test_status__is_one_line(void **state)
{
    (void)state;
    lm_fail(LLM_E_FORMAT, "a\n'%s'", "\x1b[2J\x7f\xc3\xa9\t");
    assert_string_equal(llm_last_error(), "a?'?[2J?\xc3\xa9?'");
    lm_fail_within(LLM_E_FORMAT, "file\r%d", 7);
    assert_string_equal(llm_last_error(), "file?7: a?'?[2J?\xc3\xa9?'");
}

static void test_half__round_trips(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = lm_f16_to_f32((uint16_t)h);
        if (!isnan(f))
            assert_int_equal(lm_f32_to_f16(f), h);
        else
            assert_true(isnan(lm_f16_to_f32(lm_f32_to_f16(f))));
        float b = lm_bf16_to_f32((uint16_t)h);
        if (!isnan(b))
            assert_int_equal(lm_f32_to_bf16(b), h);
    }
    for (uint32_t e = 0; e < 256; e++) {
        float f = lm_e4m3_to_f32((uint8_t)e);
        if (!isnan(f))
            assert_int_equal(lm_f32_to_e4m3(f), e);
    }
    assert_int_equal(lm_f32_to_f16(65519.0f), 0x7bff);
    assert_int_equal(lm_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(lm_f32_to_f16(2.98e-8f), 0x0000);
    assert_int_equal(lm_f32_to_f16(2.99e-8f), 0x0001);
    assert_true(lm_e4m3_to_f32(0x7e) == 448.0f);
    assert_int_equal(lm_f32_to_e4m3(1e9f), 0x7e);
}

static void test_checked__wraps_are_seen(void **state)
{
    (void)state;
    uint64_t out;
    assert_false(lm_add_u64(UINT64_MAX, 1, &out));
    assert_false(lm_mul_u64(1ull << 32, 1ull << 32, &out));
    assert_true(lm_mul_u64(1ull << 32, (1ull << 32) - 1, &out));
    assert_false(lm_align_u64(UINT64_MAX - 3, 32, &out));
    assert_false(lm_inside(UINT64_MAX, 2, 100));
    assert_true(lm_inside(98, 2, 100));
    assert_false(lm_inside(99, 2, 100));
}

static void test_os__files(void **state)
{
    (void)state;
    char path[4096];
    strcpy(path, test_scratch("file"));
    assert_ok(lm_os_file_replace(path, "hello", 5));
    assert_ok(lm_os_file_replace(path, "hello world", 11));
    lm_os_file file;
    assert_ok(lm_os_file_open(path, &file));
    uint64_t size;
    assert_ok(lm_os_file_size(file, &size));
    assert_int_equal(size, 11);
    char text[6] = "";
    assert_ok(lm_os_file_read(file, 6, text, 5));
    assert_string_equal(text, "world");
    assert_status(lm_os_file_read(file, 7, text, 5), LLM_E_IO);
    lm_os_mapping map;
    assert_ok(lm_os_map(file, size, &map));
    assert_memory_equal(map.data, "hello world", 11);
    lm_os_unmap(&map);
    lm_os_file_close(&file);
    assert_status(lm_os_file_open("/nonexistent/file", &file), LLM_E_NOT_FOUND);
    remove(path);
}

typedef struct counter {
    lm_os_mutex mutex;
    lm_os_cond cond;
    int value;
} counter;

static void count_up(void *arg)
{
    counter *c = arg;
    lm_os_mutex_lock(&c->mutex);
    c->value++;
    lm_os_cond_wake_all(&c->cond);
    lm_os_mutex_unlock(&c->mutex);
}

static void test_os__threads(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    counter c = {0};
    assert_ok(lm_os_mutex_init(&m.alloc, &c.mutex));
    assert_ok(lm_os_cond_init(&m.alloc, &c.cond));
    lm_os_thread threads[8];
    for (int i = 0; i < 8; i++)
        assert_ok(lm_os_thread_start(&m.alloc, count_up, &c, &threads[i]));
    lm_os_mutex_lock(&c.mutex);
    while (c.value < 8)
        lm_os_cond_wait(&c.cond, &c.mutex);
    lm_os_mutex_unlock(&c.mutex);
    for (int i = 0; i < 8; i++)
        lm_os_thread_join(&m.alloc, &threads[i]);
    lm_os_cond_finish(&m.alloc, &c.cond);
    lm_os_mutex_finish(&m.alloc, &c.mutex);
    test_memory_check(&m);
    assert_true(lm_os_cpu_count() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc__counts_and_aligns),
        cmocka_unit_test(test_alloc__library_memory),
        cmocka_unit_test(test_arena__gives_all_back),
        cmocka_unit_test(test_arena__copies),
        cmocka_unit_test(test_strmap__finds_what_was_added),
        cmocka_unit_test(test_params__sizes),
        cmocka_unit_test(test_params__named),
        cmocka_unit_test(test_status__prefixes_and_cuts),
        cmocka_unit_test(test_status__is_one_line),
        cmocka_unit_test(test_half__round_trips),
        cmocka_unit_test(test_checked__wraps_are_seen),
        cmocka_unit_test(test_os__files),
        cmocka_unit_test(test_os__threads),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
