/* gguf_split.c - models split over files named PREFIX-00001-of-00003.gguf: opens all files of the
 * set, checks that they agree, and joins their tensors into one table. */
#include "format/gguf_read.h"

#include <stdio.h>
#include <string.h>

#define SUFFIX_BYTES 20u /* of "-00001-of-00003.gguf" */

/* A set being joined. */
typedef struct split {
    const lm_log *log;
    const lm_limits *limits;
    uint32_t source_mode;
    uint32_t count;
    uint64_t tensors; /* what the set says it holds */
    size_t prefix;    /* length of the path's part before the suffix */
    char *path;       /* scratch for the path of one file */
    size_t path_size;
    lm_gguf *first;
} split;

static int32_t get_number(const lm_gguf *g, const char *key, uint64_t *out)
{
    int32_t rc = lm_gguf_get_u64(g, key, 0, out);
    if (rc == LLM_E_NOT_FOUND)
        return lm_fail(LLM_E_FORMAT, "a file of a split set lacks the key '%s'", key);
    return rc;
}

/* The set's count of tensors, as its first file says it. */
static int32_t get_tensors(split *s)
{
    LM_TRY(get_number(s->first, "split.tensors.count", &s->tensors));
    if (s->tensors > s->limits->tensors)
        return lm_fail(LLM_E_LIMIT, "the set has %llu tensors where the limit is %llu",
                       (unsigned long long)s->tensors, (unsigned long long)s->limits->tensors);
    return LLM_OK;
}

int32_t lm_gguf_split_count(const lm_gguf *g, const lm_limits *limits, uint32_t *out)
{
    uint64_t count;
    int32_t rc = lm_gguf_get_u64(g, "split.count", 0, &count);
    *out = 1;
    if (rc == LLM_E_NOT_FOUND)
        return LLM_OK;
    LM_TRY(rc);
    if (count > limits->parts)
        return lm_fail(LLM_E_LIMIT, "the model is split over %llu files where the limit is %lu",
                       (unsigned long long)count, (unsigned long)limits->parts);
    if (count > 1)
        *out = (uint32_t)count;
    return LLM_OK;
}

/* Says which file of the set a failure is about. */
static int32_t within(const split *s, int32_t rc)
{
    return rc < 0 ? lm_fail_within(rc, "'%s'", s->path) : rc;
}

static void name_part(split *s, uint32_t index)
{
    snprintf(s->path + s->prefix, s->path_size - s->prefix, "-%05lu-of-%05lu.gguf",
             (unsigned long)index + 1, (unsigned long)s->count);
}

static int32_t keep_path(split *s, const char *path)
{
    size_t length = strlen(path);
    s->prefix = length > SUFFIX_BYTES ? length - SUFFIX_BYTES : 0;
    s->path_size = length + 2 * SUFFIX_BYTES;
    s->path = lm_alloc(s->first->alloc, s->path_size);
    if (s->path == NULL)
        return LLM_E_MEMORY;
    memcpy(s->path, path, length + 1);
    return LLM_OK;
}

/* The path of the file at hand must be the one that its number gives it. */
static int32_t check_path(split *s, const char *path, uint64_t number)
{
    if (number < s->count)
        name_part(s, (uint32_t)number);
    if (number < s->count && strcmp(s->path, path) == 0)
        return LLM_OK;
    return lm_fail(
        LLM_E_FORMAT,
        "'%s': it says that it is file %llu of %lu; the files of a set are numbered from "
        "1 and their names end as in '-00001-of-%05lu.gguf'",
        path, (unsigned long long)number + 1, (unsigned long)s->count, (unsigned long)s->count);
}

/* What the file at `index` must say of the set. */
static int32_t check_part(const split *s, const lm_gguf *g, uint32_t index)
{
    uint64_t count, number, tensors;
    LM_TRY(get_number(g, "split.count", &count));
    LM_TRY(get_number(g, "split.no", &number));
    LM_TRY(get_number(g, "split.tensors.count", &tensors));
    if (count != s->count || number != index || tensors != s->tensors)
        return lm_fail(LLM_E_FORMAT,
                       "it says that it is file %llu of %llu with %llu tensors in all; it should "
                       "be file %lu of %lu with %llu",
                       (unsigned long long)number + 1, (unsigned long long)count,
                       (unsigned long long)tensors, (unsigned long)index + 1,
                       (unsigned long)s->count, (unsigned long long)s->tensors);
    return LLM_OK;
}

/* Metadata belongs into the first file; what another repeats must be the same. */
static int32_t check_pairs(const split *s, const lm_gguf *part)
{
    for (uint64_t i = 0; i < part->n_pairs; i++) {
        const lm_gguf_pair *pair = &part->pairs[i];
        const char *key = pair->key.data;
        if (strcmp(key, "split.no") == 0 || strcmp(key, "general.alignment") == 0)
            continue;
        const lm_gguf_value *value = lm_gguf_find(s->first, key);
        if (value == NULL)
            lm_log_write(s->log, LLM_LOG_WARN, "'%s': ignored key '%s': not in the first file",
                         s->path, lm_gguf_quote(pair->key).text);
        else if (strncmp(key, "split.", 6) != 0 && !lm_gguf_same_value(value, &pair->value))
            return lm_fail(LLM_E_FORMAT, "key '%s' has another value than in the first file",
                           lm_gguf_quote(pair->key).text);
    }
    return LLM_OK;
}

