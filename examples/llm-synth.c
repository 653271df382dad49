/* llm-synth.c - a model of random weights in a real shape, for tests and measurements. What is
 * random: for each format and scale one tile of normal numbers is encoded; every matrix is made of
 * blocks drawn from that tile, independently. So blocks repeat across a file, but rows do not. */
#include "mixture.h"
#include "synth.h"
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TILE       ((uint64_t)1 << 18) /* values in a tile */
#define RUN        32u /* values drawn together, at least; formats know longer blocks */
#define BUFFER     ((size_t)1 << 20)
#define MOST_TILES 64u

typedef struct tile {
    const char *format;
    double deviation;
    llm_format_info info;
    uint64_t run, runs; /* values per run; runs in the tile */
    unsigned char *blocks;
} tile;

typedef struct synth {
    llm_writer *writer;
    uint64_t random;
    tile tiles[MOST_TILES];
    uint32_t n_tiles;
    unsigned char *buffer; /* [BUFFER] on its way to the file */
    size_t used;
    uint64_t done, total, bytes;
} synth;

/* --- random numbers --------------------------------------------------------------------------- */

static uint64_t next(synth *s)
{
    uint64_t z = s->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double uniform(synth *s)
{
    return (double)(next(s) >> 11) * 0x1p-53;
}

/* The sum of twelve: normal enough, and the same on every machine. */
static double normal(synth *s)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += uniform(s);
    return sum;
}

static float draw(synth *s, const synth_tensor *t)
{
    double step;
    switch (t->fill) {
    case SYNTH_ONES:
        return (float)(1 + 0.05 * normal(s));
    case SYNTH_DECAYS: /* what a scan forgets per unit of time */
        return (float)(-1 - 15 * uniform(s));
    case SYNTH_STEPS: /* times from 0.001 to 0.1, as they are before softplus */
        step = 0.001 * pow(100, uniform(s));
        return (float)(step + log(-expm1(-step)));
    case SYNTH_NORMAL:
        break;
    }
    return (float)(t->deviation * normal(s));
}

/* --- writing ---------------------------------------------------------------------------------- */

static const tile *find_tile(synth *s, const synth_tensor *t)
{
    for (uint32_t i = 0; i < s->n_tiles; i++)
        if (s->tiles[i].deviation == t->deviation && strcmp(s->tiles[i].format, t->format) == 0)
            return &s->tiles[i];
    if (s->n_tiles == MOST_TILES)
        tool_fail("this shape needs more than %u kinds of matrices", MOST_TILES);
    tile *made = &s->tiles[s->n_tiles++];
    made->format = t->format;
    made->deviation = t->deviation;
    made->info.struct_size = sizeof made->info;
    tool_check(llm_format_find(t->format, &made->info));
    made->run = made->info.block < RUN ? RUN : made->info.block;
    made->runs = TILE / made->run;
    uint64_t values = made->runs * made->run, size;
    uint64_t bytes = values / made->info.block * made->info.bytes;
    float *floats = malloc(values * sizeof *floats);
    made->blocks = malloc(bytes);
    if (floats == NULL || made->blocks == NULL)
        tool_fail("no memory for a tile of %s", t->format);
    for (uint64_t i = 0; i < values; i++)
        floats[i] = draw(s, t);
    tool_check(llm_format_encode(t->format, floats, values, NULL, made->blocks, bytes, &size));
    free(floats);
    return made;
}

static void flush(synth *s)
{
    tool_check(llm_writer_bytes(s->writer, s->buffer, s->used));
    s->bytes += s->used;
    s->used = 0;
    tool_progress("writing", s->done, s->total);
}

static void write_row(synth *s, const tile *from, uint64_t width)
{
    size_t run_bytes = from->run / from->info.block * from->info.bytes;
    for (uint64_t at = 0; at < width; at += from->run) {
        uint64_t here = width - at < from->run ? width - at : from->run;
        size_t bytes = here / from->info.block * from->info.bytes;
        if (bytes > BUFFER - s->used)
            flush(s);
        memcpy(s->buffer + s->used, from->blocks + next(s) % from->runs * run_bytes, bytes);
        s->used += bytes;
    }
    s->done += width;
}

