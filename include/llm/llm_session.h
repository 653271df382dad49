/* llm_session.h - one mutable timeline of tokens: feed it, generate from it, fork it, rewind it, save it.
 *
 * A session serves one thread at a time; a second one is answered LLM_E_BUSY. Only llm_session_cancel()
 * may be called from anywhere. A failed call leaves the timeline as it was, except that a cancelled feed or
 * sync keeps the whole chunks that were computed. Callbacks run inside the call that was given them and
 * must not use sessions of the same engine. */
#ifndef LLM_SESSION_H
#define LLM_SESSION_H

#include <llm/llm_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why a generation ended. */
#define LLM_FINISH_NONE   0u
#define LLM_FINISH_EOS    1u /* the model ended it */
#define LLM_FINISH_STOP   2u /* a stop string was met; it is not part of the text */
#define LLM_FINISH_LENGTH 3u /* max_tokens were made */
#define LLM_FINISH_CANCEL 4u

/* Bits of set_mask. */
#define LLM_SESSION_SET_MAX_TOKENS 1u

typedef struct llm_session_params {
    uint32_t struct_size;
    uint32_t set_mask;   /* LLM_SESSION_SET_... */
    llm_engine *engine;  /* NULL: the model's default engine */
    uint32_t context;    /* most tokens of the timeline, at most the engine's; 0: the engine's */
    uint32_t max_tokens; /* of one generation, not 0, when its bit is set; otherwise no bound */
    const llm_sampler *sampler; /* copied; NULL: always the most likely token */
    const char *const *stops;   /* [n_stops] texts that end a generation; copied */
    uint32_t n_stops;
    uint32_t top_n; /* alternatives reported with each token, at most 32 */
    uint64_t salt;  /* sessions share prefixes only with the same salt */
} llm_session_params;

typedef struct llm_alternative {
    llm_token id;
    float logprob;
} llm_alternative;

/* One generated token and the text that became whole with it. */
typedef struct llm_piece {
    uint32_t struct_size;
    uint32_t finish;  /* LLM_FINISH_..., with LLM_DONE */
    const char *text; /* whole UTF-8 characters, not NUL-terminated; until the next call */
    uint64_t size;    /* may be 0 while a character or a stop string is incomplete */
    llm_token token;  /* -1: no token, only text that had been held back; with LLM_DONE the
                                      token that ended the generation, if one did */
    float logprob;    /* natural logarithm of the model's own probability of the token; 0
                                      unless the session was created with top_n */
    const llm_alternative *top; /* [n_top] the most likely tokens; until the next call */
    uint32_t n_top;
    uint32_t reserved;
} llm_piece;

#ifdef __cplusplus
#define LLM_PIECE_INIT                                                                             \
    {                                                                                              \
        sizeof(llm_piece), 0, nullptr, 0, -1, 0, nullptr, 0, 0                                     \
    }
#else
#define LLM_PIECE_INIT                                                                             \
    {                                                                                              \
        sizeof(llm_piece), 0, NULL, 0, -1, 0, NULL, 0, 0                                           \
    }
#endif

/* More than the tokens themselves about a feed. */
typedef struct llm_feed_params {
    uint32_t struct_size;
    uint32_t encode_flags; /* LLM_ENCODE_..., for llm_session_feed_text() */
    uint32_t chunk;        /* tokens per run; 0: as many as the engine takes */
    uint32_t reserved;
    float *logits;            /* [tokens, vocabulary] of every token computed, or NULL; not for
                                      llm_session_feed_text() */
    uint64_t logits_capacity; /* floats there */
    llm_progress_fn progress; /* tokens done of all, after every run; may cancel */
    void *progress_user;
} llm_feed_params;

/* A session with an empty timeline; NULL: all defaults. LLM_E_STATE while the model's weights are not
 * loaded; LLM_E_UNSUPPORTED for encoders.
 * Thread-safety: any thread; the session then serves one thread at a time. */
LLM_API int32_t llm_session_create(llm_model *model, const llm_session_params *params,
                                   llm_session **out);

/* Ends a session. NULL is fine.
 * Thread-safety: one thread at a time. */
