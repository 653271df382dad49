/* team.c - the thread team. The word `ticket` holds the number of the job, its count of tasks and
 * the next task; taking a task is one compare-and-swap on it, so a late worker can never take a
 * task of a job that it has not seen, nor read a job that is gone. */
#include "backends/cpu/team.h"

#include "base/os.h"

#include <string.h>

#define MAX_WORKERS  512u
#define TASK_BITS    28
#define TASK_MASK    ((1u << TASK_BITS) - 1)
#define SPINS        4000u /* looks at the ticket before sleeping: some ten microseconds */
#define CALLER_SPINS 1000u

typedef struct worker {
    lcpu_team *team;
    uint32_t index;
    lm_os_thread thread;
} worker;

struct lcpu_team {
    lm_allocator *alloc;
    uint32_t size;
    uint32_t spins;
    llm_parallel_fn parallel;
    void *parallel_user;
    worker *workers; /* [size - 1] */
    lm_os_mutex mutex;
    lm_os_cond cond;
    /* The job; stable while any of its tasks is taken and not done. */
    lcpu_task_fn task;
    void *arg;
    uint8_t job; /* its number, modulo 256 */
    _Atomic uint64_t ticket;
    _Atomic uint32_t done;
    _Atomic uint32_t sleepers;
    _Atomic bool stop;
};

static uint64_t ticket_of(uint8_t job, uint32_t count, uint32_t next)
{
    return (uint64_t)job << (2 * TASK_BITS) | (uint64_t)count << TASK_BITS | next;
}

static uint32_t count_of(uint64_t ticket)
{
    return (uint32_t)(ticket >> TASK_BITS) & TASK_MASK;
}

static uint32_t next_of(uint64_t ticket)
{
    return (uint32_t)ticket & TASK_MASK;
}

/* Takes and does tasks until none is left; false when there was none. */
static bool work(lcpu_team *t, uint32_t worker_index)
{
    bool any = false;
    uint64_t ticket = atomic_load(&t->ticket);
    while (next_of(ticket) < count_of(ticket)) {
        if (!atomic_compare_exchange_weak(&t->ticket, &ticket, ticket + 1))
            continue;
        any = true;
        t->task(t->arg, next_of(ticket), worker_index);
        atomic_fetch_add(&t->done, 1);
        ticket = atomic_load(&t->ticket);
    }
    return any;
}

static bool has_work(lcpu_team *t)
{
    uint64_t ticket = atomic_load(&t->ticket);
    return next_of(ticket) < count_of(ticket) || atomic_load(&t->stop);
}

static void sleep_until_work(lcpu_team *t)
{
    lm_os_mutex_lock(&t->mutex);
    atomic_fetch_add(&t->sleepers, 1);
    while (!has_work(t))
        lm_os_cond_wait(&t->cond, &t->mutex);
    atomic_fetch_sub(&t->sleepers, 1);
    lm_os_mutex_unlock(&t->mutex);
}

static void worker_main(void *arg)
{
    worker *w = arg;
    lcpu_team *t = w->team;
    while (!atomic_load(&t->stop)) {
        work(t, w->index);
        uint32_t spins = 0;
        while (spins < t->spins && !has_work(t))
            spins++;
        if (spins == t->spins)
            sleep_until_work(t);
    }
}

/* --- running ---------------------------------------------------------------------------------- */

static void publish(lcpu_team *t, uint32_t count, lcpu_task_fn task, void *arg)
{
    t->task = task;
    t->arg = arg;
    t->job++;
    atomic_store(&t->done, 0);
    atomic_store(&t->ticket, ticket_of(t->job, count, 0));
}

static void wake(lcpu_team *t, uint32_t count)
{
    uint32_t sleepers = atomic_load(&t->sleepers);
    if (sleepers == 0)
        return;
    lm_os_mutex_lock(&t->mutex);
    if (count > sleepers)
        lm_os_cond_wake_all(&t->cond);
    else
        for (uint32_t i = 1; i < count; i++)
            lm_os_cond_wake_one(&t->cond);
    lm_os_mutex_unlock(&t->mutex);
}

static void pool_task(void *arg, uint32_t index)
{
    work(arg, index);
}

void lcpu_team_run(lcpu_team *team, uint32_t count, lcpu_task_fn task, void *arg)
{
    if (count <= 1 || team->size == 1) {
        for (uint32_t i = 0; i < count; i++)
            task(arg, i, 0);
        return;
    }
    publish(team, count, task, arg);
    if (team->parallel != NULL) {
        team->parallel(team->parallel_user, team->size < count ? team->size : count, pool_task,
                       team);
    } else {
        wake(team, count);
        work(team, 0);
    }
    for (uint32_t spins = 0; atomic_load(&team->done) < count; spins++)
        if (spins > CALLER_SPINS)
            lm_os_thread_yield();
}

/* --- life ------------------------------------------------------------------------------------- */

uint32_t lcpu_team_size(const lcpu_team *team)
{
    return team->size;
}

static int32_t start_workers(lcpu_team *t)
{
    LM_TRY(lm_os_mutex_init(t->alloc, &t->mutex));
    LM_TRY(lm_os_cond_init(t->alloc, &t->cond));
    t->workers = LM_NEW_ARRAY(t->alloc, worker, t->size - 1);
    if (t->workers == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i + 1 < t->size; i++) {
        t->workers[i] = (worker){.team = t, .index = i + 1};
        LM_TRY(lm_os_thread_start(t->alloc, worker_main, &t->workers[i], &t->workers[i].thread));
    }
    return LLM_OK;
}

int32_t lcpu_team_create(lm_allocator *alloc, const lm_host *host, lcpu_team **out)
{
    lcpu_team *t = LM_NEW(alloc, lcpu_team);
    if (t == NULL)
        return LLM_E_MEMORY;
    uint32_t cores = lm_os_cpu_count();
    t->alloc = alloc;
    t->size = host->threads == 0 ? cores : host->threads;
    t->size = t->size > MAX_WORKERS ? MAX_WORKERS : t->size;
    /* More threads than cores: whoever spins keeps another from working. */
    t->spins = t->size > cores ? 0 : SPINS;
    t->parallel = host->parallel;
    t->parallel_user = host->parallel_user;
    int32_t rc = t->size == 1 || t->parallel != NULL ? LLM_OK : start_workers(t);
    if (rc < 0) {
        lcpu_team_destroy(t);
        return rc;
    }
    *out = t;
    return LLM_OK;
}

void lcpu_team_destroy(lcpu_team *team)
{
    if (team == NULL)
        return;
    if (team->workers != NULL) {
        lm_os_mutex_lock(&team->mutex);
        atomic_store(&team->stop, true);
        lm_os_cond_wake_all(&team->cond);
        lm_os_mutex_unlock(&team->mutex);
        for (uint32_t i = 0; i + 1 < team->size; i++)
            lm_os_thread_join(team->alloc, &team->workers[i].thread);
        lm_free_array(team->alloc, team->workers, team->size - 1, sizeof *team->workers);
    }
    lm_os_cond_finish(team->alloc, &team->cond);
    lm_os_mutex_finish(team->alloc, &team->mutex);
    LM_DELETE(team->alloc, team);
}
