/* cpu_attn.c - paged attention in tiles of 64 absolute slots and splits of 512. A task is a block
 * of neighbouring rows of one sequence and one key head with all query heads that share it: the
 * block walks through keys and values together, each tile decoded once. With few rows the splits
 * are tasks of their own and combined afterwards, in the same order and arithmetic. */
#include "backends/cpu/cpu_attn.h"

#include "backends/common/host_rotate.h"

#include <math.h>
#include <string.h>

#define TILE          LCPU_ATTN_SLOTS
#define GROUP         LCPU_ATTN_GROUP
#define SPLIT         LCPU_ATTN_SPLIT
#define MOST          LCPU_ATTN_QUERIES
#define MATRIX        LCPU_ATTN_MATRIX
#define BLOCK_QUERIES 256u /* queries of a block, unless one row has more */
#define SPLIT_ROWS    8u   /* with at most this many rows splits are tasks */

/* --- scratch ---------------------------------------------------------------------------------- */

static uint32_t whole_lanes(uint32_t dim)
{
    return (dim + 15) / 16 * 16;
}

static lcpu_attn_desk carve_desk(const lcpu_attn_job *j, lcpu_carve *c)
{
    uint64_t q = whole_lanes(j->queries), k = j->k_stride, v = j->v_stride, f = sizeof(float);
    lcpu_attn_desk d;
    d.rows = lcpu_take(c, 2 * GROUP * (k > v ? k : v) * f);
    d.keys = lcpu_take(c, TILE * k * f);
    d.values = lcpu_take(c, TILE * v * f);
    d.scores = lcpu_take(c, MATRIX * TILE * f);
    d.queries = lcpu_take(c, q * j->a->k_dim * f);
    d.query = lcpu_take(c, q * sizeof *d.query);
    d.row = lcpu_take(c, q * sizeof *d.row);
    d.visible = lcpu_take(c, q * sizeof *d.visible);
    d.slope = lcpu_take(c, q * f);
    d.m = lcpu_take(c, q * f);
    d.l = lcpu_take(c, q * 16 * f);
    d.o = lcpu_take(c, q * v * f);
    d.all_m = lcpu_take(c, q * f);
    d.all_l = lcpu_take(c, q * f);
    d.all_o = lcpu_take(c, q * v * f);
    return d;
}

static void carve(lcpu_attn_job *j, uint32_t rows, uint32_t context, lcpu_carve *c)
{
    j->shared = j->a->heads / j->a->kv_heads;
    j->block_rows = j->shared >= BLOCK_QUERIES ? 1 : BLOCK_QUERIES / j->shared;
    j->queries = j->block_rows * j->shared;
    j->k_stride = whole_lanes(j->a->k_dim);
    j->v_stride = whole_lanes(j->a->v_dim);
    uint64_t splits = context / SPLIT + 1, part_rows = rows < SPLIT_ROWS ? rows : SPLIT_ROWS;
    j->blocks = lcpu_take(c, rows * sizeof *j->blocks);
    j->parts = lcpu_take(c, part_rows * j->a->heads * splits * (2 + j->a->v_dim) * sizeof(float));
    lcpu_carve one = {NULL, 0};
    carve_desk(j, &one);
    j->desk_bytes = one.used;
    j->desks = lcpu_take(c, j->desk_bytes * lcpu_team_size(j->d->team));
}

uint64_t lcpu_attn_needs(const lhost_device *d, const lm_program_desc *desc, const lm_attn *a,
                         uint32_t slot)
{
    lcpu_attn_job j = {.d = lcpu_device_of(d), .a = a};
    lcpu_carve c = {NULL, 0};
    carve(&j, lcpu_max_rows(desc, slot), desc->context, &c);
    return c.used;
}

uint64_t lcpu_attn_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step)
{
    return lcpu_attn_needs(d, desc, &step->u.attn, step->in[0]);
}

/* --- combining -------------------------------------------------------------------------------- */

/* Adds the parts of n queries to what is there already; an empty part (nothing seen) changes nothing.
 * `o` and `all_o` have rows of `stride`. */
