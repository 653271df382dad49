/* cpu_product.c - planning multiplications: what activations become, how weights are cut into tasks, what memory
 * that takes; and binding a plan to a run. The tasks themselves are in cpu_tasks.c. */
#include "backends/cpu/cpu_product.h"

#define TILE_ROWS   16u      /* of a task, at least; a multiple of what the kernels take together */
#define FLOAT_ROWS  64u      /* of weights decoded together when they fit */
#define FLOAT_STEP  32u      /* and in parts of that */
#define PAIR_ROWS   32u      /* of a pair's task a multiple: its results are quantised in blocks */
#define PANEL_BYTES 786432u  /* panels that stay in the second cache */
#define FAST_BYTES  1310720u /* the same with fast numerics, whose activations are too many for it */
#define FEW_BYTES   98304u   /* of weights in a task with few places: the last one is waited for */
#define FEW_PLACES  16u      /* of groups together: experts have one each */
#define GRAIN       16384u   /* values of a task that quantises */

/* --- planning --------------------------------------------------------------------------------- */

uint32_t lcpu_acts_wanted(const lcpu_plan *plan, const lm_format *format, uint32_t groups)
{
    const lcpu_kernels *k = &plan->d->k;
    if (plan->fast && lcpu_fast_of(k, format) != NULL) /* some groups may have few places */
        return groups > 1 ? LCPU_ACTS_FAST | LCPU_ACTS_BLOCKS : LCPU_ACTS_FAST;
    if (lcpu_int8_of(k, format) != NULL)
        return LCPU_ACTS_BLOCKS;
    if (lcpu_bf16_of(k, format) != NULL)
        return LCPU_ACTS_BF16;
    return k->turned.from != 0 ? LCPU_ACTS_TURNED : 0;
}

/* One piece of memory, for few rows and for many. */
static void carve_fast(lcpu_acts *a, const lcpu_kernels *k, lcpu_carve *c)
{
    a->row_bytes = k->int8.row_bytes(a->cols);
    a->fast_bytes = k->fast.row_bytes(a->cols);
    uint8_t *rows =
        lcpu_take(c, a->n * (a->row_bytes > a->fast_bytes ? a->row_bytes : a->fast_bytes));
    if (a->n >= k->fast_from)
        a->fast = rows;
    else if (a->blocks == NULL)
        a->blocks = rows;
}

void lcpu_acts_carve(lcpu_acts *a, const lcpu_device *d, uint32_t rows, uint32_t cols, bool floats,
                     uint32_t wanted, lcpu_carve *c)
{
    *a = (lcpu_acts){.n = rows, .cols = cols};
    if ((wanted & LCPU_ACTS_BLOCKS) != 0) {
        a->row_bytes = d->k.int8.row_bytes(cols);
        a->blocks = lcpu_take(c, rows * a->row_bytes);
    }
    if ((wanted & LCPU_ACTS_FAST) != 0)
        carve_fast(a, &d->k, c);
    if ((wanted & LCPU_ACTS_BF16) != 0) {
        a->bf16_bytes = d->k.bf16.row_bytes(cols);
        a->bf16 = lcpu_take(c, rows * a->bf16_bytes);
    }
    if ((wanted & LCPU_ACTS_TURNED) != 0 && rows >= d->k.turned.from) {
        a->turned_values = LCPU_TURNED_ROW(cols) + LCPU_PANEL_GAP;
        a->turned = lcpu_take(c, rows * a->turned_values * sizeof *a->turned);
    }
    bool only_blocks = (wanted & (LCPU_ACTS_BLOCKS | LCPU_ACTS_FAST)) != 0 &&
                       ((wanted & LCPU_ACTS_FAST) == 0 || rows < d->k.fast_from);
    if (floats && !only_blocks)
        a->in = lcpu_take(c, (uint64_t)rows * cols * sizeof *a->in);
}

