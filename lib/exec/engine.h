/* engine - many timelines over one cache: pages, prefixes, batches. Thread-safe.
 *
 * One lock guards all bookkeeping. It is given up while a batch computes; whoever needs the devices
 * themselves waits until none does (lm_engine_enter). A caller with rows to compute queues them; if no
 * batch is running it leads one with whatever is queued. */
#ifndef LM_EXEC_ENGINE_H
#define LM_EXEC_ENGINE_H

#include "base/os.h"
#include "exec/prefix.h"
#include "plan/plan.h"

typedef struct lm_engine_options {
    lm_engine_shape shape;
    uint32_t state_interval;
    bool sharing;          /* keep prefixes for other sequences */
    uint64_t cache_budget; /* bytes of pages over all devices; UINT64_MAX: no bound */
} lm_engine_options;

typedef struct lm_engine lm_engine;
typedef struct lm_work lm_work;

typedef struct lm_engine_counts {
    uint64_t runs, rows, shared_rows, reused_tokens;
} lm_engine_counts;

/* Everything a batch needs, allocated once. */
typedef struct lm_batch {
    lm_run run;
    int32_t *tokens;
    float *embeddings; /* [rows, width]; NULL until a work brings rows */
    uint32_t *positions, *slots, *row_seq, *visible_end, *wanted;
    lm_run_seq *seqs;
    lm_work **works; /* [max seqs] those in this batch */
    uint32_t n_works;
} lm_batch;

struct lm_engine {
    lm_allocator *alloc;
    lm_placement *placement; /* borrowed, as is what it holds */
    const lm_network *network;
    lm_engine_options options;
    lm_programs *programs;
    uint64_t page_bytes[LM_MAX_GROUPS]; /* over all devices */
    uint64_t fixed_bytes;               /* taken from the placement's budget: workspaces, tables */
    uint64_t cache_bytes;               /* and the pages that exist */
    lm_os_mutex mutex;
    lm_os_cond changed;
    bool running;          /* a batch is on the devices, or someone entered */
    lm_work *first, *last; /* queued */
    lm_pages pages[LM_MAX_GROUPS];
    lm_prefix prefix;
    lm_batch batch;
    lm_engine_counts counts;
    lm_part_status poison; /* a device failed for good */
};

int32_t lm_engine_create(lm_placement *placement, const lm_engine_options *options,
                         lm_engine **out);
void lm_engine_destroy(lm_engine *e);

/* Pages that one sequence of the whole context takes at most. */
uint32_t lm_engine_group_pages(const lm_network *n, const lm_engine_shape *shape, uint32_t group);
bool lm_engine_has_state(const lm_engine *e);

/* The lock, while no batch is running. */
void lm_engine_enter(lm_engine *e);
void lm_engine_leave(lm_engine *e);

/* --- sequences -------------------------------------------------------------------------------- */

typedef struct lm_seq_group {
    uint32_t *pages; /* [capacity] page i covers slots from (first + i) * page_tokens */
    uint32_t count, capacity, first;
    uint32_t state, spare; /* state groups: what was written last, and where to write next */
} lm_seq_group;

#define LM_CHECKPOINTS 4u

/* The state of recurrent groups at an earlier length, to rewind to. */
typedef struct lm_checkpoint {
    uint32_t length; /* 0: none */
    uint32_t page[LM_MAX_GROUPS];
} lm_checkpoint;

typedef struct lm_seq {
    lm_engine *engine;
    uint32_t length; /* tokens computed */
    uint64_t salt;
    uint32_t node;  /* deepest prefix node that stands for our tokens; pinned */
    bool shareable; /* false once embedding rows came in */
    lm_seq_group groups[LM_MAX_GROUPS];
    lm_checkpoint checkpoints[LM_CHECKPOINTS];
} lm_seq;

/* All of these lock the engine themselves. */
int32_t lm_seq_init(lm_engine *e, uint64_t salt, lm_seq *out);
void lm_seq_finish(lm_seq *s);
int32_t lm_seq_fork(const lm_seq *s, lm_seq *out);
/* Cuts back to `length` or, where the cache cannot, to the longest earlier length it can. */
void lm_seq_rewind(lm_seq *s, uint32_t length);
/* Replaces the sequence by the longest known prefix of these tokens, if that is longer. */
void lm_seq_adopt(lm_seq *s, const int32_t *tokens, uint32_t n_tokens);
/* Keeps the recurrent state at the current length for later rewinds. */
void lm_seq_checkpoint(lm_seq *s);

/* --- inside the lock: for batch.c and transfer.c ---------------------------------------------- */

/* Pages for `n_rows` more tokens, private where they will be written. */
int32_t lm_seq_prepare(lm_seq *s, uint32_t n_rows);
/* After a run: the rows are there. `tokens` (NULL: embeddings) names them for sharing. */
void lm_seq_commit(lm_seq *s, const int32_t *tokens, uint32_t n_rows);
void lm_seq_clear(lm_seq *s);
/* Gives back what was prepared and not written. */
void lm_seq_settle(lm_seq *s);
/* A free page of a group: from the pool, by growing, or by giving up old prefixes. */
int32_t lm_engine_take_page(lm_engine *e, uint32_t group, uint32_t *page);
/* Passes a status on; a device that failed poisons the engine. */
int32_t lm_engine_note(lm_engine *e, int32_t rc);
/* The failure that poisoned the engine, or LLM_OK. */
int32_t lm_engine_health(const lm_engine *e);

/* --- computing -------------------------------------------------------------------------------- */

enum { LM_OUTPUT_NONE, LM_OUTPUT_LAST, LM_OUTPUT_ALL, LM_OUTPUT_POOLED };

/* The largest logits of one row, best first. */
typedef struct lm_best {
    bool valid; /* false: the whole row came */
    int32_t ids[LM_BEST];
    float logits[LM_BEST];
} lm_best;

/* Rows of one sequence for one batch; at most shape.limits.rows. Lives on the caller's stack. */
struct lm_work {
    lm_seq *seq;
    const int32_t *tokens;   /* [n_rows]; negative ones take the next row of `embeddings` */
    const float *embeddings; /* [rows, width] or NULL */
    const int32_t *history;  /* [seq->length + n_rows] all tokens of the sequence, for sharing */
    uint32_t n_rows;
    uint32_t outputs;               /* LM_OUTPUT_... */
    float *result;                  /* [1 or n_rows, width of the result] */
    lm_best *best;                  /* for LM_OUTPUT_LAST: enough, if it is less work; or NULL */
    const _Atomic uint32_t *cancel; /* or NULL */
    /* filled by the engine */
    lm_work *next;
    bool finished;
    lm_part_status status;
};

/* Computes the work, in a batch with others where there are any. On failure the sequence is as it was. */
int32_t lm_engine_run(lm_engine *e, lm_work *work);

/* --- moving caches in and out ----------------------------------------------------------------- */

/* Size of a sequence's cache in the canonical layout; and the copy itself. */
int32_t lm_seq_export_size(lm_seq *s, uint64_t *size);
int32_t lm_seq_export(lm_seq *s, void *into, uint64_t size);
/* No sequence of this engine takes more. */
int32_t lm_engine_export_most(const lm_engine *e, uint64_t *size);
/* Fills an empty sequence with `length` tokens from such a copy. On failure it stays empty. */
int32_t lm_seq_import(lm_seq *s, uint32_t length, const void *from, uint64_t size);

#endif
