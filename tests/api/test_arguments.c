/* test_arguments.c - the rules every public function keeps: structures of other sizes than the library's own,
 * and NULL where something was expected. */
#include "support/support.h"

#include <llm/llm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct world {
    llm_runtime *rt;
    llm_model *model;
    llm_engine *engine;
    llm_session *s;
    llm_sampler *sampler;
    llm_tokenizer *tokenizer;
    llm_writer *writer;
    char path[4096], vocabulary[4096], written[4096];
} world;

static void write_vocabulary(world *w)
{
    static const char *const tokens[] = {"<unk>", "a", "b"};
    static const float scores[] = {0, -1, -2};
    static const llm_token types[] = {2, 1, 1};
    llm_writer *writer;
    llm_param params[] = {{"general.architecture", LLM_KIND_STRING, 0, {.s = "none"}},
                          {"tokenizer.ggml.model", LLM_KIND_STRING, 0, {.s = "llama"}},
                          {"tokenizer.ggml.scores", LLM_KIND_FLOATS, 3, {.p = scores}},
                          {"tokenizer.ggml.token_type", LLM_KIND_TOKENS, 3, {.p = types}}};
    assert_ok(llm_writer_create(w->rt, w->vocabulary, "gguf", &writer));
    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++)
        assert_ok(llm_writer_set(writer, &params[i]));
    assert_ok(llm_writer_strings(writer, "tokenizer.ggml.tokens", tokens, 3));
    assert_ok(llm_writer_finish(writer));
    llm_writer_destroy(writer);
}

static int open_world(void **state)
{
    static world w;
    llm_model *vocabulary;
    llm_token token = 5;
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "null"};
    snprintf(w.path, sizeof w.path, "%s", test_file_path("model/data/llama.gguf"));
    snprintf(w.vocabulary, sizeof w.vocabulary, "%s", test_scratch("arguments-vocabulary"));
    snprintf(w.written, sizeof w.written, "%s", test_scratch("arguments-written"));
    assert_ok(llm_runtime_create(NULL, &w.rt));
    assert_ok(llm_model_open(w.rt, w.path, &mp, &w.model));
    assert_ok(llm_engine_create(w.model, NULL, &w.engine));
    assert_ok(llm_session_create(w.model, NULL, &w.s));
    assert_ok(llm_session_feed(w.s, &token, 1, NULL));
    assert_ok(llm_sampler_create(w.rt, &w.sampler));
    assert_ok(llm_writer_create(w.rt, w.written, "gguf", &w.writer));
    write_vocabulary(&w);
    mp.load = LLM_LOAD_VOCAB;
    assert_ok(llm_model_open(w.rt, w.vocabulary, &mp, &vocabulary));
    assert_ok(llm_model_tokenizer(vocabulary, &w.tokenizer));
    llm_model_release(vocabulary);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;
    llm_writer_destroy(w->writer);
    llm_tokenizer_release(w->tokenizer);
    llm_sampler_destroy(w->sampler);
    llm_session_destroy(w->s);
    llm_engine_release(w->engine);
    llm_model_release(w->model);
    llm_runtime_destroy(w->rt);
    remove(w->vocabulary);
    return 0;
}

/* --- structures the library reads ------------------------------------------------------------- */

static int32_t in_runtime(world *w, void *params)
{
    llm_runtime *rt;
    (void)w;
    int32_t rc = llm_runtime_create(params, &rt);
    if (rc >= 0)
        llm_runtime_destroy(rt);
    return rc;
}

static int32_t in_model(world *w, void *params)
{
    llm_model *model;
    int32_t rc = llm_model_open(w->rt, w->path, params, &model);
    if (rc >= 0)
        llm_model_release(model);
    return rc;
}

static int32_t in_engine(world *w, void *params)
{
    llm_engine *engine;
    int32_t rc = llm_engine_create(w->model, params, &engine);
    if (rc >= 0)
        llm_engine_release(engine);
    return rc;
}

