/* plan_library.c - products of long runs that cuBLASLt does, in fast numerics: activations become BF16,
 * and so do weights of other formats, some rows at a time (slab.cu), so that the workspace stays small. */
#include "backends/cuda/plan.h"

/* The runs from which on it pays. Both unmeasured. */
#define BF16_ROWS 512u
#define SLAB_ROWS 1024u

#define WORKSPACE_BYTES ((uint64_t)32 << 20) /* the library's own */

/* A slab takes at most this part of the second cache, so that the product still finds it there beside
 * the activations: 25 MB on an H200, whose 128-row tiles of 4096 columns then fill its processors at
 * 2048 rows. It has whole tiles unless it is the last. */
#define CACHE_PART 2u
#define TILE_ROWS  128u

static const uint32_t slab_kernels[LCU_LAYOUT_COUNT] = {
#define R(x, name) [LCU_LAYOUT_##name] = LCU_K_slab_##name,
    LCU_SLAB_LAYOUTS(R, )
#undef R
};

/* --- slabs ------------------------------------------------------------------------------------ */

typedef struct slabs {
    void *data;    /* of one, all take turns; NULL: the weight is BF16 itself */
    uint32_t rows; /* of each */
    uint32_t stride;
} slabs;

/* As few slabs as there may be, alike. */
static uint32_t slab_rows(const lcu_planner *p, uint32_t rows, uint32_t stride)
{
    uint64_t room = p->device->properties.cache_bytes / CACHE_PART / sizeof(uint16_t) / stride;
    uint32_t tiles = (uint32_t)(room / TILE_ROWS), all = lcu_ceil_div(rows, TILE_ROWS);
    tiles = tiles == 0 ? 1 : tiles;
    return lcu_ceil_div(all, lcu_ceil_div(all, tiles)) * TILE_ROWS;
}

static slabs take_slabs(lcu_planner *p, const lcu_product *pr)
{
    const lcu_weight_view *w = &pr->linear[0].w;
    slabs s = {NULL, UINT32_MAX, w->stride[0] / (uint32_t)sizeof(uint16_t)};
    if (w->layout == LCU_LAYOUT_BF16)
        return s;
    s.rows = 0;
    s.stride = lcu_ceil_div(w->cols, 32) * 32;
    for (uint32_t i = 0; i < pr->parts; i++) {
        uint32_t rows = slab_rows(p, pr->linear[i].w.rows, s.stride);
        s.rows = rows > s.rows ? rows : s.rows;
    }
    s.data = lcu_plan_scratch(p, (uint64_t)s.rows * s.stride * sizeof(uint16_t));
    return s;
}

/* Rows of the weight from `first` on, as the library reads them. */
static const void *plan_slab(lcu_planner *p, const lcu_weight_view *w, const slabs *s,
                             uint32_t first, uint32_t rows, lcu_launch l)
{
    if (s->data == NULL)
        return w->data;
    lcu_slab_args a = {*w, first, rows, s->data};
    l.kernel = slab_kernels[w->layout];
    l.grid[0] = LCU_BLOCKS(lcu_ceil_div(rows * (s->stride / 32), lcu_kernels[l.kernel].threads));
    l.grid[1] = l.grid[2] = LCU_BLOCKS(1);
    lcu_emit(p, &l, &a);
    return s->data;
}

/* --- products --------------------------------------------------------------------------------- */

static void plan_bias(lcu_planner *p, const float *bias, lcu_slot out, lcu_launch l)
{
    lcu_values_args a = {.run = p->run, .in = {out}, .out = out, .vector = bias};
    l.kernel = LCU_K_row_add;
    l.grid[0] = LCU_PER(out.rows, 1);
    l.grid[1] = LCU_BLOCKS(lcu_ceil_div(out.width, 1024));
    l.grid[2] = LCU_BLOCKS(1);
    lcu_emit(p, &l, &a);
}

static lcu_gemm take_activations(lcu_planner *p, const lcu_product *pr, uint32_t stride,
                                 lcu_launch l)
{
    uint64_t bytes = (uint64_t)lcu_plan_rows(p, pr->in.rows) * stride * sizeof(uint16_t);
    lcu_round_args a = {
        .run = p->run, .in = pr->in, .out = lcu_plan_scratch(p, bytes), .stride = stride};
    l.kernel = LCU_K_round;
    l.grid[0] = LCU_PER(pr->in.rows, 1);
    l.grid[1] = LCU_BLOCKS(lcu_ceil_div(pr->in.width, 1024));
    l.grid[2] = LCU_BLOCKS(1);
    lcu_emit(p, &l, &a);
    return (lcu_gemm){.x = a.out,
                      .stride = stride,
                      .workspace = lcu_plan_scratch(p, WORKSPACE_BYTES),
                      .workspace_bytes = WORKSPACE_BYTES};
}

/* `common`: what all products of the step share. */
static void plan_part(lcu_planner *p, const lcu_product *pr, uint32_t i, const lcu_slot *out,
                      const slabs *s, const lcu_gemm *common, lcu_launch l)
{
    const lcu_linear *linear = &pr->linear[i];
    lcu_gemm g = *common;
    g.cols = linear->w.cols;
    g.out_stride = linear->w.rows;
    g.scale = linear->scale;
    for (uint32_t first = 0; first < linear->w.rows; first += g.rows) {
        uint32_t left = linear->w.rows - first;
        g.rows = left < s->rows ? left : s->rows;
        g.weight = plan_slab(p, &linear->w, s, first, g.rows, l);
        g.out = (float *)out->data + first;
        g.residual = pr->residual == NULL ? NULL : pr->residual + first;
        l.kernel = LCU_LIBRARY;
        lcu_emit(p, &l, &g);
    }
    if (linear->bias != NULL)
        plan_bias(p, linear->bias, *out, l);
}

uint32_t lcu_library_rows(const lcu_planner *p, const lcu_product *pr)
{
    uint32_t from = pr->linear[0].w.layout == LCU_LAYOUT_BF16 ? BF16_ROWS : SLAB_ROWS;
    bool can = p->device->library.handle != NULL && lcu_plan_rows(p, pr->in.rows) >= from;
    return can ? from : UINT32_MAX;
}

void lcu_plan_library(lcu_planner *p, const lcu_product *pr, const lcu_slot *out)
{
    lcu_launch l = {.ladder = pr->in.rows, .from = lcu_library_rows(p, pr), .to = UINT32_MAX};
    slabs s = take_slabs(p, pr);
    lcu_gemm common = take_activations(p, pr, s.stride, l);
    for (uint32_t i = 0; i < pr->parts; i++)
        plan_part(p, pr, i, &out[i], &s, &common, l);
}
