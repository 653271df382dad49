/* session.c - the timeline: fed, synced, cut back, forked, and computed in chunks. */
#include "exec/session.h"

#include "base/checked.h"

#include <string.h>

/* --- making ----------------------------------------------------------------------------------- */

static int32_t create_text(lm_session *s)
{
    /* Room for any ordinary token and stop string, so that generating allocates nothing. */
    lm_text *texts[] = {&s->fresh, &s->held, &s->out};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        LM_TRY(lm_text_reserve(texts[i], 1024));
    return LLM_OK;
}

/* Not zeroed: a file may claim a context of gigabytes, and what is not touched costs nothing. */
static int32_t *new_timeline(const lm_session *s)
{
    size_t bytes;
    if (lm_mul_size(s->context, sizeof(int32_t), &bytes))
        return lm_alloc(s->alloc, bytes);
    lm_fail(LLM_E_MEMORY, "out of memory: a timeline of %u tokens", (unsigned)s->context);
    return NULL;
}

static int32_t create(lm_engine *e, const lm_tokenizer *tokenizer, const lm_session_options *o,
                      lm_session *s)
{
    s->context = o->context == 0 ? e->options.shape.context : o->context;
    if (s->context > e->options.shape.context)
        return lm_fail(LLM_E_LIMIT, "a session of %u tokens in an engine made for %u",
                       (unsigned)s->context, (unsigned)e->options.shape.context);
    s->tokenizer = tokenizer;
    s->top_n = o->top_n;
    LM_TRY(lm_os_mutex_init(s->alloc, &s->ticket_mutex));
    s->timeline = new_timeline(s);
    s->logits = LM_NEW_ARRAY(s->alloc, float, e->network->n_vocab);
    if (s->timeline == NULL || s->logits == NULL)
        return LLM_E_MEMORY;
    LM_TRY(create_text(s));
    LM_TRY(lm_session_set_sampler(s, o->chain));
    LM_TRY(lm_session_set_stops(s, o->stops, o->n_stops, o->max_tokens));
    return LLM_OK;
}

static lm_session *allocate(lm_engine *e)
{
    lm_session *s = LM_NEW(e->alloc, lm_session);
    if (s == NULL)
        return NULL;
    s->alloc = e->alloc;
    s->engine = e;
    s->ticket = 1;
    lm_text_init(&s->fresh, e->alloc);
    lm_text_init(&s->held, e->alloc);
    lm_text_init(&s->out, e->alloc);
    lm_session_restart(s);
    return s;
}

int32_t lm_session_create(lm_engine *e, const lm_tokenizer *tokenizer,
                          const lm_session_options *options, lm_session **out)
{
    if (!e->network->causal)
        return lm_fail(LLM_E_UNSUPPORTED,
                       "this model is an encoder and makes no text; use llm_embed");
    lm_session *s = allocate(e);
    if (s == NULL)
        return LLM_E_MEMORY;
    int32_t rc = create(e, tokenizer, options, s);
    if (rc >= 0)
        rc = lm_seq_init(e, options->salt, &s->seq);
    if (rc < 0) {
        lm_session_destroy(s);
        return rc;
    }
    *out = s;
    return LLM_OK;
}

static void free_stops(lm_session *s, lm_stops *stops)
{
    for (uint32_t i = 0; i < stops->count; i++)
        lm_strfree(s->alloc, stops->texts[i]);
    lm_free_array(s->alloc, stops->texts, stops->count, sizeof *stops->texts);
    *stops = (lm_stops){NULL, 0};
}

static size_t row_floats(const lm_session *s)
{
    return s->engine->network->width;
}

