/* charsmap - SentencePiece's precompiled normaliser: a double array of byte strings, each replaced
 * by a text of the blob. A hostile blob gives statuses, never a read outside it. */
#ifndef LM_TEXT_CHARSMAP_H
#define LM_TEXT_CHARSMAP_H

#include "text/tokenizer.h"

typedef struct lm_charsmap {
    lm_allocator *alloc;
    unsigned char *blob; /* a copy; NULL: nothing is replaced */
    size_t size;
    const unsigned char *units; /* [n_units] u32, in the blob */
    size_t n_units;
    const char *texts; /* [texts_size], the last byte is 0 */
    size_t texts_size;
} lm_charsmap;

/* A map of zeros is one that lm_charsmap_finish accepts. */
int32_t lm_charsmap_init(lm_charsmap *map, lm_allocator *alloc, const void *blob, size_t size);
void lm_charsmap_finish(lm_charsmap *map);

/* The replacement of the longest known start of `text`, which has `*length` bytes; 0: none. */
int32_t lm_charsmap_longest(const lm_charsmap *map, const char *text, size_t size, size_t *length,
                            lm_str *replacement);

#endif
