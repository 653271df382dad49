/* null_store.c - weights and caches of the null backend: sizes are those of a plain device,
 * contents are one hash per cached token. An exported token carries its hash in the first eight
 * bytes of its keys. */
#include "backends/null/null_device.h"

#include "backends/common/host_weight.h"
#include "base/bytes.h"
#include "base/checked.h"

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

/* --- caches: sizes ---------------------------------------------------------------------------- */

static bool is_state(const lm_cache_desc *desc)
{
    return desc->kind == LM_CACHE_STATE;
}

/* Bytes of `tokens` tokens (a whole state) over all members, as exported. */
static int32_t group_bytes(const lm_cache_desc *desc, uint32_t tokens, uint64_t *bytes,
                           uint64_t *first)
{
    *bytes = 0;
    for (uint32_t i = 0; i < desc->n_members; i++) {
        lm_check(desc->members[i] < desc->n_entries);
        const lm_cache_entry *e = &desc->entries[desc->members[i]];
        uint64_t k, v;
        if (is_state(desc)) {
            k = ((uint64_t)e->conv_values + e->scan_values) * sizeof(float);
            v = 0;
        } else if (!lm_format_row_bytes(desc->k_format, e->k_dim, &k) ||
                   !lm_format_row_bytes(desc->v_format, e->v_dim, &v)) {
            return lm_fail(
                LLM_E_UNSUPPORTED, "heads of %u and %u values do not make blocks of %s/%s",
                (unsigned)e->k_dim, (unsigned)e->v_dim, desc->k_format->name, desc->v_format->name);
        } else {
            k *= e->kv_heads;
            v *= e->kv_heads;
        }
        if (i == 0)
            *first = k;
        *bytes += (k + v) * tokens;
    }
    return LLM_OK;
}

static int32_t plan_cache(const lm_cache_desc *desc, lm_cache *c)
{
    if (desc->max_pages == 0 || desc->n_members == 0)
        return lm_fail(LLM_E_INVALID, "a cache of no pages or no members");
    if (!is_state(desc) &&
        (!lm_is_pow2(desc->page_tokens) || desc->page_tokens < 16 || desc->page_tokens > 128))
        return lm_fail(LLM_E_INVALID, "pages of %u tokens; wanted 16, 32, 64 or 128",
                       (unsigned)desc->page_tokens);
    c->page_tokens = is_state(desc) ? 1 : desc->page_tokens;
    c->fixed_bytes = (uint64_t)desc->max_pages * sizeof(void *);
    LM_TRY(group_bytes(desc, c->page_tokens, &c->page_bytes, &c->first_row_bytes));
    if (c->first_row_bytes < sizeof(uint64_t))
        return lm_fail(LLM_E_UNSUPPORTED, "the null backend needs keys of eight bytes or more");
    return LLM_OK;
}

int32_t lnull_cache_query(lm_device *device, const lm_cache_desc *desc, uint64_t *page_bytes,
                          uint64_t *fixed_bytes)
{
    lm_cache c;
    LM_TRY(lnull_note(device, LNULL_CACHE_QUERY, desc->n_members, desc->max_pages, 0));
    LM_TRY(plan_cache(desc, &c));
    *page_bytes = c.page_bytes;
    *fixed_bytes = c.fixed_bytes;
    return LLM_OK;
}

/* --- caches: life ----------------------------------------------------------------------------- */

static void free_cache(lnull_device *d, lm_cache *c)
{
    size_t tokens = (size_t)c->desc.max_pages * c->page_tokens;
    lm_free_array(&d->books, c->hashes, tokens, sizeof *c->hashes);
    lm_free_array(&d->books, c->stamps, tokens, sizeof *c->stamps);
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
    LM_GO(plan_cache(desc, c));
    c->desc = *desc;
    size_t tokens = (size_t)desc->max_pages * c->page_tokens;
    c->hashes = LM_NEW_ARRAY(&d->books, uint64_t, tokens);
    c->stamps = LM_NEW_ARRAY(&d->books, uint32_t, tokens);
    LM_GO(c->hashes == NULL || c->stamps == NULL ? LLM_E_MEMORY : LLM_OK);
    LM_GO(lnull_take(d, c->fixed_bytes));
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
    lnull_give(d, cache->fixed_bytes + cache->n_pages * cache->page_bytes);
    free_cache(d, cache);
}

