/* kernels_linear.c - the multiplications: which shader for how many rows, inputs as floats or as
 * bytes for integer dot products, and sorting by expert. */
#include "backends/vulkan/kernels.h"

enum { VEC_ROWS = 4, STRANDS = 32, VEC_TILE = 4 };
enum { MAT_TILE = 64, MAT_LOCAL = 128, SORT_LOCAL = 256, EXPERT_TILE = 32, MAX_EXPERTS = 4096 };
enum { BLOCK = 32, BLOCK_BYTES = 48, QUANTIZE_LOCAL = 64 };
enum { MODE_PLAIN, MODE_HEADS, MODE_EXPERTS };

/* As in shaders/linear.glsl. */
typedef struct linear_args {
    uint64_t weight, matrix_bytes, bias, from, to, codes, ids, order;
    uint32_t rows, cols, row_bytes, kind, matrices, used, own_input;
    float scale;
} linear_args;

/* As in shaders/expert_sort.comp. */
typedef struct sort_args {
    uint64_t ids, order;
    uint32_t kind, used, max_tiles, padding;
} sort_args;

/* As in shaders/quantize_rows.comp. */
typedef struct quantize_args {
    uint64_t from, to;
    uint32_t kind, times, cols, padding;
} quantize_args;

/* A block of scratch memory. */
typedef struct block {
    uint64_t at, bytes;
} block;

typedef struct product {
    lvk_plan *plan;
    lvk_matrix weight;
    lvk_slot in, out, ids;
    linear_args args;
    uint32_t mode;
    bool dot;     /* integer dot products of inputs as bytes */
    block inputs; /* those */
    block order;  /* the sorted places */
} product;

bool lvk_reads_format(const lm_format *format)
{
    return format->decode != NULL && format->id != LM_Q8_1 && format->id != LM_Q8_K;
}

static uint32_t tiles(uint32_t count, uint32_t per)
{
    return (count + per - 1) / per;
}

static product product_of(lvk_plan *p, const lm_step *s, const lm_linear *l, uint32_t mode)
{
    product o = {.plan = p,
                 .weight = lvk_plan_weight(p, l->weight),
                 .in = lvk_plan_slot(p, s->in[0]),
                 .out = lvk_plan_slot(p, s->out[0]),
                 .ids = lvk_plan_slot(p, s->in[1]),
                 .mode = mode};
    o.dot = lvk_plan_features(p)->integer_dot && o.weight.format->block > 1;
    o.args = (linear_args){.weight = o.weight.address,
                           .matrix_bytes = o.weight.matrix_bytes,
                           .bias = lvk_plan_weight(p, l->bias).address,
                           .from = o.in.address,
                           .to = o.out.address,
                           .codes = lvk_plan_codebook(p, o.weight.format),
                           .ids = o.ids.address,
                           .rows = o.weight.rows,
                           .cols = o.weight.cols,
                           .row_bytes = (uint32_t)o.weight.row_bytes,
                           .kind = o.in.rows,
                           .matrices = o.weight.experts,
                           .used = 1,
                           .scale = l->scale == 0 ? 1 : l->scale};
    return o;
}

/* With integer dot products: the inputs as bytes, once for all that follows. */
static int32_t quantize(product *o)
{
    if (!o->dot)
        return LLM_OK;
    uint32_t times = o->in.width / o->weight.cols;
    uint64_t limit = lvk_plan_limits(o->plan)->rows;
    o->inputs.bytes = limit * times * (o->weight.cols / BLOCK) * BLOCK_BYTES;
    o->args.from = lvk_plan_scratch(o->plan, o->inputs.bytes, &o->inputs.at);
    quantize_args args = {.from = o->in.address,
                          .to = o->args.from,
                          .kind = o->in.rows,
                          .times = times,
                          .cols = o->weight.cols};
    lvk_dispatch d = {.shader = LVK_SHADER_quantize_rows,
                      .spec = {QUANTIZE_LOCAL},
                      .n_spec = 1,
                      .x = {.times = tiles(o->weight.cols / BLOCK, QUANTIZE_LOCAL)},
                      .y = {.rows = o->in.rows, .per = 1, .times = times},
                      .z = {.times = 1},
                      .bucket_rows = o->in.rows,
                      .args = &args,
                      .args_bytes = sizeof args};
    lvk_reads_slot(&d, &o->in);
    lvk_writes_scratch(&d, o->inputs.at, o->inputs.bytes);
    return lvk_plan_dispatch(o->plan, &d);
}

/* A dispatch of `shader` for buckets of from <= rows <= to. */
static lvk_dispatch start(const product *o, uint32_t shader, uint32_t local, uint32_t columns,
                          uint32_t from, uint32_t to)
{
    lvk_dispatch d = {
        .shader = shader,
        .spec = {local, o->weight.format->id, o->weight.cols % 8 == 0, o->mode, columns},
        .n_spec = 5,
        .z = {.times = o->mode == MODE_HEADS ? o->weight.experts : 1},
        .bucket_rows = o->in.rows,
        .bucket_from = from,
        .bucket_to = to,
        .args = &o->args,
        .args_bytes = sizeof o->args,
        .flops_per_row = 2 * (uint64_t)o->weight.rows * o->weight.cols *
                         (o->mode == MODE_HEADS ? o->weight.experts : o->args.used)};
    if (o->dot)
        lvk_reads_scratch(&d, o->inputs.at, o->inputs.bytes);
    else
        lvk_reads_slot(&d, &o->in);
    lvk_writes_slot(&d, &o->out);
    if (o->mode == MODE_EXPERTS)
        lvk_reads_slot(&d, &o->ids);
    return d;
}

