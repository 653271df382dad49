/* test_gguf.c - opening real files, mapped, read, from memory and through callbacks, and what is
 * found in them. The facts of the table were read with the gguf package (version 1: with the
 * equal file of version 3). */
#include "support/support.h"

#include "format/gguf_bytes.h"
#include "format/gguf_walk.h"

#include <stdlib.h>
#include <string.h>

typedef struct fact {
    const char *path;
    uint32_t version;
    uint64_t pairs, tensors, tokens;
    const char *architecture;
    const char *first, *format; /* tensor at index 0 */
    uint64_t dims[2], offset;
} fact;

#define STORIES "models/stories260K/stories260K-"
#define TINY    "models/tinystories656K/tinystories656K-"
#define VOCAB   "vocab/ggml-vocab-"
#define EMBED   "token_embd.weight"

static const fact facts[] = {
    {"models/gpt-nano-sort/gpt-nano-sort-f32-v3.gguf",
     3,
     15,
     41,
     3,
     "gpt2",
     EMBED,
     "f32",
     {48, 3},
     2976},
    {STORIES "f32-ggufv1-original.gguf", 1, 18, 48, 512, "llama", EMBED, "f32", {64, 512}, 11456},
    {STORIES "f32-v3.gguf", 3, 24, 47, 512, "llama", EMBED, "f32", {64, 512}, 14304},
    {STORIES "f16-v3.gguf", 3, 24, 47, 512, "llama", EMBED, "f16", {64, 512}, 14304},
    {STORIES "bf16-v3.gguf", 3, 24, 47, 512, "llama", EMBED, "bf16", {64, 512}, 14304},
    {STORIES "q8_0-v3.gguf", 3, 24, 47, 512, "llama", EMBED, "q8_0", {64, 512}, 14304},
    {TINY "f32-v3.gguf", 3, 25, 20, 2048, "llama", EMBED, "f32", {128, 2048}, 50336},
    {TINY "bf16-v3.gguf", 3, 25, 20, 2048, "llama", EMBED, "bf16", {128, 2048}, 50336},
    {TINY "q8_0-v3.gguf", 3, 25, 20, 2048, "llama", EMBED, "q8_0", {128, 2048}, 50336},
    {TINY "q4_0-v3.gguf", 3, 25, 20, 2048, "llama", EMBED, "q4_0", {128, 2048}, 50336},
    {VOCAB "bert-bge.gguf", 3, 20, 0, 30522, "bert", NULL, NULL, {0}, 0},
    {VOCAB "deepseek-coder.gguf", 3, 25, 0, 32256, "llama", NULL, NULL, {0}, 0},
    {VOCAB "falcon.gguf", 3, 18, 0, 65024, "falcon", NULL, NULL, {0}, 0},
    {VOCAB "gpt-2.gguf", 3, 16, 0, 50257, "gpt2", NULL, NULL, {0}, 0},
    {VOCAB "llama-spm.gguf", 3, 22, 0, 32000, "llama", NULL, NULL, {0}, 0},
    {VOCAB "phi-3.gguf", 3, 26, 0, 32064, "phi3", NULL, NULL, {0}, 0},
    {VOCAB "starcoder.gguf", 3, 19, 0, 49152, "starcoder2", NULL, NULL, {0}, 0},
    {"vocab/gguf-v1-llama.gguf", 1, 12, 0, 32000, "llama", NULL, NULL, {0}, 0},
    {"vocab/gguf-v2-falcon.gguf", 2, 17, 0, 65024, "falcon", NULL, NULL, {0}, 0},
    {"vocab/made-vocab-qwen2.gguf", 3, 16, 0, 151936, "llama", NULL, NULL, {0}, 0},
};

static void check_fact(const lm_gguf *g, const fact *f)
{
    lm_gguf_string architecture;
    assert_int_equal(g->version, f->version);
    assert_int_equal(g->n_pairs, f->pairs);
    assert_int_equal(g->n_tensors, f->tensors);
    assert_ok(lm_gguf_get_string(g, "general.architecture", &architecture));
    assert_string_equal(architecture.data, f->architecture);
    assert_int_equal(architecture.size, strlen(f->architecture));
    const lm_gguf_value *tokens = lm_gguf_find(g, "tokenizer.ggml.tokens");
    assert_non_null(tokens);
    assert_true(tokens->is_array && tokens->type == LM_GGUF_STRING);
    assert_int_equal(tokens->count, f->tokens);
    if (f->first == NULL)
        return;
    const lm_gguf_tensor *t = lm_gguf_find_tensor(g, f->first);
    assert_ptr_equal(t, &g->tensors[0]);
    assert_string_equal(t->format->name, f->format);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], f->dims[0]);
    assert_int_equal(t->dims[1], f->dims[1]);
    assert_int_equal(t->dims[2], 1);
    assert_int_equal(t->count, f->dims[0] * f->dims[1]);
    assert_int_equal(t->bytes, t->count / t->format->block * t->format->bytes);
    assert_int_equal(t->offset, f->offset);
}

