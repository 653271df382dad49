/* test_wordpiece.c - BERT's tokenizer against published ids, by hand, on hostile vocabularies. */
#include "models.h"
#include "vocabs.h"

#include <stdlib.h>
#include <string.h>

/* --- published ids ---------------------------------------------------------------------------- */

static const char bge[] = "ggml-vocab-bert-bge";

static void test_wordpiece__pairs_bge(void **state)
{
    (void)state;
    test_vocab_pairs(bge);
}

static void test_wordpiece__mixed_bge(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_vocab v;
    test_vocab_open(&v, &a, bge);
    test_mixed(v.tokenizer, "mixed_bge.ids", false);
    assert_ids(v.tokenizer, "Hello", LM_ENCODE_ADD_SPECIAL, 101, 7592, 102);
    assert_ids(v.tokenizer, "a [MASK]", LM_ENCODE_PARSE_SPECIAL, 1037, 103);
    test_vocab_close(&v);
    assert_int_equal(a.bytes, 0);
}

static void test_wordpiece__corpora_bge(void **state)
{
    static const test_corpus corpora[] = {
        {"botchan.txt", 65412, 0x47b4f9d7c410b13du},
        {"tinyshakespeare.txt", 288719, 0xa2a6fd2ea6c759f6u},
        {"war-and-peace.txt", 734981, 0x6b35d2bd2354aac8u},
        {"wikitext-2-raw-test.txt", 273178, 0xf7b06c937acd556bu},
    };
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_vocab v;
    test_vocab_open(&v, &a, bge);
    test_corpora(v.tokenizer, corpora, sizeof corpora / sizeof *corpora);
    test_vocab_close(&v);
}

static void test_wordpiece__one_class_at_length(void **state)
{
    static const char *const parts[] = {"a", " ",    "\n",           "7",
                                        "!", "\xff", "\xe6\xbc\xa2", "\xcc\x81"};
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_vocab v;
    test_vocab_open(&v, &a, bge);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        test_repeated(v.tokenizer, parts[i], 1 << 20, 0);
    test_vocab_close(&v);
}

/* --- by hand ---------------------------------------------------------------------------------- */

enum { PAD, UNK, CLS, SEP, A, AB, ON_B, ON_BC, DOT, ON_A, E_ACUTE, I, HAN, E, QUOTE, S, ON_MARK };

static const test_token small[] = {
    [PAD] = {"[PAD]", 0, LM_TOKEN_CONTROL},
    [UNK] = {"[UNK]", 0, LM_TOKEN_CONTROL},
    [CLS] = {"[CLS]", 0, LM_TOKEN_CONTROL},
    [SEP] = {"[SEP]", 0, LM_TOKEN_CONTROL},
    [A] = {"\xe2\x96\x81"
           "a",
           0, 0},
    [AB] = {"\xe2\x96\x81"
            "ab",
            0, 0},
    [ON_B] = {"b", 0, 0},
    [ON_BC] = {"bc", 0, 0},
    [DOT] = {"\xe2\x96\x81.", 0, 0},
    [ON_A] = {"a", 0, 0},
    [E_ACUTE] = {"\xe2\x96\x81\xc3\xa9", 0, 0},
    [I] = {"\xe2\x96\x81i", 0, 0},
    [HAN] = {"\xe2\x96\x81\xe6\xbc\xa2", 0, 0},
    [E] = {"\xe2\x96\x81"
           "e",
           0, 0},
    [QUOTE] = {"\xe2\x96\x81'", 0, 0},
    [S] = {"\xe2\x96\x81s", 0, 0},
    [ON_MARK] = {"\xcc\x87", 0, 0},
    {NULL, 0, 0},
};

static lm_vocab small_vocab(void)
{
    lm_vocab v = test_small_vocab("bert", small);
    v.special[LM_SPECIAL_UNK] = UNK;
    v.special[LM_SPECIAL_CLS] = CLS;
    v.special[LM_SPECIAL_SEP] = SEP;
    return v;
}

static lm_tokenizer *create(lm_allocator *a, const lm_vocab *v)
{
    lm_allocator_init(a, NULL);
    lm_tokenizer *t;
    assert_ok(lm_tokenizer_create(a, NULL, v, &t));
    return t;
}

static void test_wordpiece__longest_tokens_first(void **state)
{
    (void)state;
    lm_allocator a;
    lm_vocab v = small_vocab();
    lm_tokenizer *t = create(&a, &v);
    assert_ids(t, "abc ab a aabc", LM_ENCODE_ADD_SPECIAL, CLS, UNK, AB, A, A, ON_A, ON_BC, SEP);
    assert_ids(t, "abbc", 0, AB, ON_BC);
    assert_ids(t, "b ax a", 0, UNK, UNK, A); /* none begins a word; one letter spoils it */
    assert_ids(t,
               "a\xe2\x96\x81"
               "a",
               0, UNK);
    test_ids(t, "", 0, 0, NULL, 0);
    lm_tokenizer_destroy(t);
}

