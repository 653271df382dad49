/* fuzz_api.c - the input is a program of calls on a few sessions of one engine with few pages, on a device that
 * checks every access and fails when told to. What each call must leave behind is known beforehand: the
 * timeline token by token, and logits as a session has that was fed the same in one go. */
#include "fuzz/fuzz.h"

#include "api/handles.h"
#include "backends/null/null.h"

#include <llm/llm.h>

#include <string.h>

#define CONTEXT  72u
#define SESSIONS 3u
#define VOCAB    80u
#define MODELS   3u

/* --- the machine --- */

typedef struct shadow {
    llm_session *s;
    llm_token tokens[CONTEXT]; /* -1: a row */
    uint32_t length;
    bool has_rows; /* then there is no session to compare with */
    bool cancelled;
    uint64_t salt;
} shadow;

typedef struct machine {
    const uint8_t *at, *end;
    llm_model *model;
    llm_engine *engine, *plain;
    llm_sampler *sampler;
    shadow sessions[SESSIONS];
    shadow saved; /* what `blob` holds */
    unsigned char *blob;
    uint64_t blob_size;
    bool tight;  /* pages may run out */
    bool faulty; /* the next call may be refused memory */
} machine;

static llm_runtime *runtime;
static llm_model *models[MODELS];

static void open_models(void)
{
    static const char *const names[MODELS] = {"llama", "gemma3", "mamba2"};
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "null"};
    if (runtime != NULL)
        return;
    MUST(llm_runtime_create(NULL, &runtime) == LLM_OK);
    for (uint32_t i = 0; i < MODELS; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/model/data/%s.gguf", TESTS_DIR, names[i]);
        MUST(llm_model_open(runtime, path, &mp, &models[i]) == LLM_OK);
    }
}

static uint32_t next_byte(machine *m)
{
    return m->at < m->end ? *m->at++ : 0;
}

static llm_engine *make_engine(const machine *m, uint32_t flags, uint64_t budget, uint32_t page)
{
    llm_engine *e;
    llm_engine_params ep = {.struct_size = sizeof ep,
                            .flags = flags,
                            .context = CONTEXT,
                            .page_tokens = page,
                            .max_rows = 20,
                            .max_sequences = 4,
                            .max_outputs = 3,
                            .state_interval = 24,
                            .cache_budget = budget};
    MUST(llm_engine_create(m->model, &ep, &e) == LLM_OK);
    return e;
}

static llm_session *make_session(const machine *m, llm_engine *engine, uint64_t salt)
{
    llm_session *s;
    llm_session_params sp = {.struct_size = sizeof sp, .engine = engine, .salt = salt, .top_n = 2};
    MUST(llm_session_create(m->model, &sp, &s) == LLM_OK);
    return s;
}

static void start(machine *m)
{
    llm_memory_plan plan = {.struct_size = sizeof plan};
    uint32_t shape = next_byte(m), page = 16u << (shape / 3 % 2);
    llm_engine_params ep = {.struct_size = sizeof ep, .page_tokens = page};
    m->model = models[shape % MODELS];
    m->tight = (shape / 6) % 2 != 0;
    MUST(llm_model_plan(m->model, &ep, 0, &plan) == LLM_OK);
    uint64_t budget =
        m->tight ? plan.cache_page * (3 + shape / 12 % 6) + plan.cache_sequence * 6 : 0;
    m->engine = make_engine(m, 0, budget, page);
    m->plain = make_engine(m, LLM_ENGINE_NO_SHARING, 0, 16);
    MUST(llm_sampler_create(runtime, &m->sampler) == LLM_OK);
    MUST(llm_sampler_add(m->sampler, "dist", NULL, 0) == LLM_OK);
    for (uint32_t i = 0; i < SESSIONS; i++)
        m->sessions[i].s = make_session(m, m->engine, 0);
}

static void stop(machine *m)
{
    llm_engine_stats stats = {.struct_size = sizeof stats};
    for (uint32_t i = 0; i < SESSIONS; i++)
        llm_session_destroy(m->sessions[i].s);
    MUST(llm_engine_trim(m->engine) == LLM_OK);
    MUST(llm_engine_get_stats(m->engine, &stats) == LLM_OK);
    MUST(stats.pages_free == stats.pages_total);
    llm_sampler_destroy(m->sampler);
    llm_engine_release(m->engine);
    llm_engine_release(m->plain);
    free(m->blob);
}

/* --- what must be --- */

/* A call that computes was refused for a reason it may have. */
static bool excused(const machine *m, const shadow *x, int32_t rc)
{
    return (rc == LLM_E_BUDGET && m->tight) || (rc == LLM_E_MEMORY && m->faulty) ||
           (rc == LLM_E_CANCELLED && x->cancelled);
}

static void check_timeline(const shadow *x)
{
    llm_token tokens[CONTEXT];
    uint64_t n;
    MUST(llm_session_length(x->s) == x->length);
    MUST(llm_session_tokens(x->s, 0, tokens, CONTEXT, &n) == LLM_OK && n == x->length);
    MUST(x->length == 0 || memcmp(tokens, x->tokens, x->length * sizeof *tokens) == 0);
}

