/* test_null.c - the null backend: its results tell right tables from wrong ones, it fails when told
 * to, pretends to have what it was told to have, and fills reads no earlier than the wait. */
#include "backend/cases.h"

#include "backends/null/null.h"

#include <stdlib.h>

enum { SEED = 61 };

static const uint32_t lengths[RIG_SEQS] = {70, 3, 41, 0};

/* Like a real backend, nothing depends on how the sequences were fed. */
static void schedules_agree(void **state)
{
    static const struct {
        uint32_t chunk, page_tokens;
        bool together, free_pages;
    } ways[] = {
        {1, 16, false, true}, {7, 16, true, true}, {32, 128, true, false}, {13, 32, false, false}};
    rig_model m;
    rig whole, other;
    case_build(&m, *state, SEED);
    rig_options o = {.backend = "null"};
    rig_open(&whole, &m, &o);
    rig_feed(&whole, lengths, 80, false);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        o = (rig_options){.backend = "null",
                          .page_tokens = ways[i].page_tokens,
                          .shuffle = i + 1,
                          .free_pages = ways[i].free_pages};
        rig_open(&other, &m, &o);
        rig_feed(&other, lengths, ways[i].chunk, ways[i].together);
        rig_same(&other, &whole, "null");
        rig_close(&other);
    }
    rig_close(&whole);
    rig_model_finish(&m);
}

static void swap_pages(lm_run *run, void *user)
{
    uint32_t *pages = (uint32_t *)(uintptr_t)run->seqs[0].groups[0].pages;
    uint32_t first = pages[0];
    (void)user;
    pages[0] = pages[1];
    pages[1] = first;
}

static void see_less(lm_run *run, void *user)
{
    (void)user;
    ((uint32_t *)(uintptr_t)run->visible_end)[1]--;
}

static void move_position(lm_run *run, void *user)
{
    (void)user;
    ((uint32_t *)(uintptr_t)run->positions)[0]++;
}

static void change_token(lm_run *run, void *user)
{
    (void)user;
    ((int32_t *)(uintptr_t)run->tokens)[0] ^= 1;
}

/* Every mistake an executor could make changes the logits of the row it touches. */
static void mistakes_show(void **state)
{
    static void (*const mistakes[])(lm_run * run, void *user) = {swap_pages, see_less,
                                                                 move_position, change_token};
    static const rig_part start[] = {{0, 40}}, next[] = {{0, 2}};
    rig_model m;
    rig right, wrong;
    (void)state;
    case_build(&m, "model F32", SEED);
    rig_options o = {.backend = "null", .page_tokens = 16};
    rig_open(&right, &m, &o);
    assert_ok(rig_run(&right, start, 1));
    assert_ok(rig_run(&right, next, 1));
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        rig_open(&wrong, &m, &o);
        assert_ok(rig_run(&wrong, start, 1));
        assert_ok(rig_run_changed(&wrong, next, 1, mistakes[i], NULL));
        assert_memory_not_equal(rig_row(&right, 0, 0, 41), rig_row(&wrong, 0, 0, 41),
                                m.network.n_vocab * sizeof(float));
        rig_close(&wrong);
    }
    rig_close(&right);
    rig_model_finish(&m);
}

static void same_page_twice(lm_run *run, void *user)
{
    lm_run_pages *second = (lm_run_pages *)(uintptr_t)&run->seqs[1].groups[0];
    (void)user;
    ((uint32_t *)(uintptr_t)second->pages)[0] = run->seqs[0].groups[0].pages[0];
}

static void same_state_twice(lm_run *run, void *user)
{
    (void)user;
    ((lm_run_seq *)(uintptr_t)run->seqs)[1].groups[0].state_write =
        run->seqs[0].groups[0].state_write;
}

static void read_foreign_state(lm_run *run, void *user)
{
    (void)user;
    ((lm_run_seq *)(uintptr_t)run->seqs)[1].groups[0].state_read = 7;
}

/* Things no real device can notice: two writers of one place, reading what was never written. */
static void deep_mistakes_are_refused(void **state)
{
    static const rig_part start[] = {{0, 5}, {1, 5}};
    static const struct {
        const char *name;
        void (*mistake)(lm_run *run, void *user);
    } tries[] = {{"model F32", same_page_twice},
                 {"conv 4 taps", same_state_twice},
                 {"conv 4 taps", read_foreign_state}};
    (void)state;
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        rig_model m;
        rig r;
        case_build(&m, tries[i].name, SEED);
        rig_options o = {.backend = "null"};
        rig_open(&r, &m, &o);
        assert_status(rig_run_changed(&r, start, 2, tries[i].mistake, NULL), LLM_E_INVALID);
        rig_close(&r);
        rig_model_finish(&m);
    }
}

