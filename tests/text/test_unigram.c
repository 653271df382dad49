/* test_unigram.c - Unigram against published ids, by hand, against a plain program, on hostile
 * vocabularies and normalisers, at length. */
#include "models.h"
#include "vocabs.h"

#include "base/bytes.h"
#include "text/charsmap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- published ids ---------------------------------------------------------------------------- */

static const char pieces1000[] = "vocab/spm/sentencepiece-test_model-unigram1000.model";

static void test_unigram__mixed(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_model m;
    test_model_open_sentencepiece(&m, &a, pieces1000, "t5");
    test_mixed(m.tokenizer, "mixed_unigram.ids", false);
    test_model_close(&m);
    assert_int_equal(a.bytes, 0);
}

static void test_unigram__corpora(void **state)
{
    static const test_corpus corpora[] = {
        {"botchan.txt", 104466, 0x0dbce9258867e4b1u},
        {"tinyshakespeare.txt", 542180, 0x4b1f0406b5b239deu},
        {"war-and-peace.txt", 1327931, 0x262edcc22dc7dd66u},
        {"wikitext-2-raw-test.txt", 632898, 0x0a63f688158d780au},
    };
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_model m;
    test_model_open_sentencepiece(&m, &a, pieces1000, "t5");
    test_corpora(m.tokenizer, corpora, sizeof corpora / sizeof *corpora);
    test_model_close(&m);
}

static void test_unigram__one_class_at_length(void **state)
{
    static const char *const parts[] = {"a", " ", "\n", "7", "ab", "\xff", "\xe6\xbc\xa2"};
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_model m;
    test_model_open_sentencepiece(&m, &a, pieces1000, "t5");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        test_repeated(m.tokenizer, parts[i], 1 << 20, 0);
    test_model_close(&m);
}

/* A charsmap cut anywhere is refused, or serves without harm. */
static void test_unigram__published_charsmap_cut_short(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_model m;
    test_model_open_sentencepiece(&m, &a, pieces1000, "t5");
    const char text[] = "\xef\xac\x81 \xc2\xbd \xef\xbd\xb6\xef\xbe\x9e \xef\xb7\xba e\xcc\x81";
    size_t whole = m.vocab.charsmap_size;
    assert_true(whole > 100000);
    for (size_t size = 0; size < whole; size += size < 4096 || size > whole - 4096 ? 1 : 997) {
        lm_charsmap map;
        unsigned char *cut = malloc(size == 0 ? 1 : size); /* so that sanitizers see its end */
        memcpy(cut, m.vocab.charsmap, size);
        if (lm_charsmap_init(&map, &a, cut, size) == LLM_OK) {
            for (size_t at = 0; at < sizeof text; at++) {
                size_t length;
                lm_str to;
                int32_t rc = lm_charsmap_longest(&map, text + at, sizeof text - at, &length, &to);
                assert_true(rc == LLM_OK || rc == LLM_E_FORMAT);
            }
        }
        lm_charsmap_finish(&map);
        free(cut);
    }
    test_model_close(&m);
    assert_int_equal(a.bytes, 0);
}

/* --- by hand ---------------------------------------------------------------------------------- */

enum { PAD, EOS, UNK, SPACE, A, B, AB, ABB, SPACE_A, UNUSED, USER };

static const test_token small[] = {
    [PAD] = {"<pad>", 0, LM_TOKEN_CONTROL},
    [EOS] = {"</s>", 0, LM_TOKEN_CONTROL},
    [UNK] = {"<unk>", 0, LM_TOKEN_UNKNOWN},
    [SPACE] = {"\xe2\x96\x81", -2, 0},
    [A] = {"a", -3, 0},
    [B] = {"b", -3, 0},
    [AB] = {"ab", -4, 0},
    [ABB] = {"abb", -9, 0},
    [SPACE_A] = {"\xe2\x96\x81"
                 "a",
                 -4, 0},
    [UNUSED] = {"bb", 0, LM_TOKEN_UNUSED},
    [USER] = {"<u>", 0, LM_TOKEN_USER_DEFINED},
    {NULL, 0, 0},
};

static lm_tokenizer *create(lm_allocator *a, const lm_vocab *v)
{
    lm_allocator_init(a, NULL);
    lm_tokenizer *t;
    assert_ok(lm_tokenizer_create(a, NULL, v, &t));
    return t;
}

static lm_vocab small_vocab(void)
{
    lm_vocab v = test_small_vocab("t5", small);
    v.add_space_prefix = v.remove_extra_whitespaces = LM_RULE_YES;
    return v;
}

