/* test_tokenizer.c - what all tokenizers share: marked tokens in text, beginnings and ends, special
 * ids, duplicates, what a vocabulary may not say. */
#include "vocabs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARSE = LM_ENCODE_PARSE_SPECIAL, ADD = LM_ENCODE_ADD_SPECIAL };

static lm_allocator heap;
static char logged[2000];

static void keep(void *user, uint32_t level, const char *line)
{
    (void)user;
    (void)level;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%s\n", line);
}

static const lm_log log_kept = {keep, NULL};

static lm_tokenizer *make(const lm_vocab *vocab)
{
    lm_tokenizer *t = NULL;
    lm_allocator_init(&heap, NULL);
    logged[0] = '\0';
    assert_ok(lm_tokenizer_create(&heap, &log_kept, vocab, &t));
    return t;
}

/* --- marked tokens ---------------------------------------------------------------------------- */

enum { C = LM_TOKEN_CONTROL, U = LM_TOKEN_USER_DEFINED, N = LM_TOKEN_NORMAL };

static void test_tokenizer__marks(void **state)
{
    (void)state;
    const test_bpe spec = {
        .pre = "gpt-2",
        .tokens = (const char *const[]){"<|a|>", "<|a|><|b|>", "<x>", "<xy>", "aab", NULL},
        .types = (const int32_t[]){C, C, U, C, U},
        .merges = (const char *const[]){NULL},
    };
    lm_vocab vocab = test_bpe_vocab(&spec);
    lm_tokenizer *t = make(&vocab);
    assert_ids(t, "<|a|>", PARSE, 256);
    assert_ids(t, "q<|a|>q", PARSE, 'q', 256, 'q');
    assert_ids(t, "<|a|><|b|>", PARSE, 257); /* the longest at a place */
    assert_ids(t, "<|a|><|a|><|b", PARSE, 256, 256, '<', '|', 'b');
    assert_ids(t, "<|a|", PARSE, '<', '|', 'a', '|');
    assert_ids(t, "<x><xy>", PARSE, 258, 259);
    assert_ids(t, "<x><xy>", 0, 258, '<', 'x', 'y', '>'); /* user-defined ones always */
    assert_ids(t, "aaaab", 0, 'a', 'a', 260);
    assert_ids(t, "aabaab", 0, 260, 260);
    test_ids(t, "", 0, PARSE, NULL, 0);
    test_ids(t, "\0<x>\0", 5, PARSE, (const int32_t[]){0, 258, 0}, 3);
    lm_tokenizer_destroy(t);
}

/* Against the definition: at each place the longest token that stands there, else one byte. */
static void test_tokenizer__marks_agree_with_the_definition(void **state)
{
    (void)state;
    enum { MARKS = 40 };
    static char texts[MARKS][16];
    const char *tokens[MARKS + 1];
    int32_t types[MARKS];
    uint64_t random = 5;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < MARKS; i++) {
            size_t n = 1 + (size_t)(test_random(&random) % 8);
            for (size_t k = 0; k < n; k++)
                texts[i][k] = (char)('a' + test_random(&random) % 2);
            texts[i][n] = '\0';
            tokens[i] = texts[i];
            types[i] = U;
        }
        tokens[MARKS] = NULL;
        lm_vocab vocab = test_bpe_vocab(&(test_bpe){.pre = "gpt-2",
                                                    .tokens = tokens,
                                                    .types = types,
                                                    .merges = (const char *const[]){NULL}});
        lm_tokenizer *t = make(&vocab);
        char text[200];
        int32_t wanted[200];
        size_t n = 0;
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = (char)('a' + test_random(&random) % 2);
        for (size_t at = 0; at < sizeof text; n++) {
            size_t best = 0;
            wanted[n] = text[at];
            for (int i = 0; i < MARKS; i++) {
                size_t size = strlen(texts[i]);
                if (size >= best && size <= sizeof text - at &&
                    memcmp(text + at, texts[i], size) == 0) {
                    best = size;
                    wanted[n] = 256 + i; /* of equal texts the last */
                }
            }
            at += best == 0 ? 1 : best;
        }
        test_ids(t, text, sizeof text, 0, wanted, n);
        lm_tokenizer_destroy(t);
    }
}