static void test_wordpiece__cleans_characters(void **state)
{
    (void)state;
    lm_allocator a;
    lm_vocab v = small_vocab();
    lm_tokenizer *t = create(&a, &v);
    assert_ids(t, "a.a", 0, A, DOT, A);
    assert_ids(t,
               "a\xe6\xbc\xa2\xe6\xbc\xa2"
               "ab",
               0, A, HAN, HAN, AB);
    assert_ids(t, "\xc3\x89 e\xcc\x81 \xc4\xb0", 0, E, E, I);
    assert_ids(t,
               "A\x01"
               "B\xe2\x80\x8b \xef\xbf\xbd \xff"
               "a\t\xe3\x80\x80"
               "a",
               0, AB, A, A);
    test_ids(t, "a\0b", 3, 0, (const int32_t[]){AB}, 1);
    lm_tokenizer_destroy(t);
}

static void test_wordpiece__case_and_accents_are_rules(void **state)
{
    (void)state;
    lm_allocator a;
    lm_vocab v = small_vocab();
    v.lowercase = LM_RULE_NO; /* accents stay too where the file says nothing of them */
    lm_tokenizer *t = create(&a, &v);
    assert_ids(t, "a A \xc3\xa9 \xc3\x89", 0, A, UNK, E_ACUTE, UNK);
    lm_tokenizer_destroy(t);
    v.strip_accents = LM_RULE_YES;
    t = create(&a, &v);
    assert_ids(t, "\xc3\xa9 \xc3\x89", 0, E, UNK);
    lm_tokenizer_destroy(t);
    v.lowercase = LM_RULE_YES;
    v.strip_accents = LM_RULE_NO;
    t = create(&a, &v);
    assert_ids(t, "\xc3\xa9 \xc3\x89 \xc4\xb0", 0, E_ACUTE, E_ACUTE, I, ON_MARK);
    lm_tokenizer_destroy(t);
}

static void test_wordpiece__words_of_100_characters(void **state)
{
    (void)state;
    lm_allocator a;
    lm_vocab v = small_vocab();
    lm_tokenizer *t = create(&a, &v);
    test_repeated(t, "a", 100, 100);
    test_repeated(t, "a", 101, 1);
    test_repeated(t, "a", 1 << 20, 1);
    lm_tokenizer_destroy(t);
}

static void test_wordpiece__decodes_clean_text(void **state)
{
    (void)state;
    lm_allocator a;
    lm_vocab v = small_vocab();
    lm_tokenizer *t = create(&a, &v);
    assert_decoded(t, 0, "ab abc. a's a", CLS, AB, A, ON_BC, DOT, A, QUOTE, S, A, SEP);
    assert_decoded(t, LM_DECODE_SPECIAL, "[CLS] a[SEP]", CLS, A, SEP);
    lm_tokenizer_destroy(t);
    v.clean_spaces = LM_RULE_NO;
    t = create(&a, &v);
    assert_decoded(t, 0, "a . a ' s", A, DOT, A, QUOTE, S);
    lm_tokenizer_destroy(t);
}

/* --- hostile ---------------------------------------------------------------------------------- */

static void test_wordpiece__vocabularies_without_words(void **state)
{
    const test_token tokens[] = {{"a", 0, 0}, {"", 0, 0}, {"\xe2\x96", 0, 0}, {NULL, 0, 0}};
    (void)state;
    lm_allocator a;
    lm_vocab v = test_small_vocab("bert", tokens);
    lm_tokenizer *t = create(&a, &v);
    test_ids(t, "a b", 3, 0, NULL, 0); /* nothing begins a word, and no token is unknown */
    lm_tokenizer_destroy(t);
    assert_int_equal(a.bytes, 0);
}

static void test_wordpiece__survives_failing_allocations(void **state)
{
    (void)state;
    lm_vocab v = small_vocab();
    test_small_failures(&v, "abc ab aab a. a's a ab a ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wordpiece__pairs_bge),
        cmocka_unit_test(test_wordpiece__mixed_bge),
        cmocka_unit_test(test_wordpiece__corpora_bge),
        cmocka_unit_test(test_wordpiece__one_class_at_length),
        cmocka_unit_test(test_wordpiece__longest_tokens_first),
        cmocka_unit_test(test_wordpiece__cleans_characters),
        cmocka_unit_test(test_wordpiece__case_and_accents_are_rules),
        cmocka_unit_test(test_wordpiece__words_of_100_characters),
        cmocka_unit_test(test_wordpiece__decodes_clean_text),
        cmocka_unit_test(test_wordpiece__vocabularies_without_words),
        cmocka_unit_test(test_wordpiece__survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
