/* suite_memory.c - the bytes a device takes are the bytes it promised; failures of the allocator
 * leave nothing behind; a cancelled run is as if it had not been. */
#include "backend/suites.h"

enum { SEED = 41 };

static const char *const names[] = {"model Q8_0", "attn ALL", "linear_expert F32", "conv 4 taps",
                                    "rope AXES"};

/* --- promises --------------------------------------------------------------------------------- */

static void promised_bytes(void **state)
{
    const char *name = *state;
    for (int mapped = 0; mapped < 2; mapped++) {
        rig_model m;
        rig r;
        case_build(&m, name, SEED);
        rig_options o = {.backend = suite_backend,
                         .threads = 3,
                         .mapped = mapped != 0,
                         .k_format = LM_F16,
                         .v_format = LM_F16};
        rig_open(&r, &m, &o);
        uint64_t promised = 0, bytes, fixed;
        for (size_t i = 0; i < m.network.n_weights; i++) {
            lm_weight_plan plan;
            assert_ok(r.backend->weight_query(r.device, &m.network.weights[i], o.mapped, &plan));
            assert_int_not_equal(plan.support, LM_SUPPORT_NO);
            promised += plan.bytes;
        }
        for (uint32_t g = 0; g < m.network.n_groups; g++) {
            assert_ok(r.backend->cache_query(r.device, &r.cache_desc[g], &bytes, &fixed));
            promised += fixed + bytes * r.max_pages[g];
        }
        lm_cache *none[LM_MAX_GROUPS] = {NULL};
        lm_program_desc before = r.desc; /* asked before anything is loaded */
        before.caches = none;
        assert_ok(r.backend->program_query(r.device, &before, &bytes));
        promised += bytes;
        assert_int_equal(r.backend->bytes(r.device), promised);
        rig_feed_mixed(&r);
        assert_int_equal(r.backend->bytes(r.device), promised);
        rig_close(&r);
        rig_model_finish(&m);
    }
}

/* A run takes no memory from the host. */
static void no_allocation_in_runs(void **state)
{
    const char *name = *state;
    rig_model m;
    rig r;
    case_build(&m, name, SEED);
    rig_options o = {.backend = suite_backend, .threads = 3};
    rig_open(&r, &m, &o);
    uint64_t calls = r.memory.calls;
    rig_feed_mixed(&r);
    assert_int_equal(r.memory.calls, calls);
    rig_close(&r);
    rig_model_finish(&m);
}

static void allocation_failures(void **state)
{
    const char *name = *state;
    rig_model m;
    case_build(&m, name, SEED);
    int32_t rc = LLM_E_MEMORY;
    for (uint64_t n = 1; rc < 0; n++) {
        rig r;
        rig_options o = {.backend = suite_backend, .threads = 2};
        rig_prepare(&r, &m, &o);
        r.memory.fail_at = n;
        rc = rig_load(&r);
        assert_true(rc == LLM_OK || rc == LLM_E_MEMORY);
        r.memory.fail_at = 0;
        if (rc < 0 && r.device != NULL && r.program == NULL) {
            /* The device is as it was: what failed works now. */
            rc = r.backend->program_create(r.device, &r.desc, &r.program);
            assert_true(rc == LLM_OK || rc == LLM_E_INVALID || rc == LLM_E_UNSUPPORTED);
            rc = LLM_E_MEMORY;
        }
        assert_true(rc == LLM_OK || n < 500);
        rig_close(&r);
    }
    rig_model_finish(&m);
}

static void cancelled(lm_run *run, void *user)
{
    run->cancel = user;
}

/* A cancelled run says so; the next one is as if it had not been. */
static void cancelling(void **state)
{
    (void)state;
    static const rig_part start[] = {{0, 20}, {1, 4}}, next[] = {{0, 9}, {1, 1}};
    rig_model m;
    rig r, other;
    _Atomic uint32_t flag = 1;
    case_build(&m, "model F32", SEED);
    rig_options o = {.backend = suite_backend};
    rig_open(&r, &m, &o);
    rig_open(&other, &m, &o);
    assert_ok(rig_run(&r, start, 2));
    assert_status(rig_run_changed(&r, next, 2, cancelled, &flag), LLM_E_CANCELLED);
    atomic_store(&flag, 0);
    assert_ok(rig_run_changed(&r, next, 2, cancelled, &flag));
    assert_ok(rig_run(&other, start, 2));
    assert_ok(rig_run(&other, next, 2));
    rig_same(&r, &other, "after a cancelled run");
    rig_close(&r);
    rig_close(&other);
    rig_model_finish(&m);
}

static void devices(void **state)
{
    (void)state;
    const lm_backend *b = rig_backend(suite_backend);
    test_memory memory;
    test_memory_init(&memory);
    lm_host host = {.allocator = test_memory_host(&memory), .threads = 2};
    uint32_t count;
    lm_device *device = NULL;
    lm_device_info info;
    assert_int_equal(b->struct_size, sizeof *b);
    assert_int_equal(b->version, LM_BACKEND_VERSION);
    assert_ok(b->probe(&host, &count));
    assert_true(count >= 1);
    assert_status(b->open(&host, count, &device), LLM_E_NOT_FOUND);
    assert_null(device);
    assert_ok(b->open(&host, count - 1, &device));
    assert_ok(b->info(device, &info));
    assert_true(info.name[0] != '\0');
    assert_int_equal(b->bytes(device), 0);
    b->close(device);
    b->close(NULL);
    test_memory_check(&memory);
}

void suite_memory(suite *s)
{
    suite_add(s, devices, NULL, "devices", "");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        suite_add(s, promised_bytes, names[i], "promised bytes", names[i]);
        suite_add(s, no_allocation_in_runs, names[i], "no allocation in runs", names[i]);
        suite_add(s, allocation_failures, names[i], "allocation failures", names[i]);
    }
    suite_add(s, cancelling, NULL, "cancelling", "");
}
