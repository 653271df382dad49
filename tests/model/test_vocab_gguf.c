/* test_vocab_gguf.c - vocabularies in metadata: what is read, and each way it can lie. */
#include "support/support.h"

#include "model/vocab_gguf.h"

#include <string.h>

static lm_allocator heap;

/* Metadata in place of a file. */
typedef struct metadata {
    lm_gguf gguf;
    lm_gguf_pair pairs[16];
} metadata;

static void begin(metadata *m)
{
    memset(m, 0, sizeof *m);
    lm_allocator_init(&heap, NULL);
    m->gguf.alloc = &heap;
    m->gguf.pairs = m->pairs;
    lm_strmap_init(&m->gguf.pair_index, &heap);
}

static void set(metadata *m, const char *key, uint32_t type, bool is_array, uint64_t count,
                const void *items)
{
    uint32_t at = (uint32_t)m->gguf.n_pairs;
    if (!lm_strmap_get(&m->gguf.pair_index, key, strlen(key), &at)) {
        assert_in_range(at, 0, 15);
        assert_ok(lm_strmap_add(&m->gguf.pair_index, key, strlen(key), at, NULL));
        m->gguf.n_pairs++;
    }
    m->pairs[at] = (lm_gguf_pair){{key, strlen(key)}, {type, is_array, count, items}};
}

#define MODEL    "tokenizer.ggml.model"
#define TOKENS   "tokenizer.ggml.tokens"
#define SCORES   "tokenizer.ggml.scores"
#define TYPES    "tokenizer.ggml.token_type"
#define MERGES   "tokenizer.ggml.merges"
#define BOS      "tokenizer.ggml.bos_token_id"
#define ADD_BOS  "tokenizer.ggml.add_bos_token"
#define CHARSMAP "tokenizer.ggml.precompiled_charsmap"

static const lm_gguf_string model_name = {"gpt2", 4}, pre_name = {"gpt-2", 5};
static const lm_gguf_string token_texts[] = {{"a", 1}, {"b", 1}, {"ab", 2}};
static const lm_gguf_string merge_texts[] = {{"a b", 3}};
static const float scores[] = {-1, -2, -3, -4};
static const int32_t types[] = {1, 1, 3, 1};

static void fill(metadata *m)
{
    begin(m);
    set(m, MODEL, LM_GGUF_STRING, false, 1, &model_name);
    set(m, "tokenizer.ggml.pre", LM_GGUF_STRING, false, 1, &pre_name);
    set(m, TOKENS, LM_GGUF_STRING, true, 3, token_texts);
    set(m, MERGES, LM_GGUF_STRING, true, 1, merge_texts);
    set(m, SCORES, LM_GGUF_F32, true, 3, scores);
    set(m, TYPES, LM_GGUF_I32, true, 3, types);
}

/* Reads, and makes a tokenizer if that went well; returns the first failure. */
static int32_t try_read(metadata *m, lm_vocab *vocab)
{
    lm_arena arena;
    lm_arena_init(&arena, &heap);
    lm_tokenizer *t = NULL;
    int32_t rc = lm_vocab_from_gguf(&m->gguf, &arena, vocab);
    if (rc == LLM_OK)
        rc = lm_tokenizer_create(&heap, NULL, vocab, &t);
    lm_tokenizer_destroy(t);
    lm_arena_finish(&arena);
    lm_strmap_finish(&m->gguf.pair_index);
    assert_int_equal(heap.bytes, 0);
    return rc;
}

static void test_vocab_gguf__reads(void **state)
{
    (void)state;
    metadata m;
    lm_vocab v;
    static const uint32_t bos = 2;
    static const unsigned char yes = 1, no = 0;
    static const unsigned char map[] = {1, 2, 3, 4};
    fill(&m);
    set(&m, BOS, LM_GGUF_U32, false, 1, &bos);
    set(&m, ADD_BOS, LM_GGUF_BOOL, false, 1, &yes);
    set(&m, "tokenizer.ggml.add_eos_token", LM_GGUF_BOOL, false, 1, &no);
    set(&m, CHARSMAP, LM_GGUF_I8, true, 4, map);
    assert_ok(try_read(&m, &v));
    assert_string_equal(v.model, "gpt2");
    assert_string_equal(v.pre, "gpt-2");
    assert_null(v.name);
    assert_int_equal(v.n_tokens, 3);
    assert_int_equal(v.n_merges, 1);
    assert_ptr_equal(v.scores, scores);
    assert_ptr_equal(v.types, types);
    assert_int_equal(v.special[LM_SPECIAL_BOS], 2);
    assert_int_equal(v.special[LM_SPECIAL_EOS], -1);
    assert_int_equal(v.add_bos, LM_RULE_YES);
    assert_int_equal(v.add_eos, LM_RULE_NO);
    assert_int_equal(v.add_sep, LM_RULE_ABSENT);
    assert_ptr_equal(v.charsmap, map);
    assert_int_equal(v.charsmap_size, 4);
}

