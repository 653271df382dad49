/* store - weights and cache pages on a Vulkan device. What the core holds as lm_weight and lm_cache are
 * these. */
#ifndef LM_BACKENDS_VULKAN_STORE_H
#define LM_BACKENDS_VULKAN_STORE_H

#include "backends/common/host_storage.h"
#include "backends/vulkan/vulkan.h"

/* --- weights (weight.c) ----------------------------------------------------------------------- */

typedef struct lvk_weight {
    lvk_matrix matrix;
    lvk_region region;
} lvk_weight;

/* What a weight becomes here, with address 0; false: it cannot be held. */
bool lvk_weight_shape(const lm_weight_desc *desc, lvk_matrix *out);

int32_t lvk_weight_query(lm_device *device, const lm_weight_desc *desc, bool mapped,
                         lm_weight_plan *out);
int32_t lvk_weight_load(lm_device *device, const lm_weight_desc *desc, const lm_weight_data *data,
                        lm_weight **out);
void lvk_weight_destroy(lm_device *device, lm_weight *weight);

static inline lvk_weight *lvk_weight_of(lm_weight *weight)
{
    return (lvk_weight *)(void *)weight;
}

/* --- caches (cache.c, pages.c) ---------------------------------------------------------------- */

typedef struct lvk_chunk {
    struct lvk_chunk *next;
    lvk_region region;
    uint32_t first_page, n_pages;
} lvk_chunk;

typedef struct lvk_cache {
    lhost_storage base;
    uint64_t *addresses; /* [max_pages] */
    lvk_chunk *chunks;   /* newest first */
} lvk_cache;

static inline lvk_cache *lvk_cache_of(lm_cache *cache)
{
    return (lvk_cache *)(void *)cache;
}

int32_t lvk_cache_query(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                        uint64_t *fixed_bytes);
int32_t lvk_cache_create(lm_device *device, const lm_cache_desc *desc, lm_cache **out);
void lvk_cache_destroy(lm_device *device, lm_cache *cache);
int32_t lvk_cache_grow(lm_device *device, lm_cache *cache, uint32_t pages);

int32_t lvk_page_copy(lm_device *device, lm_cache *cache, uint32_t from, uint32_t to);
int32_t lvk_page_move(lm_device *device, lm_cache *cache, uint32_t from_page, uint32_t from_slot,
                      uint32_t to_page, uint32_t to_slot);
int32_t lvk_page_export(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                        void *into, size_t size);
int32_t lvk_page_import(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                        const void *from, size_t size);

#endif