void lm_session_destroy(lm_session *s)
{
    if (s == NULL)
        return;
    lm_seq_finish(&s->seq);
    lm_chain_destroy(s->chain);
    free_stops(s, &s->stops);
    lm_text_finish(&s->fresh);
    lm_text_finish(&s->held);
    lm_text_finish(&s->out);
    lm_free_array(s->alloc, s->timeline, s->context, sizeof *s->timeline);
    lm_free_array(s->alloc, s->rows, s->rows_capacity, row_floats(s) * sizeof *s->rows);
    lm_free_array(s->alloc, s->logits, s->engine->network->n_vocab, sizeof *s->logits);
    lm_os_mutex_finish(s->alloc, &s->ticket_mutex);
    LM_DELETE(s->alloc, s);
}

int32_t lm_session_set_sampler(lm_session *s, const lm_chain *chain)
{
    lm_chain *copy = NULL;
    if (chain != NULL) {
        LM_TRY(lm_chain_clone(chain, &copy));
        int32_t rc = lm_chain_reserve(copy, s->engine->network->n_vocab);
        if (rc < 0) {
            lm_chain_destroy(copy);
            return rc;
        }
        lm_chain_reset(copy);
    }
    lm_chain_destroy(s->chain);
    s->chain = copy;
    return LLM_OK;
}

int32_t lm_session_set_stops(lm_session *s, const char *const *stops, uint32_t n,
                             uint32_t max_tokens)
{
    lm_stops copy = {n == 0 ? NULL : LM_NEW_ARRAY(s->alloc, char *, n), n};
    if (n > 0 && copy.texts == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        bool given = stops[i] != NULL && stops[i][0] != '\0';
        copy.texts[i] = given ? lm_strdup(s->alloc, stops[i], strlen(stops[i])) : NULL;
        if (copy.texts[i] == NULL) {
            free_stops(s, &copy);
            return given ? LLM_E_MEMORY
                         : lm_fail(LLM_E_INVALID, "stop string %u is empty", (unsigned)i);
        }
    }
    free_stops(s, &s->stops);
    s->stops = copy;
    s->max_tokens = max_tokens;
    return LLM_OK;
}

/* --- embedding rows --------------------------------------------------------------------------- */

static size_t rows_before(const lm_session *s, uint32_t length)
{
    size_t count = 0;
    for (uint32_t i = 0; s->n_rows > 0 && i < length; i++)
        count += s->timeline[i] < 0;
    return count;
}

static int32_t keep_rows(lm_session *s, const float *rows, uint64_t n)
{
    size_t bytes = row_floats(s) * sizeof *rows;
    LM_TRY(lm_grow(s->alloc, (void **)&s->rows, &s->rows_capacity, s->n_rows + (size_t)n, bytes));
    memcpy(s->rows + s->n_rows * row_floats(s), rows, (size_t)n * bytes);
    s->n_rows += (size_t)n;
    return LLM_OK;
}

static void cut_timeline(lm_session *s, uint32_t length)
{
    s->n_rows = rows_before(s, length);
    s->length = length;
    s->known = LM_KNOWN_NOTHING;
}

/* --- computing -------------------------------------------------------------------------------- */

/* Recurrent state can only be kept where a run ends: at intervals, and at the last full page of what is
 * known, so that the next session with this prompt finds it. */
static uint32_t until_boundary(const lm_session *s)
{
    uint32_t at = s->seq.length, interval = s->engine->options.state_interval;
    uint32_t page = s->engine->options.shape.page_tokens;
    uint32_t next = at / interval * interval + interval, last_page = s->length / page * page;
    if (last_page > at && last_page < next)
        next = last_page;
    return next - at;
}

static uint32_t chunk_rows(const lm_session *s, const lm_feed *feed)
{
    const lm_row_limits *l = &s->engine->options.shape.limits;
    uint32_t n = lm_min_u32(s->length - s->seq.length, l->rows);
    if (feed->chunk != 0)
        n = lm_min_u32(n, feed->chunk);
    if (feed->logits != NULL)
        n = lm_min_u32(n, l->wanted);
    return lm_engine_has_state(s->engine) ? lm_min_u32(n, until_boundary(s)) : n;
}

