/* vocab_gguf - a GGUF file's vocabulary as a description for lm_tokenizer_create. */
#ifndef LM_MODEL_VOCAB_GGUF_H
#define LM_MODEL_VOCAB_GGUF_H

#include "format/gguf.h"
#include "text/tokenizer.h"

/* Arrays of the description lie in the arena, texts in the file's metadata, which must outlive the
 * tokenizer. Element types and counts are checked here; ids and texts by the tokenizer.
 * LLM_E_NOT_FOUND: the file says that it has no vocabulary, or says nothing. */
int32_t lm_vocab_from_gguf(const lm_gguf *gguf, lm_arena *arena, lm_vocab *out);

#endif
