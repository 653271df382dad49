/* test_writer.c - the public writer: every format in and out, metadata of every kind, copies of
 * models, misuse. */
#include "support/support.h"

#include <llm/llm.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW  512u
#define ROWS 3u

static char path[4096];

typedef struct bench {
    test_memory m;
    llm_runtime *runtime;
    llm_writer *writer;
} bench;

static void bench_init(bench *b)
{
    test_memory_init(&b->m);
    llm_runtime_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = sizeof params;
    params.allocator = test_memory_host(&b->m);
    snprintf(path, sizeof path, "%s", test_scratch("written.gguf"));
    assert_ok(llm_runtime_create(&params, &b->runtime));
    assert_ok(llm_writer_create(b->runtime, path, "gguf", &b->writer));
}

static void bench_finish(bench *b)
{
    llm_writer_destroy(b->writer);
    llm_runtime_destroy(b->runtime);
    test_memory_check(&b->m);
    remove(path);
}

static llm_model *open_header(llm_runtime *runtime, const char *file)
{
    llm_model *model = NULL;
    llm_model_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = sizeof params;
    params.load = LLM_LOAD_HEADER;
    params.devices = "ref";
    assert_ok(llm_model_open(runtime, file, &params, &model));
    return model;
}

static int32_t set_string(llm_writer *w, const char *key, const char *value)
{
    llm_param p = {key, LLM_KIND_STRING, 0, {.s = value}};
    return llm_writer_set(w, &p);
}

static void fill(float *values, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)test_random_normal(&seed);
}

/* --- formats ---------------------------------------------------------------------------------- */

static void test_writer__lists_formats(void **state)
{
    (void)state;
    uint32_t count = 0, encodable = 0;
    llm_format_info info, found;
    for (;; count++) {
        memset(&info, 0, sizeof info);
        info.struct_size = sizeof info;
        int32_t rc = llm_format_at(count, &info);
        if (rc == LLM_E_NOT_FOUND)
            break;
        assert_ok(rc);
        found = (llm_format_info){.struct_size = sizeof found};
        assert_ok(llm_format_find(info.name, &found));
        assert_memory_equal(&info, &found, sizeof info);
        assert_true(info.block > 0 && info.bytes > 0);
        encodable += info.can_encode;
    }
    assert_true(count >= 30 && encodable >= 20 && encodable < count);
    info = (llm_format_info){.struct_size = 12};
    assert_ok(llm_format_find("q4_k", &info));
    assert_int_equal(info.block, 256);
    assert_int_equal(info.bytes, 144);
    assert_null(info.name); /* behind the size that was asked for */
    assert_status(llm_format_find("q4_x", &info), LLM_E_NOT_FOUND);
    assert_status(llm_format_find(NULL, &info), LLM_E_INVALID);
    assert_status(llm_format_at(0, NULL), LLM_E_INVALID);
    info.struct_size = 0;
    assert_status(llm_format_at(0, &info), LLM_E_INVALID);
}

static uint32_t format_count(void)
{
    uint32_t count = 0;
    llm_format_info info = {.struct_size = sizeof info};
    while (llm_format_at(count, &info) == LLM_OK)
        count++;
    return count;
}

/* One tensor per format that can be encoded, named as its format. */
static void announce(llm_writer *w)
{
    static const uint64_t dims[] = {ROW, ROWS};
    for (uint32_t i = 0; i < format_count(); i++) {
        llm_format_info info = {.struct_size = sizeof info};
        assert_ok(llm_format_at(i, &info));
        if (info.can_encode && info.block > 0 && strcmp(info.name, "q8_k") != 0)
            assert_ok(llm_writer_tensor(w, info.name, info.name, 2, dims));
    }
}

/* Relative error of the tensor against what was written: by bits of a value, what normal random
 * numbers can be stored with at all (1.5 bits: about 0.5). The ternary formats are for weights that
 * are ternary already: they scale by the largest and lose most of a normal distribution. Eight-bit
 * floats keep four bits of any value: 2^-4 at worst, uniform in between. */
