/* test_faults.c - every call to CUDA fails once: the process lives, what was taken is given back, the
 * status says what it is, a lost device says so from then on, and the processor still computes. */
#include "backend/cases.h"
#include "find_fake.h"

#include <string.h>

enum { MEMORY = 2, LAUNCH_FAILED = 719 };

static const rig_part first[] = {{0, 9}, {1, 1}}, next[] = {{0, 1}, {1, 1}};

/* All a host does: open, load, run, read, move pages, profile. */
static int32_t whole_life(rig *r)
{
    uint64_t ns, ticket;
    lm_device_info info;
    LM_TRY(rig_load(r));
    LM_TRY(r->backend->info(r->device, &info));
    LM_TRY(rig_run(r, first, 2));
    for (int i = 0; i < 2; i++)
        LM_TRY(rig_run(r, next, 2));
    LM_TRY(r->backend->profile(r->device, r->program, true, 0, NULL));
    LM_TRY(rig_run(r, next, 2));
    LM_TRY(r->backend->profile(r->device, r->program, false, 3, &ns));
    LM_TRY(r->backend->page_copy(r->device, r->caches[0], 0, 1));
    LM_TRY(r->backend->page_move(r->device, r->caches[0], 0, 1, 1, 2));
    LM_TRY(r->backend->queue_signal(r->device, r->queue, &ticket));
    int32_t rc;
    do
        rc = r->backend->queue_wait(r->device, r->queue, ticket, 1000);
    while (rc == LLM_AGAIN);
    return rc;
}

static void want_nothing_left(void)
{
    assert_int_equal(cuda->live, 0);
    assert_int_equal(cuda->pinned, 0);
    assert_int_equal(cuda->streams, 0);
    assert_int_equal(cuda->events, 0);
    assert_int_equal(cuda->graphs, 0);
}

/* A device that is lost answers LLM_E_DEVICE to everything. */
static void want_lost(rig *r)
{
    lm_queue *queue = NULL;
    lm_device_info info;
    lm_weight *weight = NULL;
    lm_weight_data data = {r->m->data[0], false};
    assert_status(r->backend->info(r->device, &info), LLM_E_DEVICE);
    assert_status(r->backend->queue_create(r->device, &queue), LLM_E_DEVICE);
    assert_null(queue);
    assert_status(r->backend->weight_load(r->device, &r->m->network.weights[0], &data, &weight),
                  LLM_E_DEVICE);
    assert_null(weight);
    if (r->program != NULL)
        assert_status(rig_run(r, next, 2), LLM_E_DEVICE);
}

/* Call `n` fails; answers whether there was one. */
static bool fails_at(const rig_model *m, uint64_t n, int error)
{
    rig r;
    rig_options o = {.backend = "cuda", .k_format = LM_F16, .v_format = LM_F16};
    (void)new_machine(true);
    cuda->fail_at = n;
    cuda->fail_with = error;
    rig_prepare(&r, m, &o);
    int32_t rc = whole_life(&r);
    bool met = cuda->calls >= n;
    if (met && rc != (error == MEMORY ? LLM_E_MEMORY : LLM_E_DEVICE))
        fail_msg("call %u failed with %d: %s (%s)", (unsigned)n, error, llm_status_name(rc),
                 llm_last_error());
    if (!met)
        assert_ok(rc);
    else if (error != MEMORY && r.device != NULL)
        want_lost(&r);
    else if (r.device != NULL && r.program == NULL && r.queue != NULL && r.caches[0] != NULL) {
        rc = r.backend->program_create(r.device, &r.desc, &r.program); /* as if nothing had been */
        assert_true(rc == LLM_OK || rc == LLM_E_INVALID);
    }
    rig_close(&r);
    want_nothing_left();
    return met;
}

static void every_call(int error)
{
    rig_model m;
    uint64_t n = 1;
    case_build(&m, "model Q8_0", 51);
    while (fails_at(&m, n, error))
        n++;
    assert_true(n > 100);
    print_message("%u calls failed once\n", (unsigned)(n - 1));
    rig_model_finish(&m);
}

static void test_faults__memory_runs_out(void **state)
{
    (void)state;
    every_call(MEMORY);
}

static void test_faults__device_is_lost(void **state)
{
    (void)state;
    every_call(LAUNCH_FAILED);
}

