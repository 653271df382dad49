/* cases_values.c - steps on single values and rows: tables, copies, sums, activations, norms,
 * pooling. */
#include "backend/cases.h"

static void build_embed(rig_model *m, uint32_t source)
{
    uint32_t out = rig_slot(m, 64);
    lm_step step = rig_make(LM_STEP_EMBED, LM_NONE, LM_NONE, out);
    step.u.embed.source = source;
    step.u.embed.weight =
        rig_weight(m, LM_Q8_0, source == LM_EMBED_TOKENS ? 96 : 200, 64, 1, LM_USE_GATHER, 0, 1);
    step.u.embed.scale = source == LM_EMBED_TOKENS ? 8 : 0;
    rig_step(m, &step);
    rig_output(m, out);
}

/* Variant: GATHER_ROWS or TAP. */
static void build_wanted(rig_model *m, uint32_t kind)
{
    uint32_t in = rig_input(m, 13), out = lm_build_slot(&m->b, 13, LM_ROWS_WANTED, LM_SLOT_F32);
    lm_step step = rig_make(kind, in, LM_NONE, out);
    rig_step(m, &step);
    rig_output(m, out);
}

static void build_copy(rig_model *m, uint32_t variant)
{
    (void)variant;
    uint32_t a = rig_input(m, 20), b = rig_input(m, 7), out = rig_slot(m, 15);
    lm_step first = rig_make(LM_STEP_COPY, a, LM_NONE, out);
    first.u.copy.in_column = 3;
    first.u.copy.out_column = 7;
    first.u.copy.width = 8;
    lm_step second = rig_make(LM_STEP_COPY, b, LM_NONE, out);
    second.u.copy.width = 7;
    rig_step(m, &first);
    rig_step(m, &second);
    rig_output(m, out);
}

/* Two pieces of each of five heads, side by side in the other order. */
static void build_copy_heads(rig_model *m, uint32_t variant)
{
    (void)variant;
    uint32_t in = rig_input(m, 5 * 70), out = rig_slot(m, 5 * 64);
    for (uint32_t i = 0; i < 2; i++) {
        lm_step step = rig_make(LM_STEP_COPY, in, LM_NONE, out);
        step.u.copy.in_column = i == 0 ? 3 : 43;
        step.u.copy.out_column = i == 0 ? 24 : 0;
        step.u.copy.width = i == 0 ? 40 : 24;
        step.u.copy.heads = 5;
        rig_step(m, &step);
    }
    rig_output(m, out);
}

static void build_concat(rig_model *m, uint32_t variant)
{
    (void)variant;
    uint32_t a = rig_input(m, 20), b = rig_input(m, 7), out = rig_slot(m, 27);
    lm_step step = rig_make(LM_STEP_CONCAT, a, b, out);
    rig_step(m, &step);
    rig_output(m, out);
}

/* Variant: ADD, ROW_ADD or ALL_REDUCE. */
static void build_sum(rig_model *m, uint32_t kind)
{
    uint32_t a = rig_input(m, 300), out = rig_slot(m, 300);
    lm_step step = rig_make(kind, a, kind == LM_STEP_ADD ? rig_input(m, 300) : LM_NONE, out);
    if (kind == LM_STEP_ROW_ADD)
        step.u.vector.weight = rig_vector(m, 300, 0, 1);
    rig_step(m, &step);
    rig_output(m, out);
}

/* Variant: how many of how many. Behind a ReLU, so that there are equals. */
static const struct {
    uint32_t k, n;
} bests[] = {{1, 96}, {128, 2100}, {77, 77}};

static void build_best(rig_model *m, uint32_t variant)
{
    uint32_t k = bests[variant].k, in = rig_input(m, bests[variant].n);
    uint32_t ids = lm_build_slot(&m->b, k, LM_ROWS_ALL, LM_SLOT_I32), out = rig_slot(m, k);
    uint32_t cut = rig_slot(m, bests[variant].n);
    lm_step relu = rig_make(LM_STEP_ACT_MUL, in, LM_NONE, cut);
    lm_step step = rig_make(LM_STEP_BEST, cut, LM_NONE, ids);
    relu.u.act.act = LM_ACT_RELU;
    step.out[1] = out;
    rig_step(m, &relu);
    rig_step(m, &step);
    rig_output(m, ids);
    rig_output(m, out);
}

/* Variant: 1 with a soft cap. In place behind an addition. */
static void build_scale(rig_model *m, uint32_t capped)
{
    uint32_t a = rig_input(m, 100), b = rig_input(m, 100), out = rig_slot(m, 100);
    lm_step add = rig_make(LM_STEP_ADD, a, b, out);
    lm_step step = rig_make(LM_STEP_SCALE, out, LM_NONE, out);
    step.u.scale.scale = 3;
    step.u.scale.cap = capped ? 2.5f : 0;
    rig_step(m, &add);
    rig_step(m, &step);
    rig_output(m, out);
}

/* Variant: the activation, plus 100 when multiplied with a second input. */
static void build_act(rig_model *m, uint32_t variant)
{
    uint32_t in = rig_input(m, 131), out = rig_slot(m, 131);
    lm_step wider = rig_make(LM_STEP_SCALE, in, LM_NONE, out);
    wider.u.scale.scale = 5;
    lm_step step =
        rig_make(LM_STEP_ACT_MUL, out, variant >= 100 ? rig_input(m, 131) : LM_NONE, out);
    step.u.act.act = variant % 100;
    rig_step(m, &wider);
    rig_step(m, &step);
    rig_output(m, out);
}

