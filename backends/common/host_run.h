/* host_run - what a run says about its rows, and the proof that it is sound. */
#ifndef LM_BACKENDS_HOST_RUN_H
#define LM_BACKENDS_HOST_RUN_H

#include "backend/backend.h"

/* A group's storage on this device; page_tokens 0: none here. */
typedef struct lhost_group {
    uint32_t kind, page_tokens, n_pages;
} lhost_group;

/* What a program was made for. */
typedef struct lhost_bounds {
    const lm_network *network;
    lm_row_limits limits;
    uint32_t context;
    lhost_group groups[LM_MAX_GROUPS];
} lhost_bounds;

/* Every count and index of the run lies within bounds (host_check.c). */
int32_t lhost_run_check(const lhost_bounds *b, const lm_run *run);

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