/* How many of the best logits the next choice needs; 0: all. */
static uint32_t enough(const lm_session *s)
{
    if (s->top_n > 0)
        return 0;
    return s->chain == NULL ? 1 : lm_chain_enough(s->chain);
}

static bool best_is_enough(const lm_session *s)
{
    return enough(s) != 0 && enough(s) <= LM_BEST;
}

/* Computes what the timeline has and the cache lacks. `base`: feed->logits belongs to tokens from there. */
static int32_t compute(lm_session *s, const lm_feed *feed, uint32_t base)
{
    size_t n_vocab = s->engine->network->n_vocab;
    bool has_state = lm_engine_has_state(s->engine);
    uint32_t start = s->seq.length;
    s->best.valid = false;
    while (s->seq.length < s->length) {
        uint32_t at = s->seq.length, n = chunk_rows(s, feed);
        bool all = feed->logits != NULL && at >= base;
        if (feed->logits != NULL && at < base)
            n = lm_min_u32(n, base - at);
        bool last = at + n == s->length;
        lm_work work = {
            .seq = &s->seq,
            .tokens = s->timeline + at,
            .embeddings = s->n_rows == 0 ? NULL : s->rows + rows_before(s, at) * row_floats(s),
            .history = s->n_rows == 0 ? s->timeline : NULL,
            .n_rows = n,
            .outputs = all    ? LM_OUTPUT_ALL
                       : last ? LM_OUTPUT_LAST
                              : LM_OUTPUT_NONE,
            .result = all ? feed->logits + (at - base) * n_vocab : s->logits,
            .best = !all && last && !s->asked_logits && best_is_enough(s) ? &s->best : NULL,
            .cancel = &s->cancel};
        LM_TRY(lm_engine_run(s->engine, &work));
        if (has_state && s->seq.length % s->engine->options.state_interval == 0)
            lm_seq_checkpoint(&s->seq);
        if (all && last)
            memcpy(s->logits, work.result + (n - 1) * n_vocab, n_vocab * sizeof *s->logits);
        if (feed->progress != NULL &&
            feed->progress(feed->progress_user, s->seq.length - start, s->length - start) != 0 &&
            s->seq.length < s->length)
            return lm_fail(LLM_E_CANCELLED, "cancelled by the host");
    }
    s->known = s->best.valid ? LM_KNOWN_BEST : LM_KNOWN_ALL;
    return LLM_OK;
}

/* What is not known any more is computed again with the last token. */
static int32_t need(lm_session *s, bool known)
{
    static const lm_feed plain;
    if (s->length == 0)
        return lm_fail(LLM_E_STATE, "the timeline is empty; feed something first");
    if (s->seq.length == s->length && known)
        return LLM_OK;
    if (s->seq.length == s->length)
        lm_seq_rewind(&s->seq, s->length - 1);
    return compute(s, &plain, s->length);
}

int32_t lm_session_need_logits(lm_session *s)
{
    s->asked_logits = true;
    return need(s, s->known == LM_KNOWN_ALL);
}

int32_t lm_session_need_choice(lm_session *s)
{
    return need(s, s->known == LM_KNOWN_ALL || (s->known == LM_KNOWN_BEST && best_is_enough(s)));
}

/* --- feeding ---------------------------------------------------------------------------------- */

static int32_t check_tokens(const lm_session *s, const int32_t *tokens, uint64_t n)
{
    uint32_t n_vocab = s->engine->network->n_vocab;
    for (uint64_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= n_vocab)
            return lm_fail(LLM_E_INVALID, "token %llu has the id %d; the vocabulary has %u",
                           (unsigned long long)i, (int)tokens[i], (unsigned)n_vocab);
    return LLM_OK;
}

static int32_t context_full(const lm_session *s, uint64_t wanted)
{
    return lm_fail(LLM_E_CONTEXT_FULL, "%llu tokens do not fit: the context is %u",
                   (unsigned long long)wanted, (unsigned)s->context);
}

