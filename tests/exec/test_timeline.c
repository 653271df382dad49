/* test_timeline.c - random lives of many sessions in one engine. After every act the logits of the
 * session must be, bit for bit, those of a fresh session of an engine that shares nothing and computes
 * the same tokens in one go. On the null backend, whose logits are a hash of what each row sees through
 * its page tables; and on ref for real arithmetic. */
#include "support/support.h"

#include <llm/llm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS 6
#define CONTEXT  192

typedef struct world {
    const char *model_file, *device;
    uint32_t page_tokens, acts;
    llm_runtime *rt;
    llm_model *model;
    llm_engine *engine, *plain;
    llm_session *sessions[SESSIONS];
    uint32_t n_vocab;
    uint64_t random;
} world;

static uint32_t pick(world *w, uint32_t below)
{
    return (uint32_t)(test_random(&w->random) % below);
}

static void open_world(world *w)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", test_file_path(w->model_file));
    llm_model_params mp = {.struct_size = sizeof mp, .devices = w->device};
    assert_ok(llm_runtime_create(NULL, &w->rt));
    assert_ok(llm_model_open(w->rt, path, &mp, &w->model));
    if (strchr(w->device, ',') != NULL)
        test_assert_split(w->model);
    llm_engine_params ep = {.struct_size = sizeof ep,
                            .context = CONTEXT,
                            .page_tokens = w->page_tokens,
                            .max_rows = 40,
                            .max_outputs = 8,
                            .state_interval = 64,
                            .cache_type = "f32"};
    assert_ok(llm_engine_create(w->model, &ep, &w->engine));
    ep.flags = LLM_ENGINE_NO_SHARING;
    assert_ok(llm_engine_create(w->model, &ep, &w->plain));
    llm_model_info info = {.struct_size = sizeof info};
    assert_ok(llm_model_get_info(w->model, &info));
    w->n_vocab = info.n_vocab;
    llm_session_params sp = {.struct_size = sizeof sp, .engine = w->engine};
    for (int i = 0; i < SESSIONS; i++)
        assert_ok(llm_session_create(w->model, &sp, &w->sessions[i]));
}

static void close_world(world *w)
{
    for (int i = 0; i < SESSIONS; i++)
        llm_session_destroy(w->sessions[i]);
    llm_engine_stats stats = {.struct_size = sizeof stats};
    assert_ok(llm_engine_trim(w->engine));
    assert_ok(llm_engine_get_stats(w->engine, &stats));
    assert_int_equal(stats.pages_free, stats.pages_total);
    llm_engine_release(w->plain);
    llm_engine_release(w->engine);
    llm_model_release(w->model);
    llm_runtime_destroy(w->rt);
}

static void check_logits(world *w, llm_session *s)
{
    static llm_token tokens[CONTEXT];
    uint64_t n;
    const float *got, *wanted;
    assert_ok(llm_session_tokens(s, 0, tokens, CONTEXT, &n));
    if (n == 0)
        return;
    llm_session *fresh;
    llm_session_params sp = {.struct_size = sizeof sp, .engine = w->plain};
    assert_ok(llm_session_create(w->model, &sp, &fresh));
    assert_ok(llm_session_feed(fresh, tokens, n, NULL));
    assert_ok(llm_session_logits(fresh, &wanted, NULL));
    assert_ok(llm_session_logits(s, &got, NULL));
    assert_memory_equal(got, wanted, w->n_vocab * sizeof *got);
    llm_session_destroy(fresh);
}

/* Few different prompts, so that sessions meet in the prefix tree. */
static void make_prompt(world *w, llm_token *tokens, uint32_t n)
{
    uint64_t story = pick(w, 3), turn = pick(w, n + 1);
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (llm_token)((story * 7 + i * 5 + (i >= turn ? 1 : 0)) % w->n_vocab);
}

static void act_feed(world *w, llm_session *s)
{
    llm_token tokens[CONTEXT];
    uint32_t n = 1 + pick(w, 60);
    uint64_t before = llm_session_length(s);
    make_prompt(w, tokens, n);
    llm_feed_params fp = {.struct_size = sizeof fp, .chunk = pick(w, 3) == 0 ? 1 + pick(w, 9) : 0};
    int32_t rc = llm_session_feed(s, tokens, n, &fp);
    if (before + n > CONTEXT) {
        assert_int_equal(rc, LLM_E_CONTEXT_FULL);
        assert_int_equal(llm_session_length(s), before);
    } else {
        assert_ok(rc);
        assert_int_equal(llm_session_length(s), before + n);
    }
}

static void act_sync(world *w, llm_session *s)
{
    llm_token tokens[CONTEXT];
    uint32_t n = 1 + pick(w, CONTEXT);
    uint64_t reused;
    make_prompt(w, tokens, n);
    assert_ok(llm_session_sync(s, tokens, n, NULL, &reused));
    assert_true(reused <= n);
    assert_int_equal(llm_session_length(s), n);
}

