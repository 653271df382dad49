/* session - one timeline of tokens, computed lazily: `timeline` says what the text is, `seq.length` how much
 * of it the cache holds. Going back, failing and reusing only ever move these two numbers; whoever needs
 * logits computes what is missing. One thread at a time, except lm_session_cancel. */
#ifndef LM_EXEC_SESSION_H
#define LM_EXEC_SESSION_H

#include "exec/engine.h"
#include "sample/sampler.h"
#include "text/tokenizer.h"

#include <llm/llm_session.h>
#include <llm/llm_tokenizer.h>

typedef struct lm_stops {
    char **texts; /* [count] NUL-terminated */
    uint32_t count;
} lm_stops;

/* What is known of the logits behind the last token. */
enum { LM_KNOWN_NOTHING, LM_KNOWN_BEST, LM_KNOWN_ALL };

typedef struct lm_session {
    lm_allocator *alloc;
    lm_engine *engine;             /* borrowed */
    const lm_tokenizer *tokenizer; /* borrowed; NULL: ids only */
    lm_seq seq;
    uint32_t context;
    int32_t *timeline; /* [context] ids; -1: the next embedding row */
    uint32_t length;
    float *rows;                  /* [n_rows, width] embedding rows on the timeline, in order */
    size_t n_rows, rows_capacity; /* capacity in rows */
    float *logits;                /* [n_vocab] behind the last token */
    lm_best best;                 /* or only these */
    uint32_t known;               /* LM_KNOWN_... */
    bool asked_logits;            /* by the host, since the last token was made */
    lm_chain *chain;              /* NULL: greedy */
    lm_stops stops;
    uint32_t max_tokens; /* 0: no bound */
    uint32_t top_n;
    /* the generation under way */
    uint32_t made, finish;
    int32_t end_token; /* that ended it, its probability, and how many of `top` are its */
    float end_logprob;
    uint32_t end_top;
    lm_utf8_stream utf8;
    lm_text fresh; /* bytes of the newest token */
    lm_text held;  /* characters not given out yet: a stop string may begin in them */
    lm_text out;   /* given out with the last piece */
    llm_alternative top[32];
    /* cancelling, from any thread */
    lm_os_mutex ticket_mutex;
    uint64_t ticket;
    _Atomic uint32_t cancel;
} lm_session;

typedef struct lm_session_options {
    uint32_t context; /* 0: the engine's */
    uint32_t max_tokens, top_n;
    uint64_t salt;
    const lm_chain *chain; /* cloned; NULL: greedy */
    const char *const *stops;
    uint32_t n_stops;
} lm_session_options;

typedef struct lm_feed {
    uint32_t chunk; /* 0: the engine's */
    float *logits;  /* [n, n_vocab] of every token fed, or NULL */
    llm_progress_fn progress;
    void *progress_user;
} lm_feed;

int32_t lm_session_create(lm_engine *e, const lm_tokenizer *tokenizer,
                          const lm_session_options *options, lm_session **out);
void lm_session_destroy(lm_session *s);
int32_t lm_session_fork(lm_session *s, lm_session **out);

int32_t lm_session_feed(lm_session *s, const int32_t *tokens, const float *rows, uint64_t n,
                        const lm_feed *feed);
int32_t lm_session_feed_text(lm_session *s, const char *text, uint32_t encode_flags,
                             const lm_feed *feed);
int32_t lm_session_sync(lm_session *s, const int32_t *tokens, uint64_t n, const lm_feed *feed,
                        uint64_t *reused);
int32_t lm_session_rewind(lm_session *s, uint64_t length);
/* Makes s->logits those behind the last token. */
int32_t lm_session_need_logits(lm_session *s);
/* Makes known of them what the next choice needs. */
int32_t lm_session_need_choice(lm_session *s);

int32_t lm_session_next(lm_session *s, llm_piece *piece); /* generate.c */
int32_t lm_session_set_sampler(lm_session *s, const lm_chain *chain);
int32_t lm_session_set_stops(lm_session *s, const char *const *stops, uint32_t n,
                             uint32_t max_tokens);
void lm_session_restart(lm_session *s); /* a new generation: nothing made, nothing held */

uint64_t lm_session_ticket(lm_session *s);
void lm_session_cancel(lm_session *s, uint64_t ticket);

/* saved.c */
#define LM_SAVED_HEAD 88u
/* Before all of it is read: may `size` bytes with this beginning, of LM_SAVED_HEAD bytes or `size`, be a
 * session of this model? */
int32_t lm_session_check_saved(const lm_session *s, const void *head, uint64_t size);
int32_t lm_session_saved_size(lm_session *s, uint64_t *size);
int32_t lm_session_save(lm_session *s, void *into, uint64_t size);
int32_t lm_session_load(lm_session *s, const void *from, uint64_t size);

#endif