static int32_t in_plan(world *w, void *params)
{
    llm_memory_plan plan = {.struct_size = sizeof plan};
    return llm_model_plan(w->model, params, 0, &plan);
}

static int32_t in_session(world *w, void *params)
{
    llm_session *s;
    int32_t rc = llm_session_create(w->model, params, &s);
    if (rc >= 0)
        llm_session_destroy(s);
    return rc;
}

static int32_t in_feed(world *w, void *params)
{
    llm_token token = 5;
    LM_TRY(llm_session_rewind(w->s, 1));
    return llm_session_feed(w->s, &token, 1, params);
}

static int32_t in_sync(world *w, void *params)
{
    llm_token token = 5;
    return llm_session_sync(w->s, &token, 1, params, NULL);
}

static int32_t in_embeddings(world *w, void *params)
{
    static const float row[256];
    LM_TRY(llm_session_rewind(w->s, 1));
    return llm_session_feed_embeddings(w->s, row, 1, params);
}

static const struct {
    const char *name;
    size_t size;
    int32_t (*call)(world *w, void *params);
} inputs[] = {
    {"llm_runtime_params", sizeof(llm_runtime_params), in_runtime},
    {"llm_model_params", sizeof(llm_model_params), in_model},
    {"llm_engine_params", sizeof(llm_engine_params), in_engine},
    {"llm_engine_params", sizeof(llm_engine_params), in_plan},
    {"llm_session_params", sizeof(llm_session_params), in_session},
    {"llm_feed_params", sizeof(llm_feed_params), in_feed},
    {"llm_feed_params", sizeof(llm_feed_params), in_sync},
    {"llm_feed_params", sizeof(llm_feed_params), in_embeddings},
};

#define TAIL 32

static void test_arguments__structures_read(void **state)
{
    world *w = *state;
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        uint32_t known = (uint32_t)inputs[i].size;
        for (uint32_t size = 0; size <= known + TAIL; size++) {
            uint32_t room = size < sizeof size ? (uint32_t)sizeof size : size;
            unsigned char *given = calloc(1, room); /* so that reading behind it is seen */
            assert_non_null(given);
            memcpy(given, &size, sizeof size);
            assert_status(inputs[i].call(w, given), size < sizeof size ? LLM_E_INVALID : LLM_OK);
            if (size > known) {
                given[size - 1] = 1;
                assert_status(inputs[i].call(w, given), LLM_E_UNSUPPORTED);
                assert_non_null(strstr(llm_last_error(), inputs[i].name));
            }
            free(given);
        }
        uint32_t absurd[] = {UINT32_MAX, 0};
        assert_status(inputs[i].call(w, absurd), LLM_E_INVALID);
        assert_ok(inputs[i].call(w, NULL));
    }
}

/* Those whose zero is no default, because a callback must be there. */
static int32_t read_all(void *user, uint64_t offset, void *into, uint64_t size)
{
    FILE *file = fopen(((world *)user)->path, "rb");
    bool ok = file != NULL && fseek(file, (long)offset, SEEK_SET) == 0 &&
              fread(into, 1, (size_t)size, file) == size;
    if (file != NULL)
        fclose(file);
    return ok ? 0 : 1;
}

static int32_t pick_first(void *user, llm_candidate *candidates, uint64_t count, uint64_t *chosen)
{
    (void)user;
    (void)candidates;
    (void)count;
    *chosen = 0;
    return LLM_OK;
}

