/* cpu_attn.c - paged attention in tiles of 64 absolute slots and splits of 512. A task is a block
 * of neighbouring rows of one sequence and one key head with all query heads that share it: the
 * block walks through keys and values together, each tile decoded once. With few rows the splits
 * are tasks of their own and combined afterwards, in the same order and arithmetic. */
#include "backends/common/host_rotate.h"
#include "backends/cpu/cpu.h"
#include "base/half.h"

#include <math.h>
#include <string.h>

#define TILE          LCPU_ATTN_SLOTS
#define GROUP         16u /* slots decoded together: none crosses the border of a page */
#define MOST          LCPU_ATTN_QUERIES
#define MATRIX        LCPU_ATTN_MATRIX
#define FEW           8u /* queries that use keys and values where they lie */
#define SPLIT         512u
#define MOST_AHEAD    4u    /* tiles */
#define MEMORY_PAGE   4096u /* bytes */
#define BLOCK_QUERIES 256u  /* queries of a block, unless one row has more */
#define SPLIT_ROWS    8u    /* with at most this many rows splits are tasks */

typedef struct block {
    uint32_t first, count; /* rows of the slot */
} block;

/* One worker's arrays; a query is one row and head of the block. */
typedef struct desk {
    float *rows;          /* [2 * GROUP, k_stride or v_stride] as they come */
    float *keys, *values; /* [k_stride, TILE], [TILE, v_stride]; or operands as large */
    float *scores;        /* [MATRIX, TILE] */
    float *queries;       /* [queries, k_dim]: near each other, whatever the width of a row;
                           * or operands as large */
    const float **query;  /* [queries] */
    uint32_t *row;        /* [queries] of the run */
    uint64_t *visible;    /* [queries] of the tile */
    float *slope;         /* [queries] */
    float *m, *l, *o;     /* of the split: [queries], [queries, 16], [queries, v_stride] */
    float *all_m, *all_l, *all_o;
} desk;

typedef struct job {
    const lhost_run *r;
    const lcpu_device *d;
    const lm_attn *a;
    uint32_t slot; /* of the queries */
    const float *in, *sinks;
    float *out;
    uint32_t shared;             /* query heads per key head */
    uint32_t k_stride, v_stride; /* of decoded rows */
    uint32_t block_rows, queries;
    const lcpu_attn_direct *direct[2]; /* for keys and for values; both or none */
    const lcpu_attn_matrix *matrix;    /* or NULL */
    bool rotated[2];                   /* keys, values */
    block *blocks;
    uint32_t n_blocks;
    uint32_t n_splits; /* of the longest row */
    float *parts;      /* [SPLIT_ROWS * heads, n_splits] of m, l, o[v_dim] */
    uint8_t *desks;
    uint64_t desk_bytes;
} job;

/* --- scratch ---------------------------------------------------------------------------------- */

static uint32_t whole_lanes(uint32_t dim)
{
    return (dim + 15) / 16 * 16;
}

static desk carve_desk(const job *j, lcpu_carve *c)
{
    uint64_t q = whole_lanes(j->queries), k = j->k_stride, v = j->v_stride, f = sizeof(float);
    desk d;
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

static void carve(job *j, uint32_t rows, uint32_t context, lcpu_carve *c)
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
    job j = {.d = lcpu_device_of(d), .a = a};
    lcpu_carve c = {NULL, 0};
    carve(&j, lcpu_max_rows(desc, slot), desc->context, &c);
    return c.used;
}

uint64_t lcpu_attn_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step)
{
    return lcpu_attn_needs(d, desc, &step->u.attn, step->in[0]);
}

/* --- what is seen ----------------------------------------------------------------------------- */

/* Bits of the slots of a tile that a row sees. */
static uint64_t visible_mask(const job *j, uint32_t row, uint32_t tile)
{
    uint32_t first, end, start = tile * TILE;
    lhost_visible(j->r->run, row, j->a->window, &first, &end);
    if (end <= start || first >= start + TILE || first >= end)
        return 0;
    uint64_t mask = UINT64_MAX;
    if (end < start + TILE)
        mask &= UINT64_MAX >> (start + TILE - end);
    if (first > start)
        mask &= UINT64_MAX << (first - start);
    if (j->r->run->ancestors == NULL)
        return mask;
    for (uint32_t k = 0; k < TILE; k++)
        if ((mask >> k & 1u) != 0 && !lhost_sees(j->r->run, row, start + k))
            mask &= ~(UINT64_C(1) << k);
    return mask;
}

