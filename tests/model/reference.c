/* reference.c - reads .ref and .f32 files; opens, feeds and generates. */
#include "model/reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const test_device test_devices[] = {{"ref", 1e-4}, {"cpu", 1e-3}};
const uint32_t test_device_count = sizeof test_devices / sizeof test_devices[0];

bool test_device_present(llm_runtime *rt, const char *name)
{
    llm_model_params mp = {.struct_size = sizeof mp, .load = LLM_LOAD_HEADER, .devices = name};
    llm_model *model;
    int32_t rc = llm_model_open(rt, test_file_path("model/data/llama.gguf"), &mp, &model);
    if (rc != LLM_E_NOT_FOUND)
        assert_ok(rc);
    if (rc == LLM_OK)
        llm_model_release(model);
    return rc == LLM_OK;
}

/* --- cases ----------------------------------------------------------------------------------- */

/* The text behind "key " at the start of a line, or NULL. */
static const char *line_of(const char *text, const char *key)
{
    size_t size = strlen(key);
    for (const char *at = text; at != NULL && *at != '\0';) {
        if (strncmp(at, key, size) == 0 && at[size] == ' ')
            return at + size + 1;
        at = strchr(at, '\n');
        at = at == NULL ? NULL : at + 1;
    }
    return NULL;
}

static void word_of(const char *text, const char *key, char *out, size_t size)
{
    const char *at = line_of(text, key);
    size_t n = at == NULL ? 0 : strcspn(at, " \n");
    assert_true(n < size);
    if (n > 0)
        memcpy(out, at, n);
    out[n] = '\0';
}

/* The numbers of a line; free() them. */
static double *numbers_of(const char *text, const char *key, uint32_t *count)
{
    const char *at = line_of(text, key);
    double *numbers = malloc((strlen(text) / 2 + 1) * sizeof *numbers);
    assert_non_null(numbers);
    *count = 0;
    while (at != NULL && *at != '\n' && *at != '\0') {
        char *end;
        numbers[*count] = strtod(at, &end);
        assert_true(end > at);
        ++*count;
        at = *end == ' ' ? end + 1 : end;
    }
    return numbers;
}

static uint32_t number_of(const char *text, const char *key)
{
    uint32_t count;
    double *numbers = numbers_of(text, key, &count);
    assert_int_equal(count, 1);
    uint32_t value = (uint32_t)numbers[0];
    free(numbers);
    return value;
}

static uint32_t ids_of(const char *text, const char *key, llm_token **out)
{
    uint32_t count;
    double *numbers = numbers_of(text, key, &count);
    *out = malloc((count + 1) * sizeof **out);
    assert_non_null(*out);
    for (uint32_t i = 0; i < count; i++)
        (*out)[i] = (llm_token)numbers[i];
    free(numbers);
    return count;
}

static float *pooled_of(const char *text, uint32_t columns)
{
    uint32_t count;
    double *numbers = numbers_of(text, "pooled", &count);
    assert_int_equal(count, columns);
    float *pooled = malloc(count * sizeof *pooled);
    assert_non_null(pooled);
    for (uint32_t i = 0; i < count; i++)
        pooled[i] = (float)numbers[i];
    free(numbers);
    return pooled;
}

void reference_read(const char *name, reference *out)
{
    char path[128];
    size_t size;
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", name);
    snprintf(path, sizeof path, "model/data/%s.ref", name);
    char *text = (char *)test_read(test_file_path(path), &size);
    word_of(text, "model", out->model, sizeof out->model);
    word_of(text, "pooling", out->pooling, sizeof out->pooling);
    out->context = number_of(text, "context");
    out->rows = number_of(text, "rows");
    out->columns = number_of(text, "columns");
    out->n_tokens = ids_of(text, "tokens", &out->tokens);
    out->n_greedy = ids_of(text, "greedy", &out->greedy);
    assert_int_equal(out->rows, out->n_tokens + out->n_greedy);
    if (out->pooling[0] != '\0')
        out->pooled = pooled_of(text, out->columns);
    free(text);
    out->all = malloc(out->rows * sizeof *out->all);
    assert_non_null(out->all);
    memcpy(out->all, out->tokens, out->n_tokens * sizeof *out->all);
    memcpy(out->all + out->n_tokens, out->greedy, out->n_greedy * sizeof *out->all);
    snprintf(path, sizeof path, "model/data/%s.f32", name);
    out->values = (float *)(void *)test_read(test_file_path(path), &size);
    assert_int_equal(size, (size_t)out->rows * out->columns * sizeof *out->values);
}

void reference_free(reference *r)
{
    free(r->tokens);
    free(r->greedy);
    free(r->all);
    free(r->values);
    free(r->pooled);
}

double relative_error(const float *found, const float *right, size_t count)
{
    double error = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        double e = fabs((double)found[i] - right[i]);
        error = e <= error ? error : e; /* written so that a NaN stays */
        largest = fmax(largest, fabs((double)right[i]));
    }
    return error / largest;
}

/* --- sessions -------------------------------------------------------------------------------- */

void opened_init(llm_runtime *rt, const reference *r, const open_options *o, opened *out)
{
    char path[4200], relative[128];
    memset(out, 0, sizeof *out);
    snprintf(relative, sizeof relative, "model/data/%s", r == NULL ? "" : r->model);
    snprintf(path, sizeof path, "%s", o->path != NULL ? o->path : test_file_path(relative));
    llm_model_params mp = {.struct_size = sizeof mp,
                           .devices = o->devices,
                           .source = o->source,
                           .context = o->context != 0 || r == NULL ? o->context : r->context};
    assert_ok(llm_model_open(rt, path, &mp, &out->model));
    llm_engine_params ep = {.struct_size = sizeof ep,
                            .page_tokens = o->page_tokens,
                            .flags = o->flags,
                            .max_outputs = 512,
                            .cache_type = o->cache_type == NULL ? "f32" : o->cache_type};
    assert_ok(llm_engine_create(out->model, &ep, &out->engine));
    if (r != NULL && r->pooled != NULL)
        return;
    llm_session_params sp = {.struct_size = sizeof sp, .engine = out->engine};
    assert_ok(llm_session_create(out->model, &sp, &out->session));
}

void opened_finish(opened *o)
{
    llm_session_destroy(o->session);
    llm_engine_release(o->engine);
    llm_model_release(o->model);
    memset(o, 0, sizeof *o);
}

float *feed_for_logits(llm_session *s, const llm_token *tokens, uint32_t n, uint32_t chunk,
                       uint32_t n_vocab)
{
    size_t floats = (size_t)n * n_vocab;
    float *logits = malloc(floats * sizeof *logits);
    assert_non_null(logits);
    llm_feed_params fp = {
        .struct_size = sizeof fp, .chunk = chunk, .logits = logits, .logits_capacity = floats};
    assert_ok(llm_session_feed(s, tokens, n, &fp));
    return logits;
}

void generate(llm_session *s, llm_token *into, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        llm_piece piece = LLM_PIECE_INIT;
        int32_t rc = llm_session_next(s, &piece);
        assert_ok(rc);
        assert_int_equal(rc, LLM_OK);
        into[i] = piece.token;
    }
}

void assert_tokens_equal(const llm_token *found, const llm_token *right, uint32_t n,
                         const char *what)
{
    for (uint32_t i = 0; i < n; i++)
        if (found[i] != right[i])
            fail_msg("%s: token %u is %d, not %d", what, (unsigned)i, (int)found[i], (int)right[i]);
}
