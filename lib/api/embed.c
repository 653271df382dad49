/* embed.c - llm_embed.h: one sequence, one run, one pooled row. */
#include "api/handles.h"

#include "base/checked.h"

static int32_t run_encoder(lm_engine *e, const llm_token *tokens, uint32_t n, float *embedding)
{
    lm_seq seq;
    LM_TRY(lm_seq_init(e, 0, &seq));
    lm_work work = {.seq = &seq,
                    .tokens = tokens,
                    .n_rows = n,
                    .outputs = LM_OUTPUT_POOLED,
                    .result = embedding};
    int32_t rc = lm_engine_run(e, &work);
    lm_seq_finish(&seq);
    return rc;
}

static int32_t embed(const llm_engine *engine, const llm_token *tokens, uint64_t n,
                     float *embedding, uint32_t capacity, uint32_t *count)
{
    lm_engine *e = engine->inner;
    const lm_network *network = e->network;
    const lm_graph *graph = &e->placement->graph;
    if (network->causal)
        return lm_fail(LLM_E_UNSUPPORTED, "this model makes text; embeddings need an encoder");
    *count = graph->slots[graph->result].width;
    if (*count > capacity)
        return lm_fail(LLM_E_BUFFER, "an embedding has %u floats; there is room for %u",
                       (unsigned)*count, (unsigned)capacity);
    uint32_t most = lm_min_u32(e->options.shape.limits.rows, e->options.shape.context);
    if (n == 0 || n > most)
        return lm_fail(n == 0 ? LLM_E_INVALID : LLM_E_CONTEXT_FULL,
                       "%llu tokens; an encoder takes 1 to %u at once", (unsigned long long)n,
                       (unsigned)most);
    for (uint64_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= network->n_vocab)
            return lm_fail(LLM_E_INVALID, "token %llu has the id %d; the vocabulary has %u",
                           (unsigned long long)i, (int)tokens[i], (unsigned)network->n_vocab);
    return run_encoder(e, tokens, (uint32_t)n, embedding);
}

LLM_API int32_t llm_embed(llm_model *model, llm_engine *engine, const llm_token *tokens,
                          uint64_t n_tokens, float *embedding, uint32_t capacity, uint32_t *count)
{
    lm_want(model, "model");
    lm_want(count, "count");
    if ((tokens == NULL && n_tokens > 0) || (embedding == NULL && capacity > 0))
        return lm_fail(LLM_E_INVALID, "%s: NULL where tokens or room was announced", __func__);
    llm_engine *used;
    LM_TRY(lm_engine_for(model, engine, &used));
    int32_t rc = embed(used, tokens, n_tokens, embedding, capacity, count);
    llm_engine_release(used);
    return rc;
}