static void test_unigram__best_sum(void **state)
{
    (void)state;
    lm_allocator a;
    lm_vocab v = small_vocab();
    lm_tokenizer *t = create(&a, &v);
    assert_ids(t, "ab", 0, SPACE, AB); /* -6; by SPACE_A it were -7 */
    assert_ids(t, "abb", 0, SPACE, AB, B);
    assert_ids(t, "bb", LM_ENCODE_ADD_SPECIAL, SPACE, B, B, EOS);
    assert_ids(t, "a<u>b", 0, SPACE_A, USER, SPACE, B);
    assert_ids(t, "\xc3\xa9\xc3\xa9 a", 0, SPACE, UNK, SPACE_A);
    assert_decoded(t, 0, "ab a", SPACE, AB, SPACE_A, EOS);
    lm_tokenizer_destroy(t);
}

static void test_unigram__white_space_rules(void **state)
{
    (void)state;
    lm_allocator a;
    lm_vocab v = small_vocab();
    lm_tokenizer *t = create(&a, &v);
    assert_ids(t, "  a   a  ", 0, SPACE_A, SPACE_A);
    test_ids(t, "   ", 3, 0, NULL, 0);
    test_ids(t, "", 0, 0, NULL, 0);
    lm_tokenizer_destroy(t);
    v.remove_extra_whitespaces = LM_RULE_NO;
    t = create(&a, &v);
    assert_ids(t, " a  a ", 0, SPACE, SPACE_A, SPACE, SPACE_A, SPACE);
    assert_decoded(t, 0, " a", SPACE, SPACE_A);
    lm_tokenizer_destroy(t);
    v.add_space_prefix = LM_RULE_NO;
    t = create(&a, &v);
    assert_ids(t, "a a", 0, A, SPACE_A);
    assert_decoded(t, 0, " a", SPACE_A);
    lm_tokenizer_destroy(t);
}

static void test_unigram__bytes(void **state)
{
    const test_token tokens[] = {{"<unk>", 0, LM_TOKEN_UNKNOWN},
                                 {"a", -1, 0},
                                 {"<0xC3>", 0, LM_TOKEN_BYTE},
                                 {"<0xa9>", 0, LM_TOKEN_BYTE},
                                 {NULL, 0, 0}};
    (void)state;
    lm_allocator a;
    lm_vocab v = test_small_vocab("t5", tokens);
    v.special[LM_SPECIAL_UNK] = 0;
    lm_tokenizer *t = create(&a, &v);
    assert_ids(t, "a\xc3\xa9", 0, 1, 2, 3);
    assert_ids(t, "\xc3\xaa\xc3\xbb", 0, 2, 0, 2, 0);
    assert_ids(t, "\xff", 0, 0); /* becomes U+FFFD */
    assert_decoded(t, 0, "\xc3\xa9", 2, 3);
    lm_tokenizer_destroy(t);
}

/* --- against a plain program ------------------------------------------------------------------ */

/* The best sum of the scores of any cover of `text` in letters of one byte; scores are whole
 * numbers, so sums are exact. */
static double plain_best(const test_token *tokens, double unknown, const char *text, size_t size)
{
    double best[128];
    best[0] = 0;
    for (size_t end = 1; end <= size; end++) {
        best[end] = best[end - 1] + unknown;
        for (const test_token *k = tokens; k->text != NULL; k++) {
            size_t n = strlen(k->text);
            if (k->type == 0 && n != 0 && n <= end && memcmp(text + end - n, k->text, n) == 0 &&
                best[end - n] + (double)k->score > best[end])
                best[end] = best[end - n] + (double)k->score;
        }
    }
    return best[size];
}

static void check_sum(const lm_tokenizer *t, const test_token *tokens, const char *text,
                      size_t size)
{
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_ids ids;
    lm_text back;
    lm_ids_init(&ids, &a);
    lm_text_init(&back, &a);
    assert_ok(lm_tokenizer_encode(t, text, size, 0, &ids));
    assert_ok(lm_tokenizer_decode(t, ids.items, ids.count, 0, &back));
    double sum = 0;
    for (size_t i = 0; i < ids.count; i++)
        sum += (double)tokens[ids.items[i]].score;
    assert_int_equal(back.size, size);
    assert_true(size == 0 || memcmp(back.data, text, size) == 0);
    assert_true(sum == plain_best(tokens, -1000, text, size));
    lm_ids_finish(&ids);
    lm_text_finish(&back);
}

