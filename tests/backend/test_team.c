/* test_team.c - the thread team: every task once and no job left before its end, whatever the number
 * of threads, of tasks, and of others that want the processor. How fast is bench_team's question. */
#include "backends/cpu/team.h"
#include "base/os.h"
#include "support/support.h"

#include <string.h>

#define MAX_TASKS 3000u

typedef struct job {
    _Atomic uint32_t runs[MAX_TASKS];
    _Atomic uint32_t using[64]; /* by worker: two threads must never be one worker at once */
    _Atomic uint32_t clashes;
    uint32_t n_workers, steps;
} job;

static void count_task(void *arg, uint32_t task, uint32_t worker)
{
    job *j = arg;
    if (worker >= j->n_workers || atomic_fetch_add(&j->using[worker], 1) != 0)
        atomic_fetch_add(&j->clashes, 1);
    for (volatile uint32_t i = 0; i < j->steps; i++)
        ;
    atomic_fetch_add(&j->runs[task], 1);
    if (worker < j->n_workers)
        atomic_fetch_sub(&j->using[worker], 1);
}

static void run_and_check(lcpu_team *team, job *j, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        j->runs[i] = 0;
    lcpu_team_run(team, count, count_task, j);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(j->runs[i], 1);
    assert_int_equal(j->clashes, 0);
}

/* Jobs of all sizes one after the other; now and then the workers are left to fall asleep. */
static void run_many(const lm_host *host, uint32_t jobs)
{
    static const uint32_t counts[] = {0, 1, 2, 3, 7, 16, 64, 257, 1000, MAX_TASKS};
    static job j;
    test_memory m;
    test_memory_init(&m);
    lcpu_team *team;
    assert_ok(lcpu_team_create(&m.alloc, host, &team));
    memset(&j, 0, sizeof j);
    j.n_workers = lcpu_team_size(team);
    for (uint32_t i = 0; i < jobs; i++) {
        j.steps = i % 5 * 20;
        run_and_check(team, &j, counts[i % (sizeof counts / sizeof counts[0])]);
        uint64_t pause = lm_os_now_ns() + (i % 37 == 0 ? 300000 : 0);
        while (lm_os_now_ns() < pause)
            lm_os_relax();
    }
    lcpu_team_destroy(team);
    test_memory_check(&m);
}

static void test_team__does_every_task_once(void **state)
{
    static const uint32_t threads[] = {0, 1, 2, 3, 16};
    (void)state;
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++)
        run_many(&(lm_host){.threads = threads[i]}, 300);
}

static void test_team__four_times_more_threads(void **state)
{
    (void)state;
    run_many(&(lm_host){.threads = 4 * lm_os_cpu_count()}, 600);
}

/* --- neighbours ------------------------------------------------------------------------------- */

static _Atomic bool neighbours_stop;

static void be_busy(void *arg)
{
    (void)arg;
    while (!neighbours_stop)
        lm_os_relax();
}

static void test_team__beside_busy_neighbours(void **state)
{
    (void)state;
    test_memory m;
    lm_os_thread neighbours[4];
    test_memory_init(&m);
    neighbours_stop = false;
    for (int i = 0; i < 4; i++)
        assert_ok(lm_os_thread_start(&m.alloc, be_busy, NULL, &neighbours[i]));
    run_many(&(lm_host){.threads = 4}, 200);
    neighbours_stop = true;
    for (int i = 0; i < 4; i++)
        lm_os_thread_join(&m.alloc, &neighbours[i]);
}

/* A worker that loses its processor, as seen from the caller: one task takes long where it should
 * not. The team goes on without it, then with it again, and ends while it stays out. */
static void delay_others(void *arg, uint32_t task, uint32_t worker)
{
    uint64_t end = lm_os_now_ns() + (worker == 0 ? 20000 : 1500000);
    (void)arg;
    (void)task;
    while (lm_os_now_ns() < end)
        lm_os_relax();
}

