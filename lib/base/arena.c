/* arena.c - bump allocation in chunks that double up to 1 MiB. */
#include "base/arena.h"

#include "base/checked.h"

#include <string.h>

#define FIRST_CHUNK 4096u
#define LAST_CHUNK  (1u << 20)
#define GRAIN       16u

struct lm_arena_chunk {
    lm_arena_chunk *next;
    size_t size; /* of the whole block, this header included */
    size_t used;
    size_t pad; /* keeps the data behind it aligned to GRAIN on 64-bit */
};

void lm_arena_init(lm_arena *arena, lm_allocator *alloc)
{
    arena->alloc = alloc;
    arena->chunks = NULL;
}

void lm_arena_finish(lm_arena *arena)
{
    while (arena->chunks != NULL) {
        lm_arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        lm_free(arena->alloc, chunk, chunk->size);
    }
}

static size_t header_size(void)
{
    return (sizeof(lm_arena_chunk) + GRAIN - 1) / GRAIN * GRAIN;
}

static lm_arena_chunk *add_chunk(lm_arena *arena, size_t need)
{
    size_t size = arena->chunks == NULL ? FIRST_CHUNK : arena->chunks->size * 2;
    if (size > LAST_CHUNK)
        size = LAST_CHUNK;
    size_t least;
    if (!lm_add_size(need, header_size(), &least)) {
        lm_fail(LLM_E_MEMORY, "out of memory: a block of %llu bytes", (unsigned long long)need);
        return NULL;
    }
    if (size < least)
        size = least;
    lm_arena_chunk *chunk = lm_alloc(arena->alloc, size);
    if (chunk == NULL)
        return NULL;
    chunk->size = size;
    chunk->used = header_size();
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return chunk;
}

void *lm_arena_alloc(lm_arena *arena, size_t size)
{
    size_t rounded;
    if (!lm_add_size(size, GRAIN - 1, &rounded)) {
        lm_fail(LLM_E_MEMORY, "out of memory: a block of %llu bytes", (unsigned long long)size);
        return NULL;
    }
    rounded = rounded / GRAIN * GRAIN;
    lm_arena_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->size - chunk->used < rounded)
        chunk = add_chunk(arena, rounded);
    if (chunk == NULL)
        return NULL;
    void *block = (char *)chunk + chunk->used;
    chunk->used += rounded;
    memset(block, 0, rounded);
    return block;
}

void *lm_arena_array(lm_arena *arena, size_t count, size_t size)
{
    size_t total;
    if (!lm_mul_size(count, size, &total)) {
        lm_fail(LLM_E_MEMORY, "out of memory: %llu items", (unsigned long long)count);
        return NULL;
    }
    return lm_arena_alloc(arena, total);
}

void *lm_arena_copy(lm_arena *arena, const void *from, size_t count, size_t size)
{
    void *to = lm_arena_array(arena, count, size);
    if (to != NULL && from != NULL && count > 0)
        memcpy(to, from, count * size);
    return to;
}

char *lm_arena_strdup(lm_arena *arena, const char *text, size_t length)
{
    size_t total;
    if (!lm_add_size(length, 1, &total)) {
        lm_fail(LLM_E_MEMORY, "out of memory: a text of %llu bytes", (unsigned long long)length);
        return NULL;
    }
    char *copy = lm_arena_alloc(arena, total);
    if (copy != NULL && length > 0)
        memcpy(copy, text, length);
    return copy;
}
