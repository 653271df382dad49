/* host_program - a list of steps over slots in one workspace, run one after the other.
 * What the steps compute is the backend's; see lhost_kind. The network, the weights and the caches
 * outlive the program. */
#ifndef LM_BACKENDS_HOST_PROGRAM_H
#define LM_BACKENDS_HOST_PROGRAM_H

#include "backends/common/host_cache.h"
#include "backends/common/host_run.h"
#include "backends/common/host_weight.h"

struct lm_program {
    lm_arena books; /* all arrays below */
    lhost_bounds bounds;
    lm_step *steps;
    size_t n_steps;
    uint32_t *tags;    /* [n_steps] see lhost_kind.plan */
    uint32_t *origin;  /* [n_steps] the step of the description that each comes from */
    uint64_t *step_ns; /* [n_origins] of the last profiled run */
    size_t n_origins;
    lm_slot_info *slots;
    lm_slot_place *places;
    size_t n_slots;
    lm_weight **weights; /* [network->n_weights] */
    lm_cache *caches[LM_MAX_GROUPS];
    uint32_t *inputs;
    uint32_t n_inputs;
    bool profiling;
    uint8_t *workspace; /* slots, then scratch, then what `plan` asked for */
    uint64_t workspace_bytes, scratch_at, extra_at;
};

int32_t lhost_step_query(lm_device *device, const lm_network *network, const lm_step *step,
                         lm_step_support *out);
int32_t lhost_program_query(lm_device *device, const lm_program_desc *desc, uint64_t *bytes);
int32_t lhost_program_create(lm_device *device, const lm_program_desc *desc, lm_program **out);
void lhost_program_destroy(lm_device *device, lm_program *program);
int32_t lhost_program_run(lm_device *device, lm_queue *queue, lm_program *program,
                          const lm_run *run);
int32_t lhost_slot_write(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                         const void *from, size_t size);
int32_t lhost_slot_read(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                        void *into, size_t size);
void *lhost_slot_host(lm_device *device, lm_program *program, uint32_t slot);
int32_t lhost_profile(lm_device *device, lm_program *program, bool on, size_t index, uint64_t *ns);

/* What such a backend has in its table from here. */
#define LHOST_FUNCTIONS                                                                            \
    .bytes = lhost_device_bytes, .weight_query = lhost_weight_query,                               \
    .weight_load = lhost_weight_load, .weight_destroy = lhost_weight_destroy,                      \
    .cache_query = lhost_cache_query, .cache_create = lhost_cache_create,                          \
    .cache_destroy = lhost_cache_destroy, .cache_grow = lhost_cache_grow,                          \
    .page_copy = lhost_page_copy, .page_move = lhost_page_move, .page_export = lhost_page_export,  \
    .page_import = lhost_page_import, .step_query = lhost_step_query,                              \
    .program_query = lhost_program_query, .program_create = lhost_program_create,                  \
    .program_destroy = lhost_program_destroy, .program_run = lhost_program_run,                    \
    .slot_write = lhost_slot_write, .slot_read = lhost_slot_read, .slot_host = lhost_slot_host,    \
    .profile = lhost_profile, .queue_create = lhost_queue_create,                                  \
    .queue_destroy = lhost_queue_destroy, .queue_signal = lhost_queue_signal,                      \
    .queue_wait = lhost_queue_wait

/* --- what steps look at while they run -------------------------------------------------------- */

static inline uint32_t lhost_width(const lhost_run *r, uint32_t slot)
{
    return r->program->slots[slot].width;
}

static inline void *lhost_slot(const lhost_run *r, uint32_t slot)
{
    return r->program->workspace + r->program->places[slot].offset;
}

static inline uint32_t lhost_rows(const lhost_run *r, uint32_t slot)
{
    const uint32_t rows[] = {r->run->n_rows, r->run->n_wanted, r->run->n_seqs};
    return rows[r->program->slots[slot].rows];
}

/* The row of the run behind row `i` of a slot that has all rows or the wanted ones. */
static inline uint32_t lhost_run_row(const lhost_run *r, uint32_t slot, uint32_t i)
{
    return r->program->slots[slot].rows == LM_ROWS_WANTED ? r->run->wanted[i] : i;
}

static inline void *lhost_scratch(const lhost_run *r)
{
    return r->program->workspace + r->program->scratch_at;
}

static inline void *lhost_extra(const lhost_run *r)
{
    return r->program->workspace + r->program->extra_at;
}

static inline const lm_weight *lhost_weight(const lhost_run *r, uint32_t weight)
{
    return r->program->weights[weight];
}

/* The values of a vector weight; NULL for LM_NONE. */
static inline const float *lhost_vector(const lhost_run *r, uint32_t weight)
{
    return weight == LM_NONE ? NULL
                             : (const float *)(const void *)r->program->weights[weight]->data;
}

/* --- one row's view of a cache ---------------------------------------------------------------- */

/* What a row sees of one cache entry. */
typedef struct lhost_view {
    const lm_cache *cache;
    const lhost_member *member;
    const lm_run_pages *pages;
    uint32_t group;
} lhost_view;

static inline lhost_view lhost_view_of(const lhost_run *r, uint32_t entry, uint32_t seq)
{
    uint32_t group = r->program->bounds.network->caches[entry].group;
    const lm_cache *c = r->program->caches[group];
    return (lhost_view){c, &c->base.members[c->base.member_of[entry]],
                        &r->run->seqs[seq].groups[group], group};
}

/* Where the token at `slot` of the view's sequence lies: keys (part 0) or values (part 1). */
static inline uint8_t *lhost_view_at(const lhost_view *v, int part, uint32_t slot, uint32_t head)
{
    uint32_t tokens = v->cache->base.page_tokens;
    uint32_t page = v->pages->pages[slot / tokens - v->pages->first_page];
    return lhost_cache_at(v->cache, &v->member->parts[part], page, slot % tokens, head);
}

/* One half of a sequence's state: 0 the convolution's, 1 the scan's. NULL to read: zeros. */
static inline float *lhost_state_at(const lhost_run *r, uint32_t entry, uint32_t seq, int part,
                                    bool to_write)
{
    lhost_view v = lhost_view_of(r, entry, seq);
    uint32_t slot = to_write ? v.pages->state_write : v.pages->state_read;
    if (slot == LM_NONE)
        return NULL;
    return (float *)(void *)lhost_cache_at(v.cache, &v.member->parts[part], slot, 0, 0);
}

#endif
