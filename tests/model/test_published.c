/* test_published.c - trained models of the test data folder: what they write is what their
 * publishers' programs and independent float64 computations wrote. */
#include "model/reference.h"
#include "support/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 512

/* The largest difference of a logit over the largest logit. The records were made in float64 from
 * the decoded weights: what sums in float stays near them, but a device that rounds activations to
 * 8 bits where the weights have 8 bits does not. */
#define CLOSE        1e-4
#define ROUNDED      3e-2
#define ROUNDED_BF16 5e-3 /* some processors multiply BF16 weights with bfloat16 activations */

static llm_runtime *rt;

static int setup(void **state)
{
    (void)state;
    assert_ok(llm_runtime_create(NULL, &rt));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    llm_runtime_destroy(rt);
    return 0;
}

static char *read_record(const char *name)
{
    char path[256];
    size_t size;
    snprintf(path, sizeof path, "reference/%s", name);
    return (char *)test_read(test_data_path(path), &size);
}

static void open_model(const char *file, const char *device, opened *o)
{
    char relative[128];
    snprintf(relative, sizeof relative, "models/%s", file);
    opened_init(rt, NULL, &(open_options){.devices = device, .path = test_data_path(relative)}, o);
}

/* What a generation wrote. */
typedef struct written {
    llm_token ids[MOST];
    uint32_t n_ids;
    char text[8192];
} written;

/* Up to `n` tokens; the one that ends it counts. */
static void write_on(llm_session *s, uint32_t n, written *w)
{
    size_t size = 0;
    int32_t rc = LLM_OK;
    for (w->n_ids = 0; w->n_ids < n && rc != LLM_DONE;) {
        llm_piece piece = LLM_PIECE_INIT;
        rc = llm_session_next(s, &piece);
        assert_ok(rc);
        assert_true(size + piece.size < sizeof w->text);
        memcpy(w->text + size, piece.text, piece.size);
        size += piece.size;
        if (piece.token >= 0)
            w->ids[w->n_ids++] = piece.token;
    }
    w->text[size] = '\0';
}

/* --- records of prompts ----------------------------------------------------------------------- */

static void check_prompt(opened *o, const char *record, const char *what)
{
    llm_token ids[MOST], right[MOST];
    uint64_t n_found;
    size_t n = json_integers(json_member(record, "prompt_ids"), right, MOST);
    size_t n_right = json_integers(json_member(record, "greedy_ids"), right + n, MOST - n);
    char *prompt = json_string(json_member(record, "prompt"));
    char *text = json_string(json_member(record, "greedy_text"));
    written w;
    assert_ok(llm_session_rewind(o->session, 0));
    if (prompt[0] == '\0')
        assert_ok(llm_session_feed(o->session, right, n, NULL));
    else
        assert_ok(llm_session_feed_text(o->session, prompt, NULL));
    assert_ok(llm_session_tokens(o->session, 0, ids, MOST, &n_found));
    assert_int_equal(n_found, n);
    assert_tokens_equal(ids, right, (uint32_t)n, what);
    write_on(o->session, (uint32_t)n_right, &w);
    assert_int_equal(w.n_ids, n_right);
    assert_tokens_equal(w.ids, right + n, w.n_ids, what);
    /* the record has the space that opens a text */
    assert_string_equal(w.text, prompt[0] == '\0' && text[0] == ' ' ? text + 1 : text);
    free(prompt);
    free(text);
}

