/* bench_model.c - the speed of one model on one device, many tests in one process, since loading takes
 * longer than most of them:
 *
 *   bench_model MODEL [--device=NAME] [--modules=FOLDER] [--cache=TYPE] [--rows=N] [--tokens=N]
 *               [--reps=N] [--prompts=N,N,...] [--depths=N,N,...] [--profile] [--exact]
 *
 * Each finding is a line of JSON, printed at once, so that what was found before a time limit stays. */
#include "api/handles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LIST 16
#define MOST_REPS 16

typedef struct list {
    uint32_t items[MOST_LIST], count;
} list;

static struct {
    const char *model, *device, *modules, *cache;
    uint32_t rows, tokens, reps, numerics;
    list prompts, depths;
    bool profile;
} o = {.device = "cuda",
       .cache = "f16",
       .rows = 2048,
       .tokens = 32,
       .reps = 3,
       .numerics = LLM_ENGINE_FAST};

static llm_model *model;
static llm_session *session;
static lm_engine *engine; /* what is inside */
static llm_model_info info = {.struct_size = sizeof info};

static void fail(const char *what)
{
    fprintf(stderr, "bench_model: %s\n", what);
    exit(1);
}

static void check(int32_t status)
{
    if (status < 0)
        fail(llm_last_error());
}

static bool take_number(const char *word, const char *name, uint32_t *out)
{
    size_t n = strlen(name);
    if (strncmp(word, name, n) != 0)
        return false;
    *out = (uint32_t)strtoul(word + n, NULL, 10);
    return true;
}

static bool take_list(const char *word, const char *name, list *out)
{
    size_t n = strlen(name);
    if (strncmp(word, name, n) != 0)
        return false;
    for (const char *at = word + n; *at != '\0' && out->count < MOST_LIST;) {
        char *end;
        out->items[out->count++] = (uint32_t)strtoul(at, &end, 10);
        at = *end == ',' ? end + 1 : end + strlen(end);
    }
    return true;
}

static bool take_text(const char *word, const char *name, const char **out)
{
    size_t n = strlen(name);
    if (strncmp(word, name, n) != 0)
        return false;
    *out = word + n;
    return true;
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--profile") == 0)
            o.profile = true;
        else if (strcmp(word, "--exact") == 0)
            o.numerics = 0;
        else if (!take_text(word, "--device=", &o.device) &&
                 !take_text(word, "--modules=", &o.modules) &&
                 !take_text(word, "--cache=", &o.cache) && !take_number(word, "--rows=", &o.rows) &&
                 !take_number(word, "--tokens=", &o.tokens) &&
                 !take_number(word, "--reps=", &o.reps) &&
                 !take_list(word, "--prompts=", &o.prompts) &&
                 !take_list(word, "--depths=", &o.depths)) {
            if (word[0] == '-' || o.model != NULL)
                fail("the head of this file says how it is called");
            o.model = word;
        }
    }
    if (o.model == NULL || o.tokens == 0 || o.reps == 0 || o.reps > MOST_REPS)
        fail("the head of this file says how it is called");
}

static uint32_t largest(const list *l)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < l->count; i++)
        most = l->items[i] > most ? l->items[i] : most;
    return most;
}

/* --- measuring -------------------------------------------------------------------------------- */

static double now(void)
{
    return (double)lm_os_now_ns() * 1e-9;
}

