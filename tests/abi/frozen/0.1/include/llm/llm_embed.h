/* llm_embed.h - texts to vectors, with encoder models (BERT and kin). */
#ifndef LLM_EMBED_H
#define LLM_EMBED_H

#include <llm/llm_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The pooled embedding of a text's tokens: `width` floats of the model, not normalised. `engine` NULL: the
 * model's default engine. *count receives the number of floats; LLM_E_BUFFER when they do not fit.
 * LLM_E_UNSUPPORTED for models that make text; LLM_E_CONTEXT_FULL for more tokens than the model was
 * opened for or the engine takes at once.
 * Thread-safety: any thread. */
LLM_API int32_t llm_embed(llm_model *model, llm_engine *engine, const llm_token *tokens,
                          uint64_t n_tokens, float *embedding, uint32_t capacity, uint32_t *count);

#ifdef __cplusplus
}
#endif
#endif
