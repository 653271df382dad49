/* rwkv.c - RWKV's World vocabulary ("rwkv"): at each place the longest token that fits. GGUF keeps
 * the tokens, which are any bytes, as the inside of a Python bytes literal. */
#include "text/scheme.h"
#include "text/trie.h"

#include "base/checked.h"

typedef struct rwkv {
    lm_trie trie;
    char *pool; /* [pool_size] the tokens' bytes, one after the other */
    size_t pool_size;
    size_t *ends; /* [n_tokens] of each in the pool */
} rwkv;

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One character of the literal at text[*at], which is moved behind it. What is no known escape
 * stands for the character behind the backslash, a last backslash for itself. */
static char unescape(lm_str text, size_t *at)
{
    char c = text.data[(*at)++];
    if (c != '\\' || *at == text.size)
        return c;
    c = text.data[(*at)++];
    if (c == 'x' && text.size - *at >= 2) {
        int high = hex_digit(text.data[*at]), low = hex_digit(text.data[*at + 1]);
        if (high < 0 || low < 0)
            return c;
        *at += 2;
        return (char)(high * 16 + low);
    }
    return c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
}

static lm_str bytes_of(const rwkv *s, uint32_t id)
{
    size_t from = id == 0 ? 0 : s->ends[id - 1];
    return (lm_str){s->pool + from, s->ends[id] - from};
}

/* Unescaped texts are never longer than they were. */
static int32_t fill_pool(lm_tokenizer *t, rwkv *s)
{
    for (uint32_t id = 0; id < t->n_tokens; id++)
        if (!lm_add_size(s->pool_size, t->tokens[id].size, &s->pool_size))
            return lm_fail(LLM_E_FORMAT, "the tokens are longer than memory");
    s->pool = lm_alloc(t->alloc, s->pool_size);
    s->ends = LM_NEW_ARRAY(t->alloc, size_t, t->n_tokens);
    if (s->pool == NULL || s->ends == NULL)
        return LLM_E_MEMORY;
    size_t end = 0;
    for (uint32_t id = 0; id < t->n_tokens; id++) {
        for (size_t at = 0; at < t->tokens[id].size;)
            s->pool[end++] = unescape(t->tokens[id], &at);
        s->ends[id] = end;
    }
    return LLM_OK;
}

static int32_t build_trie(lm_tokenizer *t, rwkv *s)
{
    lm_trie_key *keys = LM_NEW_ARRAY(t->alloc, lm_trie_key, t->n_tokens);
    if (keys == NULL)
        return LLM_E_MEMORY;
    size_t n = 0;
    for (uint32_t id = 0; id < t->n_tokens; id++)
        if (t->types[id] == LM_TOKEN_NORMAL || t->types[id] == LM_TOKEN_USER_DEFINED ||
            t->types[id] == LM_TOKEN_BYTE)
            keys[n++] = (lm_trie_key){bytes_of(s, id), (int32_t)id};
    int32_t rc = lm_trie_check(keys, n);
    if (rc >= 0)
        rc = lm_trie_init(&s->trie, t->alloc, keys, n);
    lm_free_array(t->alloc, keys, t->n_tokens, sizeof *keys);
    return rc;
}

static int32_t rwkv_create(lm_tokenizer *t, const lm_vocab *vocab)
{
    (void)vocab;
    rwkv *s = LM_NEW(t->alloc, rwkv);
    if (s == NULL)
        return LLM_E_MEMORY;
    t->state = s;
    LM_TRY(fill_pool(t, s));
    return build_trie(t, s);
}

static void rwkv_destroy(lm_tokenizer *t)
{
    rwkv *s = t->state;
    if (s == NULL)
        return;
    lm_trie_finish(&s->trie);
    lm_free(t->alloc, s->pool, s->pool_size);
    lm_free_array(t->alloc, s->ends, t->n_tokens, sizeof *s->ends);
    LM_DELETE(t->alloc, s);
}

/* A byte that begins no token is unknown, or left out where the vocabulary has no such token. */
static int32_t rwkv_encode(const lm_tokenizer *t, const char *text, size_t size, bool first,
                           bool after_special, lm_ids *ids)
{
    (void)first;
    (void)after_special;
    const rwkv *s = t->state;
    for (size_t at = 0; at < size;) {
        size_t length;
        int32_t id = lm_trie_longest(&s->trie, 0, text + at, size - at, &length);
        if (id < 0) {
            id = t->special[LM_SPECIAL_UNK];
            length = 1;
        }
        if (id >= 0)
            LM_TRY(lm_ids_push(ids, id));
        at += length;
    }
    return LLM_OK;
}

static int32_t rwkv_piece(const lm_tokenizer *t, int32_t id, lm_text *out)
{
    lm_str bytes = bytes_of(t->state, (uint32_t)id);
    return lm_text_append(out, bytes.data, bytes.size);
}

const lm_scheme lm_scheme_rwkv = {
    .model = "rwkv",
    .create = rwkv_create,
    .destroy = rwkv_destroy,
    .encode = rwkv_encode,
    .piece = rwkv_piece,
};
