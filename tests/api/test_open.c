/* test_open.c - models from every source: paths, descriptors, memory, callbacks; header first and weights
 * later, all or nothing; vocabularies alone; devices that are not there. */
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L /* fileno, pipe */
#endif
#include "support/support.h"

#include <llm/llm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if !defined(_WIN32)
#include <unistd.h>
#endif

static char model_path[4096];

typedef struct world {
    llm_runtime *rt;
    test_memory memory;
    unsigned char *data; /* the model's file */
    size_t size;
    float *logits; /* of a model that was opened from its path */
    uint32_t n_vocab;
} world;

/* Logits behind a prompt; two models are the same when these are. */
static float *logits_of(llm_model *model, uint32_t *n_vocab)
{
    static const llm_token prompt[] = {13, 41, 32, 33, 47, 45, 58, 17, 35, 13};
    llm_session *s;
    const float *logits;
    assert_ok(llm_session_create(model, NULL, &s));
    assert_ok(llm_session_feed(s, prompt, sizeof prompt / sizeof prompt[0], NULL));
    assert_ok(llm_session_logits(s, &logits, n_vocab));
    float *copy = malloc(*n_vocab * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, logits, *n_vocab * sizeof *copy);
    llm_session_destroy(s);
    return copy;
}

static void check_and_release(const world *w, llm_model *model)
{
    uint32_t n;
    float *logits = logits_of(model, &n);
    assert_int_equal(n, w->n_vocab);
    assert_memory_equal(logits, w->logits, n * sizeof *logits);
    free(logits);
    llm_model_release(model);
}

static int open_world(void **state)
{
    static world w;
    llm_model *model;
    test_memory_init(&w.memory);
    llm_runtime_params rp = {
        .struct_size = sizeof rp, .threads = 1, .allocator = test_memory_host(&w.memory)};
    snprintf(model_path, sizeof model_path, "%s", test_file_path("model/data/llama.gguf"));
    w.data = test_read(model_path, &w.size);
    assert_ok(llm_runtime_create(&rp, &w.rt));
    assert_ok(llm_model_open(w.rt, model_path, NULL, &model));
    w.logits = logits_of(model, &w.n_vocab);
    llm_model_release(model);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;
    llm_runtime_destroy(w->rt);
    test_memory_check(&w->memory);
    free(w->data);
    free(w->logits);
    return 0;
}

/* --- paths and descriptors -------------------------------------------------------------------- */

static void test_open__paths(void **state)
{
    world *w = *state;
    llm_model *model;
    llm_model_params mp = {.struct_size = sizeof mp};
    for (mp.source = LLM_SOURCE_MAP; mp.source <= LLM_SOURCE_READ; mp.source++) {
        assert_ok(llm_model_open(w->rt, model_path, &mp, &model));
        check_and_release(w, model);
    }
    assert_status(llm_model_open(w->rt, model_path, &mp, &model), LLM_E_INVALID); /* source 2 */
    mp = (llm_model_params){.struct_size = sizeof mp, .load = 3};
    assert_status(llm_model_open(w->rt, model_path, &mp, &model), LLM_E_INVALID);
    assert_status(llm_model_open(w->rt, "/nowhere/at/all", NULL, &model), LLM_E_NOT_FOUND);
    assert_non_null(strstr(llm_last_error(), "/nowhere/at/all"));
    assert_status(llm_model_open(w->rt, "", NULL, &model), LLM_E_NOT_FOUND);
    assert_status(llm_model_open(w->rt, test_file_path("model"), NULL, &model), LLM_E_IO);
    assert_true(llm_model_open(w->rt, test_file_path("api/test_open.c"), NULL, &model) < 0);
}

