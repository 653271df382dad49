/* suite_exact.c - the promise of exact numerics: the same bits for any number of threads, any
 * cutting of the prompt, any page size and order, any neighbours in the batch. */
#include "backend/levels.h"
#include "backend/suites.h"

#include <string.h>

/* A host's pool that runs its tasks in falling order on the calling thread. */
static void backwards(void *user, uint32_t count, llm_task_fn task, void *arg)
{
    (void)user;
    for (uint32_t i = count; i > 0; i--)
        task(arg, i - 1);
}

enum { ALWAYS, TEAM, CACHE, STATE };

typedef struct variation {
    const char *name;
    rig_options o;
    uint32_t chunk; /* 0: whole */
    bool together;
    bool resized;  /* allowed for cases that must go in whole */
    bool sets;     /* tried with every instruction set and format, not only with all sets */
    uint32_t only; /* what there must be for it to differ from another: a TEAM, ... */
} variation;

static const variation variations[] = {
    {"two threads", {.threads = 2}, 0, false, true, .only = TEAM},
    {"five threads", {.threads = 5}, 0, false, true, .only = TEAM},
    {"sixteen threads", {.threads = 16}, 0, true, true, true, .only = TEAM},
    {"a pool of the host", {.threads = 4, .parallel = backwards}, 0, true, true, .only = TEAM},
    {"pages of 16, shuffled", {.page_tokens = 16, .shuffle = 3}, 0, true, true},
    {"pages of 64", {.page_tokens = 64, .shuffle = 4, .threads = 2}, 0, false, true, .only = CACHE},
    {"pages of 128", {.page_tokens = 128}, 0, true, true, .only = CACHE},
    {"one by one", {.threads = 2, .free_pages = true}, 1, false, false},
    {"one by one, together", {.threads = 3}, 1, true, false, true},
    {"one by one, states in place", {.threads = 2, .one_state = true}, 1, true, .only = STATE},
    {"sevens", {.threads = 2, .page_tokens = 16, .free_pages = true}, 7, true, false, true},
    {"thirty-twos", {.threads = 1, .mapped = true}, 32, false, false},
};

static bool has_team(void)
{
    return strcmp(suite_backend, "cpu") == 0;
}

typedef struct settings {
    uint32_t k_format, v_format;
    uint64_t masked; /* instruction sets */
    bool few;        /* only the variations for any set */
} settings;

static void open_with(rig *r, const rig_model *m, rig_options o, const settings *s)
{
    o.backend = suite_backend;
    o.max_rows = 128;
    o.k_format = s->k_format;
    o.v_format = s->v_format;
    o.features_masked = s->masked;
    rig_open(r, m, &o);
}

/* The first's device is shared where it would be the same: there kernels are compiled once. */
static rig_options options_beside(const rig *first, rig_options o)
{
    o.beside = has_team() ? NULL : first;
    return o;
}

static bool has(const rig_model *m, uint32_t what)
{
    if (what == TEAM)
        return has_team();
    for (uint32_t g = 0; g < m->network.n_groups; g++)
        if (what == (m->network.groups[g].kind == LM_CACHE_STATE ? STATE : CACHE))
            return true;
    return what == ALWAYS;
}

static void same_bits_of(const rig_case *c, settings s)
{
    static const uint32_t usual[RIG_SEQS] = {70, 3, 41, 0}, few[RIG_SEQS] = {37, 3, 11, 0};
    const uint32_t *lengths = s.few && !has_team() ? few : usual;
    rig_model m;
    rig first;
    rig_model_init(&m, 21);
    c->build(&m, c->variant);
    open_with(&first, &m, (rig_options){.threads = 1}, &s);
    rig_feed(&first, lengths, 128, false);
    for (size_t i = 0; i < sizeof variations / sizeof variations[0]; i++) {
        const variation *v = &variations[i];
        if ((c->whole && !v->resized) || (s.few && !v->sets) || !has(&m, v->only))
            continue;
        rig other;
        open_with(&other, &m, options_beside(&first, v->o), &s);
        rig_feed(&other, lengths, v->chunk == 0 ? 128 : v->chunk, v->together);
        rig_same(&other, &first, v->name);
        rig_close(&other);
    }
    rig_close(&first);
    rig_model_finish(&m);
}

static void same_bits(void **state)
{
    const rig_case *c = *state;
    bool cached = c->kind == LM_STEP_ATTN_PAGED || c->kind == LM_STEP_HEAD;
    /* Of whole models the format of weights is in question; that changes nothing about a cache. */
    bool format = c->kind == LM_STEP_HEAD && c->coarse_numbers;
    same_bits_of(c, (settings){LM_F32, LM_F32, 0, format && !has_team()});
    if (cached && !format)
        same_bits_of(c, (settings){LM_Q8_0, LM_F16, 0, false});
    if (has_team() && strcmp(c->name, "attn SHARED") == 0)
        same_bits_of(c, (settings){LM_Q4_0, LM_Q4_0, 0, false});
    if (!has_team())
        return;
    for (size_t set = 0; set + 1 < n_levels; set++)
        same_bits_of(c, (settings){LM_F32, cached ? LM_F16 : LM_F32, ~levels[set].features, true});
}

