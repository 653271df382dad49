/* host_cache - pages of keys and values, or blocks of recurrent state, in host memory. Pages live
 * in chunks that never move; a table of fixed capacity leads from page numbers to them. */
#ifndef LM_BACKENDS_HOST_CACHE_H
#define LM_BACKENDS_HOST_CACHE_H

#include "backends/common/host_device.h"
#include "backends/common/host_storage.h"

typedef struct lhost_chunk {
    struct lhost_chunk *next;
    uint8_t *data;
    size_t bytes;
} lhost_chunk;

struct lm_cache {
    lhost_storage base;
    uint8_t **pages; /* [max_pages] */
    lhost_chunk *chunks;
};

int32_t lhost_cache_query(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                          uint64_t *fixed_bytes);
int32_t lhost_cache_create(lm_device *device, const lm_cache_desc *desc, lm_cache **out);
void lhost_cache_destroy(lm_device *device, lm_cache *cache);
int32_t lhost_cache_grow(lm_device *device, lm_cache *cache, uint32_t pages);

/* host_pages.c */
int32_t lhost_page_copy(lm_device *device, lm_cache *cache, uint32_t from, uint32_t to);
int32_t lhost_page_move(lm_device *device, lm_cache *cache, uint32_t from_page, uint32_t from_slot,
                        uint32_t to_page, uint32_t to_slot);
int32_t lhost_page_export(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                          void *into, size_t size);
int32_t lhost_page_import(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                          const void *from, size_t size);

static inline uint8_t *lhost_cache_at(const lm_cache *c, const lhost_part *part, uint32_t page,
                                      uint32_t token, uint32_t head)
{
    return c->pages[page] + part->offset + token * part->token_stride + head * part->head_stride;
}

#endif