static void unwritten_page(lm_run *run, void *user)
{
    (void)user;
    ((uint32_t *)(uintptr_t)run->seqs[0].groups[0].pages)[0] = 90; /* exists; nobody wrote it */
}

static void unwritten_pages_are_refused(void **state)
{
    static const rig_part start[] = {{0, 40}}, next[] = {{0, 1}};
    rig_model m;
    rig r;
    (void)state;
    case_build(&m, "model F32", SEED);
    rig_options o = {.backend = "null"};
    rig_open(&r, &m, &o);
    assert_ok(rig_run(&r, start, 1));
    assert_status(rig_run_changed(&r, next, 1, unwritten_page, NULL), LLM_E_INVALID);
    rig_close(&r);
    rig_model_finish(&m);
}

/* --- faults ----------------------------------------------------------------------------------- */

static void fails_when_told(void **state)
{
    static const rig_part part[] = {{0, 3}};
    rig_model m;
    rig r;
    (void)state;
    case_build(&m, "model F32", SEED);
    rig_options o = {.backend = "null"};
    rig_open(&r, &m, &o);
    lnull_fail(r.device, LNULL_PROGRAM_RUN, 2, LLM_E_NUMERIC);
    assert_ok(rig_run(&r, part, 1));
    assert_status(rig_run(&r, part, 1), LLM_E_NUMERIC);
    assert_ok(rig_run(&r, part, 1));
    lnull_fail(r.device, LNULL_ANY, 1, LLM_E_DEVICE);
    assert_status(r.backend->cache_grow(r.device, r.caches[0], 1), LLM_E_DEVICE);
    lnull_fail(r.device, LNULL_CACHE_GROW, 1, LLM_E_MEMORY);
    lnull_fail(r.device, LNULL_CACHE_GROW, 0, 0);
    assert_ok(r.backend->cache_grow(r.device, r.caches[0], 1));
    lnull_lose(r.device);
    lm_device_info info;
    assert_status(rig_run(&r, part, 1), LLM_E_DEVICE);
    assert_status(r.backend->info(r.device, &info), LLM_E_DEVICE);
    rig_close(&r); /* giving things back works on a lost device */
    rig_model_finish(&m);
}

static void records_calls(void **state)
{
    static const rig_part parts[] = {{0, 3}, {2, 4}};
    rig_model m;
    rig r;
    lnull_record list[LNULL_RECORDS];
    (void)state;
    case_build(&m, "model F32", SEED);
    rig_options o = {.backend = "null"};
    rig_open(&r, &m, &o);
    assert_int_equal(lnull_count(r.device, LNULL_WEIGHT_LOAD), m.network.n_weights);
    lnull_forget(r.device);
    assert_int_equal(lnull_count(r.device, LNULL_ANY), 0);
    assert_ok(rig_run(&r, parts, 2));
    assert_int_equal(lnull_count(r.device, LNULL_PROGRAM_RUN), 1);
    size_t n = lnull_records(r.device, list, LNULL_RECORDS);
    assert_int_equal(n, lnull_count(r.device, LNULL_ANY));
    assert_int_equal(list[0].call, LNULL_PROGRAM_RUN);
    assert_true(list[0].a == 7 && list[0].b == 2 && list[0].c == 5);
    assert_int_equal(list[n - 1].call, LNULL_QUEUE_WAIT);
    assert_string_equal(lnull_call_name(list[n - 1].call), "QUEUE_WAIT");
    for (int i = 0; i < 300; i++)
        assert_ok(r.backend->cache_grow(r.device, r.caches[0], 1));
    assert_int_equal(lnull_records(r.device, list, LNULL_RECORDS), LNULL_RECORDS);
    assert_int_equal(lnull_records(r.device, list, 5), 5);
    assert_int_equal(list[4].call, LNULL_CACHE_GROW);
    rig_close(&r);
    rig_model_finish(&m);
}

/* --- pretences -------------------------------------------------------------------------------- */

