/* plan_values.c - launches of the steps that move values or treat each one, each row or each group of a
 * row alone. */
#include "backends/cuda/plan.h"

#define BLOCK_VALUES 1024u /* that one block of 256 threads works on */

/* One grid over all values of a slot: blocks along a row, rows. */
static lcu_launch over(uint32_t kernel, const lcu_slot *slot, uint32_t width)
{
    return (lcu_launch){.kernel = kernel,
                        .grid = {LCU_PER(slot->rows, 1),
                                 LCU_BLOCKS((width + BLOCK_VALUES - 1) / BLOCK_VALUES),
                                 LCU_BLOCKS(1)}};
}

int32_t lcu_plan_values(lcu_planner *p, const lm_step *step)
{
    static const uint32_t kernels[LM_STEP_COUNT] = {[LM_STEP_ADD] = LCU_K_add,
                                                    [LM_STEP_ROW_ADD] = LCU_K_row_add,
                                                    [LM_STEP_SCALE] = LCU_K_scale,
                                                    [LM_STEP_ACT_MUL] = LCU_K_act_mul,
                                                    [LM_STEP_ALL_REDUCE] = LCU_K_scale};
    if (p->step != 0 && p->step == p->added)
        return LLM_OK;
    lcu_values_args a = {.run = p->run,
                         .in = {lcu_plan_slot(p, step->in[0]), lcu_plan_slot(p, step->in[1])},
                         .out = lcu_plan_slot(p, step->out[0]),
                         .scale = 1};
    if (step->kind == LM_STEP_ROW_ADD)
        a.vector = lcu_plan_vector(p, step->u.vector.weight);
    if (step->kind == LM_STEP_SCALE) {
        a.scale = step->u.scale.scale;
        a.cap = step->u.scale.cap;
    }
    if (step->kind == LM_STEP_ACT_MUL)
        a.act = step->u.act.act;
    a.one_input = step->in[1] == LM_NONE;
    lcu_launch l = over(kernels[step->kind], &a.out, a.out.width);
    lcu_emit(p, &l, &a);
    return LLM_OK;
}

void lcu_plan_act_mul(lcu_planner *p, uint32_t act, lcu_slot x, lcu_slot y, bool one_input,
                      lcu_slot out, uint32_t from)
{
    lcu_values_args a = {
        .run = p->run, .in = {x, y}, .out = out, .scale = 1, .act = act, .one_input = one_input};
    lcu_launch l = over(LCU_K_act_mul, &a.out, a.out.width);
    l.ladder = out.rows;
    l.from = from;
    l.to = UINT32_MAX;
    lcu_emit(p, &l, &a);
}

int32_t lcu_plan_embed(lcu_planner *p, const lm_step *step)
{
    lcu_embed_args a = {.run = p->run,
                        .out = lcu_plan_slot(p, step->out[0]),
                        .table = lcu_plan_weight(p, step->u.embed.weight),
                        .source = step->u.embed.source,
                        .scale = step->u.embed.scale == 0 ? 1 : step->u.embed.scale};
    lcu_launch l = over(LCU_K_embed, &a.out, a.out.width);
    lcu_emit(p, &l, &a);
    return LLM_OK;
}

/* --- moves ------------------------------------------------------------------------------------ */

static void plan_move(lcu_planner *p, const lcu_move_args *a)
{
    lcu_launch l = over(LCU_K_move, &a->out, a->width * a->heads);
    lcu_emit(p, &l, a);
}

int32_t lcu_plan_gather(lcu_planner *p, const lm_step *step)
{
    lcu_move_args a = {.run = p->run,
                       .in = lcu_plan_slot(p, step->in[0]),
                       .out = lcu_plan_slot(p, step->out[0]),
                       .heads = 1,
                       .gather = true};
    a.width = a.out.width;
    plan_move(p, &a);
    return LLM_OK;
}

int32_t lcu_plan_copy(lcu_planner *p, const lm_step *step)
{
    lcu_move_args a = {.run = p->run,
                       .in = lcu_plan_slot(p, step->in[0]),
                       .out = lcu_plan_slot(p, step->out[0]),
                       .in_column = step->u.copy.in_column,
                       .out_column = step->u.copy.out_column,
                       .width = step->u.copy.width,
                       .heads = step->u.copy.heads == 0 ? 1 : step->u.copy.heads};
    a.in_head = a.in.width / a.heads;
    a.out_head = a.out.width / a.heads;
    plan_move(p, &a);
    return LLM_OK;
}

int32_t lcu_plan_concat(lcu_planner *p, const lm_step *step)
{
    uint32_t column = 0;
    for (int i = 0; i < 2; i++) {
        lcu_move_args a = {.run = p->run,
                           .in = lcu_plan_slot(p, step->in[i]),
                           .out = lcu_plan_slot(p, step->out[0]),
                           .out_column = column,
                           .heads = 1};
        a.width = a.in.width;
        column += a.width;
        plan_move(p, &a);
    }
    return LLM_OK;
}

/* --- reductions ------------------------------------------------------------------------------- */

/* The vector repeats per group or runs along the row. */
static uint32_t period(const lcu_planner *p, uint32_t weight, uint32_t group, uint32_t width)
{
    if (weight == LM_NONE)
        return 1;
    const lm_weight_desc *w = &p->desc->network->weights[weight];
    return (uint64_t)w->rows * w->cols == group ? group : width;
}

lcu_norm_args lcu_norm_args_of(lcu_planner *p, const lm_norm *n, lcu_slot in, lcu_slot out)
{
    lcu_norm_args a = {.run = p->run,
                       .in = in,
                       .out = out,
                       .kind = n->kind,
                       .weight = lcu_plan_vector(p, n->weight),
                       .bias = lcu_plan_vector(p, n->bias),
                       .eps = n->eps,
                       .offset = n->offset};
    a.group = n->group == 0 ? a.in.width : n->group;
    a.weight_period = period(p, n->weight, a.group, a.in.width);
    a.bias_period = period(p, n->bias, a.group, a.in.width);
    return a;
}

