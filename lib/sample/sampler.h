/* sampler - the chain from logits to one token, and the class each sampler implements.
 *
 * A sampler is a const class found by name plus a small state block. The chain owns the candidate
 * list; a class edits it in place. Randomness comes from a counter-based generator: the n-th draw of
 * a generation depends on (seed, n) alone, never on timing or batching. */
#ifndef LM_SAMPLE_SAMPLER_H
#define LM_SAMPLE_SAMPLER_H

#include "base/alloc.h"
#include "base/params.h"

#include <llm/llm_sampler.h>

typedef struct lm_candidate {
    int32_t id;
    float logit;
    float p; /* valid after lm_candidates_softmax */
} lm_candidate;

/* The candidates a sampler sees. Removing means shortening; `sorted` says that logits fall. */
typedef struct lm_candidates {
    lm_candidate *items;
    size_t count;
    bool sorted;
    int32_t chosen; /* -1 until a sampler picks; the rest of the chain is then skipped */
} lm_candidates;

typedef struct lm_sample_context {
    const int32_t *history; /* accepted tokens, oldest first, prompt included */
    size_t n_history;
    uint64_t seed;
    uint64_t draw;          /* number of this draw in the generation */
    uint32_t n_vocab;
    /* The tokens' texts (for DRY's breakers); may be NULL in tests. */
    const struct lm_tokenizer *tokenizer;
} lm_sample_context;

typedef struct lm_sampler_class {
    const char *name;
    size_t state_size;            /* zeroed, then the defaults written by `init` */
    const lm_param_row *rows;     /* parameters it takes, offsets into the state */
    uint32_t n_rows;
    void (*defaults)(void *state);
    /* Checks parameters that depend on each other and builds derived state. May be NULL. */
    int32_t (*prepare)(void *state, lm_allocator *alloc);
    void (*finish)(void *state, lm_allocator *alloc);      /* may be NULL */
    int32_t (*clone)(const void *state, lm_allocator *alloc, void *copy); /* NULL: memcpy is right */
    int32_t (*apply)(void *state, const lm_sample_context *context, lm_candidates *c);
    void (*accept)(void *state, int32_t token);            /* may be NULL */
    void (*reset)(void *state);                            /* may be NULL: a new generation */
} lm_sampler_class;

const lm_sampler_class *lm_sampler_class_by_name(const char *name); /* NULL: none */
const lm_sampler_class *lm_sampler_class_at(uint32_t index);        /* NULL after the last */

typedef struct lm_chain lm_chain;

int32_t lm_chain_create(lm_allocator *alloc, lm_chain **out);
void lm_chain_destroy(lm_chain *chain);
int32_t lm_chain_clone(const lm_chain *chain, lm_chain **out); /* for forks: state included */
int32_t lm_chain_add(lm_chain *chain, const char *name, const llm_param *params, uint32_t n);
int32_t lm_chain_add_host(lm_chain *chain, const llm_sampler_class *host, void *user);
void lm_chain_seed(lm_chain *chain, uint64_t seed);
uint64_t lm_chain_get_seed(const lm_chain *chain);
void lm_chain_reset(lm_chain *chain);
/* Allocates the candidate list for vocabularies up to `n_vocab`, so that sampling allocates nothing. */
int32_t lm_chain_reserve(lm_chain *chain, uint32_t n_vocab);

/* Picks a token. Non-finite logits: -Inf is "impossible", NaN, +Inf or nothing possible is
 * LLM_E_NUMERIC. A chain that ends without a choice takes the most likely candidate, or draws by
 * probability when its last sampler is "dist". Does not accept. Allocates nothing. */
int32_t lm_chain_pick(lm_chain *chain, const float *logits, uint32_t n_vocab,
                      const int32_t *history, size_t n_history,
                      const struct lm_tokenizer *tokenizer, int32_t *token);
/* Tells every sampler which token was taken, and moves the draw counter. */
void lm_chain_accept(lm_chain *chain, int32_t token);

/* Saved state of the chain's moving parts (draw counter, mirostat's mu), for session save/load. */
size_t lm_chain_state_size(const lm_chain *chain);
void lm_chain_state_save(const lm_chain *chain, void *into);
int32_t lm_chain_state_load(lm_chain *chain, const void *from, size_t size);

/* --- helpers for classes ------------------------------------------------------------------ */

void lm_candidates_sort(lm_candidates *c);               /* by falling logit, ties by rising id */
void lm_candidates_partial_sort(lm_candidates *c, size_t k); /* the k best first, in order */
void lm_candidates_softmax(lm_candidates *c);            /* fills p; double accumulation */
uint64_t lm_random_u64(uint64_t seed, uint64_t draw, uint64_t stream);
double lm_random_unit(uint64_t seed, uint64_t draw, uint64_t stream); /* [0, 1) */

#endif