int32_t lnull_cache_grow(lm_device *device, lm_cache *cache, uint32_t pages)
{
    LM_TRY(lnull_note(device, LNULL_CACHE_GROW, pages, cache->n_pages, 0));
    if (pages > cache->desc.max_pages)
        return lm_fail(LLM_E_LIMIT, "%u pages wanted of a cache made for %u", (unsigned)pages,
                       (unsigned)cache->desc.max_pages);
    if (pages <= cache->n_pages)
        return LLM_OK;
    LM_TRY(lnull_take(of(device), (pages - cache->n_pages) * cache->page_bytes));
    cache->n_pages = pages;
    return LLM_OK;
}

/* --- pages ------------------------------------------------------------------------------------ */

static int32_t check_page(const lm_cache *c, uint32_t page, uint32_t tokens)
{
    if (page >= c->n_pages || tokens > c->page_tokens)
        return lm_fail(LLM_E_INVALID, "page %u with %u tokens, in a cache of %u pages of %u tokens",
                       (unsigned)page, (unsigned)tokens, (unsigned)c->n_pages,
                       (unsigned)c->page_tokens);
    return LLM_OK;
}

static uint64_t *page_at(const lm_cache *c, uint32_t page)
{
    return c->hashes + (size_t)page * c->page_tokens;
}

int32_t lnull_page_copy(lm_device *device, lm_cache *cache, uint32_t from, uint32_t to)
{
    LM_TRY(lnull_note(device, LNULL_PAGE_COPY, from, to, 0));
    LM_TRY(check_page(cache, from, 0));
    LM_TRY(check_page(cache, to, 0));
    memmove(page_at(cache, to), page_at(cache, from), cache->page_tokens * sizeof(uint64_t));
    return LLM_OK;
}

int32_t lnull_page_move(lm_device *device, lm_cache *cache, uint32_t from_page, uint32_t from_slot,
                        uint32_t to_page, uint32_t to_slot)
{
    LM_TRY(lnull_note(device, LNULL_PAGE_MOVE, from_page, to_page, 0));
    LM_TRY(check_page(cache, from_page, 0));
    LM_TRY(check_page(cache, to_page, 0));
    if (from_slot >= cache->page_tokens || to_slot >= cache->page_tokens)
        return lm_fail(LLM_E_INVALID, "token %u to token %u of pages of %u", (unsigned)from_slot,
                       (unsigned)to_slot, (unsigned)cache->page_tokens);
    page_at(cache, to_page)[to_slot] = page_at(cache, from_page)[from_slot];
    return LLM_OK;
}

static int32_t check_transfer(const lm_cache *c, uint32_t page, uint32_t tokens, size_t size)
{
    LM_TRY(check_page(c, page, tokens));
    uint64_t wanted = c->page_bytes / c->page_tokens * tokens;
    if (size != wanted)
        return lm_fail(LLM_E_MISMATCH, "%llu bytes for %u tokens of a page that take %llu",
                       (unsigned long long)size, (unsigned)tokens, (unsigned long long)wanted);
    return LLM_OK;
}

int32_t lnull_page_export(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                          void *into, size_t size)
{
    uint32_t count = is_state(&cache->desc) ? 1 : tokens;
    LM_TRY(lnull_note(device, LNULL_PAGE_EXPORT, page, tokens, 0));
    LM_TRY(check_transfer(cache, page, count, size));
    memset(into, 0, size);
    for (uint32_t t = 0; t < count; t++)
        lm_store_u64((uint8_t *)into + t * cache->first_row_bytes, page_at(cache, page)[t]);
    return LLM_OK;
}

int32_t lnull_page_import(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                          const void *from, size_t size)
{
    uint32_t count = is_state(&cache->desc) ? 1 : tokens;
    LM_TRY(lnull_note(device, LNULL_PAGE_IMPORT, page, tokens, 0));
    LM_TRY(check_transfer(cache, page, count, size));
    for (uint32_t t = 0; t < count; t++)
        page_at(cache, page)[t] = lm_load_u64((const uint8_t *)from + t * cache->first_row_bytes);
    return LLM_OK;
}