/* Marks that nearly match at every place. */
static void test_tokenizer__marks_take_linear_time(void **state)
{
    (void)state;
    enum { LONG = 50000, SIZE = 400000 };
    char *mark = malloc(LONG + 2), *text = malloc(SIZE);
    assert_true(mark != NULL && text != NULL);
    memset(mark, 'a', LONG);
    memcpy(mark + LONG, "b", 2);
    memset(text, 'a', SIZE);
    char *ahead = malloc(LONG + 2);
    assert_non_null(ahead);
    memset(ahead, 'a', LONG + 1);
    ahead[0] = 'b';
    ahead[LONG + 1] = '\0';
    lm_vocab vocab = test_bpe_vocab(&(test_bpe){.pre = "gpt-2",
                                                .tokens = (const char *const[]){mark, ahead, NULL},
                                                .types = (const int32_t[]){U, U},
                                                .merges = (const char *const[]){NULL}});
    lm_tokenizer *t = make(&vocab);
    lm_ids ids;
    lm_ids_init(&ids, &heap);
    assert_ok(lm_tokenizer_encode(t, text, SIZE, 0, &ids));
    assert_int_equal(ids.count, SIZE);
    lm_ids_finish(&ids);
    lm_tokenizer_destroy(t);
    free(mark);
    free(ahead);
    free(text);
}

static void test_tokenizer__marks_that_take_space(void **state)
{
    (void)state;
    const test_bpe spec = {
        .pre = "jina-v2-de",
        .tokens = (const char *const[]){"<mask>", "</s>", "<s>", NULL},
        .types = (const int32_t[]){C, C, C},
        .merges = (const char *const[]){NULL},
    };
    lm_vocab vocab = test_bpe_vocab(&spec);
    lm_tokenizer *t = make(&vocab);
    assert_ids(t, "a \n<mask> b</s> c", PARSE, 'a', 256, ' ', 'b', 257, ' ', 'c');
    lm_tokenizer_destroy(t);
    vocab.pre = "gpt-2";
    vocab.name = "Phi-3-mini";
    t = make(&vocab);
    assert_ids(t, "a <mask> \tb</s> <s> c", PARSE, 'a', ' ', 256, 'b', 257, 258, ' ', 'c');
    lm_tokenizer_destroy(t);
}

/* --- beginnings, ends, ids -------------------------------------------------------------------- */

static const char *const specials[] = {"<s>",  "<e>",        "<sep>", "<|im_end|>",
                                       "</s>", "<|eom_id|>", NULL};
static const int32_t special_types[] = {C, C, C, U, N, C};

static lm_vocab special_vocab(const char *pre)
{
    lm_vocab vocab = test_bpe_vocab(&(test_bpe){.pre = pre,
                                                .tokens = specials,
                                                .types = special_types,
                                                .merges = (const char *const[]){NULL}});
    vocab.special[LM_SPECIAL_BOS] = 256;
    vocab.special[LM_SPECIAL_EOS] = 257;
    return vocab;
}

static void test_tokenizer__bos_and_eos(void **state)
{
    (void)state;
    lm_vocab vocab = special_vocab("gpt-2");
    lm_tokenizer *t = make(&vocab);
    assert_ids(t, "a", ADD, 'a');
    assert_false(lm_tokenizer_adds_bos(t));
    lm_tokenizer_destroy(t);

    vocab.add_bos = vocab.add_eos = LM_RULE_YES;
    t = make(&vocab);
    assert_ids(t, "a", ADD, 256, 'a', 257);
    assert_ids(t, "a", 0, 'a');
    assert_ids(t, "", ADD, 256, 257);
    assert_ids(t, "<s>a", ADD | PARSE, 256, 256, 'a', 257); /* as written, twice */
    lm_tokenizer_destroy(t);

    vocab = special_vocab("llama-bpe"); /* adds a BOS by its name */
    t = make(&vocab);
    assert_true(lm_tokenizer_adds_bos(t));
    assert_ids(t, "a", ADD, 256, 'a');
    lm_tokenizer_destroy(t);
    vocab.add_bos = LM_RULE_NO;
    t = make(&vocab);
    assert_ids(t, "a", ADD, 'a');
    lm_tokenizer_destroy(t);

    vocab.add_bos = LM_RULE_YES;
    vocab.special[LM_SPECIAL_BOS] = -1;
    t = make(&vocab);
    assert_ids(t, "a", ADD, 'a');
    assert_non_null(strstr(logged, "BOS"));
    lm_tokenizer_destroy(t);
}