static void test_gguf__real_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        const char *path = test_data_path(facts[i].path);
        test_memory m;
        lm_gguf *mapped, *read;
        test_memory_init(&m);
        assert_ok(lm_gguf_open_path(&m.alloc, NULL, NULL, path, LM_SOURCE_MAP, &mapped));
        assert_ok(lm_gguf_open_path(&m.alloc, NULL, NULL, path, LM_SOURCE_READ, &read));
        check_fact(mapped, &facts[i]);
        check_fact(read, &facts[i]);
        assert_int_equal(gguf_walk(mapped), gguf_walk(read));
        lm_gguf_close(mapped);
        lm_gguf_close(read);
        test_memory_check(&m);
    }
}

/* A host's callback over a block of memory; counts its calls, so that bounded reads are seen. */
typedef struct host_file {
    const unsigned char *data;
    uint64_t size, calls, largest;
} host_file;

static int32_t host_read(void *user, uint64_t offset, void *into, uint64_t size)
{
    host_file *h = user;
    if (size > h->size || offset > h->size - size)
        return -1;
    h->calls++;
    h->largest = size > h->largest ? size : h->largest;
    memcpy(into, h->data + offset, (size_t)size);
    return 0;
}

static void same_tensors(const lm_gguf *a, const lm_gguf *b)
{
    assert_int_equal(a->n_tensors, b->n_tensors);
    for (uint64_t i = 0; i < a->n_tensors; i++) {
        const lm_gguf_tensor *t = &a->tensors[i];
        const unsigned char *mapped = lm_gguf_data(a, t);
        unsigned char *copy = malloc((size_t)t->bytes);
        assert_non_null(mapped);
        assert_null(lm_gguf_data(b, &b->tensors[i]));
        assert_non_null(copy);
        assert_ok(lm_gguf_read(b, &b->tensors[i], 0, copy, (size_t)t->bytes));
        assert_memory_equal(mapped, copy, (size_t)t->bytes);
        assert_ok(lm_gguf_read(b, &b->tensors[i], t->bytes - 3, copy, 3));
        assert_memory_equal(mapped + t->bytes - 3, copy, 3);
        assert_status(lm_gguf_read(b, &b->tensors[i], t->bytes - 3, copy, 4), LLM_E_INVALID);
        assert_status(lm_gguf_read(b, &b->tensors[i], UINT64_MAX, copy, 2), LLM_E_INVALID);
        free(copy);
    }
}

static void test_gguf__memory_and_callback_agree(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    size_t size;
    unsigned char *data = test_read(test_data_path(STORIES "q8_0-v3.gguf"), &size);
    host_file host = {data, size, 0, 0};
    lm_source memory, callback;
    lm_gguf *a, *b;
    assert_ok(lm_source_open_memory(&m.alloc, data, size, &memory));
    assert_ok(lm_source_open_callback(&m.alloc, host_read, &host, size, &callback));
    assert_ok(lm_gguf_open_source(&m.alloc, NULL, NULL, &memory, &a));
    assert_ok(lm_gguf_open_source(&m.alloc, NULL, NULL, &callback, &b));
    assert_true(host.largest <= (256u << 10));
    assert_int_equal(host.calls, 1);
    same_tensors(a, b);
    host.size = 0; /* the host's file is gone: an error, and the metadata is still there */
    unsigned char byte;
    lm_gguf_string name;
    assert_status(lm_gguf_read(b, &b->tensors[0], 0, &byte, 1), LLM_E_IO);
    assert_ok(lm_gguf_get_string(b, "general.name", &name));
    assert_string_equal(name.data, "stories260K");
    lm_gguf_close(a);
    lm_gguf_close(b);
    test_memory_check(&m);
    free(data);
}

static void test_gguf__values_of_a_model(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    lm_gguf *g;
    uint64_t u;
    int64_t i;
    double f;
    bool b;
    lm_gguf_string s;
    assert_ok(lm_gguf_open_path(&m.alloc, NULL, NULL, test_data_path(STORIES "f32-v3.gguf"),
                                LM_SOURCE_MAP, &g));
    assert_ok(lm_gguf_get_u64(g, "llama.block_count", 0, &u));
    assert_int_equal(u, 5);
    assert_ok(lm_gguf_get_i64(g, "llama.attention.head_count", 0, &i));
    assert_int_equal(i, 8);
    assert_ok(lm_gguf_get_f64(g, "llama.attention.head_count_kv", 0, &f));
    assert_true(f == 4.0);
    assert_ok(lm_gguf_get_f64(g, "llama.attention.layer_norm_rms_epsilon", 0, &f));
    assert_true(f == (double)1e-5f);
    assert_status(lm_gguf_get_u64(g, "llama.attention.layer_norm_rms_epsilon", 0, &u),
                  LLM_E_FORMAT);
    assert_status(lm_gguf_get_u64(g, "llama.block_count", 1, &u), LLM_E_FORMAT);
    assert_status(lm_gguf_get_bool(g, "llama.block_count", &b), LLM_E_FORMAT);
    assert_status(lm_gguf_get_string(g, "tokenizer.ggml.tokens", &s), LLM_E_FORMAT);
    assert_status(lm_gguf_get_u64(g, "no.such.key", 0, &u), LLM_E_NOT_FOUND);
    assert_null(lm_gguf_find(g, "no.such.key"));
    assert_null(lm_gguf_find_tensor(g, "no.such.tensor"));
    const lm_gguf_string *tokens = lm_gguf_find(g, "tokenizer.ggml.tokens")->items;
    assert_string_equal(tokens[0].data, "<unk>");
    assert_string_equal(tokens[3].data, "<0x00>");
    assert_int_equal(tokens[3].size, 6);
    lm_gguf_close(g);
    test_memory_check(&m);
}

