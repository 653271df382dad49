/* pages - who holds which page of one cache group: reference counts and the free list. Storage is the
 * backends'; here are only numbers. Guarded by the engine's lock. */
#ifndef LM_EXEC_PAGES_H
#define LM_EXEC_PAGES_H

#include "base/alloc.h"

#define LM_NO_PAGE 0xffffffffu

/* The first page of a group that a row behind `length` tokens sees; window 0: the group has none. */
static inline uint32_t lm_first_page(uint32_t length, uint32_t window, uint32_t page_tokens)
{
    return window != 0 && length >= window ? (length - window + 1) / page_tokens : 0;
}

typedef struct lm_pages {
    lm_allocator *alloc;
    uint32_t *refs; /* [capacity] 0: free */
    uint32_t *free; /* [capacity] a stack of free pages */
    uint32_t n_free;
    uint32_t total; /* pages that have storage */
    uint32_t capacity;
} lm_pages;

void lm_pages_init(lm_pages *p, lm_allocator *alloc);
void lm_pages_finish(lm_pages *p);

/* Room for `total` pages, so that lm_pages_add cannot fail. */
int32_t lm_pages_reserve(lm_pages *p, uint32_t total);
/* Storage was added: pages up to `total` are free now. Reserved before. */
void lm_pages_add(lm_pages *p, uint32_t total);

uint32_t lm_pages_take(lm_pages *p); /* LM_NO_PAGE: none is free */
void lm_pages_retain(lm_pages *p, uint32_t page);
void lm_pages_release(lm_pages *p, uint32_t page); /* LM_NO_PAGE is fine */

#endif