static void test_tokenizer__ids_beyond_the_vocabulary(void **state)
{
    (void)state;
    static const int64_t bad[] = {262, 4294967295, -2, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lm_tokenizer *t = NULL;
        lm_vocab vocab = special_vocab("gpt-2");
        vocab.special[LM_SPECIAL_BOS] = bad[i];
        assert_status(lm_tokenizer_create(&heap, NULL, &vocab, &t), LLM_E_FORMAT);
        vocab.special[LM_SPECIAL_BOS] = 256;
        vocab.special[LM_SPECIAL_EOS] = bad[i];
        assert_status(lm_tokenizer_create(&heap, NULL, &vocab, &t), LLM_E_FORMAT);
        vocab.special[LM_SPECIAL_EOS] = -1;
        vocab.special[LM_SPECIAL_PAD] = bad[i];
        t = make(&vocab);
        assert_int_equal(lm_tokenizer_special(t, LM_SPECIAL_PAD), -1);
        assert_non_null(strstr(logged, "PAD"));
        lm_tokenizer_destroy(t);
    }
}

static void test_tokenizer__ends(void **state)
{
    (void)state;
    lm_vocab vocab = special_vocab("gpt-2");
    lm_tokenizer *t = make(&vocab);
    assert_true(lm_tokenizer_is_end(t, 257)); /* EOS */
    assert_true(lm_tokenizer_is_end(t, 259)); /* <|im_end|>, by its text */
    assert_true(lm_tokenizer_is_end(t, 261));
    assert_false(lm_tokenizer_is_end(t, 256));
    assert_false(lm_tokenizer_is_end(t, 260)); /* "</s>" is ordinary text here */
    assert_false(lm_tokenizer_is_end(t, -1));
    assert_false(lm_tokenizer_is_end(t, 1000));
    assert_int_equal(lm_tokenizer_special(t, LM_SPECIAL_EOT), 259);
    assert_int_equal(lm_tokenizer_special(t, LM_SPECIAL_EOM), 261);
    assert_int_equal(lm_tokenizer_special(t, LM_SPECIAL_COUNT), -1);
    assert_int_equal(lm_tokenizer_type(t, 259), LM_TOKEN_CONTROL);
    lm_tokenizer_destroy(t);

    const test_bpe harmony = {
        .pre = "gpt-4o",
        .tokens = (const char *const[]){"<|end|>", "<|return|>", "<|call|>", NULL},
        .types = (const int32_t[]){C, C, C},
        .merges = (const char *const[]){NULL},
    };
    vocab = test_bpe_vocab(&harmony);
    t = make(&vocab);
    assert_false(lm_tokenizer_is_end(t, 256)); /* closes a message, not the turn */
    assert_true(lm_tokenizer_is_end(t, 257));
    assert_true(lm_tokenizer_is_end(t, 258));
    lm_tokenizer_destroy(t);
}

static void test_tokenizer__control_tokens_are_silent(void **state)
{
    (void)state;
    lm_vocab vocab = special_vocab("gpt-2");
    lm_tokenizer *t = make(&vocab);
    const int32_t ids[] = {256, 'h', 'i', 257};
    lm_text text;
    lm_text_init(&text, &heap);
    assert_ok(lm_tokenizer_decode(t, ids, 4, 0, &text));
    assert_int_equal(text.size, 2);
    assert_ok(lm_tokenizer_decode(t, ids, 4, LM_DECODE_SPECIAL, &text));
    assert_int_equal(text.size, 10);
    assert_memory_equal(text.data, "hi<s>hi<e>", 10);
    assert_status(lm_tokenizer_decode(t, (const int32_t[]){'a', 262}, 2, 0, &text), LLM_E_INVALID);
    assert_status(lm_tokenizer_piece(t, -1, 0, &text), LLM_E_INVALID);
    assert_int_equal(text.size, 10);
    lm_text_finish(&text);
    lm_tokenizer_destroy(t);
}