static void test_arguments__structures_with_callbacks(void **state)
{
    world *w = *state;
    llm_model *model;
    llm_sampler *sampler;
    struct {
        llm_reader known;
        unsigned char tail[8];
    } reader = {.known = {.struct_size = sizeof reader, .read = read_all, .user = w}};
    struct {
        llm_sampler_class known;
        unsigned char tail[8];
    } class_ = {.known = {.struct_size = sizeof class_, .apply = pick_first}};
    size_t size;
    free(test_read(w->path, &size));
    reader.known.size = size;
    assert_ok(llm_model_open_callbacks(w->rt, &reader.known, NULL, &model));
    llm_model_release(model);
    reader.tail[7] = 1;
    assert_status(llm_model_open_callbacks(w->rt, &reader.known, NULL, &model), LLM_E_UNSUPPORTED);
    reader.tail[7] = 0;
    reader.known.reserved = 1;
    assert_status(llm_model_open_callbacks(w->rt, &reader.known, NULL, &model), LLM_E_UNSUPPORTED);
    reader.known.reserved = 0;
    reader.known.struct_size = 3;
    assert_status(llm_model_open_callbacks(w->rt, &reader.known, NULL, &model), LLM_E_INVALID);
    reader.known.struct_size = 8; /* no callback inside */
    assert_status(llm_model_open_callbacks(w->rt, &reader.known, NULL, &model), LLM_E_INVALID);
    assert_ok(llm_sampler_create(w->rt, &sampler));
    assert_ok(llm_sampler_add_host(sampler, &class_.known, NULL));
    class_.tail[0] = 1;
    assert_status(llm_sampler_add_host(sampler, &class_.known, NULL), LLM_E_UNSUPPORTED);
    class_.known.struct_size = 0;
    assert_status(llm_sampler_add_host(sampler, &class_.known, NULL), LLM_E_INVALID);
    class_.known.struct_size = 8;
    assert_status(llm_sampler_add_host(sampler, &class_.known, NULL), LLM_E_INVALID);
    llm_sampler_destroy(sampler);
}

/* --- structures the library fills ------------------------------------------------------------- */

static int32_t out_device(world *w, void *out)
{
    return llm_runtime_device_at(w->rt, 0, out);
}

static int32_t out_memory(world *w, void *out)
{
    return llm_runtime_memory(w->rt, out);
}

static int32_t out_stats(world *w, void *out)
{
    return llm_engine_get_stats(w->engine, out);
}

static int32_t out_info(world *w, void *out)
{
    return llm_model_get_info(w->model, out);
}

static int32_t out_metadata_at(world *w, void *out)
{
    return llm_model_metadata_at(w->model, 0, 0, out);
}

static int32_t out_metadata_find(world *w, void *out)
{
    return llm_model_metadata_find(w->model, "general.architecture", 0, out);
}

static int32_t out_tensor(world *w, void *out)
{
    return llm_model_tensor_at(w->model, 0, out);
}

static int32_t out_step(world *w, void *out)
{
    return llm_model_step_at(w->model, 0, out);
}

static int32_t out_plan(world *w, void *out)
{
    return llm_model_plan(w->model, NULL, 0, out);
}

static int32_t out_piece(world *w, void *out)
{
    LM_TRY(llm_session_rewind(w->s, 1));
    return llm_session_next(w->s, out);
}

static int32_t out_token(world *w, void *out)
{
    return llm_tokenizer_token(w->tokenizer, 1, out);
}

static int32_t out_format_at(world *w, void *out)
{
    (void)w;
    return llm_format_at(0, out);
}

static int32_t out_format_find(world *w, void *out)
{
    (void)w;
    return llm_format_find("f32", out);
}

static const struct {
    size_t size;
    int32_t (*call)(world *w, void *out);
} outputs[] = {{sizeof(llm_device_info), out_device},     {sizeof(llm_memory_use), out_memory},
               {sizeof(llm_engine_stats), out_stats},     {sizeof(llm_model_info), out_info},
               {sizeof(llm_metadata), out_metadata_at},   {sizeof(llm_metadata), out_metadata_find},
               {sizeof(llm_tensor_info), out_tensor},     {sizeof(llm_step_info), out_step},
               {sizeof(llm_memory_plan), out_plan},       {sizeof(llm_piece), out_piece},
               {sizeof(llm_token_info), out_token},       {sizeof(llm_format_info), out_format_at},
               {sizeof(llm_format_info), out_format_find}};

