/* strmap.c - open addressing with linear probing at a load of at most one half. */
#include "base/strmap.h"

#include "base/hash.h"

#include <string.h>

void lm_strmap_init(lm_strmap *map, lm_allocator *alloc)
{
    memset(map, 0, sizeof *map);
    map->alloc = alloc;
    map->seed = lm_mix64((uint64_t)(uintptr_t)map);
}

void lm_strmap_finish(lm_strmap *map)
{
    lm_free_array(map->alloc, map->entries, map->capacity, sizeof *map->entries);
    map->entries = NULL;
    map->capacity = map->count = 0;
}

static lm_strmap_entry *find(const lm_strmap *map, const char *key, size_t length, uint64_t hash)
{
    size_t mask = map->capacity - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        lm_strmap_entry *e = &map->entries[i];
        if (e->key == NULL)
            return e;
        if (e->hash == hash && e->length == length && memcmp(e->key, key, length) == 0)
            return e;
    }
}

int32_t lm_strmap_reserve(lm_strmap *map, size_t count)
{
    if (count <= map->capacity / 2)
        return LLM_OK;
    size_t capacity = map->capacity < 16 ? 16 : map->capacity;
    while (capacity / 2 < count) {
        if (capacity > SIZE_MAX / 4)
            return lm_fail(LLM_E_MEMORY, "out of memory: a map of %llu keys",
                           (unsigned long long)count);
        capacity *= 2;
    }
    lm_strmap bigger = *map;
    bigger.entries = LM_NEW_ARRAY(map->alloc, lm_strmap_entry, capacity);
    if (bigger.entries == NULL)
        return LLM_E_MEMORY;
    bigger.capacity = capacity;
    for (size_t i = 0; i < map->capacity; i++) {
        const lm_strmap_entry *e = &map->entries[i];
        if (e->key != NULL)
            *find(&bigger, e->key, e->length, e->hash) = *e;
    }
    lm_free_array(map->alloc, map->entries, map->capacity, sizeof *map->entries);
    *map = bigger;
    return LLM_OK;
}

int32_t lm_strmap_add(lm_strmap *map, const char *key, size_t length, uint32_t value, bool *added)
{
    LM_TRY(lm_strmap_reserve(map, map->count + 1));
    uint64_t hash = lm_hash(key, length, map->seed);
    lm_strmap_entry *e = find(map, key, length, hash);
    if (added != NULL)
        *added = e->key == NULL;
    if (e->key != NULL)
        return LLM_OK;
    *e = (lm_strmap_entry){key, length, hash, value};
    map->count++;
    return LLM_OK;
}

bool lm_strmap_get(const lm_strmap *map, const char *key, size_t length, uint32_t *value)
{
    if (map->capacity == 0)
        return false;
    const lm_strmap_entry *e = find(map, key, length, lm_hash(key, length, map->seed));
    if (e->key == NULL)
        return false;
    *value = e->value;
    return true;
}
