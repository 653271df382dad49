/* session.c - llm_session.h: checks arguments, holds off second threads, and calls the inner session. */
#include "api/handles.h"

#include <string.h>

/* --- one thread at a time --------------------------------------------------------------------- */

static int32_t enter(llm_session *s)
{
    uint32_t idle = 0;
    if (atomic_compare_exchange_strong(&s->busy, &idle, 1))
        return LLM_OK;
    return lm_fail(LLM_E_BUSY,
                   "another thread is using this session; a session serves one at a time");
}

static int32_t leave(llm_session *s, int32_t rc)
{
    atomic_store(&s->busy, 0);
    return rc;
}

/* --- making ----------------------------------------------------------------------------------- */

static int32_t options_from(const llm_session_params *p, lm_session_options *out)
{
    LM_TRY(lm_flags_check(p->set_mask, LLM_SESSION_SET_MAX_TOKENS, "llm_session_params.set_mask"));
    if (p->top_n > 32)
        return lm_fail(LLM_E_INVALID, "llm_session_params: top_n is %u; at most 32",
                       (unsigned)p->top_n);
    if (p->n_stops > 0 && p->stops == NULL)
        return lm_fail(LLM_E_INVALID,
                       "llm_session_params: NULL where %u stop strings were announced",
                       (unsigned)p->n_stops);
    *out = (lm_session_options){
        .context = p->context,
        .max_tokens = (p->set_mask & LLM_SESSION_SET_MAX_TOKENS) != 0 ? p->max_tokens : 0,
        .top_n = p->top_n,
        .salt = p->salt,
        .chain = p->sampler == NULL ? NULL : p->sampler->chain,
        .stops = p->stops,
        .n_stops = p->n_stops};
    if ((p->set_mask & LLM_SESSION_SET_MAX_TOKENS) != 0 && p->max_tokens == 0)
        return lm_fail(LLM_E_INVALID,
                       "llm_session_params: max_tokens is set to 0; leave its bit out of "
                       "set_mask for no bound");
    return LLM_OK;
}

