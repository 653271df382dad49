/* program - a compiled list of steps: dispatches with their arguments in device memory, recorded once per
 * bucket of rows and then submitted for every run. What the core holds as lm_program is this. */
#ifndef LM_BACKENDS_VULKAN_PROGRAM_H
#define LM_BACKENDS_VULKAN_PROGRAM_H

#include "backends/common/host_run.h"
#include "backends/vulkan/record.h"
#include "backends/vulkan/run_block.h"
#include "backends/vulkan/store.h"

/* A dispatch ready to be recorded. */
typedef struct lvk_op {
    VkPipeline pipeline;
    uint64_t args; /* address */
    lvk_extent extents[3];
    uint32_t bucket_rows, bucket_from, bucket_to;
    uint64_t flops_per_row;
    lvk_range ranges[LVK_RANGES];
    uint32_t n_ranges;
    uint32_t step;
} lvk_op;

/* Counts of rows that command buffers are recorded for, by LM_ROWS_.... */
typedef struct lvk_bucket {
    uint32_t count[3];
} lvk_bucket;

/* One bucket's command buffers: submitted one after the other. */
typedef struct lvk_recorded {
    VkCommandBuffer *parts; /* [program's max_parts] */
    uint32_t n_parts;       /* 0: not recorded yet */
} lvk_recorded;

/* Where the parts of the run block lie in it. */
typedef struct lvk_run_layout {
    uint64_t tokens, embeddings, positions, slots, row_seq, visible_end, wanted, seqs, ancestors,
        pages, bytes;
    uint32_t pages_per_table;
} lvk_run_layout;

typedef struct lvk_program {
    lvk_device *device;
    lm_arena books; /* all arrays below */
    lhost_bounds bounds;
    size_t n_steps;
    lm_slot_info *slots;
    lm_slot_place *places;
    size_t n_slots;
    lvk_cache *caches[LM_MAX_GROUPS];

    lvk_region workspace, args, run;
    lvk_run_layout run_layout;
    lvk_op *ops;
    size_t n_ops;
    lvk_hazards hazards; /* while recording */

    /* Copies of the small outputs where the host reads them, when it does not see the workspace. */
    lvk_region shadow;
    uint32_t *outputs;
    uint32_t n_outputs;
    uint64_t *shadow_at; /* [n_outputs] UINT64_MAX: none */

    VkCommandPool pool;
    uint32_t row_buckets, wanted_buckets, max_parts;
    lvk_recorded *recorded; /* [row_buckets, wanted_buckets] */

    bool profiling;
    VkQueryPool queries; /* one before and one behind each step */
    VkCommandBuffer timed;
    bool was_timed; /* the queries hold times */

    VkSemaphore last_semaphore; /* of the last submission */
    uint64_t last_value;
} lvk_program;

/* Wide rows, like logits, are rarely wanted whole: they are brought home when somebody asks. */
#define LVK_SHADOW_WIDTH 4096u

static inline uint64_t lvk_shadow_bytes(const lm_slot_info *slot, const lm_slot_place *place)
{
    return place->offset == UINT64_MAX || slot->width > LVK_SHADOW_WIDTH ? 0 : place->bytes;
}

static inline lvk_program *lvk_program_of(lm_program *program)
{
    return (lvk_program *)(void *)program;
}

/* --- planning (plan.c) ------------------------------------------------------------------------ */

/* Bytes of a program and how many dispatches it has, worked out by planning every step. */
typedef struct lvk_sizes {
    uint64_t scratch_at; /* in the workspace, behind the slots */
    uint64_t workspace, args, run, shadow;
    size_t n_ops;
    uint64_t flops_per_row; /* of all dispatches */
    lvk_run_layout run_layout;
} lvk_sizes;

/* `places` receives where slots lie. */
int32_t lvk_measure(lvk_device *d, const lm_program_desc *desc, lm_slot_place *places,
                    lvk_sizes *out);
/* Fills p->ops and the arguments, with the regions already taken. */
int32_t lvk_plan_program(lvk_program *p, const lm_program_desc *desc, const lvk_sizes *sizes);

/* --- recording (commands.c) ------------------------------------------------------------------- */

uint32_t lvk_bucket_kinds(uint32_t limit); /* how many buckets there are up to it */
lvk_bucket lvk_bucket_for(const lvk_program *p, const lm_run *run);
/* The bucket's command buffers, recorded when it is met first. */
int32_t lvk_record(lvk_program *p, const lvk_bucket *bucket, const lvk_recorded **out);
/* One command buffer with every step timed by itself. */
int32_t lvk_record_timed(lvk_program *p, const lvk_bucket *bucket);
uint32_t lvk_max_parts(const lvk_device *d, const lm_row_limits *limits, const lvk_sizes *sizes);

/* --- runs (run.c) ----------------------------------------------------------------------------- */

lvk_run_layout lvk_layout_run(const lm_program_desc *desc);
void lvk_write_run(lvk_program *p, const lm_run *run);

int32_t lvk_step_query(lm_device *device, const lm_network *network, const lm_step *step,
                       lm_step_support *out);
int32_t lvk_program_query(lm_device *device, const lm_program_desc *desc, uint64_t *bytes);
int32_t lvk_program_create(lm_device *device, const lm_program_desc *desc, lm_program **out);
void lvk_program_destroy(lm_device *device, lm_program *program);
int32_t lvk_program_run(lm_device *device, lm_queue *queue, lm_program *program, const lm_run *run);
int32_t lvk_slot_write(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                       const void *from, size_t size);
int32_t lvk_slot_read(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                      void *into, size_t size);
void *lvk_slot_host(lm_device *device, lm_program *program, uint32_t slot);
int32_t lvk_profile(lm_device *device, lm_program *program, bool on, size_t index, uint64_t *ns);

#endif
