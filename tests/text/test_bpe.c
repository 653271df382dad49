/* test_bpe.c - byte-pair encoding against published ids, by hand, on hostile vocabularies, at
 * length. */
#include "models.h"
#include "vocabs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct merge_rule {
    int32_t left, right, merged;
} merge_rule;

/* --- published pairs -------------------------------------------------------------------------- */

static void test_bpe__pairs_gpt2(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-gpt-2");
}

static void test_bpe__pairs_falcon(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-falcon");
}

static void test_bpe__pairs_deepseek_coder(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-deepseek-coder");
}

static void test_bpe__pairs_starcoder(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-starcoder");
}

static void test_bpe__pairs_qwen2(void **state)
{
    (void)state;
    test_vocab_pairs("made-vocab-qwen2");
}

/* Lines of many languages, then four books, each as one text. */
static void check_texts(const char *vocabulary, const char *mixed_ids, const test_corpus *corpora)
{
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_vocab v;
    test_vocab_open(&v, &a, vocabulary);
    test_mixed(v.tokenizer, mixed_ids, true);
    test_corpora(v.tokenizer, corpora, 4);
    test_vocab_close(&v);
}

static void test_bpe__texts_gpt2(void **state)
{
    static const test_corpus corpora[] = {
        {"botchan.txt", 73660, 0x5603a098542a6d7bu},
        {"tinyshakespeare.txt", 338025, 0xe22fcd868ca90167u},
        {"war-and-peace.txt", 792623, 0xe853470671379cb1u},
        {"wikitext-2-raw-test.txt", 286221, 0x71dab1e5b175239cu},
    };
    (void)state;
    check_texts("ggml-vocab-gpt-2", "mixed_gpt2.ids", corpora);
}

static void test_bpe__texts_qwen2(void **state)
{
    static const test_corpus corpora[] = {
        {"botchan.txt", 67502, 0x66ba7a737d71f936u},
        {"tinyshakespeare.txt", 301829, 0xa0ce432d8a5d8350u},
        {"war-and-peace.txt", 761086, 0xe3aec75b728da4a1u},
        {"wikitext-2-raw-test.txt", 299078, 0xb6183fb61275fd2au},
    };
    (void)state;
    check_texts("made-vocab-qwen2", "mixed_qwen2.ids", corpora);
}

/* --- merging ---------------------------------------------------------------------------------- */

static lm_allocator heap;

static void make(const test_bpe *spec, lm_tokenizer **t)
{
    lm_allocator_init(&heap, NULL);
    lm_vocab vocab = test_bpe_vocab(spec);
    lm_log silent = {NULL, NULL};
    assert_ok(lm_tokenizer_create(&heap, &silent, &vocab, t));
}

static void test_bpe__order_of_merges(void **state)
{
    (void)state;
    /* "bc" is better than "ab"; of equal pairs the leftmost goes first. */
    const test_bpe spec = {
        .pre = "gpt-2",
        .tokens = (const char *const[]){"bc", "ab", "abc", "aa",
                                        "\xc4\xa0"
                                        "a",
                                        NULL},
        .merges = (const char *const[]){"b c", "a b", "a bc", "a a", "\xc4\xa0 a", NULL},
    };
    lm_tokenizer *t;
    make(&spec, &t);
    assert_ids(t, "abc", 0, 258);
    assert_ids(t, "ab", 0, 257);
    assert_ids(t, "abbc", 0, 257, 256);
    assert_ids(t, "aaa", 0, 259, 'a');
    assert_ids(t, "a a", 0, 'a', 260);
    lm_tokenizer_destroy(t);
}