static void check_tensor(llm_model *model, uint64_t index, const llm_tensor_info *t,
                         const float *values)
{
    float back[ROW * ROWS];
    double error = 0, power = 0, bits = (double)t->bytes * 8 / (ROW * ROWS);
    assert_ok(llm_model_tensor_values(model, index, 0, ROW * ROWS, back));
    for (size_t i = 0; i < ROW * ROWS; i++) {
        if (!isfinite(back[i]))
            fail_msg("%s: value %d came back as %g", t->name, (int)i, (double)back[i]);
        error += pow((double)values[i] - (double)back[i], 2);
        power += pow((double)values[i], 2);
    }
    double relative = sqrt(error / power), allowed = bits < 4 ? 0.6 : bits < 8 ? 0.15 : 0.01;
    if (strncmp(t->name, "tq", 2) == 0)
        allowed = 0.9;
    if (strstr(t->name, "e4m3") != NULL)
        allowed = 0.03;
    if (relative > allowed)
        fail_msg("%s: relative error %g where %g is allowed", t->name, relative, allowed);
}

static void write_formats(bench *b, float *values, const float *importance)
{
    fill(values, ROW * ROWS, 7);
    assert_ok(set_string(b->writer, "general.architecture", "none"));
    announce(b->writer);
    int32_t rc;
    while ((rc = llm_writer_values(b->writer, values, ROW, importance)) == LLM_OK)
        assert_ok(llm_writer_values(b->writer, values + ROW, (ROWS - 1) * ROW, importance));
    assert_int_equal(rc, LLM_E_INVALID); /* no tensor wants more */
    assert_ok(llm_writer_finish(b->writer));
}

static void test_writer__encodes_every_format(void **state)
{
    (void)state;
    bench b;
    static float values[ROW * ROWS], ones[ROW];
    for (size_t i = 0; i < ROW; i++)
        ones[i] = 1;
    for (int weighted = 0; weighted < 2; weighted++) {
        bench_init(&b);
        write_formats(&b, values, weighted ? ones : NULL);
        llm_model *model = open_header(b.runtime, path);
        llm_tensor_info t = {.struct_size = sizeof t};
        uint64_t n = 0;
        for (; llm_model_tensor_at(model, n, &t) == LLM_OK; n++) {
            assert_string_equal(t.name, t.format);
            check_tensor(model, n, &t, values);
        }
        assert_true(n >= 20);
        llm_model_release(model);
        bench_finish(&b);
    }
}

/* Columns that were never seen have no importance: the numbers must stay numbers. */
static void test_writer__importance_of_nothing(void **state)
{
    (void)state;
    bench b;
    static float values[ROW * ROWS], zeros[ROW];
    bench_init(&b);
    write_formats(&b, values, zeros);
    llm_model *model = open_header(b.runtime, path);
    llm_tensor_info t = {.struct_size = sizeof t};
    for (uint64_t n = 0; llm_model_tensor_at(model, n, &t) == LLM_OK; n++) {
        float back[ROW * ROWS];
        assert_ok(llm_model_tensor_values(model, n, 0, ROW * ROWS, back));
        for (size_t i = 0; i < ROW * ROWS; i++)
            if (!isfinite(back[i]))
                fail_msg("%s: value %d came back as %g", t.name, (int)i, (double)back[i]);
    }
    llm_model_release(model);
    bench_finish(&b);
}

