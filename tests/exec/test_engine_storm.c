/* test_engine_storm.c - threads that make, fork, save, load, cancel and destroy sessions all at
 * once, fight over few pages, and outlive the handles they came from. */
#include "exec/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 128
#define STORMS  5 /* threads */
#define OWN     3 /* sessions of each */

typedef struct world {
    llm_runtime *rt;
    llm_model *model;
    uint32_t n_vocab;
} world;

static void open_world(world *w, const char *file, const char *devices,
                       const llm_allocator *allocator)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", test_file_path(file));
    llm_runtime_params rp = {.struct_size = sizeof rp, .threads = 2};
    llm_model_params mp = {.struct_size = sizeof mp, .devices = devices, .context = CONTEXT};
    llm_model_info info = {.struct_size = sizeof info};
    if (allocator != NULL)
        rp.allocator = *allocator;
    assert_ok(llm_runtime_create(&rp, &w->rt));
    assert_ok(llm_model_open(w->rt, path, &mp, &w->model));
    if (strchr(devices, ',') != NULL)
        test_assert_split(w->model);
    assert_ok(llm_model_get_info(w->model, &info));
    w->n_vocab = info.n_vocab;
}

static void close_world(world *w)
{
    llm_model_release(w->model);
    llm_runtime_destroy(w->rt);
}

static llm_engine *make_engine(const world *w, uint32_t flags, uint64_t budget)
{
    llm_engine_params ep = {.struct_size = sizeof ep,
                            .flags = flags,
                            .page_tokens = 16,
                            .max_rows = 48,
                            .max_sequences = 4,
                            .max_outputs = 4,
                            .state_interval = 32,
                            .cache_budget = budget};
    llm_engine *e;
    assert_ok(llm_engine_create(w->model, &ep, &e));
    return e;
}

/* --- the storm -------------------------------------------------------------------------------- */

typedef struct storm {
    const world *w;
    llm_engine *engine, *plain;
    crowd *crowd;
    _Atomic(llm_session *) *victim; /* a session of the next thread, or NULL */
    uint64_t random;
    uint32_t acts;
    llm_session *own[OWN];
    complaint complaint;
} storm;

static uint32_t pick(storm *st, uint32_t below)
{
    return (uint32_t)(test_random(&st->random) % below);
}

static void make_prompt(storm *st, llm_token *tokens, uint32_t n)
{
    uint32_t story = pick(st, 3), turn = pick(st, n + 1);
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (llm_token)((story * 7 + i * 5 + (i >= turn ? 1 : 0)) % st->w->n_vocab);
}

static void check_logits(storm *st, llm_session *s)
{
    llm_token tokens[CONTEXT];
    uint64_t n = 0;
    const float *got, *wanted;
    llm_session *fresh = NULL;
    llm_session_params sp = {.struct_size = sizeof sp, .engine = st->plain};
    complain_unless_ok(&st->complaint, llm_session_tokens(s, 0, tokens, CONTEXT, &n));
    if (n == 0)
        return;
    complain_unless_ok(&st->complaint, llm_session_create(st->w->model, &sp, &fresh));
    complain_unless_ok(&st->complaint, llm_session_feed(fresh, tokens, n, NULL));
    complain_unless_ok(&st->complaint, llm_session_logits(fresh, &wanted, NULL));
    complain_unless_ok(&st->complaint, llm_session_logits(s, &got, NULL));
    if (st->complaint.text[0] == '\0')
        complain_unless(&st->complaint, memcmp(got, wanted, st->w->n_vocab * sizeof *got) == 0);
    llm_session_destroy(fresh);
}

static void replace(storm *st, uint32_t slot, llm_session *by)
{
    llm_session_destroy(st->own[slot]);
    st->own[slot] = by;
}

static void act_create(storm *st, uint32_t slot)
{
    llm_session *s = NULL;
    llm_session_params sp = {.struct_size = sizeof sp, .engine = st->engine, .salt = pick(st, 2)};
    complain_unless_ok(&st->complaint, llm_session_create(st->w->model, &sp, &s));
    replace(st, slot, s);
}

static void act_sync(storm *st, uint32_t slot)
{
    llm_token tokens[CONTEXT];
    uint32_t n = 1 + pick(st, CONTEXT - 8);
    make_prompt(st, tokens, n);
    complain_unless_ok(&st->complaint, llm_session_sync(st->own[slot], tokens, n, NULL, NULL));
}

