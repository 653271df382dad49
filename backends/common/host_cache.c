/* host_cache.c - planning, creating and growing cache storage. */
#include "backends/common/host_cache.h"

#include "base/checked.h"

int32_t lhost_cache_query(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                          uint64_t *fixed_bytes)
{
    const lhost_device *d = (const lhost_device *)device;
    LM_TRY(lhost_layout_check(desc));
    uint64_t offset = 0;
    lhost_member member;
    for (uint32_t i = 0; i < desc->n_members; i++)
        LM_TRY(
            lhost_layout_member(desc, desc->members[i], d->kind->cache_by_head, &member, &offset));
    *page_bytes = offset;
    *fixed_bytes = (uint64_t)desc->max_pages * sizeof(uint8_t *);
    return LLM_OK;
}

static int32_t fill(lhost_device *d, const lm_cache_desc *desc, lm_cache *c)
{
    c->kind = desc->kind;
    c->page_tokens = lhost_layout_tokens(desc);
    c->max_pages = desc->max_pages;
    c->n_entries = desc->n_entries;
    c->n_members = desc->n_members;
    c->member_of = LM_NEW_ARRAY(&d->books, uint32_t, c->n_entries);
    c->members = LM_NEW_ARRAY(&d->books, lhost_member, c->n_members);
    c->pages = LM_NEW_ARRAY(&d->memory, uint8_t *, c->max_pages);
    if (c->member_of == NULL || c->members == NULL || c->pages == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i < c->n_entries; i++)
        c->member_of[i] = LM_NONE;
    for (uint32_t i = 0; i < c->n_members; i++) {
        LM_TRY(lhost_layout_member(desc, desc->members[i], d->kind->cache_by_head, &c->members[i],
                                   &c->page_bytes));
        c->member_of[desc->members[i]] = i;
    }
    return LLM_OK;
}

int32_t lhost_cache_create(lm_device *device, const lm_cache_desc *desc, lm_cache **out)
{
    lhost_device *d = (lhost_device *)device;
    LM_TRY(lhost_layout_check(desc));
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
    lm_free_array(&d->memory, cache->pages, cache->max_pages, sizeof *cache->pages);
    lm_free_array(&d->books, cache->members, cache->n_members, sizeof *cache->members);
    lm_free_array(&d->books, cache->member_of, cache->n_entries, sizeof *cache->member_of);
    LM_DELETE(&d->books, cache);
}

int32_t lhost_cache_grow(lm_device *device, lm_cache *cache, uint32_t pages)
{
    lhost_device *d = (lhost_device *)device;
    if (pages > cache->max_pages)
        return lm_fail(LLM_E_LIMIT, "%u pages wanted of a cache made for %u", (unsigned)pages,
                       (unsigned)cache->max_pages);
    if (pages <= cache->n_pages)
        return LLM_OK;
    uint64_t bytes;
    if (!lm_mul_u64(pages - cache->n_pages, cache->page_bytes, &bytes) || !lm_fits_size(bytes))
        return lm_fail(LLM_E_MEMORY, "out of memory: %u pages of %llu bytes",
                       (unsigned)(pages - cache->n_pages), (unsigned long long)cache->page_bytes);
    lhost_chunk *chunk = LM_NEW(&d->books, lhost_chunk);
    if (chunk == NULL)
        return LLM_E_MEMORY;
    chunk->bytes = (size_t)bytes;
    chunk->data = lm_alloc(&d->memory, chunk->bytes);
    if (chunk->data == NULL) {
        LM_DELETE(&d->books, chunk);
        return LLM_E_MEMORY;
    }
    chunk->next = cache->chunks;
    cache->chunks = chunk;
    for (uint32_t i = 0; cache->n_pages < pages; i++)
        cache->pages[cache->n_pages++] = chunk->data + i * cache->page_bytes;
    return LLM_OK;
}