/* Each bound refuses the model when it is too low, and 0 is the default. */
static void test_open__limits(void **state)
{
    llm_limits low[] = {
        {.header_bytes = 100}, {.string_bytes = 4}, {.pairs = 3}, {.tensors = 3}, {.parts = 1}};
    llm_runtime_params rp = {.struct_size = sizeof rp, .threads = 1};
    llm_runtime *rt;
    llm_model *model;
    (void)state;
    for (size_t i = 0; i < sizeof low / sizeof low[0]; i++) {
        rp.limits = low[i]; /* without struct_size: not there */
        assert_ok(llm_runtime_create(&rp, &rt));
        assert_ok(llm_model_open(rt, model_path, NULL, &model));
        llm_model_release(model);
        llm_runtime_destroy(rt);
        rp.limits.struct_size = sizeof rp.limits;
        assert_ok(llm_runtime_create(&rp, &rt));
        if (low[i].parts != 0) { /* it is one file */
            assert_ok(llm_model_open(rt, model_path, NULL, &model));
            llm_model_release(model);
        } else {
            assert_status(llm_model_open(rt, model_path, NULL, &model), LLM_E_LIMIT);
        }
        llm_runtime_destroy(rt);
    }
    rp.limits.struct_size = sizeof rp.limits + 8;
    assert_status(llm_runtime_create(&rp, &rt), LLM_E_INVALID);
}

#if !defined(_WIN32)
static void test_open__descriptors(void **state)
{
    world *w = *state;
    llm_model *model;
    int ends[2];
    llm_model_params mp = {.struct_size = sizeof mp};
    for (mp.source = LLM_SOURCE_MAP; mp.source <= LLM_SOURCE_READ; mp.source++) {
        FILE *file = fopen(model_path, "rb");
        assert_non_null(file);
        assert_int_equal(fseek(file, 1000, SEEK_SET), 0); /* wherever it stands */
        assert_ok(llm_model_open_fd(w->rt, fileno(file), &mp, &model));
        fclose(file);
        check_and_release(w, model);
    }
    assert_status(llm_model_open_fd(w->rt, -1, NULL, &model), LLM_E_IO);
    assert_status(llm_model_open_fd(w->rt, 100000, NULL, &model), LLM_E_IO);
    assert_int_equal(pipe(ends), 0);
    assert_status(llm_model_open_fd(w->rt, ends[0], NULL, &model), LLM_E_IO);
    close(ends[0]);
    close(ends[1]);
}
#endif

/* --- memory and callbacks --------------------------------------------------------------------- */

static void test_open__memory(void **state)
{
    world *w = *state;
    llm_model *model;
    unsigned char *shifted = malloc(w->size + 8);
    assert_non_null(shifted);
    for (size_t shift = 0; shift < 8; shift++) { /* nothing promises that a block is aligned */
        memcpy(shifted + shift, w->data, w->size);
        assert_ok(llm_model_open_memory(w->rt, shifted + shift, w->size, NULL, &model));
        check_and_release(w, model);
    }
    free(shifted);
    assert_status(llm_model_open_memory(w->rt, w->data, 0, NULL, &model), LLM_E_FORMAT);
    assert_status(llm_model_open_memory(w->rt, w->data, w->size - 1, NULL, &model), LLM_E_FORMAT);
}

typedef struct reading {
    const world *w;
    uint64_t calls, fail_at; /* 0: never */
} reading;

static int32_t read_some(void *user, uint64_t offset, void *into, uint64_t size)
{
    reading *r = user;
    if (++r->calls == r->fail_at || size > r->w->size || offset > r->w->size - size)
        return 5;
    memcpy(into, r->w->data + offset, (size_t)size);
    return 0;
}

static void test_open__callbacks(void **state)
{
    world *w = *state;
    llm_model *model;
    reading r = {.w = w};
    llm_reader reader = {
        .struct_size = sizeof reader, .size = w->size, .read = read_some, .user = &r};
    assert_ok(llm_model_open_callbacks(w->rt, &reader, NULL, &model));
    uint64_t calls = r.calls;
    check_and_release(w, model);
    assert_int_equal(r.calls, calls); /* once loaded, nothing is read any more */
    for (uint64_t n = 1; n <= calls; n++) {
        r = (reading){.w = w, .fail_at = n};
        uint64_t bytes = w->memory.live_bytes;
        assert_status(llm_model_open_callbacks(w->rt, &reader, NULL, &model), LLM_E_IO);
        assert_non_null(strstr(llm_last_error(), "answered 5"));
        assert_int_equal(w->memory.live_bytes, bytes);
    }
    r = (reading){.w = w};
    assert_ok(llm_model_open_callbacks(w->rt, &reader, NULL, &model));
    check_and_release(w, model);
    reader.size = w->size - 100; /* a file that is shorter than it says */
    assert_status(llm_model_open_callbacks(w->rt, &reader, NULL, &model), LLM_E_FORMAT);
    reader.read = NULL;
    assert_status(llm_model_open_callbacks(w->rt, &reader, NULL, &model), LLM_E_INVALID);
}

