/* test_gguf_damage.c - a sound file cut at every byte, with every bit turned, and opened with every
 * allocation refused: never a crash, a leak or an answer that is not true. */
#include "support/support.h"

#include "format/gguf_bytes.h"
#include "format/gguf_walk.h"

#include <stdio.h>

static int32_t bytes_read(void *user, uint64_t offset, void *into, uint64_t size)
{
    const gguf_bytes *b = user;
    if (size > b->size || offset > b->size - size)
        return -1;
    memcpy(into, b->data + offset, (size_t)size);
    return 0;
}

/* Opens the bytes, walks what was opened, closes it. */
static int32_t open_and_walk(test_memory *m, const gguf_bytes *b, bool in_memory, uint64_t *sum)
{
    gguf_bytes copy = *b;
    unsigned char *exact = malloc(b->size > 0 ? b->size : 1);
    lm_source source;
    lm_gguf *g;
    assert_non_null(exact);
    memcpy(exact, b->data, b->size);
    if (in_memory)
        assert_ok(lm_source_open_memory(&m->alloc, exact, b->size, &source));
    else
        assert_ok(lm_source_open_callback(&m->alloc, bytes_read, &copy, b->size, &source));
    int32_t rc = lm_gguf_open_source(&m->alloc, NULL, NULL, &source, &g);
    if (rc == LLM_OK) {
        *sum = gguf_walk(g);
        lm_gguf_close(g);
    }
    free(exact);
    test_memory_check(m);
    return rc;
}

static void test_gguf_damage__cut_at_every_byte(void **state)
{
    (void)state;
    static gguf_bytes b;
    test_memory m;
    test_memory_init(&m);
    uint64_t sum;
    for (uint32_t version = 1; version <= 3; version++) {
        gb_sound(&b, version);
        assert_ok(open_and_walk(&m, &b, true, &sum));
        while (b.size-- > 0)
            for (int in_memory = 0; in_memory < 2; in_memory++)
                assert_status(open_and_walk(&m, &b, in_memory, &sum), LLM_E_FORMAT);
    }
}

static void check_damaged(test_memory *m, const gguf_bytes *b, size_t at)
{
    uint64_t from_memory = 0, from_callback = 0;
    int32_t rc = open_and_walk(m, b, true, &from_memory);
    if (rc != LLM_OK && rc != LLM_E_FORMAT && rc != LLM_E_UNSUPPORTED && rc != LLM_E_LIMIT)
        fail_msg("%s at byte %llu", llm_status_name(rc), (unsigned long long)at);
    assert_int_equal(open_and_walk(m, b, false, &from_callback), rc);
    assert_int_equal(from_memory, from_callback);
}

static void test_gguf_damage__every_bit_turned(void **state)
{
    (void)state;
    static gguf_bytes b;
    test_memory m;
    test_memory_init(&m);
    for (uint32_t version = 1; version <= 3; version++) {
        gb_sound(&b, version);
        for (size_t at = 0; at < b.size; at++) {
            unsigned char was = b.data[at];
            for (unsigned bit = 0; bit < 8; bit++) {
                b.data[at] = (unsigned char)(was ^ 1u << bit);
                check_damaged(&m, &b, at);
            }
            b.data[at] = was;
        }
    }
}

/* Wherever a 64-bit length might stand, a hostile one. */
static void test_gguf_damage__every_word_replaced(void **state)
{
    (void)state;
    static const uint64_t words[] = {0,
                                     1,
                                     0x7fffffff,
                                     0x80000000,
                                     0xffffffff,
                                     (uint64_t)1 << 32,
                                     (uint64_t)1 << 62,
                                     INT64_MAX,
                                     (uint64_t)1 << 63,
                                     UINT64_MAX - 7,
                                     UINT64_MAX};
    static gguf_bytes sound, b;
    test_memory m;
    test_memory_init(&m);
    gb_sound(&sound, 3);
    for (size_t at = 0; at + 8 <= sound.size; at++)
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            b = sound;
            lm_store_u64(b.data + at, words[i]);
            check_damaged(&m, &b, at);
        }
}

static void test_gguf_damage__every_allocation_refused(void **state)
{
    (void)state;
    static gguf_bytes b;
    gb_sound(&b, 3);
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        for (int after = 0; after < 2; after++) {
            uint64_t sum, refused = 0;
            for (int32_t rc = LLM_E_MEMORY; rc != LLM_OK; refused++) {
                test_memory m;
                test_memory_init(&m);
                m.fail_at = refused + 1;
                m.fail_after = after;
                rc = open_and_walk(&m, &b, in_memory, &sum);
                if (rc != LLM_OK)
                    assert_int_equal(rc, LLM_E_MEMORY);
            }
            assert_true(refused > 6);
        }
    }
}

static void test_gguf_damage__host_read_fails(void **state)
{
    (void)state;
    static gguf_bytes b;
    test_memory m;
    lm_source source;
    lm_gguf *g;
    test_memory_init(&m);
    gb_sound(&b, 3);
    /* says to be longer than what the callback can read */
    assert_ok(lm_source_open_callback(&m.alloc, bytes_read, &b, b.size + 4096, &source));
    assert_status(lm_gguf_open_source(&m.alloc, NULL, NULL, &source, &g), LLM_E_IO);
    test_memory_check(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_damage__cut_at_every_byte),
        cmocka_unit_test(test_gguf_damage__every_bit_turned),
        cmocka_unit_test(test_gguf_damage__every_word_replaced),
        cmocka_unit_test(test_gguf_damage__every_allocation_refused),
        cmocka_unit_test(test_gguf_damage__host_read_fails),
    };
    return cmocka_run_group_tests_name("gguf_damage", tests, NULL, NULL);
}
