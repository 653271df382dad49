/* crowd.c - starts threads, takes part, and waits for them. */
#include "crowd.h"

#include "tool.h"

#include <pthread.h>

typedef struct member {
    pthread_t thread;
    crowd_fn fn;
    void *arg;
    unsigned number;
} member;

static void *work(void *arg)
{
    const member *m = arg;
    m->fn(m->arg, m->number);
    return NULL;
}

double crowd_run(unsigned threads, crowd_fn fn, void *arg)
{
    member members[CROWD_MOST];
    unsigned started = 1;
    double start = tool_now();
    for (; started < threads; started++) {
        members[started] = (member){.fn = fn, .arg = arg, .number = started};
        if (pthread_create(&members[started].thread, NULL, work, &members[started]) != 0)
            break;
    }
    fn(arg, 0);
    for (unsigned i = started; i < threads; i++) /* those that could not be started */
        fn(arg, i);
    for (unsigned i = 1; i < started; i++)
        pthread_join(members[i].thread, NULL);
    return tool_now() - start;
}
