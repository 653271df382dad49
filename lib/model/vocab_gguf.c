/* vocab_gguf.c - one table of ids, one of rules, and the arrays. */
#include "model/vocab_gguf.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *key;
    uint32_t which;
} special_keys[] = {
    {"tokenizer.ggml.bos_token_id", LM_SPECIAL_BOS},
    {"tokenizer.ggml.eos_token_id", LM_SPECIAL_EOS},
    {"tokenizer.ggml.eot_token_id", LM_SPECIAL_EOT},
    {"tokenizer.ggml.eom_token_id", LM_SPECIAL_EOM},
    {"tokenizer.ggml.unknown_token_id", LM_SPECIAL_UNK},
    {"tokenizer.ggml.seperator_token_id", LM_SPECIAL_SEP},
    {"tokenizer.ggml.padding_token_id", LM_SPECIAL_PAD},
    {"tokenizer.ggml.cls_token_id", LM_SPECIAL_CLS},
    {"tokenizer.ggml.mask_token_id", LM_SPECIAL_MASK},
    {"tokenizer.ggml.prefix_token_id", LM_SPECIAL_FIM_PRE}, /* older names first */
    {"tokenizer.ggml.suffix_token_id", LM_SPECIAL_FIM_SUF},
    {"tokenizer.ggml.middle_token_id", LM_SPECIAL_FIM_MID},
    {"tokenizer.ggml.fim_pre_token_id", LM_SPECIAL_FIM_PRE},
    {"tokenizer.ggml.fim_suf_token_id", LM_SPECIAL_FIM_SUF},
    {"tokenizer.ggml.fim_mid_token_id", LM_SPECIAL_FIM_MID},
};

static const struct {
    const char *key;
    size_t offset;
} rule_keys[] = {
    {"tokenizer.ggml.add_bos_token", offsetof(lm_vocab, add_bos)},
    {"tokenizer.ggml.add_eos_token", offsetof(lm_vocab, add_eos)},
    {"tokenizer.ggml.add_sep_token", offsetof(lm_vocab, add_sep)},
    {"tokenizer.ggml.add_space_prefix", offsetof(lm_vocab, add_space_prefix)},
    {"tokenizer.ggml.remove_extra_whitespaces", offsetof(lm_vocab, remove_extra_whitespaces)},
    {"tokenizer.ggml.normalizer.lowercase", offsetof(lm_vocab, lowercase)},
    {"tokenizer.ggml.normalizer.strip_accents", offsetof(lm_vocab, strip_accents)},
};

/* An absent key is no failure here. */
static int32_t optional(int32_t rc)
{
    return rc == LLM_E_NOT_FOUND ? LLM_OK : rc;
}

static int32_t read_name(const lm_gguf *gguf, const char *key, const char **out)
{
    lm_gguf_string s = {NULL, 0};
    LM_TRY(optional(lm_gguf_get_string(gguf, key, &s)));
    if (s.data != NULL && memchr(s.data, '\0', s.size) != NULL)
        return lm_fail(LLM_E_FORMAT, "the text of key '%s' has a NUL in it", key);
    *out = s.data;
    return LLM_OK;
}

static int32_t read_specials(const lm_gguf *gguf, lm_vocab *out)
{
    for (size_t i = 0; i < sizeof special_keys / sizeof *special_keys; i++) {
        int64_t *id = &out->special[special_keys[i].which];
        LM_TRY(optional(lm_gguf_get_i64(gguf, special_keys[i].key, 0, id)));
    }
    return LLM_OK;
}

static int32_t read_rules(const lm_gguf *gguf, lm_vocab *out)
{
    for (size_t i = 0; i < sizeof rule_keys / sizeof *rule_keys; i++) {
        bool value;
        int32_t rc = lm_gguf_get_bool(gguf, rule_keys[i].key, &value);
        LM_TRY(optional(rc));
        if (rc == LLM_OK)
            *((int8_t *)out + rule_keys[i].offset) = value ? LM_RULE_YES : LM_RULE_NO;
    }
    return LLM_OK;
}

