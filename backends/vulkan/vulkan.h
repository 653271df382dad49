/* vulkan - the backend's own structures: the device, its memory, transfers, pipelines and queues. */
#ifndef LM_BACKENDS_VULKAN_VULKAN_H
#define LM_BACKENDS_VULKAN_VULKAN_H

#include "backends/vulkan/calls.h"
#include "backends/vulkan/kernels.h"
#include "base/os.h"

extern const lm_backend lm_backend_vulkan;

#define LVK_CHUNK ((uint64_t)1 << 30) /* the largest piece of memory that can be cut smaller */
#define LVK_SLACK 64u                 /* bytes behind a weight that shaders may read */

/* --- memory (memory.c) ------------------------------------------------------------------------ */

/* Who else than shaders uses it: nobody or now and then; the host writes it before each run; the
 * host reads it after each run. */
enum { LVK_DEVICE, LVK_HOST_WRITES, LVK_HOST_READS, LVK_USE_COUNT };

typedef struct lvk_block lvk_block; /* one allocation with its buffer */

/* A piece of memory. Zeroed: none. */
typedef struct lvk_region {
    lvk_block *block;
    uint64_t offset, bytes; /* in the block */
    uint64_t address;       /* for shaders */
    uint8_t *host;          /* NULL: not visible here */
    bool cached;            /* reading through `host` is fast */
} lvk_region;

typedef struct lvk_memory {
    lm_os_mutex mutex;
    VkPhysicalDeviceMemoryProperties types;
    uint32_t type[LVK_USE_COUNT];
    uint64_t max_allocation;
    lvk_block *blocks;
    _Atomic uint64_t promised; /* bytes of all regions that the memory plan knows of */
} lvk_memory;

/* --- the device (device.c) -------------------------------------------------------------------- */

typedef struct lvk_pipeline lvk_pipeline;

/* Copies between the host and memory that it does not see, in halves of a staging buffer. */
#define LVK_HALVES 2u
typedef struct lvk_transfer {
    lm_os_mutex mutex; /* also around every use of the device's queue */
    VkCommandPool pool;
    VkCommandBuffer commands[LVK_HALVES]; /* taken in turns */
    VkSemaphore semaphore;
    uint64_t value; /* copies begun, which the semaphore counts as they end */
    uint64_t half;  /* bytes in one copy */
    lvk_region staging;
} lvk_transfer;

typedef struct lvk_device {
    lm_device base;
    lm_host host;
    lm_allocator books; /* structures; device memory is counted by `memory` */
    lvk_loader loader;
    lvk_calls calls;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t family;
    char name[128];
    uint8_t uuid[16];
    lvk_features features;
    uint32_t max_groups[3];
    double timestamp_ns; /* per tick; 0: the queue has none */
    uint64_t timestamp_mask;
    bool has_budget;       /* VK_EXT_memory_budget */
    uint64_t submit_flops; /* a submission is cut beyond it */
    _Atomic bool lost;
    lvk_memory memory;
    lvk_transfer transfer;
    VkPipelineLayout layout;
    VkPipelineCache pipeline_cache;
    lvk_pipeline *pipelines;
    uint64_t compiled; /* pipelines made since the device was opened */
    uint8_t cache_uuid[VK_UUID_SIZE];
    uint32_t vendor, id;
    lvk_region codebooks;
} lvk_device;

/* The status of a Vulkan call that failed; a lost device is remembered. */
int32_t lvk_failed(lvk_device *d, VkResult r, const char *what);
int32_t lvk_alive(const lvk_device *d); /* LLM_E_DEVICE once it is lost */

#define LVK_TRY(d, call, what)                                                                     \
    do {                                                                                           \
        VkResult lvk_result_ = (call);                                                             \
        if (lvk_result_ != VK_SUCCESS)                                                             \
            return lvk_failed((d), lvk_result_, (what));                                           \
    } while (0)