static void test_team__late_workers_stay_out(void **state)
{
    (void)state;
    static job j;
    test_memory m;
    test_memory_init(&m);
    lcpu_team *team;
    assert_ok(lcpu_team_create(&m.alloc, &(lm_host){.threads = 3}, &team));
    memset(&j, 0, sizeof j);
    j.n_workers = 3;
    for (int round = 0; round < 20; round++) {
        lcpu_team_run(team, 8, delay_others, NULL);
        for (int i = 0; i < 20; i++)
            run_and_check(team, &j, 64);
    }
    lcpu_team_run(team, 8, delay_others, NULL);
    lcpu_team_destroy(team);
    test_memory_check(&m);
}

static void count_others(void *arg, uint32_t task, uint32_t worker)
{
    _Atomic uint32_t *others = arg;
    uint64_t end = lm_os_now_ns() + 50000;
    (void)task;
    if (worker != 0)
        atomic_fetch_add(others, 1);
    while (lm_os_now_ns() < end)
        lm_os_relax();
}

/* Wherever it was when it was sent away: the caller may notice long after it fell asleep. */
static void test_team__late_workers_come_back(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    lcpu_team *team;
    if (lm_os_cpu_count() < 2)
        skip(); /* then no second worker is wanted */
    assert_ok(lcpu_team_create(&m.alloc, &(lm_host){.threads = 2}, &team));
    for (int round = 0; round < 10; round++) {
        _Atomic uint32_t others = 0;
        lcpu_team_run(team, 8, delay_others, NULL);
        uint64_t end = lm_os_now_ns() + 5000000000u;
        while (others == 0 && lm_os_now_ns() < end)
            lcpu_team_run(team, 64, count_others, &others);
        assert_true(others > 0);
    }
    lcpu_team_destroy(team);
    test_memory_check(&m);
}

/* --- a pool of the host ----------------------------------------------------------------------- */

typedef struct helper {
    llm_task_fn task;
    void *arg;
    uint32_t index;
} helper;

static void help(void *arg)
{
    const helper *h = arg;
    h->task(h->arg, h->index);
}

/* A thread for each task. */
static void run_on_threads(void *user, uint32_t count, llm_task_fn task, void *arg)
{
    test_memory *m = user;
    lm_os_thread threads[16];
    helper helpers[16];
    for (uint32_t i = 0; i < count; i++) {
        helpers[i] = (helper){task, arg, i};
        assert_ok(lm_os_thread_start(&m->alloc, help, &helpers[i], &threads[i]));
    }
    for (uint32_t i = 0; i < count; i++)
        lm_os_thread_join(&m->alloc, &threads[i]);
}

/* Only the last index is ever run: whoever comes must do all. */
static void run_only_last(void *user, uint32_t count, llm_task_fn task, void *arg)
{
    (void)user;
    task(arg, count - 1);
}

static void test_team__pool_of_the_host(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    run_many(&(lm_host){.threads = 5, .parallel = run_on_threads, .parallel_user = &m}, 100);
    run_many(&(lm_host){.threads = 5, .parallel = run_only_last}, 100);
    test_memory_check(&m);
}

static void test_team__fails_whole(void **state)
{
    (void)state;
    for (uint64_t at = 1;; at++) {
        test_memory m;
        test_memory_init(&m);
        m.fail_at = at;
        lcpu_team *team = NULL;
        int32_t rc = lcpu_team_create(&m.alloc, &(lm_host){.threads = 4}, &team);
        lcpu_team_destroy(team);
        test_memory_check(&m);
        if (rc == LLM_OK)
            break;
        assert_int_equal(rc, LLM_E_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_team__does_every_task_once),
        cmocka_unit_test(test_team__four_times_more_threads),
        cmocka_unit_test(test_team__beside_busy_neighbours),
        cmocka_unit_test(test_team__late_workers_stay_out),
        cmocka_unit_test(test_team__late_workers_come_back),
        cmocka_unit_test(test_team__pool_of_the_host),
        cmocka_unit_test(test_team__fails_whole),
    };
    return cmocka_run_group_tests_name("team", tests, NULL, NULL);
}