static void test_bpe__whole_pieces(void **state)
{
    (void)state;
    const char *const tokens[] = {"ab", "abc",
                                  "\xc4\xa0"
                                  "x",
                                  NULL};
    const char *const merges[] = {"a b", NULL};
    lm_tokenizer *t;
    make(&(test_bpe){.pre = "gpt-2", .tokens = tokens, .merges = merges}, &t);
    assert_ids(t, "abc x", 0, 256, 'c', ' ', 'x');
    lm_tokenizer_destroy(t);
    make(&(test_bpe){.pre = "llama-bpe", .tokens = tokens, .merges = merges}, &t);
    assert_ids(t, "abc x", 0, 257, 258);
    lm_tokenizer_destroy(t);
    lm_vocab vocab =
        test_bpe_vocab(&(test_bpe){.pre = "gpt-2", .tokens = tokens, .merges = merges});
    vocab.ignore_merges = LM_RULE_YES;
    assert_ok(lm_tokenizer_create(&heap, NULL, &vocab, &t));
    assert_ids(t, "abc x", 0, 257, 258);
    lm_tokenizer_destroy(t);
}

/* The definition, in quadratic time. */
static size_t merge_plainly(const merge_rule *rules, size_t n_rules, int32_t *ids, size_t n)
{
    for (;;) {
        size_t best_rule = n_rules, best = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t r = 0; r < best_rule; r++)
                if (rules[r].left == ids[i] && rules[r].right == ids[i + 1]) {
                    best_rule = r;
                    best = i;
                }
        if (best_rule == n_rules)
            return n;
        ids[best] = rules[best_rule].merged;
        memmove(ids + best + 1, ids + best + 2, (n - best - 2) * sizeof *ids);
        n--;
    }
}

enum { N_RULES = 60 };

/* A random grammar over a, b and c: each rule joins two texts that exist, if the result is new. */
static void invent(uint64_t *random, char texts[][64], char lines[][130], merge_rule *rules)
{
    char all[3 + N_RULES][64] = {"a", "b", "c"};
    int32_t ids[3 + N_RULES] = {'a', 'b', 'c'};
    for (size_t n = 0; n < N_RULES;) {
        size_t left = (size_t)(test_random(random) % (3 + n));
        size_t right = (size_t)(test_random(random) % (3 + n));
        if (strlen(all[left]) + strlen(all[right]) > 12)
            continue;
        snprintf(texts[n], 64, "%s%s", all[left], all[right]);
        size_t same = 0;
        while (same < 3 + n && strcmp(all[same], texts[n]) != 0)
            same++;
        if (same < 3 + n)
            continue;
        snprintf(lines[n], 130, "%s %s", all[left], all[right]);
        strcpy(all[3 + n], texts[n]);
        ids[3 + n] = 256 + (int32_t)n;
        rules[n] = (merge_rule){ids[left], ids[right], 256 + (int32_t)n};
        n++;
    }
}

static void check_grammar(uint64_t *random)
{
    static char texts[N_RULES][64], lines[N_RULES][130];
    merge_rule rules[N_RULES];
    const char *tokens[N_RULES + 1], *merges[N_RULES + 1];
    invent(random, texts, lines, rules);
    for (size_t i = 0; i < N_RULES; i++) {
        tokens[i] = texts[i];
        merges[i] = lines[i];
    }
    tokens[N_RULES] = merges[N_RULES] = NULL;
    lm_tokenizer *t;
    make(&(test_bpe){.pre = "gpt-2", .tokens = tokens, .merges = merges}, &t);
    for (int round = 0; round < 30; round++) {
        char text[400];
        int32_t ids[400];
        size_t n = 1 + (size_t)(test_random(random) % (round < 15 ? 48 : 400));
        unsigned letters = 1 + (unsigned)(test_random(random) % 3);
        for (size_t i = 0; i < n; i++)
            ids[i] = text[i] = (char)('a' + test_random(random) % letters);
        test_ids(t, text, n, 0, ids, merge_plainly(rules, N_RULES, ids, n));
    }
    lm_tokenizer_destroy(t);
}

static void test_bpe__agrees_with_the_definition(void **state)
{
    (void)state;
    uint64_t random = 11;
    for (int i = 0; i < 12; i++)
        check_grammar(&random);
}

/* --- decoding --------------------------------------------------------------------------------- */

