/* os_numa.c - memory that lies in several nodes, on Linux. The system places a page near the processor that
 * touches it first, so what one thread loads or writes would all be near that one. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "base/os.h"

#include <sys/syscall.h>
#include <unistd.h>

/* The system's names of these stand in numaif.h, which comes with a library that is not needed. */
enum { POLICY_DEFAULT = 0, POLICY_INTERLEAVE = 3, NODES_ALLOWED = 1 << 2 };
enum { WORD_BITS = 8 * sizeof(unsigned long), MAX_NODES = 1024 };

typedef struct node_set {
    unsigned long words[MAX_NODES / WORD_BITS];
} node_set;

static uint32_t count_of(const node_set *set)
{
    uint32_t count = 0;
    for (size_t i = 0; i < MAX_NODES; i++)
        count += set->words[i / WORD_BITS] >> (i % WORD_BITS) & 1u;
    return count;
}

bool lm_os_spread_on(void)
{
    node_set nodes = {{0}};
    int policy = POLICY_DEFAULT;
    if (syscall(SYS_get_mempolicy, NULL, &nodes, (long)MAX_NODES, NULL, (long)NODES_ALLOWED) != 0 ||
        count_of(&nodes) < 2)
        return false;
    /* one that is set already is the wish of whoever started the process */
    if (syscall(SYS_get_mempolicy, &policy, NULL, 0L, NULL, 0L) != 0 || policy != POLICY_DEFAULT)
        return false;
    return syscall(SYS_set_mempolicy, (long)POLICY_INTERLEAVE, &nodes, (long)MAX_NODES + 1) == 0;
}

void lm_os_spread_off(bool on)
{
    if (on)
        syscall(SYS_set_mempolicy, (long)POLICY_DEFAULT, NULL, 0L);
}