/* At most struct_size bytes are written, and those as they are in the whole structure. */
static void test_arguments__structures_filled(void **state)
{
    world *w = *state;
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        uint32_t known = (uint32_t)outputs[i].size;
        for (uint32_t size = 0; size <= known + TAIL; size++) {
            uint32_t room = size < sizeof size ? (uint32_t)sizeof size : size, after;
            unsigned char *given = malloc(room); /* so that writing behind it is seen */
            assert_non_null(given);
            memset(given, 0xa5, room);
            memcpy(given, &size, sizeof size);
            assert_status(outputs[i].call(w, given), size < sizeof size ? LLM_E_INVALID : LLM_OK);
            memcpy(&after, given, sizeof after);
            assert_int_equal(after, size);
            for (uint32_t k = known; k < size; k++)
                assert_int_equal(given[k], 0xa5);
            uint32_t written = 0;
            for (uint32_t k = sizeof size; k < size && k < known; k++)
                written += given[k] != 0xa5;
            assert_true(size < 8 || written > 0);
            free(given);
        }
        assert_status(outputs[i].call(w, NULL), LLM_E_INVALID);
    }
}

static void test_arguments__reserved_is_zero(void **state)
{
    world *w = *state;
    llm_token token = 1;
    llm_feed_params fp = {.struct_size = sizeof fp, .reserved = 1};
    assert_status(llm_session_feed(w->s, &token, 1, &fp), LLM_E_UNSUPPORTED);
}

/* A piece that cannot be filled costs no token. */
static void test_arguments__bad_piece_makes_no_token(void **state)
{
    world *w = *state;
    llm_piece piece = {.struct_size = 2};
    uint64_t length = llm_session_length(w->s);
    assert_status(llm_session_next(w->s, &piece), LLM_E_INVALID);
    assert_int_equal(llm_session_length(w->s), length);
}

/* --- NULL ------------------------------------------------------------------------------------- */

#define REFUSED(expr) assert_status(expr, LLM_E_INVALID)

static void test_arguments__null_runtimes_and_models(void **state)
{
    world *w = *state;
    llm_runtime *rt = w->rt;
    llm_model *m = w->model;
    llm_model_params *none = NULL;
    llm_reader reader = {.struct_size = sizeof reader};
    llm_metadata meta = {.struct_size = sizeof meta};
    llm_step_info step = {.struct_size = sizeof step};
    llm_memory_plan plan = {.struct_size = sizeof plan};
    llm_device_info device = {.struct_size = sizeof device};
    llm_memory_use use = {.struct_size = sizeof use};
    llm_model_info info = {.struct_size = sizeof info};
    llm_tensor_info tensor = {.struct_size = sizeof tensor};
    llm_model *out;
    float value;
    REFUSED(llm_runtime_create(NULL, NULL));
    REFUSED(llm_runtime_device_at(NULL, 0, &device));
    REFUSED(llm_runtime_memory(NULL, &use));
    REFUSED(llm_model_open(NULL, w->path, none, &out));
    REFUSED(llm_model_open(rt, NULL, none, &out));
    REFUSED(llm_model_open(rt, w->path, none, NULL));
    REFUSED(llm_model_open_fd(NULL, 0, none, &out));
    REFUSED(llm_model_open_fd(rt, 0, none, NULL));
    REFUSED(llm_model_open_memory(NULL, w, 1, none, &out));
    REFUSED(llm_model_open_memory(rt, NULL, 1, none, &out));
    REFUSED(llm_model_open_memory(rt, w, 1, none, NULL));
    REFUSED(llm_model_open_callbacks(NULL, &reader, none, &out));
    REFUSED(llm_model_open_callbacks(rt, NULL, none, &out));
    REFUSED(llm_model_open_callbacks(rt, &reader, none, &out)); /* read is NULL */
    REFUSED(llm_model_open_callbacks(rt, &reader, none, NULL));
    REFUSED(llm_model_load(NULL, NULL, NULL));
    REFUSED(llm_model_get_info(NULL, &info));
    REFUSED(llm_model_metadata_at(NULL, 0, 0, &meta));
    REFUSED(llm_model_metadata_find(NULL, "x", 0, &meta));
    REFUSED(llm_model_metadata_find(m, NULL, 0, &meta));
    REFUSED(llm_model_tensor_at(NULL, 0, &tensor));
    REFUSED(llm_model_tensor_values(NULL, 0, 0, 1, &value));
    REFUSED(llm_model_tensor_values(m, 0, 0, 1, NULL));
    REFUSED(llm_model_step_at(NULL, 0, &step));
    REFUSED(llm_model_plan(NULL, NULL, 0, &plan));
    REFUSED(llm_model_tokenizer(NULL, &w->tokenizer));
    REFUSED(llm_model_tokenizer(m, NULL));
    assert_ok(llm_model_load(m, NULL, NULL));
    assert_ok(llm_model_tensor_values(m, 0, 0, 0, NULL)); /* nothing goes into nothing */
    assert_null(llm_model_retain(NULL));
    llm_model_release(NULL);
    llm_runtime_destroy(NULL);
}