static void pretends_memory(void **state)
{
    (void)state;
    lm_host host = {.threads = 1};
    lm_device *devices[LNULL_DEVICES];
    for (uint32_t i = 0; i < LNULL_DEVICES; i++)
        assert_ok(lm_backend_null.open(&host, i, &devices[i]));
    lm_device_info info;
    lnull_set_memory(devices[3], 1000);
    assert_ok(lm_backend_null.info(devices[3], &info));
    assert_true(info.memory_total == 1000 && info.memory_free == 1000 && !info.host_memory);
    /* A weight of 70 GB costs the null device nothing but its promise. */
    lm_weight_desc desc = {.name = "w",
                           .format = lm_format_by_id(LM_F16),
                           .rows = 1u << 20,
                           .cols = 1u << 15,
                           .experts = 1,
                           .uses = LM_USE_MATMUL,
                           .bytes = (uint64_t)1 << 36};
    lm_weight_data data = {&desc, true};
    lm_weight *big = NULL, *small = NULL;
    assert_status(lm_backend_null.weight_load(devices[3], &desc, &data, &big), LLM_E_MEMORY);
    assert_null(big);
    assert_ok(lm_backend_null.weight_load(devices[5], &desc, &data, &big));
    assert_int_equal(lm_backend_null.bytes(devices[5]), (uint64_t)1 << 36);
    desc.rows = 4;
    desc.cols = 100;
    assert_ok(lm_backend_null.weight_load(devices[3], &desc, &data, &small));
    assert_ok(lm_backend_null.info(devices[3], &info));
    assert_int_equal(info.memory_free, 200);
    lm_backend_null.weight_destroy(devices[3], small);
    lm_backend_null.weight_destroy(devices[5], big);
    lm_weight_plan plan;
    assert_ok(lm_backend_null.weight_query(devices[3], &desc, true, &plan));
    assert_int_equal(plan.bytes, 800);
    lnull_set_host_memory(devices[3], true);
    assert_ok(lm_backend_null.weight_query(devices[3], &desc, true, &plan));
    assert_int_equal(plan.bytes, 0);
    for (uint32_t i = 0; i < LNULL_DEVICES; i++)
        lm_backend_null.close(devices[i]);
}

static void coarse_steps_on_request(void **state)
{
    (void)state;
    lm_host host = {.threads = 1};
    lm_device *device;
    lm_step step = {.kind = LM_STEP_GLU_FFN};
    lm_step_support support;
    assert_ok(lm_backend_null.open(&host, 0, &device));
    assert_ok(lm_backend_null.step_query(device, NULL, &step, &support));
    assert_int_equal(support.support, LM_SUPPORT_NO);
    lnull_set_coarse(device, true);
    assert_ok(lm_backend_null.step_query(device, NULL, &step, &support));
    assert_int_equal(support.support, LM_SUPPORT_NATIVE);
    lm_backend_null.close(device);
}

static void reads_wait(void **state)
{
    static const rig_part part[] = {{0, 4}};
    rig_model m;
    rig r;
    uint64_t ticket;
    (void)state;
    case_build(&m, "model F32", SEED);
    rig_options o = {.backend = "null"};
    rig_open(&r, &m, &o);
    assert_ok(rig_run(&r, part, 1));
    size_t bytes = m.network.n_vocab * sizeof(float);
    uint8_t *got = malloc(bytes);
    assert_ok(r.backend->slot_read(r.device, r.queue, r.program, r.slots_out[0], got, bytes));
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(got[i], 0xff);
    assert_ok(r.backend->queue_signal(r.device, r.queue, &ticket));
    assert_ok(r.backend->queue_wait(r.device, r.queue, ticket, 0));
    assert_memory_equal(got, rig_row(&r, 0, 0, 0), bytes);
    assert_null(r.backend->slot_host(r.device, r.program, r.slots_out[0]));
    free(got);
    rig_close(&r);
    rig_model_finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(schedules_agree, "model F32"),
        cmocka_unit_test_prestate(schedules_agree, "conv 4 taps"),
        cmocka_unit_test_prestate(schedules_agree, "attn WINDOW_GROUP"),
        cmocka_unit_test(mistakes_show),
        cmocka_unit_test(deep_mistakes_are_refused),
        cmocka_unit_test(unwritten_pages_are_refused),
        cmocka_unit_test(fails_when_told),
        cmocka_unit_test(records_calls),
        cmocka_unit_test(pretends_memory),
        cmocka_unit_test(coarse_steps_on_request),
        cmocka_unit_test(reads_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