static void act_next(world *w, llm_session *s)
{
    llm_piece piece = LLM_PIECE_INIT;
    for (uint32_t i = pick(w, 6); i-- > 0;) {
        uint64_t length = llm_session_length(s);
        int32_t rc = llm_session_next(s, &piece);
        if (length == 0)
            assert_int_equal(rc, LLM_E_STATE);
        else if (length == CONTEXT)
            assert_int_equal(rc, LLM_E_CONTEXT_FULL);
        else
            assert_int_equal(rc, LLM_OK);
    }
}

static void act_rewind(world *w, llm_session *s)
{
    uint64_t length = llm_session_length(s), to = pick(w, (uint32_t)length + 1);
    assert_ok(llm_session_rewind(s, to));
    assert_int_equal(llm_session_length(s), to);
    assert_status(llm_session_rewind(s, to + 1), LLM_E_INVALID);
}

static void act_fork(world *w, uint32_t from)
{
    uint32_t to = pick(w, SESSIONS);
    if (to == from)
        return;
    llm_session_destroy(w->sessions[to]);
    assert_ok(llm_session_fork(w->sessions[from], &w->sessions[to]));
    check_logits(w, w->sessions[to]);
}

static void act_save(world *w, uint32_t from)
{
    uint64_t size = 0, again;
    uint32_t to = pick(w, SESSIONS);
    assert_status(llm_session_save_memory(w->sessions[from], NULL, 0, &size), LLM_E_BUFFER);
    void *data = malloc(size);
    assert_non_null(data);
    assert_ok(llm_session_save_memory(w->sessions[from], data, size, &again));
    assert_int_equal(size, again);
    assert_ok(llm_session_load_memory(w->sessions[to], data, size));
    assert_int_equal(llm_session_length(w->sessions[to]), llm_session_length(w->sessions[from]));
    free(data);
    check_logits(w, w->sessions[to]);
}

static void live(world *w)
{
    open_world(w);
    for (uint32_t i = 0; i < w->acts; i++) {
        uint32_t who = pick(w, SESSIONS);
        llm_session *s = w->sessions[who];
        switch (pick(w, 8)) {
        case 0:
            act_feed(w, s);
            break;
        case 1:
            act_sync(w, s);
            break;
        case 2:
        case 3:
        case 4:
            act_next(w, s);
            break;
        case 5:
            act_rewind(w, s);
            break;
        case 6:
            act_fork(w, who);
            break;
        default:
            act_save(w, who);
            break;
        }
        check_logits(w, w->sessions[who]);
    }
    llm_engine_stats stats = {.struct_size = sizeof stats};
    assert_ok(llm_engine_get_stats(w->engine, &stats));
    assert_true(stats.reused_tokens > 0 || w->acts < 100);
    close_world(w);
}

static void test_timeline__hashes(void **state)
{
    (void)state;
    for (uint32_t page = 16; page <= 128; page *= 2) {
        world w = {.model_file = "model/data/llama.gguf",
                   .device = "null",
                   .page_tokens = page,
                   .acts = 600,
                   .random = page};
        live(&w);
    }
}

static void test_timeline__devices(void **state)
{
    (void)state;
    world w = {.model_file = "model/data/llama.gguf",
               .device = "null:0=100000,null:1",
               .page_tokens = 32,
               .acts = 400,
               .random = 9};
    live(&w);
}

static void test_timeline__windows(void **state)
{
    (void)state;
    for (uint32_t page = 16; page <= 64; page *= 2) {
        world w = {.model_file = "model/data/gemma3.gguf",
                   .device = "null",
                   .page_tokens = page,
                   .acts = 400,
                   .random = page};
        live(&w);
    }
}

static void test_timeline__states(void **state)
{
    (void)state;
    for (uint32_t page = 16; page <= 64; page *= 2) {
        world w = {.model_file = "model/data/mamba2.gguf",
                   .device = "null",
                   .page_tokens = page,
                   .acts = 400,
                   .random = page};
        live(&w);
    }
}

static void test_timeline__arithmetic(void **state)
{
    (void)state;
    static const char *const models[] = {"model/data/llama.gguf", "model/data/gemma3.gguf",
                                         "model/data/mamba2.gguf"};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        world w = {
            .model_file = models[i], .device = "ref", .page_tokens = 16, .acts = 25, .random = i};
        live(&w);
        world fast = {
            .model_file = models[i], .device = "cpu", .page_tokens = 32, .acts = 60, .random = i};
        live(&fast);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timeline__hashes),     cmocka_unit_test(test_timeline__devices),
        cmocka_unit_test(test_timeline__windows),    cmocka_unit_test(test_timeline__states),
        cmocka_unit_test(test_timeline__arithmetic),
    };
    return cmocka_run_group_tests_name("timeline", tests, NULL, NULL);
}
