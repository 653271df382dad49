/* test_best.c - a device that brings home only the best logits: the same tokens as with all of them, less
 * to read, and hosts that want the logits themselves still get them. */
#include "saved.h"

#include "api/handles.h"
#include "backends/null/null.h"

#define TOKENS 24

/* A vocabulary larger than LM_BEST. On null, whose memory the host cannot look into. */
typedef struct world {
    llm_runtime *rt;
    llm_model *model;
    uint32_t n_vocab;
} world;

typedef struct link {
    const char *name, *key;
    double value; /* whole for integers */
    bool whole;
} link;

typedef struct chain {
    link links[4];
} chain;

static const link neutral = {"temperature", "temp", 1, false}; /* but needs all logits */

static void open_world(world *w)
{
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "null"};
    llm_model_info info = {.struct_size = sizeof info};
    assert_ok(llm_runtime_create(NULL, &w->rt));
    assert_ok(
        llm_model_open(w->rt, test_file_path("../examples/demo-model/demo.gguf"), &mp, &w->model));
    assert_ok(llm_model_get_info(w->model, &info));
    w->n_vocab = info.n_vocab;
    assert_true(w->n_vocab > LM_BEST);
}

static void close_world(world *w)
{
    llm_model_release(w->model);
    llm_runtime_destroy(w->rt);
}

static void add_link(llm_sampler *s, const link *l)
{
    llm_param p = {l->key, l->whole ? LLM_KIND_INT : LLM_KIND_FLOAT, 0, {.f = l->value}};
    if (l->whole)
        p.value.i = (int64_t)l->value;
    assert_ok(llm_sampler_add(s, l->name, l->key == NULL ? NULL : &p, l->key == NULL ? 0 : 1));
}

/* NULL: the session's own greedy choice. */
static llm_session *make_session(const world *w, const chain *c, bool all)
{
    llm_sampler *sampler = NULL;
    llm_session *s;
    if (c != NULL || all) {
        assert_ok(llm_sampler_create(w->rt, &sampler));
        llm_sampler_seed(sampler, 5);
        if (all)
            add_link(sampler, &neutral);
        for (size_t i = 0; c != NULL && i < 4 && c->links[i].name != NULL; i++)
            add_link(sampler, &c->links[i]);
        if (c == NULL)
            assert_ok(llm_sampler_add(sampler, "greedy", NULL, 0));
    }
    llm_session_params sp = {.struct_size = sizeof sp, .sampler = sampler};
    assert_ok(llm_session_create(w->model, &sp, &s));
    llm_sampler_destroy(sampler);
    llm_token prompt[20];
    for (int32_t i = 0; i < 20; i++)
        prompt[i] = 40 + i * 3;
    assert_ok(llm_session_feed(s, prompt, 20, NULL));
    return s;
}

static lm_device *device_of(llm_session *s)
{
    return s->inner->engine->placement->devices[0].device;
}

/* Bytes of slots that the device gave out since they were forgotten. */
static uint64_t bytes_read(lm_device *d)
{
    static lnull_record list[LNULL_RECORDS];
    size_t n = lnull_records(d, list, LNULL_RECORDS);
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i].call == LNULL_SLOT_READ)
            bytes += list[i].b;
    return bytes;
}

static llm_token next(llm_session *s)
{
    llm_piece piece = LLM_PIECE_INIT;
    assert_ok(llm_session_next(s, &piece));
    return piece.token;
}

static const chain chains[] = {
    {{{"greedy", NULL, 0, false}}},
    {{{"top-k", "k", 40, true}, {"temperature", "temp", 0.8, false}, {"dist", NULL, 0, false}}},
    {{{"top-k", "k", 128, true}, {"top-p", "p", 0.9, false}, {"min-p", "p", 0.01, false}}},
    {{{"top-k", "k", 1, true}, {"dist", NULL, 0, false}}},
};