static void act_next(storm *st, uint32_t slot)
{
    llm_piece piece = LLM_PIECE_INIT;
    uint64_t length = llm_session_length(st->own[slot]);
    int32_t wanted = length == 0 ? LLM_E_STATE : length == CONTEXT ? LLM_E_CONTEXT_FULL : LLM_OK;
    int32_t rc = llm_session_next(st->own[slot], &piece);
    if (rc != wanted)
        complain(&st->complaint, "next: %s at %llu tokens: %s", llm_status_name(rc),
                 (unsigned long long)length, llm_last_error());
}

static void act_rewind(storm *st, uint32_t slot)
{
    uint64_t length = llm_session_length(st->own[slot]);
    complain_unless_ok(&st->complaint,
                       llm_session_rewind(st->own[slot], pick(st, (uint32_t)length + 1)));
}

static void act_fork(storm *st, uint32_t slot)
{
    llm_session *fork = NULL;
    complain_unless_ok(&st->complaint, llm_session_fork(st->own[slot], &fork));
    replace(st, pick(st, OWN), fork);
}

static void act_save(storm *st, uint32_t slot)
{
    uint64_t size = 0;
    if (llm_session_save_memory(st->own[slot], NULL, 0, &size) != LLM_E_BUFFER)
        complain(&st->complaint, "the size was not told: %s", llm_last_error());
    void *data = malloc(size);
    complain_unless_ok(&st->complaint, llm_session_save_memory(st->own[slot], data, size, &size));
    complain_unless_ok(&st->complaint, llm_session_load_memory(st->own[pick(st, OWN)], data, size));
    free(data);
}

/* Stale tickets of sessions that others use: nothing may come of it. */
static void act_cancel(storm *st)
{
    llm_session *victim = atomic_load(st->victim);
    if (victim != NULL)
        complain_unless_ok(&st->complaint, llm_session_cancel(victim, 0));
}

static void act_look(storm *st)
{
    llm_engine_stats stats = {.struct_size = sizeof stats};
    complain_unless_ok(&st->complaint, llm_engine_get_stats(st->engine, &stats));
    complain_unless(&st->complaint, stats.pages_free + stats.pages_cached <= stats.pages_total);
    if (pick(st, 4) == 0)
        complain_unless_ok(&st->complaint, llm_engine_trim(st->engine));
}

static void act(storm *st)
{
    uint32_t slot = pick(st, OWN);
    switch (pick(st, 10)) {
    case 0:
        act_create(st, slot);
        break;
    case 1:
    case 2:
        act_sync(st, slot);
        break;
    case 3:
    case 4:
    case 5:
        act_next(st, slot);
        break;
    case 6:
        act_rewind(st, slot);
        break;
    case 7:
        act_fork(st, slot);
        break;
    case 8:
        act_save(st, slot);
        break;
    default:
        act_cancel(st);
        act_look(st);
        break;
    }
}

static void rage(void *arg)
{
    storm *st = arg;
    for (uint32_t i = 0; i < OWN; i++)
        act_create(st, i);
    crowd_meet(st->crowd, STORMS);
    for (uint32_t i = 0; i < st->acts && st->complaint.text[0] == '\0'; i++) {
        act(st);
        if (i % 8 == 0 && st->complaint.text[0] == '\0')
            check_logits(st, st->own[pick(st, OWN)]);
    }
    for (uint32_t i = 0; i < OWN; i++)
        llm_session_destroy(st->own[i]);
}

static void check_storm(const char *file, const char *devices, uint32_t acts)
{
    world w;
    crowd c;
    storm storms[STORMS];
    llm_session *bystander;
    _Atomic(llm_session *) victim;
    crowd_init(&c);
    open_world(&w, file, devices, NULL);
    llm_engine *engine = make_engine(&w, 0, 0), *plain = make_engine(&w, LLM_ENGINE_NO_SHARING, 0);
    llm_session_params sp = {.struct_size = sizeof sp, .engine = engine};
    assert_ok(llm_session_create(w.model, &sp, &bystander));
    atomic_init(&victim, bystander);
    for (uint32_t i = 0; i < STORMS; i++) {
        storms[i] = (storm){.w = &w,
                            .engine = engine,
                            .plain = plain,
                            .crowd = &c,
                            .victim = &victim,
                            .random = i + 1,
                            .acts = acts};
        crowd_start(&c, rage, &storms[i]);
    }
    crowd_join(&c);
    for (uint32_t i = 0; i < STORMS; i++)
        assert_no_complaint(&storms[i].complaint);
    llm_token token = 1;
    assert_ok(llm_session_feed(bystander, &token, 1, NULL));
    llm_session_destroy(bystander);
    llm_engine_stats stats = {.struct_size = sizeof stats};
    assert_ok(llm_engine_trim(engine));
    assert_ok(llm_engine_get_stats(engine, &stats));
    assert_int_equal(stats.pages_free, stats.pages_total);
    llm_engine_release(engine);
    llm_engine_release(plain);
    close_world(&w);
}

