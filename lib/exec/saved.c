/* saved.c - a timeline as bytes: a checked header, ids, embedding rows, logits, sampler state, cache. Loading
 * fills scratch objects and swaps them in when all is well. */
#include "exec/session.h"

#include "base/checked.h"
#include "base/hash.h"

#include <math.h>
#include <string.h>

#define MAGIC            "LLMSTATE"
#define VERSION          1u
#define MOST_CHAIN_BYTES (1u << 20)

/* Behind it: ids, rows, logits, chain state, cache, without gaps. All little-endian. The logits are there
 * because some caches cannot go back by one token to compute them anew. */
typedef struct saved_header {
    char magic[8];
    uint32_t version, header_bytes;
    uint64_t checksum; /* of everything behind this field */
    uint64_t fingerprint[2];
    uint32_t k_format, v_format, page_tokens, width;
    uint32_t length, computed, n_rows, known; /* LM_KNOWN_... of the logits */
    uint64_t chain_bytes, cache_bytes;
} saved_header;

_Static_assert(sizeof(saved_header) == LM_SAVED_HEAD, "no padding");

#define CHECKED_FROM offsetof(saved_header, fingerprint)

static saved_header describe(const lm_session *s)
{
    const lm_engine *e = s->engine;
    saved_header h;
    memset(&h, 0, sizeof h);
    memcpy(h.magic, MAGIC, sizeof h.magic);
    h.version = VERSION;
    h.header_bytes = sizeof h;
    memcpy(h.fingerprint, e->placement->model->fingerprint, sizeof h.fingerprint);
    h.k_format = e->options.shape.k_format->id;
    h.v_format = e->options.shape.v_format->id;
    h.page_tokens = e->options.shape.page_tokens;
    h.width = e->network->width;
    h.length = s->length;
    h.computed = s->seq.length;
    h.n_rows = (uint32_t)s->n_rows;
    h.known = s->seq.length == s->length ? s->known : LM_KNOWN_NOTHING;
    h.chain_bytes = s->chain != NULL ? lm_chain_state_size(s->chain) : 0;
    return h;
}

static uint64_t ids_bytes(const saved_header *h)
{
    return (uint64_t)h->length * sizeof(int32_t);
}

static uint64_t rows_bytes(const saved_header *h)
{
    return (uint64_t)h->n_rows * h->width * sizeof(float);
}

/* All of them in order, or the best as ids and then logits. */
static uint64_t logits_bytes(const lm_session *s, const saved_header *h)
{
    uint64_t all = (uint64_t)s->engine->network->n_vocab * sizeof *s->logits;
    uint64_t best = sizeof s->best.ids + sizeof s->best.logits;
    return h->known == LM_KNOWN_ALL ? all : h->known == LM_KNOWN_BEST ? best : 0;
}

/* All but the sampler state and the cache. */
static uint64_t plain_bytes(const lm_session *s, const saved_header *h)
{
    return sizeof *h + ids_bytes(h) + rows_bytes(h) + logits_bytes(s, h);
}

int32_t lm_session_saved_size(lm_session *s, uint64_t *size)
{
    saved_header h = describe(s);
    uint64_t cache;
    LM_TRY(lm_seq_export_size(&s->seq, &cache));
    *size = plain_bytes(s, &h) + h.chain_bytes + cache;
    return LLM_OK;
}

static unsigned char *put(unsigned char *at, const void *from, uint64_t size)
{
    if (size > 0)
        memcpy(at, from, (size_t)size);
    return at + size;
}

int32_t lm_session_save(lm_session *s, void *into, uint64_t size)
{
    unsigned char *at = into;
    saved_header h = describe(s);
    LM_TRY(lm_seq_export_size(&s->seq, &h.cache_bytes));
    lm_check(size == plain_bytes(s, &h) + h.chain_bytes + h.cache_bytes);
    unsigned char *body = put(at + sizeof h, s->timeline, ids_bytes(&h));
    body = put(body, s->rows, rows_bytes(&h));
    if (h.known == LM_KNOWN_ALL)
        body = put(body, s->logits, logits_bytes(s, &h));
    if (h.known == LM_KNOWN_BEST) {
        body = put(body, s->best.ids, sizeof s->best.ids);
        body = put(body, s->best.logits, sizeof s->best.logits);
    }
    if (h.chain_bytes > 0)
        lm_chain_state_save(s->chain, body);
    body += h.chain_bytes;
    LM_TRY(lm_seq_export(&s->seq, body, h.cache_bytes));
    memcpy(at, &h, sizeof h);
    h.checksum = lm_hash(at + CHECKED_FROM, (size_t)(size - CHECKED_FROM), VERSION);
    memcpy(at, &h, sizeof h);
    return LLM_OK;
}

