/* test_failures.c - devices that refuse, run out of memory or are lost at any call, and models that compute
 * NaN: a status every time, what exists stays usable or says why not, and nobody else notices. */
#include "support/support.h"

#include "api/handles.h"
#include "backends/null/null.h"

#include <llm/llm.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 96

static const char *model_path(const char *name)
{
    static char path[4096];
    char relative[256];
    snprintf(relative, sizeof relative, "model/data/%s.gguf", name);
    snprintf(path, sizeof path, "%s", test_file_path(relative));
    return path;
}

static void make_tokens(llm_token *tokens, uint32_t n, uint32_t seed)
{
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (llm_token)((i * 7 + seed) % 80);
}

static llm_engine *make_engine(llm_model *model, uint32_t flags)
{
    llm_engine *e;
    llm_engine_params ep = {.struct_size = sizeof ep,
                            .flags = flags,
                            .context = CONTEXT,
                            .page_tokens = 16,
                            .max_rows = 32,
                            .max_outputs = 4,
                            .state_interval = 32};
    assert_ok(llm_engine_create(model, &ep, &e));
    return e;
}

static llm_session *make_session(llm_model *model, llm_engine *engine, uint64_t salt)
{
    llm_session *s;
    llm_session_params sp = {.struct_size = sizeof sp, .engine = engine, .salt = salt};
    assert_ok(llm_session_create(model, &sp, &s));
    return s;
}

/* The session's logits are those of one that was fed the same and never saw a failure. */
static void check_sound(llm_model *model, llm_session *s)
{
    llm_token tokens[CONTEXT];
    uint64_t n;
    const float *got, *wanted;
    uint32_t count;
    llm_engine *plain = make_engine(model, LLM_ENGINE_NO_SHARING);
    llm_session *fresh = make_session(model, plain, 0);
    assert_ok(llm_session_tokens(s, 0, tokens, CONTEXT, &n));
    assert_ok(llm_session_feed(fresh, tokens, n, NULL));
    assert_ok(llm_session_logits(fresh, &wanted, NULL));
    assert_ok(llm_session_logits(s, &got, &count));
    assert_memory_equal(got, wanted, count * sizeof *got);
    llm_session_destroy(fresh);
    llm_engine_release(plain);
}

/* --- every call of every kind fails once ------------------------------------------------------ */

static struct {
    uint32_t index; /* of the device that has it */
    uint32_t call;
    uint64_t nth;
    int32_t status;
    lm_device *device; /* as opened last */
} fault;

static int32_t open_faulty(const lm_host *host, uint32_t index, lm_device **out)
{
    LM_TRY(lm_backend_null.open(host, index, out));
    if (index == fault.index) {
        fault.device = *out;
        lnull_fail(*out, fault.call, fault.nth, fault.status);
    }
    return LLM_OK;
}

/* Devices of this runtime are opened with the fault in them. */
static void plant(llm_runtime *rt, lm_backend *faulty)
{
    *faulty = lm_backend_null;
    faulty->open = open_faulty;
    for (uint32_t i = 0; i < rt->registry.n_entries; i++)
        if (rt->registry.entries[i].backend == &lm_backend_null)
            rt->registry.entries[i].backend = faulty;
}

typedef struct life {
    llm_runtime *rt;
    llm_model *model;
    llm_session *s, *fork;
    void *saved;
    uint64_t size;
} life;

static int32_t live_and_save(life *l)
{
    llm_piece piece = LLM_PIECE_INIT;
    llm_token tokens[60];
    make_tokens(tokens, 60, 3);
    LM_TRY(llm_session_feed(l->s, tokens, 40, NULL));
    LM_TRY(llm_session_next(l->s, &piece));
    LM_TRY(llm_session_fork(l->s, &l->fork));
    LM_TRY(llm_session_next(l->fork, &piece)); /* a page is copied */
    LM_TRY(llm_session_next(l->s, &piece));
    LM_TRY(llm_session_sync(l->fork, tokens, 60, NULL, NULL));
    int32_t rc = llm_session_save_memory(l->s, NULL, 0, &l->size);
    if (rc != LLM_E_BUFFER)
        return rc;
    l->saved = malloc(l->size);
    assert_non_null(l->saved);
    LM_TRY(llm_session_save_memory(l->s, l->saved, l->size, &l->size));
    return llm_session_load_memory(l->fork, l->saved, l->size);
}

static int32_t live(life *l, const char *path, const llm_model_params *mp)
{
    LM_TRY(llm_model_open(l->rt, path, mp, &l->model));
    if (strchr(mp->devices, ',') != NULL)
        test_assert_split(l->model);
    LM_TRY(llm_session_create(l->model, NULL, &l->s));
    return live_and_save(l);
}

