/* null_device - what the parts of the null backend share. */
#ifndef LM_BACKENDS_NULL_NULL_DEVICE_H
#define LM_BACKENDS_NULL_NULL_DEVICE_H

#include "backends/common/host_run.h"
#include "backends/null/null.h"

#define LNULL_PENDING 64u

/* A slot_read that a wait will fill. */
typedef struct lnull_pending {
    lm_program *program;
    uint32_t slot;
    void *into;
    size_t size;
} lnull_pending;

typedef struct lnull_device {
    lm_device base;
    lm_host host;
    uint32_t index;
    lm_allocator books;    /* all memory really taken */
    uint64_t memory;       /* pretended; 0: no limit */
    _Atomic uint64_t held; /* pretended to be taken */
    bool host_memory, coarse, lost;
    uint32_t fault_call;
    uint64_t fault_in; /* calls until the fault; 0: none */
    int32_t fault_status;
    uint64_t counts[LNULL_CALL_COUNT];
    lnull_record records[LNULL_RECORDS];
    uint64_t n_records;
    uint64_t issued; /* tickets */
    uint32_t stamp;  /* number of the run, for writes that meet */
    lnull_pending pending[LNULL_PENDING];
    uint32_t n_pending;
} lnull_device;

/* Records a call; answers the fault when it is due. */
int32_t lnull_note(lm_device *device, uint32_t call, uint32_t a, uint32_t b, uint32_t c);

/* Pretends to take memory. */
int32_t lnull_take(lnull_device *d, uint64_t bytes);
void lnull_give(lnull_device *d, uint64_t bytes);

/* --- null_store.c: weights and caches --------------------------------------------------------- */

struct lm_cache {
    lhost_storage base;
    uint64_t first_row_bytes; /* of the first member's keys, where an export carries the hash */
    uint64_t *hashes;         /* [max_pages, page_tokens]; 0: never written */
    uint32_t *stamps;         /* the run that wrote last */
};

int32_t lnull_weight_query(lm_device *, const lm_weight_desc *, bool, lm_weight_plan *);
int32_t lnull_weight_load(lm_device *, const lm_weight_desc *, const lm_weight_data *,
                          lm_weight **);
void lnull_weight_destroy(lm_device *, lm_weight *);
int32_t lnull_cache_query(lm_device *, const lm_cache_desc *, uint64_t *, uint64_t *);
int32_t lnull_cache_create(lm_device *, const lm_cache_desc *, lm_cache **);
void lnull_cache_destroy(lm_device *, lm_cache *);
int32_t lnull_cache_grow(lm_device *, lm_cache *, uint32_t);
int32_t lnull_page_copy(lm_device *, lm_cache *, uint32_t, uint32_t);
int32_t lnull_page_move(lm_device *, lm_cache *, uint32_t, uint32_t, uint32_t, uint32_t);
int32_t lnull_page_export(lm_device *, lm_cache *, uint32_t, uint32_t, void *, size_t);
int32_t lnull_page_import(lm_device *, lm_cache *, uint32_t, uint32_t, const void *, size_t);

/* --- null_program.c: programs and slots ------------------------------------------------------- */

struct lm_program {
    lm_arena books;
    lhost_bounds bounds;
    lm_step *steps;
    size_t n_steps;
    lm_slot_info *slots;
    float **values; /* [n_slots] of slots that go in or out; NULL: others */
    size_t n_slots;
    uint32_t *inputs, *outputs;
    uint32_t n_inputs, n_outputs, result;
    lm_cache *caches[LM_MAX_GROUPS];
    uint64_t *rows; /* [limits.rows] hash of each row's token and place */
    uint64_t *sums; /* [limits.rows] what flows from segment to segment */
    uint64_t pretended;
};

int32_t lnull_step_query(lm_device *, const lm_network *, const lm_step *, lm_step_support *);
int32_t lnull_program_query(lm_device *, const lm_program_desc *, uint64_t *);
int32_t lnull_program_create(lm_device *, const lm_program_desc *, lm_program **);
void lnull_program_destroy(lm_device *, lm_program *);
int32_t lnull_slot_write(lm_device *, lm_queue *, lm_program *, uint32_t, const void *, size_t);
int32_t lnull_slot_read(lm_device *, lm_queue *, lm_program *, uint32_t, void *, size_t);
void *lnull_slot_host(lm_device *, lm_program *, uint32_t);
void lnull_deliver(lnull_device *d); /* fills the pending reads */

/* --- null_run.c ------------------------------------------------------------------------------- */

int32_t lnull_program_run(lm_device *, lm_queue *, lm_program *, const lm_run *);
uint64_t lnull_slot_bytes(const lm_program *p, uint32_t slot);

#endif