/* --- what a vocabulary holds ------------------------------------------------------------------ */

static void test_tokenizer__equal_and_empty_texts(void **state)
{
    (void)state;
    const test_bpe spec = {
        .pre = "gpt-2",
        .tokens = (const char *const[]){"ab", "", "ab", "<m>", "<m>", NULL},
        .types = (const int32_t[]){N, C, N, C, U},
        .merges = (const char *const[]){"a b", NULL},
    };
    lm_vocab vocab = test_bpe_vocab(&spec);
    lm_tokenizer *t = make(&vocab);
    assert_int_equal(lm_tokenizer_size(t), 261);
    assert_int_equal(lm_tokenizer_find(t, "ab", 2), 258); /* the last one */
    assert_int_equal(lm_tokenizer_find(t, "", 0), -1);
    assert_int_equal(lm_tokenizer_find(t, "abc", 3), -1);
    assert_ids(t, "ab<m>", PARSE, 258, 260);
    assert_int_equal(lm_tokenizer_text(t, 256).size, 2);
    assert_int_equal(lm_tokenizer_text(t, 257).size, 0);
    assert_int_equal(lm_tokenizer_text(t, 261).size, 0);
    assert_int_equal(lm_tokenizer_type(t, 261), 0);
    lm_tokenizer_destroy(t);
}

static void test_tokenizer__refuses(void **state)
{
    (void)state;
    lm_tokenizer *t = NULL;
    lm_allocator_init(&heap, NULL);
    lm_vocab vocab = special_vocab("gpt-2");
    vocab.model = "gpt3";
    assert_status(lm_tokenizer_create(&heap, NULL, &vocab, &t), LLM_E_UNSUPPORTED);
    assert_non_null(strstr(llm_last_error(), "gpt3"));
    vocab.model = NULL;
    assert_status(lm_tokenizer_create(&heap, NULL, &vocab, &t), LLM_E_FORMAT);
    vocab = special_vocab("gpt-2");
    vocab.n_tokens = 0;
    assert_status(lm_tokenizer_create(&heap, NULL, &vocab, &t), LLM_E_FORMAT);
    static const int32_t types[] = {-1, 7, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        vocab = special_vocab("gpt-2");
        ((int32_t *)vocab.types)[7] = types[i];
        assert_status(lm_tokenizer_create(&heap, NULL, &vocab, &t), LLM_E_FORMAT);
    }
    assert_null(t);
    assert_int_equal(heap.bytes, 0);
}

static void test_tokenizer__without_types(void **state)
{
    (void)state;
    lm_vocab vocab = special_vocab("gpt-2");
    vocab.types = NULL;
    lm_tokenizer *t = make(&vocab);
    assert_int_equal(lm_tokenizer_type(t, 256), LM_TOKEN_CONTROL);
    assert_int_equal(lm_tokenizer_type(t, 257), LM_TOKEN_CONTROL);
    assert_int_equal(lm_tokenizer_type(t, 258), LM_TOKEN_NORMAL);
    assert_true(lm_tokenizer_is_end(t, 257));
    lm_tokenizer_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer__marks),
        cmocka_unit_test(test_tokenizer__marks_agree_with_the_definition),
        cmocka_unit_test(test_tokenizer__marks_take_linear_time),
        cmocka_unit_test(test_tokenizer__marks_that_take_space),
        cmocka_unit_test(test_tokenizer__bos_and_eos),
        cmocka_unit_test(test_tokenizer__ids_beyond_the_vocabulary),
        cmocka_unit_test(test_tokenizer__ends),
        cmocka_unit_test(test_tokenizer__control_tokens_are_silent),
        cmocka_unit_test(test_tokenizer__equal_and_empty_texts),
        cmocka_unit_test(test_tokenizer__refuses),
        cmocka_unit_test(test_tokenizer__without_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
