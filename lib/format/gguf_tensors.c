/* gguf_tensors.c - the tensor table: shapes, formats and places, all checked against the file. */
#include "format/gguf_read.h"

#include "base/checked.h"

#include <string.h>

#define DEFAULT_ALIGNMENT 32u
#define LARGEST_ALIGNMENT (1u << 20)

static int32_t read_alignment(lm_gguf *g)
{
    const lm_gguf_value *value = lm_gguf_find(g, "general.alignment");
    g->alignment = DEFAULT_ALIGNMENT;
    if (value == NULL)
        return LLM_OK;
    if (value->type != LM_GGUF_U32 || value->is_array)
        return lm_fail(LLM_E_FORMAT, "key 'general.alignment' must be a u32");
    LM_TRY(lm_gguf_get_u64(g, "general.alignment", 0, &g->alignment));
    if (!lm_is_pow2(g->alignment) || g->alignment > LARGEST_ALIGNMENT)
        return lm_fail(LLM_E_FORMAT,
                       "key 'general.alignment' is %llu; it must be a power of two up to %u",
                       (unsigned long long)g->alignment, LARGEST_ALIGNMENT);
    return LLM_OK;
}

static int32_t read_shape(lm_gguf_cursor *c, lm_gguf_tensor *t)
{
    LM_TRY(lm_gguf_read_u32(c, "a count of dimensions", &t->n_dims));
    if (t->n_dims > LM_MAX_DIMS)
        return lm_fail(LLM_E_FORMAT, "%lu dimensions where at most %u are possible",
                       (unsigned long)t->n_dims, LM_MAX_DIMS);
    t->count = 1;
    for (uint32_t i = 0; i < LM_MAX_DIMS; i++) {
        t->dims[i] = 1;
        if (i < t->n_dims)
            LM_TRY(lm_gguf_read_count(c, "a dimension", &t->dims[i]));
        if (t->dims[i] == 0)
            return lm_fail(LLM_E_FORMAT, "dimension %lu is 0", (unsigned long)i);
        if (!lm_mul_u64(t->count, t->dims[i], &t->count) || t->count > INT64_MAX)
            return lm_fail(LLM_E_FORMAT, "the product of the dimensions does not fit 63 bits");
    }
    return LLM_OK;
}

static int32_t size_tensor(lm_gguf_tensor *t, uint32_t type)
{
    t->format = lm_format_by_id(type);
    if (t->format == NULL)
        return lm_fail(LLM_E_UNSUPPORTED, "storage type %lu is unknown or was removed from GGUF",
                       (unsigned long)type);
    if (t->dims[0] % t->format->block != 0)
        return lm_fail(LLM_E_FORMAT, "rows of %llu values are no whole blocks of %lu (%s)",
                       (unsigned long long)t->dims[0], (unsigned long)t->format->block,
                       t->format->name);
    uint64_t row;
    if (!lm_format_row_bytes(t->format, t->dims[0], &row) ||
        !lm_mul_u64(row, t->count / t->dims[0], &t->bytes))
        return lm_fail(LLM_E_FORMAT, "its size in bytes does not fit 64 bits");
    return LLM_OK;
}

static int32_t read_tensor(lm_gguf *g, lm_gguf_cursor *c, lm_gguf_tensor *t)
{
    uint32_t type;
    LM_TRY(read_shape(c, t));
    LM_TRY(lm_gguf_read_u32(c, "a storage type", &type));
    LM_TRY(size_tensor(t, type));
    LM_TRY(lm_gguf_read_u64(c, "an offset", &t->offset));
    if (t->offset % g->alignment != 0)
        return lm_fail(LLM_E_FORMAT, "offset %llu is no multiple of the alignment %llu",
                       (unsigned long long)t->offset, (unsigned long long)g->alignment);
    return LLM_OK;
}