/* The processor computes on beside a lost device. */
static void test_faults__processor_goes_on(void **state)
{
    rig_model m;
    rig lost, cpu;
    (void)state;
    case_build(&m, "model Q8_0", 51);
    (void)new_machine(true);
    rig_options o = {.backend = "cuda"}, p = {.backend = "cpu"};
    rig_open(&lost, &m, &o);
    rig_open(&cpu, &m, &p);
    assert_ok(rig_run(&lost, first, 2));
    cuda->fail_at = cuda->calls + 1;
    cuda->fail_with = LAUNCH_FAILED;
    assert_status(rig_run(&lost, next, 2), LLM_E_DEVICE);
    assert_non_null(strstr(llm_last_error(), "emulated CUDA device"));
    assert_ok(rig_run(&cpu, first, 2));
    assert_ok(rig_run(&cpu, next, 2));
    rig_close(&lost);
    rig_close(&cpu);
    want_nothing_left();
    rig_model_finish(&m);
}

/* --- the library ---------------------------------------------------------------------------------- */

/* 1030 rows in fast numerics; call number `fail` of the run fails, none when 0. Answers the run's status
 * and how many products the library was asked for. */
static int32_t long_prompt(const char *name, bool there, uint64_t fail, uint64_t *products)
{
    const rig_part part = {0, 1030};
    rig_model m;
    rig r;
    case_build(&m, name, 51);
    (void)new_machine(true);
    cuda->no_library = !there;
    rig_options o = {.backend = "cuda", .fast = true, .max_rows = part.rows};
    rig_open(&r, &m, &o);
    cuda->fail_at = fail == 0 ? 0 : cuda->calls + fail;
    cuda->fail_with = LAUNCH_FAILED;
    int32_t rc = rig_run(&r, &part, 1);
    *products = cuda->products;
    rig_close(&r);
    want_nothing_left();
    rig_model_finish(&m);
    return rc;
}

/* Without the library kernels do it; a product that fails loses the device as a launch does. */
static void want_library(const char *name, uint64_t wanted)
{
    uint64_t products, calls = 0, failed_products = 0;
    int32_t rc;
    assert_ok(long_prompt(name, false, 0, &products));
    assert_int_equal(products, 0);
    assert_ok(long_prompt(name, true, 0, &products));
    assert_int_equal(products, wanted);
    while ((rc = long_prompt(name, true, ++calls, &products)) != LLM_OK) {
        assert_int_equal(rc, LLM_E_DEVICE);
        failed_products += products < wanted;
    }
    assert_true(calls > wanted + 3 && failed_products > wanted + 1);
}

static void test_faults__library(void **state)
{
    (void)state;
    want_library("linear BF16", 1);
    want_library("linear tall Q5_0", 3); /* of 128 weight rows, which become BF16 before each */
}

/* --- devices that are not there ----------------------------------------------------------------- */

static void want_none(int error, int devices, const char *reason)
{
    const lm_backend *b = rig_backend("cuda");
    lm_host host = {.threads = 1};
    lm_device *device = NULL;
    uint32_t count = 7;
    (void)new_machine(true);
    cuda->devices = devices;
    cuda->count_error = error;
    assert_ok(b->probe(&host, &count));
    assert_int_equal(count, 0);
    assert_non_null(strstr(llm_last_error(), reason));
    assert_status(b->open(&host, 0, &device), LLM_E_NOT_FOUND);
    assert_null(device);
    (void)new_machine(true);
}

static void test_faults__no_device(void **state)
{
    (void)state;
    want_none(35, 0, "driver");
    want_none(100, 0, "no device");
    want_none(0, 0, "no device");
    want_none(999, 0, "CUDA does not start");
}

/* --- recordings ----------------------------------------------------------------------------------- */

/* Runs of one size are launched from one recording, which is made with the first. */
static void test_faults__recordings(void **state)
{
    rig_model m;
    rig r;
    (void)state;
    case_build(&m, "model Q8_0", 51);
    (void)new_machine(true);
    rig_options o = {.backend = "cuda"};
    rig_open(&r, &m, &o);
    assert_ok(rig_run(&r, first, 2));
    uint64_t graphs = cuda->graphs;
    assert_int_equal(graphs, 1);
    assert_ok(rig_run(&r, next, 2));
    graphs = cuda->graphs;
    uint64_t launches = cuda->launches;
    for (int i = 0; i < 6; i++)
        assert_ok(rig_run(&r, next, 2));
    assert_true(cuda->graphs <= graphs + 2); /* as many wanted rows as there may be */
    assert_true(cuda->launches - launches <= 2 * launches);
    assert_int_equal(cuda->graph_launches, 8);
    rig_close(&r);
    rig_model_finish(&m);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults__no_device),
        cmocka_unit_test(test_faults__recordings),
        cmocka_unit_test(test_faults__processor_goes_on),
        cmocka_unit_test(test_faults__library),
        cmocka_unit_test(test_faults__memory_runs_out),
        cmocka_unit_test(test_faults__device_is_lost),
    };
    if (argc != 2)
        return 2;
    rig_modules = argv[1];
    return cmocka_run_group_tests(tests, find_fake, NULL);
}