/* Rows of the recorded logits follow the opening token and the first prompt's ids. */
static void check_logits(opened *o, const char *json, const char *logits_file, const char *what,
                         double tolerance)
{
    llm_token ids[MOST];
    size_t size;
    char path[256];
    const char *record = json_item(json_member(json, "prompts"), 0);
    const char *rows = json_member(json_member(json, "logits_file"), "rows");
    size_t n = json_integers(json_member(record, "prompt_ids"), ids, MOST);
    n += json_integers(json_member(record, "greedy_ids"), ids + n, MOST - n);
    snprintf(path, sizeof path, "reference/%s", logits_file);
    float *right = (float *)(void *)test_read(test_data_path(path), &size);
    uint32_t n_vocab = (uint32_t)(size / sizeof *right / json_count(rows));
    assert_ok(llm_session_rewind(o->session, 0));
    float *found = feed_for_logits(o->session, ids, (uint32_t)n, 0, n_vocab);
    double worst = 0;
    for (size_t i = 0; json_item(rows, i) != NULL; i++) {
        long after = strtol(json_member(json_item(rows, i), "after_tokens"), NULL, 10);
        assert_true(after >= 1 && (size_t)after <= n);
        double error =
            relative_error(found + (size_t)(after - 1) * n_vocab, right + i * n_vocab, n_vocab);
        worst = error <= worst ? worst : error;
    }
    print_message("%s: relative error %.1e\n", what, worst);
    if (!(worst <= tolerance))
        fail_msg("%s: relative error %.2e, at most %.0e is allowed", what, worst, tolerance);
    free(found);
    free(right);
}

/* A model file against the records of one with the same weights. */
typedef struct published {
    const char *file, *record;
    double rounded; /* error of the logits where cpu rounds activations; 0: it does not */
} published;

static void check_on(const published *p, const test_device *d)
{
    char name[128], what[160], logits[128];
    snprintf(name, sizeof name, "%s.json", p->record);
    snprintf(logits, sizeof logits, "%s.logits.f32", p->record);
    snprintf(what, sizeof what, "%s on %s", p->file, d->name);
    bool rounded = p->rounded > 0 && strcmp(d->name, "ref") != 0;
    char *json = read_record(name);
    opened o;
    open_model(p->file, d->name, &o);
    check_logits(&o, json, logits, what, rounded ? p->rounded : CLOSE);
    const char *prompts = json_member(json, "prompts");
    for (size_t i = 0; !rounded && json_item(prompts, i) != NULL; i++)
        check_prompt(&o, json_item(prompts, i), what);
    opened_finish(&o);
    free(json);
}

static void check_published(const published *p)
{
    for (uint32_t i = 0; i < test_device_count; i++)
        if (test_device_present(rt, test_devices[i].name))
            check_on(p, &test_devices[i]);
}

static void test_published__stories260k(void **state)
{
    (void)state;
    check_published(&(published){"stories260K/stories260K-f32-v3.gguf", "stories260K-f32-v3", 0});
}

static void test_published__stories260k_gguf_v1(void **state)
{
    (void)state;
    check_published(
        &(published){"stories260K/stories260K-f32-ggufv1-original.gguf", "stories260K-f32-v3", 0});
}

static void test_published__stories260k_f16(void **state)
{
    (void)state;
    check_published(&(published){"stories260K/stories260K-f16-v3.gguf", "stories260K-f16-v3", 0});
}

static void test_published__stories260k_q8_0(void **state)
{
    (void)state;
    check_published(
        &(published){"stories260K/stories260K-q8_0-v3.gguf", "stories260K-q8_0-v3", ROUNDED});
}

static void test_published__tinystories656k(void **state)
{
    (void)state;
    check_published(
        &(published){"tinystories656K/tinystories656K-f32-v3.gguf", "tinystories656K-f32-v3", 0});
    /* its weights were bfloat16 from the start */
    check_published(&(published){"tinystories656K/tinystories656K-bf16-v3.gguf",
                                 "tinystories656K-f32-v3", ROUNDED_BF16});
}

/* --- the publisher's own text ----------------------------------------------------------------- */

/* 256 steps of the publisher's program from the opening token, character for character. */
static void test_published__documented_text(void **state)
{
    (void)state;
    static const char *const files[] = {"stories260K/stories260K-f32-v3.gguf",
                                        "stories260K/stories260K-f32-ggufv1-original.gguf"};
    char *json = read_record("stories260K-documented-greedy.json");
    char *text = json_string(json_member(json, "expected_text"));
    llm_token right[MOST];
    size_t n = json_integers(json_member(json, "own_greedy_ids"), right, MOST);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        for (uint32_t d = 0; d < test_device_count; d++) {
            if (!test_device_present(rt, test_devices[d].name))
                continue;
            opened o;
            written w;
            open_model(files[i], test_devices[d].name, &o);
            assert_ok(llm_session_feed(o.session, right, 1, NULL));
            write_on(o.session, (uint32_t)n - 1, &w);
            assert_tokens_equal(w.ids, right + 1, w.n_ids, files[i]);
            assert_int_equal(strncmp(w.text, text, strlen(text)), 0);
            opened_finish(&o);
        }
    }
    free(text);
    free(json);
}

