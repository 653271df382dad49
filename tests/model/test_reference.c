/* test_reference.c - one case of tests/model/data, "decoder NAME" or "encoder NAME", on every
 * backend that computes, or on that of a module, "decoder NAME BACKEND FOLDER": logits and greedy
 * text as transformers has them, whatever the chunks, pages, devices and the session's past.
 * "brief NAME ..." is the part that needs the fewest runs. */
#include "model/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct world {
    llm_runtime *rt;
    reference ref;
} world;

static const char *case_name;
static const test_device *module; /* the backend under test; NULL: those that are compiled in */
static const char *modules;       /* its folder */

static int setup(void **state)
{
    static world w;
    reference_read(case_name, &w.ref);
    llm_runtime_params params = {.struct_size = sizeof params, .module_folder = modules};
    assert_ok(llm_runtime_create(&params, &w.rt));
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    reference_free(&w->ref);
    llm_runtime_destroy(w->rt);
    return 0;
}

/* Calls `test` on each backend that is there, or on the one under test. */
static void on_each_device(world *w, void (*test)(world *w, const test_device *d))
{
    if (module != NULL) {
        test(w, module);
        return;
    }
    for (uint32_t i = 0; i < test_device_count; i++)
        if (test_device_present(w->rt, test_devices[i].name))
            test(w, &test_devices[i]);
}

static void want_close(const world *w, const char *what, const float *found, double tolerance)
{
    const reference *r = &w->ref;
    double error = relative_error(found, r->values, (size_t)r->rows * r->columns);
    print_message("%s on %s: relative error %.1e\n", r->name, what, error);
    if (!(error <= tolerance))
        fail_msg("%s on %s: relative error %.2e, at most %.0e is allowed", r->name, what, error,
                 tolerance);
}

static float *logits_of(world *w, const open_options *options, uint32_t chunk)
{
    opened o;
    opened_init(w->rt, &w->ref, options, &o);
    float *logits = feed_for_logits(o.session, w->ref.all, w->ref.rows, chunk, w->ref.columns);
    opened_finish(&o);
    return logits;
}

static void want_same(const world *w, const float *a, const float *b, const char *device,
                      const char *what)
{
    size_t floats = (size_t)w->ref.rows * w->ref.columns;
    if (memcmp(a, b, floats * sizeof *a) != 0)
        fail_msg("%s on %s: other logits with %s (by %.1e)", w->ref.name, device, what,
                 relative_error(a, b, floats));
}

/* --- against transformers --------------------------------------------------------------------- */

static void check_logits(world *w, const test_device *d)
{
    float *logits = logits_of(w, &(open_options){.devices = d->name}, 0);
    want_close(w, d->name, logits, d->tolerance);
    free(logits);
}

static void test_reference__logits(void **state)
{
    on_each_device(*state, check_logits);
}

/* The prompt ends inside a page and 40 tokens follow: pages are begun while generating. */
static void check_greedy(world *w, const test_device *d)
{
    const reference *r = &w->ref;
    for (uint32_t page = 16; page <= 64; page *= 4) {
        opened o;
        opened_init(w->rt, r, &(open_options){.devices = d->name, .page_tokens = page}, &o);
        assert_ok(llm_session_feed(o.session, r->tokens, r->n_tokens, NULL));
        llm_token found[64];
        assert_true(r->n_greedy <= 64);
        generate(o.session, found, r->n_greedy);
        assert_tokens_equal(found, r->greedy, r->n_greedy, d->name);
        opened_finish(&o);
    }
}

static void test_reference__greedy(void **state)
{
    on_each_device(*state, check_greedy);
}

