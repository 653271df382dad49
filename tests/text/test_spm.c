/* test_spm.c - SentencePiece BPE against published ids, by hand, against a plain program, on
 * hostile vocabularies, at length. */
#include "models.h"
#include "vocabs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- published ids ---------------------------------------------------------------------------- */

static void test_spm__pairs_llama(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-llama-spm");
}

static void test_spm__pairs_phi3(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-phi-3");
}

static void test_spm__opens_gguf_v1(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_vocab v;
    test_vocab_open(&v, &a, "gguf-v1-llama");
    assert_ids(v.tokenizer, "Hello world", 0, 15043, 3186);
    test_vocab_close(&v);
    assert_int_equal(a.bytes, 0);
}

static const char mistral[] = "vocab/spm/mistral-tokenizer.model.v1";

static void test_spm__mixed_mistral(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_model m;
    test_model_open_sentencepiece(&m, &a, mistral, "llama");
    test_mixed(m.tokenizer, "mixed_mistral.ids", true);
    test_model_close(&m);
    assert_int_equal(a.bytes, 0);
}

static void test_spm__corpora_mistral(void **state)
{
    static const test_corpus corpora[] = {
        {"botchan.txt", 77098, 0xca48d77569db0899u},
        {"tinyshakespeare.txt", 361972, 0x1f94c76c8e29f107u},
        {"war-and-peace.txt", 843254, 0xbab0658399f57c56u},
        {"wikitext-2-raw-test.txt", 328879, 0x536046cd21035972u},
    };
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_model m;
    test_model_open_sentencepiece(&m, &a, mistral, "llama");
    test_corpora(m.tokenizer, corpora, sizeof corpora / sizeof *corpora);
    test_model_close(&m);
}

static void test_spm__one_class_at_length(void **state)
{
    static const char *const parts[] = {"a", " ",  "\n",   "7",           "!",
                                        "=", "ab", "\xff", "\xe6\xbc\xa2"};
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_model m;
    test_model_open_sentencepiece(&m, &a, mistral, "llama");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        test_repeated(m.tokenizer, parts[i], 1 << 20, 0);
    test_model_close(&m);
}

/* --- by hand ---------------------------------------------------------------------------------- */

enum { UNK, BOS, EOS, SPACE, A, B, C, AB, BC, AA, SPACE_A, ABA, CROSS, USER, BYTE };

static const test_token small[] = {
    [UNK] = {"<unk>", 0, LM_TOKEN_UNKNOWN},
    [BOS] = {"<s>", 0, LM_TOKEN_CONTROL},
    [EOS] = {"</s>", 0, LM_TOKEN_CONTROL},
    [SPACE] = {"\xe2\x96\x81", -9, 0},
    [A] = {"a", -9, 0},
    [B] = {"b", -9, 0},
    [C] = {"c", -9, 0},
    [AB] = {"ab", -3, 0},
    [BC] = {"bc", -2, 0},
    [AA] = {"aa", -4, 0},
    [SPACE_A] = {"\xe2\x96\x81"
                 "a",
                 -8, 0},
    [ABA] = {"aba", -1, LM_TOKEN_UNUSED},
    [CROSS] = {"c\xe2\x96\x81", -1, 0},
    [USER] = {"<u>", 0, LM_TOKEN_USER_DEFINED},
    [BYTE] = {"<0x78>", 0, LM_TOKEN_BYTE}, /* x */
    {NULL, 0, 0},
};

static lm_tokenizer *small_tokenizer(lm_allocator *a, const test_token *tokens)
{
    lm_allocator_init(a, NULL);
    lm_vocab v = test_small_vocab("llama", tokens);
    lm_tokenizer *t;
    assert_ok(lm_tokenizer_create(a, NULL, &v, &t));
    return t;
}

static void test_spm__joins_by_score(void **state)
{
    (void)state;
    lm_allocator a;
    lm_tokenizer *t = small_tokenizer(&a, small);
    assert_ids(t, "abc", 0, SPACE_A, BC);
    assert_ids(t, "bab", 0, SPACE, B, AB);
    assert_ids(t, "baaa", 0, SPACE, B, AA, A);
    assert_ids(t, "ab a", 0, SPACE, AB, SPACE_A);
    assert_ids(t, "c b", 0, SPACE, CROSS, B);
    test_ids(t, "", 0, 0, NULL, 0);
    lm_tokenizer_destroy(t);
}

