/* cache.c - planning, creating and growing cache storage: pages in chunks that never move. Runs name
 * pages by their addresses, so no table on the device has to follow. */
#include "backends/vulkan/store.h"

#include "base/checked.h"

/* A head's tokens side by side: attention walks them. */
#define BY_HEAD true

int32_t lvk_cache_query(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                        uint64_t *fixed_bytes)
{
    (void)device;
    LM_TRY(lhost_layout_check(desc));
    lhost_member member;
    *page_bytes = 0;
    *fixed_bytes = 0;
    for (uint32_t i = 0; i < desc->n_members; i++)
        LM_TRY(lhost_layout_member(desc, desc->members[i], BY_HEAD, &member, page_bytes));
    if (*page_bytes > UINT32_MAX) /* shaders have offsets of 32 bits in a page */
        return lm_fail(LLM_E_LIMIT, "a page of %llu bytes; make pages of fewer tokens",
                       (unsigned long long)*page_bytes);
    return LLM_OK;
}

static int32_t fill(lvk_device *d, const lm_cache_desc *desc, lvk_cache *c)
{
    c->kind = desc->kind;
    c->page_tokens = lhost_layout_tokens(desc);
    c->max_pages = desc->max_pages;
    c->n_entries = desc->n_entries;
    c->n_members = desc->n_members;
    c->member_of = LM_NEW_ARRAY(&d->books, uint32_t, c->n_entries);
    c->members = LM_NEW_ARRAY(&d->books, lhost_member, c->n_members);
    c->addresses = LM_NEW_ARRAY(&d->books, uint64_t, c->max_pages);
    if (c->member_of == NULL || c->members == NULL || c->addresses == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i < c->n_entries; i++)
        c->member_of[i] = LM_NONE;
    for (uint32_t i = 0; i < c->n_members; i++) {
        LM_TRY(
            lhost_layout_member(desc, desc->members[i], BY_HEAD, &c->members[i], &c->page_bytes));
        c->member_of[desc->members[i]] = i;
    }
    return LLM_OK;
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
        c->n_pages = chunk->first_page;
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
    lm_free_array(&d->books, c->addresses, c->max_pages, sizeof *c->addresses);
    lm_free_array(&d->books, c->members, c->n_members, sizeof *c->members);
    lm_free_array(&d->books, c->member_of, c->n_entries, sizeof *c->member_of);
    LM_DELETE(&d->books, c);
}

static int32_t add_chunk(lvk_device *d, lvk_cache *c, uint32_t pages)
{
    lvk_chunk *chunk = LM_NEW(&d->books, lvk_chunk);
    if (chunk == NULL)
        return LLM_E_MEMORY;
    chunk->first_page = c->n_pages;
    chunk->n_pages = pages;
    int32_t rc = lvk_take(d, LVK_DEVICE, pages * c->page_bytes, true, &chunk->region);
    if (rc < 0) {
        LM_DELETE(&d->books, chunk);
        return rc;
    }
    chunk->next = c->chunks;
    c->chunks = chunk;
    for (uint32_t i = 0; i < pages; i++)
        c->addresses[c->n_pages++] = chunk->region.address + i * c->page_bytes;
    return LLM_OK;
}

int32_t lvk_cache_grow(lm_device *device, lm_cache *cache, uint32_t pages)
{
    lvk_device *d = (lvk_device *)device;
    lvk_cache *c = lvk_cache_of(cache);
    LM_TRY(lvk_alive(d));
    if (pages > c->max_pages)
        return lm_fail(LLM_E_LIMIT, "%u pages wanted of a cache made for %u", (unsigned)pages,
                       (unsigned)c->max_pages);
    uint32_t before = c->n_pages;
    uint64_t most = c->page_bytes < LVK_CHUNK ? LVK_CHUNK / c->page_bytes : 1;
    while (c->n_pages < pages) {
        uint32_t wanted = pages - c->n_pages;
        int32_t rc = add_chunk(d, c, wanted < most ? wanted : (uint32_t)most);
        if (rc < 0) {
            shrink(d, c, before);
            return rc;
        }
    }
    return LLM_OK;
}
