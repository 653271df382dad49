/* llm_tokenizer.h - text to ids and back. Immutable, reference-counted, usable from any thread. */
#ifndef LLM_TOKENIZER_H
#define LLM_TOKENIZER_H

#include <llm/llm_types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LLM_ENCODE_NO_SPECIAL   1u /* leave out the BOS, EOS, ... that the model's rules add */
#define LLM_ENCODE_LITERAL      2u /* "<|im_end|>" in the text is just text */
#define LLM_DECODE_SHOW_SPECIAL 1u /* control tokens as their text; otherwise they are nothing */

/* Which token, for llm_tokenizer_special(): begin and end of a text, of a turn, of a message; unknown;
 * separator; padding; and those of encoders. */
#define LLM_SPECIAL_BOS  0u
#define LLM_SPECIAL_EOS  1u
#define LLM_SPECIAL_EOT  2u
#define LLM_SPECIAL_EOM  3u
#define LLM_SPECIAL_UNK  4u
#define LLM_SPECIAL_SEP  5u
#define LLM_SPECIAL_PAD  6u
#define LLM_SPECIAL_CLS  7u
#define LLM_SPECIAL_MASK 8u

typedef struct llm_token_info {
    uint32_t struct_size;
    uint32_t is_control;
    uint32_t is_end; /* ends a generation */
    uint32_t reserved;
    const char *text; /* as in the vocabulary, not NUL-terminated; lives as long as the tokenizer */
    uint64_t text_size;
} llm_token_info;

/* One more holder; answers its argument. NULL is fine.
 * Thread-safety: any thread. */
LLM_API llm_tokenizer *llm_tokenizer_retain(llm_tokenizer *tokenizer);

/* Lets go. NULL is fine.
 * Thread-safety: any thread. */
LLM_API void llm_tokenizer_release(llm_tokenizer *tokenizer);

/* Ids of a text. Special tokens written in the text are recognised unless LLM_ENCODE_LITERAL. `ids` may be
 * NULL with capacity 0 to ask for the number; when the buffer is too small the number is written to
 * *count and LLM_E_BUFFER returned.
 * Thread-safety: any thread. */
LLM_API int32_t llm_tokenizer_encode(const llm_tokenizer *tokenizer, const char *text,
                                     uint64_t size, uint32_t flags, llm_token *ids,
                                     uint64_t capacity, uint64_t *count);

/* The text of ids, not NUL-terminated; it may end in the middle of a character when the ids do.
 * Buffer rules as above.
 * LLM_E_INVALID for an id that does not exist.
 * Thread-safety: any thread. */
LLM_API int32_t llm_tokenizer_decode(const llm_tokenizer *tokenizer, const llm_token *ids,
                                     uint64_t count, uint32_t flags, char *text, uint64_t capacity,
                                     uint64_t *size);

/* Number of tokens.
 * Thread-safety: any thread. */
LLM_API uint32_t llm_tokenizer_count(const llm_tokenizer *tokenizer);

/* The id of a special token, or -1 when the vocabulary has none.
 * Thread-safety: any thread. */
LLM_API llm_token llm_tokenizer_special(const llm_tokenizer *tokenizer, uint32_t which);

/* The id-th token of the vocabulary; LLM_E_NOT_FOUND when there is none.
 * Thread-safety: any thread. */
LLM_API int32_t llm_tokenizer_token(const llm_tokenizer *tokenizer, llm_token id,
                                    llm_token_info *out);

#ifdef __cplusplus
}
#endif
#endif
