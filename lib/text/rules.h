/* rules - what the field knows about tokens by their texts, because files do not say it: which ones
 * end a generation, which ones swallow neighbouring white space. */
#ifndef LM_TEXT_RULES_H
#define LM_TEXT_RULES_H

#include "text/scheme.h"

/* Fills the special ids that the file leaves open and t->ends, and makes control tokens of those
 * that a file declares otherwise. */
int32_t lm_rules_find_ends(lm_tokenizer *t);

/* Fills t->strips where a rule applies. */
int32_t lm_rules_find_strips(lm_tokenizer *t, const lm_vocab *vocab);

#endif
