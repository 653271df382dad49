/* bench_attn.c - measures the attention step of the CPU backend on a cache of its own: rows of a
 * prompt by operations per second, single rows by bytes of keys and values per second, for the
 * cache types given (all without any); with the word "fast" in fast numerics. Time is the wall's: nothing else should run. */
#include "backend/registry.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEPTH = 8192, ROWS = 512, PAGE = 32, PAGES = (DEPTH + ROWS) / PAGE, LAYERS = 4 };

typedef struct bench {
    lm_allocator alloc;
    lm_network network;
    lm_graph graph;
    lm_builder builder;
    const lm_backend *backend;
    lm_device *device;
    lm_queue *queue;
    lm_cache *caches[1];
    lm_program *program;
    uint32_t heads, kv_heads, dim, numerics;
    uint32_t in[LAYERS], out[LAYERS], entries[LAYERS];
} bench;

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- the device ------------------------------------------------------------------------------- */

static void build(bench *b)
{
    lm_allocator_init(&b->alloc, NULL);
    lm_network_init(&b->network, &b->alloc);
    lm_graph_init(&b->graph, "decode");
    lm_builder_init(&b->builder, &b->network, &b->graph);
    b->network.n_vocab = 96;
    b->network.width = 64;
    uint32_t group = lm_build_group(&b->builder, LM_CACHE_FULL, 0);
    for (uint32_t i = 0; i < LAYERS; i++) {
        b->entries[i] = lm_build_kv(&b->builder, group, b->kv_heads, b->dim, b->dim);
        b->in[i] = lm_build_slot(&b->builder, b->heads * b->dim, LM_ROWS_ALL, LM_SLOT_F32);
        b->out[i] = lm_build_slot(&b->builder, b->heads * b->dim, LM_ROWS_ALL, LM_SLOT_F32);
        lm_step step = {.kind = LM_STEP_ATTN_PAGED,
                        .in = {b->in[i], LM_NONE, LM_NONE},
                        .out = {b->out[i], LM_NONE}};
        step.u.attn = (lm_attn){.cache = b->entries[i],
                                .heads = b->heads,
                                .kv_heads = b->kv_heads,
                                .k_dim = b->dim,
                                .v_dim = b->dim,
                                .scale = 0.125f,
                                .sinks = LM_NONE};
        lm_build_step(&b->builder, &step);
        b->graph.result = b->out[i];
    }
    assert_ok(lm_builder_status(&b->builder));
}

/* Small numbers in every page: values of a cache are as wide as its type. */
static void fill_cache(bench *b, const lm_format *format)
{
    uint64_t head, seed = 7;
    lm_format_row_bytes(format, b->dim, &head);
    size_t count = (size_t)b->dim * b->kv_heads * PAGE * 2 * LAYERS;
    size_t bytes = (size_t)head * b->kv_heads * PAGE * 2 * LAYERS;
    float *values = malloc(count * sizeof *values);
    void *page = malloc(bytes);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)test_random_normal(&seed);
    format->encode(values, NULL, page, count);
    for (uint32_t i = 0; i < PAGES; i++)
        assert_ok(b->backend->page_import(b->device, b->caches[0], i, PAGE, page, bytes));
    free(values);
    free(page);
}

static void open_bench(bench *b, const lm_format *format, uint32_t threads)
{
    for (uint32_t i = 0; i < lm_backends_builtin_count; i++)
        if (strcmp(lm_backends_builtin[i]->name, "cpu") == 0)
            b->backend = lm_backends_builtin[i];
    build(b);
    lm_host host = {.threads = threads};
    lm_cache_desc cache = {.entries = b->network.caches,
                           .n_entries = LAYERS,
                           .members = b->entries,
                           .n_members = LAYERS,
                           .kind = LM_CACHE_FULL,
                           .page_tokens = PAGE,
                           .k_format = format,
                           .v_format = format,
                           .max_pages = PAGES};
    lm_program_desc program = {.network = &b->network,
                               .graph = &b->graph,
                               .steps = b->graph.steps,
                               .n_steps = b->graph.n_steps,
                               .inputs = b->in,
                               .n_inputs = LAYERS,
                               .outputs = b->out,
                               .n_outputs = LAYERS,
                               .caches = b->caches,
                               .limits = {ROWS, ROWS, 1},
                               .context = DEPTH + ROWS,
                               .numerics = b->numerics,
                               .fused = true};
    assert_ok(b->backend->open(&host, 0, &b->device));
    assert_ok(b->backend->queue_create(b->device, &b->queue));
    assert_ok(b->backend->cache_create(b->device, &cache, &b->caches[0]));
    assert_ok(b->backend->cache_grow(b->device, b->caches[0], PAGES));
    fill_cache(b, format);
    assert_ok(b->backend->program_create(b->device, &program, &b->program));
}