/* --- header first ----------------------------------------------------------------------------- */

typedef struct progress {
    uint64_t calls, cancel_at, done, total;
} progress;

static int32_t watch(void *user, uint64_t done, uint64_t total)
{
    progress *p = user;
    assert_true(done > p->done && done <= total);
    assert_true(p->calls == 0 || total == p->total);
    p->done = done;
    p->total = total;
    return ++p->calls == p->cancel_at;
}

static uint32_t is_loaded(const llm_model *model)
{
    llm_model_info info = {.struct_size = sizeof info};
    assert_ok(llm_model_get_info(model, &info));
    return info.loaded;
}

static void test_open__header_first(void **state)
{
    world *w = *state;
    llm_model *model;
    llm_session *s;
    llm_engine *e;
    llm_model_params mp = {
        .struct_size = sizeof mp, .load = LLM_LOAD_HEADER, .source = LLM_SOURCE_READ};
    assert_ok(llm_model_open(w->rt, model_path, &mp, &model));
    assert_int_equal(is_loaded(model), 0);
    assert_status(llm_session_create(model, NULL, &s), LLM_E_STATE);
    assert_status(llm_engine_create(model, NULL, &e), LLM_E_STATE);
    uint64_t bytes = w->memory.live_bytes, n = 1;
    for (;; n++) {
        progress p = {.cancel_at = n};
        int32_t rc = llm_model_load(model, watch, &p);
        if (rc == LLM_OK) {
            assert_int_equal(p.calls, n - 1);
            assert_int_equal(p.done, p.total);
            break;
        }
        assert_int_equal(rc, LLM_E_CANCELLED);
        assert_int_equal(is_loaded(model), 0);
        assert_int_equal(w->memory.live_bytes, bytes); /* all or nothing */
    }
    assert_true(n > 10);
    assert_int_equal(is_loaded(model), 1);
    progress p = {.cancel_at = 1};
    assert_ok(llm_model_load(model, watch, &p)); /* it is loaded: nothing to do */
    assert_int_equal(p.calls, 0);
    check_and_release(w, model);
    /* the same while opening: then there is no model */
    p = (progress){.cancel_at = 3};
    mp = (llm_model_params){.struct_size = sizeof mp, .progress = watch, .progress_user = &p};
    bytes = w->memory.live_bytes;
    assert_status(llm_model_open(w->rt, model_path, &mp, &model), LLM_E_CANCELLED);
    assert_int_equal(w->memory.live_bytes, bytes);
}

/* A read that fails while weights load leaves the model as it was, to be loaded again. */
static void test_open__load_again_after_failure(void **state)
{
    world *w = *state;
    llm_model *model;
    reading r = {.w = w};
    llm_reader reader = {
        .struct_size = sizeof reader, .size = w->size, .read = read_some, .user = &r};
    llm_model_params mp = {.struct_size = sizeof mp, .load = LLM_LOAD_HEADER};
    assert_ok(llm_model_open_callbacks(w->rt, &reader, &mp, &model));
    uint64_t bytes = w->memory.live_bytes;
    for (uint64_t n = 1;; n++) {
        r.fail_at = r.calls + n;
        int32_t rc = llm_model_load(model, NULL, NULL);
        if (rc == LLM_OK)
            break;
        assert_int_equal(rc, LLM_E_IO);
        assert_int_equal(w->memory.live_bytes, bytes);
    }
    check_and_release(w, model);
}

/* --- vocabularies alone ----------------------------------------------------------------------- */