/* An array of the wanted element type, or NULL when the key is absent. */
static int32_t find_array(const lm_gguf *gguf, const char *key, uint32_t type,
                          const lm_gguf_value **out)
{
    *out = lm_gguf_find(gguf, key);
    if (*out != NULL && (!(*out)->is_array || (*out)->type != type))
        return lm_fail(LLM_E_FORMAT, "key '%s' is not an array of the right type", key);
    return LLM_OK;
}

static int32_t read_strings(const lm_gguf *gguf, const char *key, lm_arena *arena,
                            const lm_str **items, uint32_t *count)
{
    const lm_gguf_value *v;
    LM_TRY(find_array(gguf, key, LM_GGUF_STRING, &v));
    if (v == NULL)
        return LLM_OK;
    if (v->count > INT32_MAX)
        return lm_fail(LLM_E_FORMAT, "key '%s' has too many items", key);
    lm_str *copy = LM_ARENA_ARRAY(arena, lm_str, (size_t)v->count);
    if (copy == NULL)
        return LLM_E_MEMORY;
    const lm_gguf_string *strings = v->items;
    for (size_t i = 0; i < v->count; i++)
        copy[i] = (lm_str){strings[i].data, strings[i].size};
    *items = copy;
    *count = (uint32_t)v->count;
    return LLM_OK;
}

/* An array with one item per token; *items stays NULL when the key is absent. */
static int32_t read_per_token(const lm_gguf *gguf, const char *key, uint32_t type,
                              uint32_t n_tokens, const void **items)
{
    const lm_gguf_value *v;
    LM_TRY(find_array(gguf, key, type, &v));
    if (v == NULL)
        return LLM_OK;
    if (v->count != n_tokens)
        return lm_fail(LLM_E_FORMAT, "key '%s' has %llu items for %u tokens", key,
                       (unsigned long long)v->count, n_tokens);
    *items = v->items;
    return LLM_OK;
}

static int32_t read_arrays(const lm_gguf *gguf, lm_arena *arena, lm_vocab *out)
{
    LM_TRY(read_strings(gguf, "tokenizer.ggml.tokens", arena, &out->tokens, &out->n_tokens));
    if (out->n_tokens == 0)
        return lm_fail(LLM_E_FORMAT, "the file has a tokenizer, but no tokens");
    LM_TRY(read_strings(gguf, "tokenizer.ggml.merges", arena, &out->merges, &out->n_merges));
    const void *items = NULL;
    LM_TRY(read_per_token(gguf, "tokenizer.ggml.scores", LM_GGUF_F32, out->n_tokens, &items));
    out->scores = items;
    items = NULL;
    LM_TRY(read_per_token(gguf, "tokenizer.ggml.token_type", LM_GGUF_I32, out->n_tokens, &items));
    out->types = items;
    return LLM_OK;
}

/* A table of bytes, which converters write as signed or unsigned. */
static int32_t read_charsmap(const lm_gguf *gguf, lm_vocab *out)
{
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    const lm_gguf_value *v = lm_gguf_find(gguf, key);
    if (v == NULL)
        return LLM_OK;
    if (!v->is_array || (v->type != LM_GGUF_U8 && v->type != LM_GGUF_I8))
        return lm_fail(LLM_E_FORMAT, "key '%s' is not an array of bytes", key);
    out->charsmap = v->items;
    out->charsmap_size = (size_t)v->count;
    return LLM_OK;
}

int32_t lm_vocab_from_gguf(const lm_gguf *gguf, lm_arena *arena, lm_vocab *out)
{
    lm_vocab vocab = LM_VOCAB_EMPTY;
    LM_TRY(read_name(gguf, "tokenizer.ggml.model", &vocab.model));
    if (vocab.model == NULL || strcmp(vocab.model, "none") == 0 ||
        strcmp(vocab.model, "no_vocab") == 0)
        return lm_fail(LLM_E_NOT_FOUND, "the file has no vocabulary");
    LM_TRY(read_name(gguf, "tokenizer.ggml.pre", &vocab.pre));
    LM_TRY(read_name(gguf, "general.name", &vocab.name));
    LM_TRY(read_specials(gguf, &vocab));
    LM_TRY(read_rules(gguf, &vocab));
    LM_TRY(read_arrays(gguf, arena, &vocab));
    LM_TRY(read_charsmap(gguf, &vocab));
    *out = vocab;
    return LLM_OK;
}
