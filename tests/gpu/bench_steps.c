/* bench_steps.c - multiplications and attention alone, through the interface of a backend:
 *
 *   bench_steps linear|attn|device [--backend=NAME] [--modules=FOLDER] [--formats=A,B,...] [--rows=A,B,...]
 *               [--exact] [--small]
 *
 * linear: the matrices of a Llama layer of 8B by rows of activations, rising. attn: one token and a chunk of a
 * prompt over pages in random order. Enough copies of everything lie beside each other that no cache of
 * the device holds them from run to run. device: only its name. Each finding is a line of JSON, printed at once. --small: shapes
 * and times for trying the program. */
#include "backend/registry.h"
#include "base/os.h"
#include "base/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TILE        ((size_t)1 << 16) /* values encoded; what is larger repeats them */
#define MOST_COPIES 32u
#define PAGE        32u

static struct {
    const char *what, *backend, *modules, *formats;
    bool exact, small;
} o = {.backend = "cuda", .formats = "bf16,q8_0,q4_k,q6_k"};

static const lm_backend *backend;
static lm_device *device;
static lm_queue *queue;

static void fail(const char *what)
{
    fprintf(stderr, "bench_steps: %s\n", what);
    exit(1);
}

static void check(int32_t status)
{
    if (status < 0)
        fail(lm_message());
}