/* What `rows` of weights take unpacked. */
static size_t panel_bytes(const lcpu_product *p, uint32_t rows)
{
    if (p->packed == NULL) {
        size_t plain = rows * (p->cols + (size_t)LCPU_PANEL_GAP);
        size_t turned = (rows + 15) / 16 * LCPU_TURNED_PANEL(p->cols);
        return (turned > plain ? turned : plain) * sizeof(float);
    }
    uint32_t panels = (rows + p->family->panel_rows - 1) / p->family->panel_rows;
    uint32_t column_bytes = p->packed->column_bytes;
    if (p->fast != NULL && p->fast->column_bytes > column_bytes)
        column_bytes = p->fast->column_bytes;
    return panels * (size_t)column_bytes * ((p->cols + 31) / 32);
}

/* Parts of the rows that kernels like, in whole `step`s, as far as they fit the cache. */
static void size_parts(lcpu_product *p, uint32_t rows, uint32_t step)
{
    size_t most = p->fast != NULL ? FAST_BYTES : PANEL_BYTES;
    while (rows > step && panel_bytes(p, rows) > most)
        rows -= step;
    p->part_rows = rows;
    p->panel_bytes = panel_bytes(p, rows);
    p->task_rows = rows > TILE_ROWS ? rows : TILE_ROWS / rows * rows;
}

/* Of weights that kernels like to get at once; with few places, where memory is waited for, tasks are
 * small. */
static uint32_t tile_rows(const lcpu_device *d, const lcpu_product *p)
{
    uint32_t most = p->packed != NULL ? p->family->tile_rows : FLOAT_ROWS;
    if (p->fast != NULL)
        most = d->k.fast.tile_rows;
    if (!p->few || most < TILE_ROWS)
        return most;
    uint32_t rows = TILE_ROWS;
    while (rows + TILE_ROWS <= most && (rows + TILE_ROWS) * p->row_bytes <= FEW_BYTES)
        rows += TILE_ROWS;
    return rows;
}

static void choose_half(const lcpu_kernels *k, const lm_format *format, lcpu_product *p)
{
    const struct {
        uint32_t id;
        lcpu_half_fn matmul;
        uint32_t most;
    } table[] = {
        {LM_F16, k->f16_matmul, k->f16_most},
        {LM_BF16, k->bf16_matmul, k->bf16_most},
        {LM_F8_E4M3, k->f8_e4m3_matmul, k->f8_e4m3_most},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].id == format->id) {
            p->half = table[i].matmul;
            p->half_most = table[i].most;
        }
}

void lcpu_batch_add(lcpu_batch *b, const lm_format *format, uint32_t cols, uint32_t places,
                    uint32_t groups, lcpu_carve *c)
{
    lcpu_product *p = &b->p[b->n++];
    const lcpu_kernels *k = &b->d->k;
    bool bf16 = lcpu_bf16_of(k, format) != NULL;
    const lcpu_int8 *family = bf16 ? &k->bf16 : &k->int8;
    *p = (lcpu_product){.packed = bf16 ? lcpu_bf16_of(k, format) : lcpu_int8_of(k, format),
                        .family = family,
                        .bf16 = bf16,
                        .fast = b->fast ? lcpu_fast_of(k, format) : NULL,
                        .decode = lcpu_decoder_of(k, format),
                        .cols = cols,
                        .row_bytes = cols / format->block * (size_t)format->bytes,
                        .few = places <= (groups > 1 ? FEW_PLACES : family->direct_max)};
    choose_half(k, format, p);
    size_parts(p, tile_rows(b->d, p), p->packed != NULL ? family->panel_rows : FLOAT_STEP);
    p->x = lcpu_take(c, places * sizeof *p->x);
    p->out = lcpu_take(c, places * sizeof *p->out);
    p->groups = lcpu_take(c, groups * sizeof *p->groups);
}

