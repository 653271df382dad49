/* fake - CUDA on the host: streams that do nothing until somebody waits, memory that starts spoiled,
 * and any call that shall fail. Kernels run in the emulation. */
#ifndef TEST_CUDA_HOST_FAKE_H
#define TEST_CUDA_HOST_FAKE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fake_state {
    int devices;           /* 1 */
    int count_error;       /* what counting devices answers; 0 */
    uint64_t memory;       /* bytes of each device */
    uint64_t calls;        /* made so far, the ones that count and give back excepted */
    uint64_t fail_at;      /* this one fails, counted from 1; 0: none */
    int fail_with;         /* the error; sticky unless memory ran out */
    uint64_t live, pinned; /* blocks of memory not given back */
    uint64_t streams, events, graphs, graph_launches, launches;
    bool no_library;   /* cuBLASLt is absent */
    uint64_t products; /* that it was asked for */
} fake_state;

#include <llm/llm_types.h>

/* The module's own, for tests that open it; not for more than one thread at a time. `reset`: a new
 * machine first; what was taken from the old one must have been given back. */
LLM_API fake_state *fake_cuda(bool reset);

#endif
