/* prefix - the tree of token prefixes whose cache pages can be used again. One node per full page of
 * tokens below its parent; a node holds references to the pages of every group that has them. Guarded by
 * the engine's lock. Nodes are allocated ahead, so that publishing allocates nothing. */
#ifndef LM_EXEC_PREFIX_H
#define LM_EXEC_PREFIX_H

#include "exec/pages.h"
#include "step/network.h"

#define LM_NO_NODE 0xffffffffu

typedef struct lm_prefix_node {
    uint64_t hash;   /* of the whole path */
    uint32_t parent; /* LM_NO_NODE: the root */
    uint32_t depth;  /* pages from the root, 1 for the first */
    uint32_t children;
    uint32_t pins;                /* sequences standing on it */
    uint32_t page[LM_MAX_GROUPS]; /* LM_NO_PAGE: not kept */
    uint32_t chain;               /* next node in its bucket, or in the free list */
    uint32_t older, newer;        /* order of use */
} lm_prefix_node;

typedef struct lm_prefix {
    lm_allocator *alloc;
    lm_pages *groups; /* [n_groups] the engine's */
    const lm_cache_group *kinds;
    uint32_t n_groups, page_tokens;
    lm_prefix_node *nodes; /* [capacity] */
    int32_t *tokens;       /* [capacity, page_tokens] */
    uint32_t *buckets;     /* [n_buckets] a power of two */
    uint32_t capacity, n_buckets, free, count;
    uint32_t oldest, newest;
} lm_prefix;

void lm_prefix_init(lm_prefix *t, lm_allocator *alloc, lm_pages *groups,
                    const lm_cache_group *kinds, uint32_t n_groups, uint32_t page_tokens);
void lm_prefix_finish(lm_prefix *t);
int32_t lm_prefix_reserve(lm_prefix *t, uint32_t capacity);

/* The child of `parent` (LM_NO_NODE: the root, in the world of `salt`) for these tokens, or LM_NO_NODE. */
uint32_t lm_prefix_child(const lm_prefix *t, uint32_t parent, uint64_t salt, const int32_t *tokens);

/* Finds or makes that child; LM_NO_NODE when every node is in use. The caller's pin moves from parent to
 * it. */
uint32_t lm_prefix_advance(lm_prefix *t, uint32_t parent, uint64_t salt, const int32_t *tokens);

/* The deepest node on the path of `tokens` with whole pages up to `n_tokens` from which a sequence can go
 * on: every group has what a row behind it would read. LM_NO_NODE: none. */
uint32_t lm_prefix_match(const lm_prefix *t, uint64_t salt, const int32_t *tokens,
                         uint32_t n_tokens);

void lm_prefix_pin(lm_prefix *t, uint32_t node); /* LM_NO_NODE is fine; marks the path as used */
void lm_prefix_unpin(lm_prefix *t, uint32_t node);

/* Gives up what was used longest ago until a page of `group` has become free. False: nothing to give. */
bool lm_prefix_reclaim(lm_prefix *t, uint32_t group);
/* Pages of a group that nobody but the tree holds. */
uint32_t lm_prefix_only(const lm_prefix *t, uint32_t group);
/* Gives up everything not pinned. */
void lm_prefix_clear(lm_prefix *t);

#endif
