/* pages.c - a stack of free page numbers beside an array of counts. */
#include "exec/pages.h"

#include <string.h>

void lm_pages_init(lm_pages *p, lm_allocator *alloc)
{
    memset(p, 0, sizeof *p);
    p->alloc = alloc;
}

void lm_pages_finish(lm_pages *p)
{
    lm_free_array(p->alloc, p->refs, p->capacity, sizeof *p->refs);
    lm_free_array(p->alloc, p->free, p->capacity, sizeof *p->free);
    lm_pages_init(p, p->alloc);
}

int32_t lm_pages_reserve(lm_pages *p, uint32_t total)
{
    if (total <= p->capacity)
        return LLM_OK;
    uint32_t *refs = LM_NEW_ARRAY(p->alloc, uint32_t, total);
    uint32_t *free = LM_NEW_ARRAY(p->alloc, uint32_t, total);
    if (refs == NULL || free == NULL) {
        lm_free_array(p->alloc, refs, total, sizeof *refs);
        lm_free_array(p->alloc, free, total, sizeof *free);
        return LLM_E_MEMORY;
    }
    if (p->capacity > 0) {
        memcpy(refs, p->refs, p->total * sizeof *refs);
        memcpy(free, p->free, p->n_free * sizeof *free);
    }
    lm_free_array(p->alloc, p->refs, p->capacity, sizeof *p->refs);
    lm_free_array(p->alloc, p->free, p->capacity, sizeof *p->free);
    p->refs = refs;
    p->free = free;
    p->capacity = total;
    return LLM_OK;
}

void lm_pages_add(lm_pages *p, uint32_t total)
{
    /* The lowest new page ends on top of the stack. */
    for (uint32_t page = total; page-- > p->total;)
        p->free[p->n_free++] = page;
    p->total = total;
}

uint32_t lm_pages_take(lm_pages *p)
{
    if (p->n_free == 0)
        return LM_NO_PAGE;
    uint32_t page = p->free[--p->n_free];
    p->refs[page] = 1;
    return page;
}

void lm_pages_retain(lm_pages *p, uint32_t page)
{
    p->refs[page]++;
}

void lm_pages_release(lm_pages *p, uint32_t page)
{
    if (page != LM_NO_PAGE && --p->refs[page] == 0)
        p->free[p->n_free++] = page;
}
