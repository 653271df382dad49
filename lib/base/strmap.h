/* strmap - from byte strings to uint32_t. Keys are borrowed and must outlive the map. The hash is
 * keyed per map, so a hostile file cannot prepare collisions. */
#ifndef LM_BASE_STRMAP_H
#define LM_BASE_STRMAP_H

#include "base/alloc.h"

typedef struct lm_strmap_entry {
    const char *key;
    size_t length;
    uint64_t hash;
    uint32_t value;
} lm_strmap_entry;

typedef struct lm_strmap {
    lm_allocator *alloc;
    lm_strmap_entry *entries; /* key NULL: free */
    size_t capacity;          /* a power of two, or 0 */
    size_t count;
    uint64_t seed;
} lm_strmap;

void lm_strmap_init(lm_strmap *map, lm_allocator *alloc);
void lm_strmap_finish(lm_strmap *map);

/* Makes room for `count` keys at once. */
int32_t lm_strmap_reserve(lm_strmap *map, size_t count);

/* Adds a key; `*added` (may be NULL) is false, and nothing changes, when it was there already. */
int32_t lm_strmap_add(lm_strmap *map, const char *key, size_t length, uint32_t value, bool *added);

/* True and the value when the key is there. Never allocates. */
bool lm_strmap_get(const lm_strmap *map, const char *key, size_t length, uint32_t *value);

#endif