static int32_t vec(const product *o, uint32_t columns, uint32_t from, uint32_t to)
{
    lvk_dispatch d = start(o, o->dot ? LVK_SHADER_linear_vec_dot : LVK_SHADER_linear_vec,
                           VEC_TILE * STRANDS, columns, from, to);
    d.x = (lvk_extent){.times = tiles(o->weight.rows, VEC_TILE)};
    d.y = (lvk_extent){.rows = o->in.rows, .per = columns, .times = o->args.used};
    return lvk_plan_dispatch(o->plan, &d);
}

static int32_t mat(const product *o, uint32_t columns, uint32_t from, uint32_t to)
{
    lvk_dispatch d = start(o, o->dot ? LVK_SHADER_linear_mat_dot : LVK_SHADER_linear_mat, MAT_LOCAL,
                           columns, from, to);
    d.x = (lvk_extent){.times = tiles(o->weight.rows, MAT_TILE)};
    d.y = (lvk_extent){.rows = o->in.rows, .per = columns, .times = 1};
    return lvk_plan_dispatch(o->plan, &d);
}

static int32_t plan_rows(product *o)
{
    LM_TRY(quantize(o));
    LM_TRY(vec(o, 1, 1, 1));
    LM_TRY(vec(o, VEC_ROWS, 2, VEC_ROWS));
    LM_TRY(mat(o, 32, VEC_ROWS + 1, 32));
    return mat(o, 64, 33, 0);
}

int32_t lvk_plan_linear(lvk_plan *p, const lm_step *step)
{
    product o = product_of(p, step, &step->u.linear, MODE_PLAIN);
    return plan_rows(&o);
}

int32_t lvk_plan_linear_heads(lvk_plan *p, const lm_step *step)
{
    product o = product_of(p, step, &step->u.heads.linear, MODE_HEADS);
    return plan_rows(&o);
}

/* --- experts ---------------------------------------------------------------------------------- */

bool lvk_takes_linear_expert(const lvk_features *f, const lm_network *n, const lm_step *step)
{
    (void)f;
    return n->weights[step->u.expert.linear.weight].experts <= MAX_EXPERTS;
}

static uint32_t max_tiles(const product *o, uint32_t rows)
{
    return tiles(rows * o->args.used, EXPERT_TILE) + o->weight.experts;
}

static int32_t sort(const product *o)
{
    sort_args args = {.ids = o->args.ids,
                      .order = o->args.order,
                      .kind = o->in.rows,
                      .used = o->args.used,
                      .max_tiles = max_tiles(o, lvk_plan_limits(o->plan)->rows)};
    lvk_dispatch d = {.shader = LVK_SHADER_expert_sort,
                      .spec = {SORT_LOCAL, EXPERT_TILE, o->weight.experts + 1},
                      .n_spec = 3,
                      .x = {.times = 1},
                      .y = {.times = 1},
                      .z = {.times = 1},
                      .bucket_rows = o->in.rows,
                      .bucket_from = VEC_ROWS + 1,
                      .args = &args,
                      .args_bytes = sizeof args};
    lvk_reads_slot(&d, &o->ids);
    lvk_writes_scratch(&d, o->order.at, o->order.bytes);
    return lvk_plan_dispatch(o->plan, &d);
}

/* Buckets of from <= rows <= to: as many tiles as their places can make. */
static int32_t sorted(const product *o, uint32_t from, uint32_t to)
{
    lvk_dispatch d = start(o, o->dot ? LVK_SHADER_linear_mat_dot : LVK_SHADER_linear_mat, MAT_LOCAL,
                           EXPERT_TILE, from, to);
    d.x = (lvk_extent){.times = tiles(o->weight.rows, MAT_TILE)};
    d.y = (lvk_extent){.times = max_tiles(o, to)};
    lvk_reads_scratch(&d, o->order.at, o->order.bytes);
    return lvk_plan_dispatch(o->plan, &d);
}

int32_t lvk_plan_linear_expert(lvk_plan *p, const lm_step *step)
{
    product o = product_of(p, step, &step->u.expert.linear, MODE_EXPERTS);
    uint32_t limit = lvk_plan_limits(p)->rows;
    o.args.used = step->u.expert.used;
    o.args.own_input = step->u.expert.per_expert_input;
    LM_TRY(quantize(&o));
    LM_TRY(vec(&o, 1, 1, VEC_ROWS));
    if (limit <= VEC_ROWS)
        return LLM_OK;
    o.order.bytes =
        sizeof(uint32_t) * (1 + 3 * (uint64_t)max_tiles(&o, limit) + (uint64_t)limit * o.args.used);
    o.args.order = lvk_plan_scratch(p, o.order.bytes, &o.order.at);
    LM_TRY(sort(&o));
    uint32_t from = VEC_ROWS + 1, to = 2 * VEC_ROWS;
    for (; to < limit; from = to + 1, to *= 2)
        LM_TRY(sorted(&o, from, to));
    return sorted(&o, from, to);
}
