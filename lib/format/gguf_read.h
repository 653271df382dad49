/* gguf_read - private to the GGUF reader: a cursor over the header's bytes that checks every step
 * before it is taken, and the pieces the reader is put together from. */
#ifndef LM_FORMAT_GGUF_READ_H
#define LM_FORMAT_GGUF_READ_H

#include "format/gguf.h"

typedef struct lm_gguf_cursor {
    const lm_source *source;
    const lm_limits *limits;
    lm_arena *arena; /* strings and arrays are copied into it */
    uint32_t version;
    uint64_t at;                 /* next byte */
    uint64_t end;                /* of what may be read as header */
    const unsigned char *window; /* bytes [window_at, window_at + window_size) of the source */
    uint64_t window_at;
    size_t window_size;
    unsigned char *buffer; /* behind the window when the source is not in memory */
    char *pool;            /* small strings are packed into blocks of the arena */
    size_t pool_left;
} lm_gguf_cursor;

int32_t lm_gguf_cursor_init(lm_gguf_cursor *c, const lm_source *source, const lm_limits *limits,
                            lm_arena *arena);
void lm_gguf_cursor_finish(lm_gguf_cursor *c);

/* `what` names the thing being read, for the message. */
int32_t lm_gguf_read_u32(lm_gguf_cursor *c, const char *what, uint32_t *out);
int32_t lm_gguf_read_u64(lm_gguf_cursor *c, const char *what, uint64_t *out);
/* A count, a length or a dimension: 32 bits wide in version 1. */
int32_t lm_gguf_read_count(lm_gguf_cursor *c, const char *what, uint64_t *out);
int32_t lm_gguf_read_string(lm_gguf_cursor *c, const char *what, lm_gguf_string *out);
int32_t lm_gguf_read_bytes(lm_gguf_cursor *c, const char *what, void *into, uint64_t size);
/* Fails unless `count` things of at least `least` bytes each can still follow, and `count` is
 * within `limit`: to be asked before anything is allocated for them. */
int32_t lm_gguf_expect(const lm_gguf_cursor *c, const char *what, uint64_t count, uint64_t least,
                       uint64_t limit);

size_t lm_gguf_item_bytes(uint32_t type); /* 0: not of a fixed size */

int32_t lm_gguf_read_pairs(lm_gguf *g, lm_gguf_cursor *c, uint64_t count);
/* The tensor table and the checks of the whole table against the file; needs the pairs. */
int32_t lm_gguf_read_tensors(lm_gguf *g, lm_gguf_cursor *c, uint64_t count);
/* Two values are the same bytes of the same type. */
bool lm_gguf_same_value(const lm_gguf_value *a, const lm_gguf_value *b);

/* One file, its split keys not looked at. Takes over the source, also on failure. */
int32_t lm_gguf_open_part(lm_allocator *a, const lm_limits *limits, lm_source *source,
                          lm_gguf **out);
/* The number of files of the set that this one says it belongs to; 1 when it is no set. */
int32_t lm_gguf_split_count(const lm_gguf *g, const lm_limits *limits, uint32_t *out);
/* `*g` was opened from `path` and belongs to a set of `count` files: opens the others and joins
 * them. `*g` becomes the first file of the set; it stays valid and is the caller's on failure. */
int32_t lm_gguf_split_join(const lm_log *log, const lm_limits *limits, const char *path,
                           uint32_t source_mode, uint32_t count, lm_gguf **g);

#endif
