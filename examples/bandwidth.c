/* bandwidth.c - threads add up words of a buffer: 1 to 8 streams each, prefetching or not, in small
 * and in large pages. */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* madvise */
#include <sys/mman.h>
#endif

#include "bandwidth.h"
#include "crowd.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

#define LEAST   ((size_t)128 << 20)
#define MOST    ((size_t)2 << 30)
#define ALIGN   ((size_t)2 << 20) /* the usual large page */
#define LINE    8u                /* words of 64 bits that are added up together */
#define SECONDS 0.4               /* for each size of pages */

typedef struct reading {
    const uint64_t *words;
    size_t count; /* of each thread */
    unsigned streams, ahead /* lines to prefetch */;
    uint64_t sums[CROWD_MOST];
} reading;

static void prefetch(const uint64_t *at)
{
#if defined(__GNUC__)
    __builtin_prefetch(at);
#else
    (void)at;
#endif
}

/* Streams are equal parts of the thread's words, read side by side. */
static void read_part(void *arg, unsigned thread)
{
    reading *r = arg;
    size_t part = r->count / r->streams / LINE * LINE;
    const uint64_t *words = r->words + thread * r->count;
    uint64_t sums[LINE] = {0};
    for (size_t at = 0; at < part; at += LINE) {
        for (unsigned s = 0; s < r->streams; s++) {
            const uint64_t *line = words + s * part + at;
            if (r->ahead >
                0) /* at the end into what another stream reads; the last end is padded */
                prefetch(line + (size_t)r->ahead * LINE);
            for (unsigned k = 0; k < LINE; k++)
                sums[k] += line[k];
        }
    }
    uint64_t sum = 0;
    for (unsigned k = 0; k < LINE; k++)
        sum += sums[k];
    r->sums[thread] = sum;
}

/* Goes through all ways once, then on until the time is over. */
static double best_of_ways(reading *r, unsigned threads)
{
    static const unsigned streams[] = {1, 2, 4, 8}, ahead[] = {0, 8, 32, 96};
    double best = 0, end = tool_now() + SECONDS;
    for (unsigned way = 0; way < 16 || tool_now() < end; way++) {
        r->streams = streams[way % 4];
        r->ahead = ahead[way / 4 % 4];
        double rate = (double)threads * (double)r->count * sizeof *r->words /
                      crowd_run(threads, read_part, r);
        best = rate > best ? rate : best;
    }
    return best;
}

static void choose_pages(void *at, size_t size, bool large)
{
#if defined(__linux__)
    madvise(at, size, large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#else
    (void)at, (void)size, (void)large;
#endif
}

double bandwidth_measure(unsigned threads, uint64_t bytes)
{
    static reading r;
    threads = threads < 1 ? 1 : threads > CROWD_MOST ? CROWD_MOST : threads;
    size_t size = bytes < LEAST ? LEAST : bytes > MOST ? MOST : (size_t)bytes;
    double best = 0;
    for (int large = 0; large < 2; large++) {
        unsigned char *memory = malloc(size + 2 * ALIGN);
        if (memory == NULL)
            return best;
        unsigned char *at = memory + (ALIGN - (uintptr_t)memory % ALIGN);
        choose_pages(at, size, large != 0);
        memset(at, 1, size);
        r.words = (const uint64_t *)(const void *)at;
        r.count = size / sizeof *r.words / threads / LINE * LINE;
        double rate = best_of_ways(&r, threads);
        best = rate > best ? rate : best;
        free(memory);
    }
    return best;
}