static void check_logits(machine *m, shadow *x)
{
    const float *got, *wanted;
    if (x->length == 0 || x->has_rows || x->cancelled)
        return;
    int32_t rc = llm_session_logits(x->s, &got, NULL);
    if (rc < 0) {
        MUST(excused(m, x, rc));
        return;
    }
    llm_session *fresh = make_session(m, m->plain, 0);
    MUST(llm_session_feed(fresh, x->tokens, x->length, NULL) == LLM_OK);
    MUST(llm_session_logits(fresh, &wanted, NULL) == LLM_OK);
    MUST(memcmp(got, wanted, VOCAB * sizeof *got) == 0);
    llm_session_destroy(fresh);
}

/* --- acts --- */

static void make_tokens(machine *m, llm_token *tokens, uint32_t n)
{
    uint32_t story = next_byte(m), turn = story / 4;
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (llm_token)((story % 4 * 7 + i * 5 + (i >= turn ? 1 : 0)) % VOCAB);
}

static void act_feed(machine *m, shadow *x)
{
    llm_token tokens[CONTEXT];
    uint32_t n = next_byte(m) % 50, chunk = next_byte(m) % 25;
    llm_feed_params fp = {.struct_size = sizeof fp, .chunk = chunk};
    make_tokens(m, tokens, n);
    int32_t rc = llm_session_feed(x->s, tokens, n, &fp);
    if (x->length + n > CONTEXT) {
        MUST(rc == LLM_E_CONTEXT_FULL);
    } else if (rc == LLM_OK) {
        memcpy(x->tokens + x->length, tokens, n * sizeof *tokens);
        x->length += n;
    } else {
        MUST(excused(m, x, rc));
    }
}

static void act_feed_with_logits(machine *m, shadow *x)
{
    llm_token tokens[12];
    float logits[12 * VOCAB];
    const float *last;
    uint32_t n = 1 + next_byte(m) % 12;
    llm_feed_params fp = {.struct_size = sizeof fp, .logits = logits, .logits_capacity = n * VOCAB};
    make_tokens(m, tokens, n);
    int32_t rc = llm_session_feed(x->s, tokens, n, &fp);
    if (x->length + n > CONTEXT) {
        MUST(rc == LLM_E_CONTEXT_FULL);
        return;
    }
    if (rc < 0) {
        MUST(excused(m, x, rc));
        return;
    }
    memcpy(x->tokens + x->length, tokens, n * sizeof *tokens);
    x->length += n;
    MUST(llm_session_logits(x->s, &last, NULL) == LLM_OK);
    MUST(memcmp(last, logits + (size_t)(n - 1) * VOCAB, VOCAB * sizeof *last) == 0);
}

static void act_rows(machine *m, shadow *x)
{
    static float rows[4 * 64];
    uint32_t n = 1 + next_byte(m) % 4;
    rows[0] = (float)next_byte(m);
    int32_t rc = llm_session_feed_embeddings(x->s, rows, n, NULL);
    if (x->length + n > CONTEXT) {
        MUST(rc == LLM_E_CONTEXT_FULL);
    } else if (rc == LLM_OK) {
        for (uint32_t i = 0; i < n; i++)
            x->tokens[x->length++] = -1;
        x->has_rows = true;
    } else {
        MUST(excused(m, x, rc));
    }
}

static void act_next(machine *m, shadow *x)
{
    llm_piece piece = LLM_PIECE_INIT;
    for (uint32_t i = next_byte(m) % 6; i > 0; i--) {
        int32_t rc = llm_session_next(x->s, &piece);
        if (rc == LLM_OK) {
            MUST(!x->cancelled && x->length < CONTEXT && piece.token >= 0 && piece.n_top == 2);
            x->tokens[x->length++] = piece.token;
        } else if (rc == LLM_DONE) {
            MUST(piece.finish == LLM_FINISH_CANCEL && x->cancelled);
        } else {
            MUST((rc == LLM_E_STATE && x->length == 0) ||
                 (rc == LLM_E_CONTEXT_FULL && x->length == CONTEXT) || excused(m, x, rc));
        }
    }
}

static void cut(shadow *x, uint32_t length)
{
    x->length = length;
    x->has_rows = false;
    for (uint32_t i = 0; i < length; i++)
        x->has_rows |= x->tokens[i] < 0;
}

static void act_rewind(machine *m, shadow *x)
{
    uint32_t to = next_byte(m) % (CONTEXT + 2);
    int32_t rc = llm_session_rewind(x->s, to);
    MUST(rc == (to > x->length ? LLM_E_INVALID : LLM_OK));
    if (rc == LLM_OK)
        cut(x, to);
}

