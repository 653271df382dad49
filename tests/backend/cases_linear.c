/* cases_linear.c - multiplications: every format, odd shapes, bias and scale, heads and experts. */
#include "backend/cases.h"

#include <math.h>

/* Variant: format; widths that no tile divides. */
static void build_format(rig_model *m, uint32_t format)
{
    uint32_t block = lm_format_by_id(format)->block;
    uint32_t blocks = block == 256 ? 2 : block == 32 ? 5 : 3;
    uint32_t cols = block == 1 ? 83 : block * blocks, rows = 37;
    uint32_t in = rig_input(m, cols), out = rig_slot(m, rows);
    lm_step step = rig_make(LM_STEP_LINEAR, in, LM_NONE, out);
    step.u.linear = (lm_linear){rig_matrix(m, format, rows, cols), LM_NONE, LM_NONE, 0};
    rig_step(m, &step);
    rig_output(m, out);
}

/* Variant: rows of the weight, from one to several tiles; with bias and scale. */
static void build_bias(rig_model *m, uint32_t rows)
{
    uint32_t in = rig_input(m, 64), out = rig_slot(m, rows);
    lm_step step = rig_make(LM_STEP_LINEAR, in, LM_NONE, out);
    step.u.linear =
        (lm_linear){rig_matrix(m, LM_F32, rows, 64), rig_vector(m, rows, 0, 1), LM_NONE, 0.5f};
    rig_step(m, &step);
    rig_output(m, out);
}

/* Variant: columns, around the sixteen lanes. */
static void build_columns(rig_model *m, uint32_t cols)
{
    uint32_t in = rig_input(m, cols), out = rig_slot(m, 9);
    lm_step step = rig_make(LM_STEP_LINEAR, in, LM_NONE, out);
    step.u.linear = (lm_linear){rig_matrix(m, LM_F16, 9, cols), LM_NONE, LM_NONE, 0};
    rig_step(m, &step);
    rig_output(m, out);
}

/* Variant: format; rows so wide that few of them make a tile. */
static void build_wide(rig_model *m, uint32_t format)
{
    uint32_t cols = 12288, in = rig_input(m, cols), out = rig_slot(m, 18);
    lm_step step = rig_make(LM_STEP_LINEAR, in, LM_NONE, out);
    step.u.linear = (lm_linear){rig_matrix(m, format, 18, cols), LM_NONE, LM_NONE, 0};
    rig_step(m, &step);
    rig_output(m, out);
}

/* Variant: format; more weight rows than any tile has, columns of no whole one. */
static void build_tall(rig_model *m, uint32_t format)
{
    uint32_t cols = 160, rows = 331, in = rig_input(m, cols), out = rig_slot(m, rows);
    lm_step step = rig_make(LM_STEP_LINEAR, in, LM_NONE, out);
    step.u.linear =
        (lm_linear){rig_matrix(m, format, rows, cols), rig_vector(m, rows, 0, 1), LM_NONE, 0.5f};
    rig_step(m, &step);
    rig_output(m, out);
}

/* Four of one input, which may be one job. Variant: a bit for each whose result is wanted; the place
 * of another's may be that of the next one's. */
static void build_together(rig_model *m, uint32_t wanted)
{
    static const uint32_t formats[] = {LM_F32, LM_Q8_0, LM_F16, LM_Q4_0};
    uint32_t cols = 64, rows = 70, in = rig_input(m, cols);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t out = rig_slot(m, rows);
        lm_step step = rig_make(LM_STEP_LINEAR, in, LM_NONE, out);
        step.u.linear = (lm_linear){rig_matrix(m, formats[i], rows, cols), LM_NONE, LM_NONE, 0};
        rig_step(m, &step);
        if ((wanted >> i & 1u) != 0)
            rig_output(m, out);
    }
}

static void build_heads(rig_model *m, uint32_t format)
{
    uint32_t heads = 5, cols = 64, rows = 21;
    uint32_t in = rig_input(m, heads * cols), out = rig_slot(m, heads * rows);
    uint32_t w = rig_weight(m, format, rows, cols, heads, LM_USE_MATMUL, 0, 1 / sqrt(cols));
    lm_step step = rig_make(LM_STEP_LINEAR_HEADS, in, LM_NONE, out);
    step.u.heads.linear = (lm_linear){w, rig_vector(m, heads * rows, 0, 1), LM_NONE, 0};
    step.u.heads.heads = heads;
    rig_step(m, &step);
    rig_output(m, out);
}

