/* test_saved.c - saved sessions go on bit for bit where they were: window and state models,
 * samplers, rows of embeddings, other page sizes, other devices. */
#include "exec/saved.h"

#include <math.h>

/* --- going on --------------------------------------------------------------------------------- */

static void check_same_steps(const bench *a, const bench *b, int n)
{
    llm_piece p = LLM_PIECE_INIT, q = LLM_PIECE_INIT;
    for (int i = 0; i < n; i++) {
        assert_int_equal(llm_session_next(a->s, &p), LLM_OK);
        assert_int_equal(llm_session_next(b->s, &q), LLM_OK);
        assert_int_equal(p.token, q.token);
        check_same_logits(a, b);
    }
}

/* Nothing of what was saved is computed again, and what follows is the same bit for bit. */
static void check_goes_on(setting o, uint32_t length)
{
    bench from, to;
    open_bench(&from, o);
    open_bench(&to, o);
    feed(&from, length, 3);
    blob saved = save(&from);
    assert_ok(load(&to, &saved));
    assert_int_equal(llm_session_length(to.s), length);
    check_same_logits(&from, &to);
    assert_int_equal(stats_of(&to).rows, 0);
    blob again = save(&to);
    assert_int_equal(again.size, saved.size);
    assert_memory_equal(again.data, saved.data, saved.size);
    check_same_steps(&from, &to, 12);
    assert_int_equal(stats_of(&to).rows, 12);
    /* back to where it was saved: recurrent state is kept there as well */
    assert_ok(llm_session_rewind(from.s, length));
    assert_ok(llm_session_rewind(to.s, length));
    check_same_steps(&from, &to, 3);
    free(saved.data);
    free(again.data);
    close_bench(&from);
    close_bench(&to);
}

static void test_saved__goes_on(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "gemma3", "mamba2"};
    static const uint32_t lengths[] = {1, 15, 16, 17, 32, 47, 48, 64, 80};
    for (size_t m = 0; m < 3; m++)
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            check_goes_on((setting){.devices = "null", .model = models[m]}, lengths[i]);
            check_goes_on((setting){.devices = "cpu", .model = models[m]}, lengths[i]);
        }
    check_goes_on((setting){.devices = "ref", .cache = "f32"}, 33);
    check_goes_on((setting){.devices = "cpu", .cache = "bf16"}, 33);
    check_goes_on((setting){.devices = "cpu", .cache = "e4m3"}, 33);
}

/* Other pages: the ids are enough. */
static void test_saved__other_page_size(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "gemma3", "mamba2"};
    for (size_t m = 0; m < 3; m++) {
        bench from, to;
        open_bench(&from, (setting){.devices = "cpu", .model = models[m]});
        open_bench(&to, (setting){.devices = "cpu", .model = models[m], .page = 64});
        feed(&from, 50, 3);
        blob saved = save(&from);
        assert_ok(load(&to, &saved));
        check_same_logits(&from, &to);
        check_same_steps(&from, &to, 5);
        free(saved.data);
        close_bench(&from);
        close_bench(&to);
    }
}

/* The layout belongs to no backend: bytes survive a journey over devices and placements. */
static void check_journey(const char *model, const char *const *devices, size_t n)
{
    bench b;
    blob first = {NULL, 0};
    for (size_t i = 0; i < n; i++) {
        open_bench(&b, (setting){.devices = devices[i], .model = model});
        if (i == 0) {
            feed(&b, 37, 3);
            first = save(&b);
        }
        assert_ok(load(&b, &first));
        blob here = save(&b);
        assert_int_equal(here.size, first.size);
        assert_memory_equal(here.data, first.data, first.size);
        free(here.data);
        llm_piece piece = LLM_PIECE_INIT;
        assert_int_equal(llm_session_next(b.s, &piece), LLM_OK);
        assert_int_equal(stats_of(&b).rows, i == 0 ? 37 : 0);
        assert_int_equal(llm_session_next(b.s, &piece), LLM_OK); /* reads the cache that came */
        close_bench(&b);
    }
    free(first.data);
}

static void test_saved__other_devices(void **state)
{
    (void)state;
    static const char *const large[] = {"ref", "cpu", "ref:0=100000,cpu", "cpu:0=100000,ref",
                                        "ref"};
    static const char *const small[] = {"ref", "cpu", "ref:0=60000,cpu", "cpu:0=60000,ref", "ref"};
    check_journey("llama", large, sizeof large / sizeof large[0]);
    check_journey("gemma3", small, sizeof small / sizeof small[0]);
    check_journey("mamba2", small, sizeof small / sizeof small[0]);
}

