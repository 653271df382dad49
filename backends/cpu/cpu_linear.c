/* cpu_linear.c - the multiplications. Rows to multiply are gathered in groups, one per matrix (an
 * expert, a head, or the one weight); a task is a tile of weight rows of one group: the tile is
 * unpacked once and multiplied with all rows of the group. */
#include "backends/cpu/cpu.h"

#include <string.h>

#define TILE_ROWS   16u     /* of a task, at least */
#define PANEL_BYTES 524288u /* panels that stay in the second cache */
#define PANEL_GAP   16u     /* floats between rows, so that not all of them share cache sets */

typedef struct group {
    uint32_t matrix;
    uint32_t first, count; /* of the places */
} group;

/* One step at work. A place is one row in and one row out. */
typedef struct job {
    const lcpu_device *d;
    const lm_weight *w;
    const lcpu_int8_format *int8; /* NULL: f32 */
    lcpu_half_fn half;            /* of 16-bit weights, or NULL */
    uint32_t half_most;           /* activation rows up to which it is used */
    lcpu_decode_fn decode;
    bool direct; /* f32 weights used where they lie */
    const float *bias;
    float scale;
    uint32_t n_rows; /* of activations; a row may serve several places */
    const float *in;
    uint8_t *quantised; /* [n_rows] rows of the int8 family */
    size_t row_bytes;   /* of those */
    const void **x;     /* [places] */
    float **out;        /* [places] */
    group *groups;
    uint32_t n_groups;
    uint32_t task_rows, n_tiles;
    uint32_t part_rows; /* unpacked together */
    uint8_t *panels;    /* [workers] */
    size_t panel_bytes;
} job;

/* --- scratch ---------------------------------------------------------------------------------- */

typedef struct shape {
    uint32_t rows, places, groups; /* at most */
} shape;

static const lm_linear *linear_of(const lm_step *step)
{
    switch (step->kind) {
    case LM_STEP_LINEAR_HEADS:
        return &step->u.heads.linear;
    case LM_STEP_LINEAR_EXPERT:
        return &step->u.expert.linear;
    default:
        return &step->u.linear;
    }
}

static shape shape_of(const lm_step *step, uint32_t rows, uint32_t experts)
{
    if (step->kind == LM_STEP_LINEAR_HEADS)
        return (shape){rows * step->u.heads.heads, rows * step->u.heads.heads, step->u.heads.heads};
    if (step->kind == LM_STEP_LINEAR_EXPERT) {
        uint32_t places = rows * step->u.expert.used;
        return (shape){step->u.expert.per_expert_input ? places : rows, places, experts};
    }
    return (shape){rows, rows, 1};
}

/* How many rows of weights are unpacked together. */
static void size_panels(job *j, const lm_format *format, uint32_t cols)
{
    const lcpu_int8 *family = &j->d->k.int8;
    if (format->id == LM_BF16 && j->d->k.bf16_rows != 0) { /* never unpacked */
        j->part_rows = j->task_rows = j->d->k.bf16_rows;
        return;
    }
    uint32_t step = j->int8 != NULL ? family->panel_rows : 1;
    uint32_t most = j->int8 != NULL ? family->tile_rows : TILE_ROWS;
    size_t bytes = j->int8 != NULL ? (size_t)j->int8->column_bytes * (cols / 32)
                                   : (cols + (size_t)PANEL_GAP) * sizeof(float);
    uint32_t panels = most / step;
    while (panels > 1 && panels * bytes > PANEL_BYTES)
        panels--;
    j->part_rows = panels * step;
    j->panel_bytes = panels * bytes;
    j->task_rows = j->part_rows > TILE_ROWS ? j->part_rows : TILE_ROWS;
}

/* Cuts the scratch into the job's arrays; the same cuts count it beforehand. */
static void carve(job *j, const lm_format *format, uint32_t cols, shape s, lcpu_carve *c)
{
    const lcpu_kernels *k = &j->d->k;
    j->int8 = lcpu_int8_of(k, format);
    j->decode = lcpu_decoder_of(k, format);
    j->row_bytes = j->int8 != NULL ? k->int8.row_bytes(cols) : 0;
    size_panels(j, format, cols);
    j->panels = lcpu_take(c, j->panel_bytes * lcpu_team_size(j->d->team));
    j->x = lcpu_take(c, s.places * sizeof *j->x);
    j->out = lcpu_take(c, s.places * sizeof *j->out);
    j->groups = lcpu_take(c, s.groups * sizeof *j->groups);
    j->quantised = lcpu_take(c, j->int8 != NULL ? s.rows * j->row_bytes : 0);
}

