/* kernels_linear.c - the multiplications: which shader for how many rows, with inputs as floats, as bytes
 * for integer dot products or as halves for cooperative matrices. */
#include "backends/vulkan/kernels.h"

enum { STRANDS = 32, VEC_TILE = 4, MAT_TILE = 64, MAT_LOCAL = 128 };

/* As in shaders/linear.glsl. */
typedef struct part_args {
    uint64_t weight, matrix_bytes, bias, to, residual;
    uint32_t rows, row_bytes;
    float scale;
    uint32_t padding;
} part_args;

typedef struct linear_args {
    uint64_t from, codes, ids, order, scales;
    uint32_t cols, kind, matrices, used, own_input, n_parts;
    part_args parts[LVK_PARTS];
} linear_args;

/* Parts of a product whose weights have one format. */
typedef struct group {
    lvk_plan *plan;
    const lvk_product *of;
    lvk_matrix weight[LVK_PARTS];
    lvk_slot out[LVK_PARTS];
    uint32_t n_parts;
    linear_args args;
    const lvk_inputs *bytes, *halves; /* NULL: the inputs as they are */
} group;

bool lvk_reads_format(const lm_format *format)
{
    return format->decode != NULL && format->id != LM_Q8_1 && format->id != LM_Q8_K &&
           format->id != LM_E4M3;
}

/* Integers under a step; others are floats, of eight bits or more. */
static bool has_codes(const lm_format *format)
{
    return format->block > 1 && format->id != LM_F8_E4M3;
}

static uint32_t tiles(uint32_t count, uint32_t per)
{
    return (count + per - 1) / per;
}

/* --- groups ----------------------------------------------------------------------------------- */

static void add_part(group *g, uint32_t i)
{
    const lvk_product *of = g->of;
    const lm_linear *l = of->linear[i];
    lvk_matrix w = lvk_plan_weight(g->plan, l->weight);
    g->weight[g->n_parts] = w;
    g->out[g->n_parts] = of->out[i];
    g->args.parts[g->n_parts++] = (part_args){.weight = w.address,
                                              .matrix_bytes = w.matrix_bytes,
                                              .bias = lvk_plan_weight(g->plan, l->bias).address,
                                              .to = of->out[i].address,
                                              .residual = of->residual.address,
                                              .rows = w.rows,
                                              .row_bytes = (uint32_t)w.row_bytes,
                                              .scale = l->scale == 0 ? 1 : l->scale};
    g->args.n_parts = g->n_parts;
}

/* The parts from `first` on of that one's format. */
static group group_of(lvk_plan *p, const lvk_product *of, uint32_t first)
{
    group g = {.plan = p, .of = of};
    const lm_format *format = lvk_plan_weight(p, of->linear[first]->weight).format;
    for (uint32_t i = first; i < of->n_parts; i++)
        if (lvk_plan_weight(p, of->linear[i]->weight).format->id == format->id)
            add_part(&g, i);
    g.args.from = of->in.address;
    g.args.codes = lvk_plan_codebook(p, format);
    g.args.ids = of->ids.address;
    g.args.order = of->order.address;
    g.args.cols = g.weight[0].cols;
    g.args.kind = of->in.rows;
    g.args.matrices = g.weight[0].experts;
    g.args.used = of->mode == LVK_EXPERTS ? of->order.used : 1;
    g.args.own_input = of->own_input;
    return g;
}

static bool is_first_of_its_format(lvk_plan *p, const lvk_product *of, uint32_t i)
{
    uint32_t id = lvk_plan_weight(p, of->linear[i]->weight).format->id;
    for (uint32_t k = 0; k < i; k++)
        if (lvk_plan_weight(p, of->linear[k]->weight).format->id == id)
            return false;
    return true;
}

/* --- dispatches ------------------------------------------------------------------------------- */

