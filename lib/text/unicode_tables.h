/* unicode_tables - the generated tables of unicode.c. */
#ifndef LM_TEXT_UNICODE_TABLES_H
#define LM_TEXT_UNICODE_TABLES_H

#include <stdint.h>

/* Runs of one class: first character << 8 | index into the masks. */
extern const uint32_t lm_unicode_runs[];
extern const uint32_t lm_unicode_n_runs;
extern const uint32_t lm_unicode_masks[];
/* For each block of 256 characters up to U+FFFF the run its first character lies in; one more. */
extern const uint16_t lm_unicode_blocks[257];

/* `count` characters from `first`, each `step` apart, that map to themselves plus `delta`. */
typedef struct lm_unicode_case {
    uint32_t first;
    uint16_t count, step;
    int32_t delta;
} lm_unicode_case;

extern const lm_unicode_case lm_unicode_lower_runs[], lm_unicode_upper_runs[];
extern const uint32_t lm_unicode_n_lower_runs, lm_unicode_n_upper_runs;

/* The decomposition of from[i] is pool[at[i]] up to, not including, pool[at[i + 1]]. */
extern const uint32_t lm_unicode_decomposed_from[];
extern const uint16_t lm_unicode_decomposed_at[];
extern const uint32_t lm_unicode_decomposed_pool[];
extern const uint32_t lm_unicode_n_decomposed;

#endif
