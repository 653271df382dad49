/* cuda_cache.c - storage for pages: chunks that never move, and a table on the device, of fixed
 * address and capacity, from page numbers to their places. A page holds [head][token][value]. */
#include "backends/cuda/cuda.h"

/* A head's tokens side by side: attention walks them. */
#define BY_HEAD true

/* Kernels write these. */
static bool can_write(const lm_format *f)
{
    return f->id == LM_F32 || f->id == LM_F16 || f->id == LM_BF16 || f->id == LM_Q8_0 ||
           f->id == LM_E4M3;
}

static int32_t check_formats(const lm_cache_desc *desc)
{
    if (desc->kind != LM_CACHE_STATE && (!can_write(desc->k_format) || !can_write(desc->v_format)))
        return lm_fail(LLM_E_UNSUPPORTED,
                       "a cache of type %s/%s; CUDA has f32, f16, bf16, q8_0 and e4m3",
                       desc->k_format->name, desc->v_format->name);
    return LLM_OK;
}

int32_t lcu_cache_query(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                        uint64_t *fixed_bytes)
{
    (void)device;
    LM_TRY(check_formats(desc));
    LM_TRY(lhost_storage_query(desc, BY_HEAD, page_bytes));
    *fixed_bytes = (uint64_t)desc->max_pages * sizeof(uint8_t *);
    return LLM_OK;
}

static int32_t fill(lcu_device *d, const lm_cache_desc *desc, lm_cache *c)
{
    LM_TRY(lhost_storage_init(&d->books, desc, BY_HEAD, &c->base));
    c->pages = LM_NEW_ARRAY(&d->books, uint8_t *, desc->max_pages);
    if (c->pages == NULL)
        return LLM_E_MEMORY;
    void *table;
    LM_TRY(lcu_take(d, desc->max_pages * sizeof *c->table, &table));
    c->table = table;
    return LLM_OK;
}

int32_t lcu_cache_create(lm_device *device, const lm_cache_desc *desc, lm_cache **out)
{
    lcu_device *d = (lcu_device *)device;
    LM_TRY(check_formats(desc));
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
    lcu_give(d, cache->table, cache->base.max_pages * sizeof *cache->table);
    lm_free_array(&d->books, cache->pages, cache->base.max_pages, sizeof *cache->pages);
    lhost_storage_finish(&d->books, &cache->base);
    LM_DELETE(&d->books, cache);
}

/* Pages from n_pages on get their places in a new chunk; the device's table learns of them. */
static int32_t add_chunk(lcu_device *d, lm_cache *c, uint32_t pages, lcu_chunk *chunk)
{
    LM_TRY(lcu_take(d, chunk->bytes, &chunk->data));
    uint32_t first = c->base.n_pages, added = pages - first;
    for (uint32_t i = 0; i < added; i++)
        c->pages[first + i] = (uint8_t *)chunk->data + i * c->base.page_bytes;
    int32_t rc = lcu_upload(d, c->table + first, c->pages + first, added * sizeof *c->table);
    if (rc < 0)
        lcu_give(d, chunk->data, chunk->bytes);
    return rc;
}

int32_t lcu_cache_grow(lm_device *device, lm_cache *cache, uint32_t pages)
{
    lcu_device *d = (lcu_device *)device;
    uint64_t bytes;
    LM_TRY(lhost_check_growth(&cache->base, pages, &bytes));
    if (pages <= cache->base.n_pages)
        return LLM_OK;
    LM_TRY(lcu_enter(d));
    lcu_chunk *chunk = LM_NEW(&d->books, lcu_chunk);
    if (chunk == NULL)
        return LLM_E_MEMORY;
    chunk->bytes = bytes;
    int32_t rc = add_chunk(d, cache, pages, chunk);
    if (rc < 0) {
        LM_DELETE(&d->books, chunk);
        return rc;
    }
    chunk->next = cache->chunks;
    cache->chunks = chunk;
    cache->base.n_pages = pages;
    return LLM_OK;
}
