/* llm-quantize.c - stores the weights of a model file in another format. Metadata is copied; values
 * go through floats, so a file that is quantised already loses a second time. */
#include "mixture.h"
#include "tool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SLICE        ((uint64_t)4 << 20) /* values that are on their way at once */
#define MOST_WORKERS 64u

typedef struct options {
    const char *words[3]; /* IN OUT FORMAT */
    const char *output, *embedding;
    tool_texts keep;
    uint64_t threads;
} options;

typedef struct job {
    llm_model *model;
    llm_writer *writer;
    llm_tensor_info *tensors; /* [n], each with the format it is going to have */
    uint64_t n, done, total, bytes_in, bytes_out;
    unsigned workers;
    float *values;
    unsigned char *blocks;
} job;

/* Whole rows or blocks of one tensor, for one thread. */
typedef struct piece {
    pthread_t thread;
    const job *job;
    uint64_t tensor, first, count, capacity;
    float *values;
    unsigned char *blocks;
    int32_t status;
    char message[512];
} piece;

static options parse(int argc, char **argv)
{
    static options o = {.threads = 1};
    const tool_option list[] = {
        {"--keep", TOOL_TEXTS, &o.keep, "NAME=FORMAT",
         "another format for matrices of this name, in which * stands for anything", 0},
        {"--output", TOOL_TEXT, &o.output, "FORMAT", "another format for the output matrix", 0},
        {"--embedding", TOOL_TEXT, &o.embedding, "FORMAT", "another format for token embeddings",
         0},
        {"-t", TOOL_COUNT, &o.threads, "N", "threads [1]", MOST_WORKERS},
        {0},
    };
    const tool_program program = {
        "llm-quantize",
        "IN OUT FORMAT [--keep NAME=FORMAT ...] [options]",
        "Stores the weights of a model file in another format: f32, f16, bf16, q8_0, q4_k, "
        "iq4_xs,\n"
        "... or a mixture: q3_k_s, q3_k_m, q3_k_l, q4_k_s, q4_k_m, q5_k_s, q5_k_m.\n"
        "Vectors, norms and the like are kept in f32. A matrix whose rows are no whole blocks of "
        "its\n"
        "format is stored in q8_0, or in f16 when it does not fit that either.\n"
        "Best made from f32, f16 or bf16: what is quantised already loses a second time.",
        list,
        o.words,
        3};
    tool_parse(&program, argc, argv);
    o.threads = o.threads < 1 ? 1 : o.threads;
    return o;
}

static const char *want_format(const char *name)
{
    const char *found = mixture_find(name);
    if (found == NULL)
        tool_misused("'%s' is no storage format that can be written", name);
    return found;
}

/* --- choosing formats ------------------------------------------------------------------------- */

/* '*' stands for anything. */
static bool matches(const char *pattern, size_t size, const char *name)
{
    size_t star = SIZE_MAX, from = 0, p = 0, n = 0;
    while (name[n] != '\0') {
        if (p < size && pattern[p] == '*') {
            star = p++;
            from = n;
        } else if (p < size && pattern[p] == name[n]) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++from;
        } else {
            return false;
        }
    }
    while (p < size && pattern[p] == '*')
        p++;
    return p == size;
}

/* A pattern means matrices; a name means what it names. */
static const char *kept(const options *o, const llm_tensor_info *t, bool *used)
{
    bool small = mixture_is_small(t->name, t->n_dims);
    for (uint32_t i = 0; i < o->keep.count; i++) {
        const char *text = o->keep.items[i], *equals = strrchr(text, '=');
        if (equals == NULL)
            tool_misused("--keep takes NAME=FORMAT, not '%s'", text);
        const char *format = want_format(equals + 1);
        size_t size = (size_t)(equals - text);
        if (small && memchr(text, '*', size) != NULL)
            continue;
        if (matches(text, size, t->name)) {
            used[i] = true;
            return format;
        }
    }
    return NULL;
}

static const char *choose(const options *o, const mixture_model *shape, const llm_tensor_info *t,
                          bool *used)
{
    const char *format = kept(o, t, used);
    if (format == NULL && mixture_is_small(t->name, t->n_dims))
        return "f32";
    if (format == NULL && strcmp(t->name, "output.weight") == 0)
        format = o->output;
    if (format == NULL && strcmp(t->name, "token_embd.weight") == 0)
        format = o->embedding != NULL ? o->embedding : shape->tied ? o->output : NULL;
    if (format == NULL)
        format = mixture_choose(o->words[2], shape, t->name);
    return mixture_fit(format, t->dims[0]);
}

static uint64_t number(const llm_model *model, const char *architecture, const char *name)
{
    char key[128];
    llm_metadata v = {.struct_size = sizeof v};
    snprintf(key, sizeof key, "%s.%s", architecture, name);
    return llm_model_metadata_find(model, key, 0, &v) == LLM_OK && v.integer > 0
               ? (uint64_t)v.integer
               : 0;
}

static void take_tensors(job *j, const options *o, const llm_model_info *info)
{
    mixture_model shape = {(uint32_t)number(j->model, info->architecture, "block_count"),
                           (uint32_t)number(j->model, info->architecture, "expert_count"), true};
    bool used[TOOL_MOST_TEXTS] = {false};
    j->n = info->n_tensors;
    j->tensors = calloc(j->n + 1, sizeof *j->tensors);
    if (j->tensors == NULL)
        tool_fail("no memory for %llu tensors", (unsigned long long)j->n);
    for (uint64_t i = 0; i < j->n; i++) {
        j->tensors[i].struct_size = sizeof j->tensors[i];
        tool_check(llm_model_tensor_at(j->model, i, &j->tensors[i]));
        if (strcmp(j->tensors[i].name, "output.weight") == 0)
            shape.tied = false;
    }
    for (uint64_t i = 0; i < j->n; i++) {
        llm_tensor_info *t = &j->tensors[i];
        j->bytes_in += t->bytes;
        t->format = choose(o, &shape, t, used);
        j->total += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
        tool_check(llm_writer_tensor(j->writer, t->name, t->format, t->n_dims, t->dims));
    }
    for (uint32_t i = 0; i < o->keep.count; i++)
        if (!used[i])
            tool_fail("--keep %s: there is no such tensor", o->keep.items[i]);
}

