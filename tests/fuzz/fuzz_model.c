/* fuzz_model.c - any bytes as a model: metadata that lie about tensors, tensors that lie about the network.
 * What opens is planned, loaded, computed with and saved, and nothing stays behind. Begins with sound
 * models of every family, whose data is taken off: only what describes them is changed. */
#include "fuzz/fuzz.h"

#include <llm/llm.h>

#include <string.h>

#define MOST_BYTES ((uint64_t)64 << 20)
#define DATA_BYTES (1u << 18) /* behind the input: zeros where the tensors' data should be */

static const char *const names[] = {"llama", "qwen3moe", "gemma3",  "phi3",
                                    "gpt2",  "mamba2",   "bert-cls"};

static void look(const llm_model *model)
{
    llm_metadata pair = {.struct_size = sizeof pair};
    llm_step_info step = {.struct_size = sizeof step};
    llm_memory_plan plan = {.struct_size = sizeof plan};
    for (uint64_t i = 0; llm_model_metadata_at(model, i, 0, &pair) == LLM_OK; i++)
        MUST(pair.key != NULL);
    for (uint64_t i = 0; llm_model_step_at(model, i, &step) == LLM_OK; i++)
        MUST(memchr(step.text, '\0', sizeof step.text) != NULL);
    (void)llm_model_plan(model, NULL, 0, &plan);
}

static void compute(llm_model *model)
{
    static const llm_token tokens[] = {0, 1, 2};
    llm_engine_params ep = {
        .struct_size = sizeof ep, .max_rows = 4, .page_tokens = 16, .cache_budget = 1 << 20};
    llm_engine *engine;
    llm_session *session;
    llm_piece piece = LLM_PIECE_INIT;
    if (llm_model_load(model, NULL, NULL) < 0 || llm_engine_create(model, &ep, &engine) < 0)
        return;
    llm_session_params sp = {.struct_size = sizeof sp, .engine = engine, .context = 8};
    if (llm_session_create(model, &sp, &session) == LLM_OK) {
        uint64_t size;
        if (llm_session_feed(session, tokens, 3, NULL) == LLM_OK)
            (void)llm_session_next(session, &piece);
        (void)llm_session_save_memory(session, NULL, 0, &size);
        llm_session_destroy(session);
    }
    llm_engine_release(engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    llm_runtime *rt;
    llm_model *model;
    llm_memory_use before = {.struct_size = sizeof before}, after = before;
    llm_model_params mp = {
        .struct_size = sizeof mp, .load = LLM_LOAD_HEADER, .devices = "ref", .budget = MOST_BYTES};
    uint8_t *whole = calloc(1, size + DATA_BYTES);
    MUST(whole != NULL);
    memcpy(whole, data, size);
    MUST(llm_runtime_create(NULL, &rt) == LLM_OK);
    MUST(llm_runtime_memory(rt, &before) == LLM_OK);
    if (llm_model_open_memory(rt, whole, size + DATA_BYTES, &mp, &model) == LLM_OK) {
        look(model);
        compute(model);
        llm_model_release(model);
    }
    MUST(llm_runtime_memory(rt, &after) == LLM_OK);
    MUST(after.bytes == before.bytes);
    llm_runtime_destroy(rt);
    free(whole);
    return 0;
}

/* What stands before the tensors' data in a sound file. */
static size_t read_head(const char *name, uint8_t *into, size_t most)
{
    char path[4096];
    llm_runtime *rt;
    llm_model *model;
    llm_tensor_info tensor = {.struct_size = sizeof tensor};
    llm_model_params mp = {.struct_size = sizeof mp, .load = LLM_LOAD_HEADER, .devices = "ref"};
    snprintf(path, sizeof path, "%s/model/data/%s.gguf", TESTS_DIR, name);
    MUST(llm_runtime_create(NULL, &rt) == LLM_OK);
    MUST(llm_model_open(rt, path, &mp, &model) == LLM_OK);
    uint64_t first = UINT64_MAX;
    for (uint64_t i = 0; llm_model_tensor_at(model, i, &tensor) == LLM_OK; i++)
        first = tensor.file_offset < first ? tensor.file_offset : first;
    llm_model_release(model);
    llm_runtime_destroy(rt);
    FILE *file = fopen(path, "rb");
    MUST(file != NULL);
    size_t size = fread(into, 1, first < most ? (size_t)first : most, file);
    fclose(file);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    if (size >= 24)
        return LLVMFuzzerMutate(data, size, max_size);
    return read_head(names[seed % (sizeof names / sizeof names[0])], data, max_size);
}