/* Few numbers, each of its own. */
static void write_values(synth *s, const synth_tensor *t, uint64_t count)
{
    float *values = malloc(count * sizeof *values);
    if (values == NULL)
        tool_fail("no memory for %s", t->name);
    for (uint64_t i = 0; i < count; i++)
        values[i] = draw(s, t);
    flush(s);
    tool_check(llm_writer_values(s->writer, values, count, NULL));
    s->bytes += count * sizeof *values;
    s->done += count;
    free(values);
}

static uint64_t rows_of(const synth_tensor *t)
{
    uint64_t rows = 1;
    for (uint32_t i = 1; i < t->n_dims; i++)
        rows *= t->dims[i];
    return rows;
}

static void write_tensor(synth *s, const synth_tensor *t)
{
    uint64_t rows = rows_of(t);
    if (t->fill != SYNTH_NORMAL || t->n_dims == 1) {
        write_values(s, t, rows * t->dims[0]);
        return;
    }
    const tile *from = find_tile(s, t);
    for (uint64_t i = 0; i < rows; i++)
        write_row(s, from, t->dims[0]);
}

static void announce(synth *s, const synth_shape *shape, const char *format, synth_tensor *tensors,
                     uint64_t n)
{
    mixture_model model = {shape->layers, shape->experts, shape->tied != 0};
    for (uint64_t i = 0; i < n; i++) {
        synth_tensor *t = &tensors[i];
        t->format = mixture_is_small(t->name, t->n_dims)
                        ? "f32"
                        : mixture_fit(mixture_choose(format, &model, t->name), t->dims[0]);
        s->total += rows_of(t) * t->dims[0];
        tool_check(llm_writer_tensor(s->writer, t->name, t->format, t->n_dims, t->dims));
    }
}

int main(int argc, char **argv)
{
    static const char *words[3]; /* SHAPE FORMAT OUT */
    static synth s;
    const tool_option list[] = {
        {"--seed", TOOL_COUNT, &s.random, "S", "the same seed gives the same file [0]", 9e15},
        {0},
    };
    const tool_program program = {
        "llm-synth",
        "SHAPE FORMAT OUT [--seed S]",
        "Writes a model of random weights: it computes like a real one and says nothing.\n\n"
        "SHAPE is 160M, 1.1B, 3B, 8B (llama), moe (8 experts, 1 B in all), mamba2 (780M), tiny, "
        "or\n"
        "a list of what differs from one of them or from tiny: 8B,layers=4 or\n"
        "arch=llama,width=256,layers=4,heads=4,kv=2,ff=768,vocab=4096. All keys: arch (llama,\n"
        "mamba2), width, layers, heads, kv, dim (of a head), ff, vocab, context, experts, used, "
        "tied,\n"
        "state, conv, inner, groups.\n"
        "FORMAT is a storage format (f32, f16, q8_0, q4_k, iq2_xs, ...) or a mixture (q4_k_m, "
        "...).\n"
        "Norms and the like are f32; rows that are no whole blocks are q8_0, or else f16.",
        list,
        words,
        3};
    tool_parse(&program, argc, argv);
    synth_shape shape = synth_parse(words[0]);
    const char *format = mixture_find(words[1]);
    if (format == NULL)
        tool_misused("'%s' is no storage format that can be written", words[1]);
    llm_runtime *runtime;
    uint64_t n;
    double start = tool_now();
    synth_tensor *tensors = synth_tensors(&shape, &n);
    s.buffer = malloc(BUFFER);
    if (s.buffer == NULL)
        tool_fail("no memory to write with");
    tool_check(llm_runtime_create(NULL, &runtime));
    tool_check(llm_writer_create(runtime, words[2], "gguf", &s.writer));
    tool_unfinished(s.writer);
    synth_metadata(&shape, s.writer, format);
    announce(&s, &shape, format, tensors, n);
    for (uint64_t i = 0; i < n; i++)
        write_tensor(&s, &tensors[i]);
    flush(&s);
    tool_check(llm_writer_finish(s.writer));
    tool_unfinished(NULL);
    char text[32];
    fprintf(stderr, "%llu tensors, %.1f M parameters, %s, in %.1f s\n", (unsigned long long)n,
            (double)s.total / 1e6, tool_bytes(s.bytes, text), tool_now() - start);
    for (uint32_t i = 0; i < s.n_tiles; i++)
        free(s.tiles[i].blocks);
    free(s.buffer);
    free(tensors);
    llm_writer_destroy(s.writer);
    llm_runtime_destroy(runtime);
    return 0;
}
