/* cuda - the CUDA backend's device, weights, cache and programs. Host side, plain C; calls go through
 * api.h, kernels are in kernels/. */
#ifndef LM_BACKENDS_CUDA_CUDA_H
#define LM_BACKENDS_CUDA_CUDA_H

#include "backend/backend.h"
#include "base/os.h"

#include "backends/common/host_storage.h"
#include "backends/cuda/api.h"
#include "backends/cuda/kernels/args.h"

extern const lm_backend lm_backend_cuda;

/* --- devices ---------------------------------------------------------------------------------- */

typedef struct lcu_device {
    lm_device base;
    lm_host host;
    const lcu_api *api;
    int index;
    lcu_properties properties;
    lm_allocator books;     /* host structures */
    _Atomic uint64_t taken; /* bytes on the device: what the memory plan promises */
    lcu_stream stream;      /* for loading weights and moving pages, always waited for */
    void *staging;          /* pinned, for that stream */
    lcu_library library;    /* opened with the first program of fast numerics */
    bool library_asked;
    lm_os_mutex turn; /* of stream and staging: weights are loaded from any thread */
    _Atomic bool lost;
    char why[256]; /* written once, before `lost` */
} lcu_device;

#define LCU_STAGING_BYTES ((size_t)4 << 20)

/* Makes this thread talk to the device; refuses when it is lost. */
int32_t lcu_enter(lcu_device *d);
/* The status of a call: memory that ran out is only that, anything else loses the device. */
int32_t lcu_status(lcu_device *d, lcu_result result, const char *call);
#define LCU_CALL(d, call, ...) lcu_status((d), (d)->api->call(__VA_ARGS__), #call)

/* Counted memory on the device, never zero bytes. */
int32_t lcu_take(lcu_device *d, uint64_t bytes, void **out);
void lcu_give(lcu_device *d, void *memory, uint64_t bytes);
/* Through staging and the device's own stream; done when they return. */
int32_t lcu_upload(lcu_device *d, void *to, const void *from, uint64_t bytes);
int32_t lcu_download(lcu_device *d, void *to, const void *from, uint64_t bytes);
int32_t lcu_clear(lcu_device *d, void *at, uint64_t bytes);
/* Opens the library unless that was tried before. */
int32_t lcu_find_library(lcu_device *d);

/* --- weights (cuda_weight.c) ------------------------------------------------------------------- */

struct lm_weight {
    lcu_weight_view view; /* vectors: LCU_LAYOUT_F32 */
    uint64_t bytes;
};

int32_t lcu_weight_query(lm_device *device, const lm_weight_desc *desc, bool mapped,
                         lm_weight_plan *out);
int32_t lcu_weight_load(lm_device *device, const lm_weight_desc *desc, const lm_weight_data *data,
                        lm_weight **out);
void lcu_weight_destroy(lm_device *device, lm_weight *weight);

/* --- cache (cuda_cache.c) ----------------------------------------------------------------------- */

typedef struct lcu_chunk {
    struct lcu_chunk *next;
    void *data;
    uint64_t bytes;
} lcu_chunk;

struct lm_cache {
    lhost_storage base;
    uint8_t **pages; /* [max_pages] addresses on the device */
    uint8_t **table; /* the same on the device */
    lcu_chunk *chunks;
};

int32_t lcu_cache_query(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                        uint64_t *fixed_bytes);
int32_t lcu_cache_create(lm_device *device, const lm_cache_desc *desc, lm_cache **out);
void lcu_cache_destroy(lm_device *device, lm_cache *cache);
int32_t lcu_cache_grow(lm_device *device, lm_cache *cache, uint32_t pages);

/* cuda_pages.c */
int32_t lcu_page_copy(lm_device *device, lm_cache *cache, uint32_t from, uint32_t to);
int32_t lcu_page_move(lm_device *device, lm_cache *cache, uint32_t from_page, uint32_t from_slot,
                      uint32_t to_page, uint32_t to_slot);
int32_t lcu_page_export(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                        void *into, size_t size);
int32_t lcu_page_import(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                        const void *from, size_t size);

/* --- queues (cuda_queue.c) ------------------------------------------------------------------------ */

#define LCU_TICKETS 16u /* points of a queue that are told apart */

struct lm_queue {
    lcu_stream stream;
    lcu_event events[LCU_TICKETS];
    uint64_t issued;
};

int32_t lcu_queue_create(lm_device *device, lm_queue **out);
void lcu_queue_destroy(lm_device *device, lm_queue *queue);
int32_t lcu_queue_signal(lm_device *device, lm_queue *queue, uint64_t *ticket);
int32_t lcu_queue_wait(lm_device *device, lm_queue *queue, uint64_t ticket, uint64_t timeout_ns);

/* --- programs (cuda_program.c, cuda_run.c) ---------------------------------------------------------- */

int32_t lcu_step_query(lm_device *device, const lm_network *network, const lm_step *step,
                       lm_step_support *out);
int32_t lcu_program_query(lm_device *device, const lm_program_desc *desc, uint64_t *bytes);
int32_t lcu_program_create(lm_device *device, const lm_program_desc *desc, lm_program **out);
void lcu_program_destroy(lm_device *device, lm_program *program);
int32_t lcu_program_run(lm_device *device, lm_queue *queue, lm_program *program, const lm_run *run);
int32_t lcu_slot_write(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                       const void *from, size_t size);
int32_t lcu_slot_read(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                      void *into, size_t size);
void *lcu_slot_host(lm_device *device, lm_program *program, uint32_t slot);
int32_t lcu_profile(lm_device *device, lm_program *program, bool on, size_t index, uint64_t *ns);

#endif