/* "aba" wins, may not be used and is taken apart into what it was joined from. */
static void test_spm__takes_unused_tokens_apart(void **state)
{
    (void)state;
    lm_allocator a;
    lm_tokenizer *t = small_tokenizer(&a, small);
    assert_ids(t, "baba", 0, SPACE, B, AB, A);
    assert_ids(t, "babaaba", 0, SPACE, B, AB, A, AB, A);
    lm_tokenizer_destroy(t);
}

static void test_spm__bytes_and_unknown_runs(void **state)
{
    (void)state;
    lm_allocator a;
    lm_tokenizer *t = small_tokenizer(&a, small);
    assert_ids(t, "x", 0, SPACE, BYTE);
    assert_ids(t,
               "yy\xc3\xa9"
               "axz",
               0, SPACE, UNK, A, BYTE, UNK);
    test_ids(t,
             "a\0\xff"
             "b",
             4, 0, (const int32_t[]){SPACE_A, UNK, B}, 3);
    assert_decoded(t, 0, "ax", SPACE_A, UNK, BYTE);
    lm_tokenizer_destroy(t);
}

static void test_spm__marked_tokens(void **state)
{
    (void)state;
    lm_allocator a;
    lm_tokenizer *t = small_tokenizer(&a, small);
    uint32_t both = LM_ENCODE_ADD_SPECIAL | LM_ENCODE_PARSE_SPECIAL;
    assert_ids(t, "a<s>a", 0, SPACE_A, UNK, A);
    assert_ids(t, "a<s>a", both, BOS, SPACE_A, BOS, SPACE_A);
    assert_ids(t, "a<u>a", 0, SPACE_A, USER, SPACE_A);
    assert_ids(t, "<0x78>", 0, SPACE, UNK, BYTE, UNK);
    assert_decoded(t, 0, "a<u> a", BOS, SPACE_A, USER, SPACE_A, EOS);
    assert_decoded(t, LM_DECODE_SPECIAL, "<s> a</s>", BOS, SPACE_A, EOS);
    lm_tokenizer_destroy(t);
}

static void test_spm__space_prefix_is_a_rule(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_vocab v = test_small_vocab("llama", small);
    v.add_space_prefix = LM_RULE_NO;
    lm_tokenizer *t;
    assert_ok(lm_tokenizer_create(&a, NULL, &v, &t));
    assert_ids(t, "a a", 0, A, SPACE_A);
    assert_ids(t,
               "a\xe2\x96\x81"
               "a",
               0, A, SPACE_A);
    assert_decoded(t, 0, " a a", SPACE_A, SPACE_A);
    lm_tokenizer_destroy(t);
}

/* --- against a plain program ------------------------------------------------------------------ */

typedef struct run {
    size_t start, size;
} run;

/* Joins the best pair of all, again and again; -1 stands for text without a token. */
static size_t plain_encode(const lm_tokenizer *t, const float *scores, const char *text,
                           size_t size, int32_t *ids)
{
    run runs[512];
    size_t n = 0;
    for (size_t at = 0; at < size; at += runs[n++].size)
        runs[n] = (run){at, (text[at] & 0x80) == 0 ? 1u : (text[at] & 0x20) != 0 ? 3u : 2u};
    for (;;) {
        size_t best = n;
        float best_score = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            int32_t id =
                lm_tokenizer_find(t, text + runs[i].start, runs[i].size + runs[i + 1].size);
            if (id >= 0 && (best == n || scores[id] > best_score)) {
                best = i;
                best_score = scores[id];
            }
        }
        if (best == n)
            break;
        runs[best].size += runs[best + 1].size;
        n--;
        memmove(&runs[best + 1], &runs[best + 2], (n - best - 1) * sizeof *runs);
    }
    size_t n_ids = 0;
    bool unknown = false;
    for (size_t i = 0; i < n; i++) {
        int32_t id = lm_tokenizer_find(t, text + runs[i].start, runs[i].size);
        if (id >= 0 || !unknown)
            ids[n_ids++] = id < 0 ? 0 : id;
        unknown = id < 0;
    }
    return n_ids;
}

