/* llm_sampler.h - the chain that turns logits into a token.
 *
 * A chain is built once, in the order the host wants, and given to any number of sessions; each
 * session keeps a copy with its own state, so one chain object is never shared between threads by
 * accident. Samplers are named and take their parameters as llm_param arrays. An empty chain takes
 * the most likely token; any other chain in which no sampler picks (greedy, dist, the mirostats or
 * one of the host) draws by probability at its end, as if "dist" stood there.
 *
 *   name         parameter       default  meaning
 *   greedy                                picks the most likely; the lowest id among equals
 *   dist                                  picks by probability
 *   temperature  temp            0.8      divides the logits; 0 keeps only the most likely
 *                range           0        over 0: the temperature moves within temp +- range with
 *                exponent        1        the relative entropy raised to `exponent`
 *   top-k        k               40       keeps the k most likely; 0: all
 *   top-p        p               0.95     keeps the fewest most likely that hold probability p
 *   min-p        p               0.05     keeps those at least p times as likely as the most likely
 *   typical      p               0.95     keeps those nearest to the expected surprise that hold p
 *   top-n-sigma  n               1        keeps logits within n deviations of the best; 0: all
 *   xtc          probability     0.5      with this probability removes all that reach the
 *                threshold       0.1      threshold but the least likely of them
 *   dry          multiplier      0.8      takes multiplier * base^(length - allowed_length) off the
 *                base            1.75     logit of a token that would prolong a repetition of
 *                allowed_length  2        `length` >= allowed_length tokens, at most 256 more of
 *                                         them counted
 *                last_n          -1       looks at so many last tokens; -1: all
 *                breakers        see =>   texts that end a repetition, one per line, with the
 *                                         escapes \n \t \\ ; by default \n : " and *
 *   penalties    last_n          64       looks at so many last tokens; -1: all
 *                repeat          1        divides positive logits and multiplies negative ones
 *                frequency       0        taken off per occurrence
 *                presence        0        taken off once
 *   logit-bias   tokens, bias             adds to logits (arrays of one length); -INFINITY forbids
 *   mirostat     tau             5        wanted surprise in bits
 *                eta             0.1      how fast the bound follows
 *                m               100      candidates that the estimate looks at
 *   mirostat-2   tau, eta        5, 0.1   the same with a plain bound on the surprise
 *
 * top-p, min-p, typical and xtc also take min_keep (1): they never leave fewer candidates than
 * that, xtc by doing nothing instead. Penalties and dry see the prompt and the tokens taken since.
 * Unknown names and parameters, wrong kinds and values out of range are errors. */
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

/* A sampler of the host. `apply` sees the candidates that are left, with finite logits, in no
 * promised order. It may change logits (-INFINITY removes a candidate; NaN and +INFINITY are
 * errors), must leave ids and places as they are, and may pick by writing an index to *chosen
 * (UINT64_MAX on entry: nobody has). A negative return ends the generation with that status.
 * `accept`, `reset`, `clone` and `destroy` may be NULL. `clone` is called for every copy of the
 * chain; NULL from it is a failure. Without `clone` all copies share `user`, possibly on several
 * threads, and `destroy` is called once when the last of them goes. Set struct_size to
 * sizeof(llm_sampler_class). */
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

/* Adds a sampler of the host at the end; takes over `user` (destroy is called with it) on success
 * only. Thread-safety: one thread at a time. */
LLM_API int32_t llm_sampler_add_host(llm_sampler *sampler, const llm_sampler_class *host,
                                     void *user);

/* Sets the seed of the counter-based generator: the same seed, model and prompt give the same text,
 * whatever runs beside it. The default seed is 0.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_sampler_seed(llm_sampler *sampler, uint64_t seed);

/* Starts a new generation: the draw counter and what samplers have learnt go back to their start.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_sampler_reset(llm_sampler *sampler);

/* Picks from raw logits outside of any session, for hosts with their own loop, and accepts the
 * token. -INFINITY marks a token that is not possible; NaN, +INFINITY or no possible token is
 * LLM_E_NUMERIC. `history` holds the tokens so far, oldest first, and may be NULL when n_history is
 * 0. `tokenizer` may be NULL: dry then sees no breakers. Thread-safety: one thread at a time. */
LLM_API int32_t llm_sampler_pick(llm_sampler *sampler, const llm_tokenizer *tokenizer,
                                 const float *logits, uint32_t n_logits, const llm_token *history,
                                 uint64_t n_history, llm_token *out);

/* The name of the index-th sampler this library knows; NULL behind the last. Static storage.
 * Thread-safety: any thread. */
LLM_API const char *llm_sampler_name_at(uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