static void test_arguments__null_engines_and_sessions(void **state)
{
    world *w = *state;
    llm_session *s = w->s, *out;
    llm_engine *engine;
    llm_piece piece = LLM_PIECE_INIT;
    const float *logits;
    const char *text = "x";
    llm_token token = 1;
    uint64_t n;
    uint32_t count;
    float value = 0;
    llm_session_params stops = {.struct_size = sizeof stops, .n_stops = 1};
    REFUSED(llm_engine_create(NULL, NULL, &engine));
    REFUSED(llm_engine_create(w->model, NULL, NULL));
    REFUSED(
        llm_engine_get_stats(NULL, &(llm_engine_stats){.struct_size = sizeof(llm_engine_stats)}));
    REFUSED(llm_engine_trim(NULL));
    REFUSED(llm_session_create(NULL, NULL, &out));
    REFUSED(llm_session_create(w->model, NULL, NULL));
    REFUSED(llm_session_create(w->model, &stops, &out));
    REFUSED(llm_session_feed(NULL, &token, 1, NULL));
    REFUSED(llm_session_feed(s, NULL, 1, NULL));
    REFUSED(llm_session_feed_text(NULL, text, NULL));
    REFUSED(llm_session_feed_text(s, NULL, NULL));
    REFUSED(llm_session_feed_embeddings(NULL, &value, 1, NULL));
    REFUSED(llm_session_feed_embeddings(s, NULL, 1, NULL));
    REFUSED(llm_session_sync(NULL, &token, 1, NULL, NULL));
    REFUSED(llm_session_sync(s, NULL, 1, NULL, NULL));
    REFUSED(llm_session_rewind(NULL, 0));
    REFUSED(llm_session_fork(NULL, &out));
    REFUSED(llm_session_fork(s, NULL));
    REFUSED(llm_session_tokens(NULL, 0, &token, 1, &n));
    REFUSED(llm_session_tokens(s, 0, NULL, 1, &n));
    REFUSED(llm_session_tokens(s, 0, &token, 1, NULL));
    REFUSED(llm_session_next(NULL, &piece));
    REFUSED(llm_session_next(s, NULL));
    REFUSED(llm_session_logits(NULL, &logits, &count));
    REFUSED(llm_session_logits(s, NULL, &count));
    REFUSED(llm_session_set_sampler(NULL, NULL));
    REFUSED(llm_session_set_stops(NULL, &text, 1, 0));
    REFUSED(llm_session_set_stops(s, NULL, 1, 0));
    REFUSED(llm_session_ticket(NULL, &n));
    REFUSED(llm_session_ticket(s, NULL));
    REFUSED(llm_session_cancel(NULL, 1));
    REFUSED(llm_session_save(NULL, text));
    REFUSED(llm_session_save(s, NULL));
    REFUSED(llm_session_load(NULL, text));
    REFUSED(llm_session_load(s, NULL));
    REFUSED(llm_session_save_memory(NULL, &value, 1, &n));
    REFUSED(llm_session_save_memory(s, NULL, 1, &n));
    REFUSED(llm_session_save_memory(s, &value, 1, NULL));
    REFUSED(llm_session_load_memory(NULL, &value, 1));
    REFUSED(llm_session_load_memory(s, NULL, 1));
    REFUSED(llm_embed(NULL, NULL, &token, 1, &value, 1, &count));
    REFUSED(llm_embed(w->model, NULL, NULL, 1, &value, 1, &count));
    REFUSED(llm_embed(w->model, NULL, &token, 1, NULL, 1, &count));
    REFUSED(llm_embed(w->model, NULL, &token, 1, &value, 1, NULL));
    assert_ok(llm_session_feed(s, NULL, 0, NULL));
    assert_ok(llm_session_logits(s, &logits, NULL));
    assert_int_equal(llm_session_length(NULL), 0);
    assert_null(llm_engine_retain(NULL));
    llm_engine_release(NULL);
    llm_session_destroy(NULL);
}

