/* program.c - a host that goes through the whole public surface in plain use. It runs against the
 * library it was built with; frozen/ keeps copies of it that were built with the headers of old
 * releases and must go on running. usage: program MODEL (a small text model) */
#include <llm/llm.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "program.c:%d: %s (%s)\n", __LINE__, #condition, llm_last_error());    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define ok(expr) check((expr) == LLM_OK)

enum { PROMPT = 8, MADE = 40 };
static const llm_token prompt[PROMPT] = {1, 5, 9, 13, 17, 21, 25, 29};

/* --- what the host gives ---------------------------------------------------------------------- */

typedef struct account {
    uint64_t blocks, lines, progress;
} account;

/* aligned by hand, because C11's aligned_alloc is not everywhere */
static void *host_alloc(void *user, uint64_t size, uint64_t align)
{
    char *start = (char *)malloc((size_t)(size + align + sizeof(void *)));
    if (start == NULL)
        return NULL;
    uintptr_t at = ((uintptr_t)start + sizeof(void *) + (uintptr_t)align - 1) / (uintptr_t)align;
    void **block = (void **)(at * (uintptr_t)align);
    block[-1] = start;
    ((account *)user)->blocks++;
    return block;
}

static void host_free(void *user, void *block, uint64_t size)
{
    (void)size;
    ((account *)user)->blocks--;
    free(((void **)block)[-1]);
}

static void host_log(void *user, uint32_t level, const char *line)
{
    (void)level;
    (void)line;
    ((account *)user)->lines++;
}

static int32_t host_progress(void *user, uint64_t done, uint64_t total)
{
    check(done <= total);
    ((account *)user)->progress++;
    return 0;
}

/* Forbids one token: a sampler of the host. */
static int32_t forbid(void *user, llm_candidate *candidates, uint64_t count, uint64_t *chosen)
{
    (void)chosen;
    for (uint64_t i = 0; i < count; i++)
        if (candidates[i].id == *(const llm_token *)user)
            candidates[i].logit = -INFINITY;
    return LLM_OK;
}

/* --- asking about the model ------------------------------------------------------------------- */

static void look_at_runtime(llm_runtime *runtime)
{
    llm_device_info device = {0};
    device.struct_size = sizeof device;
    ok(llm_runtime_device_at(runtime, 0, &device));
    check(device.id[0] != '\0');
    llm_memory_use use = {0};
    use.struct_size = sizeof use;
    ok(llm_runtime_memory(runtime, &use));
    check(use.bytes > 0 && use.peak >= use.bytes && use.allocations > 0);
    check(llm_runtime_device_at(runtime, 100000, &device) == LLM_E_NOT_FOUND);
    check(strcmp(llm_status_name(LLM_E_NOT_FOUND), "LLM_E_NOT_FOUND") == 0);
}

static void look_at_model(llm_model *model)
{
    llm_model_info info = {0};
    info.struct_size = sizeof info;
    ok(llm_model_get_info(model, &info));
    check(info.loaded && info.makes_text && info.n_vocab > 30 && info.n_steps > 0);
    llm_metadata pair = {0};
    pair.struct_size = sizeof pair;
    ok(llm_model_metadata_find(model, "general.architecture", 0, &pair));
    check(pair.kind == LLM_KIND_STRING && strcmp(pair.text, info.architecture) == 0);
    ok(llm_model_metadata_at(model, info.n_metadata - 1, 0, &pair));
    llm_tensor_info tensor = {0};
    tensor.struct_size = sizeof tensor;
    ok(llm_model_tensor_at(model, 0, &tensor));
    float value;
    ok(llm_model_tensor_values(model, 0, 0, 1, &value));
    check(isfinite(value));
    llm_step_info step = {0};
    step.struct_size = sizeof step;
    ok(llm_model_step_at(model, 0, &step));
    check(step.text[0] != '\0');
    llm_memory_plan plan = {0};
    plan.struct_size = sizeof plan;
    ok(llm_model_plan(model, NULL, 0, &plan));
    check(plan.weights + plan.mapped > 0 && plan.cache_page > 0);
}

/* --- generating ------------------------------------------------------------------------------- */

static llm_sampler *make_sampler(llm_runtime *runtime, llm_token *forbidden)
{
    llm_sampler *sampler;
    llm_sampler_class host = {0};
    host.struct_size = sizeof host;
    host.apply = forbid;
    llm_param k = {0};
    k.key = "k";
    k.kind = LLM_KIND_INT;
    k.value.i = 20;
    check(llm_sampler_name_at(0) != NULL);
    ok(llm_sampler_create(runtime, &sampler));
    ok(llm_sampler_add_host(sampler, &host, forbidden));
    ok(llm_sampler_add(sampler, "top-k", &k, 1));
    ok(llm_sampler_seed(sampler, 7));
    check(llm_sampler_add(sampler, "no such sampler", NULL, 0) == LLM_E_NOT_FOUND);
    return sampler;
}