static void check_same(const world *w, const chain *c)
{
    llm_session *best = make_session(w, c, false), *all = make_session(w, c, true);
    for (int i = 0; i < TOKENS; i++) {
        lnull_forget(device_of(best));
        assert_int_equal(next(best), next(all));
    }
    llm_session_destroy(best);
    llm_session_destroy(all);
}

static void test_best__same_tokens(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    check_same(&w, NULL);
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++)
        check_same(&w, &chains[i]);
    close_world(&w);
}

static void test_best__reads_little(void **state)
{
    (void)state;
    static const chain wide = {{{"top-k", "k", 129, true}}};
    world w;
    open_world(&w);
    llm_session *s = make_session(&w, &chains[1], false), *t = make_session(&w, &wide, false);
    next(s); /* known from the prompt */
    next(t);
    lnull_forget(device_of(s));
    next(s);
    assert_int_equal(bytes_read(device_of(s)), LM_BEST * 8);
    lnull_forget(device_of(s));
    next(t); /* one more than a device sorts out */
    assert_int_equal(bytes_read(device_of(s)), w.n_vocab * 4);
    llm_session_destroy(s);
    llm_session_destroy(t);
    close_world(&w);
}

/* A host that looks at the logits gets all of them, and computes nothing twice while it goes on doing so. */
static void test_best__logits_on_request(void **state)
{
    (void)state;
    world w;
    const float *logits;
    uint32_t count;
    open_world(&w);
    llm_session *s = make_session(&w, NULL, false);
    assert_ok(llm_session_logits(s, &logits, &count));
    assert_int_equal(count, w.n_vocab);
    uint32_t largest = 0;
    for (uint32_t i = 1; i < count; i++)
        if (logits[i] > logits[largest])
            largest = i;
    assert_int_equal(next(s), largest);
    llm_token more[3] = {50, 60, 70};
    assert_ok(llm_session_logits(s, &logits, NULL));
    lnull_forget(device_of(s));
    for (int i = 0; i < 3; i++) {
        assert_ok(llm_session_feed(s, &more[i], 1, NULL));
        assert_ok(llm_session_logits(s, &logits, NULL));
    }
    assert_int_equal(lnull_count(device_of(s), LNULL_PROGRAM_RUN), 3);
    llm_session_destroy(s);
    close_world(&w);
}

/* Forks and saved sessions take along what is known; another sampler may need more than that. */
static void test_best__goes_along(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    llm_session *s = make_session(&w, &chains[1], false), *fork, *loaded;
    next(s);
    next(s);
    llm_token fed = 77;
    assert_ok(llm_session_feed(s, &fed, 1, NULL));
    assert_ok(llm_session_fork(s, &fork));
    blob saved = save(&(bench){.s = s});
    loaded = make_session(&w, &chains[1], false);
    assert_ok(llm_session_load_memory(loaded, saved.data, saved.size));
    lnull_forget(device_of(s));
    llm_token token = next(s);
    assert_int_equal(next(fork), token);
    assert_int_equal(next(loaded), token);
    assert_int_equal(lnull_count(device_of(s), LNULL_PROGRAM_RUN), 0);
    put_u32(&saved, AT_IDS + (size_t)(llm_session_length(s) - 1) * 4 + 4, w.n_vocab); /* an id */
    seal(&saved);
    assert_status(llm_session_load_memory(loaded, saved.data, saved.size), LLM_E_FORMAT);
    assert_non_null(strstr(llm_last_error(), "logits"));
    llm_sampler *wide;
    assert_ok(llm_sampler_create(w.rt, &wide));
    add_link(wide, &neutral);
    assert_ok(llm_session_set_sampler(fork, wide));
    (void)next(fork);
    llm_sampler_destroy(wide);
    free(saved.data);
    llm_session_destroy(s);
    llm_session_destroy(fork);
    llm_session_destroy(loaded);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best__same_tokens),
        cmocka_unit_test(test_best__reads_little),
        cmocka_unit_test(test_best__logits_on_request),
        cmocka_unit_test(test_best__goes_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
