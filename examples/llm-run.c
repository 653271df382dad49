/* llm-run.c - a model continues a text. Text goes to stdout as it is made, figures to stderr. */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

#define NO_BOUND UINT64_MAX

typedef struct options {
    const char *model, *prompt, *file;
    tool_compute compute;
    tool_texts stops;
    uint64_t tokens, top_k, seed;
    double temp, top_p, min_p, repeat;
    bool ids;
} options;

static options parse(int argc, char **argv)
{
    static options o = {
        .tokens = NO_BOUND, .top_k = 40, .temp = 0.8, .top_p = 0.95, .min_p = 0.05, .repeat = 1};
    const tool_option list[] = {
        {"-p", TOOL_TEXT, &o.prompt, "TEXT", "the text to continue", 0},
        {"-f", TOOL_TEXT, &o.file, "FILE", "read it from a file; without -p and -f, from stdin", 0},
        {"-n", TOOL_COUNT, &o.tokens, "N",
         "tokens to make at most [until the model ends, or the context is full]", 1e9},
        {"--temp", TOOL_NUMBER, &o.temp, "T",
         "temperature; 0 always takes the most likely token [0.8]", 100},
        {"--top-k", TOOL_COUNT, &o.top_k, "K", "choose among the K most likely; 0: all [40]", 1e9},
        {"--top-p", TOOL_NUMBER, &o.top_p, "P", "among the most likely that make up P [0.95]", 1},
        {"--min-p", TOOL_NUMBER, &o.min_p, "P",
         "among those at least P times as likely as the best [0.05]", 1},
        {"--repeat-penalty", TOOL_NUMBER, &o.repeat, "R",
         "make recent tokens R times less likely [1]", 100},
        {"--seed", TOOL_COUNT, &o.seed, "S", "the same seed gives the same text [0]", 9e15},
        {"--stop", TOOL_TEXTS, &o.stops, "TEXT", "end before this text; may be given several times",
         0},
        {"--ctx", TOOL_COUNT, &o.compute.context, "N",
         "most tokens of prompt and text [the model's]", 1e9},
        {"--ids", TOOL_FLAG, &o.ids, NULL, "print token ids instead of text", 0},
        TOOL_COMPUTE_OPTIONS(o.compute),
        {0},
    };
    const tool_program program = {
        "llm-run",
        "MODEL [-p TEXT | -f FILE] [options]",
        "Continues a text with a model and streams the result to stdout.\n"
        "Speed, time to the first token and memory are told on stderr at the end.",
        list,
        &o.model,
        1};
    tool_parse(&program, argc, argv);
    if (o.prompt != NULL && o.file != NULL)
        tool_misused("give -p or -f, not both");
    return o;
}

static void add(llm_sampler *s, const char *name, const char *key, double value)
{
    llm_param param = {key, LLM_KIND_FLOAT, 0, {.f = value}};
    tool_check(llm_sampler_add(s, name, &param, 1));
}

static llm_sampler *make_sampler(llm_runtime *runtime, const options *o)
{
    llm_sampler *s;
    tool_check(llm_sampler_create(runtime, &s));
    tool_check(llm_sampler_seed(s, o->seed));
    if (o->repeat != 1)
        add(s, "penalties", "repeat", o->repeat);
    if (o->temp == 0)
        return s;
    llm_param k = {"k", LLM_KIND_INT, 0, {.i = (int64_t)o->top_k}};
    if (o->top_k > 0)
        tool_check(llm_sampler_add(s, "top-k", &k, 1));
    if (o->top_p < 1)
        add(s, "top-p", "p", o->top_p);
    if (o->min_p > 0)
        add(s, "min-p", "p", o->min_p);
    add(s, "temperature", "temp", o->temp);
    tool_check(llm_sampler_add(s, "dist", NULL, 0));
    return s;
}

static int32_t show_reading(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    tool_progress("reading", done, total);
    return 0;
}

/* Streams pieces; returns the number of tokens made. */
static uint64_t generate(llm_session *session, const options *o, double *first)
{
    llm_piece piece = LLM_PIECE_INIT;
    uint64_t made = 0;
    int32_t rc;
    if (o->tokens == 0)
        return 0;
    while ((rc = llm_session_next(session, &piece)) == LLM_OK) {
        if (made++ == 0)
            *first = tool_now();
        if (o->ids && piece.token >= 0)
            printf("%s%d", made > 1 ? " " : "", (int)piece.token);
        else if (!o->ids)
            fwrite(piece.text, 1, piece.size, stdout);
        fflush(stdout);
    }
    putchar('\n');
    if (rc != LLM_DONE && rc != LLM_E_CONTEXT_FULL)
        tool_check(rc);
    return made;
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    tool_model m;
    uint64_t size = 0;
    char *text = o.prompt != NULL ? NULL : o.file != NULL ? tool_read_file(o.file, &size) : NULL;
    tool_open(o.model, &o.compute, NULL, &m);
    if (o.prompt == NULL && text == NULL)
        text = tool_read(stdin, "stdin", &size);
    if (text != NULL && strlen(text) != size)
        tool_fail("the prompt has a NUL in it, at byte %llu", (unsigned long long)strlen(text));
    llm_sampler *sampler = make_sampler(m.runtime, &o);
    bool bound = o.tokens != NO_BOUND && o.tokens != 0;
    llm_session_params sp = {.struct_size = sizeof sp,
                             .set_mask = bound ? LLM_SESSION_SET_MAX_TOKENS : 0,
                             .engine = m.engine,
                             .max_tokens = bound ? (uint32_t)o.tokens : 0,
                             .sampler = sampler,
                             .stops = o.stops.items,
                             .n_stops = o.stops.count};
    llm_session *session;
    tool_check(llm_session_create(m.model, &sp, &session));
    double start = tool_now(), first = start;
    llm_feed_params fp = {.struct_size = sizeof fp, .progress = show_reading};
    tool_check(llm_session_feed_text(session, text != NULL ? text : o.prompt, &fp));
    if (llm_session_length(session) == 0 && o.tokens > 0)
        tool_fail("there is no text to continue: give some with -p, -f or on stdin");
    double fed = tool_now();
    uint64_t prompt = llm_session_length(session), made = generate(session, &o, &first);
    double done = tool_now();
    char memory[32];
    fprintf(stderr,
            "prompt %llu tokens, %.1f/s; generated %llu tokens, %.1f/s; first after %.0f ms; %s\n",
            (unsigned long long)prompt, (double)prompt / (fed - start), (unsigned long long)made,
            made > 0 ? (double)made / (done - fed) : 0, (first - start) * 1e3,
            tool_bytes(tool_memory(&m), memory));
    llm_session_destroy(session);
    llm_sampler_destroy(sampler);
    tool_close(&m);
    free(text);
    tool_flush();
    return 0;
}