static void check_embedding(world *w, const test_device *d)
{
    const reference *r = &w->ref;
    opened o;
    float found[256];
    uint32_t count;
    opened_init(w->rt, r, &(open_options){.devices = d->name}, &o);
    assert_ok(llm_embed(o.model, o.engine, r->tokens, r->n_tokens, found, 256, &count));
    assert_int_equal(count, r->columns);
    double error = relative_error(found, r->pooled, count);
    print_message("%s on %s: relative error %.1e\n", r->name, d->name, error);
    if (!(error <= d->tolerance))
        fail_msg("%s on %s: relative error %.2e", r->name, d->name, error);
    opened_finish(&o);
}

static void test_reference__embedding(void **state)
{
    on_each_device(*state, check_embedding);
}

/* --- the same whatever the way ---------------------------------------------------------------- */

static void check_splits(world *w, const test_device *d)
{
    static const uint32_t chunks[] = {1, 7, 32};
    open_options options = {.devices = d->name, .flags = LLM_ENGINE_NO_SHARING};
    float *whole = logits_of(w, &options, 0);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        char what[32];
        snprintf(what, sizeof what, "chunks of %u", (unsigned)chunks[i]);
        float *split = logits_of(w, &options, chunks[i]);
        want_same(w, split, whole, d->name, what);
        free(split);
    }
    free(whole);
}

static void test_reference__splits(void **state)
{
    on_each_device(*state, check_splits);
}

static void check_pages(world *w, const test_device *d)
{
    float *usual = logits_of(w, &(open_options){.devices = d->name}, 0);
    float *small = logits_of(w, &(open_options){.devices = d->name, .page_tokens = 16}, 0);
    float *large = logits_of(w, &(open_options){.devices = d->name, .page_tokens = 64}, 0);
    want_same(w, small, usual, d->name, "pages of 16");
    want_same(w, large, usual, d->name, "pages of 64");
    free(usual);
    free(small);
    free(large);
}

static void test_reference__pages(void **state)
{
    on_each_device(*state, check_pages);
}

/* One thread, and more than there are cores. */
static void test_reference__threads(void **state)
{
    static const uint32_t threads[] = {1, 2, 5, 16};
    world *w = *state, other = {.ref = w->ref};
    for (uint32_t d = 0; d < test_device_count; d++) {
        if (!test_device_present(w->rt, test_devices[d].name))
            continue;
        open_options options = {.devices = test_devices[d].name};
        float *usual = logits_of(w, &options, 0);
        for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
            llm_runtime_params rp = {.struct_size = sizeof rp, .threads = threads[i]};
            char what[32];
            snprintf(what, sizeof what, "%u threads", (unsigned)threads[i]);
            assert_ok(llm_runtime_create(&rp, &other.rt));
            float *found = logits_of(&other, &options, 0);
            want_same(w, found, usual, test_devices[d].name, what);
            free(found);
            llm_runtime_destroy(other.rt);
        }
        free(usual);
    }
}

static void check_unfused(world *w, const test_device *d)
{
    float *fused = logits_of(w, &(open_options){.devices = d->name}, 0);
    float *plain =
        logits_of(w, &(open_options){.devices = d->name, .flags = LLM_ENGINE_UNFUSED}, 0);
    want_same(w, plain, fused, d->name, "every step on its own");
    free(fused);
    free(plain);
}

static void test_reference__unfused(void **state)
{
    on_each_device(*state, check_unfused);
}

/* --- devices ---------------------------------------------------------------------------------- */

/* Bytes of weights on the first device. */
static uint64_t first_weights(const opened *o)
{
    llm_memory_plan plan = {.struct_size = sizeof plan};
    assert_ok(llm_model_plan(o->model, NULL, 0, &plan));
    return plan.weights;
}

/* Begins with everything on the first device and gives it one byte less than it used, again and
 * again: so the cut passes before every layer, until all is on the second. */
