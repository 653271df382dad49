/* host_storage.c - the part of a cache that is the same in every memory, and the proof that what is
 * asked of its pages is there. */
#include "backends/common/host_storage.h"

#include "base/checked.h"

int32_t lhost_storage_query(const lm_cache_desc *desc, bool by_head, uint64_t *page_bytes)
{
    lhost_member member;
    uint64_t bytes = 0;
    LM_TRY(lhost_layout_check(desc));
    for (uint32_t i = 0; i < desc->n_members; i++)
        LM_TRY(lhost_layout_member(desc, desc->members[i], by_head, &member, &bytes));
    *page_bytes = bytes;
    return LLM_OK;
}

static int32_t fill(const lm_cache_desc *desc, bool by_head, lhost_storage *s)
{
    if (s->member_of == NULL || s->members == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i < s->n_entries; i++)
        s->member_of[i] = LM_NONE;
    for (uint32_t i = 0; i < s->n_members; i++) {
        LM_TRY(
            lhost_layout_member(desc, desc->members[i], by_head, &s->members[i], &s->page_bytes));
        s->member_of[desc->members[i]] = i;
    }
    return LLM_OK;
}

int32_t lhost_storage_init(lm_allocator *books, const lm_cache_desc *desc, bool by_head,
                           lhost_storage *s)
{
    LM_TRY(lhost_layout_check(desc));
    *s = (lhost_storage){.kind = desc->kind,
                         .page_tokens = lhost_layout_tokens(desc),
                         .max_pages = desc->max_pages,
                         .members = LM_NEW_ARRAY(books, lhost_member, desc->n_members),
                         .n_members = desc->n_members,
                         .member_of = LM_NEW_ARRAY(books, uint32_t, desc->n_entries),
                         .n_entries = desc->n_entries};
    int32_t rc = fill(desc, by_head, s);
    if (rc < 0)
        lhost_storage_finish(books, s);
    return rc;
}

void lhost_storage_finish(lm_allocator *books, lhost_storage *s)
{
    lm_free_array(books, s->members, s->n_members, sizeof *s->members);
    lm_free_array(books, s->member_of, s->n_entries, sizeof *s->member_of);
    *s = (lhost_storage){0};
}

/* --- what is asked of pages ------------------------------------------------------------------- */

int32_t lhost_check_growth(const lhost_storage *s, uint32_t pages, uint64_t *bytes)
{
    if (pages > s->max_pages)
        return lm_fail(LLM_E_LIMIT, "%u pages wanted of a cache made for %u", (unsigned)pages,
                       (unsigned)s->max_pages);
    uint32_t missing = pages > s->n_pages ? pages - s->n_pages : 0;
    if (!lm_mul_u64(missing, s->page_bytes, bytes) || !lm_fits_size(*bytes))
        return lm_fail(LLM_E_MEMORY, "out of memory: %u pages of %llu bytes", (unsigned)missing,
                       (unsigned long long)s->page_bytes);
    return LLM_OK;
}

static int32_t check_page(const lhost_storage *s, uint32_t page, uint32_t tokens)
{
    if (page >= s->n_pages || tokens > s->page_tokens)
        return lm_fail(LLM_E_INVALID, "page %u with %u tokens, in a cache of %u pages of %u tokens",
                       (unsigned)page, (unsigned)tokens, (unsigned)s->n_pages,
                       (unsigned)s->page_tokens);
    return LLM_OK;
}

int32_t lhost_check_copy(const lhost_storage *s, uint32_t from, uint32_t to)
{
    LM_TRY(check_page(s, from, 0));
    return check_page(s, to, 0);
}

int32_t lhost_check_move(const lhost_storage *s, uint32_t from_page, uint32_t from_slot,
                         uint32_t to_page, uint32_t to_slot)
{
    LM_TRY(lhost_check_copy(s, from_page, to_page));
    if (from_slot >= s->page_tokens || to_slot >= s->page_tokens)
        return lm_fail(LLM_E_INVALID, "token %u to token %u of pages of %u", (unsigned)from_slot,
                       (unsigned)to_slot, (unsigned)s->page_tokens);
    return LLM_OK;
}

int32_t lhost_check_transfer(const lhost_storage *s, uint32_t page, uint32_t tokens, size_t size,
                             uint32_t *rows)
{
    uint32_t count = s->kind == LM_CACHE_STATE ? 1 : tokens;
    LM_TRY(check_page(s, page, count));
    uint64_t wanted = lhost_layout_exported(s->members, s->n_members, count);
    if (size != wanted)
        return lm_fail(LLM_E_MISMATCH, "%llu bytes for %u tokens of a page that take %llu",
                       (unsigned long long)size, (unsigned)count, (unsigned long long)wanted);
    *rows = count;
    return LLM_OK;
}
