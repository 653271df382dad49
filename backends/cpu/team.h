/* team - threads that share out numbered tasks. Each worker begins with a range of neighbouring
 * tasks of its own, so that it reads memory in one stream, and when that is done takes half of what
 * another has left, so that a thread which loses its core holds up the one task it is in. The
 * caller works too. With a pool given by the host, that pool's threads do the same. */
#ifndef LM_BACKENDS_CPU_TEAM_H
#define LM_BACKENDS_CPU_TEAM_H

#include "backend/backend.h"

typedef struct lcpu_team lcpu_team;

/* `worker` is below lcpu_team_size and belongs to one thread at a time: it picks the scratch. */
typedef void (*lcpu_task_fn)(void *arg, uint32_t task, uint32_t worker);

int32_t lcpu_team_create(lm_allocator *alloc, const lm_host *host, lcpu_team **out);
void lcpu_team_destroy(lcpu_team *team); /* may be NULL */
uint32_t lcpu_team_size(const lcpu_team *team);

/* Runs task(arg, i, worker) for every i in [0, count); returns when all are done. Below 2^28 tasks.
 */
void lcpu_team_run(lcpu_team *team, uint32_t count, lcpu_task_fn task, void *arg);

/* Who begins with which of `count` tasks: share i with those from its start to that of i + 1. */
uint32_t lcpu_team_start(const lcpu_team *team, uint32_t count, uint32_t index);
uint32_t lcpu_team_share(const lcpu_team *team, uint32_t count, uint32_t task);

#endif
