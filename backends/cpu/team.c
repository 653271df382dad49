/* team.c - the thread team. A share is one worker's range of the tasks in one atomic word: its owner
 * takes from the front, who has nothing left the second half. Whoever takes a task holds the job up until he counts
 * it as done, so a late worker can neither take a task of a job that is gone nor read one. No more
 * threads are awake than there are processors; the rest of a wider team sleeps. A worker whose
 * processor another process takes away holds up everybody, so it stays out for a while. */
#include "backends/cpu/team.h"

#include "base/os.h"

#include <string.h>

#define MAX_WORKERS  512u
#define WORKER_SPINS 3000u /* looks for work before sleeping: some 150 microseconds */
#define CALLER_SPINS 1000u
#define LATE_NS      300000u /* what the caller may have to wait, beside four tasks' time */
#define NAP_MIN      2u      /* times the lost time; doubled for who is late again */
#define NAP_MAX      32u
#define NAP_MAX_NS   100000000u

typedef struct worker {
    lcpu_team *team;
    uint32_t index;
    lm_os_thread thread;
    _Atomic uint64_t nap_ns; /* to stay out, once; 0: none */
} worker;

typedef struct share {
    _Alignas(LM_ALIGN) _Atomic uint64_t left; /* see range_of */
} share;

struct lcpu_team {
    lm_allocator *alloc;
    uint32_t size, n_shares;
    llm_parallel_fn parallel;
    void *parallel_user;
    worker *workers; /* [size - 1] */
    share *shares;   /* [n_shares] */
    lm_os_sem bell;  /* one post wakes one worker */
    lm_os_sem finished;
    lm_os_sem naps; /* posted at the end only: who waits for it naps */
    uint64_t nap_factor, nap_end;
    /* The job; stable while any of its tasks is taken and not counted. */
    lcpu_task_fn task;
    void *arg;
    uint32_t count;
    _Alignas(LM_ALIGN) _Atomic uint32_t job; /* how many there have been; workers look at it */
    _Alignas(LM_ALIGN) _Atomic uint32_t done;
    _Atomic uint32_t last;                     /* the worker that was done last */
    _Atomic bool waiting;                      /* the caller sleeps until all are done */
    _Alignas(LM_ALIGN) _Atomic uint32_t awake; /* workers, those being woken included */
    _Atomic uint32_t napping;
    _Atomic bool stop;
};

/* Tasks [next, end). */
static uint64_t range_of(uint32_t next, uint32_t end)
{
    return (uint64_t)end << 32 | next;
}

static bool is_empty(uint64_t range)
{
    return (uint32_t)range >= range >> 32;
}

/* --- working ---------------------------------------------------------------------------------- */

/* The next task of a share. */
static bool take(share *s, uint32_t *task)
{
    uint64_t range = atomic_load_explicit(&s->left, memory_order_acquire);
    while (!is_empty(range)) {
        uint32_t next = (uint32_t)range, end = (uint32_t)(range >> 32);
        if (atomic_compare_exchange_weak(&s->left, &range, range_of(next + 1, end))) {
            *task = next;
            return true;
        }
    }
    return false;
}

/* The second half of a share, for one who has nothing left. */
static bool steal(share *s, uint32_t *first, uint32_t *end)
{
    uint64_t range = atomic_load_explicit(&s->left, memory_order_acquire);
    while (!is_empty(range)) {
        uint32_t next = (uint32_t)range;
        *end = (uint32_t)(range >> 32);
        *first = next + (*end - next) / 2;
        if (atomic_compare_exchange_weak(&s->left, &range, range_of(next, *first)))
            return true;
    }
    return false;
}

/* Puts tasks into an empty share, where others find them; false when another worker has done that. */
static bool put(share *s, uint32_t first, uint32_t end)
{
    uint64_t range = atomic_load_explicit(&s->left, memory_order_acquire);
    return is_empty(range) &&
           atomic_compare_exchange_strong(&s->left, &range, range_of(first, end));
}

static void count_done(lcpu_team *t, uint32_t n, uint32_t worker_index)
{
    uint32_t count = t->count; /* of this job only until the tasks are counted */
    if (worker_index != 0)
        atomic_store(&t->last, worker_index);
    if (atomic_fetch_add(&t->done, n) + n == count && atomic_exchange(&t->waiting, false))
        lm_os_sem_post(&t->finished);
}

