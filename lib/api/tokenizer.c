/* tokenizer.c - llm_tokenizer.h. */
#include "api/handles.h"

#include <string.h>

static const lm_tokenizer *inner(const llm_tokenizer *tokenizer)
{
    return tokenizer->model->inner->tokenizer;
}

LLM_API int32_t llm_model_tokenizer(llm_model *model, llm_tokenizer **out)
{
    lm_want(model, "model");
    lm_want(out, "out");
    LM_TRY(lm_model_need_tokenizer(model->inner));
    llm_tokenizer *t = LM_NEW(&model->runtime->alloc, llm_tokenizer);
    if (t == NULL)
        return LLM_E_MEMORY;
    lm_ref_init(&t->refs);
    t->model = llm_model_retain(model);
    *out = t;
    return LLM_OK;
}

LLM_API llm_tokenizer *llm_tokenizer_retain(llm_tokenizer *tokenizer)
{
    if (tokenizer != NULL)
        lm_ref_retain(&tokenizer->refs);
    return tokenizer;
}

LLM_API void llm_tokenizer_release(llm_tokenizer *tokenizer)
{
    if (tokenizer == NULL || !lm_ref_release(&tokenizer->refs))
        return;
    llm_model *model = tokenizer->model;
    LM_DELETE(&model->runtime->alloc, tokenizer);
    llm_model_release(model);
}

LLM_API int32_t llm_tokenizer_encode(const llm_tokenizer *tokenizer, const char *text,
                                     uint64_t size, uint32_t flags, llm_token *ids,
                                     uint64_t capacity, uint64_t *count)
{
    lm_want(tokenizer, "tokenizer");
    lm_want(count, "count");
    if ((text == NULL && size > 0) || (ids == NULL && capacity > 0) || size > SIZE_MAX)
        return lm_fail(LLM_E_INVALID, "%s: NULL where text or room for ids was announced",
                       __func__);
    LM_TRY(lm_flags_check(flags, LLM_ENCODE_NO_SPECIAL | LLM_ENCODE_LITERAL, __func__));
    uint32_t inner_flags =
        (flags & LLM_ENCODE_NO_SPECIAL) != 0 ? 0 : (uint32_t)LM_ENCODE_ADD_SPECIAL;
    inner_flags |= (flags & LLM_ENCODE_LITERAL) != 0 ? 0 : (uint32_t)LM_ENCODE_PARSE_SPECIAL;
    lm_ids list;
    lm_ids_init(&list, &tokenizer->model->runtime->alloc);
    int32_t rc = lm_tokenizer_encode(inner(tokenizer), text, (size_t)size, inner_flags, &list);
    if (rc >= 0) {
        *count = list.count;
        if (list.count > capacity)
            rc = lm_fail(LLM_E_BUFFER, "%s: %llu ids do not fit in room for %llu", __func__,
                         (unsigned long long)list.count, (unsigned long long)capacity);
        else if (list.count > 0)
            memcpy(ids, list.items, list.count * sizeof *ids);
    }
    lm_ids_finish(&list);
    return rc;
}

LLM_API int32_t llm_tokenizer_decode(const llm_tokenizer *tokenizer, const llm_token *ids,
                                     uint64_t count, uint32_t flags, char *text, uint64_t capacity,
                                     uint64_t *size)
{
    lm_want(tokenizer, "tokenizer");
    lm_want(size, "size");
    if ((ids == NULL && count > 0) || (text == NULL && capacity > 0) ||
        count > SIZE_MAX / sizeof *ids)
        return lm_fail(LLM_E_INVALID, "%s: NULL where ids or room for text was announced",
                       __func__);
    LM_TRY(lm_flags_check(flags, LLM_DECODE_SHOW_SPECIAL, __func__));
    lm_text bytes;
    lm_text_init(&bytes, &tokenizer->model->runtime->alloc);
    uint32_t inner_flags = (flags & LLM_DECODE_SHOW_SPECIAL) != 0 ? (uint32_t)LM_DECODE_SPECIAL : 0;
    int32_t rc = lm_tokenizer_decode(inner(tokenizer), ids, (size_t)count, inner_flags, &bytes);
    if (rc >= 0) {
        *size = bytes.size;
        if (bytes.size > capacity)
            rc = lm_fail(LLM_E_BUFFER, "%s: %llu bytes do not fit in room for %llu", __func__,
                         (unsigned long long)bytes.size, (unsigned long long)capacity);
        else if (bytes.size > 0)
            memcpy(text, bytes.data, bytes.size);
    }
    lm_text_finish(&bytes);
    return rc;
}

LLM_API uint32_t llm_tokenizer_count(const llm_tokenizer *tokenizer)
{
    return tokenizer == NULL ? 0 : lm_tokenizer_size(inner(tokenizer));
}

_Static_assert((int)LLM_SPECIAL_BOS == LM_SPECIAL_BOS && (int)LLM_SPECIAL_EOS == LM_SPECIAL_EOS &&
                   (int)LLM_SPECIAL_EOT == LM_SPECIAL_EOT &&
                   (int)LLM_SPECIAL_EOM == LM_SPECIAL_EOM &&
                   (int)LLM_SPECIAL_UNK == LM_SPECIAL_UNK &&
                   (int)LLM_SPECIAL_SEP == LM_SPECIAL_SEP &&
                   (int)LLM_SPECIAL_PAD == LM_SPECIAL_PAD &&
                   (int)LLM_SPECIAL_CLS == LM_SPECIAL_CLS &&
                   (int)LLM_SPECIAL_MASK == LM_SPECIAL_MASK,
               "the public numbers are the inner ones");

LLM_API llm_token llm_tokenizer_special(const llm_tokenizer *tokenizer, uint32_t which)
{
    if (tokenizer == NULL || which > LLM_SPECIAL_MASK)
        return -1;
    return lm_tokenizer_special(inner(tokenizer), which);
}

LLM_API int32_t llm_tokenizer_token(const llm_tokenizer *tokenizer, llm_token id,
                                    llm_token_info *out)
{
    lm_want(tokenizer, "tokenizer");
    int32_t type = lm_tokenizer_type(inner(tokenizer), id);
    if (type == 0)
        return lm_fail(LLM_E_NOT_FOUND, "there is no token %d; the vocabulary has %u", (int)id,
                       (unsigned)lm_tokenizer_size(inner(tokenizer)));
    lm_str text = lm_tokenizer_text(inner(tokenizer), id);
    llm_token_info info = {.struct_size = sizeof info,
                           .is_control = type == LM_TOKEN_CONTROL,
                           .is_end = lm_tokenizer_is_end(inner(tokenizer), id),
                           .text = text.data,
                           .text_size = text.size};
    return lm_params_out(out, &info, sizeof info, "llm_token_info");
}
