/* llm-bench.c - prompt and decode speed of a model, with spread, and which shares of what the
 * machine can do they reach: decoding of the memory's speed, prompts of the arithmetic's. */
#include "bandwidth.h"
#include "peaks.h"
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_REPS 64

typedef struct options {
    const char *model;
    tool_compute compute;
    uint64_t prompt, tokens, reps, depth;
    bool json;
} options;

typedef struct series {
    double values[MOST_REPS];
    uint32_t count;
} series;

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(series *s)
{
    if (s->count == 0)
        return 0;
    qsort(s->values, s->count, sizeof s->values[0], compare);
    return (s->values[(s->count - 1) / 2] + s->values[s->count / 2]) / 2;
}

static options parse(int argc, char **argv)
{
    static options o = {.prompt = 512, .tokens = 32, .reps = 3};
    const tool_option list[] = {
        {"-p", TOOL_COUNT, &o.prompt, "N", "tokens of the prompt; 0: no prompt test [512]", 1e6},
        {"-n", TOOL_COUNT, &o.tokens, "N", "tokens to decode; 0: no decode test [32]", 1e6},
        {"-r", TOOL_COUNT, &o.reps, "N", "repetitions [3]", MOST_REPS},
        {"--depth", TOOL_COUNT, &o.depth, "D", "tokens that are in the cache before each test [0]",
         1e7},
        {"--cache", TOOL_TEXT, &o.compute.cache, "TYPE",
         "cache type: f16, f32, bf16, q8_0, q4_0, e4m3 [f16]", 0},
        {"--json", TOOL_FLAG, &o.json, NULL, "print one JSON object", 0},
        TOOL_COMPUTE_OPTIONS(o.compute),
        {0},
    };
    const tool_program program = {
        "llm-bench",
        "MODEL [-p 512] [-n 32] [-r REPS] [--depth D] [options]",
        "Measures tokens per second for a prompt and for decoding, and compares them with what\n"
        "this machine's arithmetic and its memory can do at best, measured in the same run.",
        list,
        &o.model,
        1};
    tool_parse(&program, argc, argv);
    if (o.reps == 0 || (o.prompt == 0 && o.tokens == 0))
        tool_misused("there is nothing to measure");
    return o;
}

static void feed(llm_session *session, llm_token *ids, uint64_t n, uint32_t n_vocab)
{
    static uint32_t random = 1;
    for (uint64_t i = 0; i < n; i++) {
        random = random * 1664525u + 1013904223u;
        ids[i] = (llm_token)((random >> 8) % n_vocab);
    }
    tool_check(llm_session_feed(session, ids, n, NULL));
}

/* What one token costs, from the steps that the devices will run. */
typedef struct costs {
    uint64_t bytes; /* of weights and of the cache, that one decoded token reads */
    double quantised, f16,
        bf16;         /* operations with weights of such formats, one token of a prompt */
    double attention; /* operations with the cache, one token at the prompt's middle */
} costs;

/* Operations with the cache of one row that sees `slots`. */
static double attention_of(const char *text, double slots)
{
    unsigned heads, kv, dim, window;
    const char *part = strstr(text, " heads "), *narrow = strstr(text, " window ");
    if (part == NULL || sscanf(part, " heads %u/%u dim %u", &heads, &kv, &dim) != 3)
        return 0;
    if (narrow != NULL && sscanf(narrow, " window %u", &window) == 1 && window < slots)
        slots = window;
    return 4.0 * heads * dim * slots;
}

static costs costs_of(const llm_model *model, const llm_engine_params *shape, const options *o)
{
    costs c = {0};
    llm_step_info step = {.struct_size = sizeof step};
    for (uint64_t i = 0; llm_model_step_at(model, i, &step) == LLM_OK; i++) {
        c.bytes += step.weight_bytes;
        c.attention += attention_of(step.text, (double)o->depth + (double)o->prompt / 2);
        if (strncmp(step.text, "-- ", 3) == 0) /* the head: of the last token alone */
            continue;
        bool f16 = strstr(step.text, ":f16[") != NULL || strstr(step.text, ":f32[") != NULL;
        *(f16                                   ? &c.f16
          : strstr(step.text, ":bf16[") != NULL ? &c.bf16
                                                : &c.quantised) += (double)step.flops;
    }
    llm_memory_plan plan = {.struct_size = sizeof plan};
    for (uint32_t i = 0; llm_model_plan(model, shape, i, &plan) == LLM_OK; i++)
        c.bytes += o->depth * plan.cache_page / plan.page_tokens + plan.cache_sequence;
    return c;
}

/* Tokens per second of a prompt for a machine that does nothing but multiply and add, each format
 * with the fastest instructions it can use; 0: not known of this machine. */
static double prompt_limit(const costs *c, const peaks *p)
{
    if (p->f32 == 0 || p->int8 == 0)
        return 0;
    double seconds = c->quantised / p->int8 + (c->f16 + c->attention) / p->f32 +
                     c->bf16 / (p->bf16 > p->f32 ? p->bf16 : p->f32);
    return seconds > 0 ? 1 / seconds : 0;
}

