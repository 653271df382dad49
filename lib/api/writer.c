/* writer.c - llm_writer.h: checks arguments, holds off second threads, and calls the inner writer.
 */
#include "api/handles.h"

#include "base/checked.h"
#include "format/gguf_writer.h"

#include <string.h>

struct llm_writer {
    llm_runtime *runtime; /* retained */
    lm_gguf_writer *inner;
    _Atomic uint32_t busy;
};

/* --- storage formats -------------------------------------------------------------------------- */

static int32_t describe(const lm_format *format, llm_format_info *out)
{
    llm_format_info info;
    memset(&info, 0, sizeof info);
    info.block = format->block;
    info.bytes = format->bytes;
    info.can_encode = format->encode != NULL;
    info.can_decode = format->decode != NULL;
    info.name = format->name;
    return lm_params_out(out, &info, sizeof info, "llm_format_info");
}

LLM_API int32_t llm_format_at(uint32_t index, llm_format_info *out)
{
    lm_want(out, "out");
    const lm_format *format = lm_format_at(index);
    if (format == NULL)
        return lm_fail(LLM_E_NOT_FOUND, "there is no storage format number %lu",
                       (unsigned long)index);
    return describe(format, out);
}

LLM_API int32_t llm_format_find(const char *name, llm_format_info *out)
{
    lm_want(name, "name");
    lm_want(out, "out");
    const lm_format *format = lm_format_by_name(name);
    if (format == NULL)
        return lm_fail(LLM_E_NOT_FOUND, "there is no storage format '%s'", name);
    return describe(format, out);
}

/* --- making ----------------------------------------------------------------------------------- */

LLM_API int32_t llm_format_encode(const char *format, const float *values, uint64_t count,
                                  const float *importance, void *blocks, uint64_t capacity,
                                  uint64_t *size)
{
    lm_want(format, "format");
    lm_want(size, "size");
    const lm_format *f = lm_format_by_name(format);
    uint64_t bytes;
    if (f == NULL)
        return lm_fail(LLM_E_NOT_FOUND, "there is no storage format '%s'", format);
    if (!lm_format_row_bytes(f, count, &bytes) || !lm_fits_size(bytes))
        return lm_fail(LLM_E_INVALID, "%llu values are no whole number of %s blocks of %lu",
                       (unsigned long long)count, f->name, (unsigned long)f->block);
    *size = bytes;
    if (bytes > capacity)
        return lm_fail(LLM_E_BUFFER, "%llu values in %s take %llu bytes; there is room for %llu",
                       (unsigned long long)count, f->name, (unsigned long long)bytes,
                       (unsigned long long)capacity);
    if (count == 0)
        return LLM_OK;
    lm_want(values, "values");
    lm_want(blocks, "blocks");
    LM_TRY(lm_gguf_check_values(f, values, count, importance, count));
    f->encode(values, importance, blocks, (size_t)count);
    return LLM_OK;
}

