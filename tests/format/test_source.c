/* test_source.c - the same bytes from a path, a descriptor, memory and a callback; ranges outside
 * and things that are no files. */
#define _POSIX_C_SOURCE 200809L /* fileno */
#include "support/support.h"

#include "format/source.h"

#include <stdio.h>
#include <string.h>

static const char text[] = "some bytes to be read";

static int32_t text_read(void *user, uint64_t offset, void *into, uint64_t size)
{
    int32_t *answer = user;
    memcpy(into, text + offset, (size_t)size);
    return *answer;
}

static void check_source(lm_source *s, bool in_memory)
{
    char part[8] = "";
    assert_int_equal(s->size, sizeof text);
    assert_int_equal(s->data != NULL, in_memory);
    if (in_memory)
        assert_memory_equal(s->data, text, sizeof text);
    assert_ok(lm_source_read(s, 5, part, 5));
    assert_string_equal(part, "bytes");
    assert_ok(lm_source_read(s, sizeof text - 1, part, 1));
    assert_int_equal(part[0], 0);
    assert_ok(lm_source_read(s, sizeof text, NULL, 0));
    assert_status(lm_source_read(s, sizeof text, part, 1), LLM_E_FORMAT);
    assert_status(lm_source_read(s, 1, part, sizeof text), LLM_E_FORMAT);
    assert_status(lm_source_read(s, UINT64_MAX, part, 2), LLM_E_FORMAT);
    lm_source_close(s);
    assert_status(lm_source_read(s, 0, part, 1), LLM_E_FORMAT);
}

static void test_source__same_bytes_from_everywhere(void **state)
{
    (void)state;
    test_memory m;
    lm_source s;
    char path[4096];
    test_memory_init(&m);
    snprintf(path, sizeof path, "%s", test_scratch("source"));
    test_write(path, text, sizeof text);
    for (uint32_t mode = LM_SOURCE_MAP; mode <= LM_SOURCE_READ; mode++) {
        assert_ok(lm_source_open_path(&m.alloc, path, mode, &s));
        check_source(&s, mode == LM_SOURCE_MAP);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        assert_ok(lm_source_open_fd(&m.alloc, fileno(file), mode, &s));
        fclose(file); /* the source has its own */
        check_source(&s, mode == LM_SOURCE_MAP);
    }
    int32_t answer = 0;
    assert_ok(lm_source_open_memory(&m.alloc, text, sizeof text, &s));
    check_source(&s, true);
    assert_ok(lm_source_open_callback(&m.alloc, text_read, &answer, sizeof text, &s));
    check_source(&s, false);
    remove(path);
    test_memory_check(&m);
}

static void test_source__refuses_what_is_none(void **state)
{
    (void)state;
    test_memory m;
    lm_source s;
    char path[4096], byte;
    int32_t answer = -99;
    test_memory_init(&m);
    snprintf(path, sizeof path, "%s", test_scratch("empty"));
    test_write(path, "", 0);
    for (uint32_t mode = LM_SOURCE_MAP; mode <= LM_SOURCE_READ; mode++) {
        assert_ok(
            lm_source_open_path(&m.alloc, path, mode, &s)); /* the format says what is wrong */
        assert_int_equal(s.size, 0);
        lm_source_close(&s);
        assert_status(lm_source_open_path(&m.alloc, "/nonexistent/file", mode, &s),
                      LLM_E_NOT_FOUND);
        assert_status(lm_source_open_fd(&m.alloc, -1, mode, &s), LLM_E_IO);
    }
    assert_status(lm_source_open_memory(&m.alloc, NULL, 1, &s), LLM_E_INVALID);
    assert_status(lm_source_open_callback(&m.alloc, NULL, NULL, 1, &s), LLM_E_INVALID);
    assert_ok(lm_source_open_callback(&m.alloc, text_read, &answer, sizeof text, &s));
    assert_status(lm_source_read(&s, 0, &byte, 1), LLM_E_IO); /* its own codes are not ours */
    lm_source_close(&s);
    remove(path);
    test_memory_check(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source__same_bytes_from_everywhere),
        cmocka_unit_test(test_source__refuses_what_is_none),
    };
    return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
