/* emit.c - one function per step an architecture writes: adds the step and names its output. */
#include "step/network.h"

#include <string.h>

static const lm_slot_info nothing = {0, LM_ROWS_ALL, LM_SLOT_F32};

static const lm_slot_info *slot_of(const lm_builder *b, uint32_t slot)
{
    return slot < b->graph->n_slots ? &b->graph->slots[slot] : &nothing;
}

static const lm_weight_desc *weight_of(const lm_builder *b, uint32_t weight)
{
    static const lm_weight_desc none = {.name = "absent"};
    return weight < b->network->n_weights ? &b->network->weights[weight] : &none;
}

static lm_step blank(uint32_t kind)
{
    lm_step step;
    memset(&step, 0, sizeof step);
    step.kind = (uint16_t)kind;
    for (uint32_t i = 0; i < LM_STEP_INS; i++)
        step.in[i] = LM_NONE;
    for (uint32_t i = 0; i < LM_STEP_OUTS; i++)
        step.out[i] = LM_NONE;
    return step;
}

/* A step with up to two inputs and one fresh output with the rows of the first input. */
static uint32_t simple(lm_builder *b, lm_step *step, uint32_t in0, uint32_t in1, uint32_t width)
{
    step->in[0] = in0;
    step->in[1] = in1;
    uint32_t rows = in0 == LM_NONE ? (uint32_t)LM_ROWS_ALL : slot_of(b, in0)->rows;
    step->out[0] = lm_build_slot(b, width, rows, LM_SLOT_F32);
    lm_build_step(b, step);
    return step->out[0];
}

uint32_t lm_emit_embed(lm_builder *b, uint32_t source, uint32_t weight, float scale)
{
    lm_step step = blank(LM_STEP_EMBED);
    step.u.embed.source = source;
    step.u.embed.weight = weight;
    step.u.embed.scale = scale;
    return simple(b, &step, LM_NONE, LM_NONE, weight_of(b, weight)->cols);
}

uint32_t lm_emit_add(lm_builder *b, uint32_t a, uint32_t c)
{
    lm_step step = blank(LM_STEP_ADD);
    return simple(b, &step, a, c, slot_of(b, a)->width);
}

uint32_t lm_emit_scale(lm_builder *b, uint32_t in, float scale, float cap)
{
    lm_step step = blank(LM_STEP_SCALE);
    step.u.scale.scale = scale;
    step.u.scale.cap = cap;
    return simple(b, &step, in, LM_NONE, slot_of(b, in)->width);
}

uint32_t lm_emit_norm(lm_builder *b, uint32_t in, const lm_norm *norm)
{
    lm_step step = blank(LM_STEP_NORM);
    step.u.norm = *norm;
    return simple(b, &step, in, LM_NONE, slot_of(b, in)->width);
}

uint32_t lm_emit_act_mul(lm_builder *b, uint32_t act, uint32_t in, uint32_t factor)
{
    lm_step step = blank(LM_STEP_ACT_MUL);
    step.u.act.act = act;
    return simple(b, &step, in, factor, slot_of(b, in)->width);
}

uint32_t lm_emit_linear(lm_builder *b, uint32_t in, const lm_linear *linear)
{
    lm_step step = blank(LM_STEP_LINEAR);
    step.u.linear = *linear;
    return simple(b, &step, in, LM_NONE, weight_of(b, linear->weight)->rows);
}

uint32_t lm_emit_conv(lm_builder *b, uint32_t in, const lm_conv *conv)
{
    lm_step step = blank(LM_STEP_CONV_STATE);
    step.u.conv = *conv;
    return simple(b, &step, in, LM_NONE, conv->channels);
}

uint32_t lm_emit_scan(lm_builder *b, uint32_t xbc, uint32_t dt, const lm_scan *scan)
{
    lm_step step = blank(LM_STEP_SCAN_STATE);
    step.u.scan = *scan;
    return simple(b, &step, xbc, dt, scan->heads * scan->head_dim);
}

uint32_t lm_emit_pool(lm_builder *b, uint32_t in, uint32_t kind)
{
    lm_step step = blank(LM_STEP_POOL);
    step.u.pool.kind = kind;
    step.in[0] = in;
    step.out[0] = lm_build_slot(b, slot_of(b, in)->width, LM_ROWS_SEQS, LM_SLOT_F32);
    lm_build_step(b, &step);
    b->graph->result = step.out[0];
    return step.out[0];
}

uint32_t lm_emit_coarse(lm_builder *b, lm_step *step, uint32_t kind, uint32_t in, uint32_t residual,
                        uint32_t width)
{
    lm_step empty = blank(kind);
    memcpy(step->in, empty.in, sizeof step->in);
    memcpy(step->out, empty.out, sizeof step->out);
    step->kind = (uint16_t)kind;
    return simple(b, step, in, residual, width);
}

uint32_t lm_emit_head(lm_builder *b, uint32_t in, const lm_norm *norm, const lm_linear *out,
                      float cap)
{
    lm_step step = blank(LM_STEP_HEAD);
    step.u.head.norm = *norm;
    step.u.head.out = *out;
    step.u.head.cap = cap;
    step.in[0] = in;
    step.out[0] = lm_build_slot(b, weight_of(b, out->weight)->rows, LM_ROWS_WANTED, LM_SLOT_F32);
    lm_build_step(b, &step);
    b->graph->result = step.out[0];
    return step.out[0];
}
