/* gguf_get.c - looking things up in an opened file. */
#include "format/gguf_read.h"

#include "base/checked.h"

#include <string.h>

const lm_gguf_value *lm_gguf_find(const lm_gguf *g, const char *key)
{
    uint32_t index;
    if (!lm_strmap_get(&g->pair_index, key, strlen(key), &index))
        return NULL;
    return &g->pairs[index].value;
}

const lm_gguf_tensor *lm_gguf_find_tensor(const lm_gguf *g, const char *name)
{
    uint32_t index;
    if (!lm_strmap_get(&g->tensor_index, name, strlen(name), &index))
        return NULL;
    return &g->tensors[index];
}

enum { NO_INTEGER, UNSIGNED, SIGNED };

static const uint8_t integers[LM_GGUF_TYPES] = {
    [LM_GGUF_U8] = UNSIGNED,  [LM_GGUF_U16] = UNSIGNED, [LM_GGUF_U32] = UNSIGNED,
    [LM_GGUF_U64] = UNSIGNED, [LM_GGUF_I8] = SIGNED,    [LM_GGUF_I16] = SIGNED,
    [LM_GGUF_I32] = SIGNED,   [LM_GGUF_I64] = SIGNED,
};

/* An integer item as a magnitude and a sign; false: no integer. */
static bool read_integer(const lm_gguf_value *v, size_t i, uint64_t *magnitude, bool *negative)
{
    size_t bytes = lm_gguf_item_bytes(v->type);
    uint64_t raw = 0;
    if (integers[v->type] == NO_INTEGER)
        return false;
    memcpy(&raw, (const unsigned char *)v->items + i * bytes, bytes);
    uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    *negative = integers[v->type] == SIGNED && (raw & sign) != 0;
    *magnitude = *negative ? sign - (raw - sign) : raw;
    return true;
}

static int32_t fail_kind(const char *key, const char *wanted)
{
    return lm_fail(LLM_E_FORMAT, "key '%s' holds no %s", key, wanted);
}

static int32_t find_item(const lm_gguf *g, const char *key, uint64_t index,
                         const lm_gguf_value **out)
{
    const lm_gguf_value *value = lm_gguf_find(g, key);
    if (value == NULL)
        return LLM_E_NOT_FOUND;
    if (index >= value->count)
        return lm_fail(LLM_E_FORMAT, "key '%s' has %llu items; item %llu was wanted", key,
                       (unsigned long long)value->count, (unsigned long long)index);
    *out = value;
    return LLM_OK;
}

int32_t lm_gguf_get_u64(const lm_gguf *g, const char *key, uint64_t index, uint64_t *out)
{
    const lm_gguf_value *v = NULL;
    uint64_t magnitude;
    bool negative;
    LM_TRY(find_item(g, key, index, &v));
    if (!read_integer(v, (size_t)index, &magnitude, &negative))
        return fail_kind(key, "integer");
    if (negative)
        return lm_fail(LLM_E_FORMAT, "key '%s' is negative", key);
    *out = magnitude;
    return LLM_OK;
}

int32_t lm_gguf_get_i64(const lm_gguf *g, const char *key, uint64_t index, int64_t *out)
{
    const lm_gguf_value *v = NULL;
    uint64_t magnitude;
    bool negative;
    LM_TRY(find_item(g, key, index, &v));
    if (!read_integer(v, (size_t)index, &magnitude, &negative))
        return fail_kind(key, "integer");
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return lm_fail(LLM_E_FORMAT, "key '%s' is %llu, more than 63 bits hold", key,
                       (unsigned long long)magnitude);
    *out = negative ? -(int64_t)(magnitude - 1) - 1 : (int64_t)magnitude;
    return LLM_OK;
}

int32_t lm_gguf_get_f64(const lm_gguf *g, const char *key, uint64_t index, double *out)
{
    const lm_gguf_value *v = NULL;
    uint64_t magnitude;
    bool negative;
    LM_TRY(find_item(g, key, index, &v));
    if (v->type == LM_GGUF_F32)
        *out = (double)((const float *)v->items)[index];
    else if (v->type == LM_GGUF_F64)
        *out = ((const double *)v->items)[index];
    else if (read_integer(v, (size_t)index, &magnitude, &negative))
        *out = negative ? -(double)magnitude : (double)magnitude;
    else
        return fail_kind(key, "number");
    return LLM_OK;
}

int32_t lm_gguf_get_bool(const lm_gguf *g, const char *key, bool *out)
{
    const lm_gguf_value *v = NULL;
    LM_TRY(find_item(g, key, 0, &v));
    if (v->type != LM_GGUF_BOOL || v->is_array)
        return fail_kind(key, "truth value");
    *out = *(const unsigned char *)v->items != 0;
    return LLM_OK;
}

int32_t lm_gguf_get_string(const lm_gguf *g, const char *key, lm_gguf_string *out)
{
    const lm_gguf_value *v = NULL;
    LM_TRY(find_item(g, key, 0, &v));
    if (v->type != LM_GGUF_STRING || v->is_array)
        return fail_kind(key, "string");
    *out = *(const lm_gguf_string *)v->items;
    return LLM_OK;
}

const void *lm_gguf_data(const lm_gguf *g, const lm_gguf_tensor *t)
{
    const lm_source *source = &g->parts[t->part];
    return source->data == NULL ? NULL : source->data + t->offset;
}

int32_t lm_gguf_read(const lm_gguf *g, const lm_gguf_tensor *t, uint64_t offset, void *into,
                     size_t size)
{
    if (!lm_inside(offset, size, t->bytes))
        return lm_fail(LLM_E_INVALID, "bytes %llu to %llu of tensor '%s', which has %llu",
                       (unsigned long long)offset, (unsigned long long)(offset + size),
                       lm_gguf_quote(t->name).text, (unsigned long long)t->bytes);
    int32_t rc = lm_source_read(&g->parts[t->part], t->offset + offset, into, size);
    if (rc < 0)
        return lm_fail_within(rc, "tensor '%s'", lm_gguf_quote(t->name).text);
    return LLM_OK;
}
