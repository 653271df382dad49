/* plan_linear.c - launches of multiplications. With exact numerics one arithmetic serves any number of
 * rows (gemv.cu); fast ones go over to the tensor cores from five rows on (tiles.cu). */
#include "backends/cuda/plan.h"

#define GEMV_ROWS 4u   /* of the weight: one block's */
#define CHUNK     128u /* columns, see tiles.cu */
#define FEW_ROWS  4u   /* of activations: never worth a tensor core */
#define ANY       UINT32_MAX
#define STAGES    (3u * 32768u) /* shared memory of tiles_many */

/* --- kernels by layout ---------------------------------------------------------------------------- */

static const uint32_t gemv_rows[4] = {1, 2, 4, 8};

static const struct {
    uint32_t gemv[4], expert;
} gemv_kernels[LCU_LAYOUT_COUNT] = {
#define X(name, ...)                                                                               \
    {{LCU_K_gemv_##name##_1, LCU_K_gemv_##name##_2, LCU_K_gemv_##name##_4, LCU_K_gemv_##name##_8}, \
     LCU_K_gemv_##name##_expert},
    LCU_LAYOUTS(X)
#undef X
};

static const struct {
    uint32_t positions, weight_rows; /* of a block */
    uint32_t shared_bytes;
} tiles[3] = {{16, 32, 0}, {64, 32, 0}, {128, 128, STAGES}};

static const uint32_t tiles_kernels[LCU_LAYOUT_COUNT][3] = {
#define R(x, name)                                                                                 \
    [LCU_LAYOUT_##                                                                                 \
        name] = {LCU_K_tiles_##name##_16, LCU_K_tiles_##name##_64, LCU_K_tiles_##name##_128},
    LCU_TILED_LAYOUTS(R, )
#undef R
};

static bool is_codes(uint32_t layout)
{
    return layout > LCU_LAYOUT_BF16;
}

static bool is_fast(const lcu_planner *p, uint32_t layout)
{
    return p->desc->numerics == LM_NUMERICS_FAST && layout != LCU_LAYOUT_F32;
}

static uint32_t most_rows(const lcu_planner *p, uint32_t kind)
{
    const lm_row_limits *l = &p->desc->limits;
    return kind == LM_ROWS_ALL ? l->rows : kind == LM_ROWS_WANTED ? l->wanted : l->seqs;
}

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

/* --- activations ------------------------------------------------------------------------------------ */

/* Blocks of bytes for runs of up to `to` rows. */
static lcu_x8 plan_quantise(lcu_planner *p, lcu_slot in, uint32_t to)
{
    uint64_t rows = most_rows(p, in.rows), blocks = rows * (in.width / 32);
    lcu_quantise_args a = {.run = p->run, .in = in};
    a.x.codes = lcu_plan_scratch(p, blocks * 32);
    a.x.blocks = lcu_plan_scratch(p, blocks * 8);
    lcu_launch l = {
        .kernel = LCU_K_quantise,
        .grid = {LCU_BLOCKS(ceil_div(in.width / 32, 8)), LCU_PER(in.rows, 1), LCU_BLOCKS(1)},
        .ladder = in.rows,
        .from = 1,
        .to = to};
    lcu_emit(p, &l, &a);
    return a.x;
}

static lcu_x16 take_x16(lcu_planner *p, uint32_t cols, uint64_t positions)
{
    lcu_x16 x = {.chunks = ceil_div(cols, CHUNK)};
    positions = (positions + 7) / 8 * 8;
    x.units = lcu_plan_scratch(p, positions * x.chunks * CHUNK * 2);
    x.scales = lcu_plan_scratch(p, positions * sizeof(float));
    return x;
}

/* --- one weight, or one per head ---------------------------------------------------------------------- */

static void plan_gemv(lcu_planner *p, const lcu_linear_args *a, uint32_t to)
{
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t least = i == 0 ? 1 : gemv_rows[i - 1] + 1, most = i == 3 ? to : gemv_rows[i];
        if (least > to || least > most_rows(p, a->in.rows))
            continue;
        lcu_launch l = {.kernel = gemv_kernels[a->linear.w.layout].gemv[i],
                        .grid = {LCU_BLOCKS(ceil_div(a->linear.w.rows, GEMV_ROWS)),
                                 LCU_PER(a->in.rows, gemv_rows[i]), LCU_BLOCKS(a->heads)},
                        .ladder = a->in.rows,
                        .from = least,
                        .to = most};
        lcu_emit(p, &l, a);
    }
}

static void plan_tiles(lcu_planner *p, const lcu_linear_args *from)
{
    const lcu_weight_view *w = &from->linear.w;
    uint32_t kind = from->in.rows, most = most_rows(p, kind);
    lcu_x16 x = take_x16(p, w->cols, most);
    lcu_pack_args pack = {.run = p->run,
                          .in = from->in,
                          .x = x,
                          .cols = w->cols,
                          .used = 1,
                          .bf16 = w->layout == LCU_LAYOUT_BF16};
    lcu_launch l = {.kernel = LCU_K_pack_x,
                    .grid = {LCU_PER(kind, 1), LCU_BLOCKS(1), LCU_BLOCKS(1)},
                    .ladder = kind,
                    .from = FEW_ROWS + 1,
                    .to = ANY};
    lcu_emit(p, &l, &pack);
    lcu_tiles_args a = {
        .run = p->run, .in = from->in, .out = from->out, .linear = from->linear, .x = x};
    for (uint32_t i = 0; i < 3; i++) {
        l.kernel = tiles_kernels[w->layout][i];
        l.grid[0] = LCU_BLOCKS(ceil_div(w->rows, tiles[i].weight_rows));
        l.grid[1] = LCU_PER(kind, tiles[i].positions);
        l.shared_bytes = tiles[i].shared_bytes;
        l.from = i == 0 ? FEW_ROWS + 1 : tiles[i - 1].positions + 1;
        l.to = i == 2 ? ANY : tiles[i].positions;
        if (l.from <= most)
            lcu_emit(p, &l, &a);
    }
}

int32_t lcu_plan_linear_step(lcu_planner *p, const lm_step *step)
{
    bool heads = step->kind == LM_STEP_LINEAR_HEADS;
    const lm_linear *linear = heads ? &step->u.heads.linear : &step->u.linear;
    lcu_linear_args a = {.run = p->run,
                         .in = lcu_plan_slot(p, step->in[0]),
                         .out = lcu_plan_slot(p, step->out[0]),
                         .linear = lcu_plan_linear(p, linear),
                         .heads = heads ? step->u.heads.heads : 1};
    bool fast = is_fast(p, a.linear.w.layout) && !heads;
    uint32_t to = fast ? FEW_ROWS : ANY;
    if (is_codes(a.linear.w.layout))
        a.x = plan_quantise(p, a.in, to);
    plan_gemv(p, &a, to);
    if (fast && most_rows(p, a.in.rows) > FEW_ROWS)
        plan_tiles(p, &a);
    return LLM_OK;
}

/* --- experts ---------------------------------------------------------------------------------------------- */

static void plan_gemv_expert(lcu_planner *p, lcu_expert_args *a, uint32_t to)
{
    if (is_codes(a->linear.w.layout))
        a->x = plan_quantise(p, a->in, to);
    lcu_launch l = {.kernel = gemv_kernels[a->linear.w.layout].expert,
                    .grid = {LCU_BLOCKS(ceil_div(a->linear.w.rows, GEMV_ROWS)), LCU_BLOCKS(a->used),
                             LCU_PER(a->in.rows, 1)},
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
    uint32_t kind = from_args->in.rows, most = most_rows(p, kind), used = from_args->used;
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
    l.kernel = LCU_K_pack_x;
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
    l.grid[0] = LCU_BLOCKS(ceil_div(w->rows, tiles[i].weight_rows));
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
    uint32_t most = most_rows(p, a.in.rows);
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
        plan_grouped(p, &a, 2, border + 1, ANY);
    return LLM_OK;
}