/* What is left of a life after a failure of this status. */
static void check_aftermath(life *l, int32_t rc)
{
    llm_token token = 5;
    llm_piece piece = LLM_PIECE_INIT;
    if (l->s == NULL)
        return;
    bool poisoned = l->s->engine->inner->poison.code < 0;
    assert_int_equal(poisoned, rc == LLM_E_DEVICE);
    if (poisoned) {
        assert_status(llm_session_feed(l->s, &token, 1, NULL), LLM_E_DEVICE);
        assert_non_null(strstr(llm_last_error(), "told to fail"));
        assert_ok(llm_session_rewind(l->s, 0));
    } else {
        assert_ok(llm_session_feed(l->s, &token, 1, NULL));
        assert_int_equal(llm_session_next(l->s, &piece), LLM_OK);
        check_sound(l->model, l->s);
    }
}

/* True when the fault came; then the life ended with its status, or made do without. */
static bool live_with_fault(const char *model, const char *devices, uint32_t call, uint64_t nth,
                            int32_t status)
{
    char path[4096];
    lm_backend faulty;
    life l = {0};
    test_memory m;
    test_memory_init(&m);
    llm_runtime_params rp = {.struct_size = sizeof rp, .allocator = test_memory_host(&m)};
    llm_model_params mp = {.struct_size = sizeof mp, .devices = devices, .context = CONTEXT};
    snprintf(path, sizeof path, "%s", model_path(model));
    assert_ok(llm_runtime_create(&rp, &l.rt));
    plant(l.rt, &faulty);
    fault.call = call;
    fault.nth = nth;
    fault.status = status;
    fault.device = NULL;
    int32_t rc = live(&l, path, &mp);
    assert_non_null(fault.device);
    /* a device that is gone had its fault: everything else was closed in peace */
    bool came = l.model == NULL || lnull_count(fault.device, call) >= nth;
    bool may_recover = call == LNULL_CACHE_GROW && status == LLM_E_MEMORY;
    if (rc != (came && !(may_recover && rc == LLM_OK) ? status : LLM_OK))
        fail_msg("%s on %s, %s number %u: %s (%s)", model, devices, lnull_call_name(call),
                 (unsigned)nth, llm_status_name(rc), llm_last_error());
    if (l.model != NULL)
        lnull_fail(fault.device, call, 0, LLM_OK);
    check_aftermath(&l, rc);
    llm_session_destroy(l.fork);
    llm_session_destroy(l.s);
    llm_model_release(l.model);
    llm_runtime_destroy(l.rt);
    free(l.saved);
    test_memory_check(&m);
    return came;
}

static bool can_fail(uint32_t call)
{
    return call != LNULL_WEIGHT_DESTROY && call != LNULL_CACHE_DESTROY &&
           call != LNULL_PROGRAM_DESTROY && call != LNULL_QUEUE_DESTROY;
}

static void check_faults(const char *model, const char *devices)
{
    static const int32_t statuses[] = {LLM_E_DEVICE, LLM_E_MEMORY};
    for (uint32_t call = 0; call < LNULL_CALL_COUNT; call++)
        for (size_t i = 0; can_fail(call) && i < 2; i++)
            for (uint64_t nth = 1; live_with_fault(model, devices, call, nth, statuses[i]);)
                nth += nth > 20 ? 7 : 1; /* queries come by the hundred */
}

static void test_failures__any_call(void **state)
{
    (void)state;
    check_faults("llama", "null");
    check_faults("llama", "null:0=100000,null:1");
    fault.index = 1;
    check_faults("llama", "null:0=100000,null:1");
    fault.index = 0;
    check_faults("mamba2", "null");
}

/* --- devices that are lost -------------------------------------------------------------------- */

static lm_device *device_of(llm_engine *e, uint32_t index)
{
    return e->inner->placement->devices[index].device;
}

