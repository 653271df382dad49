/* null_store.c - weights and caches of the null backend: sizes are those of a plain device,
 * contents are one hash per cached token. An exported token carries its hash in the first eight
 * bytes of its keys. */
#include "backends/null/null_device.h"

#include "backends/common/host_weight.h"
#include "base/bytes.h"

#include <string.h>

static lnull_device *of(lm_device *device)
{
    return (lnull_device *)device;
}

/* --- weights ---------------------------------------------------------------------------------- */

static int32_t plan_weight(const lnull_device *d, const lm_weight_desc *desc, bool mapped,
                           lm_weight_plan *out)
{
    uint64_t row, matrix, all;
    *out = (lm_weight_plan){LM_SUPPORT_NO, 0};
    if (desc->format->decode == NULL || !lhost_weight_size(desc, &row, &matrix, &all))
        return LLM_OK;
    bool vector = (desc->uses & LM_USE_VECTOR) != 0;
    if (vector)
        all = (uint64_t)desc->rows * desc->cols * desc->experts * sizeof(float);
    *out = (lm_weight_plan){LM_SUPPORT_NATIVE, mapped && d->host_memory && !vector ? 0 : all};
    return LLM_OK;
}

int32_t lnull_weight_query(lm_device *device, const lm_weight_desc *desc, bool mapped,
                           lm_weight_plan *out)
{
    LM_TRY(lnull_note(device, LNULL_WEIGHT_QUERY, desc->rows, desc->cols, desc->experts));
    return plan_weight(of(device), desc, mapped, out);
}