int32_t lm_session_feed(lm_session *s, const int32_t *tokens, const float *rows, uint64_t n,
                        const lm_feed *feed)
{
    uint32_t before = s->length;
    if (n == 0)
        return LLM_OK;
    if (n > s->context - before)
        return context_full(s, before + n);
    if (tokens != NULL) {
        LM_TRY(check_tokens(s, tokens, n));
        memcpy(s->timeline + before, tokens, (size_t)n * sizeof *tokens);
    } else {
        LM_TRY(keep_rows(s, rows, n));
        memset(s->timeline + before, 0xff, (size_t)n * sizeof *s->timeline);
    }
    s->length = before + (uint32_t)n;
    s->known = LM_KNOWN_NOTHING;
    int32_t rc = compute(s, feed, before);
    if (rc >= 0) {
        lm_seq_checkpoint(&s->seq);
        lm_session_restart(s);
        return LLM_OK;
    }
    uint32_t keep = rc == LLM_E_CANCELLED && s->seq.length > before ? s->seq.length : before;
    lm_seq_rewind(&s->seq, keep);
    cut_timeline(s, keep);
    if (keep > before) /* the text of before does not go on behind what was kept */
        lm_session_restart(s);
    return rc;
}

int32_t lm_session_feed_text(lm_session *s, const char *text, uint32_t encode_flags,
                             const lm_feed *feed)
{
    if (s->tokenizer == NULL)
        return lm_fail(LLM_E_UNSUPPORTED, "the model has no tokenizer; feed ids");
    lm_ids ids;
    lm_ids_init(&ids, s->alloc);
    uint32_t flags =
        (encode_flags & LLM_ENCODE_LITERAL) != 0 ? 0 : (uint32_t)LM_ENCODE_PARSE_SPECIAL;
    int32_t bos = lm_tokenizer_special(s->tokenizer, LM_SPECIAL_BOS), rc = LLM_OK;
    bool opening = s->length == 0 && (encode_flags & LLM_ENCODE_NO_SPECIAL) == 0;
    if (opening && bos >= 0 && lm_tokenizer_adds_bos(s->tokenizer))
        rc = lm_ids_push(&ids, bos);
    if (rc >= 0)
        rc = lm_tokenizer_encode(s->tokenizer, text, strlen(text), flags, &ids);
    if (rc >= 0)
        rc = lm_session_feed(s, ids.items, NULL, ids.count, feed);
    lm_ids_finish(&ids);
    return rc;
}

static uint32_t common_prefix(const lm_session *s, const int32_t *tokens, uint32_t n)
{
    uint32_t most = lm_min_u32(s->length, n), i = 0;
    while (i < most && s->timeline[i] == tokens[i])
        i++;
    return i;
}

int32_t lm_session_sync(lm_session *s, const int32_t *tokens, uint64_t n, const lm_feed *feed,
                        uint64_t *reused)
{
    if (n == 0 || n > s->context)
        return n == 0 ? lm_fail(LLM_E_INVALID, "a timeline of no tokens") : context_full(s, n);
    LM_TRY(check_tokens(s, tokens, n));
    int32_t *old = s->timeline;
    uint32_t old_length = s->length, common = common_prefix(s, tokens, (uint32_t)n);
    int32_t *fresh = new_timeline(s);
    if (fresh == NULL)
        return LLM_E_MEMORY;
    memcpy(fresh, tokens, (size_t)n * sizeof *fresh);
    /* The last token is computed anew unless its logits are still at hand. */
    uint32_t known = common == n && old_length == n ? s->known : LM_KNOWN_NOTHING;
    bool same = known != LM_KNOWN_NOTHING;
    if (!same)
        lm_seq_rewind(&s->seq, lm_min_u32(common, (uint32_t)n - 1));
    lm_seq_adopt(&s->seq, tokens, (uint32_t)n - 1);
    uint32_t kept = lm_min_u32(s->seq.length, (uint32_t)n), base = kept;
    /* What matches are ids, so none of the old rows is on the new timeline. */
    size_t old_rows = s->n_rows;
    s->n_rows = 0;
    s->timeline = fresh;
    s->length = (uint32_t)n;
    s->known = known;
    int32_t rc = same ? LLM_OK : compute(s, feed, base);
    if (rc < 0 && rc != LLM_E_CANCELLED) {
        lm_seq_rewind(&s->seq, common);
        s->timeline = old;
        s->length = old_length;
        s->n_rows = old_rows;
        s->known = LM_KNOWN_NOTHING;
        lm_free_array(s->alloc, fresh, s->context, sizeof *fresh);
        return rc;
    }
    lm_free_array(s->alloc, old, s->context, sizeof *old);
    if (rc < 0)
        cut_timeline(s, s->seq.length);
    else
        lm_seq_checkpoint(&s->seq);
    lm_session_restart(s);
    if (reused != NULL)
        *reused = kept;
    return rc;
}

