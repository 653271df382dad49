/* kernels_values.c - steps on single values and on whole rows without arithmetic between columns: sums,
 * activations, copies, tables, pooling. */
#include "backends/vulkan/kernels.h"

#define LOCAL 128u

/* One row per workgroup along y, LOCAL columns along x. */
static lvk_dispatch by_rows(uint32_t shader, uint32_t width, uint32_t rows, const void *args,
                            uint32_t args_bytes)
{
    return (lvk_dispatch){.shader = shader,
                          .spec = {LOCAL},
                          .n_spec = 1,
                          .x = {.times = (width + LOCAL - 1) / LOCAL},
                          .y = {.rows = rows, .per = 1, .times = 1},
                          .z = {.times = 1},
                          .bucket_rows = rows,
                          .args = args,
                          .args_bytes = args_bytes};
}

/* --- values.comp ------------------------------------------------------------------------------ */

enum { OP_ADD, OP_ROW_ADD, OP_SCALE, OP_CAP, OP_ACTIVATE, OP_ACT_MUL, OP_SAME };

typedef struct values_args {
    uint64_t a, b, to;
    uint32_t width, rows;
    float scale, cap;
} values_args;

typedef struct values_how {
    uint32_t op, act;
    uint64_t vector; /* address of what is added to every row; 0: the second input is `b` */
    float scale, cap;
    uint32_t from_bucket;
} values_how;

static int32_t plan_values(lvk_plan *p, const values_how *how, const lvk_slot *a, const lvk_slot *b,
                           const lvk_slot *to)
{
    values_args args = {a->address,  how->vector != 0 ? how->vector : b->address,
                        to->address, to->width,
                        to->rows,    how->scale,
                        how->cap};
    lvk_dispatch d = by_rows(LVK_SHADER_values, to->width, to->rows, &args, sizeof args);
    d.spec[1] = how->op;
    d.spec[2] = how->act;
    d.n_spec = 3;
    d.bucket_from = how->from_bucket;
    lvk_reads_slot(&d, a);
    lvk_reads_slot(&d, b);
    lvk_writes_slot(&d, to);
    return lvk_plan_dispatch(p, &d);
}

static int32_t plan_step(lvk_plan *p, const lm_step *s, const values_how *how)
{
    lvk_slot a = lvk_plan_slot(p, s->in[0]), b = lvk_plan_slot(p, s->in[1]);
    lvk_slot to = lvk_plan_slot(p, s->out[0]);
    return plan_values(p, how, &a, &b, &to);
}

int32_t lvk_plan_sum(lvk_plan *p, const lvk_slot *a, const lvk_slot *b, const lvk_slot *to)
{
    values_how how = {.op = OP_ADD};
    return plan_values(p, &how, a, b, to);
}

int32_t lvk_plan_activated(lvk_plan *p, uint32_t act, const lvk_slot *gate, const lvk_slot *factor,
                           const lvk_slot *to, uint32_t from)
{
    values_how how = {
        .op = factor->width == 0 ? OP_ACTIVATE : OP_ACT_MUL, .act = act, .from_bucket = from};
    return plan_values(p, &how, gate, factor, to);
}

int32_t lvk_plan_add(lvk_plan *p, const lm_step *s)
{
    values_how how = {.op = OP_ADD};
    return plan_step(p, s, &how);
}

int32_t lvk_plan_row_add(lvk_plan *p, const lm_step *s)
{
    uint64_t vector = lvk_plan_weight(p, s->u.vector.weight).address;
    values_how how = {.op = s->u.vector.weight == LM_NONE ? OP_SAME : OP_ROW_ADD, .vector = vector};
    return plan_step(p, s, &how);
}

int32_t lvk_plan_scale(lvk_plan *p, const lm_step *s)
{
    values_how how = {.op = s->u.scale.cap > 0 ? OP_CAP : OP_SCALE,
                      .scale = s->u.scale.scale,
                      .cap = s->u.scale.cap};
    return plan_step(p, s, &how);
}

int32_t lvk_plan_act_mul(lvk_plan *p, const lm_step *s)
{
    values_how how = {.op = s->in[1] == LM_NONE ? OP_ACTIVATE : OP_ACT_MUL, .act = s->u.act.act};
    return plan_step(p, s, &how);
}

