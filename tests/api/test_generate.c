/* test_generate.c - what a host sees while generating: pieces, stops, bounds, probabilities, tickets, full
 * contexts, misuse. */
#include "support/support.h"

#include <llm/llm.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct world {
    llm_runtime *rt;
    llm_model *model;
} world;

static int open_world(void **state)
{
    static world w;
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "ref"};
    char path[4096];
    snprintf(path, sizeof path, "%s", test_file_path("model/data/llama.gguf"));
    assert_ok(llm_runtime_create(NULL, &w.rt));
    assert_ok(llm_model_open(w.rt, path, &mp, &w.model));
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;
    llm_model_release(w->model);
    llm_runtime_destroy(w->rt);
    return 0;
}

static const llm_token prompt[] = {13, 41, 32, 33, 47, 45, 58, 17, 35, 13};
#define PROMPT (sizeof prompt / sizeof prompt[0])

static llm_session *start(const world *w, llm_session_params *sp)
{
    llm_session *s;
    sp->struct_size = sizeof *sp;
    assert_ok(llm_session_create(w->model, sp, &s));
    assert_ok(llm_session_feed(s, prompt, PROMPT, NULL));
    return s;
}

static void test_generate__bound(void **state)
{
    llm_session_params sp = {.set_mask = LLM_SESSION_SET_MAX_TOKENS, .max_tokens = 5};
    llm_session *s = start(*state, &sp);
    llm_piece piece = LLM_PIECE_INIT;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(llm_session_next(s, &piece), LLM_OK);
        assert_true(piece.token >= 0);
        assert_int_equal(piece.finish, LLM_FINISH_NONE);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(llm_session_next(s, &piece), LLM_DONE);
        assert_int_equal(piece.finish, LLM_FINISH_LENGTH);
    }
    assert_int_equal(llm_session_length(s), PROMPT + 5);
    assert_ok(llm_session_feed(s, prompt, 1, NULL)); /* a new generation */
    assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    llm_session_destroy(s);
}

static void test_generate__context_full(void **state)
{
    llm_session_params sp = {.context = PROMPT + 3};
    llm_session *s = start(*state, &sp);
    llm_piece piece = LLM_PIECE_INIT;
    for (int i = 0; i < 3; i++)
        assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    assert_int_equal(llm_session_next(s, &piece), LLM_E_CONTEXT_FULL);
    assert_status(llm_session_feed(s, prompt, 1, NULL), LLM_E_CONTEXT_FULL);
    assert_int_equal(llm_session_length(s), PROMPT + 3);
    assert_ok(llm_session_rewind(s, PROMPT));
    assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    llm_session_destroy(s);
}

static void test_generate__probabilities(void **state)
{
    llm_session_params sp = {.top_n = 7};
    llm_session *s = start(*state, &sp);
    const float *logits;
    uint32_t n_vocab;
    assert_ok(llm_session_logits(s, &logits, &n_vocab));
    double most = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n_vocab; i++)
        most = logits[i] > most ? logits[i] : most;
    for (uint32_t i = 0; i < n_vocab; i++)
        sum += exp(logits[i] - most);
    float copy[4096];
    assert_true(n_vocab <= 4096);
    memcpy(copy, logits, n_vocab * sizeof *copy);
    llm_piece piece = LLM_PIECE_INIT;
    assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    assert_int_equal(piece.n_top, 7);
    assert_int_equal(piece.top[0].id, piece.token);
    for (uint32_t i = 0; i < 7; i++) {
        double wanted = copy[piece.top[i].id] - most - log(sum);
        assert_true(fabs(piece.top[i].logprob - wanted) < 1e-5);
        uint32_t better = 0;
        for (uint32_t k = 0; k < n_vocab; k++)
            better += copy[k] > copy[piece.top[i].id];
        assert_int_equal(better, i);
    }
    assert_true(piece.logprob == piece.top[0].logprob);
    llm_session_destroy(s);
}

static void test_generate__tickets(void **state)
{
    llm_session_params sp = {0};
    llm_session *s = start(*state, &sp);
    llm_piece piece = LLM_PIECE_INIT;
    uint64_t first, second;
    assert_ok(llm_session_ticket(s, &first));
    assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    assert_ok(llm_session_cancel(s, first));
    assert_int_equal(llm_session_next(s, &piece), LLM_DONE);
    assert_int_equal(piece.finish, LLM_FINISH_CANCEL);
    assert_status(llm_session_feed(s, prompt, PROMPT, NULL), LLM_E_CANCELLED);
    uint64_t length = llm_session_length(s);
    assert_ok(llm_session_ticket(s, &second));
    assert_ok(llm_session_cancel(s, first)); /* stale: does nothing */
    assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    assert_int_equal(llm_session_length(s), length + 1);
    assert_ok(llm_session_ticket(s, &first));
    assert_ok(llm_session_cancel(s, first)); /* before anything started */
    assert_int_equal(llm_session_next(s, &piece), LLM_DONE);
    llm_session_destroy(s);
}

typedef struct stopper {
    uint64_t at;
    llm_session *intruder;
    int32_t answer;
} stopper;

static int32_t stop_after(void *user, uint64_t done, uint64_t total)
{
    stopper *x = user;
    assert_true(done <= total);
    if (x->intruder != NULL)
        x->answer = llm_session_rewind(x->intruder, 0);
    return done >= x->at;
}

