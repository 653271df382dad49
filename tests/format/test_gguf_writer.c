/* test_gguf_writer.c - what is written is what is read back; misuse is refused; nothing half-done
 * is left behind. */
#include "support/support.h"

#include "format/gguf_walk.h"
#include "format/gguf_writer.h"

#include <stdio.h>
#include <stdlib.h>

static char path[4096];

static const char *scratch(const char *name)
{
    snprintf(path, sizeof path, "%s", test_scratch(name));
    return path;
}

static bool exists(const char *file)
{
    FILE *f = fopen(file, "rb");
    if (f != NULL)
        fclose(f);
    return f != NULL;
}

static const uint64_t dims_a[] = {256, 3}, dims_b[] = {5}, dims_c[] = {32, 2, 2};
static const char *const words[] = {"", "one", "two words"};
static const int32_t ints[] = {-1, 0, 2000000000};
static const float floats[] = {0.5f, -1e30f};

/* A file with a value of every kind and three tensors; 630 + 20 + 136 bytes of data. */
static int32_t write_all(lm_gguf_writer *w, size_t piece)
{
    static const int64_t wide = INT64_MIN;
    static const lm_gguf_value value = {LM_GGUF_I64, false, 1, &wide};
    LM_TRY(lm_gguf_writer_string(w, "general.architecture", "llama"));
    LM_TRY(lm_gguf_writer_u32(w, "u32", 4000000000u));
    LM_TRY(lm_gguf_writer_f32(w, "f32", 1.5f));
    LM_TRY(lm_gguf_writer_bool(w, "bool", true));
    LM_TRY(lm_gguf_writer_strings(w, "strings", words, 3));
    LM_TRY(lm_gguf_writer_i32s(w, "i32s", ints, 3));
    LM_TRY(lm_gguf_writer_f32s(w, "f32s", floats, 2));
    LM_TRY(lm_gguf_writer_value(w, "wide", &value));
    LM_TRY(lm_gguf_writer_tensor(w, "a", lm_format_by_id(LM_Q6_K), dims_a, 2));
    LM_TRY(lm_gguf_writer_tensor(w, "b", lm_format_by_id(LM_F32), dims_b, 1));
    LM_TRY(lm_gguf_writer_tensor(w, "c", lm_format_by_id(LM_Q8_0), dims_c, 3));
    unsigned char data[630 + 20 + 136];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7);
    for (size_t at = 0; at < sizeof data; at += piece)
        LM_TRY(
            lm_gguf_writer_data(w, data + at, piece < sizeof data - at ? piece : sizeof data - at));
    return lm_gguf_writer_finish(w);
}

static void check_written(const char *file)
{
    test_memory m;
    lm_gguf *g;
    test_memory_init(&m);
    assert_ok(lm_gguf_open_path(&m.alloc, NULL, NULL, file, LM_SOURCE_MAP, &g));
    uint64_t u;
    int64_t i;
    double f;
    bool b;
    assert_int_equal(g->version, 3);
    assert_int_equal(g->n_pairs, 8);
    assert_ok(lm_gguf_get_u64(g, "u32", 0, &u));
    assert_int_equal(u, 4000000000u);
    assert_ok(lm_gguf_get_f64(g, "f32", 0, &f));
    assert_true(f == 1.5);
    assert_ok(lm_gguf_get_bool(g, "bool", &b));
    assert_true(b);
    const lm_gguf_value *strings = lm_gguf_find(g, "strings");
    assert_int_equal(strings->count, 3);
    for (size_t k = 0; k < 3; k++)
        assert_string_equal(((const lm_gguf_string *)strings->items)[k].data, words[k]);
    for (size_t k = 0; k < 3; k++) {
        assert_ok(lm_gguf_get_i64(g, "i32s", k, &i));
        assert_int_equal(i, ints[k]);
    }
    assert_memory_equal(lm_gguf_find(g, "f32s")->items, floats, sizeof floats);
    assert_ok(lm_gguf_get_i64(g, "wide", 0, &i));
    assert_true(i == INT64_MIN);
    uint64_t at = 0;
    assert_int_equal(g->n_tensors, 3);
    for (uint64_t k = 0; k < 3; k++) {
        const unsigned char *data = lm_gguf_data(g, &g->tensors[k]);
        assert_int_equal(g->tensors[k].offset % 32, 0);
        for (uint64_t n = 0; n < g->tensors[k].bytes; n++, at++)
            assert_int_equal(data[n], (at * 7) & 255);
    }
    assert_int_equal(at, 630 + 20 + 136);
    assert_int_equal(lm_gguf_find_tensor(g, "c")->dims[2], 2);
    (void)gguf_walk(g);
    lm_gguf_close(g);
    test_memory_check(&m);
}

static void test_gguf_writer__reads_back(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 630, 650, 10000};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        test_memory m;
        lm_gguf_writer *w;
        test_memory_init(&m);
        assert_ok(lm_gguf_writer_create(&m.alloc, scratch("back.gguf"), &w));
        assert_ok(write_all(w, pieces[i]));
        assert_status(lm_gguf_writer_finish(w), LLM_E_STATE);
        lm_gguf_writer_destroy(w);
        test_memory_check(&m);
        check_written(path);
        remove(path);
    }
}

static void test_gguf_writer__leaves_nothing_unfinished(void **state)
{
    (void)state;
    test_memory m;
    lm_gguf_writer *w;
    test_memory_init(&m);
    test_write(scratch("old.gguf"), "old", 3);
    assert_ok(lm_gguf_writer_create(&m.alloc, path, &w));
    assert_ok(lm_gguf_writer_tensor(w, "b", lm_format_by_id(LM_F32), dims_b, 1));
    assert_ok(lm_gguf_writer_data(w, floats, 8));
    assert_status(lm_gguf_writer_finish(w), LLM_E_STATE);
    lm_gguf_writer_destroy(w);
    size_t size;
    unsigned char *old = test_read(path, &size);
    assert_int_equal(size, 3);
    assert_memory_equal(old, "old", 3);
    free(old);
    remove(path);
    assert_status(lm_gguf_writer_create(&m.alloc, "/nonexistent/x.gguf", &w), LLM_E_IO);
    lm_gguf_writer_destroy(NULL);
    test_memory_check(&m);
}

