/* pages.c - copying, moving, exporting and importing pages. Exported pages have the canonical layout; they
 * are turned into it in host memory. */
#include "backends/vulkan/store.h"

#include <string.h>

/* The chunk a page lies in and its place there. */
static const lvk_chunk *chunk_of(const lvk_cache *c, uint32_t page, uint64_t *offset)
{
    const lvk_chunk *chunk = c->chunks;
    while (page < chunk->first_page)
        chunk = chunk->next;
    *offset = (page - chunk->first_page) * c->base.page_bytes;
    return chunk;
}

int32_t lvk_page_copy(lm_device *device, lm_cache *cache, uint32_t from, uint32_t to)
{
    lvk_cache *c = lvk_cache_of(cache);
    uint64_t source, target;
    LM_TRY(lhost_check_copy(&c->base, from, to));
    if (from == to)
        return LLM_OK;
    const lvk_chunk *a = chunk_of(c, from, &source), *b = chunk_of(c, to, &target);
    lvk_piece whole = {source, target, c->base.page_bytes};
    return lvk_copy((lvk_device *)device, &a->region, &b->region, &whole, 1);
}

#define PIECES 64u

int32_t lvk_page_move(lm_device *device, lm_cache *cache, uint32_t from_page, uint32_t from_slot,
                      uint32_t to_page, uint32_t to_slot)
{
    lvk_cache *c = lvk_cache_of(cache);
    lvk_piece pieces[PIECES];
    uint32_t n = 0;
    uint64_t source, target;
    LM_TRY(lhost_check_move(&c->base, from_page, from_slot, to_page, to_slot));
    if (from_page == to_page && from_slot == to_slot)
        return LLM_OK;
    const lvk_chunk *a = chunk_of(c, from_page, &source), *b = chunk_of(c, to_page, &target);
    for (uint32_t i = 0; i < 2 * c->base.n_members; i++) {
        const lhost_member *member = &c->base.members[i / 2];
        const lhost_part *part = &member->parts[i % 2];
        for (uint32_t h = 0; i % 2 < member->n_parts && h < part->heads; h++) {
            uint64_t at = part->offset + h * part->head_stride;
            pieces[n++] = (lvk_piece){source + at + from_slot * part->token_stride,
                                      target + at + to_slot * part->token_stride, part->head_bytes};
            if (n < PIECES)
                continue;
            LM_TRY(lvk_copy((lvk_device *)device, &a->region, &b->region, pieces, n));
            n = 0;
        }
    }
    return n == 0 ? LLM_OK : lvk_copy((lvk_device *)device, &a->region, &b->region, pieces, n);
}

/* --- in and out ------------------------------------------------------------------------------- */

static int32_t transfer(lvk_device *d, const lvk_cache *c, uint32_t page, uint32_t tokens,
                        uint8_t *outside, size_t size, bool into_page)
{
    const lhost_storage *s = &c->base;
    uint64_t offset;
    uint32_t rows;
    LM_TRY(lvk_alive(d));
    LM_TRY(lhost_check_transfer(s, page, tokens, size, &rows));
    const lvk_region *region = &chunk_of(c, page, &offset)->region;
    if (region->host != NULL && region->cached) {
        lhost_layout_walk(s->members, s->n_members, region->host + offset, rows, outside,
                          into_page);
        return LLM_OK;
    }
    uint8_t *copy = lm_alloc(&d->books, (size_t)s->page_bytes);
    if (copy == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lvk_download(d, region, offset, copy, s->page_bytes);
    if (rc >= 0)
        lhost_layout_walk(s->members, s->n_members, copy, rows, outside, into_page);
    if (rc >= 0 && into_page)
        rc = lvk_upload(d, region, offset, copy, s->page_bytes);
    lm_free(&d->books, copy, (size_t)s->page_bytes);
    return rc;
}

int32_t lvk_page_export(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                        void *into, size_t size)
{
    return transfer((lvk_device *)device, lvk_cache_of(cache), page, tokens, into, size, false);
}

int32_t lvk_page_import(lm_device *device, lm_cache *cache, uint32_t page, uint32_t tokens,
                        const void *from, size_t size)
{
    return transfer((lvk_device *)device, lvk_cache_of(cache), page, tokens,
                    (uint8_t *)(uintptr_t)from, size, true);
}