static void feed(uint32_t n)
{
    static uint32_t random = 1;
    llm_token *ids = malloc((n + (size_t)1) * sizeof *ids);
    if (ids == NULL)
        fail("no memory for a prompt");
    for (uint32_t i = 0; i < n; i++) {
        random = random * 1664525u + 1013904223u;
        ids[i] = (llm_token)((random >> 8) % info.n_vocab);
    }
    check(llm_session_feed(session, ids, n, NULL));
    free(ids);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Weights that one run of a single row reads, and the cache at a depth. */
static uint64_t bytes_per_token(uint32_t depth, const llm_engine_params *shape)
{
    uint64_t bytes = 0;
    llm_step_info step = {.struct_size = sizeof step};
    llm_memory_plan plan = {.struct_size = sizeof plan};
    for (uint64_t i = 0; llm_model_step_at(model, i, &step) == LLM_OK; i++)
        bytes += step.weight_bytes;
    for (uint32_t i = 0; llm_model_plan(model, shape, i, &plan) == LLM_OK; i++)
        bytes += depth * plan.cache_page / plan.page_tokens + plan.cache_sequence;
    return bytes;
}

/* With the cache, of one row that sees `slots`. */
static double attention_flops(double slots)
{
    const lm_graph *g = &engine->placement->graph;
    double flops = 0;
    for (size_t i = 0; i < g->n_steps; i++) {
        const lm_attn *a = g->steps[i].kind == LM_STEP_ATTN_PAGED ? &g->steps[i].u.attn
                           : g->steps[i].kind == LM_STEP_ATTN_OUT ? &g->steps[i].u.attn_out.attn
                                                                  : NULL;
        if (a != NULL)
            flops += 2.0 * a->heads * (a->k_dim + a->v_dim) * slots;
    }
    return flops;
}

/* Operations of one row of a prompt, on average: all but the head, which only the last row has. */
static double flops_per_token(uint32_t length)
{
    double flops = attention_flops((length + 1.0) / 2);
    llm_step_info step = {.struct_size = sizeof step};
    for (uint64_t i = 0; llm_model_step_at(model, i, &step) == LLM_OK; i++)
        flops += strncmp(step.text, "-- ", 3) == 0 ? 0 : (double)step.flops;
    return flops;
}

static void print_rates(const char *test, uint32_t at, uint32_t tokens, double *seconds)
{
    qsort(seconds, o.reps, sizeof *seconds, compare);
    printf("{\"test\": \"%s\", \"at\": %u, \"tok_s\": %.3f, \"worst\": %.3f", test, (unsigned)at,
           tokens / seconds[o.reps / 2], tokens / seconds[o.reps - 1]);
}

static void measure_decode(uint32_t depth, const llm_engine_params *shape)
{
    double seconds[MOST_REPS];
    for (uint32_t r = 0; r < o.reps; r++) {
        check(llm_session_rewind(session, depth));
        feed(1);
        double start = now();
        for (uint32_t i = 0; i < o.tokens; i++)
            feed(1);
        seconds[r] = now() - start;
    }
    print_rates("decode", depth, o.tokens, seconds);
    printf(", \"bytes\": %llu}\n", (unsigned long long)bytes_per_token(depth, shape));
}

static void measure_prompt(uint32_t length)
{
    double seconds[MOST_REPS];
    for (uint32_t r = 0; r < o.reps; r++) {
        check(llm_session_rewind(session, 0));
        double start = now();
        feed(length);
        seconds[r] = now() - start;
    }
    print_rates("prompt", length, length, seconds);
    printf(", \"flops\": %.0f}\n", flops_per_token(length));
}

/* --- where the time goes ---------------------------------------------------------------------- */

typedef struct kind_time {
    uint64_t ns, bytes;
    uint32_t count;
} kind_time;

static void set_profile(bool on)
{
    const lm_placement *p = engine->placement;
    for (uint32_t s = 0; s < p->n_segments; s++) {
        lm_device *device = p->devices[p->segments[s].device].device;
        check(device->backend->profile(device, engine->programs->programs[s], on, 0, NULL));
    }
}

/* The device's time in each kind of step for the last run. */
static void print_profile(const char *test, uint32_t at, uint32_t rows)
{
    const lm_placement *p = engine->placement;
    kind_time kinds[LM_STEP_COUNT] = {{0, 0, 0}};
    llm_step_info info_of = {.struct_size = sizeof info_of};
    for (uint32_t s = 0; s < p->n_segments; s++) {
        lm_device *device = p->devices[p->segments[s].device].device;
        for (size_t i = 0; i < p->segments[s].n_steps; i++) {
            size_t step = p->segments[s].first_step + i;
            kind_time *k = &kinds[p->graph.steps[step].kind];
            uint64_t ns = 0;
            check(device->backend->profile(device, engine->programs->programs[s], true, i, &ns));
            check(llm_model_step_at(model, step, &info_of));
            k->ns += ns;
            k->bytes += info_of.weight_bytes;
            k->count++;
        }
    }
    printf("{\"test\": \"profile of a %s\", \"at\": %u, \"rows\": %u, \"steps\": [", test,
           (unsigned)at, (unsigned)rows);
    const char *comma = "";
    for (uint32_t k = 0; k < LM_STEP_COUNT; k++) {
        if (kinds[k].count == 0)
            continue;
        printf("%s[\"%s\", %u, %llu, %llu]", comma, lm_step_name(k), (unsigned)kinds[k].count,
               (unsigned long long)kinds[k].ns, (unsigned long long)kinds[k].bytes);
        comma = ", ";
    }
    printf("]}\n");
}

static void profile(const char *test, uint32_t at, uint32_t rows)
{
    check(llm_session_rewind(session, at));
    feed(rows);
    set_profile(true);
    check(llm_session_rewind(session, at));
    feed(rows);
    print_profile(test, at, rows);
    set_profile(false);
}

/* --- main ------------------------------------------------------------------------------------- */

static void measure_all(const llm_engine_params *shape)
{
    uint32_t depth = 0;
    if (o.prompts.count > 0)
        feed(o.prompts.items[0]); /* the first takes what later ones find made */
    for (uint32_t i = 0; i < o.prompts.count; i++) {
        measure_prompt(o.prompts.items[i]);
        fflush(stdout);
        if (o.profile && o.prompts.items[i] <= o.rows)
            profile("prompt", 0, o.prompts.items[i]);
    }
    check(llm_session_rewind(session, 0));
    for (uint32_t i = 0; i < o.depths.count; i++) { /* rising */
        if (o.depths.items[i] > depth)
            feed(o.depths.items[i] - depth);
        depth = o.depths.items[i];
        measure_decode(depth, shape);
        fflush(stdout);
        if (o.profile)
            profile("decoded token", depth, 1);
        check(llm_session_rewind(session, depth));
    }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    llm_runtime *runtime;
    llm_engine *handle;
    uint32_t depth = largest(&o.depths), prompt = largest(&o.prompts);
    llm_runtime_params rp = {.struct_size = sizeof rp, .module_folder = o.modules};
    llm_model_params mp = {.struct_size = sizeof mp,
                           .context = (depth > prompt ? depth : prompt) + o.tokens + 8,
                           .devices = o.device};
    llm_engine_params ep = {.struct_size = sizeof ep,
                            .flags = LLM_ENGINE_NO_SHARING | o.numerics,
                            .max_rows = o.rows,
                            .cache_type = o.cache};
    double start = now();
    check(llm_runtime_create(&rp, &runtime));
    check(llm_model_open(runtime, o.model, &mp, &model));
    check(llm_model_get_info(model, &info));
    check(llm_engine_create(model, &ep, &handle));
    llm_session_params sp = {.struct_size = sizeof sp, .engine = handle};
    check(llm_session_create(model, &sp, &session));
    engine = handle->inner;
    printf("{\"test\": \"load\", \"at\": 0, \"seconds\": %.3f}\n", now() - start);
    fflush(stdout);
    measure_all(&ep);
    llm_session_destroy(session);
    llm_engine_release(handle);
    llm_model_release(model);
    llm_runtime_destroy(runtime);
    return 0;
}
