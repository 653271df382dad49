/* lookup.c - open addressing; the tag spares nearly every comparison that would fail. */
#include "text/lookup.h"

#include "base/hash.h"

#include <string.h>

/* The slot of the text, or the free one where it would go. */
static lm_lookup_slot *find(const lm_lookup *lookup, const lm_str *tokens, const char *text,
                            size_t size, uint32_t *tag)
{
    uint64_t hash = lm_hash(text, size, lookup->seed);
    size_t mask = lookup->capacity - 1;
    *tag = (uint32_t)(hash >> 32);
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        lm_lookup_slot *slot = &lookup->slots[i];
        if (slot->id < 0)
            return slot;
        const lm_str *token = &tokens[slot->id];
        if (slot->tag == *tag && token->size == size && memcmp(token->data, text, size) == 0)
            return slot;
    }
}

int32_t lm_lookup_init(lm_lookup *lookup, lm_allocator *alloc, const lm_str *tokens, uint32_t n)
{
    *lookup = (lm_lookup){.alloc = alloc, .capacity = 16};
    lookup->seed = lm_mix64((uint64_t)(uintptr_t)lookup);
    while (lookup->capacity / 4 * 3 < n)
        lookup->capacity *= 2;
    lookup->slots = LM_NEW_ARRAY(alloc, lm_lookup_slot, lookup->capacity);
    if (lookup->slots == NULL)
        return LLM_E_MEMORY;
    for (size_t i = 0; i < lookup->capacity; i++)
        lookup->slots[i].id = -1;
    for (uint32_t id = 0; id < n; id++) {
        uint32_t tag;
        if (tokens[id].size == 0)
            continue;
        lm_lookup_slot *slot = find(lookup, tokens, tokens[id].data, tokens[id].size, &tag);
        *slot = (lm_lookup_slot){tag, (int32_t)id};
    }
    return LLM_OK;
}

void lm_lookup_finish(lm_lookup *lookup)
{
    if (lookup->slots != NULL)
        lm_free_array(lookup->alloc, lookup->slots, lookup->capacity, sizeof *lookup->slots);
    lookup->slots = NULL;
}

int32_t lm_lookup_find(const lm_lookup *lookup, const lm_str *tokens, const char *text, size_t size)
{
    uint32_t tag;
    return size == 0 ? -1 : find(lookup, tokens, text, size, &tag)->id;
}
