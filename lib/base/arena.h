/* arena - many small blocks with one lifetime, given back together. */
#ifndef LM_BASE_ARENA_H
#define LM_BASE_ARENA_H

#include "base/alloc.h"

typedef struct lm_arena_chunk lm_arena_chunk;

typedef struct lm_arena {
    lm_allocator *alloc;
    lm_arena_chunk *chunks;
} lm_arena;

void lm_arena_init(lm_arena *arena, lm_allocator *alloc);
void lm_arena_finish(lm_arena *arena);

/* Zeroed, aligned to 16. NULL when out of memory, with the message set. */
void *lm_arena_alloc(lm_arena *arena, size_t size);
void *lm_arena_array(lm_arena *arena, size_t count, size_t size);
/* With what `from` holds; NULL: zeroed. */
void *lm_arena_copy(lm_arena *arena, const void *from, size_t count, size_t size);
char *lm_arena_strdup(lm_arena *arena, const char *text, size_t length);

#define LM_ARENA_ARRAY(arena, T, count) ((T *)lm_arena_array((arena), (count), sizeof(T)))

#endif
