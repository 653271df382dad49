/* llm-perplexity.c - how well a model predicts a text. The text is cut into windows; in each,
 * tokens of the second half are judged, so that every judged token has at least half a window
 * before it. */
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST 4u /* tokens that a window must have */

/* Negative natural log-probability of `token` under raw logits. */
static double surprise(const float *logits, uint32_t n, llm_token token)
{
    double most = logits[0], sum = 0;
    for (uint32_t i = 1; i < n; i++)
        most = logits[i] > most ? logits[i] : most;
    for (uint32_t i = 0; i < n; i++)
        sum += exp(logits[i] - most);
    return most + log(sum) - logits[token];
}

typedef struct score {
    double nats;
    uint64_t tokens, bytes;
} score;

/* Bytes of a run of tokens as text. */
static uint64_t text_bytes(const llm_tokenizer *tokenizer, const llm_token *ids, uint64_t n)
{
    uint64_t size = 0;
    int32_t rc = llm_tokenizer_decode(tokenizer, ids, n, 0, NULL, 0, &size);
    if (rc != LLM_E_BUFFER)
        tool_check(rc);
    return size;
}

static void judge_window(llm_session *session, const llm_tokenizer *tokenizer, const llm_token *ids,
                         uint64_t n, float *logits, uint32_t n_vocab, score *total)
{
    uint64_t first = n / 2;
    llm_feed_params fp = {
        .struct_size = sizeof fp, .logits = logits, .logits_capacity = n * n_vocab};
    tool_check(llm_session_rewind(session, 0));
    tool_check(llm_session_feed(session, ids, n, &fp));
    for (uint64_t i = first; i + 1 < n; i++)
        total->nats += surprise(logits + i * n_vocab, n_vocab, ids[i + 1]);
    total->tokens += n - first - 1;
    total->bytes += text_bytes(tokenizer, ids, n) - text_bytes(tokenizer, ids, first + 1);
}

/* Judges the whole text in windows. */
static score judge(const tool_model *m, llm_session *session, const llm_tokenizer *tokenizer,
                   const llm_token *ids, uint64_t n, uint64_t window)
{
    score total = {0, 0, 0};
    float *logits = malloc((size_t)window * m->info.n_vocab * sizeof *logits);
    if (logits == NULL)
        tool_fail("no memory for the logits of a window");
    for (uint64_t at = 0; at + LEAST <= n; at += window) {
        judge_window(session, tokenizer, ids + at, n - at < window ? n - at : window, logits,
                     m->info.n_vocab, &total);
        tool_progress("judging", at + window < n ? at + window : n, n);
    }
    free(logits);
    return total;
}

static void report(const score *total, uint64_t window, double rate, bool json)
{
    double bits = total->nats / log(2) / (double)total->bytes;
    double perplexity = exp(total->nats / (double)total->tokens);
    const char *form =
        json ? "{\"bits_per_byte\": %.6f, \"perplexity\": %.6f, \"tokens\": %llu, "
               "\"bytes\": %llu, \"window\": %llu, \"tok_s\": %.2f}\n"
             : "bits per byte  %.4f\nperplexity     %.4f\njudged         %llu tokens, "
               "%llu bytes, windows of %llu, %.1f tokens/s\n";
    printf(form, bits, perplexity, (unsigned long long)total->tokens,
           (unsigned long long)total->bytes, (unsigned long long)window, rate);
}

int main(int argc, char **argv)
{
    static const char *path, *file;
    static tool_compute compute;
    static uint64_t window;
    static bool json;
    const tool_option list[] = {
        {"-f", TOOL_TEXT, &file, "FILE", "the text", 0},
        {"--ctx", TOOL_COUNT, &window, "N", "tokens of one window [512, or the model's context]",
         1e6},
        {"--cache", TOOL_TEXT, &compute.cache, "TYPE",
         "cache type: f16, f32, bf16, q8_0, q4_0, e4m3 [f16]", 0},
        {"--json", TOOL_FLAG, &json, NULL, "print one JSON object", 0},
        TOOL_COMPUTE_OPTIONS(compute),
        {0},
    };
    const tool_program program = {"llm-perplexity",
                                  "MODEL -f FILE [options]",
                                  "Bits per byte and perplexity of a text under a model.",
                                  list,
                                  &path,
                                  1};
    tool_parse(&program, argc, argv);
    if (file == NULL)
        tool_misused("-f FILE is needed");
    uint64_t size, n;
    char *text = tool_read_file(file, &size);
    tool_model m;
    llm_tokenizer *tokenizer;
    llm_session *session;
    llm_engine_params shape = {
        .struct_size = sizeof shape, .max_outputs = 512, .flags = LLM_ENGINE_NO_SHARING};
    tool_open(path, &compute, &shape, &m);
    tool_check(llm_model_tokenizer(m.model, &tokenizer));
    llm_token *ids = tool_encode(tokenizer, text, size, 0, &n);
    if (window == 0)
        window = m.info.context < 512 ? m.info.context : 512;
    if (window > m.info.context)
        tool_fail("a window of %llu tokens; the model's context is %u", (unsigned long long)window,
                  (unsigned)m.info.context);
    if (n < LEAST || window < LEAST)
        tool_fail("'%s' has %llu tokens; that is too few to judge", file, (unsigned long long)n);
    llm_session_params sp = {.struct_size = sizeof sp, .engine = m.engine};
    tool_check(llm_session_create(m.model, &sp, &session));
    double start = tool_now();
    score total = judge(&m, session, tokenizer, ids, n, window);
    report(&total, window, (double)n / (tool_now() - start), json);
    free(ids);
    free(text);
    llm_session_destroy(session);
    llm_tokenizer_release(tokenizer);
    tool_close(&m);
    tool_flush();
    return 0;
}