/* All integers of the sound file are the bytes fe ff ff ... in their width. */
static void test_gguf__integers_of_every_width(void **state)
{
    (void)state;
    static const struct {
        char type;
        int bits; /* negative: a signed type */
    } cases[] = {{LM_GGUF_U8, 8},   {LM_GGUF_I8, -8},   {LM_GGUF_U16, 16}, {LM_GGUF_I16, -16},
                 {LM_GGUF_U32, 32}, {LM_GGUF_I32, -32}, {LM_GGUF_U64, 64}, {LM_GGUF_I64, -64}};
    static gguf_bytes b;
    test_memory m;
    lm_source source;
    lm_gguf *g;
    test_memory_init(&m);
    gb_sound(&b, 3);
    assert_ok(lm_source_open_memory(&m.alloc, b.data, b.size, &source));
    assert_ok(lm_gguf_open_source(&m.alloc, NULL, NULL, &source, &g));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char key[] = {'s', '.', (char)('a' + cases[i].type), '\0'};
        bool is_signed = cases[i].bits < 0;
        uint64_t u = 0, wanted = is_signed ? 0 : (UINT64_MAX >> (64 - cases[i].bits)) - 1;
        int64_t s = 0;
        double f = 0;
        int32_t unsigned_rc = is_signed ? LLM_E_FORMAT : LLM_OK;
        int32_t signed_rc = cases[i].bits == 64 ? LLM_E_FORMAT : LLM_OK;
        assert_status(lm_gguf_get_u64(g, key, 0, &u), unsigned_rc);
        assert_status(lm_gguf_get_i64(g, key, 0, &s), signed_rc);
        assert_ok(lm_gguf_get_f64(g, key, 0, &f));
        assert_true(f == (is_signed ? -2.0 : (double)wanted));
        assert_true(unsigned_rc < 0 || u == wanted);
        assert_true(signed_rc < 0 || s == (is_signed ? -2 : (int64_t)wanted));
    }
    lm_gguf_close(g);
    test_memory_check(&m);
}

/* Version 3 of this model was made from version 1, bit for bit. */
static void test_gguf__version_1_holds_the_same_numbers(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    lm_gguf *old, *new;
    assert_ok(lm_gguf_open_path(&m.alloc, NULL, NULL,
                                test_data_path(STORIES "f32-ggufv1-original.gguf"), LM_SOURCE_MAP,
                                &old));
    assert_ok(lm_gguf_open_path(&m.alloc, NULL, NULL, test_data_path(STORIES "f32-v3.gguf"),
                                LM_SOURCE_MAP, &new));
    for (uint64_t i = 0; i < new->n_tensors; i++) {
        const lm_gguf_tensor *t = &new->tensors[i], *same = lm_gguf_find_tensor(old, t->name.data);
        assert_non_null(same);
        assert_int_equal(t->bytes, same->bytes);
        assert_memory_equal(lm_gguf_data(new, t), lm_gguf_data(old, same), (size_t)t->bytes);
    }
    lm_gguf_close(old);
    lm_gguf_close(new);
    test_memory_check(&m);
}

static void test_gguf__is_not_there(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    lm_gguf *g;
    assert_status(
        lm_gguf_open_path(&m.alloc, NULL, NULL, "/nonexistent/model.gguf", LM_SOURCE_MAP, &g),
        LLM_E_NOT_FOUND);
    assert_status(lm_gguf_open_path(&m.alloc, NULL, NULL, "/", LM_SOURCE_MAP, &g), LLM_E_IO);
    lm_gguf_close(NULL);
    test_memory_check(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf__real_files),
        cmocka_unit_test(test_gguf__memory_and_callback_agree),
        cmocka_unit_test(test_gguf__values_of_a_model),
        cmocka_unit_test(test_gguf__integers_of_every_width),
        cmocka_unit_test(test_gguf__version_1_holds_the_same_numbers),
        cmocka_unit_test(test_gguf__is_not_there),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