/* --- a trained GPT-2 -------------------------------------------------------------------------- */

static uint32_t largest_of(const float *values, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        best = values[i] > values[best] ? i : best;
    return best;
}

/* Six digits in, six sorted digits out; the sixth is read from the logits, for the context is full
 * by then. */
static void check_sorting(opened *o, const char *record)
{
    llm_token ids[6], sorted[6];
    float right[3];
    assert_int_equal(json_integers(json_member(record, "prompt_ids"), ids, 6), 6);
    assert_int_equal(json_integers(json_member(record, "greedy_ids"), sorted, 6), 6);
    assert_ok(llm_session_rewind(o->session, 0));
    assert_ok(llm_session_feed(o->session, ids, 6, NULL));
    for (uint32_t i = 0; i < 6; i++) {
        const float *logits;
        uint32_t n;
        assert_ok(llm_session_logits(o->session, &logits, &n));
        assert_int_equal(n, 3);
        assert_int_equal(json_floats(json_item(json_member(record, "logits"), i), right, 3), 3);
        assert_true(relative_error(logits, right, 3) < 1e-5); /* recorded with six digits */
        assert_int_equal(largest_of(logits, n), sorted[i]);
        if (i < 5)
            assert_ok(llm_session_feed(o->session, &sorted[i], 1, NULL));
    }
}

static void test_published__gpt_nano_sort(void **state)
{
    (void)state;
    char *json = read_record("gpt-nano-sort.json");
    const char *cases = json_member(json, "cases");
    for (uint32_t d = 0; d < test_device_count; d++) {
        if (!test_device_present(rt, test_devices[d].name))
            continue;
        opened o;
        open_model("gpt-nano-sort/gpt-nano-sort-f32-v3.gguf", test_devices[d].name, &o);
        assert_true(json_count(cases) > 0);
        for (size_t i = 0; json_item(cases, i) != NULL; i++)
            check_sorting(&o, json_item(cases, i));
        opened_finish(&o);
    }
    free(json);
}

/* --- formats of which there is no record ------------------------------------------------------ */

/* Stored with fewer bits the model is nearly the same: its logits are near those recorded of the
 * F32 file, as near as the format's own error lets them be. */
static void check_near(const char *file, const char *record, double tolerance)
{
    char name[128], logits[128];
    snprintf(name, sizeof name, "%s.json", record);
    snprintf(logits, sizeof logits, "%s.logits.f32", record);
    char *json = read_record(name);
    for (uint32_t d = 0; d < test_device_count; d++) {
        if (!test_device_present(rt, test_devices[d].name))
            continue;
        opened o;
        open_model(file, test_devices[d].name, &o);
        check_logits(&o, json, logits, file, tolerance);
        opened_finish(&o);
    }
    free(json);
}

static void test_published__bf16(void **state)
{
    (void)state;
    check_near("stories260K/stories260K-bf16-v3.gguf", "stories260K-f32-v3", 1e-2);
}

static void test_published__quantised(void **state)
{
    (void)state;
    check_near("tinystories656K/tinystories656K-q8_0-v3.gguf", "tinystories656K-f32-v3", 4e-2);
    check_near("tinystories656K/tinystories656K-q4_0-v3.gguf", "tinystories656K-f32-v3", 0.4);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published__stories260k),
        cmocka_unit_test(test_published__stories260k_gguf_v1),
        cmocka_unit_test(test_published__stories260k_f16),
        cmocka_unit_test(test_published__stories260k_q8_0),
        cmocka_unit_test(test_published__tinystories656k),
        cmocka_unit_test(test_published__documented_text),
        cmocka_unit_test(test_published__gpt_nano_sort),
        cmocka_unit_test(test_published__bf16),
        cmocka_unit_test(test_published__quantised),
    };
    return cmocka_run_group_tests_name("published", tests, setup, teardown);
}
