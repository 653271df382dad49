/* program - a program as it was made: launches in order, one workspace, the run's block. */
#ifndef LM_BACKENDS_CUDA_PROGRAM_H
#define LM_BACKENDS_CUDA_PROGRAM_H

#include "backends/common/host_run.h"
#include "backends/cuda/plan.h"

#define LCU_GRAPHS 32u

/* A recording for runs of one bucket. */
typedef struct lcu_recording {
    uint32_t counts[LCU_COUNTS];
    lcu_graph graph; /* NULL: free */
} lcu_recording;

struct lm_program {
    lm_arena books; /* all arrays below */
    lhost_bounds bounds;
    size_t n_steps, n_slots;
    lm_slot_info *slots;
    lm_slot_place *places;
    lm_cache *caches[LM_MAX_GROUPS];
    lcu_launch *launches;
    uint8_t *args;
    uint32_t n_launches;
    /* on the device: the run's block, slots, scratch, what is kept */
    uint8_t *workspace;
    uint64_t workspace_bytes, slots_at;
    uint32_t embedding_width; /* 0: no step takes the host's embeddings */
    uint64_t run_bytes;
    uint8_t *run_host;  /* pinned, as the block */
    lcu_event run_read; /* the block has left the host */
    bool run_written;
    /* results that the host reads in place */
    uint32_t *results;     /* slots */
    uint8_t **result_host; /* [n_results] pinned */
    uint32_t n_results;
    lcu_recording recordings[LCU_GRAPHS];
    uint32_t next_recording;
    /* profile */
    bool profiling, profiled;
    lcu_event *marks; /* [n_steps + 1] */
};

#endif
