/* plan_linear.c - launches of multiplications. With exact numerics one arithmetic serves any number of
 * rows (few.cu, gemv.cu); fast ones go over to the tensor cores from five rows on (tiles.cu), and where there are
 * warpgroups to those from 65 rows on (wide.cu); long runs may be the library's (plan_library.c). */
#include "backends/cuda/plan.h"

#define GEMV_ROWS    4u           /* of the weight: one block's */
#define CHUNK        128u         /* columns, see tiles.cu */
#define GEMV_MOST    8u           /* of activations: one block's */
#define FEW_ROWS     LCU_FEW_ROWS /* of activations: never worth a tensor core */
#define ANY          UINT32_MAX
#define STAGES       (3u * 32768u) /* shared memory of tiles_many */
#define TILES        4u
#define LEAST_CHUNKS 2u /* of a split, see wide.cu */
#define MOST_SPLITS  8u
#define SPLIT_TILES  4u  /* of activations: longer runs are not split */
#define TILES_FEW    64u /* rows of activations up to which tiles_few is used */

/* --- kernels by layout ---------------------------------------------------------------------------- */

static const struct {
    uint32_t plain, glu, expert;
} gemv_kernels[LCU_LAYOUT_COUNT] = {
#define X(name, ...) {LCU_K_gemv_##name, LCU_K_gemv_glu_##name, LCU_K_gemv_##name##_expert},
    LCU_LAYOUTS(X)
#undef X
};

/* The last two are for many rows: on any card, or on those that have warpgroups. */
enum { TILES_MANY = 2, TILES_WIDE };

static const struct {
    uint32_t positions, weight_rows; /* of a block */
    uint32_t shared_bytes;
} tiles[TILES] = {
    {16, 32, 0}, {TILES_FEW, 32, 0}, {128, 128, STAGES}, {128, 256, LCU_WIDE_BYTES + 128}};

