/* test_promises.c - sentences of the headers that no other test needs: how long the default engine lives, what
 * happens to text that is held back when a generation ends or a call fails, and wishes that are unknown. */
#include "support/support.h"

#include <llm/llm.h>

#include <math.h>
#include <string.h>

static llm_model *open_model(llm_runtime *rt, const char *path, const char *devices)
{
    llm_model *model;
    llm_model_params mp = {.struct_size = sizeof mp, .devices = devices};
    assert_ok(llm_model_open(rt, path, &mp, &model));
    return model;
}

/* --- the default engine ----------------------------------------------------------------------- */

static void test_promises__default_engine_keeps_prefixes(void **state)
{
    (void)state;
    llm_runtime *rt;
    assert_ok(llm_runtime_create(NULL, &rt));
    llm_model *model = open_model(rt, test_file_path("model/data/llama.gguf"), "ref");
    llm_token tokens[70];
    for (int32_t i = 0; i < 70; i++)
        tokens[i] = i % 50 + 3;
    uint64_t reused[2];
    for (int round = 0; round < 2; round++) {
        llm_session *s;
        assert_ok(llm_session_create(model, NULL, &s));
        assert_ok(llm_session_sync(s, tokens, 70, NULL, &reused[round]));
        llm_session_destroy(s); /* nobody holds the engine now */
    }
    assert_int_equal(reused[0], 0);
    assert_int_equal(reused[1], 64);
    llm_model_release(model);
    llm_runtime_destroy(rt);
}

/* --- exact or fast ---------------------------------------------------------------------------- */

static void test_promises__engine_says_whether_it_is_exact(void **state)
{
    (void)state;
    static const struct {
        uint32_t flags, exact;
    } ways[] = {{0, 1}, {LLM_ENGINE_UNFUSED, 1}, {LLM_ENGINE_FAST, 0}};
    llm_runtime *rt;
    assert_ok(llm_runtime_create(NULL, &rt));
    llm_model *model = open_model(rt, test_file_path("model/data/llama.gguf"), "cpu");
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        llm_engine *engine;
        llm_engine_params ep = {.struct_size = sizeof ep, .flags = ways[i].flags};
        llm_engine_stats stats = {.struct_size = sizeof stats};
        assert_ok(llm_engine_create(model, &ep, &engine));
        assert_ok(llm_engine_get_stats(engine, &stats));
        assert_int_equal(stats.exact, ways[i].exact);
        llm_engine_release(engine);
    }
    llm_model_release(model);
    llm_runtime_destroy(rt);
}

/* --- text held back --------------------------------------------------------------------------- */

#define PROMPT "Once upon a time"

typedef struct story {
    test_memory memory;
    llm_runtime *rt;
    llm_model *model;
    char text[8192]; /* what the model writes after the prompt in `tokens` tokens */
    size_t size;
    uint32_t prompt, tokens;
} story;

static llm_session *tell(story *x, uint32_t context, const char *stop, const llm_sampler *sampler)
{
    llm_session *s;
    llm_session_params sp = {.struct_size = sizeof sp,
                             .context = context,
                             .sampler = sampler,
                             .stops = &stop,
                             .n_stops = stop != NULL,
                             .top_n = 3};
    assert_ok(llm_session_create(x->model, &sp, &s));
    assert_ok(llm_session_feed_text(s, PROMPT, NULL));
    return s;
}

static void begin_story(story *x, uint32_t tokens)
{
    memset(x, 0, sizeof *x);
    const char *path = test_data_path("models/stories260K/stories260K-f32-v3.gguf");
    test_memory_init(&x->memory);
    llm_runtime_params rp = {.struct_size = sizeof rp, .threads = 1};
    rp.allocator = test_memory_host(&x->memory);
    assert_ok(llm_runtime_create(&rp, &x->rt));
    x->model = open_model(x->rt, path, NULL);
    llm_session *s = tell(x, 0, NULL, NULL);
    x->prompt = (uint32_t)llm_session_length(s);
    llm_piece piece = LLM_PIECE_INIT;
    for (x->tokens = 0; x->tokens < tokens; x->tokens++) {
        assert_int_equal(llm_session_next(s, &piece), LLM_OK);
        assert_true(x->size + piece.size + 2 < sizeof x->text);
        memcpy(x->text + x->size, piece.text, piece.size);
        x->size += piece.size;
    }
    llm_session_destroy(s);
}

