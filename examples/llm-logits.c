/* llm-logits.c - raw logits behind each of some tokens, for comparing implementations. */
#include "tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct chunks {
    llm_token *sizes; /* [count] the last repeats; count 0: all at once */
    uint64_t count;
} chunks;

static chunks parse_split(const char *text)
{
    chunks c = {NULL, 0};
    if (text != NULL)
        c.sizes = tool_ids(text, "--split", &c.count);
    for (uint64_t i = 0; i < c.count; i++)
        if (c.sizes[i] == 0)
            tool_misused("--split has a chunk of no tokens");
    return c;
}

static void feed(llm_session *session, const llm_token *tokens, uint64_t n, const chunks *split,
                 float *logits, uint32_t n_vocab)
{
    uint64_t at = 0;
    for (uint64_t i = 0; at < n; i++) {
        uint64_t part = n;
        if (split->count > 0)
            part = (uint64_t)split->sizes[i < split->count ? i : split->count - 1];
        if (part > n - at)
            part = n - at;
        llm_feed_params fp = {.struct_size = sizeof fp,
                              .logits = logits + at * n_vocab,
                              .logits_capacity = part * n_vocab};
        tool_check(llm_session_feed(session, tokens + at, part, &fp));
        at += part;
    }
}

int main(int argc, char **argv)
{
    static const char *path, *tokens_text, *out_path, *split;
    static tool_compute compute = {.cache = "f32"};
    const tool_option list[] = {
        {"--tokens", TOOL_TEXT, &tokens_text, "1,2,3", "the token ids", 0},
        {"--out", TOOL_TEXT, &out_path, "FILE", "where the floats go", 0},
        {"--split", TOOL_TEXT, &split, "A,B,...", "feed in chunks of these sizes; the last repeats",
         0},
        {"--cache", TOOL_TEXT, &compute.cache, "TYPE",
         "cache type: f32, f16, bf16, q8_0, q4_0, e4m3 [f32]", 0},
        TOOL_COMPUTE_OPTIONS(compute),
        {0},
    };
    const tool_program program = {
        "llm-logits",
        "MODEL --tokens 1,2,3 --out FILE [options]",
        "Writes the logits behind every token: little-endian float32, [tokens][vocabulary].",
        list,
        &path,
        1};
    tool_parse(&program, argc, argv);
    if (tokens_text == NULL || out_path == NULL)
        tool_misused("--tokens and --out are needed");
    uint64_t n;
    llm_token *tokens = tool_ids(tokens_text, "--tokens", &n);
    if (n == 0)
        tool_misused("--tokens holds no id");
    chunks sizes = parse_split(split);
    tool_model m;
    llm_session *session;
    llm_engine_params shape = {.struct_size = sizeof shape, .max_outputs = 512};
    tool_open(path, &compute, &shape, &m);
    llm_session_params sp = {.struct_size = sizeof sp, .engine = m.engine};
    tool_check(llm_session_create(m.model, &sp, &session));
    uint32_t n_vocab = m.info.n_vocab;
    float *logits = malloc((size_t)n * n_vocab * sizeof *logits);
    if (logits == NULL)
        tool_fail("no memory for %llu rows of logits", (unsigned long long)n);
    feed(session, tokens, n, &sizes, logits, n_vocab);
    FILE *out = fopen(out_path, "wb");
    if (out == NULL || fwrite(logits, (size_t)n_vocab * sizeof *logits, n, out) != n ||
        fclose(out) != 0)
        tool_fail("cannot write '%s': %s", out_path, strerror(errno));
    free(logits);
    free(tokens);
    free(sizes.sizes);
    llm_session_destroy(session);
    tool_close(&m);
    return 0;
}
