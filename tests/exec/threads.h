/* threads.h - what the tests with threads share: starting them together, and stories: seeded
 * scripts of calls on one session whose logits are summed up, to be compared with the same story
 * told alone. */
#ifndef TEST_EXEC_THREADS_H
#define TEST_EXEC_THREADS_H

#include "support/support.h"

#include "api/handles.h"
#include "base/hash.h"

#include <llm/llm.h>

#define MOST_THREADS 12

typedef struct crowd {
    lm_allocator alloc;
    lm_os_thread threads[MOST_THREADS];
    uint32_t n_threads;
    _Atomic uint32_t arrived; /* at the start line */
} crowd;

static inline void crowd_init(crowd *c)
{
    c->n_threads = 0;
    atomic_init(&c->arrived, 0);
    lm_allocator_init(&c->alloc, NULL);
}

static inline void crowd_start(crowd *c, void (*fn)(void *arg), void *arg)
{
    assert_true(c->n_threads < MOST_THREADS);
    assert_ok(lm_os_thread_start(&c->alloc, fn, arg, &c->threads[c->n_threads++]));
}

/* Called by each of `count` threads: none goes on before all are there. */
static inline void crowd_meet(crowd *c, uint32_t count)
{
    atomic_fetch_add(&c->arrived, 1);
    while (atomic_load(&c->arrived) < count)
        lm_os_thread_yield();
}

static inline void crowd_join(crowd *c)
{
    for (uint32_t i = 0; i < c->n_threads; i++)
        lm_os_thread_join(&c->alloc, &c->threads[i]);
    c->n_threads = 0;
    atomic_store(&c->arrived, 0);
}

/* cmocka's assertions only work on the main thread: others leave their first complaint here. */
typedef struct complaint {
    char text[640];
} complaint;

#define complain(c, ...)                                                                           \
    do {                                                                                           \
        if ((c)->text[0] == '\0')                                                                  \
            snprintf((c)->text, sizeof(c)->text, __VA_ARGS__);                                     \
    } while (0)

#define complain_unless(c, condition)                                                              \
    do {                                                                                           \
        if (!(condition))                                                                          \
            complain(c, "%s:%d: not so: %s (%s)", __FILE__, __LINE__, #condition,                  \
                     llm_last_error());                                                            \
    } while (0)

#define complain_unless_ok(c, expr)                                                                \
    do {                                                                                           \
        int32_t status_ = (expr);                                                                  \
        if (status_ < 0)                                                                           \
            complain(c, "%s:%d: %s: %s: %s", __FILE__, __LINE__, #expr, llm_status_name(status_),  \
                     llm_last_error());                                                            \
    } while (0)

static inline void assert_no_complaint(const complaint *c)
{
    if (c->text[0] != '\0')
        fail_msg("%s", c->text);
}

#endif