static uint32_t work_on(lcpu_team *t, share *own, uint32_t worker_index)
{
    uint32_t n = 0, task;
    for (; take(own, &task); n++)
        t->task(t->arg, task, worker_index);
    return n;
}

/* Takes and does tasks until none is left; answers how many. */
static uint32_t work(lcpu_team *t, uint32_t worker_index)
{
    uint32_t mine = worker_index % t->n_shares, first, end;
    share *own = &t->shares[mine];
    uint32_t n = work_on(t, own, worker_index);
    for (uint32_t i = 1; i < t->n_shares; i++) {
        while (steal(&t->shares[(mine + i) % t->n_shares], &first, &end)) {
            if (end - first > 1 && put(own, first + 1, end))
                end = first + 1;
            for (; first < end; first++, n++)
                t->task(t->arg, first, worker_index);
            n += work_on(t, own, worker_index);
        }
    }
    if (n > 0)
        count_done(t, n, worker_index);
    return n;
}

static bool is_called(lcpu_team *t, uint32_t seen)
{
    return atomic_load(&t->job) != seen || atomic_load(&t->stop);
}

/* Who leaves says so first and looks once more, as the caller first offers work and then looks who
 * is awake: one of the two sees the other. */
static void sleep_until_called(lcpu_team *t, uint32_t seen)
{
    atomic_fetch_sub(&t->awake, 1);
    if (is_called(t, seen))
        atomic_fetch_add(&t->awake, 1);
    else
        lm_os_sem_wait(&t->bell);
}

static void nap(lcpu_team *t, uint64_t ns)
{
    atomic_fetch_add(&t->napping, 1);
    atomic_fetch_sub(&t->awake, 1);
    lm_os_sem_wait_for(&t->naps, ns);
    atomic_fetch_add(&t->awake, 1);
    atomic_fetch_sub(&t->napping, 1);
}

static void worker_main(void *arg)
{
    worker *w = arg;
    lcpu_team *t = w->team;
    uint32_t seen = 0;
    (void)lm_os_spread_on(); /* for as long as the thread lives */
    while (!atomic_load(&t->stop)) {
        uint32_t spins = 0;
        for (; spins < WORKER_SPINS && !is_called(t, seen); spins++)
            lm_os_relax();
        if (spins == WORKER_SPINS)
            sleep_until_called(t, seen);
        uint64_t nap_ns = atomic_exchange(&w->nap_ns, 0);
        if (nap_ns != 0)
            nap(t, nap_ns);
        seen = atomic_load(&t->job);
        work(t, w->index);
    }
}

/* --- running ---------------------------------------------------------------------------------- */

static uint32_t start_of(uint32_t count, uint32_t index, uint32_t shares)
{
    return (uint32_t)((uint64_t)count * index / shares);
}

static void publish(lcpu_team *t, uint32_t count, lcpu_task_fn task, void *arg)
{
    t->task = task;
    t->arg = arg;
    t->count = count;
    atomic_store(&t->done, 0);
    uint32_t napping = atomic_load(&t->napping);
    uint32_t present = napping < t->n_shares ? t->n_shares - napping : 1;
    for (uint32_t i = 0; i < present; i++) {
        uint32_t next = start_of(count, i, present), end = start_of(count, i + 1, present);
        atomic_store(&t->shares[i].left, range_of(next, end));
    }
    atomic_fetch_add(&t->job, 1);
}

static void call_workers(lcpu_team *t, uint32_t count)
{
    uint32_t wanted = count < t->n_shares ? count : t->n_shares;
    while (atomic_load(&t->awake) + atomic_load(&t->napping) + 1 < wanted) {
        atomic_fetch_add(&t->awake, 1);
        lm_os_sem_post(&t->bell);
    }
}

/* Sleeping gives this core to a worker that has lost its own. */
static void wait_until_done(lcpu_team *t, uint32_t count)
{
    for (uint32_t spins = 0; atomic_load(&t->done) < count; spins++) {
        lm_os_relax();
        if (spins < CALLER_SPINS)
            continue;
        atomic_store(&t->waiting, true);
        if (atomic_load(&t->done) < count || !atomic_exchange(&t->waiting, false))
            lm_os_sem_wait(&t->finished);
    }
}

/* Sends a worker away, for the caller lost time: it waited for that worker, or had to share its own
 * processor, and then moves to the one that becomes free. */