/* For buckets of from <= rows <= to; all parts one beside the other, in tiles of so many rows. */
static lvk_dispatch start(const group *g, uint32_t shader, uint32_t tile_rows, uint32_t from,
                          uint32_t to)
{
    const lvk_product *of = g->of;
    uint32_t heads = of->mode == LVK_HEADS ? g->args.matrices : 1;
    lvk_dispatch d = {.shader = shader,
                      .spec = {MAT_LOCAL, g->weight[0].format->id, g->args.cols % 8 == 0, of->mode},
                      .z = {.times = heads},
                      .bucket_rows = of->in.rows,
                      .bucket_from = from,
                      .bucket_to = to,
                      .args = &g->args,
                      .args_bytes = sizeof g->args};
    for (uint32_t i = 0; i < g->n_parts; i++) {
        d.x.times += tiles(g->weight[i].rows, tile_rows);
        d.flops_per_row += 2 * (uint64_t)g->weight[i].rows * g->args.cols * heads * g->args.used;
    }
    if (of->residual.width > 0)
        lvk_reads_slot(&d, &of->residual);
    if (of->mode == LVK_EXPERTS)
        lvk_reads_slot(&d, &of->ids);
    return d;
}

static void read_inputs(lvk_dispatch *d, group *g, const lvk_inputs *inputs)
{
    g->args.from = inputs == NULL ? g->of->in.address : inputs->address;
    g->args.scales = inputs == NULL ? 0 : inputs->scales;
    if (inputs == NULL)
        lvk_reads_slot(d, &g->of->in);
    else
        lvk_reads_scratch(d, inputs->at, inputs->bytes);
}

static int32_t vec(group *g, uint32_t columns, uint32_t from, uint32_t to)
{
    bool gated = g->of->gated && g->n_parts == 2;
    lvk_dispatch d = start(g, g->bytes != NULL ? LVK_SHADER_linear_vec_dot : LVK_SHADER_linear_vec,
                           VEC_TILE, from, to);
    d.spec[0] = VEC_TILE * STRANDS;
    d.spec[4] = columns;
    d.spec[5] = gated;
    d.spec[6] = g->of->act;
    d.n_spec = 7;
    if (gated)
        d.x.times = tiles(g->weight[0].rows, VEC_TILE);
    d.y = (lvk_extent){.rows = g->of->in.rows, .per = columns, .times = g->args.used};
    read_inputs(&d, g, g->bytes);
    for (uint32_t i = 0; i < (gated ? 1 : g->n_parts); i++)
        lvk_writes_slot(&d, &g->out[i]);
    return lvk_plan_dispatch(g->plan, &d);
}

/* Fragments of a tile shared out to its subgroups, near to squares. */
static void set_grid(const lvk_features *f, uint32_t columns, uint32_t spec[5])
{
    uint32_t m = MAT_TILE / f->coopmat[0], n = columns / f->coopmat[1];
    uint32_t grid_m = 1, grid_n = 1;
    while (grid_m * grid_n < MAT_LOCAL / f->subgroup && (grid_m < m || grid_n < n))
        *(m / grid_m >= n / grid_n ? &grid_m : &grid_n) *= 2;
    for (uint32_t i = 0; i < 3; i++)
        spec[i] = f->coopmat[i];
    spec[3] = grid_m;
    spec[4] = grid_n;
}

static int32_t mat(group *g, uint32_t columns, lvk_extent y, uint32_t from, uint32_t to)
{
    const lvk_inputs *inputs = g->halves != NULL ? g->halves : g->bytes;
    lvk_dispatch d = start(g,
                           g->halves != NULL  ? LVK_SHADER_linear_mat_coop
                           : g->bytes != NULL ? LVK_SHADER_linear_mat_dot
                                              : LVK_SHADER_linear_mat,
                           MAT_TILE, from, to);
    d.spec[4] = columns;
    d.n_spec = 5;
    if (g->halves != NULL) {
        set_grid(lvk_plan_features(g->plan), columns, &d.spec[5]);
        d.n_spec = 10;
    }
    d.y = y;
    read_inputs(&d, g, inputs);
    if (g->of->mode == LVK_EXPERTS)
        lvk_reads_scratch(&d, g->of->order.at, g->of->order.bytes);
    for (uint32_t i = 0; i < g->n_parts; i++)
        lvk_writes_slot(&d, &g->out[i]);
    return lvk_plan_dispatch(g->plan, &d);
}