/* Decodes one head of sixteen slots from `slot` on, those in `mask`; the others become zeros that no
 * sum uses. */
static void load_group(const job *j, const lhost_view *view, int part, uint32_t head, uint32_t slot,
                       uint32_t mask, uint32_t stride, float *to)
{
    const lhost_part *p = &view->member->parts[part];
    lcpu_decode_fn decode = lcpu_decoder_of(&j->d->k, p->format);
    if (mask == 0xffffu && p->token_stride == p->head_bytes && p->dim == stride) {
        decode(lhost_view_at(view, part, slot, head), to, (size_t)GROUP * stride);
        return;
    }
    memset(to, 0, (size_t)GROUP * stride * sizeof *to);
    for (uint32_t k = 0; k < GROUP; k++)
        if ((mask >> k & 1u) != 0)
            decode(lhost_view_at(view, part, slot + k, head), to + (size_t)k * stride, p->dim);
}

/* Puts the block's tile on the desk. */
static void load_tile(const job *j, const desk *d, const lhost_view *view, uint32_t head,
                      uint32_t tile, uint64_t mask)
{
    for (uint32_t k = 0; k < TILE; k += GROUP) {
        uint32_t bits = (uint32_t)(mask >> k) & 0xffffu, slot = tile * TILE + k;
        load_group(j, view, 0, head, slot, bits, j->k_stride, d->rows);
        j->d->k.attn_keys(d->rows, j->k_stride, d->keys + k);
        load_group(j, view, 1, head, slot, bits, j->v_stride, d->values + (size_t)k * j->v_stride);
    }
}

/* --- one split -------------------------------------------------------------------------------- */

/* Takes the distance from the scores of one query. */
static void bias(const job *j, const desk *d, uint32_t q, uint32_t tile, float *scores)
{
    float slot = (float)j->r->run->slots[d->row[q]];
    for (uint32_t k = 0; k < TILE; k++)
        scores[k] -= d->slope[q] * fabsf(slot - (float)(tile * TILE + k));
}

/* Some queries of the block from `q` on against a tile: `t` says where that lies. */
static void walk_queries(const job *j, const desk *d, lcpu_attn_tile t, uint32_t q, uint32_t tile,
                         void (*scores)(const lcpu_attn_tile *),
                         void (*mix)(const lcpu_attn_tile *))
{
    t.query = d->query + q;
    t.visible = d->visible + q;
    t.m = d->m + q;
    t.l = d->l + (size_t)q * 16;
    t.o = d->o + (size_t)q * j->v_stride;
    scores(&t);
    if (j->a->softcap > 0)
        j->d->k.softcap(d->scores, 1, j->a->softcap, d->scores, (size_t)t.n * TILE);
    for (uint32_t i = 0; i < t.n; i++)
        if (d->slope[q + i] != 0)
            bias(j, d, q + i, tile, d->scores + (size_t)i * TILE);
    mix(&t);
}

/* NULL: the sequence has no such slot. */
static const uint8_t *find_row(const lhost_view *view, int part, uint32_t head, uint32_t slot)
{
    const lm_run_pages *pages = view->pages;
    if (slot / view->cache->base.page_tokens - pages->first_page >= pages->n_pages)
        return NULL;
    return lhost_view_at(view, part, slot, head);
}

/* Tiles whose rows are asked for together, in equal parts, so that each part is in pages of memory of
 * its own: the processor follows one stream in a page. */
static uint32_t tiles_ahead(uint64_t head_bytes)
{
    uint32_t tiles = 1;
    while (tiles < MOST_AHEAD && GROUP * tiles * head_bytes < MEMORY_PAGE)
        tiles *= 2;
    return tiles;
}

/* Where the rows of a tile lie, and in `next` as many of the tiles behind it, as far as the sequence
 * has them. */