static void test_vocab_gguf__none(void **state)
{
    (void)state;
    static const lm_gguf_string names[] = {{"none", 4}, {"no_vocab", 8}};
    metadata m;
    lm_vocab v;
    begin(&m);
    assert_status(try_read(&m, &v), LLM_E_NOT_FOUND);
    for (int i = 0; i < 2; i++) {
        fill(&m);
        set(&m, MODEL, LM_GGUF_STRING, false, 1, &names[i]);
        assert_status(try_read(&m, &v), LLM_E_NOT_FOUND);
    }
}

static void test_vocab_gguf__lies(void **state)
{
    (void)state;
    static const lm_gguf_string with_nul = {"gpt2\0x", 6}, unknown = {"gpt9", 4};
    static const lm_gguf_string bad_merge[] = {{"ab", 2}};
    static const uint32_t beyond = 3;
    static const int32_t negative = -1;
    static const int32_t bad_types[] = {1, 99, 3};
    static const float not_id = 1;
    static const struct {
        const char *key;
        uint32_t type;
        bool is_array;
        uint64_t count;
        const void *items;
        int32_t wanted;
    } lies[] = {
        {MODEL, LM_GGUF_U32, false, 1, &beyond, LLM_E_FORMAT},
        {MODEL, LM_GGUF_STRING, true, 1, &model_name, LLM_E_FORMAT},
        {MODEL, LM_GGUF_STRING, false, 1, &with_nul, LLM_E_FORMAT},
        {MODEL, LM_GGUF_STRING, false, 1, &unknown, LLM_E_UNSUPPORTED},
        {"tokenizer.ggml.pre", LM_GGUF_STRING, false, 1, &unknown, LLM_E_UNSUPPORTED},
        {"tokenizer.ggml.pre", LM_GGUF_U32, false, 1, &beyond, LLM_E_FORMAT},
        {TOKENS, LM_GGUF_STRING, true, 0, token_texts, LLM_E_FORMAT},
        {TOKENS, LM_GGUF_STRING, false, 1, token_texts, LLM_E_FORMAT},
        {TOKENS, LM_GGUF_I32, true, 3, types, LLM_E_FORMAT},
        {TOKENS, LM_GGUF_STRING, true, 2, token_texts, LLM_E_FORMAT}, /* scores for three */
        {SCORES, LM_GGUF_I32, true, 3, types, LLM_E_FORMAT},
        {SCORES, LM_GGUF_F32, true, 2, scores, LLM_E_FORMAT},
        {SCORES, LM_GGUF_F32, true, 4, scores, LLM_E_FORMAT},
        {SCORES, LM_GGUF_F32, false, 1, scores, LLM_E_FORMAT},
        {TYPES, LM_GGUF_U8, true, 3, types, LLM_E_FORMAT},
        {TYPES, LM_GGUF_F32, true, 3, scores, LLM_E_FORMAT},
        {TYPES, LM_GGUF_I32, true, 2, types, LLM_E_FORMAT},
        {TYPES, LM_GGUF_I32, true, 4, types, LLM_E_FORMAT},
        {TYPES, LM_GGUF_I32, true, 3, bad_types, LLM_E_FORMAT},
        {MERGES, LM_GGUF_U8, true, 3, types, LLM_E_FORMAT},
        {MERGES, LM_GGUF_STRING, false, 1, merge_texts, LLM_E_FORMAT},
        {MERGES, LM_GGUF_STRING, true, 1, bad_merge, LLM_E_FORMAT},
        {MERGES, LM_GGUF_STRING, true, 0, merge_texts, LLM_OK},
        {BOS, LM_GGUF_U32, false, 1, &beyond, LLM_E_FORMAT},
        {BOS, LM_GGUF_F32, false, 1, &not_id, LLM_E_FORMAT},
        {BOS, LM_GGUF_I32, false, 1, &negative, LLM_OK},
        {"tokenizer.ggml.padding_token_id", LM_GGUF_U32, false, 1, &beyond, LLM_OK},
        {ADD_BOS, LM_GGUF_U32, false, 1, &beyond, LLM_E_FORMAT},
        {CHARSMAP, LM_GGUF_F32, true, 3, scores, LLM_E_FORMAT},
        {CHARSMAP, LM_GGUF_STRING, false, 1, &model_name, LLM_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        metadata m;
        lm_vocab v;
        fill(&m);
        set(&m, lies[i].key, lies[i].type, lies[i].is_array, lies[i].count, lies[i].items);
        int32_t rc = try_read(&m, &v);
        if (rc != lies[i].wanted)
            fail_msg("case %zu, %s: %s", i, lies[i].key, llm_status_name(rc));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vocab_gguf__reads),
        cmocka_unit_test(test_vocab_gguf__none),
        cmocka_unit_test(test_vocab_gguf__lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