int32_t lvk_probe(const lm_host *host, uint32_t *count);
int32_t lvk_open(const lm_host *host, uint32_t index, lm_device **out);
void lvk_close(lm_device *device);
int32_t lvk_info(lm_device *device, lm_device_info *out);
uint64_t lvk_bytes(lm_device *device);

/* Which of the loader's devices can be used, best first (physical.c). */
#define LVK_MAX_DEVICES 16u
typedef struct lvk_candidates {
    VkPhysicalDevice devices[LVK_MAX_DEVICES];
    uint32_t count;
} lvk_candidates;
/* When there is none the message says why the first was refused. */
int32_t lvk_find_devices(const lvk_loader *loader, lvk_candidates *out);
/* Makes the logical device and fills in what `d` keeps of the physical one. */
int32_t lvk_make_device(lvk_device *d);

/* The largest m, n, k of cooperative matrices that shaders can use; untouched: none (coopmat.c). */
int32_t lvk_find_coopmat(lvk_device *d, uint32_t shape[3]);

int32_t lvk_memory_init(lvk_device *d);
void lvk_memory_finish(lvk_device *d);
/* `promised`: part of the memory plan. Aligned to 256. */
int32_t lvk_take(lvk_device *d, uint32_t use, uint64_t bytes, bool promised, lvk_region *out);
void lvk_give(lvk_device *d, lvk_region *region, bool promised); /* a zeroed one is fine */
bool lvk_memory_fits(const lvk_device *d, uint64_t bytes);       /* in one allocation */
VkBuffer lvk_buffer_of(const lvk_region *region);

int32_t lvk_transfer_init(lvk_device *d);
void lvk_transfer_finish(lvk_device *d);
/* Done when they return. Nothing that runs may use the bytes. */
int32_t lvk_upload(lvk_device *d, const lvk_region *to, uint64_t offset, const void *from,
                   uint64_t bytes);
int32_t lvk_download(lvk_device *d, const lvk_region *from, uint64_t offset, void *into,
                     uint64_t bytes);
typedef struct lvk_piece {
    uint64_t from, to, bytes; /* offsets in two regions */
} lvk_piece;
/* Pieces do not overlap. */
int32_t lvk_copy(lvk_device *d, const lvk_region *from, const lvk_region *to,
                 const lvk_piece *pieces, uint32_t count);
/* Signals `semaphore` with `value` when it is done. */
int32_t lvk_submit(lvk_device *d, VkCommandBuffer commands, VkSemaphore semaphore, uint64_t value);
int32_t lvk_wait(lvk_device *d, VkSemaphore semaphore, uint64_t value, uint64_t timeout_ns);
int32_t lvk_semaphore_create(lvk_device *d, VkSemaphore *out);

/* --- codebooks of the IQ formats (codebooks.c) ------------------------------------------------ */

int32_t lvk_codebooks_init(lvk_device *d);
uint64_t lvk_codebook(const lvk_device *d, const lm_format *format); /* 0: it has none */

/* --- pipelines (pipeline.c) ------------------------------------------------------------------- */

int32_t lvk_pipelines_init(lvk_device *d);
void lvk_pipelines_finish(lvk_device *d);
/* What the driver compiled before, from the host's folder, and back to it (kernel_cache.c). */
int32_t lvk_kernels_load(lvk_device *d);
void lvk_kernels_save(lvk_device *d);
/* Made on first use and kept until the device is closed. */
int32_t lvk_pipeline_get(lvk_device *d, uint32_t shader, const uint32_t *spec, uint32_t n_spec,
                         VkPipeline *out);

/* --- queues (queue.c) ------------------------------------------------------------------------- */

struct lm_queue {
    VkSemaphore semaphore;
    uint64_t value; /* of the last submission */
};

int32_t lvk_queue_create(lm_device *device, lm_queue **out);
void lvk_queue_destroy(lm_device *device, lm_queue *queue);
int32_t lvk_queue_signal(lm_device *device, lm_queue *queue, uint64_t *ticket);
int32_t lvk_queue_wait(lm_device *device, lm_queue *queue, uint64_t ticket, uint64_t timeout_ns);

#endif
