/* suite_memory.c - the bytes a device takes are the bytes it promised; failures of the allocator
 * leave nothing behind; runs with indices out of range are refused before they touch anything. */
#include "backend/suites.h"

#include <string.h>

static const rig_case *case_named(const char *name)
{
    const rig_case *c;
    for (size_t i = 0; (c = case_at(i)) != NULL; i++)
        if (strcmp(c->name, name) == 0)
            return c;
    fail_msg("there is no case '%s'", name);
    return NULL;
}

static void build(rig_model *m, const char *name)
{
    const rig_case *c = case_named(name);
    rig_model_init(m, 41);
    c->build(m, c->variant);
}

static const char *const names[] = {"model Q8_0", "attn ALL", "linear_expert F32", "conv 4 taps",
                                    "rope AXES"};

/* --- promises --------------------------------------------------------------------------------- */

static void promised_bytes(void **state)
{
    const char *name = *state;
    for (int mapped = 0; mapped < 2; mapped++) {
        rig_model m;
        rig r;
        build(&m, name);
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
    build(&m, name);
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
    build(&m, name);
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

/* --- refusals --------------------------------------------------------------------------------- */

typedef void (*change_fn)(lm_run *run, void *user);

static uint32_t *writable(const uint32_t *list)
{
    return (uint32_t *)(uintptr_t)list;
}

static lm_run_seq *seq_of(lm_run *run)
{
    return (lm_run_seq *)(uintptr_t)run->seqs;
}

static void no_rows(lm_run *run, void *user)
{
    (void)user, run->n_rows = 0;
}
static void many_rows(lm_run *run, void *user)
{
    (void)user, run->n_rows = 81;
}
static void many_wanted(lm_run *run, void *user)
{
    (void)user, run->n_wanted = run->n_rows + 1;
}
static void wanted_outside(lm_run *run, void *user)
{
    (void)user;
    writable(run->wanted)[run->n_wanted - 1] = run->n_rows;
}
static void wanted_falling(lm_run *run, void *user)
{
    (void)user;
    writable(run->wanted)[0] = run->wanted[1];
}
static void many_seqs(lm_run *run, void *user)
{
    (void)user, run->n_seqs = RIG_SEQS + 1;
}
static void slot_ahead(lm_run *run, void *user)
{
    (void)user;
    writable(run->slots)[0] = 70000;
}
static void slot_behind(lm_run *run, void *user)
{
    (void)user;
    writable(run->slots)[0] = seq_of(run)->length - 1;
}
static void sees_far(lm_run *run, void *user)
{
    (void)user;
    writable(run->visible_end)[1] = 500;
}
static void wrong_seq(lm_run *run, void *user)
{
    (void)user;
    writable(run->row_seq)[0] = 1;
}
static void page_outside(lm_run *run, void *user)
{
    (void)user;
    writable(seq_of(run)->groups[0].pages)[0] = 100000;
}
static void few_pages(lm_run *run, void *user)
{
    (void)user, seq_of(run)->groups[0].n_pages = 1;
}
static void late_pages(lm_run *run, void *user)
{
    (void)user, seq_of(run)->groups[0].first_page = 1;
}
static void rows_left_over(lm_run *run, void *user)
{
    (void)user, seq_of(run)->n_rows--;
}
static void context_overrun(lm_run *run, void *user)
{
    (void)user;
    seq_of(run)->length = RIG_CONTEXT;
}
static void wrong_token(lm_run *run, void *user)
{
    (void)user;
    ((int32_t *)(uintptr_t)run->tokens)[0] = 96;
}
static void no_embedding(lm_run *run, void *user)
{
    (void)user;
    ((int32_t *)(uintptr_t)run->tokens)[0] = -1;
}

static const change_fn changes[] = {
    no_rows,    many_rows,      many_wanted,     wanted_outside, wanted_falling, many_seqs,
    slot_ahead, slot_behind,    sees_far,        wrong_seq,      page_outside,   few_pages,
    late_pages, rows_left_over, context_overrun, wrong_token,    no_embedding};

static void refused_runs(void **state)
{
    (void)state;
    static const rig_part start[] = {{0, 40}}, next[] = {{0, 9}};
    rig_model m;
    build(&m, "model F32");
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        rig r;
        rig_options o = {.backend = suite_backend, .page_tokens = 16};
        rig_open(&r, &m, &o);
        assert_ok(rig_run(&r, start, 1));
        int32_t rc = rig_run_changed(&r, next, 1, changes[i], NULL);
        if (rc != LLM_E_INVALID)
            fail_msg("change %u: %s", (unsigned)i, llm_status_name(rc));
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
    build(&m, "model F32");
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

static void refused_programs(void **state)
{
    (void)state;
    rig_model m;
    rig r;
    lm_program *none = NULL;
    build(&m, "model F32");
    rig_options o = {.backend = suite_backend};
    rig_open(&r, &m, &o);
    lm_program_desc wrong = r.desc;
    lm_weight *no_weights[RIG_WEIGHTS] = {NULL};
    wrong.weights = no_weights;
    assert_status(r.backend->program_create(r.device, &wrong, &none), LLM_E_INVALID);
    lm_cache *no_caches[LM_MAX_GROUPS] = {NULL};
    wrong = r.desc;
    wrong.caches = no_caches;
    assert_status(r.backend->program_create(r.device, &wrong, &none), LLM_E_INVALID);
    assert_null(none);
    float value = 0;
    assert_status(r.backend->slot_write(r.device, r.queue, r.program, 100000, &value, 4),
                  LLM_E_INVALID);
    assert_status(
        r.backend->slot_read(r.device, r.queue, r.program, r.slots_out[0], &value, 1u << 30),
        LLM_E_INVALID);
    assert_status(r.backend->queue_wait(r.device, r.queue, 1u << 30, 0), LLM_E_INVALID);
    uint64_t ns;
    assert_ok(r.backend->profile(r.device, r.program, true, 0, &ns));
    assert_status(r.backend->profile(r.device, r.program, true, 100000, &ns), LLM_E_INVALID);
    lm_weight_desc odd = {.name = "odd",
                          .format = lm_format_by_id(LM_Q4_K),
                          .rows = 2,
                          .cols = 100,
                          .experts = 1,
                          .uses = LM_USE_MATMUL,
                          .bytes = 1000};
    lm_weight_plan plan;
    assert_ok(r.backend->weight_query(r.device, &odd, true, &plan));
    assert_int_equal(plan.support, LM_SUPPORT_NO);
    lm_weight *weight = NULL;
    lm_weight_data data = {&value, false};
    assert_status(r.backend->weight_load(r.device, &odd, &data, &weight), LLM_E_UNSUPPORTED);
    assert_null(weight);
    rig_close(&r);
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
    suite_add(s, refused_runs, NULL, "refused runs", "");
    suite_add(s, cancelling, NULL, "cancelling", "");
    suite_add(s, refused_programs, NULL, "refused programs", "");
}