static const char *const letters[] = {"a", "b", "c", "\xc3\xa9", "\xe2\x96\x81"};

static size_t random_word(uint64_t *random, char *to, size_t n_letters, size_t kinds)
{
    size_t size = 0;
    for (size_t i = 0; i < n_letters; i++) {
        const char *letter = letters[test_random(random) % kinds];
        memcpy(to + size, letter, strlen(letter));
        size += strlen(letter);
    }
    to[size] = '\0';
    return size;
}

static void test_spm__agrees_with_a_plain_program(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (int round = 0; round < 300; round++) {
        char words[41][16];
        test_token tokens[42] = {{"<unk>", 0, LM_TOKEN_UNKNOWN}};
        for (size_t i = 1; i < 41; i++) {
            random_word(&random, words[i], 1 + test_random(&random) % 4, 5);
            tokens[i] = (test_token){words[i], -(float)(test_random(&random) % 6), 0};
        }
        lm_allocator a;
        lm_tokenizer *t = small_tokenizer(&a, tokens);
        float scores[41];
        for (size_t i = 0; i < 41; i++)
            scores[i] = tokens[i].score;
        for (int i = 0; i < 20; i++) {
            char text[256] = "\xe2\x96\x81";
            int32_t wanted[256];
            size_t size = 3 + random_word(&random, text + 3, test_random(&random) % 40, 5);
            size_t n = plain_encode(t, scores, text, size, wanted);
            test_ids(t, text + 3, size - 3, 0, wanted, size == 3 ? 0 : n);
        }
        lm_tokenizer_destroy(t);
    }
}

/* Long texts remember words; a word's ids must not depend on that, nor on what stands before. */
static void test_spm__long_texts_are_the_sum_of_their_words(void **state)
{
    static const char *const words[] = {"abc", "bab", "x",  "y",
                                        "yay", "aab", "zz", "bcbcbcbcbcbcbcbcbcbcb"};
    enum { WORDS = 4000 };
    static char text[WORDS * 24];
    (void)state;
    lm_allocator a;
    test_token tokens[sizeof small / sizeof *small];
    memcpy(tokens, small, sizeof small);
    tokens[CROSS].text = "cc"; /* nothing goes on over a space */
    lm_tokenizer *t = small_tokenizer(&a, tokens);
    lm_ids wanted, ids;
    lm_ids_init(&wanted, &a);
    lm_ids_init(&ids, &a);
    uint64_t random = 8;
    size_t size = 0;
    for (int i = 0; i < WORDS; i++) {
        const char *word = words[test_random(&random) % (sizeof words / sizeof *words)];
        assert_ok(lm_tokenizer_encode(t, word, strlen(word), 0, &wanted));
        if (i != 0)
            text[size++] = ' ';
        memcpy(text + size, word, strlen(word));
        size += strlen(word);
    }
    assert_ok(lm_tokenizer_encode(t, text, size, 0, &ids));
    assert_int_equal(ids.count, wanted.count);
    assert_memory_equal(ids.items, wanted.items, ids.count * sizeof *ids.items);
    lm_ids_finish(&wanted);
    lm_ids_finish(&ids);
    lm_tokenizer_destroy(t);
    assert_int_equal(a.bytes, 0);
}

/* --- hostile vocabularies --------------------------------------------------------------------- */

static void test_spm__refuses_malformed_bytes(void **state)
{
    static const char *const texts[] = {"<0x-1>", "<0x1>", "<0xZZ>", "<0x123>", "x", "", "<0x 1>"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const test_token tokens[] = {{"a", 0, 0}, {texts[i], 0, LM_TOKEN_BYTE}, {NULL, 0, 0}};
        test_memory m;
        test_memory_init(&m);
        lm_vocab v = test_small_vocab("llama", tokens);
        lm_tokenizer *t;
        assert_status(lm_tokenizer_create(&m.alloc, NULL, &v, &t), LLM_E_FORMAT);
        test_memory_check(&m);
    }
}

