/* record.c - finds the barriers a list of dispatches needs: one goes before a dispatch that touches what
 * another has written since the last barrier, or writes what another has read. */
#include "backends/vulkan/record.h"

bool lvk_ranges_conflict(const lvk_range *a, const lvk_range *b)
{
    uint64_t begin = a->begin > b->begin ? a->begin : b->begin;
    uint64_t end = a->end < b->end ? a->end : b->end;
    return a->space == b->space && (a->write || b->write) && begin < end;
}

bool lvk_hazards_add(lvk_hazards *h, const lvk_range *ranges, uint32_t count)
{
    bool conflict = false;
    for (size_t i = 0; i < h->count && !conflict; i++)
        for (uint32_t k = 0; k < count && !conflict; k++)
            conflict = lvk_ranges_conflict(&h->ranges[i], &ranges[k]);
    if (conflict)
        h->count = 0;
    for (uint32_t k = 0; k < count && h->count < h->capacity; k++)
        h->ranges[h->count++] = ranges[k];
    return conflict;
}
