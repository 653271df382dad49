/* gguf_writer.c - collects the header in memory, then streams the tensors behind it. */
#include "format/gguf_writer.h"

#include "base/checked.h"
#include "format/gguf_read.h"

#include <string.h>

#define ALIGNMENT 32u
#define VERSION   3u

/* Bytes that grow. */
typedef struct buffer {
    unsigned char *data;
    size_t size, capacity;
} buffer;

struct lm_gguf_writer {
    lm_allocator *alloc;
    lm_os_output output;
    lm_arena arena; /* names */
    lm_strmap keys, names;
    buffer pairs; /* as they will be in the file */
    lm_gguf_tensor *tensors;
    size_t n_tensors, tensor_capacity;
    uint64_t data_bytes; /* where the next tensor will begin, behind the header */
    bool began;          /* the header is written */
    int32_t failed;      /* the status of a write that failed: the file is lost */
    size_t current;      /* tensor being written */
    uint64_t written;    /* of its bytes */
    uint64_t wanted;     /* bytes of all tensors that are not written yet */
};

int32_t lm_gguf_writer_create(lm_allocator *a, const char *path, lm_gguf_writer **out)
{
    lm_gguf_writer *w = LM_NEW(a, lm_gguf_writer);
    if (w == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lm_os_output_open(path, &w->output);
    if (rc < 0) {
        LM_DELETE(a, w);
        return rc;
    }
    w->alloc = a;
    lm_arena_init(&w->arena, a);
    lm_strmap_init(&w->keys, a);
    lm_strmap_init(&w->names, a);
    *out = w;
    return LLM_OK;
}

void lm_gguf_writer_destroy(lm_gguf_writer *w)
{
    if (w == NULL)
        return;
    lm_os_output_abandon(&w->output);
    lm_free(w->alloc, w->pairs.data, w->pairs.capacity);
    lm_free_array(w->alloc, w->tensors, w->tensor_capacity, sizeof *w->tensors);
    lm_strmap_finish(&w->keys);
    lm_strmap_finish(&w->names);
    lm_arena_finish(&w->arena);
    LM_DELETE(w->alloc, w);
}

lm_allocator *lm_gguf_writer_allocator(const lm_gguf_writer *w)
{
    return w->alloc;
}

/* --- the header ------------------------------------------------------------------------------- */

static int32_t reserve(lm_allocator *a, buffer *b, uint64_t size)
{
    uint64_t need;
    if (!lm_add_u64(b->size, size, &need) || !lm_fits_size(need))
        return lm_fail(LLM_E_MEMORY, "out of memory: a header of 2^64 bytes");
    void *data = b->data;
    LM_TRY(lm_grow(a, &data, &b->capacity, (size_t)need, 1));
    b->data = data;
    return LLM_OK;
}

/* The put functions want room that was reserved before, so that they cannot fail halfway. */
static void put(buffer *b, const void *data, size_t size)
{
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put_u32(buffer *b, uint32_t v)
{
    put(b, &v, sizeof v);
}

static void put_u64(buffer *b, uint64_t v)
{
    put(b, &v, sizeof v);
}

static void put_string(buffer *b, const char *data, size_t size)
{
    put_u64(b, size);
    put(b, data, size);
}

static int32_t check_open(const lm_gguf_writer *w)
{
    if (w->failed < 0)
        return lm_fail(w->failed, "writing '%s' has failed before", w->output.path);
    return LLM_OK;
}

/* Is this a new thing with a usable name, while things can still be added? */
static int32_t check_new(const lm_gguf_writer *w, const lm_strmap *map, const char *name)
{
    uint32_t index;
    LM_TRY(check_open(w));
    if (w->began)
        return lm_fail(LLM_E_STATE, "'%s' comes too late: data of tensors is written already",
                       name);
    if (name[0] == '\0')
        return lm_fail(LLM_E_INVALID, "a key or a tensor without a name");
    if (lm_strmap_get(map, name, strlen(name), &index))
        return lm_fail(LLM_E_INVALID, "'%s' is there already", name);
    return LLM_OK;
}

static int32_t remember(lm_gguf_writer *w, lm_strmap *map, const char *name, const char **out)
{
    char *copy = lm_arena_strdup(&w->arena, name, strlen(name));
    if (copy == NULL)
        return LLM_E_MEMORY;
    if (out != NULL)
        *out = copy;
    return lm_strmap_add(map, copy, strlen(name), 0, NULL);
}

/* Bytes of the items of a value in the file; all sizes are of things in memory, so none wraps. */
static uint64_t items_size(const lm_gguf_value *v)
{
    const lm_gguf_string *strings = v->items;
    if (v->type != LM_GGUF_STRING)
        return v->count * lm_gguf_item_bytes(v->type);
    uint64_t size = 0;
    for (uint64_t i = 0; i < v->count; i++)
        size += 8 + (uint64_t)strings[i].size;
    return size;
}

static void put_items(buffer *b, const lm_gguf_value *v)
{
    const lm_gguf_string *strings = v->items;
    if (v->type != LM_GGUF_STRING)
        put(b, v->items, (size_t)items_size(v));
    for (uint64_t i = 0; v->type == LM_GGUF_STRING && i < v->count; i++)
        put_string(b, strings[i].data, strings[i].size);
}

int32_t lm_gguf_writer_value(lm_gguf_writer *w, const char *key, const lm_gguf_value *value)
{
    LM_TRY(check_new(w, &w->keys, key));
    if (value->type >= LM_GGUF_TYPES || value->type == LM_GGUF_ARRAY ||
        (!value->is_array && value->count != 1))
        return lm_fail(LLM_E_INVALID, "key '%s': no type of a value, or no single value", key);
    if (strcmp(key, "general.alignment") == 0)
        return lm_fail(LLM_E_INVALID, "key '%s': files are always written with %u", key, ALIGNMENT);
    size_t length = strlen(key);
    LM_TRY(reserve(w->alloc, &w->pairs, 8 + length + 4 + 4 + 8 + items_size(value)));
    LM_TRY(remember(w, &w->keys, key, NULL));
    put_string(&w->pairs, key, length);
    if (value->is_array)
        put_u32(&w->pairs, LM_GGUF_ARRAY);
    put_u32(&w->pairs, value->type);
    if (value->is_array)
        put_u64(&w->pairs, value->count);
    put_items(&w->pairs, value);
    return LLM_OK;
}

static int32_t set_scalar(lm_gguf_writer *w, const char *key, uint32_t type, const void *item)
{
    return lm_gguf_writer_value(w, key, &(lm_gguf_value){type, false, 1, item});
}

static int32_t set_array(lm_gguf_writer *w, const char *key, uint32_t type, const void *items,
                         uint64_t count)
{
    return lm_gguf_writer_value(w, key, &(lm_gguf_value){type, true, count, items});
}

int32_t lm_gguf_writer_u32(lm_gguf_writer *w, const char *key, uint32_t value)
{
    return set_scalar(w, key, LM_GGUF_U32, &value);
}

int32_t lm_gguf_writer_f32(lm_gguf_writer *w, const char *key, float value)
{
    return set_scalar(w, key, LM_GGUF_F32, &value);
}

int32_t lm_gguf_writer_bool(lm_gguf_writer *w, const char *key, bool value)
{
    unsigned char byte = value ? 1 : 0;
    return set_scalar(w, key, LM_GGUF_BOOL, &byte);
}

int32_t lm_gguf_writer_string(lm_gguf_writer *w, const char *key, const char *value)
{
    lm_gguf_string string = {value, strlen(value)};
    return set_scalar(w, key, LM_GGUF_STRING, &string);
}

int32_t lm_gguf_writer_i32s(lm_gguf_writer *w, const char *key, const int32_t *values,
                            uint64_t count)
{
    return set_array(w, key, LM_GGUF_I32, values, count);
}

int32_t lm_gguf_writer_f32s(lm_gguf_writer *w, const char *key, const float *values, uint64_t count)
{
    return set_array(w, key, LM_GGUF_F32, values, count);
}

int32_t lm_gguf_writer_strings(lm_gguf_writer *w, const char *key, const char *const *values,
                               uint64_t count)
{
    if (!lm_fits_size(count))
        return lm_fail(LLM_E_MEMORY, "out of memory: %llu strings", (unsigned long long)count);
    lm_gguf_string *strings = LM_NEW_ARRAY(w->alloc, lm_gguf_string, (size_t)count);
    if (strings == NULL)
        return LLM_E_MEMORY;
    for (uint64_t i = 0; i < count; i++)
        strings[i] = (lm_gguf_string){values[i], strlen(values[i])};
    int32_t rc = set_array(w, key, LM_GGUF_STRING, strings, count);
    lm_free_array(w->alloc, strings, (size_t)count, sizeof *strings);
    return rc;
}

static int32_t describe(lm_gguf_tensor *t, const uint64_t *dims, uint32_t n_dims)
{
    t->n_dims = n_dims;
    t->count = 1;
    if (n_dims == 0 || n_dims > LM_MAX_DIMS)
        return lm_fail(LLM_E_INVALID, "%lu dimensions where 1 to %u are possible",
                       (unsigned long)n_dims, LM_MAX_DIMS);
    for (uint32_t i = 0; i < LM_MAX_DIMS; i++) {
        t->dims[i] = i < n_dims ? dims[i] : 1;
        if (t->dims[i] == 0 || !lm_mul_u64(t->count, t->dims[i], &t->count))
            return lm_fail(LLM_E_INVALID, "dimension %lu is 0 or too large", (unsigned long)i);
    }
    uint64_t row;
    if (!lm_format_row_bytes(t->format, t->dims[0], &row) ||
        !lm_mul_u64(row, t->count / t->dims[0], &t->bytes) || t->bytes > INT64_MAX)
        return lm_fail(
            LLM_E_INVALID, "rows of %llu values are no whole blocks of %lu (%s), or too many",
            (unsigned long long)t->dims[0], (unsigned long)t->format->block, t->format->name);
    return LLM_OK;
}

int32_t lm_gguf_writer_tensor(lm_gguf_writer *w, const char *name, const lm_format *format,
                              const uint64_t *dims, uint32_t n_dims)
{
    lm_gguf_tensor t = {.format = format, .offset = w->data_bytes};
    uint64_t end;
    LM_TRY(check_new(w, &w->names, name));
    int32_t rc = describe(&t, dims, n_dims);
    if (rc < 0)
        return lm_fail_within(rc, "tensor '%s'", name);
    if (!lm_add_u64(t.offset, t.bytes, &end) || !lm_align_u64(end, ALIGNMENT, &end) ||
        end > INT64_MAX)
        return lm_fail(LLM_E_INVALID, "tensor '%s': a file of more than 2^63 bytes", name);
    void *tensors = w->tensors;
    LM_TRY(lm_grow(w->alloc, &tensors, &w->tensor_capacity, w->n_tensors + 1, sizeof *w->tensors));
    w->tensors = tensors;
    LM_TRY(remember(w, &w->names, name, &t.name.data));
    t.name.size = strlen(name);
    w->tensors[w->n_tensors++] = t;
    w->data_bytes = end;
    w->wanted += t.bytes;
    return LLM_OK;
}

static int32_t put_tensors(lm_gguf_writer *w, buffer *b)
{
    for (size_t i = 0; i < w->n_tensors; i++) {
        const lm_gguf_tensor *t = &w->tensors[i];
        LM_TRY(reserve(w->alloc, b, 8 + (uint64_t)t->name.size + 4 + 8 * LM_MAX_DIMS + 4 + 8));
        put_string(b, t->name.data, t->name.size);
        put_u32(b, t->n_dims);
        put(b, t->dims, sizeof t->dims[0] * t->n_dims);
        put_u32(b, t->format->id);
        put_u64(b, t->offset);
    }
    return LLM_OK;
}

/* --- the file --------------------------------------------------------------------------------- */

static const unsigned char zeros[ALIGNMENT];

static size_t padding(uint64_t size)
{
    return (size_t)((ALIGNMENT - size % ALIGNMENT) % ALIGNMENT);
}

static int32_t write_out(lm_gguf_writer *w, const void *data, size_t size)
{
    w->failed = lm_os_output_write(&w->output, data, size);
    return w->failed;
}

static int32_t begin(lm_gguf_writer *w)
{
    buffer head = {0}, table = {0};
    int32_t rc;
    LM_GO(put_tensors(w, &table));
    LM_GO(reserve(w->alloc, &head, 24));
    put(&head, "GGUF", 4);
    put_u32(&head, VERSION);
    put_u64(&head, w->n_tensors);
    put_u64(&head, w->keys.count);
    LM_GO(write_out(w, head.data, head.size));
    LM_GO(write_out(w, w->pairs.data, w->pairs.size));
    LM_GO(write_out(w, table.data, table.size));
    uint64_t size = (uint64_t)head.size + w->pairs.size + table.size;
    LM_GO(write_out(w, zeros, padding(size)));
    w->began = true;
out:
    lm_free(w->alloc, head.data, head.capacity);
    lm_free(w->alloc, table.data, table.capacity);
    return rc;
}

const lm_gguf_tensor *lm_gguf_writer_next(const lm_gguf_writer *w, uint64_t *bytes_left)
{
    if (w->current == w->n_tensors)
        return NULL;
    *bytes_left = w->tensors[w->current].bytes - w->written;
    return &w->tensors[w->current];
}

int32_t lm_gguf_writer_data(lm_gguf_writer *w, const void *data, size_t size)
{
    const unsigned char *from = data;
    LM_TRY(check_open(w));
    if (size > w->wanted)
        return lm_fail(LLM_E_INVALID, "%llu bytes of data where the tensors want %llu more",
                       (unsigned long long)size, (unsigned long long)w->wanted);
    if (!w->began)
        LM_TRY(begin(w));
    while (size > 0) {
        uint64_t bytes = w->tensors[w->current].bytes, left = bytes - w->written;
        size_t part = size < left ? size : (size_t)left;
        LM_TRY(write_out(w, from, part));
        from += part;
        size -= part;
        w->wanted -= part;
        w->written += part;
        if (w->written < bytes)
            continue;
        LM_TRY(write_out(w, zeros, padding(bytes)));
        w->written = 0;
        w->current++;
    }
    return LLM_OK;
}

int32_t lm_gguf_writer_finish(lm_gguf_writer *w)
{
    uint64_t left = 0;
    LM_TRY(check_open(w));
    const lm_gguf_tensor *t = lm_gguf_writer_next(w, &left);
    if (t != NULL)
        return lm_fail(LLM_E_STATE, "tensor '%s' still wants %llu bytes", t->name.data,
                       (unsigned long long)left);
    if (!w->began)
        LM_TRY(begin(w));
    w->failed = LLM_E_STATE; /* it is done, one way or the other */
    return lm_os_output_commit(&w->output);
}
