/* generate.c - the next token, and the text that becomes whole with it: characters and stop strings are
 * held back until they are certain. */
#include "exec/session.h"

#include <math.h>
#include <string.h>

void lm_session_restart(lm_session *s)
{
    s->made = 0;
    s->finish = LLM_FINISH_NONE;
    s->end_token = -1;
    s->end_logprob = 0;
    s->end_top = 0;
    s->utf8 = (lm_utf8_stream){{0}, 0};
    s->held.size = 0;
    s->out.size = 0;
}

/* --- probabilities ---------------------------------------------------------------------------- */

/* Keeps the best `n` in falling order. */
static void insert_best(llm_alternative *top, uint32_t n, uint32_t *count, int32_t id, float logit)
{
    if (*count == n && logit <= top[n - 1].logprob)
        return;
    uint32_t at = *count < n ? (*count)++ : n - 1;
    while (at > 0 && top[at - 1].logprob < logit) {
        top[at] = top[at - 1];
        at--;
    }
    top[at] = (llm_alternative){id, logit};
}

/* Fills s->top when the session was asked for alternatives; answers the token's own. */
static float report_probabilities(lm_session *s, int32_t token, uint32_t *n_top)
{
    uint32_t n_vocab = s->engine->network->n_vocab, count = 0;
    *n_top = 0;
    if (s->top_n == 0)
        return 0;
    for (uint32_t i = 0; i < n_vocab; i++)
        insert_best(s->top, s->top_n, &count, (int32_t)i, s->logits[i]);
    double most = s->top[0].logprob, sum = 0;
    for (uint32_t i = 0; i < n_vocab; i++)
        sum += exp(s->logits[i] - most);
    double norm = most + log(sum);
    for (uint32_t i = 0; i < count; i++)
        s->top[i].logprob = (float)(s->top[i].logprob - norm);
    *n_top = count;
    return (float)(s->logits[token] - norm);
}

/* --- text ------------------------------------------------------------------------------------- */

/* The first stop string inside the held text, or SIZE_MAX. */
static size_t find_stop(const lm_session *s)
{
    size_t best = SIZE_MAX;
    for (uint32_t i = 0; i < s->stops.count; i++) {
        size_t length = strlen(s->stops.texts[i]);
        for (size_t at = 0; at + length <= s->held.size && at < best; at++)
            if (memcmp(s->held.data + at, s->stops.texts[i], length) == 0)
                best = at;
    }
    return best;
}

/* Where the longest end of the held text begins that may grow into a stop string. */
static size_t find_possible_stop(const lm_session *s)
{
    size_t best = s->held.size;
    for (uint32_t i = 0; i < s->stops.count; i++) {
        size_t length = strlen(s->stops.texts[i]);
        size_t first = s->held.size < length ? 0 : s->held.size - length + 1;
        for (size_t at = first; at < best; at++)
            if (memcmp(s->held.data + at, s->stops.texts[i], s->held.size - at) == 0)
                best = at;
    }
    return best;
}

/* U+FFFD for the bytes of a character that never became whole. */
#define MOST_FLUSHED 16u

/* Room for all that giving out may need, so that nothing can fail once a token is on the timeline. */
static int32_t reserve_text(lm_session *s)
{
    LM_TRY(lm_text_reserve(&s->held, s->held.size + MOST_FLUSHED));
    return lm_text_reserve(&s->out, s->held.size + MOST_FLUSHED);
}

/* Moves the first `size` held bytes into the piece. */
static int32_t give_out(lm_session *s, size_t size, llm_piece *piece)
{
    s->out.size = 0;
    LM_TRY(lm_text_append(&s->out, s->held.data, size));
    memmove(s->held.data, s->held.data + size, s->held.size - size);
    s->held.size -= size;
    piece->text = s->out.data;
    piece->size = s->out.size;
    return LLM_OK;
}

/* Directly behind BOS a text begins, and its scheme's opening space goes. */
static bool opens_text(const lm_session *s)
{
    int32_t bos = lm_tokenizer_special(s->tokenizer, LM_SPECIAL_BOS);
    return s->length >= 1 && bos >= 0 && s->timeline[s->length - 1] == bos;
}

/* Called before the token joins the timeline; on failure the text is as it was. */
static int32_t add_text(lm_session *s, int32_t token)
{
    if (s->tokenizer == NULL)
        return LLM_OK;
    lm_utf8_stream utf8 = s->utf8;
    size_t held = s->held.size;
    s->fresh.size = 0;
    if (opens_text(s))
        LM_TRY(lm_tokenizer_decode(s->tokenizer, &token, 1, 0, &s->fresh));
    else
        LM_TRY(lm_tokenizer_piece(s->tokenizer, token, 0, &s->fresh));
    LM_TRY(lm_utf8_stream_push(&s->utf8, s->fresh.data, s->fresh.size, false, &s->held));
    int32_t rc = reserve_text(s);
    if (rc < 0) {
        s->utf8 = utf8;
        s->held.size = held;
    }
    return rc;
}