static void test_engine_storm__everything_at_once(void **state)
{
    (void)state;
    check_storm("model/data/llama.gguf", "null", 300);
    check_storm("model/data/llama.gguf", "null:0=100000,null:1", 100);
    check_storm("model/data/gemma3.gguf", "null", 150);
    check_storm("model/data/mamba2.gguf", "null", 150);
    check_storm("model/data/llama.gguf", "cpu", 12);
}

/* --- few pages -------------------------------------------------------------------------------- */

typedef struct eater {
    const world *w;
    llm_engine *engine, *plain;
    crowd *crowd;
    uint32_t number;
    uint32_t fed, refused;
    complaint complaint;
} eater;

/* Grows by a page at a time; starts anew when there is none. What it has is always right. */
static void eat(void *arg)
{
    eater *x = arg;
    llm_session *s = NULL;
    storm look = {.w = x->w, .plain = x->plain};
    llm_session_params sp = {.struct_size = sizeof sp, .engine = x->engine, .salt = x->number};
    complain_unless_ok(&x->complaint, llm_session_create(x->w->model, &sp, &s));
    crowd_meet(x->crowd, STORMS);
    for (uint32_t i = 0; i < 120 && x->complaint.text[0] == '\0'; i++) {
        llm_token tokens[20];
        uint64_t before = llm_session_length(s);
        for (uint32_t k = 0; k < 20; k++)
            tokens[k] = (llm_token)((i + k * 3 + x->number) % x->w->n_vocab);
        int32_t rc = llm_session_feed(s, tokens, 20, NULL);
        if (rc == LLM_OK) {
            x->fed++;
            complain_unless(&x->complaint, llm_session_length(s) == before + 20);
            continue;
        }
        complain_unless(&x->complaint, rc == LLM_E_BUDGET || rc == LLM_E_CONTEXT_FULL);
        complain_unless(&x->complaint, llm_session_length(s) == before);
        x->refused += rc == LLM_E_BUDGET;
        if (before > 0)
            check_logits(&look, s);
        complain_unless_ok(&x->complaint, llm_session_rewind(s, 0));
    }
    complain_unless(&x->complaint, look.complaint.text[0] == '\0');
    llm_session_destroy(s);
}

static void test_engine_storm__threads_compete_for_pages(void **state)
{
    (void)state;
    world w;
    crowd c;
    eater eaters[STORMS];
    uint32_t fed = 0, refused = 0;
    llm_memory_plan plan = {.struct_size = sizeof plan};
    llm_engine_params ep = {.struct_size = sizeof ep, .page_tokens = 16};
    crowd_init(&c);
    open_world(&w, "model/data/llama.gguf", "null", NULL);
    assert_ok(llm_model_plan(w.model, &ep, 0, &plan));
    llm_engine *engine = make_engine(&w, 0, 6 * plan.cache_page);
    llm_engine *plain = make_engine(&w, LLM_ENGINE_NO_SHARING, 0);
    for (uint32_t i = 0; i < STORMS; i++) {
        eaters[i] = (eater){.w = &w, .engine = engine, .plain = plain, .crowd = &c, .number = i};
        crowd_start(&c, eat, &eaters[i]);
    }
    crowd_join(&c);
    for (uint32_t i = 0; i < STORMS; i++) {
        assert_no_complaint(&eaters[i].complaint);
        fed += eaters[i].fed;
        refused += eaters[i].refused;
    }
    assert_true(fed > 0 && refused > 0);
    llm_engine_stats stats = {.struct_size = sizeof stats};
    assert_ok(llm_engine_trim(engine));
    assert_ok(llm_engine_get_stats(engine, &stats));
    assert_int_equal(stats.pages_total, 6);
    assert_int_equal(stats.pages_free, 6);
    llm_engine_release(engine);
    llm_engine_release(plain);
    close_world(&w);
}