/* Variant: format, plus 1000 when each expert has an input of its own. Ids include -1: no expert.
 */
static void build_experts(rig_model *m, uint32_t variant)
{
    bool own = variant >= 1000;
    uint32_t format = variant % 1000, experts = 6, used = 3, cols = 96, rows = 19;
    uint32_t in = rig_input(m, own ? used * cols : cols), ids = rig_input_ids(m, used, experts);
    uint32_t out = rig_slot(m, used * rows);
    uint32_t w = rig_weight(m, format, rows, cols, experts, LM_USE_EXPERT, 0, 1 / sqrt(cols));
    lm_step step = rig_make(LM_STEP_LINEAR_EXPERT, in, ids, out);
    step.u.expert.linear = (lm_linear){w, rig_vector(m, experts * rows, 0, 1), LM_NONE, 0};
    step.u.expert.used = used;
    step.u.expert.per_expert_input = own;
    rig_step(m, &step);
    rig_output(m, out);
}

#define FORMAT(id, coarse)                                                                         \
    {                                                                                              \
        "linear " #id, build_format, LM_##id, LM_STEP_LINEAR, coarse, false                        \
    }

static const rig_case list[] = {
    FORMAT(F32, false),
    FORMAT(F16, false),
    FORMAT(BF16, true), /* where activations are rounded to it too */
    FORMAT(Q4_0, true),
    FORMAT(Q4_1, true),
    FORMAT(Q5_0, true),
    FORMAT(Q5_1, true),
    FORMAT(Q8_0, true),
    FORMAT(Q2_K, true),
    FORMAT(Q3_K, true),
    FORMAT(Q4_K, true),
    FORMAT(Q5_K, true),
    FORMAT(Q6_K, true),
    FORMAT(IQ4_NL, true),
    FORMAT(IQ4_XS, true),
    FORMAT(MXFP4, true),
    FORMAT(NVFP4, true),
    FORMAT(F8_E4M3, false),
    FORMAT(E4M3, false),
    FORMAT(IQ3_S, true),
    FORMAT(IQ3_XXS, true),
    FORMAT(IQ2_S, true),
    FORMAT(IQ2_XS, true),
    FORMAT(IQ2_XXS, true),
    FORMAT(IQ1_S, true),
    FORMAT(IQ1_M, true),
    FORMAT(TQ1_0, true),
    FORMAT(TQ2_0, true),
    {"linear one row", build_bias, 1, LM_STEP_LINEAR, false, false},
    {"linear 16 rows", build_bias, 16, LM_STEP_LINEAR, false, false},
    {"linear 77 rows", build_bias, 77, LM_STEP_LINEAR, false, false},
    {"linear 1 column", build_columns, 1, LM_STEP_LINEAR, false, false},
    {"linear 15 columns", build_columns, 15, LM_STEP_LINEAR, false, false},
    {"linear 17 columns", build_columns, 17, LM_STEP_LINEAR, false, false},
    {"linear wide F16", build_wide, LM_F16, LM_STEP_LINEAR, false, false},
    {"linear wide F8_E4M3", build_wide, LM_F8_E4M3, LM_STEP_LINEAR, false, false},
    {"linear wide Q4_0", build_wide, LM_Q4_0, LM_STEP_LINEAR, true, false},
    {"linear tall BF16", build_tall, LM_BF16, LM_STEP_LINEAR, true, false},
    {"linear tall Q5_0", build_tall, LM_Q5_0, LM_STEP_LINEAR, true, false},
    {"linear four of one input", build_together, 15, LM_STEP_LINEAR, true, false},
    {"linear two of four wanted", build_together, 10, LM_STEP_LINEAR, true, false},
    {"linear_heads F32", build_heads, LM_F32, LM_STEP_LINEAR_HEADS, false, false},
    {"linear_heads Q8_0", build_heads, LM_Q8_0, LM_STEP_LINEAR_HEADS, true, false},
    {"linear_expert F32", build_experts, LM_F32, LM_STEP_LINEAR_EXPERT, false, false},
    {"linear_expert F32 own inputs", build_experts, 1000 + LM_F32, LM_STEP_LINEAR_EXPERT, false,
     false},
    {"linear_expert Q8_0", build_experts, LM_Q8_0, LM_STEP_LINEAR_EXPERT, true, false},
    {"linear_expert Q4_0 own inputs", build_experts, 1000 + LM_Q4_0, LM_STEP_LINEAR_EXPERT, true,
     false},
};

CASES_OF(cases_linear, list);