/* The products of a pair are cut alike, in whole blocks of what they make. */
static void plan_pair(lcpu_batch *b)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t step = tile_rows(b->d, &b->p[i]), wanted = step;
        while (wanted % PAIR_ROWS != 0)
            wanted += step;
        while (b->p[i].few && wanted > PAIR_ROWS && wanted * b->p[i].row_bytes > FEW_BYTES)
            wanted -= PAIR_ROWS;
        size_parts(&b->p[i], wanted, PAIR_ROWS);
        rows = rows == 0 || b->p[i].part_rows < rows ? b->p[i].part_rows : rows;
    }
    for (uint32_t i = 0; i < b->n; i++)
        size_parts(&b->p[i], rows, PAIR_ROWS);
    b->tile_bytes = (size_t)b->n * LCPU_PAIR_PLACES * rows * sizeof(float);
}

void lcpu_batch_finish(lcpu_batch *b, const lcpu_pair *pair, lcpu_carve *c)
{
    uint32_t workers = lcpu_team_size(b->d->team);
    b->pair = pair;
    if (pair != NULL)
        plan_pair(b);
    for (uint32_t i = 0; i < b->n; i++) {
        size_t bytes = b->p[i].panel_bytes;
        size_t more = pair != NULL ? b->panel_bytes + bytes : bytes;
        b->panel_bytes = more > b->panel_bytes ? more : b->panel_bytes;
    }
    b->panels = lcpu_take(c, b->panel_bytes * workers);
    b->tiles = lcpu_take(c, b->tile_bytes * workers);
}

/* --- binding ---------------------------------------------------------------------------------- */

void lcpu_product_bind(const lhost_run *r, const lm_linear *l, const lcpu_acts *a, lcpu_product *p)
{
    const lm_weight *w = lhost_weight(r, l->weight);
    p->w = w;
    p->acts = a;
    p->bias = lhost_vector(r, l->bias);
    p->scale = l->scale == 0 ? 1 : l->scale;
    p->direct = w->format->id == LM_F32 && (uintptr_t)w->data % sizeof(float) == 0;
}

const void *lcpu_product_x(const lcpu_product *p, size_t row)
{
    if (p->packed != NULL && p->bf16)
        return p->acts->bf16 + row * p->acts->bf16_bytes;
    if (p->packed != NULL && p->acts->blocks == NULL)
        return p->acts->fast + row * p->acts->fast_bytes;
    if (p->packed != NULL)
        return p->acts->blocks + row * p->acts->row_bytes;
    return p->acts->in + row * p->acts->cols;
}

void lcpu_product_rows(lcpu_product *p, float *out)
{
    uint32_t n = p->acts->n;
    for (uint32_t i = 0; i < n; i++) {
        p->x[i] = lcpu_product_x(p, i);
        if (out != NULL)
            p->out[i] = out + (size_t)i * p->w->rows;
    }
    p->groups[0] = (lcpu_group){0, 0, n};
    p->n_groups = n == 0 ? 0 : 1;
}

typedef struct preparing {
    const lcpu_acts *a;
    const lcpu_kernels *k;
} preparing;

static void prepare_rows(void *arg, size_t first, size_t end)
{
    const preparing *p = arg;
    const lcpu_acts *a = p->a;
    for (size_t i = first; i < end; i++) {
        const float *x = a->in + i * a->cols;
        if (a->blocks != NULL)
            p->k->int8.quantise(x, a->cols, a->blocks + i * a->row_bytes);
        if (a->turned != NULL)
            p->k->turned.row(x, a->cols, a->turned + i * a->turned_values);
        if (a->fast != NULL)
            p->k->fast.quantise(x, a->cols, a->fast + i * a->fast_bytes);
        if (a->bf16 != NULL)
            p->k->bf16.quantise(x, a->cols, a->bf16 + i * a->bf16_bytes);
    }
}

void lcpu_acts_prepare(lhost_run *r, const lcpu_acts *a)
{
    preparing p = {a, &lcpu_of(r)->k};
    bool wanted = a->blocks != NULL || a->turned != NULL || a->fast != NULL || a->bf16 != NULL;
    if (a->in != NULL && wanted)
        lcpu_ranges(r, a->n, GRAIN / a->cols + 1, prepare_rows, &p);
}