static void test_bpe__any_bytes_come_back(void **state)
{
    (void)state;
    lm_tokenizer *t;
    make(&(test_bpe){.pre = "qwen2",
                     .tokens = (const char *const[]){"th", NULL},
                     .merges = (const char *const[]){"t h", NULL}},
         &t);
    uint64_t random = 3;
    lm_ids ids;
    lm_text text;
    lm_ids_init(&ids, &heap);
    lm_text_init(&text, &heap);
    for (int round = 0; round < 200; round++) {
        char bytes[300];
        size_t n = (size_t)(test_random(&random) % sizeof bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)test_random(&random);
        ids.count = text.size = 0;
        assert_ok(lm_tokenizer_encode(t, bytes, n, LM_ENCODE_PARSE_SPECIAL, &ids));
        assert_ok(lm_tokenizer_decode(t, ids.items, ids.count, 0, &text));
        assert_int_equal(text.size, n);
        assert_memory_equal(text.data, bytes, n);
    }
    lm_ids_finish(&ids);
    lm_text_finish(&text);
    lm_tokenizer_destroy(t);
}

static void check_piece(const lm_tokenizer *t, int32_t id, const char *wanted, size_t size)
{
    lm_text text;
    lm_text_init(&text, &heap);
    assert_ok(lm_tokenizer_piece(t, id, 0, &text));
    assert_int_equal(text.size, size);
    assert_memory_equal(text.data, wanted, size);
    lm_text_finish(&text);
}

static void test_bpe__pieces(void **state)
{
    (void)state;
    lm_tokenizer *t;
    make(
        &(test_bpe){
            .pre = "gpt-2",
            .tokens = (const char *const[]){"\xc4\xa0the", "\xe4\xb8\xad\xe6\x96\x87", "\xc4\xa0y",
                                            "<0x0A>", "<0x-1>", "<0x0A>", NULL},
            .types = (const int32_t[]){LM_TOKEN_NORMAL, LM_TOKEN_NORMAL, LM_TOKEN_USER_DEFINED,
                                       LM_TOKEN_BYTE, LM_TOKEN_BYTE, LM_TOKEN_NORMAL},
        },
        &t);
    check_piece(t, 256, " the", 4);
    check_piece(t, 257, "\xe4\xb8\xad\xe6\x96\x87", 6); /* no letters of the alphabet */
    check_piece(t, 258, "\xc4\xa0y", 3); /* user-defined texts are meant as written */
    check_piece(t, 259, "\n", 1);
    check_piece(t, 260, "<0x-1>", 6);
    check_piece(t, 261, "<0x0A>", 6);
    check_piece(t, 0, "\0", 1);
    check_piece(t, 255, "\xff", 1);
    lm_tokenizer_destroy(t);
}

/* --- families that merge characters ----------------------------------------------------------- */

static void test_bpe__characters(void **state)
{
    (void)state;
    const char *const tokens[] = {"\xe2\x96\x81", "h\xc3\xa9", "\xe2\x96\x81h\xc3\xa9",
                                  "\n",           "\n\n",      "<0x0A>",
                                  "<0xC3>",       "<0xBC>",    "h",
                                  "\xc3\xa9",     NULL};
    const int32_t types[] = {1, 1, 1, 1, 1, 6, 6, 6, 1, 1};
    const char *const merges[] = {"h \xc3\xa9", "\xe2\x96\x81 h\xc3\xa9", NULL};
    lm_tokenizer *t;
    lm_vocab vocab =
        test_bpe_vocab(&(test_bpe){.tokens = tokens, .types = types, .merges = merges});
    /* Without the byte alphabet, whose letters are characters too. */
    vocab.model = "gemma4";
    vocab.tokens += 256;
    vocab.types += 256;
    vocab.n_tokens -= 256;
    lm_allocator_init(&heap, NULL);
    assert_ok(lm_tokenizer_create(&heap, NULL, &vocab, &t));
    assert_ids(t, "h\xc3\xa9 h\xc3\xa9\n\n\xc3\xbc", 0, 1, 2, 4, 6, 7);
    check_piece(t, 2, " h\xc3\xa9", 4);
    check_piece(t, 6, "\xc3", 1);
    lm_tokenizer_destroy(t);

    vocab.model = "whitespace";
    vocab.lowercase = LM_RULE_YES;
    assert_ok(lm_tokenizer_create(&heap, NULL, &vocab, &t));
    assert_ids(t, " H\xc3\x89\n h ", 0, 1, 8);
    lm_tokenizer_destroy(t);
}

