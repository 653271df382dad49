/* suite_refused.c - what does not hold together is refused before anything is touched: runs with
 * indices out of range, programs whose steps name what is not there. */
#include "backend/suites.h"

#include <string.h>

enum { SEED = 41 };

/* --- runs ------------------------------------------------------------------------------------- */

typedef void (*change_fn)(lm_run *run, void *user);

static uint32_t *writable(const uint32_t *list)
{
    return (uint32_t *)(uintptr_t)list;
}

static lm_run_seq *seq_of(lm_run *run)
{
    return (lm_run_seq *)(uintptr_t)run->seqs;
}

static void no_rows(lm_run *run, void *user)
{
    (void)user, run->n_rows = 0;
}
static void many_rows(lm_run *run, void *user)
{
    (void)user, run->n_rows = 81;
}
static void many_wanted(lm_run *run, void *user)
{
    (void)user, run->n_wanted = run->n_rows + 1;
}
static void wanted_outside(lm_run *run, void *user)
{
    (void)user;
    writable(run->wanted)[run->n_wanted - 1] = run->n_rows;
}
static void wanted_falling(lm_run *run, void *user)
{
    (void)user;
    writable(run->wanted)[0] = run->wanted[1];
}
static void many_seqs(lm_run *run, void *user)
{
    (void)user, run->n_seqs = RIG_SEQS + 1;
}
static void slot_ahead(lm_run *run, void *user)
{
    (void)user;
    writable(run->slots)[0] = 70000;
}
static void slot_behind(lm_run *run, void *user)
{
    (void)user;
    writable(run->slots)[0] = seq_of(run)->length - 1;
}
static void sees_far(lm_run *run, void *user)
{
    (void)user;
    writable(run->visible_end)[1] = 500;
}
static void wrong_seq(lm_run *run, void *user)
{
    (void)user;
    writable(run->row_seq)[0] = 1;
}
static void page_outside(lm_run *run, void *user)
{
    (void)user;
    writable(seq_of(run)->groups[0].pages)[0] = 100000;
}
static void few_pages(lm_run *run, void *user)
{
    (void)user, seq_of(run)->groups[0].n_pages = 1;
}
static void many_pages(lm_run *run, void *user)
{
    (void)user, seq_of(run)->groups[0].n_pages = RIG_CONTEXT;
}
static void late_pages(lm_run *run, void *user)
{
    (void)user, seq_of(run)->groups[0].first_page = 1;
}
static void rows_left_over(lm_run *run, void *user)
{
    (void)user, seq_of(run)->n_rows--;
}
static void context_overrun(lm_run *run, void *user)
{
    (void)user;
    seq_of(run)->length = RIG_CONTEXT;
}
static void wrong_token(lm_run *run, void *user)
{
    (void)user;
    ((int32_t *)(uintptr_t)run->tokens)[0] = 96;
}
static void no_embedding(lm_run *run, void *user)
{
    (void)user;
    ((int32_t *)(uintptr_t)run->tokens)[0] = -1;
}

static const change_fn changes[] = {
    no_rows,    many_rows,   many_wanted,    wanted_outside,  wanted_falling, many_seqs,
    slot_ahead, slot_behind, sees_far,       wrong_seq,       page_outside,   few_pages,
    late_pages, many_pages,  rows_left_over, context_overrun, wrong_token,    no_embedding};

static void refused_runs(void **state)
{
    (void)state;
    static const rig_part start[] = {{0, 40}}, next[] = {{0, 9}};
    rig_model m;
    case_build(&m, "model F32", SEED);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        rig r;
        rig_options o = {.backend = suite_backend, .page_tokens = 16};
        rig_open(&r, &m, &o);
        assert_ok(rig_run(&r, start, 1));
        int32_t rc = rig_run_changed(&r, next, 1, changes[i], NULL);
        if (rc != LLM_E_INVALID)
            fail_msg("change %u: %s", (unsigned)i, llm_status_name(rc));
        rig_close(&r);
    }
    rig_model_finish(&m);
}

/* --- programs --------------------------------------------------------------------------------- */

static void refused_programs(void **state)
{
    (void)state;
    rig_model m;
    rig r;
    lm_program *none = NULL;
    case_build(&m, "model F32", SEED);
    rig_options o = {.backend = suite_backend};
    rig_open(&r, &m, &o);
    lm_program_desc wrong = r.desc;
    lm_weight *no_weights[RIG_WEIGHTS] = {NULL};
    wrong.weights = no_weights;
    assert_status(r.backend->program_create(r.device, &wrong, &none), LLM_E_INVALID);
    lm_cache *no_caches[LM_MAX_GROUPS] = {NULL};
    wrong = r.desc;
    wrong.caches = no_caches;
    assert_status(r.backend->program_create(r.device, &wrong, &none), LLM_E_INVALID);
    assert_null(none);
    float value = 0;
    assert_status(r.backend->slot_write(r.device, r.queue, r.program, 100000, &value, 4),
                  LLM_E_INVALID);
    assert_status(
        r.backend->slot_read(r.device, r.queue, r.program, r.slots_out[0], &value, 1u << 30),
        LLM_E_INVALID);
    assert_status(r.backend->queue_wait(r.device, r.queue, 1u << 30, 0), LLM_E_INVALID);
    uint64_t ns;
    assert_ok(r.backend->profile(r.device, r.program, true, 0, &ns));
    assert_status(r.backend->profile(r.device, r.program, true, 100000, &ns), LLM_E_INVALID);
    lm_weight_desc odd = {.name = "odd",
                          .format = lm_format_by_id(LM_Q4_K),
                          .rows = 2,
                          .cols = 100,
                          .experts = 1,
                          .uses = LM_USE_MATMUL,
                          .bytes = 1000};
    lm_weight_plan plan;
    assert_ok(r.backend->weight_query(r.device, &odd, true, &plan));
    assert_int_equal(plan.support, LM_SUPPORT_NO);
    lm_weight *weight = NULL;
    lm_weight_data data = {&value, false};
    assert_status(r.backend->weight_load(r.device, &odd, &data, &weight), LLM_E_UNSUPPORTED);
    assert_null(weight);
    rig_close(&r);
    rig_model_finish(&m);
}