static void find_rows(const lhost_view *view, int part, uint32_t head, uint32_t tile,
                      lcpu_attn_rows *rows, const uint8_t **next)
{
    const lhost_part *p = &view->member->parts[part];
    uint32_t ahead = tiles_ahead(p->head_bytes);
    uint32_t later = (tile / ahead + 1) * ahead * TILE + tile % ahead * GROUP;
    rows->stride = (size_t)p->token_stride;
    for (uint32_t i = 0; i < TILE / GROUP; i++, later += ahead * GROUP) {
        rows->at[i] = find_row(view, part, head, tile * TILE + i * GROUP);
        next[i] = find_row(view, part, head, later);
        if (next[i] == NULL)
            next[i] = rows->at[i];
    }
}

/* Asks for rows [first, end) of as many as a tile has. */
static void fetch_rows(const uint8_t *const *next, const lhost_part *p, uint32_t first,
                       uint32_t end)
{
    for (uint32_t k = first; k < end && next[k / GROUP] != NULL; k++)
        for (size_t b = 0; b < p->head_bytes; b += 64)
            LCPU_PREFETCH(next[k / GROUP] + k % GROUP * p->token_stride + b);
}

/* The tile on the desk against all queries; meanwhile the next one comes nearer. */
static void walk_loaded(const job *j, const desk *d, const lhost_view *view, lcpu_attn_tile t,
                        uint32_t n, uint32_t tile)
{
    const lhost_part *parts = view->member->parts;
    for (uint32_t q = 0; q < n; q += MOST) {
        uint32_t first = q * TILE / n, end = (q + MOST < n ? q + MOST : n) * TILE / n;
        fetch_rows(t.next, &parts[0], first, end);
        fetch_rows(t.next + TILE / GROUP, &parts[1], first, end);
        t.n = n - q < MOST ? n - q : MOST;
        walk_queries(j, d, t, q, tile, j->d->k.attn_scores, j->d->k.attn_mix);
    }
}

/* --- with matrix registers -------------------------------------------------------------------- */

static bool by_matrix(const job *j, uint32_t n)
{
    return j->matrix != NULL && n > GROUP;
}

static void load_keys(const job *j, const desk *d, const lhost_view *view, uint32_t head,
                      uint32_t tile, uint64_t mask)
{
    for (uint32_t k = 0; k < TILE; k += GROUP) {
        load_group(j, view, 0, head, tile * TILE + k, (uint32_t)(mask >> k) & 0xffffu, j->k_stride,
                   d->rows);
        j->matrix->keys(d->rows, j->k_stride, k / GROUP, (uint8_t *)d->keys);
    }
}

/* Also whether those in `mask` are finite; the others are zeros. */
static bool load_values(const job *j, const desk *d, const lhost_view *view, uint32_t head,
                        uint32_t tile, uint64_t mask)
{
    uint32_t wrong = 0;
    size_t half = (size_t)GROUP * j->v_stride;
    for (uint32_t k = 0; k < TILE; k += GROUP) {
        load_group(j, view, 1, head, tile * TILE + k, (uint32_t)(mask >> k) & 0xffffu, j->v_stride,
                   d->rows + k / GROUP % 2 * half);
        if (k / GROUP % 2 == 0)
            continue;
        for (size_t i = 0; i < 2 * half; i++)
            wrong |= (lm_f32_bits(d->rows[i]) & 0x7f800000u) == 0x7f800000u;
        j->matrix->values(d->rows, j->v_stride, k / (2 * GROUP), (uint8_t *)d->values);
    }
    return wrong == 0;
}

/* Queries [q, q + n) of the block against the operands on the desk. */
static void walk_operands(const job *j, const desk *d, lcpu_attn_tile t, uint32_t q, uint32_t n,
                          uint32_t tile)
{
    size_t group = (size_t)GROUP * j->a->k_dim * sizeof(float);
    t.n = n;
    t.q_parts = (const uint8_t *)d->queries + q / GROUP * group + q % GROUP * 64;
    walk_queries(j, d, t, q, tile, j->matrix->scores, j->matrix->mix);
}

/* What a query does not see must not be multiplied by zero where it is not finite: then each goes
 * alone, with zeros in place of what it does not see. */
static void walk_alone(const job *j, const desk *d, const lhost_view *view, uint32_t head,
                       lcpu_attn_tile t, uint32_t n, uint32_t tile)
{
    j->matrix->shape(1);
    for (uint32_t q = 0; q < n; q++) {
        load_values(j, d, view, head, tile, d->visible[q]);
        walk_operands(j, d, t, q, 1, tile);
    }
    j->matrix->shape(GROUP);
}

