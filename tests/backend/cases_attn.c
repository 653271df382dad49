/* cases_attn.c - rotary positions, and attention over what was appended to the cache. */
#include "backend/cases.h"

/* --- rope ------------------------------------------------------------------------------------- */

enum {
    ROPE_PAIRS,
    ROPE_HALVES,
    ROPE_PARTIAL,
    ROPE_LINEAR,
    ROPE_YARN,
    ROPE_FACTORS,
    ROPE_AXES,
    ROPE_OFF
};

static lm_rope rope_of(rig_model *m, uint32_t variant, uint32_t dim)
{
    lm_rope r = {.style = variant == ROPE_PAIRS ? LM_ROPE_PAIRS : LM_ROPE_HALVES,
                 .dims = variant == ROPE_PARTIAL ? dim / 2 : dim,
                 .base = 10000,
                 .freq_scale = variant == ROPE_LINEAR || variant == ROPE_YARN ? 0.25f : 1,
                 .factors = LM_NONE};
    if (variant == ROPE_YARN) {
        r.yarn_mix = 1;
        r.attn_factor = 1.1f;
        r.beta_fast = 32;
        r.beta_slow = 1;
        r.context_original = 64;
    }
    if (variant == ROPE_FACTORS)
        r.factors = rig_vector(m, dim / 2, 3, 0.5);
    if (variant == ROPE_AXES) {
        r.sections[0] = 2;
        r.sections[1] = 3;
        r.sections[3] = 1;
    }
    if (variant == ROPE_OFF)
        r.style = LM_ROPE_NONE;
    return r;
}

static void build_rope(rig_model *m, uint32_t variant)
{
    uint32_t heads = 3, dim = 24;
    uint32_t in = rig_input(m, heads * dim), out = rig_slot(m, heads * dim);
    lm_step step = rig_make(LM_STEP_ROPE, in, LM_NONE, out);
    step.u.rope.rope = rope_of(m, variant, dim);
    step.u.rope.heads = heads;
    step.u.rope.head_dim = dim;
    rig_step(m, &step);
    rig_output(m, out);
}

/* Rotations that differ in one program: angles may be shared, but only where they are the same. */
static void build_ropes(rig_model *m, uint32_t variant)
{
    static const uint32_t kinds[] = {ROPE_HALVES, ROPE_LINEAR, ROPE_PAIRS, ROPE_PARTIAL};
    uint32_t in = rig_input(m, 48);
    (void)variant;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        uint32_t out = rig_slot(m, 48);
        lm_step step = rig_make(LM_STEP_ROPE, in, LM_NONE, out);
        step.u.rope.rope = rope_of(m, kinds[i], 24);
        step.u.rope.heads = 2;
        step.u.rope.head_dim = 24;
        rig_step(m, &step);
        rig_output(m, out);
    }
}

/* --- attention -------------------------------------------------------------------------------- */

typedef struct shape {
    uint32_t heads, kv_heads, k_dim, v_dim;
    uint32_t window, group_window;
    float softcap, alibi;
    bool sinks, tree, all_see, wanted_only, latent;
} shape;

enum {
    PLAIN,
    SHARED,
    WIDE,
    WINDOW,
    WINDOW_GROUP,
    SOFTCAP,
    SINKS,
    ALIBI,
    TREE,
    ALL_SEE,
    UNEQUAL,
    WANTED,
    ALL,
    LATENT,
    LATENT_ALL,
    LATENT_MANY,
    MLA,
    EXPANDED
};

static const shape shapes[] = {
    [PLAIN] = {.heads = 4, .kv_heads = 4, .k_dim = 32, .v_dim = 32},
    [SHARED] = {.heads = 6, .kv_heads = 2, .k_dim = 64, .v_dim = 64},
    [WIDE] = {.heads = 40, .kv_heads = 1, .k_dim = 32, .v_dim = 32},
    [WINDOW] = {.heads = 4, .kv_heads = 2, .k_dim = 32, .v_dim = 32, .window = 19},
    [WINDOW_GROUP] =
        {.heads = 4, .kv_heads = 2, .k_dim = 32, .v_dim = 32, .window = 19, .group_window = 19},
    [SOFTCAP] = {.heads = 2, .kv_heads = 2, .k_dim = 32, .v_dim = 32, .softcap = 1.5f},
    [SINKS] = {.heads = 4, .kv_heads = 2, .k_dim = 32, .v_dim = 32, .sinks = true},
    [ALIBI] = {.heads = 6, .kv_heads = 6, .k_dim = 32, .v_dim = 32, .alibi = 8},
    [TREE] = {.heads = 4, .kv_heads = 2, .k_dim = 32, .v_dim = 32, .tree = true},
    [ALL_SEE] = {.heads = 4, .kv_heads = 4, .k_dim = 32, .v_dim = 32, .all_see = true},
    [UNEQUAL] = {.heads = 3, .kv_heads = 3, .k_dim = 96, .v_dim = 32},
    [WANTED] = {.heads = 4, .kv_heads = 2, .k_dim = 32, .v_dim = 32, .wanted_only = true},
    [ALL] = {.heads = 6,
             .kv_heads = 3,
             .k_dim = 64,
             .v_dim = 32,
             .window = 50,
             .softcap = 4,
             .alibi = 4,
             .sinks = true},
    [LATENT] = {.heads = 2, .kv_heads = 1, .k_dim = 96, .v_dim = 64, .latent = true},
    [LATENT_ALL] = {.heads = 6,
                    .kv_heads = 1,
                    .k_dim = 64,
                    .v_dim = 64,
                    .window = 50,
                    .softcap = 4,
                    .alibi = 4,
                    .sinks = true,
                    .latent = true},
    [EXPANDED] = {.heads = 3, .kv_heads = 3, .k_dim = 192, .v_dim = 128},
    [LATENT_MANY] = {.heads = 20, .kv_heads = 1, .k_dim = 96, .v_dim = 64, .latent = true},
    [MLA] = {.heads = 4, .kv_heads = 1, .k_dim = 576, .v_dim = 512, .latent = true},
};

