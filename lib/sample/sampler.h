/* sampler - the chain from logits to one token, and the class each sampler implements.
 *
 * A sampler is a const class found by name plus a small state block. The chain owns the candidate
 * list; a class edits it in place. Randomness comes from a counter-based generator: the n-th draw
 * of a generation depends on (seed, n) alone, never on timing or batching. */
#ifndef LM_SAMPLE_SAMPLER_H
#define LM_SAMPLE_SAMPLER_H

#include "base/alloc.h"
#include "base/params.h"

#include <llm/llm_sampler.h>

struct lm_tokenizer;

typedef struct lm_candidate {
    int32_t id;
    float logit; /* always finite: an impossible token is not in the list */
    float p;     /* valid after lm_candidates_softmax, until a logit changes */
} lm_candidate;

/* The candidates a sampler sees, never none. Removing means shortening. A sampler that changes
 * logits in a way that may change their order sets n_sorted to 0. */
typedef struct lm_candidates {
    lm_candidate *items;
    size_t count;
    size_t n_sorted; /* so many at the front are the best of all, best first */
    float *by_token; /* [n_vocab] scratch of the running sampler, undefined on entry */
    int32_t
        chosen; /* a token id; -1 until a sampler picks, the rest of the chain is then skipped */
} lm_candidates;

typedef struct lm_sample_context {
    const int32_t *history; /* accepted tokens, oldest first, prompt included */
    size_t n_history;
    uint64_t seed;
    uint64_t draw;   /* number of this draw in the generation */
    uint64_t stream; /* of this sampler, from 1; stream 0 belongs to lm_candidates_draw */
    uint32_t n_vocab;
    const struct lm_tokenizer *tokenizer; /* for texts (DRY's breakers); may be NULL */
} lm_sample_context;

typedef struct lm_sampler_class {
    const char *name;
    size_t state_size;
    const void *defaults;     /* a state block with the default parameters */
    const lm_param_row *rows; /* parameters it takes, offsets into the state */
    uint32_t n_rows;
    /* The part of the state that moves during a generation and is saved with a session. */
    size_t moving_offset, moving_size;
    bool (*moving_valid)(
        const void *moving); /* is a saved one possible? NULL when moving_size is 0 */
    /* Checks parameters that depend on each other and copies what is borrowed from the host. On
     * failure it leaves nothing behind. May be NULL. */
    int32_t (*prepare)(void *state, lm_allocator *alloc);
    void (*finish)(void *state, lm_allocator *alloc); /* NULL: the state owns nothing */
    int32_t (*clone)(const void *state, lm_allocator *alloc,
                     void *copy); /* NULL: memcpy is right */
    /* Makes room for a vocabulary, so that `apply` allocates nothing. May be NULL. */
    int32_t (*reserve)(void *state, lm_allocator *alloc, uint32_t n_vocab);
    int32_t (*apply)(void *state, const lm_sample_context *context, lm_candidates *c);
    /* As the first of a chain: so many of the best candidates are enough, 0: all. NULL: all. */
    uint32_t (*enough)(const void *state);
    void (*accept)(void *state, int32_t token); /* may be NULL */
    void (*reset)(void *state);                 /* may be NULL: a new generation */
} lm_sampler_class;

const lm_sampler_class *lm_sampler_class_by_name(const char *name); /* NULL: none */
const lm_sampler_class *lm_sampler_class_at(uint32_t index);        /* NULL after the last */

typedef struct lm_chain lm_chain;

int32_t lm_chain_create(lm_allocator *alloc, lm_chain **out);
void lm_chain_destroy(lm_chain *chain);
/* For forks: state and reserved room included. */
int32_t lm_chain_clone(const lm_chain *chain, lm_chain **out);
int32_t lm_chain_add(lm_chain *chain, const char *name, const llm_param *params, uint32_t n);
int32_t lm_chain_add_host(lm_chain *chain, const llm_sampler_class *host, void *user);
void lm_chain_seed(lm_chain *chain, uint64_t seed);
void lm_chain_reset(lm_chain *chain);
/* Allocates the candidate list for vocabularies up to `n_vocab`, so that picking allocates nothing.
 */
int32_t lm_chain_reserve(lm_chain *chain, uint32_t n_vocab);

/* Picks a token; lm_chain_reserve comes before. Non-finite logits: -Inf is "impossible"; NaN, +Inf
 * or nothing possible is LLM_E_NUMERIC. An empty chain takes the most likely token; another chain
 * that ends without a choice draws by probability. Does not accept. Allocates nothing. */
int32_t lm_chain_pick(lm_chain *chain, const float *logits, uint32_t n_vocab,
                      const int32_t *history, size_t n_history,
                      const struct lm_tokenizer *tokenizer, int32_t *token);
/* How many of the best logits are enough for a choice; 0: all. */
uint32_t lm_chain_enough(const lm_chain *chain);
/* The same from the `n` best alone, in falling order, the lower id first among equals; at least as many as
 * lm_chain_enough says, or all there are. */
int32_t lm_chain_pick_best(lm_chain *chain, const int32_t *ids, const float *logits, uint32_t n,
                           uint32_t n_vocab, const int32_t *history, size_t n_history,
                           const struct lm_tokenizer *tokenizer, int32_t *token);
/* Tells every sampler which token was taken, and moves the draw counter. */
void lm_chain_accept(lm_chain *chain, int32_t token);

/* Saved state of the chain's moving parts (seed, draw counter, mirostat's mu), for session save and
 * load. Loading into a chain of other samplers is LLM_E_MISMATCH and changes nothing. */
size_t lm_chain_state_size(const lm_chain *chain);
void lm_chain_state_save(const lm_chain *chain, void *into);
int32_t lm_chain_state_load(lm_chain *chain, const void *from, size_t size);

/* --- helpers for classes ---------------------------------------------------------------------- */

/* Every order is by falling logit, ties by rising id. */
void lm_candidates_sort(lm_candidates *c, size_t k); /* the k best to the front, in order */
size_t lm_candidates_best(const lm_candidates *c);   /* index of the most likely */
void lm_candidates_softmax(lm_candidates *c);        /* fills p; double accumulation */
void lm_candidates_keep(lm_candidates *c, size_t n); /* the first n */
/* Keeps those whose logit is at least `floor`, and always the `min_keep` best. */
void lm_candidates_keep_above(lm_candidates *c, double floor, size_t min_keep);
/* Moves the fewest best candidates that hold `mass` of p, and at least `min_keep`, to the front and
 * answers their number; sorts no more of them than it needs. */
size_t lm_candidates_mass(lm_candidates *c, double mass, size_t min_keep);
/* Chooses by probability: sets p and `chosen`, answers the index. */
size_t lm_candidates_draw(lm_candidates *c, const lm_sample_context *context);
/* The last `last_n` tokens of the history (negative: all). */
size_t lm_sample_window(const lm_sample_context *context, int64_t last_n, const int32_t **tokens);
float lm_logit(double x); /* rounded, kept within the finite floats */

/* Philox4x32-10 with key `seed` and counter (draw, stream). */
uint64_t lm_random_u64(uint64_t seed, uint64_t draw, uint64_t stream);
double lm_random_unit(uint64_t seed, uint64_t draw, uint64_t stream); /* [0, 1) */

/* --- host-defined samplers -------------------------------------------------------------------- */

/* The class behind lm_chain_add_host; it has no name to be found by. */
extern const lm_sampler_class lm_sampler_host;
int32_t lm_sampler_host_init(void *state, lm_allocator *alloc, uint32_t n_vocab,
                             const llm_sampler_class *host, void *user);

#endif
