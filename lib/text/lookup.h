/* lookup - from token texts to ids, in eight bytes per place: the texts stay where they are. */
#ifndef LM_TEXT_LOOKUP_H
#define LM_TEXT_LOOKUP_H

#include "text/tokenizer.h"

typedef struct lm_lookup_slot {
    uint32_t tag; /* of the text's hash */
    int32_t id;   /* -1: free */
} lm_lookup_slot;

typedef struct lm_lookup {
    lm_allocator *alloc;
    lm_lookup_slot *slots;
    size_t capacity; /* a power of two */
    uint64_t seed;   /* a file cannot prepare collisions */
} lm_lookup;

/* Of equal texts the last is found; empty ones are not. The same tokens go to each find. */
int32_t lm_lookup_init(lm_lookup *lookup, lm_allocator *alloc, const lm_str *tokens, uint32_t n);
void lm_lookup_finish(lm_lookup *lookup); /* a zeroed one is fine */

int32_t lm_lookup_find(const lm_lookup *lookup, const lm_str *tokens, const char *text,
                       size_t size); /* -1: none */

#endif