/* For runs of `from` rows or more. */
static void plan_norm(lcu_planner *p, const lcu_norm_args *a, uint32_t from)
{
    /* Wide groups get a block each, narrow ones a warp: see norm.cu. */
    bool wide = a->group > LCU_NORM_WARP;
    uint32_t groups = a->in.width / a->group, per = wide ? 1 : 8;
    lcu_launch l = {
        .kernel = wide ? LCU_K_norm : LCU_K_norm_warp,
        .grid = {LCU_PER(a->in.rows, 1), LCU_BLOCKS((groups + per - 1) / per), LCU_BLOCKS(1)},
        .ladder = a->in.rows,
        .from = from,
        .to = UINT32_MAX};
    if (from <= lcu_plan_rows(p, a->in.rows))
        lcu_emit(p, &l, a);
}

void lcu_plan_normed(lcu_planner *p, const lm_norm *n, lcu_slot in, lcu_slot out)
{
    lcu_norm_args a = lcu_norm_args_of(p, n, in, out);
    plan_norm(p, &a, 1);
}

/* --- norms that the next step does itself, and next steps that a norm does --------------------- */

static bool reads(const lm_step *s, uint32_t slot)
{
    for (uint32_t i = 0; i < LM_STEP_INS; i++)
        if (s->in[i] == slot)
            return true;
    return false;
}

/* Whether anything but the next step wants what this one makes. */
static bool is_wanted(const lcu_planner *p, uint32_t slot)
{
    for (size_t i = p->step + 2; i < p->desc->n_steps; i++)
        if (reads(&p->desc->steps[i], slot))
            return true;
    for (uint32_t i = 0; i < p->desc->n_outputs; i++)
        if (p->desc->outputs[i] == slot)
            return true;
    return false;
}

/* A step that writes where it still reads would spoil it for its other blocks. */
static bool overlaps(const lcu_planner *p, uint32_t slot, const lm_step *s)
{
    const lm_slot_place *a = &p->places[slot];
    for (uint32_t i = 0; i < LM_STEP_OUTS; i++) {
        const lm_slot_place *b = &p->places[s->out[i] == LM_NONE ? slot : s->out[i]];
        if (s->out[i] != LM_NONE && a->offset < b->offset + b->bytes &&
            b->offset < a->offset + a->bytes)
            return true;
    }
    return false;
}

static bool next_norms(const lcu_planner *p, const lm_step *norm, const lcu_norm_args *a)
{
    const lm_step *next = norm + 1;
    if (!p->desc->fused || p->step + 1 == p->desc->n_steps || a->group != a->in.width)
        return false;
    bool multiplies = next->kind == LM_STEP_LINEAR || next->kind == LM_STEP_QKV_ROPE_APPEND ||
                      next->kind == LM_STEP_GLU_FFN;
    return multiplies && next->in[0] == norm->out[0] && next->in[1] != norm->out[0] &&
           !is_wanted(p, norm->out[0]) && !overlaps(p, norm->in[0], next) &&
           lcu_few_fits(p, a->in.rows, a->in.width);
}

/* Whether the next step adds what is normed to something else. Its result may lie where the norm reads, if
 * it lies there value by value. */
static bool next_adds(const lcu_planner *p, const lm_step *norm)
{
    const lm_step *next = norm + 1;
    if (!p->desc->fused || p->step + 1 == p->desc->n_steps || next->kind != LM_STEP_ADD)
        return false;
    bool once = (next->in[0] == norm->out[0]) != (next->in[1] == norm->out[0]);
    bool in_place = p->places[norm->in[0]].offset == p->places[next->out[0]].offset;
    return once && !is_wanted(p, norm->out[0]) && (in_place || !overlaps(p, norm->in[0], next));
}

const lcu_norm_args *lcu_left_norm(const lcu_planner *p, uint32_t slot)
{
    return p->left_norm.group != 0 && p->left_step == p->step && p->left_slot == slot
               ? &p->left_norm
               : NULL;
}

int32_t lcu_plan_norm(lcu_planner *p, const lm_step *step)
{
    lcu_norm_args a = lcu_norm_args_of(p, &step->u.norm, lcu_plan_slot(p, step->in[0]),
                                       lcu_plan_slot(p, step->out[0]));
    bool left = next_norms(p, step, &a);
    if (left) {
        p->left_norm = a;
        p->left_step = p->step + 1;
        p->left_slot = step->out[0];
    }
    if (next_adds(p, step)) {
        const lm_step *add = step + 1;
        a.residual = lcu_plan_slot(p, add->in[add->in[0] == step->out[0] ? 1 : 0]).data;
        a.out = lcu_plan_slot(p, add->out[0]);
        p->added = p->step + 1;
    }
    plan_norm(p, &a, left ? LCU_FEW_ROWS + 1 : 1);
    return LLM_OK;
}

int32_t lcu_plan_pool(lcu_planner *p, const lm_step *step)
{
    lcu_pool_args a = {.run = p->run,
                       .in = lcu_plan_slot(p, step->in[0]),
                       .out = lcu_plan_slot(p, step->out[0]),
                       .kind = step->u.pool.kind};
    lcu_launch l = {
        .kernel = LCU_K_pool,
        .grid = {LCU_PER(LCU_COUNT_SEQS, 1), LCU_BLOCKS((a.out.width + 255) / 256), LCU_BLOCKS(1)}};
    lcu_emit(p, &l, &a);
    return LLM_OK;
}