/* Queries of the wanted rows alone: attention runs for fewer rows than the run has. */
static uint32_t wanted_rows(rig_model *m, uint32_t slot, uint32_t width)
{
    uint32_t out = lm_build_slot(&m->b, width, LM_ROWS_WANTED, LM_SLOT_F32);
    lm_step gather = rig_make(LM_STEP_GATHER_ROWS, slot, LM_NONE, out);
    rig_step(m, &gather);
    return out;
}

static void build_attn(rig_model *m, uint32_t variant)
{
    const shape *s = &shapes[variant];
    m->tree = s->tree;
    m->all_see = s->all_see;
    uint32_t kind = s->latent              ? LM_CACHE_LATENT
                    : s->group_window != 0 ? LM_CACHE_WINDOW
                                           : LM_CACHE_FULL;
    uint32_t group = lm_build_group(&m->b, kind, s->group_window);
    uint32_t other = lm_build_kv(&m->b, group, 1, 32, 32); /* a layer before, to be kept apart */
    uint32_t cache = lm_build_kv(&m->b, group, s->kv_heads, s->k_dim, s->v_dim);
    uint32_t q = rig_input(m, s->heads * s->k_dim), k = rig_input(m, s->kv_heads * s->k_dim);
    uint32_t v = s->latent ? LM_NONE : rig_input(m, s->kv_heads * s->v_dim);
    uint32_t small = rig_input(m, 32);
    lm_step append = rig_make(LM_STEP_KV_APPEND, k, v, LM_NONE);
    append.u.append.cache = cache;
    rig_step(m, &append);
    lm_step before = rig_make(LM_STEP_KV_APPEND, small, s->latent ? LM_NONE : small, LM_NONE);
    before.u.append.cache = other;
    rig_step(m, &before);
    q = s->wanted_only ? wanted_rows(m, q, s->heads * s->k_dim) : q;
    uint32_t out = lm_build_slot(&m->b, s->heads * s->v_dim,
                                 s->wanted_only ? LM_ROWS_WANTED : LM_ROWS_ALL, LM_SLOT_F32);
    lm_step attn = rig_make(LM_STEP_ATTN_PAGED, q, LM_NONE, out);
    attn.u.attn = (lm_attn){.cache = cache,
                            .heads = s->heads,
                            .kv_heads = s->kv_heads,
                            .k_dim = s->k_dim,
                            .v_dim = s->v_dim,
                            .scale = s->k_dim > 500 ? 0.07f : 0.3f,
                            .softcap = s->softcap,
                            .window = s->window,
                            .alibi = s->alibi,
                            .sinks = s->sinks ? rig_vector(m, s->heads, 0, 1) : LM_NONE};
    rig_step(m, &attn);
    rig_output(m, out);
}

#define ROPE(name)                                                                                 \
    {                                                                                              \
        "rope " #name, build_rope, ROPE_##name, LM_STEP_ROPE, false, false                         \
    }
#define ATTN(name)                                                                                 \
    {                                                                                              \
        "attn " #name, build_attn, name, LM_STEP_ATTN_PAGED, false, false                          \
    }

static const rig_case list[] = {
    ROPE(PAIRS),
    ROPE(HALVES),
    ROPE(PARTIAL),
    ROPE(LINEAR),
    ROPE(YARN),
    ROPE(FACTORS),
    ROPE(AXES),
    ROPE(OFF),
    {"rope several", build_ropes, 0, LM_STEP_ROPE, false, false},
    ATTN(PLAIN),
    ATTN(SHARED),
    ATTN(WIDE),
    ATTN(WINDOW),
    ATTN(WINDOW_GROUP),
    ATTN(SOFTCAP),
    ATTN(SINKS),
    ATTN(ALIBI),
    {"attn TREE", build_attn, TREE, LM_STEP_ATTN_PAGED, false, true},
    {"attn ALL_SEE", build_attn, ALL_SEE, LM_STEP_ATTN_PAGED, false, true},
    ATTN(UNEQUAL),
    ATTN(WANTED),
    ATTN(ALL),
    ATTN(LATENT),
    {"attn LATENT_ALL", build_attn, LATENT_ALL, LM_STEP_ATTN_PAGED, false, false, true},
    {"attn LATENT_MANY", build_attn, LATENT_MANY, LM_STEP_ATTN_PAGED, false, false, true},
    {"attn EXPANDED", build_attn, EXPANDED, LM_STEP_ATTN_PAGED, false, false, true},
    {"attn MLA", build_attn, MLA, LM_STEP_ATTN_PAGED, false, false, true},
};

CASES_OF(cases_attn, list);
