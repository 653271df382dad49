/* gguf_pairs.c - the metadata: key, type, value; copied out of the file and checked. */
#include "format/gguf_read.h"

#include "base/checked.h"

#include <string.h>

/* Bytes of one item; 0: not of a fixed size. */
static const uint8_t item_bytes[LM_GGUF_TYPES] = {
    [LM_GGUF_U8] = 1,  [LM_GGUF_I8] = 1,  [LM_GGUF_U16] = 2, [LM_GGUF_I16] = 2,
    [LM_GGUF_U32] = 4, [LM_GGUF_I32] = 4, [LM_GGUF_F32] = 4, [LM_GGUF_BOOL] = 1,
    [LM_GGUF_U64] = 8, [LM_GGUF_I64] = 8, [LM_GGUF_F64] = 8,
};

size_t lm_gguf_item_bytes(uint32_t type)
{
    return type < LM_GGUF_TYPES ? item_bytes[type] : 0;
}

static int32_t check_type(const lm_gguf_cursor *c, uint32_t type)
{
    if (type >= LM_GGUF_TYPES)
        return lm_fail(LLM_E_FORMAT,
                       "a value before byte %llu has type %lu; GGUF has types 0 to %d",
                       (unsigned long long)c->at, (unsigned long)type, LM_GGUF_TYPES - 1);
    return LLM_OK;
}

static int32_t check_bools(const lm_gguf_cursor *c, const unsigned char *items, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (items[i] > 1)
            return lm_fail(LLM_E_FORMAT, "a truth value before byte %llu is %u; only 0 and 1 are",
                           (unsigned long long)c->at, items[i]);
    return LLM_OK;
}

static int32_t read_strings(lm_gguf_cursor *c, lm_gguf_value *v)
{
    uint64_t least = c->version > 1 ? 8 : 4; /* the length of an empty one */
    LM_TRY(lm_gguf_expect(c, "an array of strings", v->count, least, c->limits->array_items));
    if (!lm_fits_size(v->count))
        return lm_fail(LLM_E_LIMIT, "an array of %llu strings cannot be held on this system",
                       (unsigned long long)v->count);
    lm_gguf_string *items = LM_ARENA_ARRAY(c->arena, lm_gguf_string, (size_t)v->count);
    if (items == NULL)
        return LLM_E_MEMORY;
    for (uint64_t i = 0; i < v->count; i++)
        LM_TRY(lm_gguf_read_string(c, "a string", &items[i]));
    v->items = items;
    return LLM_OK;
}

static int32_t read_numbers(lm_gguf_cursor *c, lm_gguf_value *v)
{
    uint64_t size = item_bytes[v->type];
    const char *what = v->is_array ? "an array of numbers" : "a number";
    LM_TRY(lm_gguf_expect(c, what, v->count, size, c->limits->array_items));
    size *= v->count; /* fits: the file holds as much */
    if (!lm_fits_size(size))
        return lm_fail(LLM_E_LIMIT, "an array of %llu bytes cannot be held on this system",
                       (unsigned long long)size);
    void *items = lm_arena_alloc(c->arena, (size_t)size);
    if (items == NULL)
        return LLM_E_MEMORY;
    LM_TRY(lm_gguf_read_bytes(c, what, items, size));
    if (v->type == LM_GGUF_BOOL)
        LM_TRY(check_bools(c, items, v->count));
    v->items = items;
    return LLM_OK;
}

static int32_t read_value(lm_gguf_cursor *c, lm_gguf_value *v)
{
    LM_TRY(lm_gguf_read_u32(c, "the type of a value", &v->type));
    LM_TRY(check_type(c, v->type));
    v->count = 1;
    v->is_array = v->type == LM_GGUF_ARRAY;
    if (v->is_array) {
        LM_TRY(lm_gguf_read_u32(c, "the type of an array", &v->type));
        LM_TRY(check_type(c, v->type));
        LM_TRY(lm_gguf_read_count(c, "the count of an array", &v->count));
    }
    if (v->type == LM_GGUF_ARRAY)
        return lm_fail(LLM_E_UNSUPPORTED, "an array of arrays before byte %llu is not supported",
                       (unsigned long long)c->at);
    return v->type == LM_GGUF_STRING ? read_strings(c, v) : read_numbers(c, v);
}

static int32_t read_pair(lm_gguf *g, lm_gguf_cursor *c, uint32_t index)
{
    lm_gguf_pair *pair = &g->pairs[index];
    uint64_t at = c->at;
    bool added;
    LM_TRY(lm_gguf_read_string(c, "a key", &pair->key));
    if (pair->key.size == 0)
        return lm_fail(LLM_E_FORMAT, "the key at byte %llu is empty", (unsigned long long)at);
    if (memchr(pair->key.data, '\0', pair->key.size) != NULL)
        return lm_fail(LLM_E_FORMAT, "the key at byte %llu has a zero byte in it",
                       (unsigned long long)at);
    int32_t rc = read_value(c, &pair->value);
    if (rc < 0)
        return lm_fail_within(rc, "key '%s'", lm_gguf_quote(pair->key).text);
    LM_TRY(lm_strmap_add(&g->pair_index, pair->key.data, pair->key.size, index, &added));
    if (!added)
        return lm_fail(LLM_E_FORMAT, "the key '%s' at byte %llu is there twice",
                       lm_gguf_quote(pair->key).text, (unsigned long long)at);
    return LLM_OK;
}

int32_t lm_gguf_read_pairs(lm_gguf *g, lm_gguf_cursor *c, uint64_t count)
{
    uint64_t least = c->version > 1 ? 8 + 4 + 1 : 4 + 4 + 1; /* empty key, type, one byte */
    LM_TRY(lm_gguf_expect(c, "the metadata", count, least, c->limits->pairs));
    g->pairs = LM_ARENA_ARRAY(&g->arena, lm_gguf_pair, (size_t)count);
    if (g->pairs == NULL)
        return LLM_E_MEMORY;
    LM_TRY(lm_strmap_reserve(&g->pair_index, (size_t)count));
    for (uint64_t i = 0; i < count; i++)
        LM_TRY(read_pair(g, c, (uint32_t)i));
    g->n_pairs = count;
    return LLM_OK;
}

bool lm_gguf_same_value(const lm_gguf_value *a, const lm_gguf_value *b)
{
    if (a->type != b->type || a->is_array != b->is_array || a->count != b->count)
        return false;
    if (a->type != LM_GGUF_STRING)
        return memcmp(a->items, b->items, (size_t)a->count * item_bytes[a->type]) == 0;
    const lm_gguf_string *x = a->items, *y = b->items;
    for (uint64_t i = 0; i < a->count; i++)
        if (x[i].size != y[i].size || memcmp(x[i].data, y[i].data, x[i].size) != 0)
            return false;
    return true;
}