enum { WINDOW = 24, ROOM = 32 };

/* A window of keys and values, and a state. Where a device takes the coarse step, attention is one. */
static void build_both(rig_model *m, uint32_t *tokens, uint32_t *states)
{
    rig_model_init(m, SEED);
    *tokens = lm_build_kv(&m->b, lm_build_group(&m->b, LM_CACHE_WINDOW, WINDOW), 2, 32, 32);
    *states = lm_build_state(&m->b, lm_build_group(&m->b, LM_CACHE_STATE, 0), 64 * 3, 0);
    uint32_t k = rig_input(m, 64), q = rig_input(m, 64), mixed = rig_slot(m, 64);
    uint32_t seen = rig_slot(m, 64);
    lm_step append = rig_make(LM_STEP_KV_APPEND, k, k, LM_NONE);
    append.u.append.cache = *tokens;
    rig_step(m, &append);
    lm_step conv = rig_make(LM_STEP_CONV_STATE, q, LM_NONE, mixed);
    conv.u.conv = (lm_conv){.cache = *states,
                            .channels = 64,
                            .kernel = 4,
                            .weight = rig_weight(m, LM_F32, 64, 4, 1, LM_USE_VECTOR, 0, 0.5),
                            .bias = LM_NONE};
    rig_step(m, &conv);
    lm_step attn = rig_make(LM_STEP_ATTN_OUT, mixed, LM_NONE, seen);
    attn.u.attn_out.attn = (lm_attn){.cache = *tokens,
                                     .heads = 2,
                                     .kv_heads = 2,
                                     .k_dim = 32,
                                     .v_dim = 32,
                                     .scale = 0.2f,
                                     .window = WINDOW,
                                     .sinks = LM_NONE};
    attn.u.attn_out.out = (lm_linear){rig_matrix(m, LM_F32, 64, 64), LM_NONE, LM_NONE, 0};
    rig_step(m, &attn);
    rig_output(m, seen);
}

static lm_attn *attention_in(lm_step *step)
{
    return step->kind == LM_STEP_ATTN_OUT     ? &step->u.attn_out.attn
           : step->kind == LM_STEP_ATTN_PAGED ? &step->u.attn
                                              : NULL;
}

static uint32_t *append_entry(lm_step *step)
{
    return step->kind == LM_STEP_KV_APPEND ? &step->u.append.cache : NULL;
}
static uint32_t *conv_entry(lm_step *step)
{
    return step->kind == LM_STEP_CONV_STATE ? &step->u.conv.cache : NULL;
}
static uint32_t *conv_weight(lm_step *step)
{
    return step->kind == LM_STEP_CONV_STATE ? &step->u.conv.weight : NULL;
}
static uint32_t *attn_entry(lm_step *step)
{
    return attention_in(step) == NULL ? NULL : &attention_in(step)->cache;
}
static uint32_t *attn_window(lm_step *step)
{
    return attention_in(step) == NULL ? NULL : &attention_in(step)->window;
}

/* The device's program with one number of one step changed. */
static int32_t create_changed(const rig *r, uint32_t *(*number)(lm_step *step), uint32_t value,
                              lm_program **out)
{
    lm_step steps[ROOM];
    uint32_t *found = NULL;
    lm_program_desc changed = r->desc;
    assert_true(r->desc.n_steps <= ROOM);
    memcpy(steps, r->desc.steps, r->desc.n_steps * sizeof *steps);
    for (size_t i = 0; i < r->desc.n_steps && found == NULL; i++)
        found = number(&steps[i]);
    assert_non_null(found);
    *found = value;
    changed.steps = steps;
    return r->backend->program_create(r->device, &changed, out);
}

static void refused_steps(void **state)
{
    (void)state;
    rig_model m;
    rig r;
    uint32_t tokens, states;
    build_both(&m, &tokens, &states);
    rig_options o = {.backend = suite_backend};
    rig_open(&r, &m, &o);
    const struct {
        uint32_t *(*number)(lm_step *step);
        uint32_t value;
    } wrong[] = {{append_entry, 100000}, {append_entry, LM_NONE},   {append_entry, states},
                 {attn_entry, 100000},   {attn_entry, LM_NONE},     {attn_entry, states},
                 {conv_entry, 100000},   {conv_entry, LM_NONE},     {conv_entry, tokens},
                 {attn_window, 0},       {attn_window, WINDOW + 1}, {conv_weight, 100000}};
    lm_program *made = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int32_t rc = create_changed(&r, wrong[i].number, wrong[i].value, &made);
        if (rc != LLM_E_INVALID || made != NULL)
            fail_msg("change %u: %s", (unsigned)i, llm_status_name(rc));
    }
    /* A narrower window than the group's is none of these. */
    assert_ok(create_changed(&r, attn_window, WINDOW - 1, &made));
    r.backend->program_destroy(r.device, made);
    rig_feed_mixed(&r);
    rig_close(&r);
    rig_model_finish(&m);
}

void suite_refused(suite *s)
{
    suite_add(s, refused_runs, NULL, "refused runs", "");
    suite_add(s, refused_programs, NULL, "refused programs", "");
    suite_add(s, refused_steps, NULL, "refused programs", "steps");
}
