/* cpu_attn_tiles.c - a block of queries over one split of the slots, tile by tile: what each sees, keys and values
 * as kernels want them, and which kernels. */
#include "backends/cpu/cpu_attn.h"
#include "base/half.h"

#include <math.h>
#include <string.h>

#define TILE        LCPU_ATTN_SLOTS
#define GROUP       LCPU_ATTN_GROUP
#define SPLIT       LCPU_ATTN_SPLIT
#define MOST        LCPU_ATTN_QUERIES
#define MATRIX      LCPU_ATTN_MATRIX
#define FEW         8u    /* queries that use keys and values where they lie */
#define MOST_AHEAD  4u    /* tiles */
#define MEMORY_PAGE 4096u /* bytes */

/* --- what is seen ----------------------------------------------------------------------------- */

/* Bits of the slots of a tile that a row sees. */
static uint64_t visible_mask(const lcpu_attn_job *j, uint32_t row, uint32_t tile)
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
static void load_group(const lcpu_attn_job *j, const lhost_view *view, int part, uint32_t head,
                       uint32_t slot, uint32_t mask, uint32_t stride, float *to)
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
static void load_tile(const lcpu_attn_job *j, const lcpu_attn_desk *d, const lhost_view *view,
                      uint32_t head, uint32_t tile, uint64_t mask)
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
static void bias(const lcpu_attn_job *j, const lcpu_attn_desk *d, uint32_t q, uint32_t tile,
                 float *scores)
{
    float slot = (float)j->r->run->slots[d->row[q]];
    for (uint32_t k = 0; k < TILE; k++)
        scores[k] -= d->slope[q] * fabsf(slot - (float)(tile * TILE + k));
}

/* Some queries of the block from `q` on against a tile: `t` says where that lies. */
static void walk_queries(const lcpu_attn_job *j, const lcpu_attn_desk *d, lcpu_attn_tile t,
                         uint32_t q, uint32_t tile, void (*scores)(const lcpu_attn_tile *),
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
static void walk_loaded(const lcpu_attn_job *j, const lcpu_attn_desk *d, const lhost_view *view,
                        lcpu_attn_tile t, uint32_t n, uint32_t tile)
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

static void load_keys(const lcpu_attn_job *j, const lcpu_attn_desk *d, const lhost_view *view,
                      uint32_t head, uint32_t tile, uint64_t mask)
{
    for (uint32_t k = 0; k < TILE; k += GROUP) {
        load_group(j, view, 0, head, tile * TILE + k, (uint32_t)(mask >> k) & 0xffffu, j->k_stride,
                   d->rows);
        j->matrix->keys(d->rows, j->k_stride, k / GROUP, (uint8_t *)d->keys);
    }
}

/* Also whether those in `mask` are finite; the others are zeros. */
static bool load_values(const lcpu_attn_job *j, const lcpu_attn_desk *d, const lhost_view *view,
                        uint32_t head, uint32_t tile, uint64_t mask)
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
static void walk_operands(const lcpu_attn_job *j, const lcpu_attn_desk *d, lcpu_attn_tile t,
                          uint32_t q, uint32_t n, uint32_t tile)
{
    size_t group = (size_t)GROUP * j->a->k_dim * sizeof(float);
    t.n = n;
    t.q_parts = (const uint8_t *)d->queries + q / GROUP * group + q % GROUP * 64;
    walk_queries(j, d, t, q, tile, j->matrix->scores, j->matrix->mix);
}

/* What a query does not see must not be multiplied by zero where it is not finite: then each goes
 * alone, with zeros in place of what it does not see. */
static void walk_alone(const lcpu_attn_job *j, const lcpu_attn_desk *d, const lhost_view *view,
                       uint32_t head, lcpu_attn_tile t, uint32_t n, uint32_t tile)
{
    j->matrix->shape(1);
    for (uint32_t q = 0; q < n; q++) {
        load_values(j, d, view, head, tile, d->visible[q]);
        walk_operands(j, d, t, q, 1, tile);
    }
    j->matrix->shape(GROUP);
}

static void walk_matrix(const lcpu_attn_job *j, const lcpu_attn_desk *d, const lhost_view *view,
                        uint32_t head, lcpu_attn_tile t, uint32_t n, uint32_t tile, uint64_t any,
                        uint64_t all)
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

static void walk_tile(const lcpu_attn_job *j, const lcpu_attn_desk *d, const lhost_view *view,
                      uint32_t head, uint32_t n, uint32_t tile)
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
    if (lcpu_attn_by_matrix(j, n)) {
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
void lcpu_attn_walk(const lcpu_attn_job *j, const lcpu_attn_desk *d, const lcpu_attn_block *b,
                    uint32_t head, uint32_t split)
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
    if (lcpu_attn_by_matrix(j, n))
        j->matrix->shape(GROUP);
    for (uint32_t tile = split * (SPLIT / TILE); tile < last && tile * TILE < end; tile++)
        walk_tile(j, d, &view, head, n, tile);
    if (lcpu_attn_by_matrix(j, n))
        j->matrix->shape(0);
    for (uint32_t q = 0; q < n; q++)
        d->l[q] = j->d->k.sum(d->l + (size_t)q * 16, 16);
}