static void test_unigram__agrees_with_a_plain_program(void **state)
{
    (void)state;
    uint64_t random = 5;
    for (int round = 0; round < 300; round++) {
        char words[30][8];
        test_token tokens[34] = {
            {"<unk>", 0, LM_TOKEN_UNKNOWN}, {"a", -9, 0}, {"b", -9, 0}, {"c", -9, 0}};
        size_t n = 4;
        for (size_t i = 0; i < 25; i++) {
            size_t length = 2 + test_random(&random) % 5;
            for (size_t k = 0; k < length; k++)
                words[i][k] = (char)('a' + test_random(&random) % 3);
            words[i][length] = '\0';
            bool known = false; /* of equal tokens the last would count */
            for (size_t k = 0; k < n; k++)
                known = known || strcmp(tokens[k].text, words[i]) == 0;
            if (!known)
                tokens[n++] = (test_token){words[i], -(float)(test_random(&random) % 20), 0};
        }
        lm_allocator a;
        lm_vocab v = test_small_vocab("t5", tokens);
        v.special[LM_SPECIAL_UNK] = 0;
        lm_tokenizer *t = create(&a, &v);
        for (int i = 0; i < 20; i++) {
            char text[100];
            size_t size = test_random(&random) % 100;
            for (size_t k = 0; k < size; k++)
                text[k] = (char)('a' + test_random(&random) % 3);
            check_sum(t, tokens, text, size);
        }
        lm_tokenizer_destroy(t);
    }
}

/* --- hostile ---------------------------------------------------------------------------------- */

/* A map of one rule: "x" becomes `text`. Offsets of the root and of "x" are 0, so the unit of "x"
 * is number 'x', and its value hangs at 'x' ^ offset. Returns the size. */
enum { UNITS = 256, VALUE_AT = 'x' ^ 1 };

static size_t make_map(unsigned char *blob, const char *text, size_t text_size)
{
    memset(blob, 0, 4 + UNITS * 4);
    lm_store_u32(blob, UNITS * 4);
    unsigned char *units = blob + 4;
    lm_store_u32(units + 'x' * 4, 'x' | 1u << 8 | 1u << 10);
    lm_store_u32(units + VALUE_AT * 4, 0x80000000u);
    memcpy(units + UNITS * 4, text, text_size);
    return 4 + UNITS * 4 + text_size;
}

static int32_t encode_with(const void *charsmap, size_t size, const char *text, size_t *n_ids)
{
    test_memory m;
    test_memory_init(&m);
    lm_vocab v = small_vocab();
    v.charsmap = charsmap;
    v.charsmap_size = size;
    lm_tokenizer *t;
    int32_t rc = lm_tokenizer_create(&m.alloc, NULL, &v, &t);
    *n_ids = 0;
    if (rc == LLM_OK) {
        lm_ids ids;
        lm_ids_init(&ids, &m.alloc);
        rc = lm_tokenizer_encode(t, text, strlen(text), 0, &ids);
        *n_ids = ids.count;
        lm_ids_finish(&ids);
        lm_tokenizer_destroy(t);
    }
    test_memory_check(&m);
    return rc;
}

static void test_unigram__charsmap_replaces(void **state)
{
    (void)state;
    unsigned char blob[2048];
    size_t n;
    size_t size = make_map(blob, "ab b", 5);
    assert_ok(encode_with(blob, size, "xx", &n));
    assert_int_equal(n, 7); /* _ ab _ b ab _ b */
    size = make_map(blob, "", 1);
    assert_ok(encode_with(blob, size, "xaxx", &n));
    assert_int_equal(n, 1);
}

static void test_unigram__hostile_charsmaps(void **state)
{
    (void)state;
    static const uint32_t bad_sizes[] = {0xffffffffu,   0xfffffffcu,   0x7ffffffcu, UNITS * 4 + 4,
                                         UNITS * 4 + 3, UNITS * 4 + 1, 3,           0};
    static unsigned char blob[8192];
    char many[4096];
    size_t n, size = make_map(blob, "ab", 3);
    for (size_t cut = 1; cut < size; cut++)
        assert_status(encode_with(blob, cut, "x", &n), LLM_E_FORMAT);
    blob[size - 1] = 'b'; /* not terminated */
    assert_status(encode_with(blob, size, "x", &n), LLM_E_FORMAT);
    size = make_map(blob, "ab", 3);
    for (size_t i = 0; i < sizeof bad_sizes / sizeof *bad_sizes; i++) {
        lm_store_u32(blob, bad_sizes[i]);
        assert_status(encode_with(blob, size, "x", &n), LLM_E_FORMAT);
    }
    size = make_map(blob, "ab", 3);
    lm_store_u32(blob + 4 + VALUE_AT * 4, 0x80000003u); /* behind the texts */
    assert_status(encode_with(blob, size, "ax", &n), LLM_E_FORMAT);
    lm_store_u32(blob + 4 + VALUE_AT * 4, 5); /* no value */
    assert_status(encode_with(blob, size, "ax", &n), LLM_E_FORMAT);
    lm_store_u32(blob + 4 + 'x' * 4, 'x' | 1u << 8 | 0x1fffffu << 10); /* outside */
    assert_status(encode_with(blob, size, "ax", &n), LLM_E_FORMAT);
    memset(many, 'a', sizeof many);
    many[sizeof many - 1] = '\0';
    size = make_map(blob, many, sizeof many); /* would let a text grow without bound */
    assert_status(encode_with(blob, size, "ax", &n), LLM_E_FORMAT);
}