static void act_sync(machine *m, shadow *x)
{
    llm_token tokens[CONTEXT];
    uint32_t n = next_byte(m) % (CONTEXT + 1);
    uint64_t reused = 0;
    make_tokens(m, tokens, n);
    int32_t rc = llm_session_sync(x->s, tokens, n, NULL, &reused);
    if (rc == LLM_OK) {
        MUST(n > 0 && reused <= n);
        memcpy(x->tokens, tokens, n * sizeof *tokens);
        cut(x, n);
    } else if (rc == LLM_E_CANCELLED) { /* it may have begun */
        uint64_t length = llm_session_length(x->s);
        MUST(x->cancelled && length <= n);
        memcpy(x->tokens, tokens, n * sizeof *tokens);
        cut(x, (uint32_t)length);
    } else {
        MUST(n == 0 ? rc == LLM_E_INVALID : excused(m, x, rc));
    }
}

static void act_fork(machine *m, shadow *x)
{
    llm_session *fork;
    shadow *to = &m->sessions[next_byte(m) % SESSIONS];
    if (to == x)
        return;
    MUST(llm_session_fork(x->s, &fork) == LLM_OK);
    llm_session_destroy(to->s);
    bool was_cancelled = x->cancelled;
    *to = *x;
    to->s = fork;
    to->cancelled = false;
    if (was_cancelled) { /* a finish that came with it goes with a new ticket */
        uint64_t ticket;
        MUST(llm_session_ticket(fork, &ticket) == LLM_OK);
    }
}

static void act_save(machine *m, shadow *x)
{
    uint64_t size = 0;
    MUST(llm_session_save_memory(x->s, NULL, 0, &size) == LLM_E_BUFFER);
    unsigned char *blob = malloc((size_t)size);
    MUST(blob != NULL);
    int32_t rc = llm_session_save_memory(x->s, blob, size, &size);
    if (rc < 0) {
        MUST(excused(m, x, rc));
        free(blob);
        return;
    }
    free(m->blob);
    m->blob = blob;
    m->blob_size = size;
    m->saved = *x;
}

static void act_load(machine *m, shadow *x)
{
    if (m->blob == NULL)
        return;
    int32_t rc = llm_session_load_memory(x->s, m->blob, m->blob_size);
    if (rc < 0) {
        MUST(excused(m, x, rc));
        return;
    }
    memcpy(x->tokens, m->saved.tokens, sizeof x->tokens);
    x->length = m->saved.length;
    x->has_rows = m->saved.has_rows;
}

static void act_cancel(machine *m, shadow *x)
{
    uint64_t ticket;
    bool now = next_byte(m) % 2 != 0;
    MUST(llm_session_ticket(x->s, &ticket) == LLM_OK);
    x->cancelled = now;
    MUST(llm_session_cancel(x->s, now ? ticket : ticket - 1) == LLM_OK);
}

static void act_renew(machine *m, shadow *x)
{
    uint64_t salt = next_byte(m) % 2;
    llm_session_destroy(x->s);
    *x = (shadow){.s = make_session(m, m->engine, salt), .salt = salt};
}

static void act_settings(machine *m, shadow *x)
{
    bool draws = next_byte(m) % 2 != 0;
    MUST(llm_session_set_sampler(x->s, draws ? m->sampler : NULL) == LLM_OK);
    MUST(llm_engine_trim(m->engine) == LLM_OK);
}

/* From here to the end of the next act one call of the device is refused. */
static void act_fault(machine *m, shadow *x)
{
    static const uint32_t calls[] = {LNULL_ANY,       LNULL_PROGRAM_RUN, LNULL_CACHE_GROW,
                                     LNULL_PAGE_COPY, LNULL_SLOT_READ,   LNULL_PAGE_IMPORT};
    lm_device *device = m->engine->inner->placement->devices[0].device;
    uint32_t call = calls[next_byte(m) % (sizeof calls / sizeof calls[0])];
    (void)x;
    lnull_fail(device, call, 1 + next_byte(m) % 8, LLM_E_MEMORY);
    m->faulty = true;
}

static void (*const acts[])(machine *m, shadow *x) = {act_feed,     act_feed_with_logits,
                                                      act_rows,     act_next,
                                                      act_next,     act_rewind,
                                                      act_sync,     act_fork,
                                                      act_save,     act_load,
                                                      act_cancel,   act_renew,
                                                      act_settings, act_fault};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    machine m = {.at = data, .end = data + size};
    open_models();
    start(&m);
    lm_device *device = m.engine->inner->placement->devices[0].device;
    for (int i = 0; i < 60 && m.at < m.end; i++) {
        uint32_t code = next_byte(&m);
        shadow *x = &m.sessions[code % SESSIONS];
        bool was_faulty = m.faulty;
        acts[code / SESSIONS % (sizeof acts / sizeof acts[0])](&m, x);
        if (was_faulty) {
            lnull_fail(device, LNULL_ANY, 0, LLM_OK);
            m.faulty = false;
        }
        check_timeline(x);
        if (!m.faulty)
            check_logits(&m, x);
    }
    lnull_fail(device, LNULL_ANY, 0, LLM_OK);
    stop(&m);
    return 0;
}
