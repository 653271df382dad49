/* suite_fused.c - coarse steps: near to ref, and bit for bit what their primitives give, for any
 * schedule and every instruction set. With fast numerics near to ref. */
#include "backend/levels.h"
#include "backend/suites.h"

#include <string.h>

typedef struct way {
    const char *name;
    rig_options o;
    uint32_t chunk;
    bool together;
    bool team; /* differs from others by its threads alone */
} way;

static const way ways[] = {
    {"whole", {.threads = 1}, 128, false},
    {"sixteen threads, together",
     {.threads = 16, .page_tokens = 16, .mapped = true},
     128,
     true,
     true},
    {"one by one", {.threads = 2}, 1, false, true},
    {"one by one, together", {.threads = 3}, 1, true},
    {"sevens", {.threads = 2, .page_tokens = 64, .shuffle = 3}, 7, true},
    {"thirty-twos", {.threads = 5}, 32, true, true},
};

static const uint32_t lengths[RIG_SEQS] = {70, 3, 41, 9};

static void open_and_feed(rig *r, const rig_model *m, const way *w, uint64_t masked, bool unfused)
{
    rig_options o = w->o;
    o.backend = suite_backend;
    o.max_rows = 128;
    o.unfused = unfused;
    o.features_masked = masked;
    rig_open(r, m, &o);
    rig_feed(r, lengths, w->chunk, w->together);
}

static void as_primitives(void **state)
{
    const rig_case *c = *state;
    rig_model m;
    rig_model_init(&m, 31);
    c->build(&m, c->variant);
    bool has_team = strcmp(suite_backend, "cpu") == 0;
    size_t n_sets = has_team ? n_levels : 1;
    for (size_t set = n_levels - n_sets; set < n_levels; set++) {
        rig plain;
        open_and_feed(&plain, &m, &ways[0], ~levels[set].features, true);
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            rig fused;
            if (ways[i].team && !has_team)
                continue;
            open_and_feed(&fused, &m, &ways[i], ~levels[set].features, false);
            rig_same(&fused, &plain, ways[i].name);
            rig_close(&fused);
        }
        rig_close(&plain);
    }
    rig_model_finish(&m);
}

static void matches_ref(void **state)
{
    const rig_case *c = *state;
    rig_model m;
    rig got, wanted;
    rig_model_init(&m, 32);
    c->build(&m, c->variant);
    open_and_feed(&got, &m, &ways[4], 0, false);
    rig_options o = {.backend = "ref", .max_rows = 128};
    rig_open(&wanted, &m, &o);
    rig_feed(&wanted, lengths, 128, false);
    case_compare(c, false, &got, &wanted);
    rig_close(&got);
    rig_close(&wanted);
    rig_model_finish(&m);
}

/* So many rows that a device may leave products to a library. */
static void long_prompts(void **state)
{
    const rig_case *c = *state;
    const rig_part part = {0, 1030};
    rig_model m;
    rig got, wanted;
    rig_model_init(&m, 33);
    c->build(&m, c->variant);
    rig_options o = {.backend = suite_backend, .max_rows = part.rows, .fast = true};
    rig_open(&got, &m, &o);
    o.backend = "ref";
    o.fast = false;
    rig_open(&wanted, &m, &o);
    assert_ok(rig_run(&got, &part, 1));
    assert_ok(rig_run(&wanted, &part, 1));
    case_compare(c, true, &got, &wanted);
    rig_close(&got);
    rig_close(&wanted);
    rig_model_finish(&m);
}

void suite_fused(suite *s)
{
    const rig_case *c;
    for (size_t i = 0; (c = case_block_at(i)) != NULL; i++) {
        suite_add(s, matches_ref, c, "matches ref", c->name);
        suite_add(s, as_primitives, c, "as primitives", c->name);
        if (suite_fast && strstr(c->name, "formats") != NULL)
            suite_add(s, long_prompts, c, "long prompts", c->name);
    }
}
