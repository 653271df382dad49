/* backend - what a device must do, as one table of functions. Its version, LM_BACKEND_VERSION, is made from
 * the headers (make_version.py).
 *
 * The core owns decisions (which pages belong to whom, what runs where); a backend owns storage and
 * arithmetic. It sees steps, formats and lib/base, never models or sessions. All functions answer a
 * status and set the message through base/status; none may end the process. A device that fails for
 * good answers LLM_E_DEVICE from then on. One thread at a time calls into a device's programs, queues
 * and caches (the placement's turn); weights, info and bytes may be asked from any thread. */
#ifndef LM_BACKEND_BACKEND_H
#define LM_BACKEND_BACKEND_H

#include "backend/backend_version.h"
#include "base/alloc.h"
#include "base/log.h"
#include "step/network.h"

/* --- what the core gives ------------------------------------------------------------------------ */

typedef struct lm_host {
    llm_allocator allocator; /* devices count what they take with an lm_allocator of their own */
    lm_log log;
    uint32_t threads;         /* wanted team size; 0: as many as the machine gives */
    llm_parallel_fn parallel; /* the host's pool, or NULL: the backend makes its own team */
    void *parallel_user;
    uint64_t cpu_features_masked; /* instruction-set bits not to use: tests */
    const char *kernel_cache;     /* a folder for compiled kernels, or NULL */
} lm_host;

/* --- devices -------------------------------------------------------------------------------------- */

typedef struct lm_device lm_device;
typedef struct lm_weight lm_weight;
typedef struct lm_cache lm_cache;
typedef struct lm_program lm_program;
typedef struct lm_queue lm_queue;

typedef struct lm_device_info {
    char name[128];                     /* "AMD EPYC ... (2 threads)" */
    uint8_t uuid[16];                   /* zero: none */
    uint64_t memory_total, memory_free; /* 0: unknown */
    bool host_memory;                   /* weights may be used in place from a mapping */
    uint32_t threads;                   /* 0: not that kind of device */
} lm_device_info;

/* --- weights --------------------------------------------------------------------------------------- */

enum { LM_SUPPORT_NO, LM_SUPPORT_TRANSCODE /* or slow */, LM_SUPPORT_NATIVE };
enum { LM_NUMERICS_EXACT = 1u, LM_NUMERICS_FAST = 2u };

typedef struct lm_weight_plan {
    uint32_t support;
    uint64_t bytes; /* taken on the device; 0 when the mapping itself is used */
} lm_weight_plan;

typedef struct lm_weight_data {
    const void *data; /* the weight's bytes; stable until weight_destroy only when `mapped` */
    bool mapped;
} lm_weight_data;

/* --- cache ------------------------------------------------------------------------------------------ */

/* Storage for those entries of one group that live on this device. */
typedef struct lm_cache_desc {
    const lm_cache_entry *entries; /* [n_entries] all entries of the network */
    uint32_t n_entries;
    const uint32_t *members; /* [n_members] indices of those stored here */
    uint32_t n_members;
    uint32_t kind;                        /* LM_CACHE_... */
    uint32_t page_tokens;                 /* power of two, 16 to 128; ignored for states */
    const lm_format *k_format, *v_format; /* F32, F16, BF16, Q8_0, ...; states are F32 */
    uint32_t max_pages;                   /* the chunk table's fixed capacity */
} lm_cache_desc;

/* --- programs --------------------------------------------------------------------------------------- */

/* A straight piece of a graph for one device, lowered as far as the device asked for. */
typedef struct lm_program_desc {
    const lm_network *network;
    const lm_graph *graph; /* slots; its steps are not looked at */
    const lm_step *steps;  /* [n_steps] */
    size_t n_steps;
    const uint32_t *inputs; /* slots written with slot_write before a run */
    uint32_t n_inputs;
    const uint32_t *outputs; /* slots read with slot_read after a run */
    uint32_t n_outputs;
    lm_weight *const *weights; /* [network->n_weights], NULL for those of other devices */
    lm_cache *const *caches;   /* [n_groups], NULL for groups without members here */
    lm_row_limits limits;
    uint32_t context;  /* most tokens of one sequence */
    uint32_t numerics; /* LM_NUMERICS_EXACT or _FAST */
    bool fused;        /* false: run primitives one by one, for tests */
} lm_program_desc;

typedef struct lm_step_support {
    uint32_t support;
    uint32_t numerics; /* modes it has */
} lm_step_support;

/* --- runs --------------------------------------------------------------------------------------------- */

typedef struct lm_run_pages {
    const uint32_t *pages; /* page ids; page i holds slots from (first_page + i) * page_tokens */
    uint32_t n_pages;
    uint32_t first_page;  /* pages before it were freed behind a window */
    uint32_t state_read;  /* state slot read, LM_NONE: start from zero */
    uint32_t state_write; /* state slot written; may equal state_read */
} lm_run_pages;

enum { LM_SEQ_UNSPLITTABLE = 1u };

typedef struct lm_run_seq {
    uint32_t first_row, n_rows;
    uint32_t length; /* tokens in the cache before this run */
    uint32_t flags;
    lm_run_pages groups[LM_MAX_GROUPS];
} lm_run_seq;