static void end_story(story *x)
{
    llm_model_release(x->model);
    llm_runtime_destroy(x->rt);
    test_memory_check(&x->memory);
}

/* The whole story and one character more: held back from the first piece to the last. */
static const char *stop_behind(story *x)
{
    x->text[x->size] = 1;
    x->text[x->size + 1] = '\0';
    return x->text;
}

static void test_promises__full_context_gives_out_held_text(void **state)
{
    (void)state;
    story x;
    begin_story(&x, 12);
    llm_session *s = tell(&x, x.prompt + x.tokens, stop_behind(&x), NULL);
    llm_piece piece = LLM_PIECE_INIT;
    for (uint32_t i = 0; i < x.tokens; i++) {
        assert_int_equal(llm_session_next(s, &piece), LLM_OK);
        assert_int_equal(piece.size, 0);
        assert_true(piece.token >= 0 && piece.n_top == 3);
    }
    assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    assert_int_equal(piece.token, -1);
    assert_int_equal(piece.n_top, 0);
    assert_int_equal(piece.size, x.size);
    assert_memory_equal(piece.text, x.text, x.size);
    for (int i = 0; i < 2; i++)
        assert_int_equal(llm_session_next(s, &piece), LLM_E_CONTEXT_FULL);
    llm_session_destroy(s);
    end_story(&x);
}

typedef struct ender {
    uint64_t left; /* candidates are left alone so many times */
    llm_token end;
} ender;

static int32_t end_after(void *user, llm_candidate *candidates, uint64_t count, uint64_t *chosen)
{
    ender *x = user;
    if (x->left > 0) {
        x->left--;
        return 0;
    }
    for (uint64_t i = 0; i < count; i++)
        if (candidates[i].id == x->end)
            *chosen = i;
    return 0;
}

static void test_promises__end_token_comes_with_its_probability(void **state)
{
    (void)state;
    story x;
    begin_story(&x, 8);
    llm_tokenizer *t;
    assert_ok(llm_model_tokenizer(x.model, &t));
    ender e = {8, llm_tokenizer_special(t, LLM_SPECIAL_EOS)};
    llm_tokenizer_release(t);
    assert_true(e.end >= 0);
    llm_sampler *sampler;
    llm_sampler_class host = {.struct_size = sizeof host, .apply = end_after};
    assert_ok(llm_sampler_create(x.rt, &sampler));
    assert_ok(llm_sampler_add_host(sampler, &host, &e));
    assert_ok(llm_sampler_add(sampler, "greedy", NULL, 0));
    llm_session *s = tell(&x, 0, stop_behind(&x), sampler);
    llm_piece piece = LLM_PIECE_INIT;
    for (uint32_t i = 0; i < x.tokens; i++)
        assert_int_equal(llm_session_next(s, &piece), LLM_OK);
    const float *logits;
    uint32_t n_vocab;
    double sum = 0;
    assert_ok(llm_session_logits(s, &logits, &n_vocab));
    for (uint32_t i = 0; i < n_vocab; i++)
        sum += exp(logits[i]);
    double wanted = logits[e.end] - log(sum);
    assert_int_equal(llm_session_next(s, &piece), LLM_OK); /* the text that was held back */
    assert_int_equal(piece.token, -1);
    assert_true(piece.logprob == 0 && piece.n_top == 0);
    assert_int_equal(piece.size, x.size);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(llm_session_next(s, &piece), LLM_DONE);
        assert_int_equal(piece.finish, LLM_FINISH_EOS);
        assert_int_equal(piece.token, e.end);
        assert_int_equal(piece.n_top, 3);
        assert_true(fabs(piece.logprob - wanted) < 1e-4);
    }
    llm_session_destroy(s);
    llm_sampler_destroy(sampler);
    end_story(&x);
}

