/* test_engine_threads.c - sessions of one model on many threads: what each computes is bit for bit
 * what it computes alone, rows of several sessions do share batches, and no call of another thread
 * disturbs. test_engine_threads [BACKEND FOLDER]: what takes a device, on this backend of a module. */
#include "exec/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 160
#define WIDTH   6 /* sessions at once */

static const char *module;  /* the backend under test; NULL: those that are compiled in */
static const char *modules; /* its folder */

typedef struct world {
    llm_runtime *rt;
    llm_model *model;
    llm_engine *engine, *plain; /* for all; and one without sharing, to compare with */
    uint32_t n_vocab;
} world;

static llm_engine *make_engine(const world *w, uint32_t flags, uint64_t budget)
{
    llm_engine_params ep = {.struct_size = sizeof ep,
                            .flags = flags,
                            .context = CONTEXT,
                            .page_tokens = 16,
                            .max_rows = 64,
                            .max_sequences = 4,
                            .max_outputs = 8,
                            .cache_budget = budget};
    llm_engine *e;
    assert_ok(llm_engine_create(w->model, &ep, &e));
    return e;
}

static void open_world(world *w, const char *file, const char *devices, uint32_t threads)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", test_file_path(file));
    llm_runtime_params rp = {
        .struct_size = sizeof rp, .threads = threads, .module_folder = modules};
    llm_model_params mp = {.struct_size = sizeof mp, .devices = devices};
    llm_model_info info = {.struct_size = sizeof info};
    assert_ok(llm_runtime_create(&rp, &w->rt));
    assert_ok(llm_model_open(w->rt, path, &mp, &w->model));
    if (strchr(devices, ',') != NULL)
        test_assert_split(w->model);
    assert_ok(llm_model_get_info(w->model, &info));
    w->n_vocab = info.n_vocab;
    w->engine = make_engine(w, 0, 0);
    w->plain = make_engine(w, LLM_ENGINE_NO_SHARING, 0);
}

static void close_world(world *w)
{
    llm_engine_stats stats = {.struct_size = sizeof stats};
    assert_ok(llm_engine_trim(w->engine));
    assert_ok(llm_engine_get_stats(w->engine, &stats));
    assert_int_equal(stats.pages_free, stats.pages_total);
    llm_engine_release(w->plain);
    llm_engine_release(w->engine);
    llm_model_release(w->model);
    llm_runtime_destroy(w->rt);
}

/* --- stories ---------------------------------------------------------------------------------- */

/* What one session does: a prompt, and tokens generated behind it, some rounds long. */
typedef struct story {
    const world *w;
    llm_engine *engine;
    crowd *crowd; /* NULL: told alone */
    uint32_t number, n_threads, rounds;
    uint64_t sum; /* of all logits seen */
    complaint complaint;
} story;

static uint32_t write_prompt(const story *st, uint32_t round, llm_token *tokens)
{
    /* Even numbers begin alike, so that they meet in the prefix tree. */
    uint32_t n = 17 + (st->number * 13 + round * 29) % 70, opening = st->number % 2 == 0 ? 40 : 0;
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (llm_token)((i * 11 + 3 + (i >= opening ? st->number * 5 + round : 0)) %
                                st->w->n_vocab);
    return n;
}

static void add_logits(story *st, llm_session *s)
{
    const float *logits;
    complain_unless_ok(&st->complaint, llm_session_logits(s, &logits, NULL));
    if (st->complaint.text[0] == '\0')
        st->sum = lm_hash(logits, st->w->n_vocab * sizeof *logits, st->sum);
}