static void walk_matrix(const job *j, const desk *d, const lhost_view *view, uint32_t head,
                        lcpu_attn_tile t, uint32_t n, uint32_t tile, uint64_t any, uint64_t all)
{
    const lhost_part *parts = view->member->parts;
    load_keys(j, d, view, head, tile, any);
    if (!load_values(j, d, view, head, tile, any) && any != all) {
        walk_alone(j, d, view, head, t, n, tile);
        return;
    }
    for (uint32_t q = 0; q < n; q += MATRIX) {
        uint32_t end = n - q < MATRIX ? n : q + MATRIX;
        fetch_rows(t.next, &parts[0], q * TILE / n, end * TILE / n);
        fetch_rows(t.next + TILE / GROUP, &parts[1], q * TILE / n, end * TILE / n);
        walk_operands(j, d, t, q, end - q, tile);
    }
}

/* --- a tile ----------------------------------------------------------------------------------- */

static void walk_tile(const job *j, const desk *d, const lhost_view *view, uint32_t head,
                      uint32_t n, uint32_t tile)
{
    uint64_t any = 0, all = UINT64_MAX;
    for (uint32_t q = 0; q < n; q++) {
        d->visible[q] = q % j->shared != 0 ? d->visible[q - 1] : visible_mask(j, d->row[q], tile);
        any |= d->visible[q];
        all &= d->visible[q];
    }
    if (any == 0)
        return;
    lcpu_attn_tile t = {.keys = d->keys,
                        .values = d->values,
                        .k_parts = (const uint8_t *)d->keys,
                        .v_parts = (const uint8_t *)d->values,
                        .k_dim = j->a->k_dim,
                        .v_stride = j->v_stride,
                        .scale = j->a->scale,
                        .n = n,
                        .scores = d->scores};
    find_rows(view, 0, head, tile, &t.k_rows, t.next);
    find_rows(view, 1, head, tile, &t.v_rows, t.next + TILE / GROUP);
    if (by_matrix(j, n)) {
        walk_matrix(j, d, view, head, t, n, tile, any, all);
        return;
    }
    if (n <= FEW && any == UINT64_MAX && j->direct[0] != NULL) {
        walk_queries(j, d, t, 0, tile, j->direct[0]->scores, j->direct[1]->mix);
        return;
    }
    load_tile(j, d, view, head, tile, any);
    walk_loaded(j, d, view, t, n, tile);
}

/* Afterwards the first of a query's sums is all of them. */
static void walk_split(const job *j, const desk *d, const block *b, uint32_t head, uint32_t split)
{
    uint32_t n = b->count * j->shared, end = 0;
    for (uint32_t q = 0; q < n; q++) {
        d->m[q] = -INFINITY;
        end = j->r->run->visible_end[d->row[q]] > end ? j->r->run->visible_end[d->row[q]] : end;
    }
    memset(d->l, 0, (size_t)n * 16 * sizeof *d->l);
    memset(d->o, 0, (size_t)n * j->v_stride * sizeof *d->o);
    lhost_view view = lhost_view_of(j->r, j->a->cache, j->r->run->row_seq[d->row[0]]);
    uint32_t last = split * (SPLIT / TILE) + SPLIT / TILE;
    if (by_matrix(j, n))
        j->matrix->shape(GROUP);
    for (uint32_t tile = split * (SPLIT / TILE); tile < last && tile * TILE < end; tile++)
        walk_tile(j, d, &view, head, n, tile);
    if (by_matrix(j, n))
        j->matrix->shape(0);
    for (uint32_t q = 0; q < n; q++)
        d->l[q] = j->d->k.sum(d->l + (size_t)q * 16, 16);
}

/* --- combining -------------------------------------------------------------------------------- */

/* Adds the parts of n queries to what is there already; an empty part (nothing seen) changes nothing.
 * `o` and `all_o` have rows of `stride`. */
static void combine(const job *j, uint32_t n, const float *m, const float *l, const float *o,
                    uint32_t stride, float *all_m, float *all_l, float *all_o)
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