/* --- loading ---------------------------------------------------------------------------------- */

static int32_t check_magic(const unsigned char *data, uint64_t size, saved_header *h)
{
    if (size < sizeof *h || memcmp(data, MAGIC, 8) != 0)
        return lm_fail(LLM_E_FORMAT, "this is no saved session, or only its beginning");
    memcpy(h, data, sizeof *h);
    if (h->version != VERSION || h->header_bytes != sizeof *h)
        return lm_fail(LLM_E_UNSUPPORTED,
                       "the session was saved in version %u of the format; this library "
                       "reads %u",
                       (unsigned)h->version, VERSION);
    return LLM_OK;
}

static int32_t check_origin(const lm_session *s, const saved_header *h)
{
    saved_header mine = describe(s);
    if (memcmp(h->fingerprint, mine.fingerprint, sizeof h->fingerprint) != 0 ||
        h->width != mine.width)
        return lm_fail(LLM_E_MISMATCH, "the session was saved with another model");
    if (h->k_format != mine.k_format || h->v_format != mine.v_format)
        return lm_fail(LLM_E_MISMATCH, "the session was saved with another cache type");
    if (h->length > s->context)
        return lm_fail(LLM_E_LIMIT, "the saved session has %u tokens; the context is %u",
                       (unsigned)h->length, (unsigned)s->context);
    return LLM_OK;
}

int32_t lm_session_check_saved(const lm_session *s, const void *head, uint64_t size)
{
    saved_header h;
    uint64_t most;
    LM_TRY(check_magic(head, size, &h));
    LM_TRY(check_origin(s, &h));
    LM_TRY(lm_engine_export_most(s->engine, &most));
    saved_header largest = {
        .length = s->context, .n_rows = s->context, .width = h.width, .known = LM_KNOWN_ALL};
    uint64_t best = sizeof s->best; /* of a small vocabulary more than all */
    most += plain_bytes(s, &largest) + best + MOST_CHAIN_BYTES;
    if (size > most || !lm_fits_size(size))
        return lm_fail(LLM_E_FORMAT,
                       "%llu bytes are more than any session of this model takes (%llu)",
                       (unsigned long long)size, (unsigned long long)most);
    return LLM_OK;
}

static int32_t check_all(const lm_session *s, const unsigned char *data, uint64_t size,
                         saved_header *h)
{
    LM_TRY(check_magic(data, size, h));
    if (lm_hash(data + CHECKED_FROM, (size_t)(size - CHECKED_FROM), VERSION) != h->checksum)
        return lm_fail(LLM_E_FORMAT, "the saved session is damaged or cut off");
    LM_TRY(check_origin(s, h));
    uint64_t total = plain_bytes(s, h);
    bool sum =
        lm_add_u64(total, h->chain_bytes, &total) && lm_add_u64(total, h->cache_bytes, &total);
    bool logits = h->known == LM_KNOWN_NOTHING ||
                  (h->known <= LM_KNOWN_ALL && h->computed == h->length && h->length > 0);
    if (!sum || total != size || !logits || h->computed > h->length || h->n_rows > h->length)
        return lm_fail(LLM_E_FORMAT, "the saved session's parts do not add up");
    return LLM_OK;
}

/* The parts of a session that a load replaces. */
typedef struct scratch {
    lm_session *s;
    lm_seq seq;
    int32_t *timeline;
    float *rows;
    lm_chain *chain;
} scratch;

static int32_t take_ids(scratch *x, const saved_header *h, const unsigned char *at)
{
    uint32_t n_rows = 0, n_vocab = x->s->engine->network->n_vocab;
    x->timeline = LM_NEW_ARRAY(x->s->alloc, int32_t, x->s->context);
    x->rows = LM_NEW_ARRAY(x->s->alloc, float, (size_t)h->n_rows * h->width);
    if (x->timeline == NULL || x->rows == NULL)
        return LLM_E_MEMORY;
    memcpy(x->timeline, at, (size_t)ids_bytes(h));
    for (uint32_t i = 0; i < h->length; i++) {
        if (x->timeline[i] < -1 || x->timeline[i] >= (int64_t)n_vocab)
            return lm_fail(LLM_E_FORMAT, "the saved session has the id %d; the vocabulary has %u",
                           (int)x->timeline[i], (unsigned)n_vocab);
        n_rows += x->timeline[i] < 0;
    }
    if (n_rows != h->n_rows)
        return lm_fail(LLM_E_FORMAT, "the saved session's embedding rows do not match its ids");
    if (n_rows > 0)
        memcpy(x->rows, at + ids_bytes(h), (size_t)rows_bytes(h));
    return LLM_OK;
}