static int32_t join_tensors(lm_gguf *first, const lm_gguf *part, uint32_t index)
{
    for (uint64_t i = 0; i < part->n_tensors; i++) {
        uint32_t at = (uint32_t)first->n_tensors;
        lm_gguf_tensor *t = &first->tensors[at];
        bool added;
        *t = part->tensors[i];
        t->part = index;
        t->name.data = lm_arena_strdup(&first->arena, t->name.data, t->name.size);
        if (t->name.data == NULL)
            return LLM_E_MEMORY;
        LM_TRY(lm_strmap_add(&first->tensor_index, t->name.data, t->name.size, at, &added));
        if (!added)
            return lm_fail(LLM_E_FORMAT, "the tensor '%s' is in another file of the set too",
                           lm_gguf_quote(t->name).text);
        first->n_tensors++;
    }
    return LLM_OK;
}

/* Takes the tensors and the source of `part` over into the first file. */
static int32_t join_part(split *s, lm_gguf *part, uint32_t index)
{
    lm_gguf *first = s->first;
    LM_TRY(check_part(s, part, index));
    LM_TRY(check_pairs(s, part));
    if (part->n_tensors > s->tensors - first->n_tensors)
        return lm_fail(LLM_E_FORMAT, "the set has more than the %llu tensors that it says it has",
                       (unsigned long long)s->tensors);
    LM_TRY(join_tensors(first, part, index));
    first->parts[index] = part->parts[0];
    memset(&part->parts[0], 0, sizeof part->parts[0]);
    part->parts[0].file.handle = -1;
    return LLM_OK;
}

static int32_t open_at(split *s, uint32_t index, lm_gguf **out)
{
    lm_source source;
    name_part(s, index);
    LM_TRY(lm_source_open_path(s->first->alloc, s->path, s->source_mode, &source));
    return within(s, lm_gguf_open_part(s->first->alloc, s->limits, &source, out));
}

static int32_t join_at(split *s, uint32_t index)
{
    lm_gguf *part;
    LM_TRY(open_at(s, index, &part));
    int32_t rc = within(s, join_part(s, part, index));
    lm_gguf_close(part);
    return rc;
}

/* Room in the first file for the sources and tensors of all. */
static int32_t make_room(split *s)
{
    lm_gguf *g = s->first;
    if (g->n_tensors > s->tensors)
        return lm_fail(LLM_E_FORMAT, "the set has more than the %llu tensors that it says it has",
                       (unsigned long long)s->tensors);
    lm_source *parts = LM_NEW_ARRAY(g->alloc, lm_source, s->count);
    if (parts == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i < s->count; i++)
        parts[i].file.handle = -1;
    parts[0] = g->parts[0];
    lm_free_array(g->alloc, g->parts, g->n_parts, sizeof *g->parts);
    g->parts = parts;
    g->n_parts = s->count;
    void *tensors = g->tensors;
    LM_TRY(
        lm_grow(g->alloc, &tensors, &g->tensor_capacity, (size_t)s->tensors, sizeof *g->tensors));
    g->tensors = tensors;
    return lm_strmap_reserve(&g->tensor_index, (size_t)s->tensors);
}

/* The first file of the set takes the place of the one that was named. */
static int32_t go_to_first(split *s, lm_gguf **g)
{
    lm_gguf *first;
    LM_TRY(open_at(s, 0, &first));
    lm_gguf_close(*g);
    *g = s->first = first;
    return LLM_OK;
}

static int32_t join_all(split *s)
{
    LM_TRY(within(s, get_tensors(s)));
    LM_TRY(within(s, check_part(s, s->first, 0)));
    LM_TRY(within(s, make_room(s)));
    for (uint32_t i = 1; i < s->count; i++)
        LM_TRY(join_at(s, i));
    if (s->first->n_tensors != s->tensors)
        return lm_fail(LLM_E_FORMAT, "'%s' and the others of its set hold %llu tensors of %llu",
                       s->path, (unsigned long long)s->first->n_tensors,
                       (unsigned long long)s->tensors);
    return LLM_OK;
}

int32_t lm_gguf_split_join(const lm_log *log, const lm_limits *limits, const char *path,
                           uint32_t source_mode, uint32_t count, lm_gguf **g)
{
    split s = {log, limits, source_mode, count, 0, 0, NULL, 0, *g};
    uint64_t number = 0;
    int32_t rc;
    LM_GO(keep_path(&s, path));
    LM_GO(within(&s, get_number(s.first, "split.no", &number)));
    LM_GO(check_path(&s, path, number));
    if (number > 0)
        LM_GO(go_to_first(&s, g));
    rc = join_all(&s);
out:
    lm_free((*g)->alloc, s.path, s.path_size);
    return rc;
}