/* Everything that differs from run to run. Rows of one sequence are adjacent and in order. */
typedef struct lm_run {
    uint32_t struct_size;
    uint32_t n_rows, n_seqs, n_wanted;
    const int32_t *tokens;       /* [n_rows]; negative: the row of `embeddings` is used */
    const float *embeddings;     /* [n_rows, width] or NULL */
    const uint32_t *positions;   /* [n_rows, 4]: axis 0 is the usual position */
    const uint32_t *slots;       /* [n_rows] the token's place in its sequence's cache */
    const uint32_t *row_seq;     /* [n_rows] */
    const uint32_t *row_adapter; /* [n_rows] or NULL: none */
    const uint32_t *visible_end; /* [n_rows] first slot the row does not see */
    const uint64_t *ancestors; /* [n_rows, ceil(n_rows / 64)] bit j: row sees row j of this run; or
                                       NULL: visible_end alone decides */
    const uint32_t *wanted;    /* [n_wanted] row numbers, rising */
    const lm_run_seq *seqs;    /* [n_seqs] */
    const _Atomic uint32_t *cancel; /* nonzero: stop between steps with LLM_E_CANCELLED; or NULL */
} lm_run;

/* --- the table ------------------------------------------------------------------------------------------ */

typedef struct lm_backend {
    uint32_t struct_size, version;
    const char *name;

    /* devices */
    int32_t (*probe)(const lm_host *host, uint32_t *count); /* a reason in the message when 0 */
    int32_t (*open)(const lm_host *host, uint32_t index, lm_device **out);
    void (*close)(lm_device *device);
    int32_t (*info)(lm_device *device, lm_device_info *out);
    uint64_t (*bytes)(lm_device *device); /* taken now by weights, caches and workspaces */

    /* weights */
    int32_t (*weight_query)(lm_device *device, const lm_weight_desc *desc, bool mapped,
                            lm_weight_plan *out);
    int32_t (*weight_load)(lm_device *device, const lm_weight_desc *desc,
                           const lm_weight_data *data, lm_weight **out);
    void (*weight_destroy)(lm_device *device, lm_weight *weight);

    /* cache: pages for tokens, state slots for recurrent groups (a slot is a page there) */
    int32_t (*cache_query)(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                           uint64_t *fixed_bytes);
    int32_t (*cache_create)(lm_device *device, const lm_cache_desc *desc, lm_cache **out);
    void (*cache_destroy)(lm_device *device, lm_cache *cache);
    int32_t (*cache_grow)(lm_device *device, lm_cache *cache, uint32_t pages); /* to this many */
    int32_t (*page_copy)(lm_device *device, lm_cache *cache, uint32_t from, uint32_t to);
    int32_t (*page_move)(lm_device *device, lm_cache *cache, uint32_t from_page, uint32_t from_slot,
                         uint32_t to_page, uint32_t to_slot); /* one token */
    /* The one canonical layout, row after row: for each member K then V of `tokens` tokens in the
     * cache's formats (latent: K alone); states as floats, convolution then scan. */
    int32_t (*page_export)(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                           void *into, size_t size);
    int32_t (*page_import)(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                           const void *from, size_t size);

    /* programs */
    int32_t (*step_query)(lm_device *device, const lm_network *network, const lm_step *step,
                          lm_step_support *out);
    int32_t (*program_query)(lm_device *device, const lm_program_desc *desc, uint64_t *bytes);
    int32_t (*program_create)(lm_device *device, const lm_program_desc *desc, lm_program **out);
    void (*program_destroy)(lm_device *device, lm_program *program);
    /* Queued; arguments are copied or used before it returns as the backend likes, so the run must
     * stay untouched until the queue is waited for. */
    int32_t (*program_run)(lm_device *device, lm_queue *queue, lm_program *program,
                           const lm_run *run);
    int32_t (*slot_write)(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                          const void *from, size_t size);
    int32_t (*slot_read)(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                         void *into, size_t size); /* filled when the queue was waited for */
    /* The slot's memory when the host may read it in place after a wait, else NULL. */
    void *(*slot_host)(lm_device *device, lm_program *program, uint32_t slot);
    /* Nanoseconds of step `index` in the last run with profiling on. */
    int32_t (*profile)(lm_device *device, lm_program *program, bool on, size_t index, uint64_t *ns);

    /* order: work on a queue runs in order; a ticket names a point in it */
    int32_t (*queue_create)(lm_device *device, lm_queue **out);
    void (*queue_destroy)(lm_device *device, lm_queue *queue);
    int32_t (*queue_signal)(lm_device *device, lm_queue *queue, uint64_t *ticket);
    int32_t (*queue_wait)(lm_device *device, lm_queue *queue, uint64_t ticket, uint64_t timeout_ns);
} lm_backend;

/* --- modules ------------------------------------------------------------------------------------------ */

/* What the library gives to a module. */
typedef struct lm_core {
    char *(*message_buffer)(void); /* this thread's, for base/status */
} lm_core;

/* libllm-NAME.so exports this as llm_backend_entry; NULL: it was made from other sources. Formats, kinds and
 * classes are compared by number across this border: each side has its own constants. */
typedef const lm_backend *(*lm_backend_entry)(uint32_t version, const lm_core *core);

/* Every backend's device structure begins with this. */
struct lm_device {
    const lm_backend *backend;
};

#endif
