/* gguf_encode.c - floats into the tensor that a writer is at: checked, encoded piece by piece. */
#include "format/gguf_writer.h"

#include "base/checked.h"

#include <math.h>

#define SCRATCH_BYTES ((size_t)256 << 10)

/* Blocks of the narrow formats have scales: one value that is no number would spoil, or break,
 * them. */
static int32_t check_finite(const float *values, uint64_t count, const char *what)
{
    for (uint64_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return lm_fail(LLM_E_INVALID, "%s %llu is %g; only finite numbers can be encoded", what,
                           (unsigned long long)i, (double)values[i]);
    return LLM_OK;
}

static int32_t check_importance(const float *importance, uint64_t count)
{
    LM_TRY(check_finite(importance, count, "importance"));
    for (uint64_t i = 0; i < count; i++)
        if (importance[i] < 0)
            return lm_fail(LLM_E_INVALID, "importance %llu is negative", (unsigned long long)i);
    return LLM_OK;
}

int32_t lm_gguf_check_values(const lm_format *format, const float *values, uint64_t count,
                             const float *importance, uint64_t n_importance)
{
    if (format->encode == NULL)
        return lm_fail(LLM_E_UNSUPPORTED, "%s is a format that can only be read", format->name);
    if (importance != NULL)
        LM_TRY(check_importance(importance, n_importance));
    return format->block > 1 ? check_finite(values, count, "value") : LLM_OK;
}

static int32_t check_values(const lm_gguf_tensor *t, uint64_t left, const float *values,
                            uint64_t count, const float *importance)
{
    uint64_t row = t->bytes / (t->count / t->dims[0]), bytes;
    if (left % row != 0)
        return lm_fail(LLM_E_STATE, "a row of it was begun with bytes and wants %llu more",
                       (unsigned long long)(left % row));
    if (count % t->dims[0] != 0)
        return lm_fail(LLM_E_INVALID, "%llu values are no whole rows of %llu",
                       (unsigned long long)count, (unsigned long long)t->dims[0]);
    if (!lm_mul_u64(count / t->dims[0], row, &bytes) || bytes > left)
        return lm_fail(LLM_E_INVALID, "%llu rows where it wants %llu more",
                       (unsigned long long)(count / t->dims[0]), (unsigned long long)(left / row));
    return lm_gguf_check_values(t->format, values, count, importance, t->dims[0]);
}

/* Encoded blocks on their way into the file. */
typedef struct scratch {
    lm_gguf_writer *writer;
    unsigned char *data;
    size_t used;
} scratch;

static int32_t flush(scratch *s)
{
    size_t size = s->used;
    s->used = 0;
    return lm_gguf_writer_data(s->writer, s->data, size);
}

/* Blocks stand for themselves, so that a long row can be cut between any two of them. */
static int32_t encode_row(scratch *s, const lm_gguf_tensor *t, const float *values,
                          const float *importance)
{
    const lm_format *format = t->format;
    uint64_t most = SCRATCH_BYTES / format->bytes * format->block;
    for (uint64_t at = 0; at < t->dims[0]; at += most) {
        uint64_t left = t->dims[0] - at;
        size_t part = (size_t)(left < most ? left : most);
        size_t bytes = part / format->block * format->bytes;
        if (bytes > SCRATCH_BYTES - s->used)
            LM_TRY(flush(s));
        format->encode(values + at, importance == NULL ? NULL : importance + at, s->data + s->used,
                       part);
        s->used += bytes;
    }
    return LLM_OK;
}

int32_t lm_gguf_writer_values(lm_gguf_writer *w, const float *values, uint64_t count,
                              const float *importance)
{
    lm_allocator *a = lm_gguf_writer_allocator(w);
    uint64_t left = 0;
    const lm_gguf_tensor *t = lm_gguf_writer_next(w, &left);
    if (t == NULL)
        return lm_fail(LLM_E_INVALID, "%llu values, but no tensor wants any",
                       (unsigned long long)count);
    int32_t rc = check_values(t, left, values, count, importance);
    if (rc < 0)
        return lm_fail_within(rc, "tensor '%s'", t->name.data);
    scratch s = {w, lm_alloc(a, SCRATCH_BYTES), 0};
    if (s.data == NULL)
        return LLM_E_MEMORY;
    for (uint64_t at = 0; rc == LLM_OK && at < count; at += t->dims[0])
        rc = encode_row(&s, t, values + at, importance);
    if (rc == LLM_OK)
        rc = flush(&s);
    lm_free(a, s.data, SCRATCH_BYTES);
    return rc;
}