static void close_bench(bench *b)
{
    b->backend->program_destroy(b->device, b->program);
    b->backend->cache_destroy(b->device, b->caches[0]);
    b->backend->queue_destroy(b->device, b->queue);
    b->backend->close(b->device);
    lm_graph_finish(&b->graph, &b->alloc);
    lm_network_finish(&b->network);
}

/* --- measuring -------------------------------------------------------------------------------- */

static void run_rows(bench *b, uint32_t rows)
{
    static int32_t tokens[ROWS];
    static uint32_t positions[ROWS * 4], slots[ROWS], seq_of[ROWS], ends[ROWS], pages[PAGES];
    lm_run_seq seq = {.n_rows = rows, .length = DEPTH};
    seq.groups[0] = (lm_run_pages){.pages = pages, .n_pages = PAGES};
    uint64_t ticket;
    for (uint32_t i = 0; i < PAGES; i++)
        pages[i] = i;
    for (uint32_t i = 0; i < rows; i++) {
        slots[i] = positions[4 * i] = DEPTH + i;
        ends[i] = DEPTH + i + 1;
    }
    lm_run run = {.struct_size = sizeof run,
                  .n_rows = rows,
                  .n_seqs = 1,
                  .tokens = tokens,
                  .positions = positions,
                  .slots = slots,
                  .row_seq = seq_of,
                  .visible_end = ends,
                  .seqs = &seq};
    assert_ok(b->backend->program_run(b->device, b->queue, b->program, &run));
    assert_ok(b->backend->queue_signal(b->device, b->queue, &ticket));
    assert_ok(b->backend->queue_wait(b->device, b->queue, ticket, UINT64_MAX));
}

static double time_of(bench *b, uint32_t rows)
{
    size_t count = (size_t)rows * b->heads * b->dim;
    float *values = malloc(count * sizeof *values);
    uint64_t seed = 11;
    for (size_t i = 0; i < count; i++)
        values[i] = (float)test_random_normal(&seed);
    for (uint32_t i = 0; i < LAYERS; i++)
        assert_ok(b->backend->slot_write(b->device, b->queue, b->program, b->in[i], values,
                                         count * sizeof *values));
    free(values);
    double best = 1e9, end = now() + 0.4;
    do {
        double start = now();
        run_rows(b, rows);
        best = now() - start < best ? now() - start : best;
    } while (now() < end);
    return best / LAYERS;
}

static void measure(const lm_format *format, uint32_t heads, uint32_t kv_heads, uint32_t dim,
                    uint32_t threads, uint32_t numerics)
{
    bench b = {.heads = heads, .kv_heads = kv_heads, .dim = dim, .numerics = numerics};
    uint64_t head;
    open_bench(&b, format, threads);
    lm_format_row_bytes(format, dim, &head);
    double prompt = time_of(&b, ROWS), one = time_of(&b, 1);
    printf("%-5s %2u/%u heads of %3u, %u threads: prompt %6.1f G operations/s, decode %5.2f GB/s\n",
           format->name, (unsigned)heads, (unsigned)kv_heads, (unsigned)dim, (unsigned)threads,
           4.0 * ROWS * (DEPTH + ROWS / 2) * heads * dim / prompt * 1e-9,
           2.0 * (double)head * kv_heads * DEPTH / one * 1e-9);
    close_bench(&b);
}

int main(int argc, char **argv)
{
    static const uint32_t types[] = {LM_F16, LM_Q8_0, LM_E4M3, LM_BF16, LM_F32};
    bool fast = argc > 1 && strcmp(argv[argc - 1], "fast") == 0;
    uint32_t numerics = fast ? LM_NUMERICS_FAST : LM_NUMERICS_EXACT;
    argc -= fast;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const lm_format *format = lm_format_by_id(types[i]);
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++)
            wanted = wanted || strcmp(argv[k], format->name) == 0;
        for (uint32_t threads = 1; wanted && threads <= 2; threads++) {
            measure(format, 32, 8, 64, threads, numerics);
            measure(format, 24, 8, 128, threads, numerics);
        }
    }
    return 0;
}
