/* host_storage - what the cache of every backend begins with: which entries a page holds and where
 * they lie in it, how many pages there are. Where the pages are is the backend's. */
#ifndef LM_BACKENDS_HOST_STORAGE_H
#define LM_BACKENDS_HOST_STORAGE_H

#include "backends/common/host_layout.h"

typedef struct lhost_storage {
    uint32_t kind, page_tokens; /* 1 for states */
    uint32_t max_pages, n_pages;
    uint64_t page_bytes;
    lhost_member *members; /* [n_members] */
    uint32_t n_members;
    uint32_t *member_of; /* [n_entries] or LM_NONE */
    uint32_t n_entries;
} lhost_storage;

/* What the core holds as lm_cache begins with it in every backend. NULL stays NULL. */
static inline const lhost_storage *lhost_storage_of(const lm_cache *cache)
{
    return (const lhost_storage *)(const void *)cache;
}

int32_t lhost_storage_query(const lm_cache_desc *desc, bool by_head, uint64_t *page_bytes);
/* No pages yet: the backend counts those it adds in n_pages. */
int32_t lhost_storage_init(lm_allocator *books, const lm_cache_desc *desc, bool by_head,
                           lhost_storage *s);
void lhost_storage_finish(lm_allocator *books, lhost_storage *s); /* a zeroed one is fine */

/* Is what the core asks for there? The bytes are those of the pages that are missing. */
int32_t lhost_check_growth(const lhost_storage *s, uint32_t pages, uint64_t *bytes);
int32_t lhost_check_copy(const lhost_storage *s, uint32_t from, uint32_t to);
int32_t lhost_check_move(const lhost_storage *s, uint32_t from_page, uint32_t from_slot,
                         uint32_t to_page, uint32_t to_slot);
/* `rows`: tokens to be walked, 1 for a state. */
int32_t lhost_check_transfer(const lhost_storage *s, uint32_t page, uint32_t tokens, size_t size,
                             uint32_t *rows);

/* Keys (0) or values (1) of an entry, its convolution or its scan. */
static inline const lhost_part *lhost_storage_part(const lhost_storage *s, uint32_t entry,
                                                   uint32_t part)
{
    return &s->members[s->member_of[entry]].parts[part];
}

#endif
