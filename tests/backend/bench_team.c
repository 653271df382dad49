/* bench_team.c - how fast the thread team gets through jobs that look like decoding (many short tasks
 * that read memory) and like prompts (longer tasks that compute): alone, with four times more
 * threads than processors, and beside a thread that keeps one processor busy. The settings take
 * turns, so that what else happens on the machine meets all of them; medians are printed. */
#if defined(__linux__)
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#endif
#include "backends/cpu/team.h"
#include "base/os.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS    9
#define WINDOW_NS 100000000u
#define WORDS     ((size_t)16 << 20) /* of memory to read: more than the caches hold */
#define BETWEEN   4000               /* steps that the caller takes alone after each job */

typedef struct load {
    const char *name;
    uint32_t tasks, words, steps; /* of a task: memory read, arithmetic done */
} load;

static const load loads[] = {
    {"reading, 18 KB a task", 128, 2304, 0},
    {"computing, 0.1 ms a task", 96, 0, 100000},
};

typedef struct setting {
    const char *name;
    uint32_t times; /* threads per processor; 0: one thread */
    bool neighbour;
} setting;

static const setting settings[] = {
    {"as many threads as processors", 1, false},
    {"one thread", 0, false},
    {"four times more threads", 4, false},
    {"a busy neighbour", 1, true},
};

#define N_SETTINGS (sizeof settings / sizeof settings[0])

typedef struct work {
    const load *l;
    const uint64_t *memory;
    size_t at; /* word where the job begins */
    _Atomic uint64_t sum;
} work;

static uint64_t compute(uint64_t x, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        x = x * 6364136223846793005u + 1442695040888963407u;
    return x;
}

static void do_task(void *arg, uint32_t task, uint32_t worker)
{
    work *w = arg;
    uint64_t sum = compute(worker, w->l->steps);
    const uint64_t *from = w->memory + (w->at + (size_t)task * w->l->words) % WORDS;
    for (uint32_t i = 0; i < w->l->words; i++)
        sum += from[i];
    atomic_fetch_add_explicit(&w->sum, sum, memory_order_relaxed);
}

/* Jobs per second. */
static double rate_of(lcpu_team *team, const load *l, const uint64_t *memory)
{
    work w = {.l = l, .memory = memory};
    uint64_t start = lm_os_now_ns(), end = start;
    uint32_t jobs = 0;
    for (; end - start < WINDOW_NS; jobs++) {
        lcpu_team_run(team, l->tasks, do_task, &w);
        w.at += (size_t)l->tasks * l->words;
        w.sum += compute(jobs, BETWEEN);
        end = lm_os_now_ns();
    }
    return jobs * 1e9 / (double)(end - start);
}

/* --- the neighbour ---------------------------------------------------------------------------- */

static _Atomic bool neighbour_stops;

static void be_busy(void *arg)
{
    volatile uint64_t x = 1;
#if defined(__linux__)
    cpu_set_t set;
    int last = 0;
    sched_getaffinity(0, sizeof set, &set);
    for (int i = 0; i < CPU_SETSIZE; i++)
        last = CPU_ISSET(i, &set) ? i : last;
    CPU_ZERO(&set);
    CPU_SET(last, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
#endif
    (void)arg;
    while (!neighbour_stops)
        x = compute(x, 1000);
}

static double measure(lm_allocator *a, const setting *s, const load *l, const uint64_t *memory)
{
    lm_host host = {.threads = s->times == 0 ? 1 : s->times * lm_os_cpu_count()};
    lcpu_team *team;
    lm_os_thread neighbour;
    assert_ok(lcpu_team_create(a, &host, &team));
    neighbour_stops = false;
    if (s->neighbour)
        assert_ok(lm_os_thread_start(a, be_busy, NULL, &neighbour));
    rate_of(team, l, memory); /* the scheduler finds its places */
    double rate = rate_of(team, l, memory);
    neighbour_stops = true;
    if (s->neighbour)
        lm_os_thread_join(a, &neighbour);
    lcpu_team_destroy(team);
    return rate;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return values[n / 2];
}

int main(void)
{
    test_memory m;
    test_memory_init(&m);
    uint64_t *memory = calloc(WORDS, sizeof *memory);
    for (size_t i = 0; i < WORDS; i++)
        memory[i] = i;
    for (size_t l = 0; l < sizeof loads / sizeof loads[0]; l++) {
        double rates[N_SETTINGS][ROUNDS], shares[N_SETTINGS][ROUNDS];
        for (size_t r = 0; r < ROUNDS; r++)
            for (size_t s = 0; s < N_SETTINGS; s++) {
                rates[s][r] = measure(&m.alloc, &settings[s], &loads[l], memory);
                shares[s][r] = rates[s][r] / rates[0][r];
            }
        printf("%s\n", loads[l].name);
        for (size_t s = 0; s < N_SETTINGS; s++) {
            double rate = median(rates[s], ROUNDS), share = median(shares[s], ROUNDS);
            printf("  %-32s %9.0f jobs/s %5.0f %% (worst %.0f %%)\n", settings[s].name, rate,
                   share * 100, shares[s][0] * 100); /* sorted */
        }
    }
    free(memory);
    return 0;
}