static void cut_everywhere(world *w, const test_device *first, const test_device *second)
{
    uint32_t cuts = 0;
    double tolerance = first->tolerance > second->tolerance ? first->tolerance : second->tolerance;
    /* read, not mapped: then weights count */
    open_options options = {.devices = first->name, .source = LLM_SOURCE_READ};
    llm_model_info info = {.struct_size = sizeof info};
    char list[96];
    opened o;
    opened_init(w->rt, &w->ref, &options, &o);
    assert_ok(llm_model_get_info(o.model, &info));
    options.devices = list;
    for (uint64_t bytes = first_weights(&o); bytes > 0; cuts++) {
        opened_finish(&o);
        snprintf(list, sizeof list, "%s:0=%llu,%s", first->name, (unsigned long long)(bytes - 1),
                 second->name);
        opened_init(w->rt, &w->ref, &options, &o);
        assert_true(first_weights(&o) < bytes);
        bytes = first_weights(&o);
        float *logits = feed_for_logits(o.session, w->ref.all, w->ref.rows, 0, w->ref.columns);
        want_close(w, list, logits, tolerance);
        free(logits);
    }
    opened_finish(&o);
    assert_int_equal(cuts, info.n_layers);
}

static void test_reference__devices(void **state)
{
    world *w = *state;
    const test_device cpu = {"cpu", 1e-3};
    if (module != NULL) {
        cut_everywhere(w, module, &cpu);
        cut_everywhere(w, &cpu, module);
        return;
    }
    for (uint32_t i = 0; i < test_device_count; i++)
        for (uint32_t k = 0; k < test_device_count; k++)
            if (i != k && test_device_present(w->rt, test_devices[i].name) &&
                test_device_present(w->rt, test_devices[k].name))
                cut_everywhere(w, &test_devices[i], &test_devices[k]);
}

/* --- the session's past ----------------------------------------------------------------------- */

static void check_fork(world *w, const test_device *d)
{
    const reference *r = &w->ref;
    uint32_t half = r->n_greedy / 2;
    llm_token one[64], other[64];
    opened o;
    llm_session *fork;
    opened_init(w->rt, r, &(open_options){.devices = d->name}, &o);
    assert_ok(llm_session_feed(o.session, r->tokens, r->n_tokens, NULL));
    generate(o.session, one, half);
    assert_ok(llm_session_fork(o.session, &fork));
    memcpy(other, one, half * sizeof *one);
    for (uint32_t i = half; i < r->n_greedy; i++) {
        generate(o.session, one + i, 1);
        generate(fork, other + i, 1);
    }
    assert_tokens_equal(one, r->greedy, r->n_greedy, "the session");
    assert_tokens_equal(other, r->greedy, r->n_greedy, "its fork");
    llm_session_destroy(o.session);
    o.session = NULL;
    assert_ok(llm_session_rewind(fork, r->n_tokens));
    generate(fork, other, r->n_greedy);
    assert_tokens_equal(other, r->greedy, r->n_greedy, "the fork once it is alone");
    llm_session_destroy(fork);
    opened_finish(&o);
}

static void test_reference__fork(void **state)
{
    on_each_device(*state, check_fork);
}

/* Back into the generation, to the prompt's end, far into the prompt and to its start: what follows
 * is as if nothing had been there. */
static void check_rewind(world *w, const test_device *d)
{
    const reference *r = &w->ref;
    const uint32_t lengths[] = {
        r->n_tokens + 11, r->n_tokens, r->n_tokens - 1, r->n_tokens - 37, 33, 1, 0};
    for (int sharing = 0; sharing < 2; sharing++) {
        opened o;
        llm_token found[64];
        opened_init(
            w->rt, r,
            &(open_options){.devices = d->name, .flags = sharing ? 0 : LLM_ENGINE_NO_SHARING}, &o);
        assert_ok(llm_session_feed(o.session, r->tokens, r->n_tokens, NULL));
        generate(o.session, found, r->n_greedy);
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            uint32_t to = lengths[i], prompt = to < r->n_tokens ? r->n_tokens - to : 0;
            uint32_t made = to > r->n_tokens ? to - r->n_tokens : 0;
            char what[64];
            snprintf(what, sizeof what, "%s, back to %u", d->name, (unsigned)to);
            assert_ok(llm_session_rewind(o.session, to));
            assert_int_equal(llm_session_length(o.session), to);
            if (prompt > 0)
                assert_ok(llm_session_feed(o.session, r->tokens + to, prompt, NULL));
            generate(o.session, found, r->n_greedy - made);
            assert_tokens_equal(found, r->greedy + made, r->n_greedy - made, what);
        }
        opened_finish(&o);
    }
}