static void tell(void *arg)
{
    story *st = arg;
    llm_token prompt[CONTEXT];
    llm_piece piece = LLM_PIECE_INIT;
    llm_session *s = NULL;
    llm_session_params sp = {.struct_size = sizeof sp, .engine = st->engine};
    if (st->crowd != NULL)
        crowd_meet(st->crowd, st->n_threads);
    complain_unless_ok(&st->complaint, llm_session_create(st->w->model, &sp, &s));
    for (uint32_t round = 0; round < st->rounds && st->complaint.text[0] == '\0'; round++) {
        uint32_t n = write_prompt(st, round, prompt);
        complain_unless_ok(&st->complaint, llm_session_sync(s, prompt, n, NULL, NULL));
        for (int i = 0; i < 12 && st->complaint.text[0] == '\0'; i++) {
            complain_unless_ok(&st->complaint, llm_session_next(s, &piece));
            add_logits(st, s);
        }
    }
    llm_session_destroy(s);
}

static void tell_all(world *w, story *stories, uint32_t n, llm_engine *const *engines,
                     uint32_t n_engines, uint32_t rounds)
{
    crowd c;
    crowd_init(&c);
    for (uint32_t i = 0; i < n; i++) {
        stories[i] = (story){.w = w,
                             .engine = engines[i % n_engines],
                             .crowd = &c,
                             .number = i,
                             .n_threads = n,
                             .rounds = rounds};
        crowd_start(&c, tell, &stories[i]);
    }
    crowd_join(&c);
    for (uint32_t i = 0; i < n; i++)
        assert_no_complaint(&stories[i].complaint);
}

static void compare_with_alone(world *w, const story *stories, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        story alone = {
            .w = w, .engine = w->plain, .number = stories[i].number, .rounds = stories[i].rounds};
        tell(&alone);
        assert_no_complaint(&alone.complaint);
        assert_true(alone.sum != 0 && alone.sum == stories[i].sum);
    }
}

static void check_stories(const char *file, const char *devices, uint32_t threads, uint32_t rounds)
{
    world w;
    story stories[WIDTH];
    open_world(&w, file, devices, threads);
    tell_all(&w, stories, WIDTH, &w.engine, 1, rounds);
    compare_with_alone(&w, stories, WIDTH);
    close_world(&w);
}

static void test_engine_threads__alone_or_together(void **state)
{
    (void)state;
    if (module != NULL) {
        char split[64];
        snprintf(split, sizeof split, "%s:0=100000,cpu", module);
        check_stories("model/data/llama.gguf", module, 1, 1);
        check_stories("model/data/llama.gguf", split, 2, 1);
        check_stories("model/data/mixtral.gguf", module, 1, 1);
        check_stories("model/data/mamba2.gguf", module, 1, 1);
        return;
    }
    check_stories("model/data/llama.gguf", "null", 1, 20);
    check_stories("model/data/llama.gguf", "null:0=100000,null:1", 1, 10);
    check_stories("model/data/llama.gguf", "cpu", 2, 2);
    check_stories("model/data/llama.gguf", "ref", 1, 1);
    check_stories("model/data/mixtral.gguf", "cpu", 3, 1);
    check_stories("model/data/gemma3.gguf", "cpu", 1, 1);
    check_stories("model/data/mamba2.gguf", "cpu", 2, 1);
}

/* Several engines of one model take turns on its devices. */
static void check_engines(const char *devices, uint32_t rounds)
{
    world w;
    story stories[WIDTH];
    open_world(&w, "model/data/llama.gguf", devices, 2);
    llm_engine *engines[3] = {w.engine, make_engine(&w, 0, 0),
                              make_engine(&w, LLM_ENGINE_UNFUSED, 0)};
    tell_all(&w, stories, WIDTH, engines, 3, rounds);
    compare_with_alone(&w, stories, WIDTH);
    llm_engine_release(engines[1]);
    llm_engine_release(engines[2]);
    close_world(&w);
}

static void test_engine_threads__engines_share_devices(void **state)
{
    (void)state;
    if (module != NULL) {
        check_engines(module, 1);
        return;
    }
    check_engines("null", 20);
    check_engines("cpu", 1);
}

/* --- joint batches ---------------------------------------------------------------------------- */

typedef struct feeder {
    llm_session *s;
    complaint complaint;
} feeder;

