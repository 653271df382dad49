/* test_utf8_stream.c - whole characters only, whatever the cuts; broken ones as WHATWG replaces
 * them. */
#include "support/support.h"

#include "text/tokenizer.h"

#include <string.h>

#define FFFD "\xef\xbf\xbd"

/* Pushes `size` bytes in parts that `random` chooses (0: all at once). */
static void push_parts(const char *bytes, size_t size, uint64_t random, lm_text *out)
{
    lm_utf8_stream s = {.n_held = 0};
    for (size_t at = 0; at < size;) {
        size_t part = random == 0 ? size : test_random(&random) % 5;
        if (part > size - at)
            part = size - at;
        assert_ok(lm_utf8_stream_push(&s, bytes + at, part, false, out));
        assert_true(s.n_held < 4);
        at += part;
    }
    assert_ok(lm_utf8_stream_push(&s, NULL, 0, true, out));
    assert_int_equal(s.n_held, 0);
}

static void check(const char *bytes, size_t size, const char *wanted)
{
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    for (uint64_t random = 0; random < 20; random++) {
        lm_text out;
        lm_text_init(&out, &a);
        push_parts(bytes, size, random, &out);
        assert_ok(lm_text_append(&out, "", 1));
        assert_string_equal(out.data, wanted);
        lm_text_finish(&out);
    }
}

/* The table of the Unicode standard, section 3.9, and its neighbours. */
static void test_utf8_stream__maximal_subparts(void **state)
{
    static const struct {
        const char *bytes, *wanted;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", FFFD FFFD FFFD FFFD "A"},
        {"\xf0\x9f\x98", FFFD},
        {"\xf0\x9f\x98\xf0\x9f\x98\x80", FFFD "\xf0\x9f\x98\x80"},
        {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf",
         "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf"},
        {"\xf5\x80\xf8\x88\xc1\xfe", FFFD FFFD FFFD FFFD FFFD FFFD},
        {"\xc2"
         "a\xe0\xa0"
         "b\xf4\x8f\xbf"
         "c",
         FFFD "a" FFFD "b" FFFD "c"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(cases[i].bytes, strlen(cases[i].bytes), cases[i].wanted);
}

static bool is_whole(const lm_text *text)
{
    static const unsigned char lengths[16] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 2, 2, 3, 4};
    size_t at = 0;
    while (at < text->size) {
        size_t length = lengths[(unsigned char)text->data[at] >> 4];
        if (length == 0)
            return false;
        at += length;
    }
    return at == text->size;
}

/* Any cuts give one text, and every prefix that was given out ends with a whole character. */
static void test_utf8_stream__cuts_do_not_matter(void **state)
{
    static const unsigned char interesting[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                                0xa0, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xe1,
                                                0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    uint64_t random = 77;
    for (int round = 0; round < 3000; round++) {
        char bytes[64];
        size_t size = test_random(&random) % sizeof bytes;
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)interesting[test_random(&random) % sizeof interesting];
        lm_text whole, parts;
        lm_text_init(&whole, &a);
        lm_text_init(&parts, &a);
        push_parts(bytes, size, 0, &whole);
        lm_utf8_stream s = {.n_held = 0};
        for (size_t at = 0; at < size; at++) {
            assert_ok(lm_utf8_stream_push(&s, bytes + at, 1, at + 1 == size, &parts));
            assert_true(is_whole(&parts));
        }
        assert_int_equal(whole.size, parts.size);
        assert_true(size == 0 || memcmp(whole.data, parts.data, whole.size) == 0);
        parts.size = 0;
        push_parts(bytes, size, 1 + test_random(&random), &parts);
        assert_int_equal(whole.size, parts.size);
        assert_true(size == 0 || memcmp(whole.data, parts.data, whole.size) == 0);
        lm_text_finish(&whole);
        lm_text_finish(&parts);
    }
}

static void test_utf8_stream__failed_push_changes_nothing(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    lm_text out;
    lm_text_init(&out, &m.alloc);
    lm_utf8_stream s = {.n_held = 0};
    assert_ok(lm_utf8_stream_push(&s, "ok\xe2\x82", 4, false, &out));
    m.fail_at = m.calls + 1;
    char rest[100];
    memset(rest, 'x', sizeof rest);
    rest[0] = '\xac';
    assert_status(lm_utf8_stream_push(&s, rest, sizeof rest, false, &out), LLM_E_MEMORY);
    assert_int_equal(out.size, 2);
    assert_int_equal(s.n_held, 2);
    m.fail_at = 0;
    assert_ok(lm_utf8_stream_push(&s, rest, 1, true, &out));
    assert_int_equal(out.size, 5);
    assert_memory_equal(out.data, "ok\xe2\x82\xac", 5);
    lm_text_finish(&out);
    test_memory_check(&m);
}

static void test_utf8_stream__refuses_a_state_not_its_own(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_text out;
    lm_text_init(&out, &a);
    lm_utf8_stream s = {.n_held = 4};
    assert_status(lm_utf8_stream_push(&s, "a", 1, false, &out), LLM_E_INVALID);
    assert_int_equal(out.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_stream__maximal_subparts),
        cmocka_unit_test(test_utf8_stream__cuts_do_not_matter),
        cmocka_unit_test(test_utf8_stream__failed_push_changes_nothing),
        cmocka_unit_test(test_utf8_stream__refuses_a_state_not_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