static int32_t read_entry(lm_gguf *g, lm_gguf_cursor *c, uint32_t index)
{
    lm_gguf_tensor *t = &g->tensors[index];
    uint64_t at = c->at;
    bool added;
    LM_TRY(lm_gguf_read_string(c, "a tensor's name", &t->name));
    if (t->name.size == 0)
        return lm_fail(LLM_E_FORMAT, "the tensor's name at byte %llu is empty",
                       (unsigned long long)at);
    if (memchr(t->name.data, '\0', t->name.size) != NULL)
        return lm_fail(LLM_E_FORMAT, "the tensor's name at byte %llu has a zero byte in it",
                       (unsigned long long)at);
    int32_t rc = read_tensor(g, c, t);
    if (rc < 0)
        return lm_fail_within(rc, "tensor '%s' at byte %llu", lm_gguf_quote(t->name).text,
                              (unsigned long long)at);
    LM_TRY(lm_strmap_add(&g->tensor_index, t->name.data, t->name.size, index, &added));
    if (!added)
        return lm_fail(LLM_E_FORMAT, "the tensor '%s' at byte %llu is there twice",
                       lm_gguf_quote(t->name).text, (unsigned long long)at);
    return LLM_OK;
}

/* Makes the offsets absolute and checks that each tensor's bytes are in the file. */
static int32_t place_tensors(lm_gguf *g, uint64_t header_end)
{
    uint64_t size = g->parts[0].size, start;
    if (!lm_align_u64(header_end, g->alignment, &start) || start > size)
        start = size;
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        lm_gguf_tensor *t = &g->tensors[i];
        if (!lm_inside(t->offset, t->bytes, size - start))
            return lm_fail(
                LLM_E_FORMAT,
                "tensor '%s': its %llu bytes at %llu + %llu pass the file's end at %llu; "
                "the file is incomplete or damaged",
                lm_gguf_quote(t->name).text, (unsigned long long)t->bytes,
                (unsigned long long)start, (unsigned long long)t->offset, (unsigned long long)size);
        t->offset += start;
    }
    return LLM_OK;
}

static void sift_down(const lm_gguf_tensor *t, uint32_t *heap, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && t[heap[child]].offset < t[heap[child + 1]].offset)
            child++;
        if (t[heap[at]].offset >= t[heap[child]].offset)
            return;
        uint32_t moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
    }
}

/* Heap sort: no recursion, no quadratic case for a hostile order, no memory of its own. */
static void sort_by_offset(const lm_gguf_tensor *t, uint32_t *order, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift_down(t, order, i, count);
    for (size_t last = count; last-- > 1;) {
        uint32_t moved = order[0];
        order[0] = order[last];
        order[last] = moved;
        sift_down(t, order, 0, last);
    }
}

static int32_t check_neighbours(const lm_gguf_tensor *t, const uint32_t *order, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const lm_gguf_tensor *a = &t[order[i - 1]], *b = &t[order[i]];
        if (b->offset - a->offset < a->bytes)
            return lm_fail(LLM_E_FORMAT, "the tensors '%s' and '%s' overlap at byte %llu",
                           lm_gguf_quote(a->name).text, lm_gguf_quote(b->name).text,
                           (unsigned long long)b->offset);
    }
    return LLM_OK;
}

static int32_t check_overlap(const lm_gguf *g)
{
    size_t count = (size_t)g->n_tensors;
    uint32_t *order = LM_NEW_ARRAY(g->alloc, uint32_t, count);
    if (order == NULL)
        return LLM_E_MEMORY;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    sort_by_offset(g->tensors, order, count);
    int32_t rc = check_neighbours(g->tensors, order, count);
    lm_free_array(g->alloc, order, count, sizeof *order);
    return rc;
}

int32_t lm_gguf_read_tensors(lm_gguf *g, lm_gguf_cursor *c, uint64_t count)
{
    uint64_t least = c->version > 1 ? 8 + 4 + 4 + 8 : 4 + 4 + 4 + 8; /* no name, no dimensions */
    LM_TRY(read_alignment(g));
    LM_TRY(lm_gguf_expect(c, "the tensor table", count, least, c->limits->tensors));
    g->tensors = LM_NEW_ARRAY(g->alloc, lm_gguf_tensor, (size_t)count);
    if (g->tensors == NULL)
        return LLM_E_MEMORY;
    g->tensor_capacity = (size_t)count;
    LM_TRY(lm_strmap_reserve(&g->tensor_index, (size_t)count));
    for (uint64_t i = 0; i < count; i++)
        LM_TRY(read_entry(g, c, (uint32_t)i));
    g->n_tensors = count;
    LM_TRY(place_tensors(g, c->at));
    return check_overlap(g);
}