/* A file of an architecture nobody knows, with a small vocabulary and no tensors. */
static void write_vocabulary(world *w, const char *path, bool with_tokens)
{
    static const char metaspace_a[] = "\xe2\x96\x81"
                                      "a";
    static const char *const tokens[] = {"<unk>", "<s>", "</s>",      "\xe2\x96\x81",
                                         "a",     "b",   metaspace_a, "ab"};
    static const float scores[] = {0, 0, 0, -5, -6, -7, -3, -2};
    static const llm_token types[] = {2, 3, 3, 1, 1, 1, 1, 1};
    llm_writer *writer;
    llm_param arch = {"general.architecture", LLM_KIND_STRING, 0, {.s = "not-invented-yet"}};
    llm_param kind = {"tokenizer.ggml.model", LLM_KIND_STRING, 0, {.s = "llama"}};
    llm_param score = {"tokenizer.ggml.scores", LLM_KIND_FLOATS, 8, {.p = scores}};
    llm_param type = {"tokenizer.ggml.token_type", LLM_KIND_TOKENS, 8, {.p = types}};
    assert_ok(llm_writer_create(w->rt, path, "gguf", &writer));
    assert_ok(llm_writer_set(writer, &arch));
    if (with_tokens) {
        assert_ok(llm_writer_set(writer, &kind));
        assert_ok(llm_writer_strings(writer, "tokenizer.ggml.tokens", tokens, 8));
        assert_ok(llm_writer_set(writer, &score));
        assert_ok(llm_writer_set(writer, &type));
    }
    assert_ok(llm_writer_finish(writer));
    llm_writer_destroy(writer);
}

/* What works and what does not on a model that is only a vocabulary. */
static void check_vocabulary(llm_model *model)
{
    llm_tokenizer *t;
    llm_session *s;
    llm_engine *e;
    llm_step_info step = {.struct_size = sizeof step};
    llm_memory_plan plan = {.struct_size = sizeof plan};
    llm_model_info info = {.struct_size = sizeof info};
    llm_token ids[64];
    char text[64];
    uint64_t n, size;
    assert_ok(llm_model_get_info(model, &info));
    assert_int_equal(info.has_tokenizer, 1);
    assert_int_equal(info.loaded, 0);
    assert_int_equal(info.makes_text, 0);
    assert_ok(llm_model_tokenizer(model, &t));
    assert_int_equal(llm_tokenizer_count(t), info.n_vocab);
    assert_ok(llm_tokenizer_encode(t, "ab a", 4, LLM_ENCODE_NO_SPECIAL, ids, 64, &n));
    assert_true(n > 0);
    assert_ok(llm_tokenizer_decode(t, ids, n, 0, text, 64, &size));
    assert_true(size >= 4 && memcmp(text + size - 4, "ab a", 4) == 0);
    assert_true(llm_session_create(model, NULL, &s) < 0);
    assert_true(llm_engine_create(model, NULL, &e) < 0);
    assert_true(llm_model_load(model, NULL, NULL) < 0);
    assert_true(llm_model_step_at(model, 0, &step) < 0);
    assert_true(llm_model_plan(model, NULL, 0, &plan) < 0);
    llm_model_release(model); /* the tokenizer keeps it */
    assert_ok(llm_tokenizer_encode(t, "ab a", 4, 0, ids, 64, &n));
    llm_tokenizer_release(t);
}

static void test_open__vocabulary_of_any_architecture(void **state)
{
    world *w = *state;
    llm_model *model;
    char path[4096];
    llm_model_params mp = {.struct_size = sizeof mp, .load = LLM_LOAD_VOCAB};
    snprintf(path, sizeof path, "%s", test_scratch("vocabulary"));
    write_vocabulary(w, path, true);
    assert_ok(llm_model_open(w->rt, path, &mp, &model));
    check_vocabulary(model);
    mp.load = LLM_LOAD_HEADER; /* there is no network, and that is told when it is wanted */
    assert_ok(llm_model_open(w->rt, path, &mp, &model));
    check_vocabulary(model);
    mp.load = LLM_LOAD_ALL;
    assert_status(llm_model_open(w->rt, path, &mp, &model), LLM_E_UNSUPPORTED);
    write_vocabulary(w, path, false);
    mp.load = LLM_LOAD_VOCAB;
    assert_true(llm_model_open(w->rt, path, &mp, &model) < 0);
    remove(path);
}

static void test_open__vocabulary_files(void **state)
{
    world *w = *state;
    static const char *const names[] = {"gpt-2", "llama-spm",      "bert-bge", "falcon",
                                        "phi-3", "deepseek-coder", "starcoder"};
    llm_model_params mp = {.struct_size = sizeof mp, .load = LLM_LOAD_VOCAB};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char relative[256];
        llm_model *model;
        snprintf(relative, sizeof relative, "vocab/ggml-vocab-%s.gguf", names[i]);
        assert_ok(llm_model_open(w->rt, test_data_path(relative), &mp, &model));
        check_vocabulary(model);
    }
}

/* --- devices ---------------------------------------------------------------------------------- */