/* A sum over one device. */
int32_t lvk_plan_all_reduce(lvk_plan *p, const lm_step *s)
{
    values_how how = {.op = OP_SAME};
    return plan_step(p, s, &how);
}

/* --- move.comp -------------------------------------------------------------------------------- */

typedef struct move_args {
    uint64_t from, to;
    uint32_t from_width, to_width, from_column, to_column, width, rows;
    uint32_t from_head, to_head, heads, padding;
} move_args;

typedef struct columns {
    uint32_t from, to, width, heads; /* of each head */
} columns;

static int32_t plan_move(lvk_plan *p, uint32_t in, uint32_t out, columns c, bool pick)
{
    lvk_slot from = lvk_plan_slot(p, in), to = lvk_plan_slot(p, out);
    move_args args = {.from = from.address,
                      .to = to.address,
                      .from_width = from.width,
                      .to_width = to.width,
                      .from_column = c.from,
                      .to_column = c.to,
                      .width = c.width,
                      .rows = to.rows,
                      .from_head = from.width / c.heads,
                      .to_head = to.width / c.heads,
                      .heads = c.heads};
    lvk_dispatch d = by_rows(LVK_SHADER_move, c.width * c.heads, to.rows, &args, sizeof args);
    d.spec[1] = pick;
    d.n_spec = 2;
    lvk_reads_slot(&d, &from);
    lvk_writes_slot(&d, &to);
    return lvk_plan_dispatch(p, &d);
}

int32_t lvk_plan_gather(lvk_plan *p, const lm_step *s)
{
    columns all = {0, 0, lvk_plan_slot(p, s->in[0]).width, 1};
    return plan_move(p, s->in[0], s->out[0], all, true);
}

int32_t lvk_plan_copy(lvk_plan *p, const lm_step *s)
{
    columns c = {s->u.copy.in_column, s->u.copy.out_column, s->u.copy.width,
                 s->u.copy.heads == 0 ? 1 : s->u.copy.heads};
    return plan_move(p, s->in[0], s->out[0], c, false);
}

int32_t lvk_plan_concat(lvk_plan *p, const lm_step *s)
{
    uint32_t first = lvk_plan_slot(p, s->in[0]).width, second = lvk_plan_slot(p, s->in[1]).width;
    LM_TRY(plan_move(p, s->in[0], s->out[0], (columns){0, 0, first, 1}, false));
    return plan_move(p, s->in[1], s->out[0], (columns){0, first, second, 1}, false);
}

/* --- embed.comp ------------------------------------------------------------------------------- */

typedef struct embed_args {
    uint64_t table, row_bytes, codebook, to;
    uint32_t width, rows;
    float scale;
    uint32_t padding;
} embed_args;

int32_t lvk_plan_embed(lvk_plan *p, const lm_step *s)
{
    lvk_slot to = lvk_plan_slot(p, s->out[0]);
    lvk_matrix table = lvk_plan_weight(p, s->u.embed.weight);
    embed_args args = {.table = table.address,
                       .row_bytes = table.row_bytes,
                       .codebook = lvk_plan_codebook(p, table.format),
                       .to = to.address,
                       .width = to.width,
                       .rows = to.rows,
                       .scale = s->u.embed.scale == 0 ? 1 : s->u.embed.scale};
    lvk_dispatch d = by_rows(LVK_SHADER_embed, to.width, to.rows, &args, sizeof args);
    d.spec[1] = table.format->id;
    d.spec[2] = false;
    d.spec[3] = s->u.embed.source;
    d.n_spec = 4;
    lvk_writes_slot(&d, &to);
    return lvk_plan_dispatch(p, &d);
}

/* --- pool.comp -------------------------------------------------------------------------------- */

typedef struct pool_args {
    uint64_t from, to;
    uint32_t width, padding;
} pool_args;

int32_t lvk_plan_pool(lvk_plan *p, const lm_step *s)
{
    lvk_slot from = lvk_plan_slot(p, s->in[0]), to = lvk_plan_slot(p, s->out[0]);
    pool_args args = {from.address, to.address, to.width, 0};
    lvk_dispatch d = by_rows(LVK_SHADER_pool, to.width, LM_ROWS_SEQS, &args, sizeof args);
    d.spec[1] = s->u.pool.kind;
    d.n_spec = 2;
    lvk_reads_slot(&d, &from);
    lvk_writes_slot(&d, &to);
    return lvk_plan_dispatch(p, &d);
}