/* Across the borders of splits, where one row's splits may be shared out and many rows' are not. */
static void same_bits_long(void **state)
{
    const rig_case *c = *state;
    /* Behind the third split, or the second where threads do not share them out. */
    const uint32_t length = has_team() ? 1060 : 548;
    const uint32_t lengths[RIG_SEQS] = {length, 0, 0, 0}, early[RIG_SEQS] = {length - 20, 0, 0, 0};
    rig_model m;
    rig whole, split;
    rig_model_init(&m, 22);
    c->build(&m, c->variant);
    rig_options o = {.backend = suite_backend, .max_rows = 600, .threads = 1};
    rig_open(&whole, &m, &o);
    rig_feed(&whole, lengths, 600, false);
    o.threads = 3;
    o.page_tokens = 16;
    o = options_beside(&whole, o);
    rig_open(&split, &m, &o);
    rig_feed(&split, early, length / 2, false);
    rig_feed(&split, lengths, 1, false);
    rig_same(&split, &whole, "splits");
    rig_close(&split);
    rig_close(&whole);
    rig_model_finish(&m);
}

/* The rows that a NaN must not reach. */
static void forget_spoiled(rig *r, uint32_t outputs, uint32_t seq, uint32_t from)
{
    for (uint32_t o = 0; o < outputs; o++)
        for (uint32_t p = from; p < RIG_CONTEXT; p++)
            r->seqs[seq].have[o][p] = false;
}

/* A full batch: sixteen sequences at once, in parts and row by row, against each by itself. */
static void same_bits_sixteen(void **state)
{
    const rig_case *c = *state;
    static const uint32_t lengths[RIG_SEQS] = {7, 1, 2, 5, 9, 12, 2, 11, 3, 8, 3, 10, 8, 4, 6, 13};
    static const uint32_t chunks[] = {128, 7, 1};
    rig_model m;
    rig alone;
    rig_model_init(&m, 25);
    c->build(&m, c->variant);
    settings s = {LM_F32, LM_F16, 0};
    rig_options o = {.threads = 2, .n_seqs = RIG_SEQS, .context = 64};
    open_with(&alone, &m, o, &s);
    rig_feed(&alone, lengths, 128, false);
    for (size_t i = 0; i < (c->whole ? 1 : sizeof chunks / sizeof chunks[0]); i++) {
        rig full;
        open_with(&full, &m, o, &s);
        rig_feed(&full, lengths, chunks[i], true);
        rig_same(&full, &alone, "sixteen sequences");
        rig_close(&full);
    }
    rig_close(&alone);
    rig_model_finish(&m);
}

/* A NaN in one row reaches neither the rows before it nor other sequences. */
static void nan_stays(void **state)
{
    const rig_case *c = *state;
    static const uint32_t lengths[RIG_SEQS] = {70, 3, 41, 0};
    rig_model m;
    rig clean, spoiled;
    rig_model_init(&m, 23);
    c->build(&m, c->variant);
    uint32_t format = has_team() && suite_fast ? LM_F16 : LM_F32;
    rig_options o = {.backend = suite_backend,
                     .max_rows = 128,
                     .threads = 2,
                     .fast = suite_fast,
                     .k_format = format,
                     .v_format = format};
    rig_open(&clean, &m, &o);
    rig_feed(&clean, lengths, 128, true);
    m.nan_seq = 0;
    m.nan_from = 50;
    rig_open(&spoiled, &m, &o);
    rig_feed(&spoiled, lengths, 128, true);
    forget_spoiled(&spoiled, m.n_outputs, 0, 50);
    rig_same(&spoiled, &clean, "beside a NaN");
    rig_close(&clean);
    rig_close(&spoiled);
    rig_model_finish(&m);
}

/* Fast numerics may depend on the rows of a run, but on nothing else. */
static void repeats(void **state)
{
    const rig_case *c = *state;
    static const uint32_t lengths[RIG_SEQS] = {70, 3, 41, 0};
    rig_model m;
    rig once, again;
    rig_model_init(&m, 24);
    c->build(&m, c->variant);
    rig_options o = {.backend = suite_backend, .max_rows = 128, .fast = true};
    rig_open(&once, &m, &o);
    rig_feed(&once, lengths, 128, true);
    o.shuffle = 7;
    rig_open(&again, &m, &o);
    rig_feed(&again, lengths, 128, true);
    rig_same(&again, &once, "again");
    rig_close(&once);
    rig_close(&again);
    rig_model_finish(&m);
}

void suite_exact(suite *s)
{
    const rig_case *c;
    for (size_t i = 0; (c = case_at(i)) != NULL; i++) {
        if (!c->brief || suite_fast)
            suite_add(s, suite_fast ? repeats : same_bits, c, suite_fast ? "repeats" : "same bits",
                      c->name);
        if (has_team() && !suite_fast)
            suite_add(s, same_bits_sixteen, c, "same bits, sixteen", c->name);
        if (!c->whole)
            suite_add(s, nan_stays, c, "NaN stays", c->name);
        if (c->kind == LM_STEP_ATTN_PAGED && !c->whole && !c->brief && !suite_fast)
            suite_add(s, same_bits_long, c, "same bits, long", c->name);
    }
}