/* The same bytes as the writer puts into the file. */
static void test_writer__encodes_into_memory(void **state)
{
    (void)state;
    static float values[ROW];
    static unsigned char blocks[ROW * 4];
    float back[ROW], importance[ROW];
    static const uint64_t dims[] = {ROW, 1};
    uint64_t size = 0, bytes = 0;
    bench b;
    bench_init(&b);
    fill(values, ROW, 3);
    for (size_t i = 0; i < ROW; i++)
        importance[i] = (float)(i % 7);
    assert_ok(set_string(b.writer, "general.architecture", "none"));
    assert_ok(llm_writer_tensor(b.writer, "values", "q4_k", 2, dims));
    assert_ok(llm_writer_tensor(b.writer, "bytes", "q4_k", 2, dims));
    assert_ok(llm_writer_values(b.writer, values, ROW, importance));
    assert_status(llm_format_encode("q4_k", values, ROW, importance, NULL, 0, &size), LLM_E_BUFFER);
    assert_int_equal(size, ROW / 256 * 144);
    assert_ok(llm_format_encode("q4_k", values, ROW, importance, blocks, size, &bytes));
    assert_int_equal(bytes, size);
    assert_ok(llm_writer_bytes(b.writer, blocks, bytes));
    assert_ok(llm_writer_finish(b.writer));
    llm_model *model = open_header(b.runtime, path);
    float first[ROW];
    assert_ok(llm_model_tensor_values(model, 0, 0, ROW, first));
    assert_ok(llm_model_tensor_values(model, 1, 0, ROW, back));
    assert_memory_equal(first, back, sizeof back);
    llm_model_release(model);
    size = sizeof blocks;
    assert_status(llm_format_encode("q4_k", values, 255, NULL, blocks, size, &bytes),
                  LLM_E_INVALID);
    assert_status(llm_format_encode("q4_x", values, ROW, NULL, blocks, size, &bytes),
                  LLM_E_NOT_FOUND);
    assert_status(llm_format_encode("i32", values, ROW, NULL, blocks, size, &bytes),
                  LLM_E_UNSUPPORTED);
    assert_status(llm_format_encode("q4_k", NULL, ROW, NULL, blocks, size, &bytes), LLM_E_INVALID);
    importance[9] = -1;
    assert_status(llm_format_encode("q4_k", values, ROW, importance, blocks, size, &bytes),
                  LLM_E_INVALID);
    values[ROW - 1] = INFINITY;
    assert_status(llm_format_encode("q4_k", values, ROW, NULL, blocks, size, &bytes),
                  LLM_E_INVALID);
    assert_ok(llm_format_encode("q4_k", NULL, 0, NULL, NULL, 0, &bytes));
    bench_finish(&b);
}

/* --- metadata --------------------------------------------------------------------------------- */

