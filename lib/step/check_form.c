/* check_form.c - what all steps of a kind have in common: how many slots they read and write, of
 * which rows and type, and that what they read was written before. */
#include "step/check.h"

#include <string.h>

#define ANY      0xffu
#define AS_INPUT 0xfeu

/* Bits of `ids`: which slots hold I32. */
#define IN(i)  (1u << (i))
#define OUT(i) (1u << (LM_STEP_INS + (i)))

static const struct form {
    uint8_t ins, optional, outs;
    uint8_t in_rows, out_rows;
    uint8_t ids;
} forms[LM_STEP_COUNT] = {
    [LM_STEP_EMBED] = {0, 0, 1, ANY, LM_ROWS_ALL, 0},
    [LM_STEP_GATHER_ROWS] = {1, 0, 1, LM_ROWS_ALL, LM_ROWS_WANTED, 0},
    [LM_STEP_COPY] = {1, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_CONCAT] = {2, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_ADD] = {2, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_ROW_ADD] = {1, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_SCALE] = {1, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_NORM] = {1, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_ACT_MUL] = {1, 1, 1, ANY, AS_INPUT, 0},
    [LM_STEP_LINEAR] = {1, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_LINEAR_HEADS] = {1, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_LINEAR_EXPERT] = {2, 0, 1, ANY, AS_INPUT, IN(1)},
    [LM_STEP_ROUTE_TOPK] = {1, 0, 2, ANY, AS_INPUT, OUT(0)},
    [LM_STEP_COMBINE] = {2, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_ROPE] = {1, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_KV_APPEND] = {1, 1, 0, LM_ROWS_ALL, ANY, 0},
    [LM_STEP_ATTN_PAGED] = {1, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_CONV_STATE] = {1, 0, 1, LM_ROWS_ALL, AS_INPUT, 0},
    [LM_STEP_SCAN_STATE] = {2, 0, 1, LM_ROWS_ALL, AS_INPUT, 0},
    [LM_STEP_POOL] = {1, 0, 1, LM_ROWS_ALL, LM_ROWS_SEQS, 0},
    [LM_STEP_TAP] = {1, 0, 1, LM_ROWS_ALL, LM_ROWS_WANTED, 0},
    [LM_STEP_BEST] = {1, 0, 2, ANY, AS_INPUT, OUT(0)},
    [LM_STEP_ALL_REDUCE] = {1, 0, 1, ANY, AS_INPUT, 0},
    [LM_STEP_QKV_ROPE_APPEND] = {1, 0, 1, LM_ROWS_ALL, AS_INPUT, 0},
    [LM_STEP_ATTN_OUT] = {1, 1, 1, ANY, AS_INPUT, 0},
    [LM_STEP_GLU_FFN] = {1, 1, 1, ANY, AS_INPUT, 0},
    [LM_STEP_MOE_FFN] = {1, 1, 1, ANY, AS_INPUT, 0},
    [LM_STEP_MLA_ATTN] = {1, 1, 1, LM_ROWS_ALL, AS_INPUT, 0},
    [LM_STEP_HEAD] = {1, 0, 1, LM_ROWS_ALL, LM_ROWS_WANTED, 0},
};

typedef struct context {
    const lm_graph *g;
    const lm_step *s;
    size_t index;
} context;

static int32_t broken(const context *c, const char *what, uint32_t slot)
{
    return lm_fail(LLM_E_INTERNAL, "step %u (%s, layer %u): %s (slot %u)", (unsigned)c->index,
                   lm_step_name(c->s->kind), (unsigned)c->s->layer, what, (unsigned)slot);
}

/* `at`: which input or output; `needed` of them and `optional` more. */
static int32_t check_slot(const context *c, uint32_t slot, uint32_t at, uint32_t needed,
                          uint32_t optional)
{
    if (at < needed && slot == LM_NONE)
        return broken(c, "a slot is missing", slot);
    if (at >= needed + optional && slot != LM_NONE)
        return broken(c, "a slot too many", slot);
    if (slot != LM_NONE && slot >= c->g->n_slots)
        return broken(c, "there is no such slot", slot);
    return LLM_OK;
}