LLM_API void llm_session_destroy(llm_session *session);

/* --- the timeline ----------------------------------------------------------------------------- */

/* Appends tokens and computes them. LLM_E_CONTEXT_FULL when they do not all fit.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_feed(llm_session *session, const llm_token *tokens, uint64_t n_tokens,
                                 const llm_feed_params *params);

/* Appends the tokens of a NUL-terminated text; on an empty timeline behind BOS, if the model wants it.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_feed_text(llm_session *session, const char *text,
                                      const llm_feed_params *params);

/* Appends rows of the model's width, one behind the other, in place of tokens (images, soft prompts).
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_feed_embeddings(llm_session *session, const float *rows,
                                            uint64_t n_rows, const llm_feed_params *params);

/* Makes the timeline exactly these tokens, at least one: keeps what matches, reuses what other sessions
 * computed, computes the rest. `reused` (may be NULL) receives the number of tokens not computed; logits
 * asked for are those of the tokens behind them.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_sync(llm_session *session, const llm_token *tokens, uint64_t n_tokens,
                                 const llm_feed_params *params, uint64_t *reused);

/* Cuts the timeline back to its first n_tokens; LLM_E_INVALID when it has fewer. A new generation begins.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_rewind(llm_session *session, uint64_t n_tokens);

/* A second session with the same timeline, sampler state and settings, in the same engine. Nothing is
 * copied until one of them writes.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_fork(llm_session *session, llm_session **out);

/* Number of tokens on the timeline, embedding rows included.
 * Thread-safety: one thread at a time. */
LLM_API uint64_t llm_session_length(const llm_session *session);

/* Copies the timeline's ids from `first`; -1 stands for embedding rows. `count` receives how many there
 * are; LLM_E_BUFFER when they do not fit.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_tokens(const llm_session *session, uint64_t first, llm_token *tokens,
                                   uint64_t capacity, uint64_t *count);

/* --- generating ------------------------------------------------------------------------------- */

/* Makes the next token. LLM_OK: a piece. LLM_DONE: the generation has ended and piece->finish says why; it
 * goes on saying so until something is fed, synced or rewound. LLM_E_CONTEXT_FULL: no room for more; text
 * that was held back comes out first.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_next(llm_session *session, llm_piece *piece);

/* Raw logits behind the last token, [vocabulary]; until the next call.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_logits(llm_session *session, const float **logits, uint32_t *count);

/* Replaces the sampler (copied; NULL: greedy), with a fresh state.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_set_sampler(llm_session *session, const llm_sampler *sampler);

/* Replaces the stop strings (copied) and the bound of one generation (0: none).
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_set_stops(llm_session *session, const char *const *stops,
                                      uint32_t n_stops, uint32_t max_tokens);

/* --- cancelling ------------------------------------------------------------------------------- */

/* Names what the session does from here on. Cancelling the ticket stops it, at once or as soon as it starts:
 * feeds answer LLM_E_CANCELLED and llm_session_next() ends the generation, until the next ticket is taken.
 * Older tickets do nothing.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_ticket(llm_session *session, uint64_t *ticket);

/* Cancels a ticket of this session.
 * Thread-safety: any thread, as long as the session is there. */
LLM_API int32_t llm_session_cancel(llm_session *session, uint64_t ticket);

/* --- saving ----------------------------------------------------------------------------------- */

/* Writes the timeline with its cache and sampler state to a file, as a whole or not at all. Portable
 * between devices and backends for the same model and cache type.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_save(llm_session *session, const char *path);

/* Replaces the timeline by a saved one; the sampler's state too, where the session has the same samplers.
 * LLM_E_MISMATCH when it belongs to another model or cache type. On failure the session is as it was.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_load(llm_session *session, const char *path);

/* The same to memory. `size` receives what is needed; LLM_E_BUFFER when it does not fit.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_save_memory(llm_session *session, void *data, uint64_t capacity,
                                        uint64_t *size);

/* Replaces the timeline by one that was saved to memory, as llm_session_load() does.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_session_load_memory(llm_session *session, const void *data, uint64_t size);

#ifdef __cplusplus
}
#endif
#endif