int32_t lnull_weight_load(lm_device *device, const lm_weight_desc *desc, const lm_weight_data *data,
                          lm_weight **out)
{
    lnull_device *d = of(device);
    LM_TRY(lnull_note(device, LNULL_WEIGHT_LOAD, desc->rows, desc->cols, desc->experts));
    lm_weight_plan plan;
    LM_TRY(plan_weight(d, desc, data->mapped, &plan));
    if (plan.support == LM_SUPPORT_NO)
        return lm_fail(LLM_E_UNSUPPORTED, "weight '%s' does not make whole %s blocks", desc->name,
                       desc->format->name);
    if (data->data == NULL)
        return lm_fail(LLM_E_INVALID, "weight '%s' comes without data", desc->name);
    lm_weight *w = LM_NEW(&d->books, lm_weight);
    if (w == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lnull_take(d, plan.bytes);
    if (rc < 0) {
        LM_DELETE(&d->books, w);
        return rc;
    }
    w->own_bytes = plan.bytes;
    *out = w;
    return LLM_OK;
}

void lnull_weight_destroy(lm_device *device, lm_weight *weight)
{
    if (weight == NULL)
        return;
    (void)lnull_note(device, LNULL_WEIGHT_DESTROY, 0, 0, 0);
    lnull_give(of(device), weight->own_bytes);
    LM_DELETE(&of(device)->books, weight);
}

/* --- caches ----------------------------------------------------------------------------------- */

/* Bytes of the first member's keys of one token, or of its whole state. */
static int32_t first_row(const lm_cache_desc *desc, uint64_t *bytes)
{
    lhost_member first;
    uint64_t end = 0;
    LM_TRY(lhost_layout_member(desc, desc->members[0], false, &first, &end));
    *bytes = desc->kind == LM_CACHE_STATE ? lhost_layout_exported(&first, 1, 1)
                                          : first.parts[0].token_stride;
    if (*bytes < sizeof(uint64_t))
        return lm_fail(LLM_E_UNSUPPORTED, "the null backend needs keys of eight bytes or more");
    return LLM_OK;
}

static uint64_t fixed_bytes_of(uint32_t max_pages)
{
    return (uint64_t)max_pages * sizeof(void *);
}

int32_t lnull_cache_query(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                          uint64_t *fixed_bytes)
{
    uint64_t row;
    LM_TRY(lnull_note(device, LNULL_CACHE_QUERY, desc->n_members, desc->max_pages, 0));
    LM_TRY(lhost_storage_query(desc, false, page_bytes));
    LM_TRY(first_row(desc, &row));
    *fixed_bytes = fixed_bytes_of(desc->max_pages);
    return LLM_OK;
}

static size_t tokens_of(const lm_cache *c)
{
    return (size_t)c->base.max_pages * c->base.page_tokens;
}

static void free_cache(lnull_device *d, lm_cache *c)
{
    lm_free_array(&d->books, c->hashes, tokens_of(c), sizeof *c->hashes);
    lm_free_array(&d->books, c->stamps, tokens_of(c), sizeof *c->stamps);
    lhost_storage_finish(&d->books, &c->base);
    LM_DELETE(&d->books, c);
}

int32_t lnull_cache_create(lm_device *device, const lm_cache_desc *desc, lm_cache **out)
{
    lnull_device *d = of(device);
    LM_TRY(lnull_note(device, LNULL_CACHE_CREATE, desc->n_members, desc->max_pages, 0));
    lm_cache *c = LM_NEW(&d->books, lm_cache);
    if (c == NULL)
        return LLM_E_MEMORY;
    int32_t rc;
    LM_GO(lhost_storage_init(&d->books, desc, false, &c->base));
    LM_GO(first_row(desc, &c->first_row_bytes));
    c->hashes = LM_NEW_ARRAY(&d->books, uint64_t, tokens_of(c));
    c->stamps = LM_NEW_ARRAY(&d->books, uint32_t, tokens_of(c));
    LM_GO(c->hashes == NULL || c->stamps == NULL ? LLM_E_MEMORY : LLM_OK);
    LM_GO(lnull_take(d, fixed_bytes_of(desc->max_pages)));
    *out = c;
    return LLM_OK;
out:
    free_cache(d, c);
    return rc;
}

void lnull_cache_destroy(lm_device *device, lm_cache *cache)
{
    lnull_device *d = of(device);
    if (cache == NULL)
        return;
    (void)lnull_note(device, LNULL_CACHE_DESTROY, 0, 0, 0);
    const lhost_storage *s = &cache->base;
    lnull_give(d, fixed_bytes_of(s->max_pages) + s->n_pages * s->page_bytes);
    free_cache(d, cache);
}

int32_t lnull_cache_grow(lm_device *device, lm_cache *cache, uint32_t pages)
{
    lhost_storage *s = &cache->base;
    uint64_t bytes;
    LM_TRY(lnull_note(device, LNULL_CACHE_GROW, pages, s->n_pages, 0));
    LM_TRY(lhost_check_growth(s, pages, &bytes));
    if (pages <= s->n_pages)
        return LLM_OK;
    LM_TRY(lnull_take(of(device), bytes));
    s->n_pages = pages;
    return LLM_OK;
}

/* --- pages ------------------------------------------------------------------------------------ */

static uint64_t *page_at(const lm_cache *c, uint32_t page)
{
    return c->hashes + (size_t)page * c->base.page_tokens;
}

int32_t lnull_page_copy(lm_device *device, lm_cache *cache, uint32_t from, uint32_t to)
{
    LM_TRY(lnull_note(device, LNULL_PAGE_COPY, from, to, 0));
    LM_TRY(lhost_check_copy(&cache->base, from, to));
    memmove(page_at(cache, to), page_at(cache, from), cache->base.page_tokens * sizeof(uint64_t));
    return LLM_OK;
}

int32_t lnull_page_move(lm_device *device, lm_cache *cache, uint32_t from_page, uint32_t from_slot,
                        uint32_t to_page, uint32_t to_slot)
{
    LM_TRY(lnull_note(device, LNULL_PAGE_MOVE, from_page, to_page, 0));
    LM_TRY(lhost_check_move(&cache->base, from_page, from_slot, to_page, to_slot));
    page_at(cache, to_page)[to_slot] = page_at(cache, from_page)[from_slot];
    return LLM_OK;
}

int32_t lnull_page_export(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                          void *into, size_t size)
{
    uint32_t rows;
    LM_TRY(lnull_note(device, LNULL_PAGE_EXPORT, page, tokens, 0));
    LM_TRY(lhost_check_transfer(&cache->base, page, tokens, size, &rows));
    memset(into, 0, size);
    for (uint32_t t = 0; t < rows; t++)
        lm_store_u64((uint8_t *)into + t * cache->first_row_bytes, page_at(cache, page)[t]);
    return LLM_OK;
}

int32_t lnull_page_import(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                          const void *from, size_t size)
{
    uint32_t rows;
    LM_TRY(lnull_note(device, LNULL_PAGE_IMPORT, page, tokens, 0));
    LM_TRY(lhost_check_transfer(&cache->base, page, tokens, size, &rows));
    for (uint32_t t = 0; t < rows; t++)
        page_at(cache, page)[t] = lm_load_u64((const uint8_t *)from + t * cache->first_row_bytes);
    return LLM_OK;
}