static void test_generate__cancelled_feed_keeps_chunks(void **state)
{
    llm_session_params sp = {0};
    llm_session *s = start(*state, &sp);
    stopper x = {.at = 6};
    llm_feed_params fp = {
        .struct_size = sizeof fp, .chunk = 3, .progress = stop_after, .progress_user = &x};
    assert_status(llm_session_feed(s, prompt, PROMPT, &fp), LLM_E_CANCELLED);
    assert_int_equal(llm_session_length(s), PROMPT + 6);
    llm_piece piece = LLM_PIECE_INIT;
    assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    llm_session_destroy(s);
}

/* What was kept is a new text: an end that was reached before it does not count any more. */
static void test_generate__cancelled_feed_ends_the_generation(void **state)
{
    llm_session_params sp = {.set_mask = LLM_SESSION_SET_MAX_TOKENS, .max_tokens = 1};
    llm_session *s = start(*state, &sp);
    stopper x = {.at = 3};
    llm_feed_params fp = {
        .struct_size = sizeof fp, .chunk = 3, .progress = stop_after, .progress_user = &x};
    llm_piece piece = LLM_PIECE_INIT;
    assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    assert_int_equal(llm_session_next(s, &piece), LLM_DONE);
    assert_status(llm_session_feed(s, prompt, PROMPT, &fp), LLM_E_CANCELLED);
    assert_int_equal(llm_session_length(s), PROMPT + 1 + 2); /* with the token that was made last */
    assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    llm_session_destroy(s);
}

static void test_generate__second_caller_is_busy(void **state)
{
    llm_session_params sp = {0};
    llm_session *s = start(*state, &sp);
    stopper x = {.at = UINT64_MAX, .intruder = s};
    llm_feed_params fp = {.struct_size = sizeof fp, .progress = stop_after, .progress_user = &x};
    assert_ok(llm_session_feed(s, prompt, PROMPT, &fp));
    assert_int_equal(x.answer, LLM_E_BUSY);
    llm_session_destroy(s);
}

static void test_generate__embedding_rows(void **state)
{
    world *w = *state;
    llm_session_params sp = {0};
    llm_session *by_id = start(w, &sp), *by_row;
    assert_ok(llm_session_create(w->model, NULL, &by_row));
    llm_model_info info = {.struct_size = sizeof info};
    assert_ok(llm_model_get_info(w->model, &info));
    uint64_t table = UINT64_MAX;
    llm_tensor_info t = {.struct_size = sizeof t};
    for (uint64_t i = 0; llm_model_tensor_at(w->model, i, &t) == LLM_OK; i++)
        if (strcmp(t.name, "token_embd.weight") == 0)
            table = i;
    float rows[PROMPT * 256];
    assert_true(info.width <= 256);
    for (size_t i = 0; i < PROMPT; i++)
        assert_ok(llm_model_tensor_values(w->model, table, (uint64_t)prompt[i] * info.width,
                                          info.width, rows + i * info.width));
    assert_ok(llm_session_feed_embeddings(by_row, rows, PROMPT, NULL));
    const float *a, *b;
    for (int round = 0; round < 2; round++) {
        assert_ok(llm_session_logits(by_id, &a, NULL));
        assert_ok(llm_session_logits(by_row, &b, NULL));
        assert_memory_equal(a, b, info.n_vocab * sizeof *a);
        assert_ok(llm_session_rewind(by_id, 4)); /* rows are computed again from what was kept */
        assert_ok(llm_session_rewind(by_row, 4));
    }
    llm_token id;
    uint64_t n;
    assert_ok(llm_session_tokens(by_row, 3, &id, 1, &n));
    assert_int_equal(id, -1);
    llm_session_destroy(by_id);
    llm_session_destroy(by_row);
}

static void test_generate__bad_arguments(void **state)
{
    world *w = *state;
    llm_session_params sp = {0};
    llm_session *s = start(w, &sp);
    llm_token bad = 1 << 20, negative = -1;
    const char *empty = "";
    assert_status(llm_session_feed(s, &bad, 1, NULL), LLM_E_INVALID);
    assert_status(llm_session_feed(s, &negative, 1, NULL), LLM_E_INVALID);
    assert_status(llm_session_feed(s, NULL, 1, NULL), LLM_E_INVALID);
    assert_status(llm_session_set_stops(s, &empty, 1, 0), LLM_E_INVALID);
    assert_status(llm_session_next(s, NULL), LLM_E_INVALID);
    assert_status(llm_session_next(NULL, NULL), LLM_E_INVALID);
    assert_status(llm_session_feed_text(s, "x", NULL), LLM_E_UNSUPPORTED);
    assert_int_equal(llm_session_length(s), PROMPT);
    llm_session_destroy(s);
    sp = (llm_session_params){.struct_size = sizeof sp, .context = 1 << 30};
    assert_status(llm_session_create(w->model, &sp, &s), LLM_E_LIMIT);
    sp = (llm_session_params){.struct_size = sizeof sp, .top_n = 33};
    assert_status(llm_session_create(w->model, &sp, &s), LLM_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generate__bound),
        cmocka_unit_test(test_generate__context_full),
        cmocka_unit_test(test_generate__probabilities),
        cmocka_unit_test(test_generate__tickets),
        cmocka_unit_test(test_generate__cancelled_feed_keeps_chunks),
        cmocka_unit_test(test_generate__cancelled_feed_ends_the_generation),
        cmocka_unit_test(test_generate__second_caller_is_busy),
        cmocka_unit_test(test_generate__embedding_rows),
        cmocka_unit_test(test_generate__bad_arguments),
    };
    return cmocka_run_group_tests_name("generate", tests, open_world, close_world);
}
