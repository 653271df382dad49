/* llm-bench.c - prompt and decode speed of a model, with spread, and how much of the memory's speed
 * decoding reaches. */
#include "bandwidth.h"
#include "tool.h"

#include <math.h>
#include <stdlib.h>

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
        {"--cache", TOOL_TEXT, &o.compute.cache, "TYPE", "cache type: f16, f32, bf16, q8_0 [f16]",
         0},
        {"--json", TOOL_FLAG, &o.json, NULL, "print one JSON object", 0},
        TOOL_COMPUTE_OPTIONS(o.compute),
        {0},
    };
    const tool_program program = {
        "llm-bench",
        "MODEL [-p 512] [-n 32] [-r REPS] [--depth D] [options]",
        "Measures tokens per second for a prompt and for decoding, and compares decoding with\n"
        "the speed at which this machine reads memory, measured in the same run.",
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

/* Bytes of weights and of the cache that one decoded token reads. */
static uint64_t bytes_per_token(const llm_model *model, const llm_engine_params *shape,
                                uint64_t depth)
{
    uint64_t bytes = 0;
    llm_step_info step = {.struct_size = sizeof step};
    for (uint64_t i = 0; llm_model_step_at(model, i, &step) == LLM_OK; i++)
        bytes += step.weight_bytes;
    llm_memory_plan plan = {.struct_size = sizeof plan};
    for (uint32_t i = 0; llm_model_plan(model, shape, i, &plan) == LLM_OK; i++)
        bytes += depth * plan.cache_page / plan.page_tokens + plan.cache_sequence;
    return bytes;
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

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    tool_model m;
    llm_session *session;
    llm_engine_params shape = {.struct_size = sizeof shape, .flags = LLM_ENGINE_NO_SHARING};
    if (o.compute.context == 0)
        o.compute.context = o.depth + o.prompt + o.tokens + 8;
    tool_open(o.model, &o.compute, &shape, &m);
    if (m.info.context < o.depth + o.prompt || m.info.context < o.depth + o.tokens + 2)
        tool_fail("the model's context of %u is too short for this test", (unsigned)m.info.context);
    llm_session_params sp = {.struct_size = sizeof sp, .engine = m.engine};
    tool_check(llm_session_create(m.model, &sp, &session));
    static series prompts, decodes;
    measure(&o, session, m.info.n_vocab, &prompts, &decodes);
    double prompt = median(&prompts), decode = median(&decodes);
    unsigned threads = threads_of(&m, &o);
    double bandwidth = bandwidth_measure(threads);
    uint64_t bytes = bytes_per_token(m.model, &shape, o.depth);
    double share = bandwidth > 0 ? decode * (double)bytes / bandwidth : 0;
    if (o.json) {
        printf("{\"prompt_tok_s\": %.3f, \"prompt_min\": %.3f, \"prompt_max\": %.3f, "
               "\"decode_tok_s\": %.3f, "
               "\"decode_min\": %.3f, \"decode_max\": %.3f, \"depth\": %llu, \"threads\": %u, "
               "\"bytes_per_token\": %llu, \"read_bytes_s\": %.0f, \"decode_share\": %.4f}\n",
               prompt, prompts.values[0], prompts.count > 0 ? prompts.values[prompts.count - 1] : 0,
               decode, decodes.values[0], decodes.count > 0 ? decodes.values[decodes.count - 1] : 0,
               (unsigned long long)o.depth, threads, (unsigned long long)bytes, bandwidth, share);
    } else {
        char text[32];
        printf("test          tokens/s      from        to\n");
        if (prompts.count > 0)
            printf("prompt %-6llu %9.2f %9.2f %9.2f\n", (unsigned long long)o.prompt, prompt,
                   prompts.values[0], prompts.values[prompts.count - 1]);
        if (decodes.count > 0)
            printf("decode %-6llu %9.2f %9.2f %9.2f\n", (unsigned long long)o.tokens, decode,
                   decodes.values[0], decodes.values[decodes.count - 1]);
        printf("%s per token at depth %llu; %u threads read %.1f GB/s; decode reaches %.0f %% of "
               "that\n",
               tool_bytes(bytes, text), (unsigned long long)o.depth, threads, bandwidth / 1e9,
               share * 100);
    }
    llm_session_destroy(session);
    tool_close(&m);
    tool_flush();
    return 0;
}
