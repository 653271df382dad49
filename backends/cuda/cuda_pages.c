/* cuda_pages.c - copying, moving, exporting and importing pages, on the device's own stream. What was
 * queued elsewhere was waited for: the core moves no page that a run still uses. The exported layout
 * is the canonical one: for each member K then V, row after row; states as convolution, then scan. */
#include "backends/cuda/cuda.h"

/* --- on the device -------------------------------------------------------------------------------- */

static int32_t copy_and_wait(lcu_device *d, void *to, const void *from, uint64_t bytes)
{
    lm_os_mutex_lock(&d->turn);
    int32_t rc = LCU_CALL(d, copy, to, from, (size_t)bytes, LCU_ON_DEVICE, d->stream);
    if (rc >= 0)
        rc = LCU_CALL(d, stream_wait, d->stream);
    lm_os_mutex_unlock(&d->turn);
    return rc;
}

int32_t lcu_page_copy(lm_device *device, lm_cache *cache, uint32_t from, uint32_t to)
{
    lcu_device *d = (lcu_device *)device;
    LM_TRY(lhost_check_copy(&cache->base, from, to));
    LM_TRY(lcu_enter(d));
    if (from == to || cache->base.page_bytes == 0)
        return LLM_OK;
    return copy_and_wait(d, cache->pages[to], cache->pages[from], cache->base.page_bytes);
}

static int32_t move_token(lcu_device *d, const lm_cache *c, const uint32_t from[2],
                          const uint32_t to[2])
{
    for (uint32_t i = 0; i < c->base.n_members; i++) {
        for (uint32_t p = 0; p < c->base.members[i].n_parts; p++) {
            const lhost_part *part = &c->base.members[i].parts[p];
            for (uint32_t h = 0; h < part->heads; h++)
                LM_TRY(LCU_CALL(d, copy, lhost_layout_at(part, c->pages[to[0]], to[1], h),
                                lhost_layout_at(part, c->pages[from[0]], from[1], h),
                                (size_t)part->head_bytes, LCU_ON_DEVICE, d->stream));
        }
    }
    return LCU_CALL(d, stream_wait, d->stream);
}

int32_t lcu_page_move(lm_device *device, lm_cache *cache, uint32_t from_page, uint32_t from_slot,
                      uint32_t to_page, uint32_t to_slot)
{
    lcu_device *d = (lcu_device *)device;
    LM_TRY(lhost_check_move(&cache->base, from_page, from_slot, to_page, to_slot));
    LM_TRY(lcu_enter(d));
    if (from_page == to_page && from_slot == to_slot)
        return LLM_OK;
    const uint32_t from[] = {from_page, from_slot}, to[] = {to_page, to_slot};
    lm_os_mutex_lock(&d->turn);
    int32_t rc = move_token(d, cache, from, to);
    lm_os_mutex_unlock(&d->turn);
    return rc;
}

/* --- in and out ------------------------------------------------------------------------------------- */

/* The whole page comes to the host; for an import it goes back with the tokens replaced. */
static int32_t transfer(lcu_device *d, const lm_cache *c, uint32_t page, uint32_t tokens,
                        uint8_t *outside, size_t size, bool into_page)
{
    const lhost_storage *s = &c->base;
    uint32_t rows;
    LM_TRY(lhost_check_transfer(s, page, tokens, size, &rows));
    LM_TRY(lcu_enter(d));
    uint8_t *image = lm_alloc(&d->books, (size_t)s->page_bytes);
    if (image == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lcu_download(d, image, c->pages[page], s->page_bytes);
    if (rc >= 0)
        lhost_layout_walk(s->members, s->n_members, image, rows, outside, into_page);
    if (rc >= 0 && into_page)
        rc = lcu_upload(d, c->pages[page], image, s->page_bytes);
    lm_free(&d->books, image, (size_t)s->page_bytes);
    return rc;
}

int32_t lcu_page_export(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                        void *into, size_t size)
{
    return transfer((lcu_device *)device, cache, page, tokens, into, size, false);
}

int32_t lcu_page_import(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                        const void *from, size_t size)
{
    return transfer((lcu_device *)device, cache, page, tokens, (uint8_t *)(uintptr_t)from, size,
                    true);
}
