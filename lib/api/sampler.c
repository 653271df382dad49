/* sampler.c - llm_sampler.h: checks arguments, holds off second threads, and calls the chain. */
#include "api/handles.h"

static int32_t enter(llm_sampler *s)
{
    uint32_t idle = 0;
    if (atomic_compare_exchange_strong(&s->busy, &idle, 1))
        return LLM_OK;
    return lm_fail(LLM_E_BUSY,
                   "another thread is using this sampler; a sampler serves one at a time");
}

static int32_t leave(llm_sampler *s, int32_t rc)
{
    atomic_store(&s->busy, 0);
    return rc;
}

LLM_API int32_t llm_sampler_create(llm_runtime *runtime, llm_sampler **out)
{
    lm_want(runtime, "runtime");
    lm_want(out, "out");
    llm_sampler *s = LM_NEW(&runtime->alloc, llm_sampler);
    if (s == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lm_chain_create(&runtime->alloc, &s->chain);
    if (rc < 0) {
        LM_DELETE(&runtime->alloc, s);
        return rc;
    }
    lm_runtime_retain(runtime);
    s->runtime = runtime;
    *out = s;
    return LLM_OK;
}

LLM_API void llm_sampler_destroy(llm_sampler *sampler)
{
    if (sampler == NULL)
        return;
    llm_runtime *runtime = sampler->runtime;
    lm_chain_destroy(sampler->chain);
    LM_DELETE(&runtime->alloc, sampler);
    lm_runtime_release(runtime);
}

LLM_API int32_t llm_sampler_add(llm_sampler *sampler, const char *name, const llm_param *params,
                                uint32_t n_params)
{
    lm_want(sampler, "sampler");
    lm_want(name, "name");
    LM_TRY(enter(sampler));
    return leave(sampler, lm_chain_add(sampler->chain, name, params, n_params));
}

LLM_API int32_t llm_sampler_add_host(llm_sampler *sampler, const llm_sampler_class *host,
                                     void *user)
{
    lm_want(sampler, "sampler");
    lm_want(host, "host");
    LM_TRY(enter(sampler));
    return leave(sampler, lm_chain_add_host(sampler->chain, host, user));
}

LLM_API int32_t llm_sampler_seed(llm_sampler *sampler, uint64_t seed)
{
    lm_want(sampler, "sampler");
    LM_TRY(enter(sampler));
    lm_chain_seed(sampler->chain, seed);
    return leave(sampler, LLM_OK);
}

LLM_API int32_t llm_sampler_reset(llm_sampler *sampler)
{
    lm_want(sampler, "sampler");
    LM_TRY(enter(sampler));
    lm_chain_reset(sampler->chain);
    return leave(sampler, LLM_OK);
}

static int32_t pick_and_accept(lm_chain *chain, const struct lm_tokenizer *tokenizer,
                               const float *logits, uint32_t n_logits, const llm_token *history,
                               size_t n_history, llm_token *out)
{
    int32_t token;
    LM_TRY(lm_chain_reserve(chain, n_logits));
    LM_TRY(lm_chain_pick(chain, logits, n_logits, history, n_history, tokenizer, &token));
    lm_chain_accept(chain, token);
    *out = token;
    return LLM_OK;
}

LLM_API int32_t llm_sampler_pick(llm_sampler *sampler, const llm_tokenizer *tokenizer,
                                 const float *logits, uint32_t n_logits, const llm_token *history,
                                 uint64_t n_history, llm_token *out)
{
    lm_want(sampler, "sampler");
    lm_want(logits, "logits");
    lm_want(out, "out");
    if (n_logits == 0 || n_logits > INT32_MAX)
        return lm_fail(LLM_E_INVALID, "%s: %u logits; a vocabulary has 1 to 2^31-1 tokens",
                       __func__, (unsigned)n_logits);
    if (history == NULL && n_history > 0)
        return lm_fail(LLM_E_INVALID, "%s: NULL where %llu tokens of history were announced",
                       __func__, (unsigned long long)n_history);
    if (n_history > SIZE_MAX / sizeof *history)
        return lm_fail(LLM_E_INVALID, "%s: %llu tokens of history cannot lie in memory", __func__,
                       (unsigned long long)n_history);
    const struct lm_tokenizer *inner =
        tokenizer == NULL ? NULL : tokenizer->model->inner->tokenizer;
    LM_TRY(enter(sampler));
    return leave(sampler, pick_and_accept(sampler->chain, inner, logits, n_logits, history,
                                          (size_t)n_history, out));
}

LLM_API const char *llm_sampler_name_at(uint32_t index)
{
    const lm_sampler_class *class_ = lm_sampler_class_at(index);
    return class_ == NULL ? NULL : class_->name;
}
