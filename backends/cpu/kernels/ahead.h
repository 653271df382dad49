/* ahead - fetching what is read next into the second cache, while something else is computed. The
 * processor follows a stream within its page of memory only, so one stream cannot fill its buffers:
 * a line of each of several parts is asked for in turn. Few at a time, for a burst would hold up the
 * loads of what is needed now. */
#ifndef LM_BACKENDS_CPU_KERNELS_AHEAD_H
#define LM_BACKENDS_CPU_KERNELS_AHEAD_H

#include "backends/cpu/kernels/kernels.h"

#define AHEAD_STREAMS 8u
#define AHEAD_LEAST   4096u /* bytes of a part: two in one page would be one stream */
#define AHEAD_LINE    64u

typedef struct lcpu_ahead {
    const uint8_t *at;
    size_t part; /* bytes from stream to stream */
    size_t turn; /* bytes of a line of each; SIZE_MAX: nothing is wanted */
    size_t due;  /* bytes that were asked for and are not fetched */
    uint32_t streams;
} lcpu_ahead;

/* `next`: NULL for nothing. */
static inline lcpu_ahead lcpu_ahead_of(const uint8_t *next, size_t bytes)
{
    if (next == NULL)
        return (lcpu_ahead){.turn = SIZE_MAX};
    size_t streams = bytes / AHEAD_LEAST;
    streams = streams < 1 ? 1 : streams > AHEAD_STREAMS ? AHEAD_STREAMS : streams;
    return (lcpu_ahead){next, bytes / streams, streams * AHEAD_LINE, 0, (uint32_t)streams};
}

/* To be called as often as bytes are used up, with their number. */
static inline void lcpu_ahead_fetch(lcpu_ahead *a, size_t bytes)
{
    for (a->due += bytes; a->due >= a->turn; a->due -= a->turn, a->at += AHEAD_LINE)
        for (uint32_t i = 0; i < a->streams; i++)
            LCPU_PREFETCH(a->at + i * a->part);
}

#endif