uint64_t lcpu_linear_scratch(const lhost_device *d, const lm_program_desc *desc,
                             const lm_step *step)
{
    const lm_weight_desc *w = &desc->network->weights[linear_of(step)->weight];
    job j = {.d = lcpu_device_of(d)};
    lcpu_carve c = {NULL, 0};
    carve(&j, w->format, w->cols, shape_of(step, lcpu_max_rows(desc, step->in[0]), w->experts), &c);
    return c.used;
}

/* --- one tile --------------------------------------------------------------------------------- */

static void finish(const job *j, const group *g, uint32_t first, uint32_t count)
{
    const float *bias = j->bias == NULL ? NULL : j->bias + (size_t)g->matrix * j->w->rows + first;
    if (bias == NULL && j->scale == 1)
        return;
    for (uint32_t i = 0; i < g->count; i++) {
        float *out = j->out[g->first + i] + first;
        for (uint32_t o = 0; o < count; o++)
            out[o] = bias == NULL ? out[o] * j->scale : out[o] * j->scale + bias[o];
    }
}

static void multiply_f32(const job *j, const group *g, uint32_t first, uint32_t count,
                         uint8_t *panel)
{
    const uint8_t *w = lhost_weight_row(j->w, g->matrix, first);
    const float *const *x = (const float *const *)(j->x + g->first);
    float *const *out = j->out + g->first, *rows = (float *)(void *)panel;
    uint32_t cols = j->w->cols;
    if (j->half != NULL && g->count <= j->half_most) {
        j->half(w, j->w->row_bytes, count, x, g->count, cols, out, first);
        return;
    }
    if (j->direct) {
        j->d->k.f32_matmul((const float *)(const void *)w, cols, count, x, g->count, cols, out,
                           first);
        return;
    }
    size_t stride = cols + (size_t)PANEL_GAP;
    for (uint32_t i = 0; i < count; i++)
        j->decode(w + i * j->w->row_bytes, rows + i * stride, cols);
    j->d->k.f32_matmul(rows, stride, count, x, g->count, cols, out, first);
}

static void multiply_int8(const job *j, const group *g, uint32_t first, uint32_t count,
                          uint8_t *panel)
{
    const uint8_t *w = lhost_weight_row(j->w, g->matrix, first);
    const void *const *x = j->x + g->first;
    float *const *out = j->out + g->first;
    uint32_t cols = j->w->cols;
    if (j->int8->direct != NULL && g->count <= j->d->k.int8.direct_max) {
        j->int8->direct(w, j->w->row_bytes, count, x, g->count, cols, out, first);
        return;
    }
    j->int8->unpack(w, j->w->row_bytes, count, cols, panel);
    j->int8->matmul(panel, count, x, g->count, cols, out, first);
}

static void run_tile(void *arg, uint32_t task, uint32_t worker)
{
    const job *j = arg;
    const group *g = &j->groups[task / j->n_tiles];
    uint32_t first = task % j->n_tiles * j->task_rows;
    uint32_t end = first + j->task_rows < j->w->rows ? first + j->task_rows : j->w->rows;
    uint32_t part = j->part_rows;
    /* For one row of activations weights are used up while they are in the first cache. */
    if (g->count == 1 && j->int8 == NULL && j->half == NULL && !j->direct)
        part = 1;
    if (g->count == 1 && j->int8 != NULL && j->int8->direct == NULL)
        part = j->d->k.int8.panel_rows;
    for (uint32_t at = first; at < end; at += part) {
        uint32_t count = end - at < part ? end - at : part;
        uint8_t *panel = j->panels + worker * j->panel_bytes;
        if (j->int8 != NULL)
            multiply_int8(j, g, at, count, panel);
        else
            multiply_f32(j, g, at, count, panel);
        finish(j, g, at, count);
    }
}

/* --- one step --------------------------------------------------------------------------------- */