/* Held text outgrows the room a session begins with; whatever allocation fails, the call can be made again. */
static void test_promises__failed_next_changes_nothing(void **state)
{
    (void)state;
    story x;
    begin_story(&x, 460);
    assert_true(x.size > 1024);
    uint32_t failures = 0;
    llm_session *s = tell(&x, x.prompt + x.tokens, stop_behind(&x), NULL);
    llm_piece piece = LLM_PIECE_INIT;
    for (uint32_t i = 0; i <= x.tokens; i++) {
        int32_t rc = LLM_E_MEMORY;
        uint64_t length = llm_session_length(s);
        for (uint64_t nth = 1; rc == LLM_E_MEMORY; nth++) {
            assert_int_equal(llm_session_length(s), length);
            x.memory.fail_at = x.memory.calls + nth;
            rc = llm_session_next(s, &piece);
            failures += rc == LLM_E_MEMORY;
            x.memory.fail_at = 0;
        }
        assert_int_equal(rc, LLM_OK);
    }
    assert_true(failures > 0);
    assert_int_equal(piece.size, x.size);
    assert_memory_equal(piece.text, x.text, x.size);
    llm_session_destroy(s);
    end_story(&x);
}

/* --- wishes ----------------------------------------------------------------------------------- */

static void test_promises__unknown_bits_are_refused(void **state)
{
    (void)state;
    llm_runtime *rt;
    llm_engine *engine;
    llm_session *s;
    assert_ok(llm_runtime_create(NULL, &rt));
    llm_model *model = open_model(rt, test_file_path("model/data/llama.gguf"), "ref");
    llm_engine_params ep = {.struct_size = sizeof ep, .flags = 1u << 9};
    llm_session_params sp = {.struct_size = sizeof sp, .set_mask = 1u << 9};
    assert_status(llm_engine_create(model, &ep, &engine), LLM_E_UNSUPPORTED);
    assert_status(llm_session_create(model, &sp, &s), LLM_E_UNSUPPORTED);
    llm_token token = 5;
    llm_feed_params fp = {.struct_size = sizeof fp, .encode_flags = 1u << 9};
    assert_ok(llm_session_create(model, NULL, &s));
    assert_status(llm_session_feed(s, &token, 1, &fp), LLM_E_UNSUPPORTED);
    assert_int_equal(llm_session_length(s), 0);
    llm_session_destroy(s);
    llm_model_release(model);
    llm_runtime_destroy(rt);
}

static void test_promises__context_beyond_the_model_is_refused(void **state)
{
    (void)state;
    llm_runtime *rt;
    llm_model *model;
    assert_ok(llm_runtime_create(NULL, &rt));
    const char *path = test_file_path("model/data/llama.gguf");
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "ref"};
    llm_model_info info = {.struct_size = sizeof info};
    assert_ok(llm_model_open(rt, path, &mp, &model));
    assert_ok(llm_model_get_info(model, &info));
    assert_int_equal(info.context, info.context_train);
    llm_model_release(model);
    mp.context = info.context_train + 1;
    assert_status(llm_model_open(rt, path, &mp, &model), LLM_E_LIMIT);
    mp.context = 17;
    assert_ok(llm_model_open(rt, path, &mp, &model));
    assert_ok(llm_model_get_info(model, &info));
    assert_int_equal(info.context, 17);
    llm_model_release(model);
    llm_runtime_destroy(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promises__default_engine_keeps_prefixes),
        cmocka_unit_test(test_promises__engine_says_whether_it_is_exact),
        cmocka_unit_test(test_promises__full_context_gives_out_held_text),
        cmocka_unit_test(test_promises__end_token_comes_with_its_probability),
        cmocka_unit_test(test_promises__failed_next_changes_nothing),
        cmocka_unit_test(test_promises__unknown_bits_are_refused),
        cmocka_unit_test(test_promises__context_beyond_the_model_is_refused),
    };
    return cmocka_run_group_tests_name("promises", tests, NULL, NULL);
}
