/* slots.c - where each slot lies in a workspace: first fit over the slots' lives. */
#include "step/network.h"

#include "base/checked.h"

#include <string.h>

typedef struct life {
    size_t first, last; /* step indices; first > last: not used */
} life;

static uint64_t slot_bytes(const lm_slot_info *info, const lm_row_limits *limits)
{
    const uint32_t rows[] = {limits->rows, limits->wanted, limits->seqs};
    uint64_t bytes = (uint64_t)rows[info->rows] * info->width * 4u; /* F32 and I32 alike */
    return (bytes + LM_ALIGN - 1) / LM_ALIGN * LM_ALIGN;
}

static void touch(life *lives, uint32_t slot, size_t at, bool input_from_outside)
{
    if (slot == LM_NONE)
        return;
    life *l = &lives[slot];
    if (l->first > l->last)
        *l = (life){input_from_outside ? 0 : at, at};
    else
        l->last = at > l->last ? at : l->last;
}

static void find_lives(const lm_step *steps, size_t n_steps, const uint32_t *kept, size_t n_kept,
                       life *lives)
{
    for (size_t i = 0; i < n_steps; i++) {
        for (uint32_t k = 0; k < LM_STEP_INS; k++)
            touch(lives, steps[i].in[k], i, true);
        for (uint32_t k = 0; k < LM_STEP_OUTS; k++)
            touch(lives, steps[i].out[k], i, false);
    }
    for (size_t i = 0; i < n_kept; i++)
        if (lives[kept[i]].first <= lives[kept[i]].last)
            lives[kept[i]].last = n_steps;
}

static bool lives_meet(const life *a, const life *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset at which `slot` collides with no placed slot that lives at the same time. */
static uint64_t first_fit(const life *lives, const lm_slot_place *places, size_t n_slots,
                          size_t slot, uint64_t bytes)
{
    uint64_t offset = 0;
    bool moved = true;
    while (moved) {
        moved = false;
        for (size_t i = 0; i < n_slots; i++) {
            const lm_slot_place *p = &places[i];
            if (i == slot || p->offset == UINT64_MAX || !lives_meet(&lives[i], &lives[slot]))
                continue;
            if (offset < p->offset + p->bytes && p->offset < offset + bytes) {
                offset = p->offset + p->bytes;
                moved = true;
            }
        }
    }
    return offset;
}

int32_t lm_slots_place(lm_allocator *alloc, const lm_graph *g, const lm_step *steps, size_t n_steps,
                       const uint32_t *kept, size_t n_kept, const lm_row_limits *limits,
                       lm_slot_place *places, uint64_t *workspace)
{
    life *lives = LM_NEW_ARRAY(alloc, life, g->n_slots);
    if (lives == NULL)
        return LLM_E_MEMORY;
    for (size_t i = 0; i < g->n_slots; i++) {
        lives[i] = (life){1, 0};
        places[i] = (lm_slot_place){UINT64_MAX, 0};
    }
    find_lives(steps, n_steps, kept, n_kept, lives);
    *workspace = 0;
    /* In order of first use, so that a list of layers settles into the same few places. */
    for (size_t at = 0; at < n_steps; at++) {
        for (uint32_t k = 0; k < LM_STEP_INS + LM_STEP_OUTS; k++) {
            uint32_t slot = k < LM_STEP_INS ? steps[at].in[k] : steps[at].out[k - LM_STEP_INS];
            if (slot == LM_NONE || places[slot].offset != UINT64_MAX)
                continue;
            uint64_t bytes = slot_bytes(&g->slots[slot], limits);
            uint64_t offset = first_fit(lives, places, g->n_slots, slot, bytes);
            places[slot] = (lm_slot_place){offset, bytes};
            if (offset + bytes > *workspace)
                *workspace = offset + bytes;
        }
    }
    lm_free_array(alloc, lives, g->n_slots, sizeof *lives);
    return LLM_OK;
}