static void measure(const options *o, llm_session *session, uint32_t n_vocab, series *prompts,
                    series *decodes)
{
    uint64_t most = o->prompt > o->depth ? o->prompt : o->depth;
    llm_token *ids = malloc((most + 1) * sizeof *ids);
    if (ids == NULL)
        tool_fail("no memory for the prompt");
    feed(session, ids, o->depth > 0 ? o->depth : 1, n_vocab);
    for (uint64_t r = 0; r < o->reps; r++) {
        if (o->prompt > 0) {
            tool_check(llm_session_rewind(session, o->depth));
            double start = tool_now();
            feed(session, ids, o->prompt, n_vocab);
            prompts->values[prompts->count++] = (double)o->prompt / (tool_now() - start);
        }
        if (o->tokens > 0) {
            tool_check(llm_session_rewind(session, o->depth));
            feed(session, ids, 1, n_vocab);
            double start = tool_now();
            for (uint64_t i = 0; i < o->tokens; i++)
                feed(session, ids, 1, n_vocab); /* as next, but no end token can stop it */
            decodes->values[decodes->count++] = (double)o->tokens / (tool_now() - start);
        }
        tool_progress("measuring", r + 1, o->reps);
    }
    free(ids);
}

static unsigned threads_of(const tool_model *m, const options *o)
{
    llm_device_info info = {.struct_size = sizeof info};
    if (o->compute.threads > 0)
        return (unsigned)o->compute.threads;
    for (uint32_t i = 0; llm_runtime_device_at(m->runtime, i, &info) == LLM_OK; i++)
        if (info.threads > 1)
            return info.threads;
    return 1;
}

/* The least, the median and the most; sorts. */
typedef struct spread {
    double least, middle, most;
} spread;

static spread spread_of(series *s)
{
    double middle = median(s);
    return s->count == 0 ? (spread){0, 0, 0}
                         : (spread){s->values[0], middle, s->values[s->count - 1]};
}

/* All that is found. */
typedef struct findings {
    const options *o;
    spread prompt, decode; /* tokens per second */
    unsigned threads;
    costs costs;
    double read; /* bytes per second */
    peaks peaks;
    double prompt_share, decode_share; /* of what is possible; 0: unknown */
} findings;

static findings judge(const options *o, const tool_model *m, const llm_engine_params *shape,
                      series *prompts, series *decodes)
{
    findings f = {.o = o,
                  .prompt = spread_of(prompts),
                  .decode = spread_of(decodes),
                  .threads = threads_of(m, o),
                  .costs = costs_of(m->model, shape, o)};
    f.read = bandwidth_measure(f.threads, f.costs.bytes);
    f.peaks = peaks_measure(f.threads);
    double limit = prompt_limit(&f.costs, &f.peaks);
    f.prompt_share = limit > 0 ? f.prompt.middle / limit : 0;
    f.decode_share = f.read > 0 ? f.decode.middle * (double)f.costs.bytes / f.read : 0;
    return f;
}

static void print_json(const findings *f)
{
    printf("{\"prompt_tok_s\": %.3f, \"prompt_min\": %.3f, \"prompt_max\": %.3f, ",
           f->prompt.middle, f->prompt.least, f->prompt.most);
    printf("\"decode_tok_s\": %.3f, \"decode_min\": %.3f, \"decode_max\": %.3f, ", f->decode.middle,
           f->decode.least, f->decode.most);
    printf("\"depth\": %llu, \"threads\": %u, \"bytes_per_token\": %llu, ",
           (unsigned long long)f->o->depth, f->threads, (unsigned long long)f->costs.bytes);
    printf("\"read_bytes_s\": %.0f, \"f32_ops_s\": %.0f, \"bf16_ops_s\": %.0f, "
           "\"int8_ops_s\": %.0f, ",
           f->read, f->peaks.f32, f->peaks.bf16, f->peaks.int8);
    printf("\"prompt_share\": %.4f, \"decode_share\": %.4f}\n", f->prompt_share, f->decode_share);
}

static void print_line(const char *test, uint64_t tokens, const spread *s, double share,
                       const char *of)
{
    if (s->most == 0)
        return;
    printf("%s %-6llu %9.2f %9.2f %9.2f", test, (unsigned long long)tokens, s->middle, s->least,
           s->most);
    if (share > 0)
        printf("   %3.0f %% of %s", share * 100, of);
    printf("\n");
}

static void print_text(const findings *f)
{
    char text[32];
    printf("test          tokens/s      from        to\n");
    print_line("prompt", f->o->prompt, &f->prompt, f->prompt_share, "the arithmetic");
    print_line("decode", f->o->tokens, &f->decode, f->decode_share, "the memory's speed");
    printf("%s per token at depth %llu; %u threads read %.1f GB/s",
           tool_bytes(f->costs.bytes, text), (unsigned long long)f->o->depth, f->threads,
           f->read / 1e9);
    if (f->peaks.int8 > 0)
        printf(" and do %.0f G operations per second in int8, %.0f in f32", f->peaks.int8 / 1e9,
               f->peaks.f32 / 1e9);
    if (f->peaks.bf16 > 0)
        printf(", %.0f in bf16", f->peaks.bf16 / 1e9);
    printf("\n");
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    tool_model m;
    llm_session *session;
    llm_engine_params shape = {
        .struct_size = sizeof shape, .cache_type = o.compute.cache, .flags = LLM_ENGINE_NO_SHARING};
    if (o.compute.context == 0)
        o.compute.context = o.depth + o.prompt + o.tokens + 8;
    tool_open(o.model, &o.compute, &shape, &m);
    if (m.info.context < o.depth + o.prompt || m.info.context < o.depth + o.tokens + 2)
        tool_fail("the model's context of %u is too short for this test", (unsigned)m.info.context);
    llm_session_params sp = {.struct_size = sizeof sp, .engine = m.engine};
    tool_check(llm_session_create(m.model, &sp, &session));
    static series prompts, decodes;
    measure(&o, session, m.info.n_vocab, &prompts, &decodes);
    findings f = judge(&o, &m, &shape, &prompts, &decodes);
    (o.json ? print_json : print_text)(&f);
    llm_session_destroy(session);
    tool_close(&m);
    tool_flush();
    return 0;
}
