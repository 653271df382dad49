/* test_trie.c - every key is found, nothing else, against a plain search. */
#include "support/support.h"

#include "text/trie.h"

#include <stdlib.h>
#include <string.h>

static void find(const lm_trie *trie, const char *text, size_t size, int32_t id, size_t length)
{
    size_t found;
    assert_int_equal(lm_trie_longest(trie, 0, text, size, &found), id);
    assert_int_equal(found, length);
}

static void test_trie__longest(void **state)
{
    const lm_trie_key keys[] = {{{"ab", 2}, 1}, {{"a", 1}, 2}, {{"abcd", 4}, 3},
                                {{"ab", 2}, 4}, {{"", 0}, 5},  {{"\0\xff", 2}, 6},
                                {{"\0", 1}, 7}};
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_trie trie;
    assert_ok(lm_trie_init(&trie, &a, keys, sizeof keys / sizeof *keys));
    find(&trie, "abcde", 5, 3, 4);
    find(&trie, "abcx", 4, 4, 2); /* of equal keys the last */
    find(&trie, "abcd", 3, 4, 2);
    find(&trie, "ax", 2, 2, 1);
    find(&trie, "x", 1, -1, 0);
    find(&trie, "", 0, -1, 0);
    find(&trie, "\0\xff", 2, 6, 2);
    find(&trie, "\0\xfe", 2, 7, 1);
    lm_trie_finish(&trie);
    assert_int_equal(a.bytes, 0);
}

static void test_trie__empty(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_trie trie;
    assert_ok(lm_trie_init(&trie, &a, NULL, 0));
    find(&trie, "a", 1, -1, 0);
    lm_trie_finish(&trie);
    memset(&trie, 0, sizeof trie);
    lm_trie_finish(&trie);
}

enum { KEYS = 200 };

/* Few letters make shared prefixes, many make nodes with more children than are searched in a row.
 */
static void check_random(uint64_t *random, unsigned n_letters)
{
    static char texts[KEYS][12];
    lm_trie_key keys[KEYS];
    for (int32_t i = 0; i < KEYS; i++) {
        size_t size = test_random(random) % sizeof texts[0];
        for (size_t k = 0; k < size; k++)
            texts[i][k] = (char)(test_random(random) % n_letters);
        keys[i] = (lm_trie_key){{texts[i], size}, i};
    }
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_trie trie;
    assert_ok(lm_trie_init(&trie, &a, keys, KEYS));
    for (int round = 0; round < 200; round++) {
        char text[16];
        size_t size = test_random(random) % sizeof text, length = 0;
        int32_t id = -1;
        memcpy(text, texts[test_random(random) % KEYS], sizeof texts[0]);
        for (size_t k = test_random(random) % sizeof text; k < sizeof text; k++)
            text[k] = (char)(test_random(random) % n_letters);
        for (int32_t i = 0; i < KEYS; i++)
            if (keys[i].text.size > 0 && keys[i].text.size >= length && keys[i].text.size <= size &&
                memcmp(keys[i].text.data, text, keys[i].text.size) == 0) {
                id = i;
                length = keys[i].text.size;
            }
        find(&trie, text, size, id, length);
    }
    lm_trie_finish(&trie);
    assert_int_equal(a.bytes, 0);
}

static void test_trie__agrees_with_a_plain_search(void **state)
{
    (void)state;
    uint64_t random = 4;
    for (int round = 0; round < 50; round++) {
        check_random(&random, 2);
        check_random(&random, 12);
        check_random(&random, 256);
    }
}

static void test_trie__long_keys_and_failures(void **state)
{
    (void)state;
    enum { LONG = 100 * 1024 };
    char *text = calloc(LONG, 1);
    assert_non_null(text);
    const lm_trie_key keys[] = {{{text, LONG}, 0}, {{text, LONG - 1}, 1}};
    for (uint64_t fail_at = 1;; fail_at++) {
        test_memory m;
        test_memory_init(&m);
        m.fail_at = fail_at;
        lm_trie trie;
        int32_t rc = lm_trie_init(&trie, &m.alloc, keys, 2);
        if (rc == LLM_OK) {
            find(&trie, text, LONG, 0, LONG);
            find(&trie, text, LONG - 1, 1, LONG - 1);
            lm_trie_finish(&trie);
        }
        test_memory_check(&m);
        if (rc == LLM_OK)
            break;
        assert_int_equal(rc, LLM_E_MEMORY);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trie__longest),
        cmocka_unit_test(test_trie__empty),
        cmocka_unit_test(test_trie__agrees_with_a_plain_search),
        cmocka_unit_test(test_trie__long_keys_and_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
