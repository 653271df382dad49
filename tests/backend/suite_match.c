/* suite_match.c - every case on the backend under test and on ref, fed alike: within the tolerance
 * of its kind. Also with every cache type. */
#include "backend/suites.h"

#include <string.h>

static void feed(rig *r, const rig_case *c)
{
    static const uint32_t whole[RIG_SEQS] = {33, 1, 20, 5};
    if (c->whole)
        rig_feed(r, whole, 80, true);
    else
        rig_feed_mixed(r);
}

static void compare(const rig_case *c, const rig_model *m, rig_options o)
{
    rig got, wanted;
    o.fast = suite_fast;
    rig_open(&got, m, &o);
    feed(&got, c);
    o.backend = "ref";
    o.fast = false;
    o.threads = 1;
    o.page_tokens = 64;
    o.shuffle = 0;
    rig_open(&wanted, m, &o);
    feed(&wanted, c);
    case_compare(c, suite_fast, &got, &wanted);
    rig_close(&got);
    rig_close(&wanted);
}

/* So many rows at once that whatever takes many rows does. */
static void many_rows_of(const rig_case *c, uint32_t cache_format)
{
    static const uint32_t lengths[RIG_SEQS] = {140, 3, 41, 0};
    rig_model m;
    rig got, wanted;
    rig_model_init(&m, 14);
    c->build(&m, c->variant);
    rig_options o = {.backend = suite_backend,
                     .max_rows = 200,
                     .fast = suite_fast,
                     .k_format = cache_format,
                     .v_format = cache_format};
    rig_open(&got, &m, &o);
    o.backend = "ref";
    o.fast = false;
    rig_open(&wanted, &m, &o);
    rig_feed(&got, lengths, 200, true);
    rig_feed(&wanted, lengths, 200, true);
    case_compare(c, suite_fast, &got, &wanted);
    rig_close(&got);
    rig_close(&wanted);
    rig_model_finish(&m);
}

static void many_rows(void **state)
{
    many_rows_of(*state, LM_F32);
}

static void many_rows_of_halves(void **state)
{
    many_rows_of(*state, LM_F16);
    many_rows_of(*state, LM_BF16);
}

/* What becomes halves on the way to them. */
static void many_rows_of_bytes(void **state)
{
    many_rows_of(*state, LM_Q8_0);
    many_rows_of(*state, LM_E4M3);
}

/* More still: what a device leaves to a library. */
static void long_prompts(void **state)
{
    const rig_case *c = *state;
    static const uint32_t lengths[RIG_SEQS] = {1030, 0, 17, 0};
    rig_model m;
    rig got, wanted;
    rig_model_init(&m, 15);
    c->build(&m, c->variant);
    rig_options o = {.backend = suite_backend, .max_rows = 1100, .fast = true};
    rig_open(&got, &m, &o);
    o.backend = "ref";
    o.fast = false;
    rig_open(&wanted, &m, &o);
    rig_feed(&got, lengths, 1100, true);
    rig_feed(&wanted, lengths, 1100, true);
    case_compare(c, true, &got, &wanted);
    rig_close(&got);
    rig_close(&wanted);
    rig_model_finish(&m);
}

static void matches(void **state)
{
    const rig_case *c = *state;
    rig_model m;
    rig_model_init(&m, 11);
    c->build(&m, c->variant);
    rig_options o = {
        .backend = suite_backend, .threads = 3, .page_tokens = 16, .shuffle = 5, .mapped = true};
    compare(c, &m, o);
    o.mapped = false;
    o.page_tokens = 128;
    compare(c, &m, o);
    rig_model_finish(&m);
}

/* Keys and values in every type a cache may have. */
static void cache_types(void **state)
{
    const rig_case *c = *state;
    static const uint32_t types[][2] = {{LM_F16, LM_F16},
                                        {LM_BF16, LM_BF16},
                                        {LM_Q8_0, LM_Q8_0},
                                        {LM_E4M3, LM_E4M3},
                                        {LM_Q8_0, LM_F16}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        rig_model m;
        rig_model_init(&m, 12 + i);
        c->build(&m, c->variant);
        rig_options o = {.backend = suite_backend,
                         .threads = 2,
                         .k_format = types[i][0],
                         .v_format = types[i][1]};
        compare(c, &m, o);
        rig_model_finish(&m);
    }
}