static void test_writer__metadata_of_every_kind(void **state)
{
    (void)state;
    static const int32_t tokens[] = {5, -1};
    static const float floats[] = {0.25f};
    static const char *const strings[] = {"a", "", "c"};
    static const struct {
        llm_param param;
        uint32_t kind;
        int64_t integer;
        double number;
    } cases[] = {
        {{"int", LLM_KIND_INT, 0, {.i = 4000000000}}, LLM_KIND_INT, 4000000000, 4e9},
        {{"negative", LLM_KIND_INT, 0, {.i = -7}}, LLM_KIND_INT, -7, -7},
        {{"wide", LLM_KIND_INT, 0, {.i = INT64_MIN}}, LLM_KIND_INT, INT64_MIN, -0x1p63},
        {{"float", LLM_KIND_FLOAT, 0, {.f = 0.5}}, LLM_KIND_FLOAT, 0, 0.5},
        {{"bool", LLM_KIND_BOOL, 0, {.i = 2}}, LLM_KIND_BOOL, 1, 1},
        {{"tokens", LLM_KIND_TOKENS, 2, {.p = tokens}}, LLM_KIND_INT, 5, 5},
        {{"floats", LLM_KIND_FLOATS, 1, {.p = floats}}, LLM_KIND_FLOAT, 0, 0.25},
    };
    bench b;
    bench_init(&b);
    assert_ok(set_string(b.writer, "general.architecture", "none"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_ok(llm_writer_set(b.writer, &cases[i].param));
    assert_ok(llm_writer_strings(b.writer, "strings", strings, 3));
    assert_ok(llm_writer_finish(b.writer));
    llm_model *model = open_header(b.runtime, path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        llm_metadata v = {.struct_size = sizeof v};
        assert_ok(llm_model_metadata_find(model, cases[i].param.key, 0, &v));
        assert_int_equal(v.kind, cases[i].kind);
        assert_int_equal(v.integer, cases[i].integer);
        assert_true(v.number == cases[i].number);
        assert_int_equal(v.count, cases[i].param.count > 0 ? cases[i].param.count : 1);
    }
    llm_metadata v = {.struct_size = sizeof v};
    assert_ok(llm_model_metadata_find(model, "strings", 2, &v));
    assert_int_equal(v.count, 3);
    assert_string_equal(v.text, "c");
    llm_model_release(model);
    bench_finish(&b);
}

static void test_writer__copies_a_model(void **state)
{
    (void)state;
    bench b;
    bench_init(&b);
    llm_model *from =
        open_header(b.runtime, test_data_path("models/stories260K/stories260K-q8_0-v3.gguf"));
    llm_model_info info = {.struct_size = sizeof info};
    assert_ok(llm_model_get_info(from, &info));
    for (uint64_t i = 0; i < info.n_metadata; i++)
        assert_ok(llm_writer_copy(b.writer, from, i));
    assert_status(llm_writer_copy(b.writer, from, 0), LLM_E_INVALID); /* there already */
    assert_status(llm_writer_copy(b.writer, from, info.n_metadata), LLM_E_NOT_FOUND);
    llm_tensor_info t = {.struct_size = sizeof t};
    for (uint64_t i = 0; i < info.n_tensors; i++) {
        assert_ok(llm_model_tensor_at(from, i, &t));
        assert_ok(llm_writer_tensor(b.writer, t.name, "f32", t.n_dims, t.dims));
    }
    static float values[2][64 * 512];
    for (uint64_t i = 0; i < info.n_tensors; i++) {
        assert_ok(llm_model_tensor_at(from, i, &t));
        uint64_t count = t.dims[0] * t.dims[1];
        assert_ok(llm_model_tensor_values(from, i, 0, count, values[0]));
        assert_ok(llm_writer_values(b.writer, values[0], count, NULL));
    }
    assert_ok(llm_writer_finish(b.writer));
    llm_model *to = open_header(b.runtime, path);
    llm_model_info copied = {.struct_size = sizeof copied};
    assert_ok(llm_model_get_info(to, &copied));
    assert_int_equal(copied.n_metadata, info.n_metadata);
    assert_int_equal(copied.n_vocab, 512);
    for (uint64_t i = 0; i < info.n_tensors; i++) {
        assert_ok(llm_model_tensor_at(to, i, &t));
        uint64_t count = t.dims[0] * t.dims[1];
        assert_ok(llm_model_tensor_values(from, i, 0, count, values[0]));
        assert_ok(llm_model_tensor_values(to, i, 0, count, values[1]));
        assert_memory_equal(values[0], values[1], count * sizeof(float));
    }
    llm_model_release(from);
    llm_model_release(to);
    bench_finish(&b);
}

/* --- misuse ----------------------------------------------------------------------------------- */

static void test_writer__refuses_misuse(void **state)
{
    (void)state;
    static const uint64_t dims[] = {64, 2};
    static const char *const hole[] = {"a", NULL};
    float values[128] = {0};
    bench b;
    bench_init(&b);
    llm_writer *w = b.writer, *other;
    llm_param no_kind = {"k", 99, 0, {.i = 1}}, no_key = {NULL, LLM_KIND_INT, 0, {.i = 1}};
    llm_param no_items = {"k", LLM_KIND_TOKENS, 3, {.p = NULL}};
    assert_status(llm_writer_create(b.runtime, path, "onnx", &other), LLM_E_UNSUPPORTED);
    assert_status(llm_writer_create(NULL, path, "gguf", &other), LLM_E_INVALID);
    assert_status(llm_writer_create(b.runtime, "/nonexistent/x", "gguf", &other), LLM_E_IO);
    assert_status(llm_writer_create(b.runtime, "", "gguf", &other), LLM_E_INVALID);
    assert_status(llm_writer_set(w, &no_kind), LLM_E_INVALID);
    assert_status(llm_writer_set(w, &no_key), LLM_E_INVALID);
    assert_status(llm_writer_set(w, &no_items), LLM_E_INVALID);
    assert_status(set_string(w, "k", NULL), LLM_E_INVALID);
    assert_status(llm_writer_strings(w, "k", hole, 2), LLM_E_INVALID);
    assert_status(llm_writer_tensor(w, "t", "q4_x", 2, dims), LLM_E_NOT_FOUND);
    assert_status(llm_writer_tensor(w, "t", "q4_k", 2, dims), LLM_E_INVALID);
    assert_ok(llm_writer_tensor(w, "t", "q8_0", 2, dims));
    assert_ok(llm_writer_tensor(w, "i", "i32", 1, dims));
    assert_status(llm_writer_values(w, values, 32, NULL), LLM_E_INVALID);  /* half a row */
    assert_status(llm_writer_values(w, values, 192, NULL), LLM_E_INVALID); /* too many */
    values[63] = NAN;
    assert_status(llm_writer_values(w, values, 64, NULL), LLM_E_INVALID);
    values[63] = 1;
    float importance[64] = {-1};
    assert_status(llm_writer_values(w, values, 64, importance), LLM_E_INVALID);
    assert_ok(llm_writer_values(w, values, 64, NULL));
    assert_ok(llm_writer_bytes(w, values, 34));
    assert_status(llm_writer_values(w, values, 64, NULL), LLM_E_STATE); /* in the middle of a row */
    assert_ok(llm_writer_bytes(w, values, 34));
    assert_status(llm_writer_values(w, values, 64, NULL), LLM_E_UNSUPPORTED); /* of i32 */
    assert_status(llm_writer_finish(w), LLM_E_STATE);
    assert_status(llm_writer_bytes(w, values, 257), LLM_E_INVALID);
    assert_ok(llm_writer_bytes(w, values, 256));
    assert_ok(llm_writer_finish(w));
    llm_writer_destroy(NULL);
    bench_finish(&b);
}

/* An allocator of the host that calls back into the writer, as a second thread might just then. */
typedef struct intruder {
    llm_allocator memory;
    llm_writer *writer;
    int32_t seen;
} intruder;

static void *intrude(void *user, uint64_t size, uint64_t align)
{
    intruder *in = user;
    if (in->writer != NULL)
        in->seen = llm_writer_finish(in->writer);
    return in->memory.alloc(in->memory.user, size, align);
}

static void pass_on(void *user, void *block, uint64_t size)
{
    intruder *in = user;
    in->memory.free(in->memory.user, block, size);
}

static void test_writer__serves_one_at_a_time(void **state)
{
    (void)state;
    test_memory m;
    test_memory_init(&m);
    intruder in = {test_memory_host(&m), NULL, LLM_OK};
    llm_runtime *runtime;
    llm_runtime_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = sizeof params;
    params.allocator = (llm_allocator){&in, intrude, pass_on};
    snprintf(path, sizeof path, "%s", test_scratch("busy.gguf"));
    assert_ok(llm_runtime_create(&params, &runtime));
    llm_writer *w;
    assert_ok(llm_writer_create(runtime, path, "gguf", &w));
    in.writer = w;
    assert_ok(set_string(w, "key", "value"));
    assert_int_equal(in.seen, LLM_E_BUSY);
    in.writer = NULL;
    assert_ok(llm_writer_finish(w));
    llm_writer_destroy(w);
    llm_runtime_destroy(runtime);
    test_memory_check(&m);
    remove(path);
}

static int32_t write_small(llm_writer *w)
{
    static const uint64_t dims[] = {64};
    static const char *const strings[] = {"a", "b"};
    float values[64] = {1};
    LM_TRY(set_string(w, "general.architecture", "none"));
    LM_TRY(llm_writer_strings(w, "strings", strings, 2));
    LM_TRY(llm_writer_tensor(w, "t", "q8_0", 1, dims));
    LM_TRY(llm_writer_values(w, values, 64, NULL));
    return llm_writer_finish(w);
}

static void test_writer__every_allocation_refused(void **state)
{
    (void)state;
    bench b;
    uint64_t refused = 0;
    for (int32_t rc = LLM_E_MEMORY; rc != LLM_OK; refused++) {
        bench_init(&b);
        llm_writer_destroy(b.writer);
        b.writer = NULL;
        b.m.fail_at = b.m.calls + refused + 1;
        rc = llm_writer_create(b.runtime, path, "gguf", &b.writer);
        if (rc == LLM_OK)
            rc = write_small(b.writer);
        if (rc != LLM_OK)
            assert_int_equal(rc, LLM_E_MEMORY);
        bench_finish(&b);
    }
    assert_true(refused > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer__lists_formats),
        cmocka_unit_test(test_writer__encodes_every_format),
        cmocka_unit_test(test_writer__importance_of_nothing),
        cmocka_unit_test(test_writer__encodes_into_memory),
        cmocka_unit_test(test_writer__metadata_of_every_kind),
        cmocka_unit_test(test_writer__copies_a_model),
        cmocka_unit_test(test_writer__refuses_misuse),
        cmocka_unit_test(test_writer__serves_one_at_a_time),
        cmocka_unit_test(test_writer__every_allocation_refused),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
