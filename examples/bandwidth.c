/* bandwidth.c - threads add up words of a buffer much larger than the caches, in 1 to 8 streams
 * each. */
#include "bandwidth.h"

#include "tool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PER_THREAD ((size_t)96 << 20)
#define MOST       64u
#define LINE       8u /* words of 64 bits that are added up together */

typedef struct reader {
    pthread_t thread;
    const uint64_t *words;
    size_t count;
    unsigned streams;
    uint64_t sum;
} reader;

/* Streams are equal parts of the reader's words, read side by side. */
static void *read_all(void *arg)
{
    reader *r = arg;
    size_t part = r->count / r->streams / LINE * LINE;
    uint64_t sums[LINE] = {0};
    for (size_t at = 0; at < part; at += LINE)
        for (unsigned s = 0; s < r->streams; s++)
            for (unsigned k = 0; k < LINE; k++)
                sums[k] += r->words[s * part + at + k];
    for (unsigned k = 0; k < LINE; k++)
        r->sum += sums[k];
    return NULL;
}

static double one_round(reader *readers, unsigned threads, unsigned streams)
{
    double start = tool_now();
    unsigned started = 0;
    for (unsigned i = 0; i < threads; i++) {
        readers[i].streams = streams;
        if (i + 1 == threads ||
            pthread_create(&readers[i].thread, NULL, read_all, &readers[i]) != 0) {
            read_all(&readers[i]);
            break;
        }
        started++;
    }
    for (unsigned i = 0; i < started; i++)
        pthread_join(readers[i].thread, NULL);
    return (double)(started + 1) * PER_THREAD / (tool_now() - start);
}

double bandwidth_measure(unsigned threads)
{
    static reader readers[MOST];
    threads = threads < 1 ? 1 : threads > MOST ? MOST : threads;
    uint64_t *words = malloc(threads * PER_THREAD);
    if (words == NULL)
        return 0;
    memset(words, 1, threads * PER_THREAD);
    for (unsigned i = 0; i < threads; i++)
        readers[i] = (reader){.words = words + i * (PER_THREAD / 8), .count = PER_THREAD / 8};
    double best = 0, end = tool_now() + 0.5;
    for (unsigned streams = 1; streams <= 8 || tool_now() < end;
         streams = streams >= 8 ? 1 : streams * 2) {
        double rate = one_round(readers, threads, streams);
        best = rate > best ? rate : best;
        if (streams == 8 && tool_now() >= end)
            break;
    }
    free(words);
    return best;
}
