/* memo - remembers within one call which ids short stretches of text had: a few thousand words make
 * up most of any text. What collides is forgotten. */
#ifndef LM_TEXT_MEMO_H
#define LM_TEXT_MEMO_H

#include "text/tokenizer.h"

enum { LM_MEMO_TEXT = 22, LM_MEMO_IDS = 10 };

typedef struct lm_memo_entry {
    uint8_t size, n_ids; /* size 0: free */
    char text[LM_MEMO_TEXT];
    int32_t ids[LM_MEMO_IDS];
} lm_memo_entry;

typedef struct lm_memo {
    lm_allocator *alloc;
    lm_memo_entry *entries; /* NULL: nothing is remembered */
} lm_memo;

/* For a text of this size; a short one gets no memory. A memo of zeros may be finished. */
int32_t lm_memo_init(lm_memo *memo, lm_allocator *alloc, size_t text_size);
void lm_memo_finish(lm_memo *memo);

/* NULL: not known. */
const lm_memo_entry *lm_memo_find(const lm_memo *memo, const char *text, size_t size);

/* Keeps what fits. */
void lm_memo_keep(lm_memo *memo, const char *text, size_t size, const int32_t *ids, size_t n_ids);

#endif