/* Variant: the norm, plus 10 for groups with a weight per group, 20 for one along the row, 30 for
 * none. */
static void build_norm(rig_model *m, uint32_t variant)
{
    uint32_t kind = variant % 10, form = variant / 10, width = 132, group = 33;
    uint32_t in = rig_input(m, width), out = rig_slot(m, width);
    lm_step step = rig_make(LM_STEP_NORM, in, LM_NONE, out);
    uint32_t count = form == 1 ? group : width;
    step.u.norm = (lm_norm){.kind = kind,
                            .weight = form == 3 ? LM_NONE : rig_vector(m, count, 1, 0.2),
                            .bias = kind == LM_NORM_LAYER ? rig_vector(m, count, 0, 0.2) : LM_NONE,
                            .group = form == 0 ? 0 : group,
                            .eps = 1e-5f,
                            .offset = form == 2 ? 1 : 0};
    rig_step(m, &step);
    rig_output(m, out);
}

static void build_pool(rig_model *m, uint32_t kind)
{
    uint32_t in = rig_input(m, 40), out = lm_build_slot(&m->b, 40, LM_ROWS_SEQS, LM_SLOT_F32);
    lm_step step = rig_make(LM_STEP_POOL, in, LM_NONE, out);
    step.u.pool.kind = kind;
    rig_step(m, &step);
    rig_output(m, out);
}

#define ACT(name)                                                                                  \
    {                                                                                              \
        "act " #name, build_act, LM_ACT_##name, LM_STEP_ACT_MUL, false, false                      \
    }

static const rig_case list[] = {
    {"embed tokens", build_embed, LM_EMBED_TOKENS, LM_STEP_EMBED, false, false},
    {"embed positions", build_embed, LM_EMBED_POSITIONS, LM_STEP_EMBED, false, false},
    {"embed constant", build_embed, LM_EMBED_CONSTANT, LM_STEP_EMBED, false, false},
    {"gather_rows", build_wanted, LM_STEP_GATHER_ROWS, LM_STEP_GATHER_ROWS, false, false},
    {"tap", build_wanted, LM_STEP_TAP, LM_STEP_TAP, false, false},
    {"copy", build_copy, 0, LM_STEP_COPY, false, false},
    {"copy of heads", build_copy_heads, 0, LM_STEP_COPY, false, false},
    {"concat", build_concat, 0, LM_STEP_CONCAT, false, false},
    {"add", build_sum, LM_STEP_ADD, LM_STEP_ADD, false, false},
    {"row_add", build_sum, LM_STEP_ROW_ADD, LM_STEP_ROW_ADD, false, false},
    {"all_reduce", build_sum, LM_STEP_ALL_REDUCE, LM_STEP_ALL_REDUCE, false, false},
    {"best one", build_best, 0, LM_STEP_BEST, false, false},
    {"best some", build_best, 1, LM_STEP_BEST, false, false},
    {"best all", build_best, 2, LM_STEP_BEST, false, false},
    {"scale", build_scale, 0, LM_STEP_SCALE, false, false},
    {"scale capped", build_scale, 1, LM_STEP_SCALE, false, false},
    ACT(NONE),
    ACT(SILU),
    ACT(GELU_TANH),
    ACT(GELU_ERF),
    ACT(RELU),
    ACT(RELU2),
    ACT(SIGMOID),
    ACT(GELU_QUICK),
    ACT(SOFTPLUS),
    {"act SILU times", build_act, 100 + LM_ACT_SILU, LM_STEP_ACT_MUL, false, false},
    {"act GELU_TANH times", build_act, 100 + LM_ACT_GELU_TANH, LM_STEP_ACT_MUL, false, false},
    {"norm RMS", build_norm, LM_NORM_RMS, LM_STEP_NORM, false, false},
    {"norm RMS groups", build_norm, 10 + LM_NORM_RMS, LM_STEP_NORM, false, false},
    {"norm RMS groups, weight along the row", build_norm, 20 + LM_NORM_RMS, LM_STEP_NORM, false,
     false},
    {"norm RMS bare", build_norm, 30 + LM_NORM_RMS, LM_STEP_NORM, false, false},
    {"norm LAYER", build_norm, LM_NORM_LAYER, LM_STEP_NORM, false, false},
    {"norm LAYER groups", build_norm, 10 + LM_NORM_LAYER, LM_STEP_NORM, false, false},
    {"norm L2", build_norm, LM_NORM_L2, LM_STEP_NORM, false, false},
    {"norm L2 groups bare", build_norm, 30 + LM_NORM_L2, LM_STEP_NORM, false, false},
    {"pool mean", build_pool, LM_POOL_MEAN, LM_STEP_POOL, false, true},
    {"pool cls", build_pool, LM_POOL_CLS, LM_STEP_POOL, false, true},
    {"pool last", build_pool, LM_POOL_LAST, LM_STEP_POOL, false, true},
};

CASES_OF(cases_values, list);