static void quantise_rows(void *arg, size_t first, size_t end)
{
    const job *j = arg;
    for (size_t i = first; i < end; i++)
        j->d->k.int8.quantise(j->in + i * j->w->cols, j->w->cols, j->quantised + i * j->row_bytes);
}

static job job_of(lhost_run *r, const lm_step *step)
{
    const lm_linear *l = linear_of(step);
    const lm_weight *w = lhost_weight(r, l->weight);
    shape s = shape_of(step, lhost_rows(r, step->in[0]), w->experts);
    job j = {.d = lcpu_of(r),
             .w = w,
             .bias = lhost_vector(r, l->bias),
             .scale = l->scale == 0 ? 1 : l->scale,
             .n_rows = s.rows,
             .in = lhost_slot(r, step->in[0])};
    lcpu_carve c = {lhost_scratch(r), 0};
    carve(&j, w->format, w->cols, s, &c);
    j.direct = w->format->id == LM_F32 && (uintptr_t)w->data % sizeof(float) == 0;
    if (w->format->id == LM_F16 || w->format->id == LM_BF16) {
        j.half = w->format->id == LM_F16 ? j.d->k.f16_matmul : j.d->k.bf16_matmul;
        j.half_most = w->format->id == LM_F16 ? j.d->k.f16_most : j.d->k.bf16_most;
    }
    j.n_tiles = (w->rows + j.task_rows - 1) / j.task_rows;
    return j;
}

/* The activations of a row, as the kernels want them. */
static const void *row_of(const job *j, size_t row)
{
    if (j->int8 != NULL)
        return j->quantised + row * j->row_bytes;
    return j->in + row * j->w->cols;
}

static void run_job(lhost_run *r, job *j)
{
    if (j->int8 != NULL)
        lcpu_ranges(r, j->n_rows, 1, quantise_rows, j);
    lcpu_team_run(j->d->team, j->n_groups * j->n_tiles, run_tile, j);
}

int32_t lcpu_linear(lhost_run *r, const lm_step *step)
{
    job j = job_of(r, step);
    float *out = lhost_slot(r, step->out[0]);
    for (uint32_t i = 0; i < j.n_rows; i++) {
        j.x[i] = row_of(&j, i);
        j.out[i] = out + (size_t)i * j.w->rows;
    }
    j.groups[j.n_groups++] = (group){0, 0, j.n_rows};
    if (j.n_rows > 0)
        run_job(r, &j);
    return LLM_OK;
}

int32_t lcpu_linear_heads(lhost_run *r, const lm_step *step)
{
    job j = job_of(r, step);
    float *out = lhost_slot(r, step->out[0]);
    uint32_t heads = step->u.heads.heads, rows = lhost_rows(r, step->in[0]);
    for (uint32_t h = 0, place = 0; h < heads; h++) {
        j.groups[j.n_groups++] = (group){h, place, rows};
        for (uint32_t i = 0; i < rows; i++, place++) {
            j.x[place] = row_of(&j, (size_t)i * heads + h);
            j.out[place] = out + ((size_t)i * heads + h) * j.w->rows;
        }
    }
    if (rows > 0)
        run_job(r, &j);
    return LLM_OK;
}

/* Orders the places by expert; experts without any make no group. */
static void group_places(job *j, const int32_t *ids, const lm_step *step, uint32_t places,
                         float *out)
{
    uint32_t at = 0, used = step->u.expert.used;
    for (uint32_t e = 0; e < j->w->experts; e++) {
        uint32_t first = at;
        for (uint32_t place = 0; place < places; place++) {
            if (ids[place] != (int32_t)e)
                continue;
            j->x[at] = row_of(j, step->u.expert.per_expert_input ? place : place / used);
            j->out[at++] = out + (size_t)place * j->w->rows;
        }
        if (at > first)
            j->groups[j->n_groups++] = (group){e, first, at - first};
    }
}

int32_t lcpu_linear_expert(lhost_run *r, const lm_step *step)
{
    job j = job_of(r, step);
    float *out = lhost_slot(r, step->out[0]);
    uint32_t places = lhost_rows(r, step->in[0]) * step->u.expert.used;
    /* An expert that is not here adds nothing. */
    memset(out, 0, (size_t)places * j.w->rows * sizeof *out);
    group_places(&j, lhost_slot(r, step->in[1]), step, places, out);
    run_job(r, &j);
    return LLM_OK;
}