int32_t lm_session_rewind(lm_session *s, uint64_t length)
{
    if (length > s->length)
        return lm_fail(LLM_E_INVALID, "cannot rewind to %llu tokens; the timeline has %u",
                       (unsigned long long)length, (unsigned)s->length);
    if (length < s->length) {
        lm_seq_rewind(&s->seq, (uint32_t)length);
        cut_timeline(s, (uint32_t)length);
    }
    lm_session_restart(s);
    return LLM_OK;
}

/* --- forking ---------------------------------------------------------------------------------- */

static int32_t copy_text(lm_text *to, const lm_text *from)
{
    return lm_text_append(to, from->data, from->size);
}

static int32_t copy_into(const lm_session *s, lm_session *f)
{
    lm_session_options options = {.context = s->context,
                                  .max_tokens = s->max_tokens,
                                  .top_n = s->top_n,
                                  .stops = (const char *const *)s->stops.texts,
                                  .n_stops = s->stops.count};
    LM_TRY(create(s->engine, s->tokenizer, &options, f));
    if (s->chain != NULL) {
        LM_TRY(lm_chain_clone(s->chain, &f->chain));
        LM_TRY(lm_chain_reserve(f->chain, s->engine->network->n_vocab));
    }
    if (s->n_rows > 0)
        LM_TRY(keep_rows(f, s->rows, s->n_rows));
    memcpy(f->timeline, s->timeline, s->length * sizeof *s->timeline);
    memcpy(f->logits, s->logits, s->engine->network->n_vocab * sizeof *s->logits);
    f->length = s->length;
    f->best = s->best;
    f->known = s->known;
    f->asked_logits = s->asked_logits;
    f->made = s->made;
    f->finish = s->finish;
    f->end_token = s->end_token;
    f->end_logprob = s->end_logprob;
    f->end_top = s->end_top;
    memcpy(f->top, s->top, sizeof f->top);
    f->utf8 = s->utf8;
    LM_TRY(copy_text(&f->held, &s->held));
    return lm_seq_fork(&s->seq, &f->seq);
}

int32_t lm_session_fork(lm_session *s, lm_session **out)
{
    lm_session *f = allocate(s->engine);
    if (f == NULL)
        return LLM_E_MEMORY;
    int32_t rc = copy_into(s, f);
    if (rc < 0) {
        lm_session_destroy(f);
        return rc;
    }
    *out = f;
    return LLM_OK;
}

/* --- cancelling ------------------------------------------------------------------------------- */

uint64_t lm_session_ticket(lm_session *s)
{
    lm_os_mutex_lock(&s->ticket_mutex);
    uint64_t ticket = ++s->ticket;
    s->cancel = 0;
    lm_os_mutex_unlock(&s->ticket_mutex);
    return ticket;
}

void lm_session_cancel(lm_session *s, uint64_t ticket)
{
    lm_os_mutex_lock(&s->ticket_mutex);
    if (ticket == s->ticket)
        s->cancel = 1;
    lm_os_mutex_unlock(&s->ticket_mutex);
}