static void test_failures__lost_device_takes_only_its_own(void **state)
{
    (void)state;
    llm_runtime *rt;
    llm_model *lost, *other;
    llm_token tokens[20];
    llm_piece piece = LLM_PIECE_INIT;
    uint64_t size;
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "null:0"};
    make_tokens(tokens, 20, 3);
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(llm_model_open(rt, model_path("llama"), &mp, &lost));
    mp.devices = "null:1";
    assert_ok(llm_model_open(rt, model_path("llama"), &mp, &other));
    llm_engine *engine = make_engine(lost, 0);
    llm_session *a = make_session(lost, engine, 0), *b = make_session(lost, engine, 0);
    llm_session *elsewhere = make_session(other, NULL, 0);
    assert_ok(llm_session_feed(a, tokens, 20, NULL));
    lnull_lose(device_of(engine, 0));
    assert_status(llm_session_next(a, &piece), LLM_OK); /* its logits were at hand */
    assert_status(llm_session_next(a, &piece), LLM_E_DEVICE);
    assert_non_null(strstr(llm_last_error(), "null:0 is lost"));
    assert_status(llm_session_feed(b, tokens, 1, NULL), LLM_E_DEVICE);
    assert_int_equal(llm_session_length(b), 0);
    assert_status(llm_session_save_memory(a, tokens, sizeof tokens, &size), LLM_E_BUFFER);
    void *room = malloc(size);
    assert_status(llm_session_save_memory(a, room, size, &size), LLM_E_DEVICE);
    free(room);
    assert_ok(llm_session_feed(elsewhere, tokens, 20, NULL));
    check_sound(other, elsewhere);
    llm_session_destroy(a);
    llm_session_destroy(b);
    llm_session_destroy(elsewhere);
    llm_engine_release(engine);
    llm_model_release(lost);
    llm_model_release(other);
    llm_runtime_destroy(rt);
}

/* An engine that saw its device fail is over; another engine of the model begins anew. */
static void test_failures__poison_is_the_engines(void **state)
{
    (void)state;
    llm_runtime *rt;
    llm_model *model;
    llm_token tokens[20];
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "null"};
    make_tokens(tokens, 20, 3);
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(llm_model_open(rt, model_path("llama"), &mp, &model));
    llm_engine *e = make_engine(model, 0), *f = make_engine(model, 0);
    llm_session *a = make_session(model, e, 0), *b = make_session(model, f, 0);
    lnull_fail(device_of(e, 0), LNULL_PROGRAM_RUN, 1, LLM_E_DEVICE);
    assert_status(llm_session_feed(a, tokens, 20, NULL), LLM_E_DEVICE);
    assert_status(llm_session_feed(a, tokens, 20, NULL), LLM_E_DEVICE);
    assert_ok(llm_session_feed(b, tokens, 20, NULL));
    check_sound(model, b);
    llm_session_destroy(a);
    llm_session_destroy(b);
    llm_engine_release(e);
    llm_engine_release(f);
    llm_model_release(model);
    llm_runtime_destroy(rt);
}

/* --- no memory -------------------------------------------------------------------------------- */

static uint64_t cached(llm_engine *e)
{
    llm_engine_stats stats = {.struct_size = sizeof stats};
    assert_ok(llm_engine_get_stats(e, &stats));
    return stats.pages_cached;
}

static void test_failures__device_without_room_for_pages(void **state)
{
    (void)state;
    llm_runtime *rt;
    llm_model *model;
    llm_token tokens[80];
    llm_memory_plan plan = {.struct_size = sizeof plan};
    llm_engine_params ep = {.struct_size = sizeof ep, .page_tokens = 16};
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "null", .context = CONTEXT};
    make_tokens(tokens, 80, 3);
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(llm_model_open(rt, model_path("llama"), &mp, &model));
    assert_ok(llm_model_plan(model, &ep, 0, &plan));
    llm_engine *engine = make_engine(model, 0);
    lm_device *d = device_of(engine, 0);
    lnull_set_memory(d, d->backend->bytes(d) + 3 * plan.cache_page);
    llm_session *a = make_session(model, engine, 1), *b = make_session(model, engine, 2);
    assert_ok(llm_session_feed(a, tokens, 33, NULL)); /* three pages, though growth asks for more */
    assert_status(llm_session_feed(a, tokens, 16, NULL), LLM_E_MEMORY);
    assert_int_equal(llm_session_length(a), 33);
    assert_status(llm_session_feed(b, tokens, 1, NULL), LLM_E_MEMORY);
    assert_ok(llm_session_feed(a, tokens, 15, NULL)); /* the page that is there */
    lnull_set_memory(d, 0);
    check_sound(model, a);
    lnull_set_memory(d, d->backend->bytes(d));
    llm_session_destroy(a);
    assert_true(cached(engine) == 3);
    assert_ok(llm_session_feed(b, tokens, 48, NULL)); /* what is only kept for reuse gives way */
    assert_int_equal(cached(engine), 0);
    assert_status(llm_session_feed(b, tokens, 1, NULL), LLM_E_MEMORY);
    lnull_set_memory(d, 0);
    check_sound(model, b);
    llm_session_destroy(b);
    llm_engine_release(engine);
    llm_model_release(model);
    llm_runtime_destroy(rt);
}

