/* host_pages.c - copying, moving, exporting and importing pages. The exported layout is the
 * canonical one: for each member K then V, row after row; states as convolution, then scan. */
#include "backends/common/host_cache.h"

#include <string.h>

static int32_t check_page(const lm_cache *c, uint32_t page, uint32_t tokens)
{
    if (page >= c->n_pages || tokens > c->page_tokens)
        return lm_fail(LLM_E_INVALID, "page %u with %u tokens, in a cache of %u pages of %u tokens",
                       (unsigned)page, (unsigned)tokens, (unsigned)c->n_pages,
                       (unsigned)c->page_tokens);
    return LLM_OK;
}

int32_t lhost_page_copy(lm_device *device, lm_cache *cache, uint32_t from, uint32_t to)
{
    (void)device;
    LM_TRY(check_page(cache, from, 0));
    LM_TRY(check_page(cache, to, 0));
    if (from != to)
        memcpy(cache->pages[to], cache->pages[from], (size_t)cache->page_bytes);
    return LLM_OK;
}

int32_t lhost_page_move(lm_device *device, lm_cache *cache, uint32_t from_page, uint32_t from_slot,
                        uint32_t to_page, uint32_t to_slot)
{
    (void)device;
    LM_TRY(check_page(cache, from_page, 0));
    LM_TRY(check_page(cache, to_page, 0));
    if (from_slot >= cache->page_tokens || to_slot >= cache->page_tokens)
        return lm_fail(LLM_E_INVALID, "token %u to token %u of pages of %u", (unsigned)from_slot,
                       (unsigned)to_slot, (unsigned)cache->page_tokens);
    for (uint32_t i = 0; i < cache->n_members; i++) {
        for (int p = 0; p < 2; p++) {
            const lhost_part *part = &cache->members[i].parts[p];
            for (uint32_t h = 0; h < part->heads; h++)
                memmove(lhost_cache_at(cache, part, to_page, to_slot, h),
                        lhost_cache_at(cache, part, from_page, from_slot, h),
                        (size_t)part->head_bytes);
        }
    }
    return LLM_OK;
}

static int32_t check_transfer(const lm_cache *c, uint32_t page, uint32_t tokens, size_t size)
{
    uint32_t count = c->kind == LM_CACHE_STATE ? 1 : tokens;
    LM_TRY(check_page(c, page, count));
    if (size != lhost_layout_exported(c->members, c->n_members, count))
        return lm_fail(LLM_E_MISMATCH, "%llu bytes for %u tokens of a page that take %llu",
                       (unsigned long long)size, (unsigned)tokens,
                       (unsigned long long)lhost_layout_exported(c->members, c->n_members, count));
    return LLM_OK;
}

int32_t lhost_page_export(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                          void *into, size_t size)
{
    (void)device;
    LM_TRY(check_transfer(cache, page, tokens, size));
    lhost_layout_walk(cache->members, cache->n_members, cache->pages[page],
                      cache->kind == LM_CACHE_STATE ? 1 : tokens, into, false);
    return LLM_OK;
}

int32_t lhost_page_import(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                          const void *from, size_t size)
{
    (void)device;
    LM_TRY(check_transfer(cache, page, tokens, size));
    lhost_layout_walk(cache->members, cache->n_members, cache->pages[page],
                      cache->kind == LM_CACHE_STATE ? 1 : tokens, (uint8_t *)(uintptr_t)from, true);
    return LLM_OK;
}
