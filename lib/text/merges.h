/* merges - the ranked pairs of byte-pair encoding and their application to a list of ids. */
#ifndef LM_TEXT_MERGES_H
#define LM_TEXT_MERGES_H

#include "text/scheme.h"

typedef struct lm_merge {
    uint64_t pair; /* left << 32 | right; all ones: a free entry */
    uint32_t rank;
    int32_t id; /* of both together */
} lm_merge;

typedef struct lm_merges {
    lm_allocator *alloc;
    lm_merge *entries; /* open addressing */
    size_t capacity;   /* a power of two */
    uint64_t seed;
} lm_merges;

/* From "left right" lines, the best first; of equal pairs the first counts. Lines that name a token
 * which the vocabulary lacks can never apply: they are skipped, with one log line in all. */
int32_t lm_merges_init(lm_merges *merges, const lm_tokenizer *t, const lm_str *lines, uint32_t n);
void lm_merges_finish(lm_merges *merges); /* a zeroed one is fine */

/* Room for long lists, reused from piece to piece. */
typedef struct lm_merge_node {
    int32_t id, merged;
    uint32_t rank; /* of the pair that begins here */
    uint32_t before, behind;
} lm_merge_node;

typedef struct lm_merge_room {
    lm_allocator *alloc;
    lm_merge_node *nodes;
    size_t n_nodes; /* capacity */
    uint64_t *heap; /* rank << 32 | node */
    size_t n_heap, heap_capacity;
} lm_merge_room;

void lm_merge_room_finish(lm_merge_room *room);

/* Merges in place, always the best pair, of equal ones the leftmost, and sets the new *n. Time
 * grows as n log n. Negative ids never merge. */
int32_t lm_merges_apply(const lm_merges *merges, int32_t *ids, size_t *n, lm_merge_room *room);

#endif