static void add_sink(const job *j, float sink, float *m, float *l, float *o)
{
    float largest = sink > *m ? sink : *m, factors[2] = {*m, sink};
    j->d->k.exp(factors, largest == -INFINITY ? 0 : largest, factors, 2);
    *l = *l * factors[0] + factors[1];
    for (uint32_t i = 0; i < j->a->v_dim; i++)
        o[i] = o[i] * factors[0];
}

static void finish(const job *j, uint32_t head, float *m, float *l, float *o, float *out)
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

static desk prepare(const job *j, const block *b, uint32_t head, uint32_t worker)
{
    lcpu_carve c = {j->desks + worker * j->desk_bytes, 0};
    desk d = carve_desk(j, &c);
    uint32_t n = b->count * j->shared;
    for (uint32_t q = 0; q < n; q++) {
        uint32_t i = b->first + q / j->shared, h = head * j->shared + q % j->shared;
        const float *from = j->in + ((size_t)i * j->a->heads + h) * j->a->k_dim;
        float *own = d.queries + (size_t)q * j->a->k_dim;
        d.query[q] = memcpy(by_matrix(j, n) ? d.rows : own, from, j->a->k_dim * sizeof *from);
        if (j->rotated[0])
            lhost_rotate(by_matrix(j, n) ? d.rows : own, j->a->k_dim);
        if (by_matrix(j, n))
            j->matrix->query(d.rows, j->a->k_dim, j->a->scale, q, (uint8_t *)d.queries);
        d.row[q] = lhost_run_row(j->r, j->slot, i);
        d.slope[q] = (float)lm_alibi_slope(j->a, h);
    }
    return d;
}

/* A block and key head, all splits. */
static void run_block(void *arg, uint32_t task, uint32_t worker)
{
    const job *j = arg;
    const block *b = &j->blocks[task / j->a->kv_heads];
    uint32_t head = task % j->a->kv_heads, n = b->count * j->shared, v = j->v_stride;
    desk d = prepare(j, b, head, worker);
    memset(d.all_o, 0, (size_t)n * v * sizeof *d.all_o);
    for (uint32_t q = 0; q < n; q++) {
        d.all_m[q] = -INFINITY;
        d.all_l[q] = 0;
    }
    for (uint32_t split = 0; split < j->n_splits; split++) {
        walk_split(j, &d, b, head, split);
        combine(j, n, d.m, d.l, d.o, v, d.all_m, d.all_l, d.all_o);
    }
    for (uint32_t q = 0; q < n; q++) {
        size_t i = b->first + q / j->shared, h = (size_t)head * j->shared + q % j->shared;
        finish(j, (uint32_t)h, &d.all_m[q], &d.all_l[q], d.all_o + (size_t)q * v,
               j->out + (i * j->a->heads + h) * j->a->v_dim);
    }
}

static float *part_of(const job *j, size_t row, size_t head, uint32_t split)
{
    return j->parts +
           ((row * j->a->heads + head) * j->n_splits + split) * (2 + (size_t)j->a->v_dim);
}

/* A block, key head and split. */
static void run_split(void *arg, uint32_t task, uint32_t worker)
{
    const job *j = arg;
    uint32_t split = task % j->n_splits, head = task / j->n_splits % j->a->kv_heads;
    const block *b = &j->blocks[task / j->n_splits / j->a->kv_heads];
    desk d = prepare(j, b, head, worker);
    walk_split(j, &d, b, head, split);
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
    const job *j = arg;
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
static void find_blocks(job *j, uint32_t rows)
{
    const lm_run *run = j->r->run;
    uint32_t longest = 1, slot = j->slot;
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t row = lhost_run_row(j->r, slot, i);
        longest = run->visible_end[row] > longest ? run->visible_end[row] : longest;
        block *b = j->n_blocks == 0 ? NULL : &j->blocks[j->n_blocks - 1];
        if (b != NULL && b->count < j->block_rows &&
            run->row_seq[lhost_run_row(j->r, slot, b->first)] == run->row_seq[row])
            b->count++;
        else
            j->blocks[j->n_blocks++] = (block){i, 1};
    }
    j->n_splits = (longest + SPLIT - 1) / SPLIT;
}

static void find_types(job *j)
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
    job j = {.r = r,
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