/* Which backends rotate, and which cases have heads that can be. */
static bool can_rotate(const rig_model *m)
{
    bool can = strcmp(suite_backend, "ref") == 0 || strcmp(suite_backend, "cpu") == 0;
    for (uint32_t i = 0; i < m->network.n_caches; i++) {
        const lm_cache_entry *e = &m->network.caches[i];
        uint32_t kind = m->network.groups[e->group].kind;
        can = can && kind != LM_CACHE_LATENT && (e->k_dim & (e->k_dim - 1)) == 0 &&
              (e->v_dim & (e->v_dim - 1)) == 0;
    }
    return can;
}

static void rotated_cache(void **state)
{
    const rig_case *c = *state;
    rig_model m;
    rig_model_init(&m, 18);
    c->build(&m, c->variant);
    if (can_rotate(&m))
        compare(
            c, &m,
            (rig_options){
                .backend = suite_backend, .threads = 2, .k_format = LM_Q4_0, .v_format = LM_Q4_0});
    rig_model_finish(&m);
}

static void long_context_of(const rig_case *c, uint32_t cache_format)
{
    static const uint32_t lengths[RIG_SEQS] = {1100, 530, 0, 0};
    rig_model m;
    rig got, wanted;
    rig_model_init(&m, 13);
    c->build(&m, c->variant);
    rig_options o = {.backend = suite_backend,
                     .threads = 2,
                     .max_rows = 600,
                     .free_pages = true,
                     .fast = suite_fast,
                     .k_format = cache_format,
                     .v_format = cache_format};
    rig_open(&got, &m, &o);
    o.backend = "ref";
    o.fast = false;
    rig_open(&wanted, &m, &o);
    rig_feed(&got, lengths, 300, true);
    rig_feed(&wanted, lengths, 300, true);
    case_compare(c, suite_fast, &got, &wanted);
    rig_close(&got);
    rig_close(&wanted);
    rig_model_finish(&m);
}

static void long_context(void **state)
{
    long_context_of(*state, LM_F32);
    if (suite_fast)
        long_context_of(*state, LM_F16);
}

/* Every number of rows up to where the last kernel for few ends, over sequences that grow. */
static void row_counts(void **state)
{
    const rig_case *c = *state;
    rig_model m;
    rig both[2]; /* under test, ref */
    rig_model_init(&m, 16);
    c->build(&m, c->variant);
    for (size_t i = 0; i < 2; i++) {
        rig_options o = {.backend = i == 0 ? suite_backend : "ref",
                         .threads = 2,
                         .n_seqs = RIG_SEQS,
                         .context = 200,
                         .fast = suite_fast && i == 0,
                         .shuffle = 9};
        rig_open(&both[i], &m, &o);
        for (uint32_t rows = 1; rows <= 65; rows++) {
            rig_part part = {rows % RIG_SEQS, rows};
            assert_ok(rig_run(&both[i], &part, 1));
        }
    }
    case_compare(c, suite_fast, &both[0], &both[1]);
    rig_close(&both[0]);
    rig_close(&both[1]);
    rig_model_finish(&m);
}

void suite_match(suite *s)
{
    const rig_case *c;
    /* Of these, suite_exact.c says as much with fewer runs. */
    bool on_host = strcmp(suite_backend, "ref") == 0 || strcmp(suite_backend, "cpu") == 0;
    for (size_t i = 0; (c = case_at(i)) != NULL; i++) {
        suite_add(s, matches, c, "matches ref", c->name);
        if (!c->whole && !on_host)
            suite_add(s, row_counts, c, "row counts", c->name);
        if (suite_fast)
            suite_add(s, many_rows, c, "matches ref, many rows", c->name);
        if (suite_fast && c->kind == LM_STEP_LINEAR)
            suite_add(s, long_prompts, c, "long prompts", c->name);
        if (suite_fast && c->kind == LM_STEP_ATTN_PAGED)
            suite_add(s, many_rows_of_halves, c, "matches ref, many rows of halves", c->name);
        if (suite_fast && strcmp(c->name, "attn WINDOW") == 0)
            suite_add(s, many_rows_of_bytes, c, "matches ref, many rows of bytes", c->name);
        if (c->kind == LM_STEP_ATTN_PAGED) {
            if (!c->brief || suite_fast) {
                suite_add(s, cache_types, c, "cache types", c->name);
                suite_add(s, rotated_cache, c, "rotated cache", c->name);
            }
            if (!c->whole && !c->brief)
                suite_add(s, long_context, c, "long context", c->name);
        }
    }
}