LLM_API int32_t llm_writer_create(llm_runtime *runtime, const char *path, const char *format,
                                  llm_writer **out)
{
    lm_want(runtime, "runtime");
    lm_want(path, "path");
    lm_want(format, "format");
    lm_want(out, "out");
    if (strcmp(format, "gguf") != 0)
        return lm_fail(LLM_E_UNSUPPORTED, "no files of the kind '%s' can be written; 'gguf' can",
                       format);
    llm_writer *w = LM_NEW(&runtime->alloc, llm_writer);
    if (w == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lm_gguf_writer_create(&runtime->alloc, path, &w->inner);
    if (rc < 0) {
        LM_DELETE(&runtime->alloc, w);
        return rc;
    }
    w->runtime = runtime;
    lm_runtime_retain(runtime);
    *out = w;
    return LLM_OK;
}

LLM_API void llm_writer_destroy(llm_writer *writer)
{
    if (writer == NULL)
        return;
    llm_runtime *runtime = writer->runtime;
    lm_gguf_writer_destroy(writer->inner);
    LM_DELETE(&runtime->alloc, writer);
    lm_runtime_release(runtime);
}

/* --- one thread at a time --------------------------------------------------------------------- */

static int32_t enter(llm_writer *w)
{
    uint32_t idle = 0;
    if (atomic_compare_exchange_strong(&w->busy, &idle, 1))
        return LLM_OK;
    return lm_fail(LLM_E_BUSY,
                   "another thread is using this writer; a writer serves one at a time");
}

static int32_t leave(llm_writer *w, int32_t rc)
{
    atomic_store(&w->busy, 0);
    return rc;
}

/* --- metadata --------------------------------------------------------------------------------- */

/* The narrowest of the types that other programs expect an integer in. */
static int32_t set_integer(lm_gguf_writer *w, const char *key, int64_t i)
{
    int32_t narrow = (int32_t)i;
    if (i >= 0 && i <= UINT32_MAX)
        return lm_gguf_writer_u32(w, key, (uint32_t)i);
    if (i < 0 && i >= INT32_MIN)
        return lm_gguf_writer_value(w, key, &(lm_gguf_value){LM_GGUF_I32, false, 1, &narrow});
    return lm_gguf_writer_value(w, key, &(lm_gguf_value){LM_GGUF_I64, false, 1, &i});
}

static int32_t set(lm_gguf_writer *w, const llm_param *p)
{
    switch (p->kind) {
    case LLM_KIND_INT:
        return set_integer(w, p->key, p->value.i);
    case LLM_KIND_FLOAT:
        return lm_gguf_writer_f32(w, p->key, (float)p->value.f);
    case LLM_KIND_BOOL:
        return lm_gguf_writer_bool(w, p->key, p->value.i != 0);
    case LLM_KIND_STRING:
        lm_want(p->value.s, "the string");
        return lm_gguf_writer_string(w, p->key, p->value.s);
    case LLM_KIND_TOKENS:
    case LLM_KIND_FLOATS:
        if (p->value.p == NULL && p->count > 0)
            return lm_fail(LLM_E_INVALID, "key '%s': NULL where %lu items were announced", p->key,
                           (unsigned long)p->count);
        return p->kind == LLM_KIND_TOKENS ? lm_gguf_writer_i32s(w, p->key, p->value.p, p->count)
                                          : lm_gguf_writer_f32s(w, p->key, p->value.p, p->count);
    default:
        return lm_fail(LLM_E_INVALID, "key '%s': %lu is no kind of a value", p->key,
                       (unsigned long)p->kind);
    }
}

LLM_API int32_t llm_writer_set(llm_writer *writer, const llm_param *param)
{
    lm_want(writer, "writer");
    lm_want(param, "param");
    lm_want(param->key, "the key");
    LM_TRY(enter(writer));
    return leave(writer, set(writer->inner, param));
}

LLM_API int32_t llm_writer_strings(llm_writer *writer, const char *key, const char *const *values,
                                   uint64_t count)
{
    lm_want(writer, "writer");
    lm_want(key, "key");
    if (count > 0)
        lm_want(values, "values");
    for (uint64_t i = 0; i < count; i++)
        lm_want(values[i], "one of the values");
    LM_TRY(enter(writer));
    return leave(writer, lm_gguf_writer_strings(writer->inner, key, values, count));
}

LLM_API int32_t llm_writer_copy(llm_writer *writer, const llm_model *model, uint64_t index)
{
    lm_want(writer, "writer");
    lm_want(model, "model");
    const lm_gguf *g = model->inner->gguf;
    if (index >= g->n_pairs)
        return lm_fail(LLM_E_NOT_FOUND, "there is no metadata number %llu",
                       (unsigned long long)index);
    const lm_gguf_pair *pair = &g->pairs[index];
    if (strcmp(pair->key.data, "general.alignment") == 0 ||
        strncmp(pair->key.data, "split.", 6) == 0)
        return LLM_OK;
    LM_TRY(enter(writer));
    return leave(writer, lm_gguf_writer_value(writer->inner, pair->key.data, &pair->value));
}

/* --- tensors ---------------------------------------------------------------------------------- */

LLM_API int32_t llm_writer_tensor(llm_writer *writer, const char *name, const char *format,
                                  uint32_t n_dims, const uint64_t *dims)
{
    lm_want(writer, "writer");
    lm_want(name, "name");
    lm_want(format, "format");
    lm_want(dims, "dims");
    const lm_format *known = lm_format_by_name(format);
    if (known == NULL)
        return lm_fail(LLM_E_NOT_FOUND, "tensor '%s': there is no storage format '%s'", name,
                       format);
    LM_TRY(enter(writer));
    return leave(writer, lm_gguf_writer_tensor(writer->inner, name, known, dims, n_dims));
}

LLM_API int32_t llm_writer_values(llm_writer *writer, const float *values, uint64_t count,
                                  const float *importance)
{
    lm_want(writer, "writer");
    if (count > 0)
        lm_want(values, "values");
    LM_TRY(enter(writer));
    return leave(writer, lm_gguf_writer_values(writer->inner, values, count, importance));
}

LLM_API int32_t llm_writer_bytes(llm_writer *writer, const void *data, uint64_t size)
{
    lm_want(writer, "writer");
    if (size > 0)
        lm_want(data, "data");
    if (!lm_fits_size(size))
        return lm_fail(LLM_E_INVALID, "%llu bytes cannot be in memory", (unsigned long long)size);
    LM_TRY(enter(writer));
    return leave(writer, lm_gguf_writer_data(writer->inner, data, (size_t)size));
}

LLM_API int32_t llm_writer_finish(llm_writer *writer)
{
    lm_want(writer, "writer");
    LM_TRY(enter(writer));
    return leave(writer, lm_gguf_writer_finish(writer->inner));
}
