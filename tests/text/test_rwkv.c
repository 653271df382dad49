/* test_rwkv.c - RWKV's World vocabulary against its definition, escapes, hostile vocabularies. */
#include "models.h"
#include "vocabs.h"

#include <stdlib.h>
#include <string.h>

static const char world[] = "vocab/rwkv/rwkv_vocab_v20230424.txt";

static void test_rwkv__mixed_world(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_model m;
    test_model_open_rwkv(&m, &a, world);
    test_mixed(m.tokenizer, "mixed_rwkv.ids", true);
    test_model_close(&m);
    assert_int_equal(a.bytes, 0);
}

static void test_rwkv__corpora_world(void **state)
{
    static const test_corpus corpora[] = {
        {"botchan.txt", 69915, 0x8710d0cdfcb4b3cbu},
        {"tinyshakespeare.txt", 331658, 0x15ee66597358dec9u},
        {"war-and-peace.txt", 785917, 0x087514d29b8ffa92u},
        {"wikitext-2-raw-test.txt", 288177, 0x2471e4d06d20644du},
    };
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_model m;
    test_model_open_rwkv(&m, &a, world);
    test_corpora(m.tokenizer, corpora, sizeof corpora / sizeof *corpora);
    test_model_close(&m);
}

static void test_rwkv__any_bytes_come_back(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_model m;
    test_model_open_rwkv(&m, &a, world);
    uint64_t random = 9;
    for (int round = 0; round < 200; round++) {
        char bytes[200];
        size_t size = test_random(&random) % sizeof bytes;
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)test_random(&random);
        lm_ids ids;
        lm_text back;
        lm_ids_init(&ids, &a);
        lm_text_init(&back, &a);
        assert_ok(lm_tokenizer_encode(m.tokenizer, bytes, size, 0, &ids));
        assert_ok(lm_tokenizer_decode(m.tokenizer, ids.items, ids.count, 0, &back));
        assert_int_equal(back.size, size);
        assert_true(size == 0 || memcmp(back.data, bytes, size) == 0);
        lm_ids_finish(&ids);
        lm_text_finish(&back);
    }
    test_model_close(&m);
}

static lm_tokenizer *create(lm_allocator *a, const lm_vocab *v)
{
    lm_allocator_init(a, NULL);
    lm_tokenizer *t;
    assert_ok(lm_tokenizer_create(a, NULL, v, &t));
    return t;
}

static void test_rwkv__longest_match_of_unescaped_tokens(void **state)
{
    const test_token tokens[] = {{"<s>", 0, LM_TOKEN_CONTROL},
                                 {"a", 0, 0},
                                 {"aaa", 0, 0},
                                 {"\\n", 0, 0},
                                 {"\\x80", 0, 0},
                                 {"\\\\n", 0, 0},
                                 {"\\t\\r\\'", 0, 0},
                                 {"\\xFfa", 0, 0},
                                 {"s", 0, 0},
                                 {NULL, 0, 0}};
    (void)state;
    lm_allocator a;
    lm_vocab v = test_small_vocab("rwkv", tokens);
    lm_tokenizer *t = create(&a, &v);
    assert_ids(t,
               "aaaa\n\x80\\n\t\r'\xff"
               "a",
               0, 2, 1, 3, 4, 5, 6, 7);
    assert_ids(t, "aaza", 0, 1, 1, 1); /* no token, and none for the unknown */
    assert_ids(t, "<s>s", 0, 8, 8);
    assert_ids(t, "<s>s", LM_ENCODE_PARSE_SPECIAL, 0, 8);
    assert_decoded(t, 0,
                   "a\n\x80\\n\t\r'\xff"
                   "a",
                   1, 3, 4, 5, 6, 7, 0);
    lm_tokenizer_destroy(t);
    v.special[LM_SPECIAL_UNK] = 0;
    t = create(&a, &v);
    assert_ids(t, "azz", 0, 1, 0, 0);
    lm_tokenizer_destroy(t);
}

/* Escapes cut short or unknown stand for what is written. */
static void test_rwkv__broken_escapes(void **state)
{
    const test_token tokens[] = {{"\\", 0, 0},  {"\\x", 0, 0}, {"\\x4", 0, 0},  {"\\xg0", 0, 0},
                                 {"\\q", 0, 0}, {"", 0, 0},    {"\\x-1", 0, 0}, {NULL, 0, 0}};
    (void)state;
    lm_allocator a;
    lm_vocab v = test_small_vocab("rwkv", tokens);
    lm_tokenizer *t = create(&a, &v);
    assert_decoded(t, 0, "\\xx4xg0qx-1", 0, 1, 2, 3, 4, 5, 6);
    lm_tokenizer_destroy(t);
}

/* Every place of a text is searched as far as the longest token reaches, so that has a bound. */
static void test_rwkv__tokens_too_long_to_look_for(void **state)
{
    static char text[1026];
    memset(text, 'a', sizeof text - 2);
    const test_token tokens[] = {{text, 0, 0}, {NULL, 0, 0}};
    (void)state;
    lm_allocator a;
    lm_vocab v = test_small_vocab("rwkv", tokens);
    lm_tokenizer *t = create(&a, &v);
    assert_ids(t, text, 0, 0);
    lm_tokenizer_destroy(t);
    text[sizeof text - 2] = 'a';
    v = test_small_vocab("rwkv", tokens);
    assert_int_equal(lm_tokenizer_create(&a, NULL, &v, &t), LLM_E_LIMIT);
    assert_int_equal(a.bytes, 0);
}

static void test_rwkv__survives_failing_allocations(void **state)
{
    const test_token tokens[] = {
        {"a", 0, 0}, {"b", 0, 0}, {"\\x00\\xff", 0, 0}, {"ab", 0, 0}, {NULL, 0, 0}};
    (void)state;
    lm_vocab v = test_small_vocab("rwkv", tokens);
    test_small_failures(&v, "abbaabbaabbaaabbbbaaabbba");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rwkv__mixed_world),
        cmocka_unit_test(test_rwkv__corpora_world),
        cmocka_unit_test(test_rwkv__any_bytes_come_back),
        cmocka_unit_test(test_rwkv__longest_match_of_unescaped_tokens),
        cmocka_unit_test(test_rwkv__broken_escapes),
        cmocka_unit_test(test_rwkv__tokens_too_long_to_look_for),
        cmocka_unit_test(test_rwkv__survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