static const uint32_t tiles_kernels[LCU_LAYOUT_COUNT][TILES] = {
#define R(x, name)                                                                                 \
    [LCU_LAYOUT_##name] = {LCU_K_tiles_##name##_16, LCU_K_tiles_##name##_64,                       \
                           LCU_K_tiles_##name##_128, LCU_K_wide_##name},
    LCU_TILED_LAYOUTS(R, )
#undef R
};

static uint32_t tiles_for_many(const lcu_planner *p)
{
    return lcu_plan_hopper(p) ? TILES_WIDE : TILES_MANY;
}

static bool is_fast(const lcu_planner *p, uint32_t layout)
{
    return p->desc->numerics == LM_NUMERICS_FAST && layout != LCU_LAYOUT_F32;
}

/* --- activations ------------------------------------------------------------------------------------ */

/* Blocks of bytes for runs of `from` to `to` rows. */
static lcu_x8 plan_quantise(lcu_planner *p, lcu_slot in, uint32_t from, uint32_t to)
{
    lcu_quantise_args a = {
        .run = p->run, .in = in, .x = lcu_plan_x8(p, lcu_plan_rows(p, in.rows), in.width)};
    lcu_launch l = {
        .kernel = LCU_K_quantise,
        .grid = {LCU_BLOCKS(lcu_ceil_div(in.width / 32, 64)), LCU_PER(in.rows, 1), LCU_BLOCKS(1)},
        .ladder = in.rows,
        .from = from,
        .to = to};
    lcu_emit(p, &l, &a);
    return a.x;
}

static lcu_x16 take_x16(lcu_planner *p, uint32_t cols, uint64_t positions)
{
    lcu_x16 x = {.chunks = lcu_ceil_div(cols, CHUNK)};
    positions = (positions + 7) / 8 * 8;
    x.units = lcu_plan_scratch(p, positions * x.chunks * CHUNK * 2);
    x.scales = lcu_plan_scratch(p, positions * sizeof(float));
    return x;
}

/* --- products ---------------------------------------------------------------------------------------- */

static void plan_gemv(lcu_planner *p, const lcu_product *pr, uint32_t from, uint32_t to)
{
    uint32_t layout = pr->linear[0].w.layout, blocks = 0;
    lcu_linear_args a = {.run = p->run, .in = pr->in, .residual = pr->residual, .act = pr->act};
    for (uint32_t i = 0; i < pr->parts; i++) {
        blocks += lcu_ceil_div(pr->linear[i].w.rows, GEMV_ROWS);
        a.parts[i] = (lcu_linear_part){pr->linear[i], pr->out[i], blocks};
    }
    if (pr->glu)
        blocks = lcu_ceil_div(pr->linear[0].w.rows, GEMV_ROWS / 2);
    if (LCU_IS_CODES(layout))
        a.x = plan_quantise(p, pr->in, from, to);
    lcu_launch l = {
        .kernel = pr->glu ? gemv_kernels[layout].glu : gemv_kernels[layout].plain,
        .grid = {LCU_BLOCKS(blocks), LCU_PER(pr->in.rows, GEMV_MOST), LCU_BLOCKS(pr->heads)},
        .ladder = pr->in.rows,
        .from = from,
        .to = to};
    lcu_emit(p, &l, &a);
}

/* Splits of the columns for a launch of so many blocks: as many as there are processors for. */
static uint32_t splits_for(const lcu_planner *p, uint32_t blocks, uint32_t chunks)
{
    uint32_t splits = p->device->properties.processors / blocks, most = chunks / LEAST_CHUNKS;
    splits = splits < most ? splits : most;
    return splits < 2 ? 1 : splits < MOST_SPLITS ? splits : MOST_SPLITS;
}

/* A launch by warpgroups for each number of tiles whose blocks would leave processors idle, then one for all
 * longer runs, up to `to` rows. */
static void plan_wide(lcu_planner *p, lcu_tiles_args *a, lcu_launch l, uint32_t to)
{
    uint32_t positions = tiles[TILES_WIDE].positions, most = lcu_plan_rows(p, l.ladder);
    for (uint32_t n = 1; l.from <= most && l.from <= to; n++) {
        uint32_t blocks = n * l.grid[0].times;
        uint32_t splits = n > SPLIT_TILES ? 1 : splits_for(p, blocks, a->x.chunks);
        l.grid[2] = LCU_BLOCKS(splits);
        l.to = splits == 1 || n * positions > to ? to : n * positions;
        lcu_emit(p, &l, a);
        if (l.to == ANY)
            break;
        l.from = l.to + 1;
    }
}

/* Part `i` for more rows, up to `to`, its activations packed. */
static void plan_part(lcu_planner *p, const lcu_product *pr, uint32_t i, const lcu_tiles_args *all,
                      lcu_slot out, uint32_t to)
{
    const lcu_weight_view *w = &pr->linear[i].w;
    lcu_tiles_args a = *all;
    a.out = out;
    a.linear = pr->linear[i];
    const uint32_t kinds[3] = {0, 1, tiles_for_many(p)};
    for (uint32_t rung = 0; rung < 3; rung++) {
        uint32_t k = kinds[rung];
        lcu_launch l = {.kernel = tiles_kernels[w->layout][k],
                        .grid = {LCU_BLOCKS(lcu_ceil_div(w->rows, tiles[k].weight_rows)),
                                 LCU_PER(pr->in.rows, tiles[k].positions), LCU_BLOCKS(1)},
                        .shared_bytes = tiles[k].shared_bytes,
                        .ladder = pr->in.rows,
                        .from = rung == 0 ? FEW_ROWS + 1 : tiles[rung - 1].positions + 1,
                        .to = rung == 2 ? to : tiles[rung].positions};
        if (k == TILES_WIDE)
            plan_wide(p, &a, l, to);
        else if (l.from <= lcu_plan_rows(p, pr->in.rows))
            lcu_emit(p, &l, &a);
    }
}

/* In the order of the kernel that a number of rows goes to. */
static void plan_pack(lcu_planner *p, const lcu_pack_args *a, uint32_t to)
{
    uint32_t few = tiles_for_many(p) == TILES_WIDE ? TILES_FEW : to;
    lcu_launch l = {.kernel = LCU_K_pack_x,
                    .grid = {LCU_PER(a->in.rows, 1), LCU_BLOCKS(1), LCU_BLOCKS(1)},
                    .ladder = a->in.rows,
                    .from = FEW_ROWS + 1,
                    .to = few};
    lcu_emit(p, &l, a);
    l.kernel = LCU_K_pack_cores;
    l.from = few + 1;
    l.to = to;
    if (few < to && few < lcu_plan_rows(p, a->in.rows))
        lcu_emit(p, &l, a);
}

static void plan_tiles(lcu_planner *p, const lcu_product *pr, const lcu_slot *out, uint32_t to)
{
    uint32_t cols = pr->linear[0].w.cols, kind = pr->in.rows, most = lcu_plan_rows(p, kind);
    lcu_pack_args pack = {.run = p->run,
                          .in = pr->in,
                          .x = take_x16(p, cols, to < most ? to : most),
                          .cols = cols,
                          .used = 1,
                          .bf16 = pr->linear[0].w.layout == LCU_LAYOUT_BF16};
    plan_pack(p, &pack, to);
    lcu_tiles_args a = {.run = p->run, .in = pr->in, .residual = pr->residual, .x = pack.x};
    if (tiles_for_many(p) == TILES_WIDE &&
        most > TILES_FEW) { /* one part after the other uses it */
        uint32_t blocks = p->device->properties.processors;
        a.partial = lcu_plan_scratch(p, (uint64_t)blocks * LCU_WIDE_TILE * sizeof(float));
        a.arrived = lcu_plan_kept(p, blocks * LCU_WIDE_WARPS * sizeof(uint32_t));
    }
    for (uint32_t i = 0; i < pr->parts; i++)
        plan_part(p, pr, i, &a, out[i], to);
}

/* For more rows than the vectors take. */
static void plan_many(lcu_planner *p, const lcu_product *pr)
{
    uint32_t library = lcu_library_rows(p, pr);
    lcu_slot out[LCU_LINEAR_PARTS];
    for (uint32_t i = 0; i < pr->parts; i++)
        out[i] = pr->glu ? lcu_plan_slot_of(p, pr->out[0].width, pr->in.rows) : pr->out[i];
    plan_tiles(p, pr, out, library == ANY ? ANY : library - 1);
    if (library != ANY)
        lcu_plan_library(p, pr, out);
    if (pr->glu)
        lcu_plan_act_mul(p, pr->act, out[0], out[1], false, pr->out[0], FEW_ROWS + 1);
}

static void plan_from(lcu_planner *p, const lcu_product *pr, uint32_t from);

/* One part after the other. */
static void plan_apart(lcu_planner *p, const lcu_product *pr, uint32_t from)
{
    lcu_slot out[LCU_LINEAR_PARTS];
    for (uint32_t i = 0; i < pr->parts; i++) {
        out[i] = pr->glu ? lcu_plan_slot_of(p, pr->out[0].width, pr->in.rows) : pr->out[i];
        lcu_product one = *pr;
        one.parts = 1;
        one.linear[0] = pr->linear[i];
        one.out[0] = out[i];
        one.first_head_part = i;
        one.glu = false;
        one.act = pr->glu ? LM_ACT_NONE : pr->act;
        if (from == 1)
            lcu_plan_product(p, &one);
        else
            plan_from(p, &one, from);
    }
    if (pr->glu)
        lcu_plan_act_mul(p, pr->act, out[0], out[1], false, pr->out[0], from);
}

/* Runs of `from` rows or more. */
static void plan_from(lcu_planner *p, const lcu_product *pr, uint32_t from)
{
    uint32_t layout = pr->linear[0].w.layout, most = lcu_plan_rows(p, pr->in.rows);
    if (from > most)
        return;
    for (uint32_t i = 1; i < pr->parts; i++) {
        if (pr->linear[i].w.layout != layout) {
            plan_apart(p, pr, from);
            return;
        }
    }
    bool fast = is_fast(p, layout) && pr->heads == 1;
    if (!fast || from <= FEW_ROWS)
        plan_gemv(p, pr, from, fast ? FEW_ROWS : ANY);
    if (fast && most > FEW_ROWS)
        plan_many(p, pr);
    for (uint32_t i = 0; i < pr->parts && !pr->glu && pr->act != LM_ACT_NONE; i++)
        lcu_plan_act_mul(p, pr->act, pr->out[i], pr->out[i], true, pr->out[i], from);
}

void lcu_plan_product(lcu_planner *p, const lcu_product *pr)
{
    plan_from(p, pr, lcu_plan_few(p, pr) ? FEW_ROWS + 1 : 1);
}

int32_t lcu_plan_linear_step(lcu_planner *p, const lm_step *step)
{
    bool heads = step->kind == LM_STEP_LINEAR_HEADS;
    const lm_linear *linear = heads ? &step->u.heads.linear : &step->u.linear;
    lcu_product product = {.in = lcu_plan_slot(p, step->in[0]),
                           .parts = 1,
                           .linear = {lcu_plan_linear(p, linear)},
                           .out = {lcu_plan_slot(p, step->out[0])},
                           .heads = heads ? step->u.heads.heads : 1,
                           .norm = lcu_left_norm(p, step->in[0])};
    lcu_plan_product(p, &product);
    return LLM_OK;
}

/* --- experts ---------------------------------------------------------------------------------------------- */

static void plan_gemv_expert(lcu_planner *p, lcu_expert_args *a, uint32_t to)
{
    if (LCU_IS_CODES(a->linear.w.layout))
        a->x = plan_quantise(p, a->in, 1, to);
    lcu_launch l = {.kernel = gemv_kernels[a->linear.w.layout].expert,
                    .grid = {LCU_BLOCKS(lcu_ceil_div(a->linear.w.rows, GEMV_ROWS)),
                             LCU_BLOCKS(a->used), LCU_PER(a->in.rows, 1)},
                    .ladder = a->in.rows,
                    .from = 1,
                    .to = to};
    lcu_emit(p, &l, a);
}

/* Runs of `from` to `to` rows, in tiles of kind `i`: the places are put in order, packed, multiplied. */
static void plan_grouped(lcu_planner *p, const lcu_expert_args *from_args, uint32_t i,
                         uint32_t from, uint32_t to)
{
    const lcu_weight_view *w = &from_args->linear.w;
    uint32_t kind = from_args->in.rows, most = lcu_plan_rows(p, kind), used = from_args->used;
    uint64_t places = (uint64_t)(to < most ? to : most) * used;
    uint32_t touched = places < w->experts ? (uint32_t)places : w->experts;
    uint32_t positions = (uint32_t)places + 7 * touched;
    uint32_t n_tiles = (uint32_t)places / tiles[i].positions + touched;
    lcu_order order = {.places = lcu_plan_scratch(p, positions * sizeof(uint32_t)),
                       .tiles = lcu_plan_scratch(p, n_tiles * sizeof(lcu_tile)),
                       .n_positions = lcu_plan_scratch(p, sizeof(uint32_t)),
                       .n_tiles = lcu_plan_scratch(p, sizeof(uint32_t))};
    lcu_order_args sort = {.run = p->run,
                           .ids = from_args->ids,
                           .out = from_args->out,
                           .order = order,
                           .used = used,
                           .experts = w->experts,
                           .width = tiles[i].positions};
    lcu_launch l = {.kernel = LCU_K_order,
                    .grid = {LCU_BLOCKS(1), LCU_BLOCKS(1), LCU_BLOCKS(1)},
                    .shared_bytes = w->experts * 8 * (uint32_t)sizeof(uint32_t),
                    .ladder = kind,
                    .from = from,
                    .to = to};
    lcu_emit(p, &l, &sort);
    lcu_pack_args pack = {.run = p->run,
                          .in = from_args->in,
                          .x = take_x16(p, w->cols, positions),
                          .order = order,
                          .cols = w->cols,
                          .used = used,
                          .per_expert_input = from_args->per_expert_input,
                          .bf16 = w->layout == LCU_LAYOUT_BF16};
    l.kernel = i == TILES_WIDE ? LCU_K_pack_cores : LCU_K_pack_x;
    l.grid[0] = LCU_BLOCKS(positions);
    l.shared_bytes = 0;
    lcu_emit(p, &l, &pack);
    lcu_tiles_args a = {.run = p->run,
                        .in = from_args->in,
                        .out = from_args->out,
                        .linear = from_args->linear,
                        .x = pack.x,
                        .order = order};
    l.kernel = tiles_kernels[w->layout][i];
    l.grid[0] = LCU_BLOCKS(lcu_ceil_div(w->rows, tiles[i].weight_rows));
    l.grid[1] = LCU_BLOCKS(n_tiles);
    l.shared_bytes = tiles[i].shared_bytes;
    lcu_emit(p, &l, &a);
}

int32_t lcu_plan_expert(lcu_planner *p, const lm_step *step)
{
    lcu_expert_args a = {.run = p->run,
                         .in = lcu_plan_slot(p, step->in[0]),
                         .ids = lcu_plan_slot(p, step->in[1]),
                         .out = lcu_plan_slot(p, step->out[0]),
                         .linear = lcu_plan_linear(p, &step->u.expert.linear),
                         .used = step->u.expert.used,
                         .per_expert_input = step->u.expert.per_expert_input};
    uint32_t most = lcu_plan_rows(p, a.in.rows);
    bool fast = is_fast(p, a.linear.w.layout);
    plan_gemv_expert(p, &a, fast ? FEW_ROWS : ANY);
    if (!fast)
        return LLM_OK;
    /* Small tiles while an expert has up to two of them on average. */
    uint32_t border = 32 * a.linear.w.experts / a.used;
    border = border < 64 ? 64 : border;
    if (most > FEW_ROWS)
        plan_grouped(p, &a, 0, FEW_ROWS + 1, border);
    if (most > border)
        plan_grouped(p, &a, tiles_for_many(p), border + 1, ANY);
    return LLM_OK;
}