/* A feed that failed half-way holds no pages that others could use. */
static void test_failures__failed_runs_hold_nothing(void **state)
{
    (void)state;
    llm_runtime *rt;
    llm_model *model;
    llm_token tokens[80];
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "null", .context = CONTEXT};
    make_tokens(tokens, 80, 3);
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(llm_model_open(rt, model_path("llama"), &mp, &model));
    llm_engine *engine = make_engine(model, 0);
    llm_session *a = make_session(model, engine, 0);
    llm_engine_stats before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
    assert_ok(llm_session_feed(a, tokens, 10, NULL));
    assert_ok(llm_engine_get_stats(engine, &before));
    lnull_fail(device_of(engine, 0), LNULL_PROGRAM_RUN, 2, LLM_E_MEMORY); /* of three runs */
    assert_status(llm_session_feed(a, tokens, 80, NULL), LLM_E_MEMORY);
    assert_ok(llm_engine_trim(engine));
    assert_ok(llm_engine_get_stats(engine, &after));
    assert_int_equal(after.pages_total - after.pages_free, before.pages_total - before.pages_free);
    check_sound(model, a);
    llm_session_destroy(a);
    llm_engine_release(engine);
    llm_model_release(model);
    llm_runtime_destroy(rt);
}

/* --- NaN -------------------------------------------------------------------------------------- */

/* The model's file with one float of one tensor made NaN. */
static unsigned char *spoil(const char *name, const char *tensor, uint64_t index, size_t *size)
{
    llm_runtime *rt;
    llm_model *model;
    llm_tensor_info t = {.struct_size = sizeof t};
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "ref", .load = LLM_LOAD_HEADER};
    uint64_t offset = 0;
    unsigned char *data = test_read(model_path(name), size);
    float nan_value = NAN;
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(llm_model_open_memory(rt, data, *size, &mp, &model));
    for (uint64_t i = 0; llm_model_tensor_at(model, i, &t) == LLM_OK; i++)
        if (strcmp(t.name, tensor) == 0)
            offset = t.file_offset;
    assert_int_not_equal(offset, 0);
    memcpy(data + offset + index * sizeof nan_value, &nan_value, sizeof nan_value);
    llm_model_release(model);
    llm_runtime_destroy(rt);
    return data;
}

static void check_nan_everywhere(const char *name, const char *tensor, const char *device)
{
    size_t size;
    llm_runtime *rt;
    llm_model *model;
    llm_token tokens[20];
    llm_piece piece = LLM_PIECE_INIT;
    unsigned char *data = spoil(name, tensor, 3, &size);
    llm_model_params mp = {.struct_size = sizeof mp, .devices = device};
    make_tokens(tokens, 20, 3);
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(llm_model_open_memory(rt, data, size, &mp, &model));
    llm_session *s = make_session(model, NULL, 0);
    for (int i = 0; i < 3; i++) {
        assert_status(llm_session_feed(s, tokens, 20, NULL), LLM_E_NUMERIC);
        assert_int_equal(llm_session_length(s), 0);
        assert_ok(llm_session_rewind(s, 0));
    }
    assert_status(llm_session_next(s, &piece), LLM_E_STATE);
    llm_session_destroy(s);
    llm_model_release(model);
    llm_runtime_destroy(rt);
    free(data);
}

static void test_failures__nan_weights(void **state)
{
    (void)state;
    static const char *const devices[] = {"ref", "cpu"};
    for (size_t i = 0; i < 2; i++) {
        check_nan_everywhere("llama", "output_norm.weight", devices[i]);
        check_nan_everywhere("llama", "blk.0.ffn_up.weight", devices[i]);
        check_nan_everywhere("llama", "blk.0.attn_k.weight", devices[i]);
        check_nan_everywhere("mamba2", "blk.0.ssm_norm.weight", devices[i]);
        check_nan_everywhere("gemma3", "blk.0.attn_q_norm.weight", devices[i]);
    }
}