/* --- lifetimes -------------------------------------------------------------------------------- */

typedef struct heir {
    llm_session *s;
    crowd *crowd;
    complaint complaint;
} heir;

static void live_on(void *arg)
{
    heir *h = arg;
    llm_token tokens[] = {1, 2, 3};
    llm_piece piece = LLM_PIECE_INIT;
    crowd_meet(h->crowd, STORMS + 1);
    complain_unless_ok(&h->complaint, llm_session_feed(h->s, tokens, 3, NULL));
    for (int i = 0; i < 20; i++)
        complain_unless_ok(&h->complaint, llm_session_next(h->s, &piece));
    llm_session_destroy(h->s);
}

/* Sessions keep their engine, it its model, and that its runtime; who goes last cleans up. */
static void check_outliving(const char *devices)
{
    world w;
    crowd c;
    heir heirs[STORMS];
    test_memory m;
    test_memory_init(&m);
    llm_allocator allocator = test_memory_host(&m);
    crowd_init(&c);
    open_world(&w, "model/data/llama.gguf", devices, &allocator);
    for (uint32_t i = 0; i < STORMS; i++) {
        heirs[i] = (heir){.crowd = &c};
        assert_ok(llm_session_create(w.model, NULL, &heirs[i].s));
    }
    for (uint32_t i = 0; i < STORMS; i++)
        crowd_start(&c, live_on, &heirs[i]);
    crowd_meet(&c, STORMS + 1);
    close_world(&w);
    crowd_join(&c);
    for (uint32_t i = 0; i < STORMS; i++)
        assert_no_complaint(&heirs[i].complaint);
    test_memory_check(&m);
}

static void test_engine_storm__sessions_outlive_handles(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        check_outliving("null");
    check_outliving("cpu");
}

typedef struct opener {
    const world *w;
    crowd *crowd;
    uint32_t rounds;
    complaint complaint;
} opener;

/* All threads want the default engine at once, and let go of it, over and over. */
static void open_and_close(void *arg)
{
    opener *x = arg;
    llm_token token = 3;
    llm_model_info info = {.struct_size = sizeof info};
    llm_memory_plan plan = {.struct_size = sizeof plan};
    crowd_meet(x->crowd, STORMS);
    for (uint32_t i = 0; i < x->rounds; i++) {
        llm_session *s = NULL;
        complain_unless_ok(&x->complaint, llm_model_load(x->w->model, NULL, NULL));
        complain_unless_ok(&x->complaint, llm_model_get_info(x->w->model, &info));
        complain_unless_ok(&x->complaint, llm_model_plan(x->w->model, NULL, 0, &plan));
        complain_unless_ok(&x->complaint, llm_session_create(x->w->model, NULL, &s));
        complain_unless_ok(&x->complaint, llm_session_feed(s, &token, 1, NULL));
        llm_session_destroy(s);
    }
}

static void check_openers(const char *devices, uint32_t rounds)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", test_file_path("model/data/llama.gguf"));
    world w;
    crowd c;
    opener openers[STORMS];
    llm_model_params mp = {.struct_size = sizeof mp, .devices = devices, .load = LLM_LOAD_HEADER};
    crowd_init(&c);
    assert_ok(llm_runtime_create(NULL, &w.rt));
    assert_ok(llm_model_open(w.rt, path, &mp, &w.model));
    for (uint32_t i = 0; i < STORMS; i++) {
        openers[i] = (opener){.w = &w, .crowd = &c, .rounds = rounds};
        crowd_start(&c, open_and_close, &openers[i]);
    }
    crowd_join(&c);
    for (uint32_t i = 0; i < STORMS; i++)
        assert_no_complaint(&openers[i].complaint);
    assert_non_null(w.model->engine); /* it stays with the model */
    close_world(&w);
}

static void test_engine_storm__default_engine_for_all(void **state)
{
    (void)state;
    check_openers("null", 20);
    check_openers("ref", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_storm__everything_at_once),
        cmocka_unit_test(test_engine_storm__threads_compete_for_pages),
        cmocka_unit_test(test_engine_storm__sessions_outlive_handles),
        cmocka_unit_test(test_engine_storm__default_engine_for_all),
    };
    return cmocka_run_group_tests_name("engine storm", tests, NULL, NULL);
}
