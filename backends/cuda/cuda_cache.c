/* cuda_cache.c - storage for pages: chunks that never move, and a table on the device, of fixed
 * address and capacity, from page numbers to their places. A page holds [head][token][value]. */
#include "backends/cuda/cuda.h"

#include "base/checked.h"

/* Kernels write these. */
static bool can_write(const lm_format *f)
{
    return f->id == LM_F32 || f->id == LM_F16 || f->id == LM_BF16 || f->id == LM_Q8_0;
}

static int32_t check_desc(const lm_cache_desc *desc)
{
    LM_TRY(lhost_layout_check(desc));
    if (desc->kind != LM_CACHE_STATE && (!can_write(desc->k_format) || !can_write(desc->v_format)))
        return lm_fail(LLM_E_UNSUPPORTED, "a cache of type %s/%s; CUDA has f32, f16, bf16 and q8_0",
                       desc->k_format->name, desc->v_format->name);
    return LLM_OK;
}

int32_t lcu_cache_query(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                        uint64_t *fixed_bytes)
{
    lhost_member member;
    uint64_t offset = 0;
    (void)device;
    LM_TRY(check_desc(desc));
    for (uint32_t i = 0; i < desc->n_members; i++)
        LM_TRY(lhost_layout_member(desc, desc->members[i], true, &member, &offset));
    *page_bytes = offset;
    *fixed_bytes = (uint64_t)desc->max_pages * sizeof(uint8_t *);
    return LLM_OK;
}

static int32_t fill(lcu_device *d, const lm_cache_desc *desc, lm_cache *c)
{
    c->kind = desc->kind;
    c->page_tokens = lhost_layout_tokens(desc);
    c->max_pages = desc->max_pages;
    c->n_entries = desc->n_entries;
    c->n_members = desc->n_members;
    c->member_of = LM_NEW_ARRAY(&d->books, uint32_t, c->n_entries);
    c->members = LM_NEW_ARRAY(&d->books, lhost_member, c->n_members);
    c->pages = LM_NEW_ARRAY(&d->books, uint8_t *, c->max_pages);
    if (c->member_of == NULL || c->members == NULL || c->pages == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i < c->n_entries; i++)
        c->member_of[i] = LM_NONE;
    for (uint32_t i = 0; i < c->n_members; i++) {
        LM_TRY(lhost_layout_member(desc, desc->members[i], true, &c->members[i], &c->page_bytes));
        c->member_of[desc->members[i]] = i;
    }
    void *table;
    LM_TRY(lcu_take(d, c->max_pages * sizeof *c->table, &table));
    c->table = table;
    return LLM_OK;
}

int32_t lcu_cache_create(lm_device *device, const lm_cache_desc *desc, lm_cache **out)
{
    lcu_device *d = (lcu_device *)device;
    LM_TRY(check_desc(desc));
    LM_TRY(lcu_enter(d));
    lm_cache *c = LM_NEW(&d->books, lm_cache);
    if (c == NULL)
        return LLM_E_MEMORY;
    int32_t rc = fill(d, desc, c);
    if (rc < 0) {
        lcu_cache_destroy(device, c);
        return rc;
    }
    *out = c;
    return LLM_OK;
}

void lcu_cache_destroy(lm_device *device, lm_cache *cache)
{
    lcu_device *d = (lcu_device *)device;
    if (cache == NULL)
        return;
    while (cache->chunks != NULL) {
        lcu_chunk *chunk = cache->chunks;
        cache->chunks = chunk->next;
        lcu_give(d, chunk->data, chunk->bytes);
        LM_DELETE(&d->books, chunk);
    }
    lcu_give(d, cache->table, cache->max_pages * sizeof *cache->table);
    lm_free_array(&d->books, cache->pages, cache->max_pages, sizeof *cache->pages);
    lm_free_array(&d->books, cache->members, cache->n_members, sizeof *cache->members);
    lm_free_array(&d->books, cache->member_of, cache->n_entries, sizeof *cache->member_of);
    LM_DELETE(&d->books, cache);
}

/* Pages from n_pages on get their places in a new chunk; the device's table learns of them. */
static int32_t add_chunk(lcu_device *d, lm_cache *c, uint32_t pages, lcu_chunk *chunk)
{
    LM_TRY(lcu_take(d, chunk->bytes, &chunk->data));
    uint32_t added = pages - c->n_pages;
    for (uint32_t i = 0; i < added; i++)
        c->pages[c->n_pages + i] = (uint8_t *)chunk->data + i * c->page_bytes;
    int32_t rc =
        lcu_upload(d, c->table + c->n_pages, c->pages + c->n_pages, added * sizeof *c->table);
    if (rc < 0)
        lcu_give(d, chunk->data, chunk->bytes);
    return rc;
}

int32_t lcu_cache_grow(lm_device *device, lm_cache *cache, uint32_t pages)
{
    lcu_device *d = (lcu_device *)device;
    if (pages > cache->max_pages)
        return lm_fail(LLM_E_LIMIT, "%u pages wanted of a cache made for %u", (unsigned)pages,
                       (unsigned)cache->max_pages);
    if (pages <= cache->n_pages)
        return LLM_OK;
    LM_TRY(lcu_enter(d));
    lcu_chunk *chunk = LM_NEW(&d->books, lcu_chunk);
    if (chunk == NULL)
        return LLM_E_MEMORY;
    int32_t rc;
    if (!lm_mul_u64(pages - cache->n_pages, cache->page_bytes, &chunk->bytes))
        rc = lm_fail(LLM_E_MEMORY, "out of memory: %u pages of %llu bytes",
                     (unsigned)(pages - cache->n_pages), (unsigned long long)cache->page_bytes);
    else
        rc = add_chunk(d, cache, pages, chunk);
    if (rc < 0) {
        LM_DELETE(&d->books, chunk);
        return rc;
    }
    chunk->next = cache->chunks;
    cache->chunks = chunk;
    cache->n_pages = pages;
    return LLM_OK;
}