/* Only what comes behind the one bad token is lost. */
static void test_failures__nan_token(void **state)
{
    (void)state;
    enum { BAD = 7, WIDTH = 48 };
    size_t size;
    llm_runtime *rt;
    llm_model *model;
    llm_sampler *force;
    llm_token tokens[20], bad[20], only = BAD;
    llm_piece piece = LLM_PIECE_INIT;
    unsigned char *data = spoil("llama", "token_embd.weight", BAD * WIDTH + 1, &size);
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "cpu"};
    for (int i = 0; i < 20; i++)
        bad[i] = tokens[i] = 10 + i;
    bad[2] = BAD;
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(llm_model_open_memory(rt, data, size, &mp, &model));
    llm_session *s = make_session(model, NULL, 0), *other = make_session(model, NULL, 0);
    llm_feed_params fp = {.struct_size = sizeof fp, .chunk = 4};
    assert_ok(llm_session_feed(s, tokens, 20, NULL));
    assert_status(llm_session_feed(s, bad, 20, &fp), LLM_E_NUMERIC); /* told by the last chunk */
    assert_int_equal(llm_session_length(s), 20);
    check_sound(model, s);
    assert_ok(llm_session_feed(s, tokens, 20, &fp));
    check_sound(model, s);
    assert_ok(llm_session_feed(other, tokens, 20, NULL)); /* shares with nobody's NaN */
    check_sound(model, other);
    assert_status(llm_session_sync(other, bad, 20, NULL, NULL), LLM_E_NUMERIC);
    assert_int_equal(llm_session_length(other), 20);
    check_sound(model, other);
    /* generated instead of fed */
    float bias = 1000;
    llm_param params[] = {{"tokens", LLM_KIND_TOKENS, 1, {.p = &only}},
                          {"bias", LLM_KIND_FLOATS, 1, {.p = &bias}}};
    assert_ok(llm_sampler_create(rt, &force));
    assert_ok(llm_sampler_add(force, "logit-bias", params, 2));
    assert_ok(llm_sampler_add(force, "greedy", NULL, 0));
    assert_ok(llm_session_set_sampler(s, force));
    assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    assert_int_equal(piece.token, BAD);
    for (int i = 0; i < 2; i++) {
        assert_status(llm_session_next(s, &piece), LLM_E_NUMERIC);
        assert_int_equal(llm_session_length(s), 41);
    }
    assert_ok(llm_session_rewind(s, 40));
    assert_ok(llm_session_set_sampler(s, NULL));
    check_sound(model, s);
    assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    llm_sampler_destroy(force);
    llm_session_destroy(s);
    llm_session_destroy(other);
    llm_model_release(model);
    llm_runtime_destroy(rt);
    free(data);
}

/* Rows that are not numbers spoil neither states nor windows nor pages for what comes next. */
static void check_nan_rows(const char *name, const char *device)
{
    llm_runtime *rt;
    llm_model *model;
    llm_token tokens[40];
    llm_model_info info = {.struct_size = sizeof info};
    llm_model_params mp = {.struct_size = sizeof mp, .devices = device, .context = CONTEXT};
    make_tokens(tokens, 40, 3);
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(llm_model_open(rt, model_path(name), &mp, &model));
    assert_ok(llm_model_get_info(model, &info));
    llm_engine *engine = make_engine(model, 0);
    llm_session *s = make_session(model, engine, 0);
    float *rows = calloc((size_t)30 * info.width, sizeof *rows);
    assert_non_null(rows);
    rows[2 * info.width] = NAN;
    llm_feed_params fp = {.struct_size = sizeof fp};
    assert_ok(llm_session_feed(s, tokens, 21, NULL));
    for (uint32_t chunk = 0; chunk <= 7; chunk += 7) {
        fp.chunk = chunk;
        assert_status(llm_session_feed_embeddings(s, rows, 30, &fp), LLM_E_NUMERIC);
        assert_int_equal(llm_session_length(s), 21);
        check_sound(model, s);
    }
    assert_ok(llm_session_feed(s, tokens, 40, &fp));
    check_sound(model, s);
    free(rows);
    llm_session_destroy(s);
    llm_engine_release(engine);
    llm_model_release(model);
    llm_runtime_destroy(rt);
}

static void test_failures__nan_rows(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "gemma3", "mamba2"};
    for (size_t i = 0; i < 3; i++) {
        check_nan_rows(models[i], "ref");
        check_nan_rows(models[i], "cpu");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures__any_call),
        cmocka_unit_test(test_failures__lost_device_takes_only_its_own),
        cmocka_unit_test(test_failures__poison_is_the_engines),
        cmocka_unit_test(test_failures__device_without_room_for_pages),
        cmocka_unit_test(test_failures__failed_runs_hold_nothing),
        cmocka_unit_test(test_failures__nan_weights),
        cmocka_unit_test(test_failures__nan_token),
        cmocka_unit_test(test_failures__nan_rows),
    };
    return cmocka_run_group_tests_name("failures", tests, NULL, NULL);
}