static void feed_one(void *arg)
{
    feeder *f = arg;
    llm_token token = 5;
    complain_unless_ok(&f->complaint, llm_session_feed(f->s, &token, 1, NULL));
}

static uint32_t queued(lm_engine *e)
{
    uint32_t count = 0;
    lm_os_mutex_lock(&e->mutex);
    for (const lm_work *w = e->first; w != NULL; w = w->next)
        count++;
    lm_os_mutex_unlock(&e->mutex);
    return count;
}

/* Holds the engine as a batch would, so that others queue up behind it. */
static void hold(lm_engine *e, bool running)
{
    lm_os_mutex_lock(&e->mutex);
    e->running = running;
    lm_os_cond_wake_all(&e->changed);
    lm_os_mutex_unlock(&e->mutex);
}

static void test_engine_threads__who_waits_is_batched(void **state)
{
    (void)state;
    world w;
    feeder feeders[WIDTH];
    crowd c;
    crowd_init(&c);
    open_world(&w, "model/data/llama.gguf", "null", 1);
    llm_session_params sp = {.struct_size = sizeof sp, .engine = w.engine};
    hold(w.engine->inner, true);
    for (int i = 0; i < WIDTH; i++) {
        feeders[i] = (feeder){.s = NULL};
        assert_ok(llm_session_create(w.model, &sp, &feeders[i].s));
        crowd_start(&c, feed_one, &feeders[i]);
    }
    while (queued(w.engine->inner) < WIDTH)
        lm_os_thread_yield();
    llm_engine_stats stats = {.struct_size = sizeof stats};
    assert_ok(llm_engine_get_stats(w.engine, &stats)); /* nobody waits for a batch to look */
    assert_int_equal(stats.runs, 0);
    hold(w.engine->inner, false);
    crowd_join(&c);
    for (int i = 0; i < WIDTH; i++) {
        assert_no_complaint(&feeders[i].complaint);
        llm_session_destroy(feeders[i].s);
    }
    assert_ok(llm_engine_get_stats(w.engine, &stats));
    assert_int_equal(stats.rows, WIDTH);
    assert_int_equal(stats.runs, 2); /* four sequences fit in a batch, two are left */
    assert_int_equal(stats.shared_rows, WIDTH);
    close_world(&w);
}