static void test_open__devices(void **state)
{
    world *w = *state;
    static const struct {
        const char *devices;
        int32_t wanted;
    } lists[] = {
        {NULL, LLM_OK},
        {"", LLM_E_INVALID},
        {"cpu", LLM_OK},
        {"cpu:0", LLM_OK},
        {"ref,cpu", LLM_OK},
        {"null:15", LLM_OK},
        {"cpu:1", LLM_E_NOT_FOUND},
        {"null:16", LLM_E_NOT_FOUND},
        {"null:99999999999999999999", LLM_E_INVALID},
        {"nothing", LLM_E_NOT_FOUND},
        {"cpu,nothing", LLM_E_NOT_FOUND},
        {"CPU", LLM_E_NOT_FOUND},
        {"../../evil", LLM_E_NOT_FOUND},
        {"cpu,cpu", LLM_E_INVALID},
        {"cpu,cpu:0", LLM_E_INVALID},
        {",", LLM_E_INVALID},
        {"cpu,", LLM_E_INVALID},
        {":0", LLM_E_INVALID},
        {"cpu:", LLM_E_INVALID},
        {"cpu:x", LLM_E_INVALID},
        {"cpu:-1", LLM_E_INVALID},
        {"cpu=", LLM_E_INVALID},
        {"cpu=G", LLM_E_INVALID},
        {"cpu=12Q", LLM_E_INVALID},
        {"cpu=99999999999999999999", LLM_E_INVALID},
        {"cpu=99999999999G", LLM_E_INVALID},
        {"a-name-that-is-longer-than-any-backend-has-a-right-to", LLM_E_INVALID},
        {"null:0,null:1,null:2,null:3,null:4,null:5,null:6,null:7,null:8,null:9,null:10,null:11,"
         "null:12,null:13,null:14,null:15,cpu",
         LLM_E_INVALID},
        {"cpu=1K", LLM_E_BUDGET},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        llm_model *model;
        uint64_t bytes = w->memory.live_bytes;
        llm_model_params mp = {
            .struct_size = sizeof mp, .devices = lists[i].devices, .source = LLM_SOURCE_READ};
        int32_t rc = llm_model_open(w->rt, model_path, &mp, &model);
        if (rc != lists[i].wanted)
            fail_msg("list %u: %s where %s was wanted (%s)", (unsigned)i, llm_status_name(rc),
                     llm_status_name(lists[i].wanted), llm_last_error());
        if (rc == LLM_OK)
            llm_model_release(model);
        assert_int_equal(w->memory.live_bytes, bytes);
    }
}

static void test_open__list_of_devices(void **state)
{
    world *w = *state;
    llm_device_info info = {.struct_size = sizeof info};
    uint32_t n = 0, cpus = 0;
    for (; llm_runtime_device_at(w->rt, n, &info) == LLM_OK; n++) {
        assert_true(strlen(info.id) > 0 && strlen(info.name) > 0);
        assert_true(strncmp(info.id, "ref:", 4) != 0 && strncmp(info.id, "null:", 5) != 0);
        cpus += strcmp(info.id, "cpu:0") == 0;
        llm_model *model; /* each can be named */
        llm_model_params mp = {
            .struct_size = sizeof mp, .devices = info.id, .load = LLM_LOAD_HEADER};
        assert_ok(llm_model_open(w->rt, model_path, &mp, &model));
        llm_model_release(model);
    }
    assert_int_equal(cpus, 1);
    assert_status(llm_runtime_device_at(w->rt, n, &info), LLM_E_NOT_FOUND);
    assert_status(llm_runtime_device_at(w->rt, UINT32_MAX, &info), LLM_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open__paths),
        cmocka_unit_test(test_open__limits),
#if !defined(_WIN32)
        cmocka_unit_test(test_open__descriptors),
#endif
        cmocka_unit_test(test_open__memory),
        cmocka_unit_test(test_open__callbacks),
        cmocka_unit_test(test_open__header_first),
        cmocka_unit_test(test_open__load_again_after_failure),
        cmocka_unit_test(test_open__vocabulary_of_any_architecture),
        cmocka_unit_test(test_open__vocabulary_files),
        cmocka_unit_test(test_open__devices),
        cmocka_unit_test(test_open__list_of_devices),
    };
    return cmocka_run_group_tests_name("open", tests, open_world, close_world);
}