static void *grab(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (p == NULL)
        fail("no memory");
    return p;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static float next_value(uint64_t *state)
{
    return (float)((double)(next_random(state) >> 11) * 0x1p-53 * 2 - 1);
}

/* `bytes` of encoded random values. */
static unsigned char *encoded(const lm_format *format, size_t bytes)
{
    size_t tile = TILE / format->block * format->bytes;
    float *values = grab(TILE, sizeof *values);
    unsigned char *out = grab(bytes + tile, 1);
    uint64_t random = 7;
    for (size_t i = 0; i < TILE; i++)
        values[i] = next_value(&random);
    format->encode(values, NULL, out, TILE);
    for (size_t at = tile; at < bytes; at += tile)
        memcpy(out + at, out, bytes - at < tile ? bytes - at : tile);
    free(values);
    return out;
}

/* --- a network of equal steps, side by side --------------------------------------------------- */

typedef struct bench {
    lm_allocator alloc;
    lm_network network;
    lm_graph graph;
    lm_builder b;
    uint32_t copies, input, outputs[MOST_COPIES];
    lm_weight *weights[MOST_COPIES];
    lm_cache *cache;
    uint32_t members[MOST_COPIES], *pages, n_pages;
    lm_program *program;
    lm_run run;
} bench;

static void begin(bench *t, uint32_t copies, uint32_t width)
{
    memset(t, 0, sizeof *t);
    lm_allocator_init(&t->alloc, NULL);
    lm_network_init(&t->network, &t->alloc);
    lm_graph_init(&t->graph, "decode");
    lm_builder_init(&t->b, &t->network, &t->graph);
    t->copies = copies;
    t->input = lm_build_slot(&t->b, width, LM_ROWS_ALL, LM_SLOT_F32);
}

static void compile(bench *t, uint32_t rows, uint32_t context)
{
    lm_program_desc desc = {.network = &t->network,
                            .graph = &t->graph,
                            .steps = t->graph.steps,
                            .n_steps = t->graph.n_steps,
                            .inputs = &t->input,
                            .n_inputs = 1,
                            .outputs = t->outputs,
                            .n_outputs = t->copies,
                            .weights = t->weights,
                            .caches = &t->cache,
                            .limits = {rows, 1, 1},
                            .context = context,
                            .numerics = o.exact ? LM_NUMERICS_EXACT : LM_NUMERICS_FAST,
                            .fused = true};
    t->graph.result = t->outputs[0];
    check(lm_builder_status(&t->b));
    check(lm_graph_check(&t->network, &t->graph));
    check(backend->program_create(device, &desc, &t->program));
}

static void write_input(bench *t, uint32_t rows)
{
    size_t count = (size_t)rows * t->graph.slots[t->input].width;
    float *values = grab(count, sizeof *values);
    uint64_t random = 3;
    for (size_t i = 0; i < count; i++)
        values[i] = next_value(&random);
    check(backend->slot_write(device, queue, t->program, t->input, values, count * sizeof *values));
    free(values);
}

static void end(bench *t)
{
    backend->program_destroy(device, t->program);
    if (t->cache != NULL)
        backend->cache_destroy(device, t->cache);
    for (size_t i = 0; i < t->network.n_weights; i++)
        backend->weight_destroy(device, t->weights[i]);
    lm_graph_finish(&t->graph, &t->alloc);
    lm_network_finish(&t->network);
    free(t->pages);
}

/* --- runs ------------------------------------------------------------------------------------- */

static void run_times(bench *t, uint32_t times)
{
    uint64_t ticket;
    for (uint32_t i = 0; i < times; i++)
        check(backend->program_run(device, queue, t->program, &t->run));
    check(backend->queue_signal(device, queue, &ticket));
    check(backend->queue_wait(device, queue, ticket, UINT64_MAX));
}

/* Seconds of one step: the best of a few series, each some milliseconds long. */
static double seconds_of(bench *t)
{
    const double series = o.small ? 1e-4 : 8e-3;
    run_times(t, 2);
    uint64_t start = lm_os_now_ns();
    run_times(t, 1);
    double once = (double)(lm_os_now_ns() - start) * 1e-9, best = once;
    uint32_t times = once < series ? (uint32_t)(series / once) + 1 : 1;
    for (uint32_t i = 0; i < (o.small ? 1 : 4); i++) {
        start = lm_os_now_ns();
        run_times(t, times);
        best = fmin(best, (double)(lm_os_now_ns() - start) * 1e-9 / times);
    }
    return best / t->copies;
}

/* `rows` rows behind `length` tokens of one sequence. */
static double measure(bench *t, uint32_t rows, uint32_t length)
{
    int32_t *tokens = grab(rows, sizeof *tokens);
    uint32_t *positions = grab((size_t)rows * 4, sizeof *positions);
    uint32_t *slots = grab(rows, sizeof *slots), *seq = grab(rows, sizeof *seq);
    uint32_t *ends = grab(rows, sizeof *ends), wanted = rows - 1;
    lm_run_seq one = {.n_rows = rows, .length = length};
    if (t->cache != NULL)
        one.groups[0] =
            (lm_run_pages){.pages = t->pages, .n_pages = (length + rows + PAGE - 1) / PAGE};
    for (uint32_t i = 0; i < rows; i++) {
        slots[i] = positions[4 * (size_t)i] = length + i;
        ends[i] = length + i + 1;
    }
    t->run = (lm_run){.struct_size = sizeof t->run,
                      .n_rows = rows,
                      .n_seqs = 1,
                      .n_wanted = 1,
                      .tokens = tokens,
                      .positions = positions,
                      .slots = slots,
                      .row_seq = seq,
                      .visible_end = ends,
                      .wanted = &wanted,
                      .seqs = &one};
    double seconds = seconds_of(t);
    free(tokens);
    free(positions);
    free(slots);
    free(seq);
    free(ends);
    return seconds;
}

static uint32_t copies_of(uint64_t bytes)
{
    const uint64_t span = o.small ? 1 : (uint64_t)300 << 20; /* larger than any cache */
    uint64_t copies = span / bytes + 1;
    return copies > MOST_COPIES ? MOST_COPIES : (uint32_t)copies;
}

/* --- multiplications -------------------------------------------------------------------------- */

typedef struct matrix {
    const char *name;
    uint32_t rows, cols;
} matrix;

static const matrix matrices[] = {
    {"q, k, v", 6144, 4096}, {"o", 4096, 4096}, {"gate, up", 28672, 4096}, {"down", 4096, 14336}};
static const matrix small_matrices[] = {{"small", 192, 256}};

static struct {
    uint32_t count, rows[16];
} runs = {11, {1, 2, 4, 8, 16, 64, 128, 512, 1024, 2048, 4096}};

static void parse_rows(const char *at)
{
    char *end;
    for (runs.count = 0; runs.count < sizeof runs.rows / sizeof runs.rows[0]; runs.count++) {
        runs.rows[runs.count] = (uint32_t)strtoul(at, &end, 10);
        if (end == at)
            break;
        at = *end == ',' ? end + 1 : end;
    }
    if (runs.count == 0 || *at != '\0')
        fail("--rows has numbers with commas between them");
}

static void linear(const lm_format *format, const matrix *m)
{
    bench t;
    uint64_t bytes = 0;
    uint32_t most = o.small ? 16 : runs.rows[runs.count - 1];
    if (m->cols % format->block != 0 ||
        !lm_format_row_bytes(format, (uint64_t)m->rows * m->cols, &bytes))
        fail("a format that these matrices do not have");
    begin(&t, copies_of(bytes), m->cols);
    unsigned char *data = encoded(format, (size_t)bytes);
    for (uint32_t i = 0; i < t.copies; i++) {
        lm_weight_desc desc = {.name = m->name,
                               .format = format,
                               .rows = m->rows,
                               .cols = m->cols,
                               .experts = 1,
                               .uses = LM_USE_MATMUL,
                               .bytes = bytes};
        lm_weight_data source = {data, false};
        lm_linear by = {lm_build_weight(&t.b, &desc), LM_NONE, LM_NONE, 0};
        t.outputs[i] = lm_emit_linear(&t.b, t.input, &by);
        check(backend->weight_load(device, &desc, &source, &t.weights[i]));
    }
    compile(&t, most, most);
    write_input(&t, most);
    for (uint32_t i = 0; i < runs.count; i++) {
        uint32_t rows = runs.rows[i];
        if (rows > most)
            break;
        double seconds = measure(&t, rows, 0);
        printf("{\"test\": \"linear\", \"shape\": \"%s\", \"format\": \"%s\", \"rows\": %u, "
               "\"seconds\": %.4g, \"bytes\": %.0f, \"flops\": %.0f}\n",
               m->name, format->name, (unsigned)rows, seconds,
               (double)bytes + 4.0 * rows * (m->rows + m->cols), 2.0 * rows * m->rows * m->cols);
        fflush(stdout);
    }
    end(&t);
    free(data);
}

/* --- attention -------------------------------------------------------------------------------- */

enum { HEADS = 32, KV_HEADS = 8, DIM = 128 };

static const struct {
    uint32_t rows, context; /* the last rows of so many tokens */
} looks[] = {{1, 2048}, {1, 8192}, {1, 32768}, {512, 512}, {2048, 2048}, {2048, 8192}};
static const struct {
    uint32_t rows, context;
} small_looks[] = {{1, 64}, {16, 48}};

/* Pages of random keys and values, in random order. */
static void fill_cache(bench *t, const lm_format *format, uint32_t context)
{
    uint64_t row = 0, random = 11;
    lm_cache_desc desc = {.entries = t->network.caches,
                          .n_entries = t->copies,
                          .members = t->members,
                          .n_members = t->copies,
                          .kind = LM_CACHE_FULL,
                          .page_tokens = PAGE,
                          .k_format = format,
                          .v_format = format,
                          .max_pages = (context + PAGE - 1) / PAGE};
    if (!lm_format_row_bytes(format, (uint64_t)KV_HEADS * DIM, &row))
        fail("a format that a cache cannot have");
    check(backend->cache_create(device, &desc, &t->cache));
    check(backend->cache_grow(device, t->cache, desc.max_pages));
    size_t bytes = (size_t)row * 2 * PAGE * t->copies;
    unsigned char *data = encoded(format, bytes);
    t->pages = grab(desc.max_pages, sizeof *t->pages);
    for (uint32_t i = 0; i < desc.max_pages; i++) {
        uint32_t at = (uint32_t)(next_random(&random) % (i + 1));
        t->pages[i] = t->pages[at];
        t->pages[at] = i;
        check(backend->page_import(device, t->cache, i, PAGE, data, bytes));
    }
    free(data);
}

static void attention(const lm_format *format, uint32_t rows, uint32_t context)
{
    bench t;
    uint64_t row = 0;
    if (!lm_format_row_bytes(format, (uint64_t)KV_HEADS * DIM, &row))
        fail("a format that a cache cannot have");
    begin(&t, rows == 1 ? copies_of(2 * row * context) : o.small ? 1 : 4, HEADS * DIM);
    uint32_t group = lm_build_group(&t.b, LM_CACHE_FULL, 0);
    for (uint32_t i = 0; i < t.copies; i++) {
        lm_step step = {.kind = LM_STEP_ATTN_PAGED, .in = {t.input, LM_NONE, LM_NONE}};
        t.members[i] = lm_build_kv(&t.b, group, KV_HEADS, DIM, DIM);
        t.outputs[i] = lm_build_slot(&t.b, HEADS * DIM, LM_ROWS_ALL, LM_SLOT_F32);
        step.out[0] = t.outputs[i];
        step.out[1] = LM_NONE;
        step.u.attn = (lm_attn){.cache = t.members[i],
                                .heads = HEADS,
                                .kv_heads = KV_HEADS,
                                .k_dim = DIM,
                                .v_dim = DIM,
                                .scale = 0.0884f,
                                .sinks = LM_NONE};
        lm_build_step(&t.b, &step);
    }
    fill_cache(&t, format, context);
    compile(&t, rows, context);
    write_input(&t, rows);
    double seconds = measure(&t, rows, context - rows);
    double seen = (double)rows * (context - rows) + 0.5 * rows * ((double)rows + 1);
    printf("{\"test\": \"attn\", \"shape\": \"%s %u\", \"format\": \"%s\", \"rows\": %u, "
           "\"seconds\": %.4g, \"bytes\": %.0f, \"flops\": %.0f}\n",
           rows == 1 ? "decode at" : "prompt to", (unsigned)context, format->name, (unsigned)rows,
           seconds, 2.0 * (double)row * context, 4.0 * HEADS * DIM * seen);
    fflush(stdout);
    end(&t);
}

/* --- main ------------------------------------------------------------------------------------- */

static void measure_format(const lm_format *format)
{
    size_t n = sizeof matrices / sizeof matrices[0], looked = sizeof looks / sizeof looks[0];
    if (strcmp(o.what, "linear") == 0) {
        for (size_t i = 0; i < (o.small ? 1 : n); i++)
            linear(format, o.small ? &small_matrices[i] : &matrices[i]);
        return;
    }
    for (size_t i = 0; i < (o.small ? 2 : looked); i++)
        attention(format, o.small ? small_looks[i].rows : looks[i].rows,
                  o.small ? small_looks[i].context : looks[i].context);
}

static void print_device(void)
{
    lm_device_info info;
    check(backend->info(device, &info));
    printf("{\"device\": \"%s\"}\n", info.name);
}

int main(int argc, char **argv)
{
    static lm_registry registry;
    static const lm_host host;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--backend=", 10) == 0)
            o.backend = argv[i] + 10;
        else if (strncmp(argv[i], "--modules=", 10) == 0)
            o.modules = argv[i] + 10;
        else if (strncmp(argv[i], "--formats=", 10) == 0)
            o.formats = argv[i] + 10;
        else if (strncmp(argv[i], "--rows=", 7) == 0)
            parse_rows(argv[i] + 7);
        else if (strcmp(argv[i], "--exact") == 0)
            o.exact = true;
        else if (strcmp(argv[i], "--small") == 0)
            o.small = true;
        else
            o.what = argv[i];
    }
    if (o.what == NULL || (strcmp(o.what, "linear") != 0 && strcmp(o.what, "attn") != 0 &&
                           strcmp(o.what, "device") != 0))
        fail("the head of this file says how it is called");
    check(lm_registry_init(&registry, NULL, &host, o.modules));
    check(lm_registry_find(&registry, o.backend, &backend));
    check(backend->open(&host, 0, &device));
    check(backend->queue_create(device, &queue));
    if (strcmp(o.what, "device") == 0)
        print_device();
    for (const char *at = o.formats; *at != '\0' && strcmp(o.what, "device") != 0;) {
        char name[32] = "";
        size_t size = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)size, at);
        const lm_format *format = lm_format_by_name(name);
        if (format == NULL || format->encode == NULL)
            fail("there is no such format");
        measure_format(format);
        at += size + (at[size] == ',');
    }
    backend->queue_destroy(device, queue);
    backend->close(device);
    lm_registry_finish(&registry);
    return 0;
}
