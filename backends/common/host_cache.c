/* host_cache.c - planning, creating and growing cache storage. */
#include "backends/common/host_cache.h"

#include "base/os.h"

int32_t lhost_cache_query(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                          uint64_t *fixed_bytes)
{
    LM_TRY(
        lhost_storage_query(desc, ((const lhost_device *)device)->kind->cache_by_head, page_bytes));
    *fixed_bytes = (uint64_t)desc->max_pages * sizeof(uint8_t *);
    return LLM_OK;
}

static int32_t fill(lhost_device *d, const lm_cache_desc *desc, lm_cache *c)
{
    LM_TRY(lhost_storage_init(&d->books, desc, d->kind->cache_by_head, &c->base));
    c->pages = LM_NEW_ARRAY(&d->memory, uint8_t *, desc->max_pages);
    return c->pages == NULL ? LLM_E_MEMORY : LLM_OK;
}

int32_t lhost_cache_create(lm_device *device, const lm_cache_desc *desc, lm_cache **out)
{
    lhost_device *d = (lhost_device *)device;
    lm_cache *c = LM_NEW(&d->books, lm_cache);
    if (c == NULL)
        return LLM_E_MEMORY;
    int32_t rc = fill(d, desc, c);
    if (rc < 0) {
        lhost_cache_destroy(device, c);
        return rc;
    }
    *out = c;
    return LLM_OK;
}

void lhost_cache_destroy(lm_device *device, lm_cache *cache)
{
    lhost_device *d = (lhost_device *)device;
    if (cache == NULL)
        return;
    while (cache->chunks != NULL) {
        lhost_chunk *chunk = cache->chunks;
        cache->chunks = chunk->next;
        lm_free(&d->memory, chunk->data, chunk->bytes);
        LM_DELETE(&d->books, chunk);
    }
    lm_free_array(&d->memory, cache->pages, cache->base.max_pages, sizeof *cache->pages);
    lhost_storage_finish(&d->books, &cache->base);
    LM_DELETE(&d->books, cache);
}

int32_t lhost_cache_grow(lm_device *device, lm_cache *cache, uint32_t pages)
{
    lhost_device *d = (lhost_device *)device;
    lhost_storage *s = &cache->base;
    uint64_t bytes;
    LM_TRY(lhost_check_growth(s, pages, &bytes));
    if (pages <= s->n_pages)
        return LLM_OK;
    lhost_chunk *chunk = LM_NEW(&d->books, lhost_chunk);
    if (chunk == NULL)
        return LLM_E_MEMORY;
    chunk->bytes = (size_t)bytes;
    chunk->data = lm_alloc(&d->memory, chunk->bytes);
    if (chunk->data == NULL) {
        LM_DELETE(&d->books, chunk);
        return LLM_E_MEMORY;
    }
    lm_os_large_pages(chunk->data, chunk->bytes);
    chunk->next = cache->chunks;
    cache->chunks = chunk;
    for (uint32_t i = 0; s->n_pages < pages; i++)
        cache->pages[s->n_pages++] = chunk->data + i * s->page_bytes;
    return LLM_OK;
}
