/* test_submissions.c - runs that are cut into several submissions, as long ones are before a driver's
 * watchdog ends them: the same bits, in more parts; the host may stop a run between them. */
#include "backend/cases.h"
#include "backends/vulkan/program.h"

/* As rig_open, with so many operations in one submission. */
static void open_cut(rig *r, const rig_model *m, uint64_t flops)
{
    rig_options o = {.backend = "vulkan"};
    rig_open(r, m, &o);
    r->backend->program_destroy(r->device, r->program);
    r->program = NULL;
    ((lvk_device *)r->device)->submit_flops = flops;
    assert_ok(r->backend->program_create(r->device, &r->desc, &r->program));
}

static uint32_t most_parts(const rig *r)
{
    const lvk_program *p = lvk_program_of(r->program);
    uint32_t most = 0;
    for (size_t i = 0; i < (size_t)p->row_buckets * p->wanted_buckets; i++)
        most = p->recorded[i].n_parts > most ? p->recorded[i].n_parts : most;
    return most;
}

static void test_submissions__same_bits(void **state)
{
    static const uint64_t flops[] = {1, 2000000};
    rig_model m;
    rig whole, cut;
    uint32_t before = UINT32_MAX;
    (void)state;
    case_build(&m, "model F32", 61);
    rig_options o = {.backend = "vulkan"};
    rig_open(&whole, &m, &o);
    rig_feed_mixed(&whole);
    assert_int_equal(most_parts(&whole), 1);
    for (size_t i = 0; i < sizeof flops / sizeof flops[0]; i++) {
        open_cut(&cut, &m, flops[i]);
        rig_feed_mixed(&cut);
        rig_same(&cut, &whole, "cut into submissions");
        assert_true(most_parts(&cut) > 1 && most_parts(&cut) < before);
        before = most_parts(&cut);
        rig_close(&cut);
    }
    rig_close(&whole);
    rig_model_finish(&m);
}

/* Every submission is a value of the queue. */
static void test_submissions__tickets(void **state)
{
    static const rig_part part[] = {{0, 9}};
    rig_model m;
    rig r;
    uint64_t ticket;
    (void)state;
    case_build(&m, "model F32", 62);
    open_cut(&r, &m, 1);
    assert_ok(rig_run(&r, part, 1));
    assert_ok(r.backend->queue_signal(r.device, r.queue, &ticket));
    assert_int_equal(ticket, most_parts(&r));
    assert_ok(r.backend->queue_wait(r.device, r.queue, ticket, 0));
    rig_close(&r);
    rig_model_finish(&m);
}

/* Times of steps: as many as there are, more than nothing, and the same results. */
static void test_submissions__profile(void **state)
{
    static const rig_part part[] = {{0, 33}};
    rig_model m;
    rig timed, plain;
    uint64_t ns, total = 0;
    (void)state;
    case_build(&m, "model F32", 63);
    rig_options o = {.backend = "vulkan"};
    rig_open(&timed, &m, &o);
    rig_open(&plain, &m, &o);
    assert_ok(timed.backend->profile(timed.device, timed.program, true, 0, &ns));
    assert_int_equal(ns, 0);
    assert_ok(rig_run(&timed, part, 1));
    assert_ok(rig_run(&plain, part, 1));
    rig_same(&timed, &plain, "with steps timed");
    for (size_t i = 0; i < timed.desc.n_steps; i++) {
        assert_ok(timed.backend->profile(timed.device, timed.program, true, i, &ns));
        total += ns;
    }
    assert_true(total > 0);
    assert_ok(timed.backend->profile(timed.device, timed.program, false, 0, NULL));
    assert_ok(rig_run(&timed, part, 1));
    rig_close(&timed);
    rig_close(&plain);
    rig_model_finish(&m);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_submissions__same_bits),
        cmocka_unit_test(test_submissions__tickets),
        cmocka_unit_test(test_submissions__profile),
    };
    if (argc != 2)
        return 2;
    rig_modules = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