static void send_away(lcpu_team *t, uint64_t now, uint64_t lost)
{
    bool again = now < t->nap_end + NAP_MAX_NS;
    t->nap_factor = !again ? NAP_MIN : t->nap_factor < NAP_MAX ? t->nap_factor * 2 : NAP_MAX;
    uint64_t ns = lost * t->nap_factor;
    ns = ns < NAP_MAX_NS ? ns : NAP_MAX_NS;
    t->nap_end = now + ns;
    atomic_store(&t->workers[atomic_load(&t->last) - 1].nap_ns, ns);
}

/* The caller's part of a job among own threads. */
static void work_and_wait(lcpu_team *t, uint32_t count)
{
    uint64_t start = lm_os_now_ns(), start_used = lm_os_thread_ns();
    call_workers(t, count);
    uint32_t own = work(t, 0);
    uint64_t middle = lm_os_now_ns(), worked = middle - start;
    uint64_t used = worked > LATE_NS ? lm_os_thread_ns() - start_used : worked;
    wait_until_done(t, count);
    uint64_t end = lm_os_now_ns();
    if (atomic_load(&t->last) == 0)
        return;
    if (end - middle > LATE_NS + worked / (own == 0 ? 1 : own) * 4)
        send_away(t, end, end - middle);
    else if (used + LATE_NS < worked)
        send_away(t, end, worked - used);
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
        wait_until_done(team, count);
    } else {
        work_and_wait(team, count);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

uint32_t lcpu_team_size(const lcpu_team *team)
{
    return team->size;
}

uint32_t lcpu_team_start(const lcpu_team *team, uint32_t count, uint32_t index)
{
    return start_of(count, index, team->n_shares);
}

uint32_t lcpu_team_share(const lcpu_team *team, uint32_t count, uint32_t task)
{
    return (uint32_t)((((uint64_t)task + 1) * team->n_shares - 1) / count);
}

static int32_t start_workers(lcpu_team *t)
{
    t->workers = LM_NEW_ARRAY(t->alloc, worker, t->size - 1);
    if (t->workers == NULL)
        return LLM_E_MEMORY;
    atomic_store(&t->awake, t->size - 1); /* each finds nothing to do and goes to sleep */
    for (uint32_t i = 0; i + 1 < t->size; i++) {
        t->workers[i] = (worker){.team = t, .index = i + 1};
        LM_TRY(lm_os_thread_start(t->alloc, worker_main, &t->workers[i], &t->workers[i].thread));
    }
    return LLM_OK;
}

static int32_t init(lcpu_team *t, const lm_host *host)
{
    uint32_t cores = lm_os_cpu_count();
    t->size = host->threads == 0 ? cores : host->threads;
    t->size = t->size > MAX_WORKERS ? MAX_WORKERS : t->size;
    t->parallel = host->parallel;
    t->parallel_user = host->parallel_user;
    t->n_shares = t->parallel == NULL && t->size > cores ? cores : t->size;
    t->shares = LM_NEW_ARRAY(t->alloc, share, t->n_shares);
    if (t->shares == NULL)
        return LLM_E_MEMORY;
    LM_TRY(lm_os_sem_init(t->alloc, &t->bell));
    LM_TRY(lm_os_sem_init(t->alloc, &t->finished));
    LM_TRY(lm_os_sem_init(t->alloc, &t->naps));
    return t->size == 1 || t->parallel != NULL ? LLM_OK : start_workers(t);
}

int32_t lcpu_team_create(lm_allocator *alloc, const lm_host *host, lcpu_team **out)
{
    lcpu_team *t = LM_NEW(alloc, lcpu_team);
    if (t == NULL)
        return LLM_E_MEMORY;
    t->alloc = alloc;
    int32_t rc = init(t, host);
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
        atomic_store(&team->stop, true);
        for (uint32_t i = 0; i + 1 < team->size; i++) {
            lm_os_sem_post(&team->bell);
            lm_os_sem_post(&team->naps);
        }
        for (uint32_t i = 0; i + 1 < team->size; i++)
            lm_os_thread_join(team->alloc, &team->workers[i].thread);
        lm_free_array(team->alloc, team->workers, team->size - 1, sizeof *team->workers);
    }
    lm_os_sem_finish(team->alloc, &team->naps);
    lm_os_sem_finish(team->alloc, &team->finished);
    lm_os_sem_finish(team->alloc, &team->bell);
    lm_free_array(team->alloc, team->shares, team->n_shares, sizeof *team->shares);
    LM_DELETE(team->alloc, team);
}