/* A work that is cancelled while it waits is answered without being computed; the others go on. */
static void test_engine_threads__cancelled_in_the_queue(void **state)
{
    (void)state;
    world w;
    feeder feeders[3];
    uint64_t ticket;
    crowd c;
    crowd_init(&c);
    open_world(&w, "model/data/llama.gguf", "null", 1);
    llm_session_params sp = {.struct_size = sizeof sp, .engine = w.engine};
    hold(w.engine->inner, true);
    for (int i = 0; i < 3; i++) {
        feeders[i] = (feeder){.s = NULL};
        assert_ok(llm_session_create(w.model, &sp, &feeders[i].s));
        if (i == 1)
            assert_ok(llm_session_ticket(feeders[i].s, &ticket));
        crowd_start(&c, feed_one, &feeders[i]);
    }
    while (queued(w.engine->inner) < 3)
        lm_os_thread_yield();
    assert_ok(llm_session_cancel(feeders[1].s, ticket));
    hold(w.engine->inner, false);
    crowd_join(&c);
    assert_no_complaint(&feeders[0].complaint);
    assert_no_complaint(&feeders[2].complaint);
    assert_non_null(strstr(feeders[1].complaint.text, "LLM_E_CANCELLED"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(llm_session_length(feeders[i].s), i == 1 ? 0 : 1);
        llm_session_destroy(feeders[i].s);
    }
    close_world(&w);
}

/* --- cancelling and misuse -------------------------------------------------------------------- */

typedef struct long_feed {
    llm_session *s;
    uint32_t chunk, n_tokens, n_vocab;
    _Atomic uint64_t done;     /* tokens, as told by the progress */
    _Atomic bool hold, inside; /* stays in the progress callback while `hold` */
    int32_t status;
} long_feed;

static int32_t report(void *user, uint64_t done, uint64_t total)
{
    long_feed *f = user;
    (void)total;
    atomic_store(&f->done, done);
    atomic_store(&f->inside, true);
    while (atomic_load(&f->hold))
        lm_os_thread_yield();
    return 0;
}

static void feed_long(void *arg)
{
    long_feed *f = arg;
    llm_token tokens[CONTEXT];
    llm_feed_params fp = {
        .struct_size = sizeof fp, .chunk = f->chunk, .progress = report, .progress_user = f};
    for (uint32_t i = 0; i < f->n_tokens; i++)
        tokens[i] = (llm_token)(i * 7 % f->n_vocab);
    f->status = llm_session_feed(f->s, tokens, f->n_tokens, &fp);
}

/* The session goes on from what was kept just as one that was fed that much. */
static void check_goes_on(const world *w, llm_session *s)
{
    llm_token tokens[CONTEXT];
    const float *got, *wanted;
    uint64_t n;
    llm_session *fresh;
    llm_session_params sp = {.struct_size = sizeof sp, .engine = w->plain};
    assert_ok(llm_session_tokens(s, 0, tokens, CONTEXT, &n));
    assert_ok(llm_session_create(w->model, &sp, &fresh));
    assert_ok(llm_session_feed(fresh, tokens, n, NULL));
    assert_ok(llm_session_logits(fresh, &wanted, NULL));
    assert_ok(llm_session_logits(s, &got, NULL));
    assert_memory_equal(got, wanted, w->n_vocab * sizeof *got);
    llm_session_destroy(fresh);
}

static void check_cancel(const world *w, uint32_t chunk)
{
    crowd c;
    uint64_t ticket;
    long_feed f = {.chunk = chunk, .n_tokens = 150, .n_vocab = w->n_vocab, .hold = true};
    llm_session_params sp = {.struct_size = sizeof sp, .engine = w->engine};
    crowd_init(&c);
    assert_ok(llm_session_create(w->model, &sp, &f.s));
    assert_ok(llm_session_ticket(f.s, &ticket));
    crowd_start(&c, feed_long, &f);
    while (!atomic_load(&f.inside))
        lm_os_thread_yield();
    assert_ok(llm_session_cancel(f.s, ticket - 1)); /* stale */
    assert_ok(llm_session_cancel(f.s, ticket));
    uint64_t done = atomic_load(&f.done);
    atomic_store(&f.hold, false);
    crowd_join(&c);
    assert_status(f.status, LLM_E_CANCELLED);
    assert_int_equal(done, chunk);
    assert_int_equal(llm_session_length(f.s), chunk);
    assert_ok(llm_session_ticket(f.s, &ticket));
    check_goes_on(w, f.s);
    llm_session_destroy(f.s);
}

/* Cancelled at whatever moment: whole chunks stay, or all of it. */
static void check_cancel_any_time(const world *w, uint32_t yields)
{
    crowd c;
    uint64_t ticket;
    long_feed f = {.chunk = 16, .n_tokens = 150, .n_vocab = w->n_vocab};
    llm_session_params sp = {.struct_size = sizeof sp, .engine = w->engine, .salt = yields + 1};
    crowd_init(&c);
    assert_ok(llm_session_create(w->model, &sp, &f.s));
    assert_ok(llm_session_ticket(f.s, &ticket));
    crowd_start(&c, feed_long, &f);
    for (uint32_t i = 0; i < yields; i++)
        lm_os_thread_yield();
    assert_ok(llm_session_cancel(f.s, ticket));
    crowd_join(&c);
    uint64_t length = llm_session_length(f.s);
    if (f.status == LLM_OK)
        assert_int_equal(length, 150);
    else
        assert_true(f.status == LLM_E_CANCELLED && length % 16 == 0 && length < 150);
    assert_ok(llm_session_ticket(f.s, &ticket));
    if (length > 0)
        check_goes_on(w, f.s);
    llm_session_destroy(f.s);
}

static void test_engine_threads__cancel_a_long_feed(void **state)
{
    (void)state;
    world w;
    open_world(&w, "model/data/llama.gguf", "cpu", 2);
    check_cancel(&w, 16);
    check_cancel(&w, 25);
    for (uint32_t yields = 1; yields < 2000; yields *= 5)
        check_cancel_any_time(&w, yields);
    close_world(&w);
}

static void test_engine_threads__second_thread_is_busy(void **state)
{
    (void)state;
    world w;
    crowd c;
    llm_session *fork;
    const float *logits;
    uint64_t number;
    llm_token token = 1;
    llm_piece piece = LLM_PIECE_INIT;
    open_world(&w, "model/data/llama.gguf", "cpu", 1);
    long_feed f = {.chunk = 10, .n_tokens = 50, .n_vocab = w.n_vocab, .hold = true};
    llm_session_params sp = {.struct_size = sizeof sp, .engine = w.engine};
    crowd_init(&c);
    assert_ok(llm_session_create(w.model, &sp, &f.s));
    crowd_start(&c, feed_long, &f);
    while (!atomic_load(&f.inside))
        lm_os_thread_yield();
    assert_status(llm_session_feed(f.s, &token, 1, NULL), LLM_E_BUSY);
    assert_status(llm_session_feed_text(f.s, "x", NULL), LLM_E_BUSY);
    assert_status(llm_session_feed_embeddings(f.s, (const float[1024]){0}, 1, NULL), LLM_E_BUSY);
    assert_status(llm_session_sync(f.s, &token, 1, NULL, NULL), LLM_E_BUSY);
    assert_status(llm_session_rewind(f.s, 0), LLM_E_BUSY);
    assert_status(llm_session_fork(f.s, &fork), LLM_E_BUSY);
    assert_status(llm_session_tokens(f.s, 0, &token, 1, &number), LLM_E_BUSY);
    assert_status(llm_session_next(f.s, &piece), LLM_E_BUSY);
    assert_status(llm_session_logits(f.s, &logits, NULL), LLM_E_BUSY);
    assert_status(llm_session_set_sampler(f.s, NULL), LLM_E_BUSY);
    assert_status(llm_session_set_stops(f.s, NULL, 0, 0), LLM_E_BUSY);
    assert_status(llm_session_ticket(f.s, &number), LLM_E_BUSY);
    assert_status(llm_session_save(f.s, "/nowhere/at/all"), LLM_E_BUSY);
    assert_status(llm_session_load(f.s, "/nowhere/at/all"), LLM_E_BUSY);
    assert_status(llm_session_save_memory(f.s, NULL, 0, &number), LLM_E_BUSY);
    assert_status(llm_session_load_memory(f.s, &token, sizeof token), LLM_E_BUSY);
    atomic_store(&f.hold, false);
    crowd_join(&c);
    assert_ok(f.status);
    assert_int_equal(llm_session_length(f.s), 50);
    check_goes_on(&w, f.s);
    llm_session_destroy(f.s);
    close_world(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest of_devices[] = {
        cmocka_unit_test(test_engine_threads__alone_or_together),
        cmocka_unit_test(test_engine_threads__engines_share_devices),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_threads__alone_or_together),
        cmocka_unit_test(test_engine_threads__engines_share_devices),
        cmocka_unit_test(test_engine_threads__who_waits_is_batched),
        cmocka_unit_test(test_engine_threads__cancelled_in_the_queue),
        cmocka_unit_test(test_engine_threads__cancel_a_long_feed),
        cmocka_unit_test(test_engine_threads__second_thread_is_busy),
    };
    if (argc == 3) {
        module = argv[1];
        modules = argv[2];
        return cmocka_run_group_tests_name(module, of_devices, NULL, NULL);
    }
    return cmocka_run_group_tests_name("engine threads", tests, NULL, NULL);
}