static void test_unigram__random_charsmaps(void **state)
{
    (void)state;
    uint64_t random = 3;
    for (int round = 0; round < 20000; round++) {
        unsigned char blob[4 + UNITS * 4 + 8];
        size_t n, size = make_map(blob, "ab", 3);
        for (int i = 0; i < 8; i++)
            blob[4 + test_random(&random) % (size - 4)] = (unsigned char)test_random(&random);
        blob[4 + 'x' * 4 + test_random(&random) % 4] = (unsigned char)test_random(&random);
        int32_t rc = encode_with(blob, size,
                                 "xa x\x01"
                                 "b",
                                 &n);
        assert_true(rc == LLM_OK || rc == LLM_E_FORMAT);
    }
}

static void test_unigram__odd_scores(void **state)
{
    const test_token tokens[] = {{"<unk>", 0, LM_TOKEN_UNKNOWN},
                                 {"a", NAN, 0},
                                 {"b", -INFINITY, 0},
                                 {"ab", INFINITY, 0},
                                 {"ba", -3e38f, 0},
                                 {NULL, 0, 0}};
    (void)state;
    lm_allocator a;
    lm_vocab v = test_small_vocab("t5", tokens);
    lm_tokenizer *t = create(&a, &v);
    assert_ids(t, "abab", 0, 3, 3);
    assert_ids(t, "b", 0, 2);
    test_repeated(t, "abba", 1000, 0);
    lm_tokenizer_destroy(t);
    v.scores = NULL;
    t = create(&a, &v);
    assert_ids(t, "ab", 0, 3);
    lm_tokenizer_destroy(t);
}

static void test_unigram__nothing_to_cover_with(void **state)
{
    const test_token tokens[] = {{"<pad>", 0, LM_TOKEN_CONTROL}, {"", 0, 0}, {NULL, 0, 0}};
    (void)state;
    lm_allocator a;
    lm_vocab v = test_small_vocab("t5", tokens);
    lm_tokenizer *t = create(&a, &v);
    test_ids(t, "abc\0\xff", 5, 0, NULL, 0);
    lm_tokenizer_destroy(t);
}

/* Every place of a text is searched as far as the longest token reaches, so that has a bound. */
static void test_unigram__tokens_too_long_to_look_for(void **state)
{
    static char text[1026];
    memset(text, 'a', sizeof text - 2);
    const test_token tokens[] = {{text, 0, 0}, {NULL, 0, 0}};
    (void)state;
    lm_allocator a;
    lm_vocab v = test_small_vocab("t5", tokens);
    lm_tokenizer *t = create(&a, &v);
    assert_ids(t, text, 0, 0);
    lm_tokenizer_destroy(t);
    text[sizeof text - 2] = 'a';
    v = test_small_vocab("t5", tokens);
    assert_int_equal(lm_tokenizer_create(&a, NULL, &v, &t), LLM_E_LIMIT);
    assert_int_equal(a.bytes, 0);
}

static void test_unigram__survives_failing_allocations(void **state)
{
    (void)state;
    unsigned char blob[2048];
    lm_vocab v = small_vocab();
    v.charsmap = blob;
    v.charsmap_size = make_map(blob, "ab b", 5);
    test_small_failures(&v, "abxxba bbab a bxa\xc3\xa9 abbabbabb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unigram__mixed),
        cmocka_unit_test(test_unigram__corpora),
        cmocka_unit_test(test_unigram__one_class_at_length),
        cmocka_unit_test(test_unigram__published_charsmap_cut_short),
        cmocka_unit_test(test_unigram__best_sum),
        cmocka_unit_test(test_unigram__white_space_rules),
        cmocka_unit_test(test_unigram__bytes),
        cmocka_unit_test(test_unigram__agrees_with_a_plain_program),
        cmocka_unit_test(test_unigram__charsmap_replaces),
        cmocka_unit_test(test_unigram__hostile_charsmaps),
        cmocka_unit_test(test_unigram__random_charsmaps),
        cmocka_unit_test(test_unigram__odd_scores),
        cmocka_unit_test(test_unigram__nothing_to_cover_with),
        cmocka_unit_test(test_unigram__tokens_too_long_to_look_for),
        cmocka_unit_test(test_unigram__survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