static bool all_numbers(const unsigned char *at, size_t count)
{
    bool numbers = true;
    for (size_t i = 0; i < count; i++) {
        float logit;
        memcpy(&logit, at + i * sizeof logit, sizeof logit);
        numbers &= isnan(logit) == 0;
    }
    return numbers;
}

/* The logits go into the session last, when nothing can fail any more. */
static int32_t check_logits(const lm_session *s, const saved_header *h, const unsigned char *at)
{
    lm_best best;
    uint32_t n_vocab = s->engine->network->n_vocab;
    bool right = true;
    if (h->known == LM_KNOWN_ALL)
        right = all_numbers(at, n_vocab);
    if (h->known == LM_KNOWN_BEST) {
        memcpy(best.ids, at, sizeof best.ids);
        right = all_numbers(at + sizeof best.ids, LM_BEST);
        for (uint32_t i = 0; i < LM_BEST; i++)
            right &= best.ids[i] >= 0 && (uint32_t)best.ids[i] < n_vocab;
    }
    return right ? LLM_OK : lm_fail(LLM_E_FORMAT, "the saved session's logits are not numbers");
}

static void take_logits(lm_session *s, const saved_header *h, const unsigned char *at)
{
    s->known = s->seq.length == h->length ? h->known : LM_KNOWN_NOTHING;
    if (s->known == LM_KNOWN_ALL)
        memcpy(s->logits, at, (size_t)logits_bytes(s, h));
    if (s->known == LM_KNOWN_BEST) {
        memcpy(s->best.ids, at, sizeof s->best.ids);
        memcpy(s->best.logits, at + sizeof s->best.ids, sizeof s->best.logits);
    }
}

/* The sampler's moving state only fits the same chain; with another one the session's own goes on. */
static int32_t take_chain(scratch *x, const saved_header *h, const unsigned char *at)
{
    lm_session *s = x->s;
    if (s->chain == NULL)
        return LLM_OK;
    LM_TRY(lm_chain_clone(s->chain, &x->chain));
    LM_TRY(lm_chain_reserve(x->chain, s->engine->network->n_vocab));
    if (h->chain_bytes == 0)
        return LLM_OK;
    int32_t rc = lm_chain_state_load(x->chain, at, (size_t)h->chain_bytes);
    return rc == LLM_E_MISMATCH ? LLM_OK : rc;
}

static int32_t take_all(scratch *x, const saved_header *h, const unsigned char *data)
{
    const unsigned char *ids = data + sizeof *h, *chain = data + plain_bytes(x->s, h);
    LM_TRY(take_ids(x, h, ids));
    LM_TRY(check_logits(x->s, h, ids + ids_bytes(h) + rows_bytes(h)));
    LM_TRY(take_chain(x, h, chain));
    LM_TRY(lm_seq_init(x->s->engine, x->s->seq.salt, &x->seq));
    /* Pages of another size are not cut up: the ids are enough to compute again. */
    if (h->page_tokens != x->s->engine->options.shape.page_tokens)
        return LLM_OK;
    return lm_seq_import(&x->seq, h->computed, chain + h->chain_bytes, h->cache_bytes);
}

static void drop(scratch *x, const saved_header *h)
{
    lm_seq_finish(&x->seq);
    lm_chain_destroy(x->chain);
    lm_free_array(x->s->alloc, x->timeline, x->s->context, sizeof *x->timeline);
    lm_free_array(x->s->alloc, x->rows, (size_t)h->n_rows * h->width, sizeof *x->rows);
}

int32_t lm_session_load(lm_session *s, const void *from, uint64_t size)
{
    saved_header h;
    LM_TRY(check_all(s, from, size, &h));
    scratch x = {.s = s};
    int32_t rc = take_all(&x, &h, from);
    if (rc < 0) {
        drop(&x, &h);
        return rc;
    }
    scratch old = {s, s->seq, s->timeline, s->rows, s->chain};
    saved_header old_sizes = {.n_rows = (uint32_t)s->rows_capacity, .width = h.width};
    s->seq = x.seq;
    s->timeline = x.timeline;
    s->rows = x.rows;
    s->rows_capacity = s->n_rows = h.n_rows;
    s->chain = x.chain;
    s->length = h.length;
    take_logits(s, &h, (const unsigned char *)from + sizeof h + ids_bytes(&h) + rows_bytes(&h));
    lm_seq_checkpoint(&s->seq);
    drop(&old, &old_sizes);
    lm_session_restart(s);
    return LLM_OK;
}