/* --- hostile vocabularies --------------------------------------------------------------------- */

static void check_create(const test_bpe *spec, int32_t wanted)
{
    lm_allocator_init(&heap, NULL);
    lm_vocab vocab = test_bpe_vocab(spec);
    lm_tokenizer *t = NULL;
    assert_status(lm_tokenizer_create(&heap, NULL, &vocab, &t), wanted);
    lm_tokenizer_destroy(t);
    assert_int_equal(heap.bytes, 0);
}

static void test_bpe__hostile_merges(void **state)
{
    (void)state;
    static const char *const bad[] = {"ab", "", " ", "a", NULL};
    for (size_t i = 0; bad[i] != NULL; i++) {
        const char *const merges[] = {bad[i], NULL};
        check_create(&(test_bpe){.pre = "gpt-2", .merges = merges}, LLM_E_FORMAT);
    }
    /* Absent tokens, an empty right part, the same pair twice. */
    const char *const tokens[] = {"ab", "ba", NULL};
    const char *const merges[] = {"x yy", "a c", "a ", "b a", "a b", "b a", "ab ab", NULL};
    lm_tokenizer *t;
    make(&(test_bpe){.pre = "gpt-2", .tokens = tokens, .merges = merges}, &t);
    assert_ids(t, "aba", 0, 'a', 257);
    assert_ids(t, "abab", 0, 'a', 257, 'b');
    lm_tokenizer_destroy(t);
    lm_vocab vocab = test_bpe_vocab(&(test_bpe){.pre = "gpt-2"});
    vocab.merges = NULL;
    assert_status(lm_tokenizer_create(&heap, NULL, &vocab, &t), LLM_E_FORMAT);
}

static void test_bpe__names(void **state)
{
    (void)state;
    check_create(&(test_bpe){.pre = "gpt-2"}, LLM_OK);
    check_create(&(test_bpe){.pre = NULL}, LLM_OK);
    check_create(&(test_bpe){.pre = ""}, LLM_OK);
    check_create(&(test_bpe){.pre = "gpt-2x"}, LLM_E_UNSUPPORTED);
    assert_non_null(strstr(llm_last_error(), "gpt-2x"));
}

static void test_bpe__bytes_without_tokens(void **state)
{
    (void)state;
    lm_tokenizer *t;
    lm_vocab vocab = test_bpe_vocab(&(test_bpe){.pre = "gpt-2",
                                                .tokens = (const char *const[]){"ab", NULL},
                                                .merges = (const char *const[]){"a b", NULL}});
    lm_str *tokens = (lm_str *)vocab.tokens;
    tokens['x'].data = "??"; /* the letter x is no token any more */
    tokens['x'].size = 2;
    lm_allocator_init(&heap, NULL);
    assert_ok(lm_tokenizer_create(&heap, NULL, &vocab, &t));
    assert_ids(t, "axb", 0, 'a', 'b'); /* lost, but it does not let its neighbours merge */
    assert_ids(t, "abx", 0, 256);
    lm_tokenizer_destroy(t);
}

/* --- length and memory ------------------------------------------------------------------------ */

/* Doubling merges of one letter: the worst case for a list of symbols. Quadratic code would run
 * into the time limit. */