static void combine(const lcpu_attn_job *j, uint32_t n, const float *m, const float *l,
                    const float *o, uint32_t stride, float *all_m, float *all_l, float *all_o)
{
    float factors[MOST][2];
    for (uint32_t done = 0; done < n; done += MOST) {
        uint32_t here = n - done < MOST ? n - done : MOST;
        for (uint32_t i = 0; i < here; i++) {
            uint32_t q = done + i;
            float largest = m[q] > all_m[q] ? m[q] : all_m[q];
            float shift = largest == -INFINITY ? 0 : largest;
            factors[i][0] = all_m[q] - shift;
            factors[i][1] = m[q] - shift;
        }
        j->d->k.exp(factors[0], 0, factors[0], (size_t)here * 2);
        for (uint32_t i = 0; i < here; i++) {
            uint32_t q = done + i;
            if (m[q] == -INFINITY && l[q] == 0)
                continue;
            all_m[q] = m[q] > all_m[q] ? m[q] : all_m[q];
            all_l[q] = all_l[q] * factors[i][0] + l[q] * factors[i][1];
            j->d->k.blend(all_o + (size_t)q * stride, factors[i][0], o + (size_t)q * stride,
                          factors[i][1], j->a->v_dim);
        }
    }
}

static void add_sink(const lcpu_attn_job *j, float sink, float *m, float *l, float *o)
{
    float largest = sink > *m ? sink : *m, factors[2] = {*m, sink};
    j->d->k.exp(factors, largest == -INFINITY ? 0 : largest, factors, 2);
    *l = *l * factors[0] + factors[1];
    for (uint32_t i = 0; i < j->a->v_dim; i++)
        o[i] = o[i] * factors[0];
}

static void finish(const lcpu_attn_job *j, uint32_t head, float *m, float *l, float *o, float *out)
{
    if (j->sinks != NULL)
        add_sink(j, j->sinks[head], m, l, o);
    float inverse = *l == 0 ? 0 : 1.0f / *l;
    for (uint32_t i = 0; i < j->a->v_dim; i++)
        out[i] = o[i] * inverse;
    if (j->rotated[1])
        lhost_rotate(out, j->a->v_dim);
}

/* --- tasks ------------------------------------------------------------------------------------ */

static lcpu_attn_desk prepare(const lcpu_attn_job *j, const lcpu_attn_block *b, uint32_t head,
                              uint32_t worker)
{
    lcpu_carve c = {j->desks + worker * j->desk_bytes, 0};
    lcpu_attn_desk d = carve_desk(j, &c);
    uint32_t n = b->count * j->shared;
    for (uint32_t q = 0; q < n; q++) {
        uint32_t i = b->first + q / j->shared, h = head * j->shared + q % j->shared;
        const float *from = j->in + ((size_t)i * j->a->heads + h) * j->a->k_dim;
        float *own = d.queries + (size_t)q * j->a->k_dim;
        d.query[q] =
            memcpy(lcpu_attn_by_matrix(j, n) ? d.rows : own, from, j->a->k_dim * sizeof *from);
        if (j->rotated[0])
            lhost_rotate(lcpu_attn_by_matrix(j, n) ? d.rows : own, j->a->k_dim);
        if (lcpu_attn_by_matrix(j, n))
            j->matrix->query(d.rows, j->a->k_dim, j->a->scale, q, (uint8_t *)d.queries);
        d.row[q] = lhost_run_row(j->r, j->slot, i);
        d.slope[q] = (float)lm_alibi_slope(j->a, h);
    }
    return d;
}

/* A block and key head, all splits. */
static void run_block(void *arg, uint32_t task, uint32_t worker)
{
    const lcpu_attn_job *j = arg;
    const lcpu_attn_block *b = &j->blocks[task / j->a->kv_heads];
    uint32_t head = task % j->a->kv_heads, n = b->count * j->shared, v = j->v_stride;
    lcpu_attn_desk d = prepare(j, b, head, worker);
    memset(d.all_o, 0, (size_t)n * v * sizeof *d.all_o);
    for (uint32_t q = 0; q < n; q++) {
        d.all_m[q] = -INFINITY;
        d.all_l[q] = 0;
    }
    for (uint32_t split = 0; split < j->n_splits; split++) {
        lcpu_attn_walk(j, &d, b, head, split);
        combine(j, n, d.m, d.l, d.o, v, d.all_m, d.all_l, d.all_o);
    }
    for (uint32_t q = 0; q < n; q++) {
        size_t i = b->first + q / j->shared, h = (size_t)head * j->shared + q % j->shared;
        finish(j, (uint32_t)h, &d.all_m[q], &d.all_l[q], d.all_o + (size_t)q * v,
               j->out + (i * j->a->heads + h) * j->a->v_dim);
    }
}

static float *part_of(const lcpu_attn_job *j, size_t row, size_t head, uint32_t split)
{
    return j->parts +
           ((row * j->a->heads + head) * j->n_splits + split) * (2 + (size_t)j->a->v_dim);
}