static void test_arguments__null_samplers_and_tokenizers(void **state)
{
    world *w = *state;
    llm_sampler *s = w->sampler, *out;
    llm_tokenizer *t = w->tokenizer;
    llm_token_info info = {.struct_size = sizeof info};
    llm_param nameless = {.kind = LLM_KIND_INT};
    llm_token token = 1;
    char text = 'a';
    uint64_t n;
    float value = 0;
    REFUSED(llm_sampler_create(NULL, &out));
    REFUSED(llm_sampler_create(w->rt, NULL));
    REFUSED(llm_sampler_add(NULL, "greedy", NULL, 0));
    REFUSED(llm_sampler_add(s, NULL, NULL, 0));
    REFUSED(llm_sampler_add(s, "top-k", NULL, 1));
    REFUSED(llm_sampler_add(s, "top-k", &nameless, 1));
    REFUSED(llm_sampler_add_host(NULL, &(llm_sampler_class){0}, NULL));
    REFUSED(llm_sampler_add_host(s, NULL, NULL));
    REFUSED(llm_sampler_seed(NULL, 1));
    REFUSED(llm_sampler_reset(NULL));
    REFUSED(llm_sampler_pick(NULL, t, &value, 1, &token, 1, &token));
    REFUSED(llm_sampler_pick(s, t, NULL, 1, &token, 1, &token));
    REFUSED(llm_sampler_pick(s, t, &value, 1, NULL, 1, &token));
    REFUSED(llm_sampler_pick(s, t, &value, 1, &token, 1, NULL));
    assert_ok(llm_sampler_pick(s, NULL, &value, 1, NULL, 0, &token));
    llm_sampler_destroy(NULL);
    REFUSED(llm_tokenizer_encode(NULL, &text, 1, 0, &token, 1, &n));
    REFUSED(llm_tokenizer_encode(t, NULL, 1, 0, &token, 1, &n));
    REFUSED(llm_tokenizer_encode(t, &text, 1, 0, NULL, 1, &n));
    REFUSED(llm_tokenizer_encode(t, &text, 1, 0, &token, 1, NULL));
    REFUSED(llm_tokenizer_decode(NULL, &token, 1, 0, &text, 1, &n));
    REFUSED(llm_tokenizer_decode(t, NULL, 1, 0, &text, 1, &n));
    REFUSED(llm_tokenizer_decode(t, &token, 1, 0, NULL, 1, &n));
    REFUSED(llm_tokenizer_decode(t, &token, 1, 0, &text, 1, NULL));
    REFUSED(llm_tokenizer_token(NULL, 0, &info));
    assert_ok(llm_tokenizer_encode(t, NULL, 0, LLM_ENCODE_NO_SPECIAL, NULL, 0, &n));
    assert_ok(llm_tokenizer_decode(t, NULL, 0, 0, NULL, 0, &n));
    assert_int_equal(llm_tokenizer_count(NULL), 0);
    assert_int_equal(llm_tokenizer_special(NULL, LLM_SPECIAL_BOS), -1);
    assert_null(llm_tokenizer_retain(NULL));
    llm_tokenizer_release(NULL);
}