/* All as it is, but for what tells the format of the weights. */
static void copy_metadata(job *j, const char *format)
{
    int type = mixture_file_type(format);
    llm_metadata v = {.struct_size = sizeof v};
    for (uint64_t i = 0; llm_model_metadata_at(j->model, i, 0, &v) == LLM_OK; i++)
        if (strcmp(v.key, "general.file_type") != 0)
            tool_check(llm_writer_copy(j->writer, j->model, i));
    llm_param p = {"general.file_type", LLM_KIND_INT, 0, {.i = type}};
    if (type >= 0)
        tool_check(llm_writer_set(j->writer, &p));
}

/* --- encoding --------------------------------------------------------------------------------- */

static void *encode(void *arg)
{
    piece *p = arg;
    uint64_t size;
    p->status = llm_model_tensor_values(p->job->model, p->tensor, p->first, p->count, p->values);
    if (p->status >= 0)
        p->status = llm_format_encode(p->job->tensors[p->tensor].format, p->values, p->count, NULL,
                                      p->blocks, p->capacity, &size);
    if (p->status < 0)
        snprintf(p->message, sizeof p->message, "%s", llm_last_error());
    return NULL;
}

/* Values [first, first + count) of a tensor, in `workers` pieces of whole blocks of both formats.
 */
static uint64_t encode_slice(job *j, uint64_t tensor, uint64_t first, uint64_t count)
{
    static piece pieces[MOST_WORKERS];
    llm_format_info to = {.struct_size = sizeof to};
    tool_check(llm_format_find(j->tensors[tensor].format, &to));
    uint64_t unit = j->tensors[tensor].dims[0], at = 0;
    uint64_t part = (count / unit + j->workers - 1) / j->workers * unit;
    unsigned n = 0, started = 0;
    for (; at < count; n++, at += part) {
        uint64_t here = count - at < part ? count - at : part;
        pieces[n] = (piece){.job = j,
                            .tensor = tensor,
                            .first = first + at,
                            .count = here,
                            .capacity = here / to.block * to.bytes,
                            .values = j->values + at,
                            .blocks = j->blocks + at / to.block * to.bytes};
    }
    for (; started + 1 < n; started++)
        if (pthread_create(&pieces[started].thread, NULL, encode, &pieces[started]) != 0)
            break;
    for (unsigned i = started; i < n; i++)
        encode(&pieces[i]);
    for (unsigned i = 0; i < started; i++)
        pthread_join(pieces[i].thread, NULL);
    for (unsigned i = 0; i < n; i++)
        if (pieces[i].status < 0)
            tool_fail("%s: %s", j->tensors[tensor].name, pieces[i].message);
    return count / to.block * to.bytes;
}

static void encode_tensor(job *j, uint64_t tensor)
{
    const llm_tensor_info *t = &j->tensors[tensor];
    uint64_t count = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    uint64_t slice = SLICE / t->dims[0] * t->dims[0];
    if (slice == 0)
        tool_fail("%s: a row of %llu values is too long", t->name, (unsigned long long)t->dims[0]);
    for (uint64_t at = 0; at < count; at += slice) {
        uint64_t here = count - at < slice ? count - at : slice;
        uint64_t bytes = encode_slice(j, tensor, at, here);
        tool_check(llm_writer_bytes(j->writer, j->blocks, bytes));
        j->bytes_out += bytes;
        j->done += here;
        tool_progress("encoding", j->done, j->total);
    }
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    job j = {.workers = (unsigned)o.threads};
    llm_runtime *runtime;
    llm_model_params mp = {.struct_size = sizeof mp, .load = LLM_LOAD_HEADER};
    llm_model_info info = {.struct_size = sizeof info};
    o.words[2] = want_format(o.words[2]);
    o.output = o.output == NULL ? NULL : want_format(o.output);
    o.embedding = o.embedding == NULL ? NULL : want_format(o.embedding);
    j.values = malloc(SLICE * sizeof *j.values);
    j.blocks = malloc(SLICE * sizeof *j.values);
    if (j.values == NULL || j.blocks == NULL)
        tool_fail("no memory for the values");
    double start = tool_now();
    tool_check(llm_runtime_create(NULL, &runtime));
    tool_check(llm_model_open(runtime, o.words[0], &mp, &j.model));
    tool_check(llm_model_get_info(j.model, &info));
    tool_check(llm_writer_create(runtime, o.words[1], "gguf", &j.writer));
    tool_unfinished(j.writer);
    copy_metadata(&j, o.words[2]);
    take_tensors(&j, &o, &info);
    for (uint64_t i = 0; i < j.n; i++)
        encode_tensor(&j, i);
    tool_check(llm_writer_finish(j.writer));
    tool_unfinished(NULL);
    char before[32], after[32];
    fprintf(stderr, "%llu tensors, %s before, %s after: %.2f bits per weight, in %.1f s\n",
            (unsigned long long)j.n, tool_bytes(j.bytes_in, before), tool_bytes(j.bytes_out, after),
            (double)j.bytes_out * 8 / (double)j.total, tool_now() - start);
    llm_writer_destroy(j.writer);
    llm_model_release(j.model);
    llm_runtime_destroy(runtime);
    free(j.tensors);
    free(j.values);
    free(j.blocks);
    return 0;
}