/* From ref to cpu the numbers are close, so the cache really is the same one. */
static void test_saved__other_device_computes_alike(void **state)
{
    (void)state;
    bench from, to;
    const float *x, *y;
    llm_token token = 5;
    open_bench(&from, (setting){.devices = "ref", .cache = "f32"});
    open_bench(&to, (setting){.devices = "cpu", .cache = "f32"});
    feed(&from, 40, 3);
    blob saved = save(&from);
    assert_ok(load(&to, &saved));
    assert_ok(llm_session_feed(from.s, &token, 1, NULL));
    assert_ok(llm_session_feed(to.s, &token, 1, NULL));
    assert_int_equal(stats_of(&to).rows, 1);
    assert_ok(llm_session_logits(from.s, &x, NULL));
    assert_ok(llm_session_logits(to.s, &y, NULL));
    double most = 0, error = 0;
    for (uint32_t i = 0; i < from.n_vocab; i++) {
        double size = fabs(x[i]), difference = fabs(x[i] - y[i]);
        most = size > most ? size : most;
        error = difference > error ? difference : error;
    }
    assert_true(error <= 1e-3 * most); /* what docs/numerics.md grants a whole model on cpu */
    free(saved.data);
    close_bench(&from);
    close_bench(&to);
}

/* --- what else a session holds ---------------------------------------------------------------- */

static llm_sampler *make_sampler(llm_runtime *rt, const char *last)
{
    llm_sampler *s;
    llm_param k = {"k", LLM_KIND_INT, 0, {.i = 40}};
    assert_ok(llm_sampler_create(rt, &s));
    assert_ok(llm_sampler_add(s, "top-k", &k, 1));
    assert_ok(llm_sampler_add(s, last, NULL, 0));
    assert_ok(llm_sampler_seed(s, 99));
    return s;
}

static void test_saved__sampler_goes_on(void **state)
{
    (void)state;
    llm_runtime *rt;
    assert_ok(llm_runtime_create(NULL, &rt));
    llm_sampler *mirostat = make_sampler(rt, "mirostat-2"), *dist = make_sampler(rt, "dist");
    bench from, same, other, none;
    llm_piece piece = LLM_PIECE_INIT;
    open_bench(&from, (setting){.devices = "null", .sampler = mirostat});
    open_bench(&same, (setting){.devices = "null", .sampler = mirostat});
    open_bench(&other, (setting){.devices = "null", .sampler = dist});
    open_bench(&none, (setting){.devices = "null"});
    feed(&from, 12, 3);
    for (int i = 0; i < 20; i++)
        assert_int_equal(llm_session_next(from.s, &piece), LLM_OK);
    blob saved = save(&from);
    assert_ok(load(&same, &saved));
    assert_ok(load(&other, &saved)); /* another chain goes on with its own state */
    assert_ok(load(&none, &saved));
    assert_int_equal(llm_session_next(other.s, &piece), LLM_OK);
    assert_int_equal(llm_session_next(none.s, &piece), LLM_OK);
    check_same_steps(&from, &same, 30);
    free(saved.data);
    saved = save(&none); /* and one without any state */
    assert_ok(load(&from, &saved));
    assert_int_equal(llm_session_next(from.s, &piece), LLM_OK);
    free(saved.data);
    close_bench(&from);
    close_bench(&same);
    close_bench(&other);
    close_bench(&none);
    llm_sampler_destroy(mirostat);
    llm_sampler_destroy(dist);
    llm_runtime_destroy(rt);
}

static void test_saved__embedding_rows(void **state)
{
    (void)state;
    bench from, to;
    open_bench(&from, (setting){.devices = "cpu"});
    open_bench(&to, (setting){.devices = "cpu"});
    float *rows = malloc(9 * from.width * sizeof *rows);
    assert_non_null(rows);
    uint64_t random = 1;
    for (uint32_t i = 0; i < 9 * from.width; i++)
        rows[i] = (float)test_random_normal(&random);
    feed(&from, 10, 3);
    assert_ok(llm_session_feed_embeddings(from.s, rows, 9, NULL));
    feed(&from, 10, 4);
    blob saved = save(&from);
    assert_ok(load(&to, &saved));
    check_same_logits(&from, &to);
    for (uint32_t length = 29; length > 1; length -= 7) { /* the rows came along */
        assert_ok(llm_session_rewind(from.s, length));
        assert_ok(llm_session_rewind(to.s, length));
        check_same_logits(&from, &to);
    }
    free(saved.data);
    free(rows);
    close_bench(&from);
    close_bench(&to);
}

static void test_saved__nothing_or_not_computed(void **state)
{
    (void)state;
    bench from, to;
    open_bench(&from, (setting){.devices = "null"});
    open_bench(&to, (setting){.devices = "null"});
    feed(&to, 18, 11);
    blob saved = save(&from); /* an empty timeline */
    assert_ok(load(&to, &saved));
    assert_int_equal(llm_session_length(to.s), 0);
    free(saved.data);
    feed(&from, 30, 3);
    assert_ok(llm_session_rewind(from.s, 20)); /* no logits at hand */
    saved = save(&from);
    assert_int_equal(get_u32(&saved, AT_KNOWN), 0);
    assert_ok(load(&to, &saved));
    check_same_logits(&from, &to);
    free(saved.data);
    close_bench(&from);
    close_bench(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saved__goes_on),
        cmocka_unit_test(test_saved__other_page_size),
        cmocka_unit_test(test_saved__other_devices),
        cmocka_unit_test(test_saved__other_device_computes_alike),
        cmocka_unit_test(test_saved__sampler_goes_on),
        cmocka_unit_test(test_saved__embedding_rows),
        cmocka_unit_test(test_saved__nothing_or_not_computed),
    };
    return cmocka_run_group_tests_name("saved", tests, NULL, NULL);
}
