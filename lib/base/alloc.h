/* alloc - the one door to memory. Counts every byte, so that the memory plan can be compared with
 * what was really asked for. Blocks are 64-byte aligned. NULL means no memory, with the message
 * already set; callers return LLM_E_MEMORY. */
#ifndef LM_BASE_ALLOC_H
#define LM_BASE_ALLOC_H

#include "base/status.h"

#include <stdatomic.h>
#include <stdbool.h>

#define LM_ALIGN 64u

typedef struct lm_allocator {
    llm_allocator host;
    _Atomic uint64_t bytes; /* held now */
    _Atomic uint64_t peak;
    _Atomic uint64_t calls; /* allocations ever made: "none while decoding" is tested with it */
} lm_allocator;

/* `host` may be NULL or zero: the C library's memory. */
void lm_allocator_init(lm_allocator *a, const llm_allocator *host);

void *lm_alloc(lm_allocator *a, size_t size); /* uninitialised; size 0 gives a block */
void *lm_alloc_zero(lm_allocator *a, size_t size);
void *lm_alloc_array(lm_allocator *a, size_t count, size_t size); /* checked product, zeroed */
void lm_free(lm_allocator *a, void *block, size_t size);          /* block may be NULL */
void lm_free_array(lm_allocator *a, void *block, size_t count, size_t size);
char *lm_strdup(lm_allocator *a, const char *text, size_t length); /* NUL added */
void lm_strfree(lm_allocator *a, char *text);

/* Makes room for `need` items in a growing array, doubling. On failure the array stays as it was. */
int32_t lm_grow(lm_allocator *a, void **items, size_t *capacity, size_t need, size_t size);

#define LM_NEW(a, T)              ((T *)lm_alloc_zero((a), sizeof(T)))
#define LM_NEW_ARRAY(a, T, count) ((T *)lm_alloc_array((a), (count), sizeof(T)))
#define LM_DELETE(a, p)           lm_free((a), (p), sizeof *(p))

#endif
