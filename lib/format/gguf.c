/* gguf.c - opening and closing: the fixed head of a file, then pairs and tensors in their own
 * files. */
#include "format/gguf_read.h"

#define MAGIC 0x46554747u /* "GGUF" */

void lm_limits_default(lm_limits *limits)
{
    *limits = (lm_limits){
        .file_bytes = (uint64_t)1 << 50,
        .header_bytes = (uint64_t)512 << 20,
        .string_bytes = (uint64_t)64 << 20,
        .array_items = (uint64_t)64 << 20,
        .pairs = 64 << 10,
        .tensors = 1 << 20,
        .parts = 1024,
    };
}

/* Indices of pairs and tensors are 32 bits wide, whatever a host allows. */
static lm_limits usable_limits(const lm_limits *given)
{
    lm_limits limits;
    lm_limits_default(&limits);
    if (given != NULL)
        limits = *given;
    if (limits.pairs > UINT32_MAX / 2)
        limits.pairs = UINT32_MAX / 2;
    if (limits.tensors > UINT32_MAX / 2)
        limits.tensors = UINT32_MAX / 2;
    return limits;
}

static int32_t read_version(lm_gguf *g, lm_gguf_cursor *c)
{
    uint32_t magic;
    LM_TRY(lm_gguf_read_u32(c, "the mark of a GGUF file", &magic));
    if (magic != MAGIC)
        return lm_fail(LLM_E_FORMAT, "this is no GGUF file: it begins with %02x %02x %02x %02x",
                       (unsigned)(magic & 255), (unsigned)(magic >> 8 & 255),
                       (unsigned)(magic >> 16 & 255), (unsigned)(magic >> 24));
    LM_TRY(lm_gguf_read_u32(c, "the version", &g->version));
    if (g->version != 0 && (g->version & 0xffff) == 0)
        return lm_fail(LLM_E_UNSUPPORTED,
                       "this is a big-endian GGUF file; convert it to little-endian");
    if (g->version == 0)
        return lm_fail(LLM_E_FORMAT, "GGUF version 0 does not exist");
    if (g->version > 3)
        return lm_fail(LLM_E_UNSUPPORTED, "GGUF version %lu; versions 1 to 3 are known",
                       (unsigned long)g->version);
    c->version = g->version;
    return LLM_OK;
}

static int32_t read_header(lm_gguf *g, lm_gguf_cursor *c)
{
    uint64_t n_tensors, n_pairs;
    LM_TRY(read_version(g, c));
    LM_TRY(lm_gguf_read_count(c, "the count of tensors", &n_tensors));
    LM_TRY(lm_gguf_read_count(c, "the count of keys", &n_pairs));
    LM_TRY(lm_gguf_read_pairs(g, c, n_pairs));
    return lm_gguf_read_tensors(g, c, n_tensors);
}

/* Takes over the source at once, so that closing the object is all the cleaning up there is. */
static int32_t create(lm_allocator *a, lm_source *source, lm_gguf **out)
{
    lm_gguf *g = LM_NEW(a, lm_gguf);
    lm_source *parts = LM_NEW(a, lm_source);
    if (g == NULL || parts == NULL) {
        LM_DELETE(a, g);
        LM_DELETE(a, parts);
        lm_source_close(source);
        return LLM_E_MEMORY;
    }
    g->alloc = a;
    lm_arena_init(&g->arena, a);
    lm_strmap_init(&g->pair_index, a);
    lm_strmap_init(&g->tensor_index, a);
    g->parts = parts;
    g->n_parts = 1;
    parts[0] = *source;
    *out = g;
    return LLM_OK;
}

int32_t lm_gguf_open_part(lm_allocator *a, const lm_limits *limits, lm_source *source,
                          lm_gguf **out)
{
    lm_gguf *g;
    lm_gguf_cursor c = {0};
    int32_t rc;
    LM_TRY(create(a, source, &g));
    c.source = &g->parts[0];
    if (c.source->size > limits->file_bytes)
        LM_GO(lm_fail(LLM_E_LIMIT, "the file has %llu bytes where the limit is %llu",
                      (unsigned long long)c.source->size, (unsigned long long)limits->file_bytes));
    LM_GO(lm_gguf_cursor_init(&c, c.source, limits, &g->arena));
    LM_GO(read_header(g, &c));
    *out = g;
out:
    lm_gguf_cursor_finish(&c);
    if (rc < 0)
        lm_gguf_close(g);
    return rc;
}

int32_t lm_gguf_open_path(lm_allocator *a, const lm_log *log, const lm_limits *limits,
                          const char *path, uint32_t source_mode, lm_gguf **out)
{
    lm_limits within = usable_limits(limits);
    lm_source source;
    lm_gguf *g;
    uint32_t count;
    LM_TRY(lm_source_open_path(a, path, source_mode, &source));
    int32_t rc = lm_gguf_open_part(a, &within, &source, &g);
    if (rc < 0)
        return lm_fail_within(rc, "'%s'", path);
    rc = lm_gguf_split_count(g, &within, &count);
    if (rc < 0)
        rc = lm_fail_within(rc, "'%s'", path);
    else if (count > 1)
        rc = lm_gguf_split_join(log, &within, path, source_mode, count, &g);
    if (rc < 0) {
        lm_gguf_close(g);
        return rc;
    }
    *out = g;
    return LLM_OK;
}

int32_t lm_gguf_open_source(lm_allocator *a, const lm_log *log, const lm_limits *limits,
                            lm_source *source, lm_gguf **out)
{
    (void)log;
    lm_limits within = usable_limits(limits);
    lm_gguf *g;
    uint32_t count;
    LM_TRY(lm_gguf_open_part(a, &within, source, &g));
    int32_t rc = lm_gguf_split_count(g, &within, &count);
    if (rc == LLM_OK && count > 1)
        rc = lm_fail(LLM_E_UNSUPPORTED,
                     "the model is split over %lu files; open it by the path of one of them",
                     (unsigned long)count);
    if (rc < 0) {
        lm_gguf_close(g);
        return rc;
    }
    *out = g;
    return LLM_OK;
}

void lm_gguf_close(lm_gguf *g)
{
    if (g == NULL)
        return;
    lm_allocator *a = g->alloc;
    lm_strmap_finish(&g->tensor_index);
    lm_strmap_finish(&g->pair_index);
    lm_free_array(a, g->tensors, g->tensor_capacity, sizeof *g->tensors);
    for (uint32_t i = 0; i < g->n_parts; i++)
        lm_source_close(&g->parts[i]);
    lm_free_array(a, g->parts, g->n_parts, sizeof *g->parts);
    lm_arena_finish(&g->arena);
    LM_DELETE(a, g);
}