static int32_t plan_rows(group *g)
{
    uint32_t kind = g->of->in.rows;
    LM_TRY(vec(g, 1, 1, 1));
    LM_TRY(vec(g, LVK_VEC_ROWS, 2, LVK_VEC_ROWS));
    LM_TRY(mat(g, 32, (lvk_extent){kind, 32, 1}, LVK_VEC_ROWS + 1, 32));
    return mat(g, 64, (lvk_extent){kind, 64, 1}, 33, 0);
}

/* Sorted places: as many tiles as the rows of a bucket can make. */
static int32_t plan_places(group *g)
{
    const lvk_order *order = &g->of->order;
    uint32_t limit = lvk_plan_limits(g->plan)->rows;
    LM_TRY(vec(g, 1, 1, LVK_VEC_ROWS));
    for (uint32_t from = LVK_VEC_ROWS + 1, to = 2 * LVK_VEC_ROWS; from <= limit;
         from = to + 1, to *= 2)
        LM_TRY(
            mat(g, LVK_EXPERT_TILE, (lvk_extent){.times = lvk_order_tiles(order, to)}, from, to));
    return LLM_OK;
}

/* --- products --------------------------------------------------------------------------------- */

int32_t lvk_plan_product(lvk_plan *p, const lvk_product *of)
{
    const lvk_features *f = lvk_plan_features(p);
    lvk_inputs bytes = {0}, halves = {0};
    bool has_bytes = false, has_halves = false, split = false;
    for (uint32_t i = 0; i < of->n_parts; i++) {
        if (!is_first_of_its_format(p, of, i))
            continue;
        group g = group_of(p, of, i);
        bool coop = lvk_plan_fast(p) && f->coopmat[0] != 0 && g.weight[0].format->id != LM_F32;
        g.bytes = f->integer_dot && has_codes(g.weight[0].format) ? &bytes : NULL;
        g.halves = coop ? &halves : NULL;
        if (g.bytes != NULL && !has_bytes)
            LM_TRY(lvk_plan_bytes(p, &of->in, g.args.cols, coop ? LVK_VEC_ROWS : 0, &bytes));
        if (coop && !has_halves)
            LM_TRY(lvk_plan_halves(p, &of->in, g.args.cols, LVK_VEC_ROWS + 1, &halves));
        has_bytes |= g.bytes != NULL;
        has_halves |= coop;
        split |= g.n_parts < of->n_parts;
        LM_TRY(of->mode == LVK_EXPERTS ? plan_places(&g) : plan_rows(&g));
    }
    return of->gated ? lvk_plan_activated(p, of->act, &of->out[0], &of->out[1], &of->out[0],
                                          split ? 0 : LVK_VEC_ROWS + 1)
                     : LLM_OK;
}

static int32_t plan_step(lvk_plan *p, const lm_step *step, const lm_linear *linear, uint32_t mode)
{
    lvk_product product = {.in = lvk_plan_slot(p, step->in[0]),
                           .linear = {linear},
                           .out = {lvk_plan_slot(p, step->out[0])},
                           .n_parts = 1,
                           .mode = mode};
    return lvk_plan_product(p, &product);
}

int32_t lvk_plan_linear(lvk_plan *p, const lm_step *step)
{
    return plan_step(p, step, &step->u.linear, LVK_PLAIN);
}

int32_t lvk_plan_linear_heads(lvk_plan *p, const lm_step *step)
{
    return plan_step(p, step, &step->u.heads.linear, LVK_HEADS);
}