static void test_bpe__one_long_piece(void **state)
{
    (void)state;
    enum { SIZE = 1000000 };
    const char *const tokens[] = {"aa", "aaaa", "aaaaaaaa", NULL};
    const char *const merges[] = {"a a", "aa aa", "aaaa aaaa", NULL};
    lm_tokenizer *t;
    make(&(test_bpe){.pre = "superbpe", .tokens = tokens, .merges = merges}, &t);
    char *text = malloc(SIZE);
    assert_non_null(text);
    lm_ids ids;
    lm_ids_init(&ids, &heap);
    memset(text, 'a', SIZE);
    assert_ok(lm_tokenizer_encode(t, text, SIZE, 0, &ids));
    assert_int_equal(ids.count, SIZE / 8);
    for (size_t i = 0; i < ids.count; i++)
        assert_true(ids.items[i] == 258);
    ids.count = 0;
    memset(text, 0, SIZE);
    assert_ok(lm_tokenizer_encode(t, text, SIZE, 0, &ids));
    assert_int_equal(ids.count, SIZE);
    assert_int_equal(ids.items[SIZE - 1], 0);
    lm_ids_finish(&ids);
    free(text);
    lm_tokenizer_destroy(t);
}

static int32_t use(lm_allocator *a, const lm_vocab *vocab)
{
    lm_tokenizer *t = NULL;
    lm_ids ids;
    lm_text text;
    lm_ids_init(&ids, a);
    lm_text_init(&text, a);
    char sample[200];
    memset(sample, 'a', sizeof sample);
    memcpy(sample + 150, " <|x|> abc", 10);
    int32_t rc = lm_tokenizer_create(a, NULL, vocab, &t);
    if (rc == LLM_OK) {
        rc = lm_tokenizer_encode(t, sample, sizeof sample, LM_ENCODE_PARSE_SPECIAL, &ids);
        assert_true(rc == LLM_OK || ids.count == 0);
    }
    if (rc == LLM_OK) {
        rc = lm_tokenizer_decode(t, ids.items, ids.count, LM_DECODE_SPECIAL, &text);
        assert_true(rc == LLM_OK || text.size == 0);
    }
    if (rc == LLM_OK)
        assert_int_equal(text.size, sizeof sample - 1); /* phi-3's marks take the space behind */
    lm_ids_finish(&ids);
    lm_text_finish(&text);
    lm_tokenizer_destroy(t);
    return rc;
}

static void test_bpe__every_allocation_may_fail(void **state)
{
    (void)state;
    lm_vocab vocab = test_bpe_vocab(&(test_bpe){
        .pre = "llama-bpe",
        .tokens = (const char *const[]){"aa", "<|x|>", "<|end|>", NULL},
        .types = (const int32_t[]){LM_TOKEN_NORMAL, LM_TOKEN_CONTROL, LM_TOKEN_USER_DEFINED},
        .merges = (const char *const[]){"a a", NULL},
    });
    vocab.name = "phi-3";
    int32_t rc = LLM_E_MEMORY;
    for (uint64_t n = 1; rc != LLM_OK; n++) {
        test_memory memory;
        test_memory_init(&memory);
        memory.fail_at = n;
        rc = use(&memory.alloc, &vocab);
        assert_true(rc == LLM_OK || rc == LLM_E_MEMORY);
        assert_true(n < 1000);
        test_memory_check(&memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe__pairs_gpt2),
        cmocka_unit_test(test_bpe__pairs_falcon),
        cmocka_unit_test(test_bpe__pairs_deepseek_coder),
        cmocka_unit_test(test_bpe__pairs_starcoder),
        cmocka_unit_test(test_bpe__pairs_qwen2),
        cmocka_unit_test(test_bpe__texts_gpt2),
        cmocka_unit_test(test_bpe__texts_qwen2),
        cmocka_unit_test(test_bpe__order_of_merges),
        cmocka_unit_test(test_bpe__whole_pieces),
        cmocka_unit_test(test_bpe__agrees_with_the_definition),
        cmocka_unit_test(test_bpe__any_bytes_come_back),
        cmocka_unit_test(test_bpe__pieces),
        cmocka_unit_test(test_bpe__characters),
        cmocka_unit_test(test_bpe__hostile_merges),
        cmocka_unit_test(test_bpe__names),
        cmocka_unit_test(test_bpe__bytes_without_tokens),
        cmocka_unit_test(test_bpe__one_long_piece),
        cmocka_unit_test(test_bpe__every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