/* What may be given out now; sets the finish when a stop string is complete. */
static int32_t release_text(lm_session *s, llm_piece *piece)
{
    size_t stop = find_stop(s);
    if (stop == SIZE_MAX)
        return give_out(s, find_possible_stop(s), piece);
    LM_TRY(give_out(s, stop, piece));
    s->finish = LLM_FINISH_STOP;
    s->held.size = 0;
    s->utf8.n_held = 0;
    return LLM_OK;
}

/* --- ending ----------------------------------------------------------------------------------- */

/* What was held back for text that will not come. */
static int32_t flush(lm_session *s, llm_piece *piece)
{
    LM_TRY(reserve_text(s));
    LM_TRY(lm_utf8_stream_push(&s->utf8, "", 0, true, &s->held));
    return give_out(s, s->held.size, piece);
}

/* The generation is over: what was held back comes out first, as a piece of its own. */
static int32_t end(lm_session *s, uint32_t finish, llm_piece *piece)
{
    s->finish = finish;
    LM_TRY(flush(s, piece));
    if (piece->size > 0)
        return LLM_OK;
    piece->finish = finish;
    piece->token = s->end_token;
    piece->logprob = s->end_logprob;
    piece->top = s->end_top > 0 ? s->top : NULL;
    piece->n_top = s->end_top;
    return LLM_DONE;
}

/* Once what was held back is out. */
static int32_t context_full(lm_session *s, llm_piece *piece)
{
    LM_TRY(flush(s, piece));
    if (piece->size > 0)
        return LLM_OK;
    return lm_fail(LLM_E_CONTEXT_FULL, "the context of %u tokens is full", (unsigned)s->context);
}

/* The token itself comes with LLM_DONE, after the text that was held back. */
static int32_t end_by(lm_session *s, int32_t token, llm_piece *piece)
{
    s->end_token = token;
    s->end_logprob = report_probabilities(s, token, &s->end_top);
    return end(s, LLM_FINISH_EOS, piece);
}

/* Without a chain: the largest. */
static int32_t pick_largest(const lm_session *s, int32_t *token)
{
    uint32_t n_vocab = s->engine->network->n_vocab;
    bool best = s->known == LM_KNOWN_BEST;
    *token = best ? s->best.ids[0] : 0;
    for (uint32_t i = 1; !best && i < n_vocab; i++)
        if (s->logits[i] > s->logits[*token])
            *token = (int32_t)i;
    return isfinite(best ? s->best.logits[0] : s->logits[*token])
               ? LLM_OK
               : lm_fail(LLM_E_NUMERIC, "the largest logit, that of token %d, is infinite",
                         (int)*token);
}

static int32_t pick(lm_session *s, int32_t *token)
{
    uint32_t n_vocab = s->engine->network->n_vocab;
    if (s->chain == NULL)
        return pick_largest(s, token);
    if (s->known == LM_KNOWN_BEST)
        return lm_chain_pick_best(s->chain, s->best.ids, s->best.logits, LM_BEST, n_vocab,
                                  s->timeline, s->length, s->tokenizer, token);
    return lm_chain_pick(s->chain, s->logits, n_vocab, s->timeline, s->length, s->tokenizer, token);
}

static void reset_piece(llm_piece *piece)
{
    *piece = (llm_piece){.struct_size = sizeof *piece, .token = -1, .text = ""};
}

int32_t lm_session_next(lm_session *s, llm_piece *piece)
{
    reset_piece(piece);
    if (s->finish != LLM_FINISH_NONE || s->cancel != 0)
        return end(s, s->finish != LLM_FINISH_NONE ? s->finish : LLM_FINISH_CANCEL, piece);
    if (s->max_tokens != 0 && s->made >= s->max_tokens)
        return end(s, LLM_FINISH_LENGTH, piece);
    if (s->length == s->context)
        return context_full(s, piece);
    int32_t rc = lm_session_need_choice(s), token;
    if (rc == LLM_E_CANCELLED)
        return end(s, LLM_FINISH_CANCEL, piece);
    LM_TRY(rc);
    LM_TRY(pick(s, &token));
    bool is_end = s->tokenizer != NULL && lm_tokenizer_is_end(s->tokenizer, token);
    LM_TRY(is_end ? reserve_text(s) : add_text(s, token));
    if (s->chain != NULL)
        lm_chain_accept(s->chain, token);
    s->timeline[s->length++] = token;
    s->asked_logits = false;
    s->made++;
    if (is_end)
        return end_by(s, token, piece);
    piece->token = token;
    piece->logprob = report_probabilities(s, token, &piece->n_top);
    piece->top = piece->n_top > 0 ? s->top : NULL;
    return release_text(s, piece);
}