static void generate(llm_session *session, llm_token *made, int n)
{
    for (int i = 0; i < n; i++) {
        llm_piece piece = LLM_PIECE_INIT;
        ok(llm_session_next(session, &piece));
        check(piece.token >= 0 && piece.finish == LLM_FINISH_NONE);
        check(piece.n_top == 3 && piece.top[0].logprob >= piece.top[2].logprob);
        check(piece.logprob <= 0.0f);
        made[i] = piece.token;
    }
}

/* The same future from a fork, from a rewound session, and from saved bytes. */
static void branch(llm_session *session)
{
    llm_token first[MADE], again[MADE];
    llm_session *fork;
    uint64_t size = 0, count = 0;
    ok(llm_session_fork(session, &fork));
    check(llm_session_save_memory(session, NULL, 0, &size) == LLM_E_BUFFER);
    void *saved = malloc((size_t)size);
    check(saved != NULL);
    ok(llm_session_save_memory(session, saved, size, &size));
    generate(session, first, MADE);
    generate(fork, again, MADE);
    check(memcmp(first, again, sizeof first) == 0);
    ok(llm_session_tokens(fork, PROMPT, again, MADE, &count));
    check(count == MADE && memcmp(first, again, sizeof first) == 0);
    ok(llm_session_rewind(fork, PROMPT / 2));
    check(llm_session_length(fork) == PROMPT / 2);
    ok(llm_session_load_memory(fork, saved, size));
    check(llm_session_length(fork) == PROMPT);
    generate(fork, again, MADE);
    check(memcmp(first, again, sizeof first) == 0);
    free(saved);
    llm_session_destroy(fork);
}

static void cancel(llm_session *session)
{
    llm_piece piece = LLM_PIECE_INIT;
    uint64_t stale, ticket;
    ok(llm_session_ticket(session, &stale));
    ok(llm_session_ticket(session, &ticket));
    ok(llm_session_cancel(session, stale));
    ok(llm_session_next(session, &piece));
    ok(llm_session_cancel(session, ticket));
    check(llm_session_next(session, &piece) == LLM_DONE && piece.finish == LLM_FINISH_CANCEL);
    ok(llm_session_ticket(session, &ticket)); /* what comes next is not cancelled */
}

static void run_sessions(llm_model *model, llm_sampler *sampler, llm_token forbidden)
{
    llm_session_params params = {0};
    params.struct_size = sizeof params;
    params.sampler = sampler;
    params.top_n = 3;
    llm_session *session;
    llm_token made[PROMPT + MADE];
    const float *logits;
    uint32_t n_logits;
    uint64_t count = 0, reused = 0;
    ok(llm_session_create(model, &params, &session));
    ok(llm_session_feed(session, prompt, PROMPT, NULL));
    ok(llm_session_logits(session, &logits, &n_logits));
    check(n_logits > 30 && isfinite(logits[0]));
    branch(session);
    ok(llm_session_tokens(session, 0, made, PROMPT + MADE, &count));
    check(count == PROMPT + MADE);
    for (int i = PROMPT; i < PROMPT + MADE; i++)
        check(made[i] != forbidden);
    cancel(session);
    ok(llm_session_sync(session, made, PROMPT + MADE / 2, NULL, &reused));
    check(reused > 0 && llm_session_length(session) == PROMPT + MADE / 2);
    ok(llm_session_set_sampler(session, NULL));
    llm_session_destroy(session);
}

int main(int argc, char **argv)
{
    account seen = {0};
    if (argc != 2)
        return fprintf(stderr, "usage: %s MODEL\n", argv[0]), 2;
    llm_runtime_params runtime_params = {0};
    runtime_params.struct_size = sizeof runtime_params;
    runtime_params.allocator.user = &seen;
    runtime_params.allocator.alloc = host_alloc;
    runtime_params.allocator.free = host_free;
    runtime_params.log = host_log;
    runtime_params.log_user = &seen;
    runtime_params.threads = 2;
    llm_runtime *runtime;
    ok(llm_runtime_create(&runtime_params, &runtime));
    llm_model_params model_params = {0};
    model_params.struct_size = sizeof model_params;
    model_params.progress = host_progress;
    model_params.progress_user = &seen;
    llm_model *model;
    check(llm_model_open(runtime, "/nonexistent", NULL, &model) == LLM_E_NOT_FOUND);
    ok(llm_model_open(runtime, argv[1], &model_params, &model));
    look_at_runtime(runtime);
    look_at_model(model);
    llm_token forbidden = 3;
    llm_sampler *sampler = make_sampler(runtime, &forbidden);
    run_sessions(model, sampler, forbidden);
    llm_sampler_destroy(sampler);
    llm_model_release(model);
    llm_runtime_destroy(runtime);
    check(seen.blocks == 0);
    printf("libllm %s: all is well\n", llm_version_string());
    return 0;
}