/* A block, key head and split. */
static void run_split(void *arg, uint32_t task, uint32_t worker)
{
    const lcpu_attn_job *j = arg;
    uint32_t split = task % j->n_splits, head = task / j->n_splits % j->a->kv_heads;
    const lcpu_attn_block *b = &j->blocks[task / j->n_splits / j->a->kv_heads];
    lcpu_attn_desk d = prepare(j, b, head, worker);
    lcpu_attn_walk(j, &d, b, head, split);
    for (uint32_t q = 0; q < b->count * j->shared; q++) {
        float *part = part_of(j, b->first + q / j->shared, head * j->shared + q % j->shared, split);
        part[0] = d.m[q];
        part[1] = d.l[q];
        memcpy(part + 2, d.o + (size_t)q * j->v_stride, j->a->v_dim * sizeof *part);
    }
}

/* A row and head: adds the parts up in the first one's place. */
static void join_splits(void *arg, uint32_t task, uint32_t worker)
{
    const lcpu_attn_job *j = arg;
    size_t row = task / j->a->heads, head = task % j->a->heads;
    (void)worker;
    float *out = j->out + (row * j->a->heads + head) * j->a->v_dim, m = -INFINITY, l = 0;
    memset(out, 0, j->a->v_dim * sizeof *out);
    for (uint32_t split = 0; split < j->n_splits; split++) {
        const float *part = part_of(j, row, head, split);
        combine(j, 1, &part[0], &part[1], part + 2, 0, &m, &l, out);
    }
    finish(j, (uint32_t)head, &m, &l, out, out);
}

/* --- the step --------------------------------------------------------------------------------- */

/* Neighbouring rows of one sequence; also the number of splits. */
static void find_blocks(lcpu_attn_job *j, uint32_t rows)
{
    const lm_run *run = j->r->run;
    uint32_t longest = 1, slot = j->slot;
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t row = lhost_run_row(j->r, slot, i);
        longest = run->visible_end[row] > longest ? run->visible_end[row] : longest;
        lcpu_attn_block *b = j->n_blocks == 0 ? NULL : &j->blocks[j->n_blocks - 1];
        if (b != NULL && b->count < j->block_rows &&
            run->row_seq[lhost_run_row(j->r, slot, b->first)] == run->row_seq[row])
            b->count++;
        else
            j->blocks[j->n_blocks++] = (lcpu_attn_block){i, 1};
    }
    j->n_splits = (longest + SPLIT - 1) / SPLIT;
}

static void find_types(lcpu_attn_job *j)
{
    const lhost_part *parts = lhost_view_of(j->r, j->a->cache, 0).member->parts;
    for (int i = 0; i < 2; i++) {
        j->rotated[i] = lhost_is_rotated(parts[i].format);
        j->direct[i] =
            parts[i].dim % 32 == 0 ? lcpu_attn_direct_of(&j->d->k, parts[i].format) : NULL;
    }
    if (j->direct[0] == NULL || j->direct[1] == NULL)
        j->direct[0] = j->direct[1] = NULL;
    bool can = j->d->k.attn_matrix.mix != NULL && parts[0].dim % 32 == 0 && parts[1].dim % 32 == 0;
    j->matrix =
        can && j->r->program->bounds.numerics == LM_NUMERICS_FAST ? &j->d->k.attn_matrix : NULL;
}

void lcpu_attn_into(lhost_run *r, const lm_attn *a, uint32_t slot, float *out, void *scratch)
{
    uint32_t rows = lhost_rows(r, slot);
    lcpu_attn_job j = {.r = r,
                       .d = lcpu_of(r),
                       .a = a,
                       .slot = slot,
                       .in = lhost_slot(r, slot),
                       .sinks = lhost_vector(r, a->sinks),
                       .out = out};
    lcpu_carve c = {scratch, 0};
    carve(&j, rows, r->program->bounds.context, &c);
    find_blocks(&j, rows);
    find_types(&j);
    if (j.n_splits == 1 || rows > SPLIT_ROWS) {
        lcpu_team_run(j.d->team, j.n_blocks * j.a->kv_heads, run_block, &j);
        return;
    }
    lcpu_team_run(j.d->team, j.n_blocks * j.a->kv_heads * j.n_splits, run_split, &j);
    lcpu_team_run(j.d->team, rows * j.a->heads, join_splits, &j);
}

int32_t lcpu_attn(lhost_run *r, const lm_step *step)
{
    lcpu_attn_into(r, &step->u.attn, step->in[0], lhost_slot(r, step->out[0]), lhost_scratch(r));
    return LLM_OK;
}
