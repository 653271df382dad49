/* fuzz_state.c - any bytes as a saved session, with the checksum put right so that what lies behind it is
 * reached: refused without a trace, or loaded and of use. Begins with sound ones of a model with full
 * attention, one with windows and one with recurrent states, on a device that checks every access. */
#include "fuzz/fuzz.h"

#include "base/hash.h"

#include <llm/llm.h>

#include <string.h>

#define CONTEXT     48u
#define TOKENS      19u
#define CHECKSUM_AT 16u
#define CHECKED_AT  24u
#define MODELS      3u

typedef struct target {
    llm_model *model;
    llm_engine *engine;
    llm_session *s;
    unsigned char *sound; /* a saved session of TOKENS tokens */
    uint64_t size;
} target;

static target targets[MODELS];

static void feed(llm_session *s, uint32_t n)
{
    llm_token tokens[CONTEXT];
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (llm_token)(i * 7 % 80);
    MUST(llm_session_feed(s, tokens, n, NULL) == LLM_OK);
}

static void open_target(llm_runtime *rt, const char *name, target *t)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/model/data/%s.gguf", TESTS_DIR, name);
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "null"};
    llm_engine_params ep = {.struct_size = sizeof ep,
                            .context = CONTEXT,
                            .page_tokens = 16,
                            .max_rows = 32,
                            .flags = LLM_ENGINE_NO_SHARING};
    MUST(llm_model_open(rt, path, &mp, &t->model) == LLM_OK);
    MUST(llm_engine_create(t->model, &ep, &t->engine) == LLM_OK);
    llm_session_params sp = {.struct_size = sizeof sp, .engine = t->engine};
    MUST(llm_session_create(t->model, &sp, &t->s) == LLM_OK);
    feed(t->s, TOKENS);
    MUST(llm_session_save_memory(t->s, NULL, 0, &t->size) == LLM_E_BUFFER);
    t->sound = malloc((size_t)t->size);
    MUST(t->sound != NULL);
    MUST(llm_session_save_memory(t->s, t->sound, t->size, &t->size) == LLM_OK);
}

static void open_targets(void)
{
    static const char *const names[MODELS] = {"llama", "gemma3", "mamba2"};
    llm_runtime *rt;
    if (targets[0].model != NULL)
        return;
    MUST(llm_runtime_create(NULL, &rt) == LLM_OK);
    for (uint32_t i = 0; i < MODELS; i++)
        open_target(rt, names[i], &targets[i]);
}

static uint64_t pages_in_use(const target *t)
{
    llm_engine_stats stats = {.struct_size = sizeof stats};
    MUST(llm_engine_get_stats(t->engine, &stats) == LLM_OK);
    return stats.pages_total - stats.pages_free;
}

/* What was loaded can be gone on with, cut back and saved. */
static void use(target *t)
{
    llm_piece piece = LLM_PIECE_INIT;
    uint64_t length = llm_session_length(t->s), size;
    MUST(length <= CONTEXT);
    for (int i = 0; i < 2; i++) {
        int32_t rc = llm_session_next(t->s, &piece);
        MUST(rc == LLM_OK || rc == LLM_E_NUMERIC || (rc == LLM_E_STATE && length == 0) ||
             (rc == LLM_E_CONTEXT_FULL && length + (uint64_t)i == CONTEXT) ||
             rc == LLM_E_INVALID); /* the device saw a token of the cache that nobody wrote */
        if (rc != LLM_OK)
            break;
    }
    MUST(llm_session_rewind(t->s, llm_session_length(t->s) / 2) == LLM_OK);
    MUST(llm_session_save_memory(t->s, NULL, 0, &size) == LLM_E_BUFFER);
    MUST(llm_session_rewind(t->s, 0) == LLM_OK);
    MUST(pages_in_use(t) == 0);
    feed(t->s, 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_targets();
    if (size < CHECKED_AT)
        return 0;
    unsigned char *bytes = malloc(size);
    MUST(bytes != NULL);
    memcpy(bytes, data, size);
    uint64_t sum = lm_hash(bytes + CHECKED_AT, size - CHECKED_AT, bytes[8]);
    memcpy(bytes + CHECKSUM_AT, &sum, sizeof sum);
    for (uint32_t i = 0; i < MODELS; i++) {
        target *t = &targets[i];
        MUST(llm_session_load_memory(t->s, t->sound, t->size) == LLM_OK);
        uint64_t pages = pages_in_use(t);
        if (llm_session_load_memory(t->s, bytes, size) == LLM_OK) {
            use(t);
        } else {
            MUST(llm_session_length(t->s) == TOKENS);
            MUST(pages_in_use(t) == pages);
        }
    }
    free(bytes);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    open_targets();
    const target *t = &targets[seed % MODELS];
    if (size < CHECKED_AT && t->size <= max_size) {
        memcpy(data, t->sound, (size_t)t->size);
        return (size_t)t->size;
    }
    return LLVMFuzzerMutate(data, size, max_size);
}
