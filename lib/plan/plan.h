/* plan - from a model and a list of devices to programs that can run: which layer lives where, what each
 * device must hold, the weights once loaded, and the compiled segments. */
#ifndef LM_PLAN_PLAN_H
#define LM_PLAN_PLAN_H

#include "backend/registry.h"
#include "base/os.h"
#include "model/model.h"

/* So many of the largest logits are enough for most samplers, and far less to bring home than all. */
#define LM_BEST 128u

/* --- placement: decided before a byte is loaded ----------------------------------------------- */

/* A straight piece of the graph for one device, lowered as that device asked. */
typedef struct lm_segment {
    uint32_t device;
    size_t first_step, n_steps; /* in placement->graph */
    uint32_t *inputs, *outputs; /* slots that cross into and out of the segment */
    uint32_t n_inputs, n_outputs;
} lm_segment;

typedef struct lm_placed_device {
    lm_device *device;
    lm_device_name name;
    uint64_t weight_bytes; /* requested from the device */
    uint64_t mapped_bytes; /* used in place from the file */
    lm_weight **weights;   /* [n_weights] NULL until loaded, and for weights of other devices */
    bool *needs;           /* [n_weights] */
} lm_placed_device;

typedef struct lm_placement {
    lm_allocator *alloc;
    lm_arena arena;
    lm_model *model; /* borrowed */
    lm_placed_device devices[LM_MAX_DEVICES];
    uint32_t n_devices;
    uint32_t *layer_device; /* [n_layers] */
    lm_graph graph;         /* the decode graph, lowered */
    lm_segment *segments;
    uint32_t n_segments;
    /* The best of each row of the result, for devices that the host cannot look into; LM_NONE. */
    uint32_t best_ids, best_values;
    bool exact;      /* every step has exact numerics where it is placed */
    uint64_t budget; /* hard, over all devices; 0: none */
    _Atomic bool loaded;
    lm_os_mutex turn; /* who may call into the devices */
    uint64_t taken;   /* by engines, of what the weights leave; guarded by `turn` */
} lm_placement;

/* Opens the devices and decides. Layers go to the devices in the order named, each up to its own budget
 * or free memory; the last device takes the rest, and is an error when it cannot. */
int32_t lm_placement_create(lm_allocator *alloc, lm_registry *registry, lm_model *model,
                            const lm_device_name *names, uint32_t n_names, uint64_t budget,
                            lm_placement **out);
void lm_placement_destroy(lm_placement *p);

/* Loads every weight. Checks the budget first. The progress callback may cancel. On failure nothing stays
 * loaded. */
int32_t lm_placement_load(lm_placement *p, llm_progress_fn progress, void *user);

/* Bytes of weights over all devices. */
uint64_t lm_placement_weight_bytes(const lm_placement *p);

/* --- what the engines of a placement share (shared.c) ----------------------------------------- */

/* The devices serve one thread at a time. This lock is taken behind an engine's, never before it. */
void lm_placement_enter(const lm_placement *p);
void lm_placement_leave(const lm_placement *p);

/* The budget. False: the bytes do not fit any more. */
bool lm_placement_take(lm_placement *p, uint64_t bytes);
void lm_placement_give(lm_placement *p, uint64_t bytes);
uint64_t lm_placement_left(const lm_placement *p); /* UINT64_MAX: there is no budget */

/* --- programs and caches for one engine ------------------------------------------------------- */

typedef struct lm_engine_shape {
    lm_row_limits limits;
    uint32_t context; /* most tokens of one sequence */
    uint32_t page_tokens;
    uint32_t max_pages[LM_MAX_GROUPS]; /* state groups: slots */
    const lm_format *k_format, *v_format;
    uint32_t numerics;
    bool fused;
} lm_engine_shape;

/* What an engine of that shape takes, exactly, per device. */
typedef struct lm_device_memory {
    uint64_t weights, mapped, workspace, cache_fixed;
    uint64_t page_bytes[LM_MAX_GROUPS]; /* one more page (or state slot) of each group */
} lm_device_memory;

int32_t lm_plan_memory(const lm_placement *p, const lm_engine_shape *shape,
                       lm_device_memory *devices /* [n_devices] */);

typedef struct lm_programs {
    lm_allocator *alloc;
    const lm_placement *placement;
    lm_engine_shape shape;
    lm_program **programs; /* [n_segments] */
    lm_queue *queues[LM_MAX_DEVICES];
    lm_cache *caches[LM_MAX_DEVICES][LM_MAX_GROUPS]; /* NULL where a device has no member */
    uint32_t *members;                               /* backing of the caches' member lists */
    void *staging;                                   /* slots on their way between devices */
    size_t staging_bytes;
} lm_programs;

int32_t lm_programs_create(const lm_placement *p, const lm_engine_shape *shape, lm_programs **out);
void lm_programs_destroy(lm_programs *p);

/* Does the device hold this cache entry? */
bool lm_programs_holds(const lm_programs *p, uint32_t device, uint32_t cache);

/* Result rows, readable until the next run: whole, or (rows NULL) the largest of each. */
typedef struct lm_result {
    const float *rows;       /* [n_rows, width] */
    const int32_t *best_ids; /* [n_rows, LM_BEST] */
    const float *best;
} lm_result;

/* Runs all segments in order and waits. `n_rows`: [n_wanted] or [n_seqs]. `best`: the best of each row
 * are enough, if that is less to bring home. */
int32_t lm_programs_run(lm_programs *p, const lm_run *run, uint32_t n_rows, bool best,
                        lm_result *out);

/* Storage for so many pages of a group; one page copied onto another: on every device that holds some. */
int32_t lm_programs_grow(lm_programs *p, uint32_t group, uint32_t pages);
int32_t lm_programs_copy_page(lm_programs *p, uint32_t group, uint32_t from, uint32_t to);

#endif