static void test_gguf_writer__refuses_misuse(void **state)
{
    (void)state;
    static const uint64_t zero[] = {32, 0}, huge[] = {(uint64_t)1 << 32, (uint64_t)1 << 32},
                          odd[] = {33}, large[] = {(uint64_t)1 << 62, 1};
    const lm_format *f32 = lm_format_by_id(LM_F32), *q8 = lm_format_by_id(LM_Q8_0);
    const lm_gguf_value nested = {LM_GGUF_ARRAY, true, 1, ""}, two = {LM_GGUF_U8, false, 2, "ab"};
    test_memory m;
    lm_gguf_writer *w;
    test_memory_init(&m);
    assert_ok(lm_gguf_writer_create(&m.alloc, scratch("misuse.gguf"), &w));
    assert_ok(lm_gguf_writer_u32(w, "k", 1));
    assert_status(lm_gguf_writer_u32(w, "k", 2), LLM_E_INVALID);
    assert_status(lm_gguf_writer_u32(w, "", 2), LLM_E_INVALID);
    assert_status(lm_gguf_writer_u32(w, "general.alignment", 64), LLM_E_INVALID);
    assert_status(lm_gguf_writer_value(w, "n", &nested), LLM_E_INVALID);
    assert_status(lm_gguf_writer_value(w, "n", &two), LLM_E_INVALID);
    assert_status(lm_gguf_writer_tensor(w, "t", f32, zero, 2), LLM_E_INVALID);
    assert_status(lm_gguf_writer_tensor(w, "t", f32, huge, 2), LLM_E_INVALID);
    assert_status(lm_gguf_writer_tensor(w, "t", f32, large, 1), LLM_E_INVALID);
    assert_status(lm_gguf_writer_tensor(w, "t", q8, odd, 1), LLM_E_INVALID);
    assert_status(lm_gguf_writer_tensor(w, "t", f32, dims_b, 0), LLM_E_INVALID);
    assert_status(lm_gguf_writer_tensor(w, "t", f32, dims_b, 5), LLM_E_INVALID);
    assert_ok(lm_gguf_writer_tensor(w, "b", f32, dims_b, 1));
    assert_status(lm_gguf_writer_tensor(w, "b", f32, dims_b, 1), LLM_E_INVALID);
    assert_status(lm_gguf_writer_data(w, dims_a, 21), LLM_E_INVALID);
    assert_ok(lm_gguf_writer_data(w, ints, 12));
    assert_status(lm_gguf_writer_u32(w, "late", 1), LLM_E_STATE);
    assert_status(lm_gguf_writer_tensor(w, "late", f32, dims_b, 1), LLM_E_STATE);
    uint64_t left = 0;
    assert_string_equal(lm_gguf_writer_next(w, &left)->name.data, "b");
    assert_int_equal(left, 8);
    assert_ok(lm_gguf_writer_data(w, floats, 8));
    assert_null(lm_gguf_writer_next(w, &left));
    assert_status(lm_gguf_writer_data(w, floats, 1), LLM_E_INVALID);
    assert_ok(lm_gguf_writer_finish(w));
    assert_status(lm_gguf_writer_data(w, floats, 0), LLM_E_STATE);
    lm_gguf_writer_destroy(w);
    test_memory_check(&m);
    lm_gguf *g;
    assert_ok(lm_gguf_open_path(&m.alloc, NULL, NULL, path, LM_SOURCE_MAP, &g));
    assert_int_equal(g->n_pairs, 1);
    assert_int_equal(g->n_tensors, 1);
    lm_gguf_close(g);
    remove(path);
}

static void test_gguf_writer__every_allocation_refused(void **state)
{
    (void)state;
    uint64_t refused = 0;
    scratch("refused.gguf");
    for (int32_t rc = LLM_E_MEMORY; rc != LLM_OK; refused++) {
        test_memory m;
        lm_gguf_writer *w = NULL;
        test_memory_init(&m);
        m.fail_at = refused + 1;
        rc = lm_gguf_writer_create(&m.alloc, path, &w);
        if (rc == LLM_OK)
            rc = write_all(w, 100);
        if (rc != LLM_OK)
            assert_int_equal(rc, LLM_E_MEMORY);
        lm_gguf_writer_destroy(w);
        test_memory_check(&m);
        assert_int_equal(exists(path), rc == LLM_OK);
    }
    assert_true(refused > 8);
    check_written(path);
    remove(path);
}

int main(int argc, char **argv)
{
    if (argc == 2) { /* for check_with_gguf.py: leaves the file of the tests at this path */
        test_memory m;
        lm_gguf_writer *w = NULL;
        test_memory_init(&m);
        int32_t rc = lm_gguf_writer_create(&m.alloc, argv[1], &w);
        if (rc < 0 || (rc = write_all(w, 100)) < 0)
            fprintf(stderr, "%s\n", llm_last_error());
        lm_gguf_writer_destroy(w);
        return rc < 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_writer__reads_back),
        cmocka_unit_test(test_gguf_writer__leaves_nothing_unfinished),
        cmocka_unit_test(test_gguf_writer__refuses_misuse),
        cmocka_unit_test(test_gguf_writer__every_allocation_refused),
    };
    return cmocka_run_group_tests_name("gguf_writer", tests, NULL, NULL);
}
