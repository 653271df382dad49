/* cache.c - planning, creating and growing cache storage: pages in chunks that never move. Runs name
 * pages by their addresses, so no table on the device has to follow. */
#include "backends/common/host_rotate.h"
#include "backends/vulkan/store.h"

/* A head's tokens side by side: attention walks them. */
#define BY_HEAD true

int32_t lvk_cache_query(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                        uint64_t *fixed_bytes)
{
    (void)device;
    const lm_format *rotated = lhost_is_rotated(desc->k_format)   ? desc->k_format
                               : lhost_is_rotated(desc->v_format) ? desc->v_format
                                                                  : NULL;
    if (desc->kind != LM_CACHE_STATE && rotated != NULL)
        return lm_fail(LLM_E_UNSUPPORTED, "Vulkan has no cache of type %s", rotated->name);
    LM_TRY(lhost_storage_query(desc, BY_HEAD, page_bytes));
    *fixed_bytes = 0;
    if (*page_bytes > UINT32_MAX) /* shaders have offsets of 32 bits in a page */
        return lm_fail(LLM_E_LIMIT, "a page of %llu bytes; make pages of fewer tokens",
                       (unsigned long long)*page_bytes);
    return LLM_OK;
}

static int32_t fill(lvk_device *d, const lm_cache_desc *desc, lvk_cache *c)
{
    LM_TRY(lhost_storage_init(&d->books, desc, BY_HEAD, &c->base));
    c->addresses = LM_NEW_ARRAY(&d->books, uint64_t, desc->max_pages);
    return c->addresses == NULL ? LLM_E_MEMORY : LLM_OK;
}

int32_t lvk_cache_create(lm_device *device, const lm_cache_desc *desc, lm_cache **out)
{
    lvk_device *d = (lvk_device *)device;
    uint64_t page_bytes, fixed;
    LM_TRY(lvk_alive(d));
    LM_TRY(lvk_cache_query(device, desc, &page_bytes, &fixed));
    lvk_cache *c = LM_NEW(&d->books, lvk_cache);
    if (c == NULL)
        return LLM_E_MEMORY;
    int32_t rc = fill(d, desc, c);
    if (rc < 0) {
        lvk_cache_destroy(device, (lm_cache *)(void *)c);
        return rc;
    }
    *out = (lm_cache *)(void *)c;
    return LLM_OK;
}

/* Gives back the newest chunks until `pages` pages are left. */
static void shrink(lvk_device *d, lvk_cache *c, uint32_t pages)
{
    while (c->chunks != NULL && c->chunks->first_page >= pages) {
        lvk_chunk *chunk = c->chunks;
        c->chunks = chunk->next;
        c->base.n_pages = chunk->first_page;
        lvk_give(d, &chunk->region, true);
        LM_DELETE(&d->books, chunk);
    }
}

void lvk_cache_destroy(lm_device *device, lm_cache *cache)
{
    lvk_device *d = (lvk_device *)device;
    lvk_cache *c = lvk_cache_of(cache);
    if (c == NULL)
        return;
    shrink(d, c, 0);
    lm_free_array(&d->books, c->addresses, c->base.max_pages, sizeof *c->addresses);
    lhost_storage_finish(&d->books, &c->base);
    LM_DELETE(&d->books, c);
}

static int32_t add_chunk(lvk_device *d, lvk_cache *c, uint32_t pages)
{
    lvk_chunk *chunk = LM_NEW(&d->books, lvk_chunk);
    if (chunk == NULL)
        return LLM_E_MEMORY;
    chunk->first_page = c->base.n_pages;
    chunk->n_pages = pages;
    int32_t rc = lvk_take(d, LVK_DEVICE, pages * c->base.page_bytes, true, &chunk->region);
    if (rc < 0) {
        LM_DELETE(&d->books, chunk);
        return rc;
    }
    chunk->next = c->chunks;
    c->chunks = chunk;
    for (uint32_t i = 0; i < pages; i++)
        c->addresses[c->base.n_pages++] = chunk->region.address + i * c->base.page_bytes;
    return LLM_OK;
}

int32_t lvk_cache_grow(lm_device *device, lm_cache *cache, uint32_t pages)
{
    lvk_device *d = (lvk_device *)device;
    lvk_cache *c = lvk_cache_of(cache);
    uint64_t bytes;
    LM_TRY(lvk_alive(d));
    LM_TRY(lhost_check_growth(&c->base, pages, &bytes));
    uint32_t before = c->base.n_pages;
    uint64_t most = c->base.page_bytes < LVK_CHUNK ? LVK_CHUNK / c->base.page_bytes : 1;
    while (c->base.n_pages < pages) {
        uint32_t wanted = pages - c->base.n_pages;
        int32_t rc = add_chunk(d, c, wanted < most ? wanted : (uint32_t)most);
        if (rc < 0) {
            shrink(d, c, before);
            return rc;
        }
    }
    return LLM_OK;
}