static int32_t check_kind(const context *c, uint32_t slot, uint32_t rows, bool id)
{
    const lm_slot_info *info = &c->g->slots[slot];
    if (info->width == 0 || info->rows > LM_ROWS_SEQS || (rows != ANY && info->rows != rows))
        return broken(c, "a slot of the wrong rows", slot);
    if ((info->type == LM_SLOT_I32) != id)
        return broken(c, "a slot of the wrong type", slot);
    return LLM_OK;
}

/* Values that only move may be of either type. */
static bool only_moves(uint32_t kind)
{
    return kind == LM_STEP_COPY || kind == LM_STEP_GATHER_ROWS || kind == LM_STEP_TAP;
}

static int32_t check_form(const context *c)
{
    const struct form *f = &forms[c->s->kind];
    for (uint32_t i = 0; i < LM_STEP_INS; i++)
        LM_TRY(check_slot(c, c->s->in[i], i, f->ins, f->optional));
    for (uint32_t i = 0; i < LM_STEP_OUTS; i++)
        LM_TRY(check_slot(c, c->s->out[i], i, f->outs, 0));
    const lm_slot_info *slots = c->g->slots;
    bool moves = only_moves(c->s->kind);
    bool moved_ids = moves && slots[c->s->in[0]].type == LM_SLOT_I32;
    uint32_t rows =
        f->ins == 0 ? ANY : slots[c->s->in[0]].rows; /* all inputs have those of the first */
    uint32_t in_rows = f->in_rows == ANY ? rows : f->in_rows;
    uint32_t out_rows = f->out_rows == AS_INPUT ? rows : f->out_rows;
    for (uint32_t i = 0; i < LM_STEP_INS; i++)
        if (c->s->in[i] != LM_NONE)
            LM_TRY(check_kind(c, c->s->in[i], in_rows, moves ? moved_ids : (f->ids & IN(i)) != 0));
    for (uint32_t i = 0; i < f->outs; i++)
        LM_TRY(check_kind(c, c->s->out[i], out_rows, moves ? moved_ids : (f->ids & OUT(i)) != 0));
    return LLM_OK;
}

/* A slot that a later step writes cannot be read yet; one that none writes comes from outside. */
static int32_t check_order(const lm_graph *g, bool *pending)
{
    for (size_t i = 0; i < g->n_steps; i++)
        for (uint32_t k = 0; k < LM_STEP_OUTS; k++)
            if (g->steps[i].out[k] != LM_NONE)
                pending[g->steps[i].out[k]] = true;
    for (size_t i = 0; i < g->n_steps; i++) {
        context c = {g, &g->steps[i], i};
        for (uint32_t k = 0; k < LM_STEP_INS; k++)
            if (c.s->in[k] != LM_NONE && pending[c.s->in[k]])
                return broken(&c, "a slot is read before it is written", c.s->in[k]);
        for (uint32_t k = 0; k < LM_STEP_OUTS; k++)
            if (c.s->out[k] != LM_NONE)
                pending[c.s->out[k]] = false;
    }
    return LLM_OK;
}

int32_t lm_graph_check_forms(const lm_network *n, const lm_graph *g)
{
    for (size_t i = 0; i < g->n_steps; i++) {
        context c = {g, &g->steps[i], i};
        if (c.s->kind >= LM_STEP_COUNT)
            return broken(&c, "there is no such kind", LM_NONE);
        LM_TRY(check_form(&c));
    }
    bool *pending = LM_NEW_ARRAY(n->alloc, bool, g->n_slots);
    if (pending == NULL)
        return LLM_E_MEMORY;
    int32_t rc = check_order(g, pending);
    lm_free_array(n->alloc, pending, g->n_slots, sizeof *pending);
    return rc;
}
