/* llm_sampler.h - the chain that turns logits into a token.
 *
 * A chain is built once, in the order the host wants, and given to any number of sessions; each
 * session keeps a copy with its own state, so one chain object is never shared between threads by
 * accident. Samplers are named; their parameters are llm_param arrays:
 *
 *   greedy                 always the most likely
 *   dist                   draw by probability (implied at the end of a chain that holds any other
 *                          sampler than greedy)
 *   temperature            temp (float, 0 = greedy); dynamic: range, exponent
 *   top-k                  k            top-p      p, min_keep       min-p    p, min_keep
 *   typical                p, min_keep  top-n-sigma n                xtc      probability, threshold
 *   dry                    multiplier, base, allowed_length, last_n, breakers (string, one character
 *                          each)
 *   penalties              last_n, repeat, frequency, presence
 *   logit-bias             tokens (token array), bias (float array of the same length)
 *   mirostat               tau, eta, m  mirostat-2 tau, eta
 *
 * llm_sampler_name_at() lists them; unknown names and parameters are errors. */
#ifndef LLM_SAMPLER_H
#define LLM_SAMPLER_H

#include <llm/llm_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A candidate as a host sampler sees it. */
typedef struct llm_candidate {
    llm_token id;
    float logit;
} llm_candidate;

/* A sampler of the host. `apply` may change logits (-INFINITY removes a candidate) and may pick one by
 * writing its index to *chosen (UINT64_MAX on entry: nobody has). A negative return ends the
 * generation with that status. `clone`, `accept`, `reset` and `destroy` may be NULL; without `clone`
 * sessions share `user`. */
typedef struct llm_sampler_class {
    uint32_t struct_size;
    uint32_t reserved;
    int32_t (*apply)(void *user, llm_candidate *candidates, uint64_t count, uint64_t *chosen);
    void (*accept)(void *user, llm_token token);
    void (*reset)(void *user);
    void *(*clone)(void *user);
    void (*destroy)(void *user);
} llm_sampler_class;

/* An empty chain: the most likely token.
 * Thread-safety: any thread; the sampler then serves one thread at a time. */
LLM_API int32_t llm_sampler_create(llm_runtime *runtime, llm_sampler **out);

/* Destroys the chain; sessions that were given it keep their copies. NULL is fine.
 * Thread-safety: one thread at a time. */
LLM_API void llm_sampler_destroy(llm_sampler *sampler);

/* Adds a named sampler at the end. On failure the chain is as it was.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_sampler_add(llm_sampler *sampler, const char *name, const llm_param *params,
                                uint32_t n_params);

/* Adds a sampler of the host at the end; takes over `user` (destroy is called with it) on success.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_sampler_add_host(llm_sampler *sampler, const llm_sampler_class *host, void *user);

/* Sets the seed of the counter-based generator: the same seed, model and prompt give the same text,
 * whatever runs beside it. The default seed is 0.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_sampler_seed(llm_sampler *sampler, uint64_t seed);

/* Picks from raw logits outside of any session, for hosts with their own loop, and accepts the token.
 * `history` may be NULL when n_history is 0.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_sampler_pick(llm_sampler *sampler, const float *logits, uint32_t n_logits,
                                 const llm_token *history, uint64_t n_history, llm_token *out);

/* The name of the index-th sampler this library knows; NULL behind the last. Static storage.
 * Thread-safety: any thread. */
LLM_API const char *llm_sampler_name_at(uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