LLM_API int32_t llm_session_create(llm_model *model, const llm_session_params *params,
                                   llm_session **out)
{
    lm_want(model, "model");
    lm_want(out, "out");
    llm_session_params p;
    lm_session_options options;
    LM_TRY(lm_params_in(&p, sizeof p, params, "llm_session_params"));
    LM_TRY(options_from(&p, &options));
    lm_allocator *alloc = &model->runtime->alloc;
    llm_session *s = LM_NEW(alloc, llm_session);
    if (s == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lm_engine_for(model, p.engine, &s->engine);
    if (rc >= 0)
        rc = lm_session_create(s->engine->inner, model->inner->tokenizer, &options, &s->inner);
    if (rc < 0) {
        llm_engine_release(s->engine);
        LM_DELETE(alloc, s);
        return rc;
    }
    *out = s;
    return LLM_OK;
}

LLM_API void llm_session_destroy(llm_session *session)
{
    if (session == NULL)
        return;
    llm_engine *engine = session->engine;
    lm_session_destroy(session->inner);
    LM_DELETE(&engine->model->runtime->alloc, session);
    llm_engine_release(engine);
}

LLM_API int32_t llm_session_fork(llm_session *session, llm_session **out)
{
    lm_want(session, "session");
    lm_want(out, "out");
    lm_allocator *alloc = &session->engine->model->runtime->alloc;
    LM_TRY(enter(session));
    llm_session *fork = LM_NEW(alloc, llm_session);
    if (fork == NULL)
        return leave(session, LLM_E_MEMORY);
    int32_t rc = lm_session_fork(session->inner, &fork->inner);
    if (rc < 0) {
        LM_DELETE(alloc, fork);
        return leave(session, rc);
    }
    fork->engine = llm_engine_retain(session->engine);
    *out = fork;
    return leave(session, LLM_OK);
}

/* --- the timeline ----------------------------------------------------------------------------- */

/* The public feed parameters, with the room for logits checked against what will be written. */
static int32_t feed_from(const llm_session *s, const llm_feed_params *given, uint64_t n,
                         lm_feed *out, uint32_t *encode_flags)
{
    llm_feed_params p;
    LM_TRY(lm_params_in(&p, sizeof p, given, "llm_feed_params"));
    LM_TRY(lm_flags_check(p.encode_flags, LLM_ENCODE_NO_SPECIAL | LLM_ENCODE_LITERAL,
                          "llm_feed_params.encode_flags"));
    LM_TRY(lm_flags_check(p.reserved, 0, "llm_feed_params.reserved"));
    uint32_t n_vocab = s->inner->engine->network->n_vocab;
    if (p.logits != NULL && p.logits_capacity / n_vocab < n)
        return lm_fail(LLM_E_BUFFER, "llm_feed_params: room for %llu logits; %llu tokens give %llu",
                       (unsigned long long)p.logits_capacity, (unsigned long long)n,
                       (unsigned long long)(n * n_vocab));
    *out = (lm_feed){p.chunk, p.logits, p.progress, p.progress_user};
    *encode_flags = p.encode_flags;
    return LLM_OK;
}

/* Tokens, or rows where `tokens` is NULL. */
static int32_t append(llm_session *session, const llm_token *tokens, const float *rows, uint64_t n,
                      const llm_feed_params *params)
{
    lm_feed feed;
    uint32_t flags;
    LM_TRY(feed_from(session, params, n, &feed, &flags));
    LM_TRY(enter(session));
    return leave(session, lm_session_feed(session->inner, tokens, rows, n, &feed));
}

LLM_API int32_t llm_session_feed(llm_session *session, const llm_token *tokens, uint64_t n_tokens,
                                 const llm_feed_params *params)
{
    lm_want(session, "session");
    if (tokens == NULL && n_tokens > 0)
        return lm_fail(LLM_E_INVALID, "%s: tokens is NULL", __func__);
    return append(session, tokens, NULL, n_tokens, params);
}

LLM_API int32_t llm_session_feed_text(llm_session *session, const char *text,
                                      const llm_feed_params *params)
{
    lm_want(session, "session");
    lm_want(text, "text");
    lm_feed feed;
    uint32_t flags;
    LM_TRY(feed_from(session, params, 0, &feed, &flags));
    if (feed.logits != NULL)
        return lm_fail(LLM_E_UNSUPPORTED, "%s: logits of every token need a feed of ids", __func__);
    LM_TRY(enter(session));
    return leave(session, lm_session_feed_text(session->inner, text, flags, &feed));
}

LLM_API int32_t llm_session_feed_embeddings(llm_session *session, const float *rows,
                                            uint64_t n_rows, const llm_feed_params *params)
{
    lm_want(session, "session");
    if (rows == NULL && n_rows > 0)
        return lm_fail(LLM_E_INVALID, "%s: rows is NULL", __func__);
    return append(session, NULL, rows, n_rows, params);
}

LLM_API int32_t llm_session_sync(llm_session *session, const llm_token *tokens, uint64_t n_tokens,
                                 const llm_feed_params *params, uint64_t *reused)
{
    lm_want(session, "session");
    lm_want(tokens, "tokens");
    lm_feed feed;
    uint32_t flags;
    LM_TRY(feed_from(session, params, n_tokens, &feed, &flags));
    LM_TRY(enter(session));
    return leave(session, lm_session_sync(session->inner, tokens, n_tokens, &feed, reused));
}

LLM_API int32_t llm_session_rewind(llm_session *session, uint64_t n_tokens)
{
    lm_want(session, "session");
    LM_TRY(enter(session));
    return leave(session, lm_session_rewind(session->inner, n_tokens));
}

LLM_API uint64_t llm_session_length(const llm_session *session)
{
    return session == NULL ? 0 : session->inner->length;
}

static int32_t copy_tokens(const lm_session *s, uint64_t first, llm_token *tokens,
                           uint64_t capacity, uint64_t *count)
{
    if (first > s->length || (tokens == NULL && capacity > 0))
        return lm_fail(LLM_E_INVALID, "llm_session_tokens: from token %llu of %u, or NULL room",
                       (unsigned long long)first, (unsigned)s->length);
    *count = s->length - first;
    if (*count > capacity)
        return lm_fail(LLM_E_BUFFER, "llm_session_tokens: %llu tokens do not fit in room for %llu",
                       (unsigned long long)*count, (unsigned long long)capacity);
    if (*count > 0)
        memcpy(tokens, s->timeline + first, (size_t)*count * sizeof *tokens);
    return LLM_OK;
}

LLM_API int32_t llm_session_tokens(const llm_session *session, uint64_t first, llm_token *tokens,
                                   uint64_t capacity, uint64_t *count)
{
    lm_want(session, "session");
    lm_want(count, "count");
    llm_session *own =
        (llm_session *)(uintptr_t)session; /* only its mark of being in use changes */
    LM_TRY(enter(own));
    return leave(own, copy_tokens(session->inner, first, tokens, capacity, count));
}

/* --- generating ------------------------------------------------------------------------------- */

LLM_API int32_t llm_session_next(llm_session *session, llm_piece *piece)
{
    lm_want(session, "session");
    lm_want(piece, "piece");
    llm_piece inner = {.struct_size = sizeof inner};
    LM_TRY(enter(session));
    int32_t rc =
        lm_params_out(piece, &inner, sizeof inner, "llm_piece"); /* before a token is made for it */
    if (rc < 0)
        return leave(session, rc);
    rc = lm_session_next(session->inner, &inner);
    (void)lm_params_out(piece, &inner, sizeof inner, "llm_piece");
    return leave(session, rc);
}

LLM_API int32_t llm_session_logits(llm_session *session, const float **logits, uint32_t *count)
{
    lm_want(session, "session");
    lm_want(logits, "logits");
    LM_TRY(enter(session));
    int32_t rc = lm_session_need_logits(session->inner);
    if (rc >= 0) {
        *logits = session->inner->logits;
        if (count != NULL)
            *count = session->inner->engine->network->n_vocab;
    }
    return leave(session, rc);
}

LLM_API int32_t llm_session_set_sampler(llm_session *session, const llm_sampler *sampler)
{
    lm_want(session, "session");
    LM_TRY(enter(session));
    return leave(session,
                 lm_session_set_sampler(session->inner, sampler == NULL ? NULL : sampler->chain));
}

LLM_API int32_t llm_session_set_stops(llm_session *session, const char *const *stops,
                                      uint32_t n_stops, uint32_t max_tokens)
{
    lm_want(session, "session");
    if (stops == NULL && n_stops > 0)
        return lm_fail(LLM_E_INVALID, "%s: stops is NULL", __func__);
    LM_TRY(enter(session));
    return leave(session, lm_session_set_stops(session->inner, stops, n_stops, max_tokens));
}

LLM_API int32_t llm_session_ticket(llm_session *session, uint64_t *ticket)
{
    lm_want(session, "session");
    lm_want(ticket, "ticket");
    LM_TRY(enter(session));
    *ticket = lm_session_ticket(session->inner);
    if (session->inner->finish == LLM_FINISH_CANCEL)
        session->inner->finish = LLM_FINISH_NONE;
    return leave(session, LLM_OK);
}

LLM_API int32_t llm_session_cancel(llm_session *session, uint64_t ticket)
{
    lm_want(session, "session");
    lm_session_cancel(session->inner, ticket);
    return LLM_OK;
}

/* --- saving ----------------------------------------------------------------------------------- */

static int32_t save_memory(lm_session *s, void *data, uint64_t capacity, uint64_t *size)
{
    LM_TRY(lm_session_saved_size(s, size));
    if (*size > capacity)
        return lm_fail(LLM_E_BUFFER, "the saved session takes %llu bytes; there is room for %llu",
                       (unsigned long long)*size, (unsigned long long)capacity);
    return lm_session_save(s, data, *size);
}

LLM_API int32_t llm_session_save_memory(llm_session *session, void *data, uint64_t capacity,
                                        uint64_t *size)
{
    lm_want(session, "session");
    lm_want(size, "size");
    if (data == NULL && capacity > 0)
        return lm_fail(LLM_E_INVALID, "%s: data is NULL", __func__);
    LM_TRY(enter(session));
    return leave(session, save_memory(session->inner, data, capacity, size));
}

static int32_t save_file(lm_session *s, const char *path)
{
    uint64_t size;
    LM_TRY(lm_session_saved_size(s, &size));
    void *data = lm_alloc(s->alloc, (size_t)size);
    if (data == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lm_session_save(s, data, size);
    if (rc >= 0)
        rc = lm_os_file_replace(path, data, (size_t)size);
    lm_free(s->alloc, data, (size_t)size);
    return rc;
}

LLM_API int32_t llm_session_save(llm_session *session, const char *path)
{
    lm_want(session, "session");
    lm_want(path, "path");
    LM_TRY(enter(session));
    return leave(session, save_file(session->inner, path));
}

LLM_API int32_t llm_session_load_memory(llm_session *session, const void *data, uint64_t size)
{
    lm_want(session, "session");
    lm_want(data, "data");
    LM_TRY(enter(session));
    return leave(session, lm_session_load(session->inner, data, size));
}

static int32_t load_open_file(lm_session *s, lm_os_file file)
{
    uint64_t size;
    unsigned char head[LM_SAVED_HEAD];
    LM_TRY(lm_os_file_size(file, &size));
    LM_TRY(lm_os_file_read(file, 0, head, size < sizeof head ? (size_t)size : sizeof head));
    LM_TRY(lm_session_check_saved(s, head, size));
    void *data = lm_alloc(s->alloc, (size_t)size);
    if (data == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lm_os_file_read(file, 0, data, (size_t)size);
    if (rc >= 0)
        rc = lm_session_load(s, data, size);
    lm_free(s->alloc, data, (size_t)size);
    return rc;
}

static int32_t load_file(lm_session *s, const char *path)
{
    lm_os_file file;
    LM_TRY(lm_os_file_open(path, &file));
    int32_t rc = load_open_file(s, file);
    lm_os_file_close(&file);
    return rc < 0 ? lm_fail_within(rc, "%s", path) : rc;
}

LLM_API int32_t llm_session_load(llm_session *session, const char *path)
{
    lm_want(session, "session");
    lm_want(path, "path");
    LM_TRY(enter(session));
    return leave(session, load_file(session->inner, path));
}