static void test_reference__rewind(void **state)
{
    on_each_device(*state, check_rewind);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Pages that `length` tokens may hold: all of them where a layer sees everything, and as many as a window
 * can touch where none does. Read from the steps' lines. */
static uint64_t pages_needed(const opened *o, uint32_t length, uint32_t page)
{
    llm_step_info info = {.struct_size = sizeof info};
    uint64_t whole = 0, windows = 0;
    for (uint64_t i = 0; llm_model_step_at(o->model, i, &info) >= 0; i++) {
        const char *window = strstr(info.text, " window ");
        if (strstr(info.text, "attn") == NULL || strstr(info.text, " heads ") == NULL)
            continue;
        if (window == NULL)
            whole = (length + page - 1) / page;
        else
            windows = (strtoul(window + 8, NULL, 10) + page - 2) / page + 1;
    }
    return whole + windows;
}

static void check_pages_held(world *w, const test_device *d)
{
    const reference *r = &w->ref;
    llm_engine_stats stats = {.struct_size = sizeof stats};
    opened o;
    open_options options = {.devices = d->name, .page_tokens = 16, .flags = LLM_ENGINE_NO_SHARING};
    opened_init(w->rt, r, &options, &o);
    for (uint32_t i = 0; i < r->rows; i++) {
        assert_ok(llm_session_feed(o.session, &r->all[i], 1, NULL));
        assert_ok(llm_engine_get_stats(o.engine, &stats));
        uint64_t held = stats.pages_total - stats.pages_free, most = pages_needed(&o, i + 1, 16);
        if (most > 0 && held > most)
            fail_msg("%u tokens hold %u pages; %u are enough", (unsigned)i + 1, (unsigned)held,
                     (unsigned)most);
    }
    opened_finish(&o);
}

static void test_reference__pages_held(void **state)
{
    on_each_device(*state, check_pages_held);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest decoder[] = {
        cmocka_unit_test(test_reference__logits),  cmocka_unit_test(test_reference__greedy),
        cmocka_unit_test(test_reference__splits),  cmocka_unit_test(test_reference__pages),
        cmocka_unit_test(test_reference__unfused), cmocka_unit_test(test_reference__devices),
        cmocka_unit_test(test_reference__fork),    cmocka_unit_test(test_reference__rewind),
    };
    static const struct CMUnitTest of_the_host[] = {
        cmocka_unit_test(test_reference__threads),
        cmocka_unit_test(test_reference__pages_held),
    };
    static const struct CMUnitTest brief[] = {
        cmocka_unit_test(test_reference__logits),
        cmocka_unit_test(test_reference__greedy),
        cmocka_unit_test(test_reference__unfused),
    };
    static const struct CMUnitTest encoder[] = {
        cmocka_unit_test(test_reference__embedding),
    };
    static test_device named = {NULL, 1e-3};
    if (argc != 3 && argc != 5)
        return 2;
    case_name = argv[2];
    if (argc == 5) {
        named.name = argv[3];
        modules = argv[4];
        module = &named;
    }
    if (strcmp(argv[1], "encoder") == 0)
        return cmocka_run_group_tests_name(case_name, encoder, setup, teardown);
    if (strcmp(argv[1], "brief") == 0)
        return cmocka_run_group_tests_name(case_name, brief, setup, teardown);
    int failed = cmocka_run_group_tests_name(case_name, decoder, setup, teardown);
    if (module == NULL)
        failed += cmocka_run_group_tests_name(case_name, of_the_host, setup, teardown);
    return failed;
}
