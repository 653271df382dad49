/* plan_few.c - multiplications of one to four rows, with what lies around them: see kernels/few.cuh. */
#include "backends/cuda/plan.h"

#define SHARED_OWN  8192u /* most that the kernels have beside what a launch asks for */
#define BLOCK_BYTES 40u   /* of shared memory for 32 values */
#define WARPS       8u
#define WAVES       4u /* blocks for each processor that are aimed at */

enum { VARIANTS = 2 };

typedef struct variants {
    uint32_t kernel[VARIANTS];
} variants;

static const uint32_t variant_rows[VARIANTS] = {1, LCU_FEW_ROWS};

static const struct {
    variants plain, glu;
} kernels[LCU_LAYOUT_COUNT] = {
#define X(name, ...)                                                                               \
    {{{LCU_K_few_##name##_1, LCU_K_few_##name##_4}},                                               \
     {{LCU_K_few_glu_##name##_1, LCU_K_few_glu_##name##_4}}},
    LCU_LAYOUTS(X)
#undef X
};

#define MIXED(l, m)                                                                                \
    {                                                                                              \
        LCU_LAYOUT_##l, LCU_LAYOUT_##m,                                                            \
        {                                                                                          \
            {                                                                                      \
                LCU_K_few_##l##_##m##_1, LCU_K_few_##l##_##m##_4                                   \
            }                                                                                      \
        }                                                                                          \
    }
static const struct {
    uint32_t first, last;
    variants plain;
} mixed[2] = {MIXED(Q4_K, Q6_K), MIXED(Q5_K, Q6_K)};

/* Rows of activations that the widest variant has. */
static uint32_t most_rows(const lcu_planner *p, uint32_t rows)
{
    uint32_t most = lcu_plan_rows(p, rows);
    return most > 1 ? LCU_FEW_ROWS : most;
}

bool lcu_few_fits(const lcu_planner *p, uint32_t rows, uint32_t cols)
{
    uint64_t bytes = (uint64_t)lcu_ceil_div(cols, 32) * BLOCK_BYTES * most_rows(p, rows);
    return bytes + SHARED_OWN <= p->device->properties.shared_bytes;
}

lcu_x8 lcu_plan_x8(lcu_planner *p, uint64_t rows, uint32_t cols)
{
    lcu_x8 x;
    x.codes = lcu_plan_scratch(p, rows * cols);
    x.blocks = lcu_plan_scratch(p, rows * (cols / 32) * 8);
    return x;
}

/* One launch for all parts, or NULL. */
static const variants *variants_of(const lcu_product *pr)
{
    uint32_t first = pr->linear[0].w.layout, last = pr->linear[pr->parts - 1].w.layout;
    if (pr->parts > 1 && pr->linear[1].w.layout != first && (pr->parts > 2 || pr->glu))
        return NULL;
    if (first == last)
        return pr->glu ? &kernels[first].glu : &kernels[first].plain;
    for (uint32_t i = 0; i < 2 && pr->parts == LCU_LINEAR_PARTS; i++)
        if (mixed[i].first == first && mixed[i].last == last)
            return &mixed[i].plain;
    return NULL;
}

/* Fours of weight rows of a team: so many that blocks are not many more than there is room for, each of which
 * makes its activations ready. Results are quantised by whole blocks of 32. */
static uint32_t depth_of(const lcu_planner *p, const lcu_product *pr)
{
    uint32_t fours = 0, teams = LCU_FEW_TEAMS * WAVES * p->device->properties.processors;
    for (uint32_t i = 0; i < pr->parts; i++)
        fours += lcu_ceil_div(pr->linear[i].w.rows, 4);
    uint32_t depth = lcu_ceil_div(fours, teams == 0 ? 1 : teams);
    if (pr->out_x.codes != NULL)
        depth = pr->glu ? 8 : 4;
    return depth > LCU_FEW_DEPTH ? LCU_FEW_DEPTH : depth;
}

static uint32_t fill_parts(const lcu_product *pr, lcu_few_args *a)
{
    uint32_t each = a->depth * LCU_FEW_TEAMS * (pr->glu ? 2 : 4), blocks = 0;
    for (uint32_t i = 0; i < pr->parts; i++) {
        if (i == 0 || !pr->glu)
            blocks += lcu_ceil_div(pr->linear[i].w.rows, each);
        a->parts[i] = (lcu_linear_part){pr->linear[i], pr->out[i], blocks};
    }
    return blocks;
}

bool lcu_plan_few(lcu_planner *p, const lcu_product *pr)
{
    uint32_t cols = pr->linear[0].w.cols, kind = pr->in.rows, most = lcu_plan_rows(p, kind);
    const variants *v = variants_of(pr);
    if (v == NULL || !lcu_few_fits(p, kind, cols))
        return false;
    lcu_few_args a = {.run = p->run,
                      .in = pr->norm == NULL ? pr->in : pr->norm->in,
                      .x = pr->x,
                      .pair = pr->glu,
                      .act = pr->act,
                      .residual = pr->residual,
                      .out_x = pr->out_x,
                      .first_head_part = pr->first_head_part};
    uint32_t heads_bytes = 0;
    if (pr->norm != NULL)
        a.norm = *pr->norm;
    if (pr->few_heads != NULL) {
        a.heads = *pr->few_heads;
        heads_bytes = WARPS * a.heads.room * (uint32_t)sizeof(float);
    }
    a.depth = depth_of(p, pr);
    uint32_t blocks = fill_parts(pr, &a);
    for (uint32_t i = 0; i < VARIANTS && (i == 0 || most > variant_rows[i - 1]); i++) {
        uint32_t bytes = lcu_ceil_div(cols, 32) * BLOCK_BYTES * variant_rows[i];
        bytes = LCU_IS_CODES(pr->linear[0].w.layout) ? bytes : 0;
        lcu_launch l = {.kernel = v->kernel[i],
                        .grid = {LCU_BLOCKS(blocks), LCU_BLOCKS(1), LCU_BLOCKS(pr->heads)},
                        .shared_bytes = bytes > heads_bytes ? bytes : heads_bytes,
                        .ladder = kind,
                        .from = i == 0 ? 1 : variant_rows[i - 1] + 1,
                        .to = variant_rows[i]};
        lcu_emit(p, &l, &a);
    }
    return true;
}