static void test_arguments__null_writers(void **state)
{
    world *w = *state;
    llm_writer *writer = w->writer, *out;
    llm_format_info info = {.struct_size = sizeof info};
    llm_param nameless = {.kind = LLM_KIND_INT},
              textless = {"key", LLM_KIND_STRING, 0, {.s = NULL}};
    const char *strings[] = {"x", NULL};
    uint64_t dims[] = {1}, size = 0;
    float value = 0;
    REFUSED(llm_format_find(NULL, &info));
    REFUSED(llm_writer_create(NULL, w->written, "gguf", &out));
    REFUSED(llm_writer_create(w->rt, NULL, "gguf", &out));
    REFUSED(llm_writer_create(w->rt, w->written, NULL, &out));
    REFUSED(llm_writer_create(w->rt, w->written, "gguf", NULL));
    REFUSED(llm_writer_set(NULL, &nameless));
    REFUSED(llm_writer_set(writer, NULL));
    REFUSED(llm_writer_set(writer, &nameless));
    REFUSED(llm_writer_set(writer, &textless));
    REFUSED(llm_writer_strings(NULL, "key", strings, 1));
    REFUSED(llm_writer_strings(writer, NULL, strings, 1));
    REFUSED(llm_writer_strings(writer, "key", NULL, 1));
    REFUSED(llm_writer_strings(writer, "key", strings, 2));
    REFUSED(llm_writer_copy(NULL, w->model, 0));
    REFUSED(llm_writer_copy(writer, NULL, 0));
    REFUSED(llm_writer_tensor(NULL, "t", "f32", 1, dims));
    REFUSED(llm_writer_tensor(writer, NULL, "f32", 1, dims));
    REFUSED(llm_writer_tensor(writer, "t", NULL, 1, dims));
    REFUSED(llm_writer_tensor(writer, "t", "f32", 1, NULL));
    REFUSED(llm_writer_values(NULL, &value, 1, NULL));
    REFUSED(llm_writer_values(writer, NULL, 1, NULL));
    REFUSED(llm_writer_bytes(NULL, &value, 1));
    REFUSED(llm_writer_bytes(writer, NULL, 1));
    REFUSED(llm_writer_finish(NULL));
    REFUSED(llm_format_encode(NULL, &value, 1, NULL, &value, sizeof value, &size));
    REFUSED(llm_format_encode("f32", NULL, 1, NULL, &value, sizeof value, &size));
    REFUSED(llm_format_encode("f32", &value, 1, NULL, NULL, sizeof value, &size));
    REFUSED(llm_format_encode("f32", &value, 1, NULL, &value, sizeof value, NULL));
    llm_writer_destroy(NULL);
}

static void test_arguments__names_are_never_null(void **state)
{
    (void)state;
    assert_non_null(llm_last_error());
    assert_string_equal(llm_status_name(LLM_OK), "LLM_OK");
    assert_string_equal(llm_status_name(LLM_E_INTERNAL), "LLM_E_INTERNAL");
    assert_string_equal(llm_status_name(-1000), "unknown status");
    assert_string_equal(llm_status_name(INT32_MIN), "unknown status");
    assert_null(llm_sampler_name_at(UINT32_MAX));
    assert_non_null(llm_sampler_name_at(0));
    assert_int_equal(llm_version(), LLM_VERSION_NUMBER);
    assert_non_null(llm_version_string());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments__structures_read),
        cmocka_unit_test(test_arguments__structures_with_callbacks),
        cmocka_unit_test(test_arguments__structures_filled),
        cmocka_unit_test(test_arguments__reserved_is_zero),
        cmocka_unit_test(test_arguments__bad_piece_makes_no_token),
        cmocka_unit_test(test_arguments__null_runtimes_and_models),
        cmocka_unit_test(test_arguments__null_engines_and_sessions),
        cmocka_unit_test(test_arguments__null_samplers_and_tokenizers),
        cmocka_unit_test(test_arguments__null_writers),
        cmocka_unit_test(test_arguments__names_are_never_null),
    };
    return cmocka_run_group_tests_name("arguments", tests, open_world, close_world);
}
