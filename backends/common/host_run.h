/* host_run - what a run says about its rows, and the proof that it is sound. */
#ifndef LM_BACKENDS_HOST_RUN_H
#define LM_BACKENDS_HOST_RUN_H

#include "backends/common/host_storage.h"
#include "base/arena.h"

/* A table whose rows are picked by a number from outside. */
typedef struct lhost_table {
    uint32_t source, rows; /* LM_EMBED_TOKENS or _POSITIONS */
} lhost_table;

/* What a program was made for. */
typedef struct lhost_bounds {
    const lm_network *network;
    lm_row_limits limits;
    uint32_t context, numerics;
    const lhost_storage *caches[LM_MAX_GROUPS]; /* NULL: none here */
    lhost_table *tables;                        /* [n_tables] */
    uint32_t n_tables;
} lhost_bounds;

int32_t lhost_bounds_init(lm_arena *books, const lm_program_desc *desc, lhost_bounds *b);

/* Every count and index of the run lies within bounds (host_check.c). */
int32_t lhost_run_check(const lhost_bounds *b, const lm_run *run);

/* The most pages that a run names of one sequence and group. */
static inline uint32_t lhost_most_pages(uint32_t context)
{
    return context / LHOST_SMALLEST_PAGE + 2;
}

/* May `size` bytes of the slot be written or read? `places`: [n_slots]. */
int32_t lhost_slot_check(const lm_slot_place *places, size_t n_slots, uint32_t slot, size_t size);

/* The slots a row may see: [*first, *end), and of those that this run writes only what lhost_sees.
 */
static inline void lhost_visible(const lm_run *run, uint32_t row, uint32_t window, uint32_t *first,
                                 uint32_t *end)
{
    uint32_t slot = run->slots[row];
    *end = run->visible_end[row];
    *first = window != 0 && slot + 1 > window ? slot + 1 - window : 0;
}

static inline bool lhost_sees(const lm_run *run, uint32_t row, uint32_t slot)
{
    const lm_run_seq *seq = &run->seqs[run->row_seq[row]];
    if (run->ancestors == NULL || slot < seq->length)
        return true;
    uint32_t words = (run->n_rows + 63) / 64, other = seq->first_row + (slot - seq->length);
    return other < run->n_rows &&
           (run->ancestors[(size_t)row * words + other / 64] >> (other % 64) & 1u) != 0;
}

#endif
