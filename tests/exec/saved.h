/* saved.h - what the tests of saved sessions share: an engine with a session, its saved bytes, and
 * a witness of what a refused load must not change. */
#ifndef TEST_EXEC_SAVED_H
#define TEST_EXEC_SAVED_H

#include "support/support.h"

#include "base/hash.h"

#include <llm/llm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 96

/* Where the fields of the header lie. */
enum {
    AT_VERSION = 8,
    AT_CHECKSUM = 16,
    AT_FINGERPRINT = 24,
    AT_K_FORMAT = 40,
    AT_V_FORMAT = 44,
    AT_PAGE = 48,
    AT_WIDTH = 52,
    AT_LENGTH = 56,
    AT_COMPUTED = 60,
    AT_ROWS = 64,
    AT_KNOWN = 68,
    AT_CHAIN_BYTES = 72,
    AT_CACHE_BYTES = 80,
    AT_IDS = 88
};

/* --- one engine with a session ---------------------------------------------------------------- */

typedef struct bench {
    llm_runtime *rt;
    llm_model *model;
    llm_engine *engine;
    llm_session *s;
    uint32_t n_vocab, width;
} bench;

typedef struct setting {
    const char *model, *devices, *cache;
    uint32_t page, context;
    const llm_sampler *sampler;
} setting;

static inline void open_bench(bench *b, setting o)
{
    char relative[256], path[4096];
    snprintf(relative, sizeof relative, "model/data/%s.gguf", o.model == NULL ? "llama" : o.model);
    snprintf(path, sizeof path, "%s", test_file_path(relative));
    bool split = strchr(o.devices, ',') != NULL; /* only what is not mapped counts for placement */
    llm_model_params mp = {.struct_size = sizeof mp,
                           .devices = o.devices,
                           .source = split ? LLM_SOURCE_READ : LLM_SOURCE_MAP};
    llm_engine_params ep = {.struct_size = sizeof ep,
                            .context = o.context == 0 ? CONTEXT : o.context,
                            .page_tokens = o.page == 0 ? 16 : o.page,
                            .cache_type = o.cache,
                            .flags = LLM_ENGINE_NO_SHARING,
                            .max_rows = 64};
    llm_model_info info = {.struct_size = sizeof info};
    assert_ok(llm_runtime_create(NULL, &b->rt));
    assert_ok(llm_model_open(b->rt, path, &mp, &b->model));
    if (split)
        test_assert_split(b->model);
    assert_ok(llm_model_get_info(b->model, &info));
    b->n_vocab = info.n_vocab;
    b->width = info.width;
    assert_ok(llm_engine_create(b->model, &ep, &b->engine));
    llm_session_params sp = {.struct_size = sizeof sp, .engine = b->engine, .sampler = o.sampler};
    assert_ok(llm_session_create(b->model, &sp, &b->s));
}

static inline void close_bench(bench *b)
{
    llm_session_destroy(b->s);
    llm_engine_release(b->engine);
    llm_model_release(b->model);
    llm_runtime_destroy(b->rt);
}

static inline void feed(bench *b, uint32_t n, uint32_t seed)
{
    llm_token tokens[CONTEXT];
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (llm_token)((i * 7 + seed) % b->n_vocab);
    assert_ok(llm_session_feed(b->s, tokens, n, NULL));
}

static inline llm_engine_stats stats_of(const bench *b)
{
    llm_engine_stats stats = {.struct_size = sizeof stats};
    assert_ok(llm_engine_get_stats(b->engine, &stats));
    return stats;
}

/* --- saved bytes ------------------------------------------------------------------------------ */

typedef struct blob {
    unsigned char *data;
    uint64_t size;
} blob;

static inline blob save(const bench *b)
{
    blob out = {NULL, 0};
    uint64_t again;
    assert_status(llm_session_save_memory(b->s, NULL, 0, &out.size), LLM_E_BUFFER);
    out.data = malloc(out.size);
    assert_non_null(out.data);
    assert_status(llm_session_save_memory(b->s, out.data, out.size - 1, &again), LLM_E_BUFFER);
    assert_ok(llm_session_save_memory(b->s, out.data, out.size, &again));
    assert_int_equal(again, out.size);
    return out;
}

static inline blob copy(const blob *from)
{
    blob out = {malloc(from->size + 64), from->size};
    assert_non_null(out.data);
    memcpy(out.data, from->data, from->size);
    return out;
}

static inline void seal(blob *b)
{
    uint64_t sum =
        lm_hash(b->data + AT_FINGERPRINT, (size_t)b->size - AT_FINGERPRINT, b->data[AT_VERSION]);
    memcpy(b->data + AT_CHECKSUM, &sum, sizeof sum);
}

static inline void put_u32(blob *b, size_t at, uint32_t value)
{
    memcpy(b->data + at, &value, sizeof value);
}

static inline uint32_t get_u32(const blob *b, size_t at)
{
    uint32_t value;
    memcpy(&value, b->data + at, sizeof value);
    return value;
}

static inline void add_u64(blob *b, size_t at, uint64_t more)
{
    uint64_t value;
    memcpy(&value, b->data + at, sizeof value);
    value += more;
    memcpy(b->data + at, &value, sizeof value);
}

static inline int32_t load(const bench *b, const blob *from)
{
    return llm_session_load_memory(b->s, from->data, from->size);
}

/* --- a session to be left alone --------------------------------------------------------------- */

/* What a refused load must not change. */
typedef struct witness {
    llm_token tokens[CONTEXT];
    uint64_t n, pages_free;
    float *logits;
} witness;

static inline void remember(const bench *b, witness *w)
{
    const float *logits;
    assert_ok(llm_session_tokens(b->s, 0, w->tokens, CONTEXT, &w->n));
    assert_ok(llm_session_logits(b->s, &logits, NULL));
    w->logits = malloc(b->n_vocab * sizeof *logits);
    assert_non_null(w->logits);
    memcpy(w->logits, logits, b->n_vocab * sizeof *logits);
    w->pages_free = stats_of(b).pages_free;
}

static inline void check_untouched(const bench *b, const witness *w)
{
    llm_token tokens[CONTEXT];
    uint64_t n;
    const float *logits;
    assert_ok(llm_session_tokens(b->s, 0, tokens, CONTEXT, &n));
    assert_int_equal(n, w->n);
    assert_memory_equal(tokens, w->tokens, n * sizeof *tokens);
    uint64_t rows = stats_of(b).rows;
    assert_ok(llm_session_logits(b->s, &logits, NULL));
    assert_int_equal(stats_of(b).rows, rows); /* they are still there, not computed again */
    assert_memory_equal(logits, w->logits, b->n_vocab * sizeof *logits);
}

static inline void check_same_logits(const bench *a, const bench *b)
{
    const float *x, *y;
    assert_ok(llm_session_logits(a->s, &x, NULL));
    assert_ok(llm_session_logits(b->s, &y, NULL));
    assert_memory_equal(x, y, a->n_vocab * sizeof *x);
}

#endif
