/* record - which dispatches need a barrier before them. Nothing here knows Vulkan. */
#ifndef LM_BACKENDS_VULKAN_RECORD_H
#define LM_BACKENDS_VULKAN_RECORD_H

#include "backends/vulkan/kernels.h"

/* What was read and written since the last barrier. */
typedef struct lvk_hazards {
    lvk_range *ranges; /* room for those of all dispatches that will come */
    size_t count, capacity;
} lvk_hazards;

/* May the two not run at once, in whatever order? */
bool lvk_ranges_conflict(const lvk_range *a, const lvk_range *b);

/* Adds a dispatch behind those before it; true: it has to wait for them, and a barrier goes before it,
 * which covers everything so far. */
bool lvk_hazards_add(lvk_hazards *h, const lvk_range *ranges, uint32_t count);

#endif
