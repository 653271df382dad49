/* host_pages.c - copying, moving, exporting and importing pages. The exported layout is the
 * canonical one: for each member K then V, row after row; states as convolution, then scan. */
#include "backends/common/host_cache.h"

#include <string.h>

int32_t lhost_page_copy(lm_device *device, lm_cache *cache, uint32_t from, uint32_t to)
{
    (void)device;
    LM_TRY(lhost_check_copy(&cache->base, from, to));
    if (from != to)
        memcpy(cache->pages[to], cache->pages[from], (size_t)cache->base.page_bytes);
    return LLM_OK;
}

int32_t lhost_page_move(lm_device *device, lm_cache *cache, uint32_t from_page, uint32_t from_slot,
                        uint32_t to_page, uint32_t to_slot)
{
    (void)device;
    LM_TRY(lhost_check_move(&cache->base, from_page, from_slot, to_page, to_slot));
    for (uint32_t i = 0; i < cache->base.n_members; i++) {
        for (uint32_t p = 0; p < cache->base.members[i].n_parts; p++) {
            const lhost_part *part = &cache->base.members[i].parts[p];
            for (uint32_t h = 0; h < part->heads; h++)
                memmove(lhost_cache_at(cache, part, to_page, to_slot, h),
                        lhost_cache_at(cache, part, from_page, from_slot, h),
                        (size_t)part->head_bytes);
        }
    }
    return LLM_OK;
}

static int32_t transfer(lm_cache *c, uint32_t page, uint32_t tokens, uint8_t *outside, size_t size,
                        bool into_page)
{
    uint32_t rows;
    LM_TRY(lhost_check_transfer(&c->base, page, tokens, size, &rows));
    lhost_layout_walk(c->base.members, c->base.n_members, c->pages[page], rows, outside, into_page);
    return LLM_OK;
}

int32_t lhost_page_export(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                          void *into, size_t size)
{
    (void)device;
    return transfer(cache, page, tokens, into, size, false);
}

int32_t lhost_page_import(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                          const void *from, size_t size)
{
    (void)device;
    return transfer(cache, page, tokens, (uint8_t *)(uintptr_t)from, size, true);
}
