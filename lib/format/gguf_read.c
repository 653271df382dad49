/* gguf_read.c - the cursor: bounds, the window over sources that are not in memory, strings. */
#include "format/gguf_read.h"

#include "base/bytes.h"
#include "base/checked.h"

#include <string.h>

#define WINDOW_BYTES ((size_t)256 << 10)
#define POOL_BYTES   ((size_t)64 << 10)

int32_t lm_gguf_cursor_init(lm_gguf_cursor *c, const lm_source *source, const lm_limits *limits,
                            lm_arena *arena)
{
    memset(c, 0, sizeof *c);
    c->source = source;
    c->limits = limits;
    c->arena = arena;
    c->end = source->size < limits->header_bytes ? source->size : limits->header_bytes;
    if (source->data != NULL) {
        c->window = source->data;
        c->window_size = (size_t)c->end;
        return LLM_OK;
    }
    c->buffer = lm_alloc(arena->alloc, WINDOW_BYTES);
    return c->buffer == NULL ? LLM_E_MEMORY : LLM_OK;
}

void lm_gguf_cursor_finish(lm_gguf_cursor *c)
{
    if (c->buffer != NULL)
        lm_free(c->arena->alloc, c->buffer, WINDOW_BYTES);
    c->buffer = NULL;
}

static int32_t fail_end(const lm_gguf_cursor *c, const char *what, uint64_t size)
{
    if (c->end < c->source->size)
        return lm_fail(LLM_E_LIMIT,
                       "%s at byte %llu passes the limit of %llu bytes for a file's header; raise "
                       "the limit if the file can be trusted",
                       what, (unsigned long long)c->at, (unsigned long long)c->end);
    return lm_fail(LLM_E_FORMAT,
                   "%s at byte %llu needs %llu bytes, but the file ends at byte %llu; it is "
                   "incomplete or damaged",
                   what, (unsigned long long)c->at, (unsigned long long)size,
                   (unsigned long long)c->end);
}

/* Makes the next bytes, at least one and at most the window, readable at `*from`. */
static int32_t look(lm_gguf_cursor *c, size_t wanted, const unsigned char **from, size_t *have)
{
    uint64_t skip = c->at - c->window_at;
    if (c->buffer != NULL && (skip > c->window_size || c->window_size - skip < wanted)) {
        uint64_t left = c->end - c->at;
        c->window_size = 0;
        size_t size = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        LM_TRY(lm_source_read(c->source, c->at, c->buffer, size));
        c->window = c->buffer;
        c->window_at = c->at;
        c->window_size = size;
        skip = 0;
    }
    *from = c->window + skip;
    *have = c->window_size - (size_t)skip;
    return LLM_OK;
}

static int32_t take(lm_gguf_cursor *c, const char *what, size_t size, const unsigned char **from)
{
    size_t have;
    if (c->end - c->at < size)
        return fail_end(c, what, size);
    LM_TRY(look(c, size, from, &have));
    c->at += size;
    return LLM_OK;
}

int32_t lm_gguf_read_u32(lm_gguf_cursor *c, const char *what, uint32_t *out)
{
    const unsigned char *from = NULL;
    LM_TRY(take(c, what, sizeof *out, &from));
    *out = lm_load_u32(from);
    return LLM_OK;
}

int32_t lm_gguf_read_u64(lm_gguf_cursor *c, const char *what, uint64_t *out)
{
    const unsigned char *from = NULL;
    LM_TRY(take(c, what, sizeof *out, &from));
    *out = lm_load_u64(from);
    return LLM_OK;
}

int32_t lm_gguf_read_count(lm_gguf_cursor *c, const char *what, uint64_t *out)
{
    uint32_t narrow;
    if (c->version > 1)
        return lm_gguf_read_u64(c, what, out);
    LM_TRY(lm_gguf_read_u32(c, what, &narrow));
    *out = narrow;
    return LLM_OK;
}

int32_t lm_gguf_read_bytes(lm_gguf_cursor *c, const char *what, void *into, uint64_t size)
{
    unsigned char *to = into;
    if (c->end - c->at < size)
        return fail_end(c, what, size);
    while (size > 0) {
        const unsigned char *from = NULL;
        size_t have = 0;
        LM_TRY(look(c, 1, &from, &have));
        size_t part = size < have ? (size_t)size : have;
        memcpy(to, from, part);
        to += part;
        c->at += part;
        size -= part;
    }
    return LLM_OK;
}

int32_t lm_gguf_expect(const lm_gguf_cursor *c, const char *what, uint64_t count, uint64_t least,
                       uint64_t limit)
{
    uint64_t size;
    if (!lm_mul_u64(count, least, &size))
        size = UINT64_MAX;
    if (c->end - c->at < size)
        return fail_end(c, what, size);
    if (count > limit)
        return lm_fail(LLM_E_LIMIT, "%s at byte %llu: %llu where the limit is %llu", what,
                       (unsigned long long)c->at, (unsigned long long)count,
                       (unsigned long long)limit);
    return LLM_OK;
}

int32_t lm_gguf_read_string(lm_gguf_cursor *c, const char *what, lm_gguf_string *out)
{
    uint64_t size;
    LM_TRY(lm_gguf_read_count(c, what, &size));
    LM_TRY(lm_gguf_expect(c, what, size, 1, c->limits->string_bytes));
    if (!lm_fits_size(size) || size == SIZE_MAX)
        return lm_fail(LLM_E_LIMIT, "%s of %llu bytes cannot be held on this system", what,
                       (unsigned long long)size);
    size_t need = (size_t)size + 1;
    if (need > c->pool_left) {
        size_t block = need > POOL_BYTES ? need : POOL_BYTES;
        char *pool = lm_arena_alloc(c->arena, block);
        if (pool == NULL)
            return LLM_E_MEMORY;
        c->pool = pool;
        c->pool_left = block;
    }
    LM_TRY(lm_gguf_read_bytes(c, what, c->pool, size));
    c->pool[size] = '\0';
    *out = (lm_gguf_string){c->pool, (size_t)size};
    c->pool += need;
    c->pool_left -= need;
    return LLM_OK;
}

lm_gguf_quoted lm_gguf_quote(lm_gguf_string s)
{
    lm_gguf_quoted q;
    const char *end = s.size < sizeof q.text ? "" : "...";
    size_t size = s.size < sizeof q.text ? s.size : sizeof q.text - sizeof "...";
    for (size_t i = 0; i < size; i++)
        q.text[i] = s.data[i] >= 0x20 && s.data[i] < 0x7f ? s.data[i] : '?';
    memcpy(q.text + size, end, strlen(end) + 1);
    return q;
}