static void test_spm__odd_scores(void **state)
{
    const test_token tokens[] = {
        {"<unk>", 0, LM_TOKEN_UNKNOWN}, {"a", NAN, 0},        {"b", INFINITY, 0}, {"ab", NAN, 0},
        {"ba", -INFINITY, 0},           {"aba", INFINITY, 0}, {"bb", NAN, 0},     {NULL, 0, 0}};
    (void)state;
    lm_allocator a;
    lm_tokenizer *t = small_tokenizer(&a, tokens);
    assert_ids(t, "aba", 0, 0, 5);
    test_repeated(t, "abba", 1000, 0);
    lm_tokenizer_destroy(t);
    lm_vocab v = test_small_vocab("llama", tokens);
    v.scores = NULL; /* all alike: from the left */
    assert_ok(lm_tokenizer_create(&a, NULL, &v, &t));
    assert_ids(t, "abab", 0, 0, 5, 2);
    lm_tokenizer_destroy(t);
}

static void test_spm__duplicate_and_broken_tokens(void **state)
{
    const test_token tokens[] = {{"a", 0, 0},    {"a", 0, 0},        {"\xe2\x96", 0, 0},
                                 {"\xff", 0, 0}, {"\xff\xff", 0, 0}, {"", 0, 0},
                                 {NULL, 0, 0}};
    (void)state;
    lm_allocator a;
    lm_tokenizer *t = small_tokenizer(&a, tokens);
    assert_ids(t, "a", 0, 0, 1); /* the first stands for unknown text, as in every such file */
    assert_ids(t,
               "\xff\xff\xff"
               "a\xe2\x96",
               0, 0, 4, 3, 1, 2);
    lm_tokenizer_destroy(t);
    assert_int_equal(a.bytes, 0);
}

static void test_spm__a_piece_of_100_kilobytes(void **state)
{
    (void)state;
    enum { LONG = 100 * 1024 };
    char *text = malloc(2 * LONG + 1);
    assert_non_null(text);
    memset(text, 'a', 2 * LONG);
    text[LONG] = '\0';
    const test_token tokens[] = {{"a", 0, 0}, {"aa", 0, 0}, {text, 0, 0}, {NULL, 0, 0}};
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_vocab v = test_small_vocab("llama", tokens);
    lm_tokenizer *t;
    assert_ok(lm_tokenizer_create(&a, NULL, &v, &t));
    text[LONG] = 'a';
    test_repeated(t, "a", 2 * LONG, LONG + 1);
    lm_tokenizer_destroy(t);
    free(text);
}

static void test_spm__survives_failing_allocations(void **state)
{
    (void)state;
    lm_vocab v = test_small_vocab("llama", small);
    test_small_failures(&v, "abcaab babaabacabcxyz aa aa aa bcbc");
    char text[5000]; /* long enough to remember words */
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "abc ba  bxcaa"[i * i % 13];
    text[sizeof text - 1] = '\0';
    test_small_failures(&v, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spm__pairs_llama),
        cmocka_unit_test(test_spm__pairs_phi3),
        cmocka_unit_test(test_spm__opens_gguf_v1),
        cmocka_unit_test(test_spm__mixed_mistral),
        cmocka_unit_test(test_spm__corpora_mistral),
        cmocka_unit_test(test_spm__one_class_at_length),
        cmocka_unit_test(test_spm__joins_by_score),
        cmocka_unit_test(test_spm__takes_unused_tokens_apart),
        cmocka_unit_test(test_spm__bytes_and_unknown_runs),
        cmocka_unit_test(test_spm__marked_tokens),
        cmocka_unit_test(test_spm__space_prefix_is_a_rule),
        cmocka_unit_test(test_spm__agrees_with_a_plain_program),
        cmocka_unit_test(test_spm__long_texts_are_the_sum_of_their_words),
        cmocka_unit_test(test_spm__refuses_malformed_bytes),
        cmocka_unit_test(test_spm__odd_scores),
        cmocka_unit_test(test_spm__duplicate_and_broken_tokens),
        cmocka_unit_test(test_spm__a_piece_of_100_kilobytes),
        cmocka_unit_test(test_spm__survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
