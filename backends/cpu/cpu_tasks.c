/* cpu_tasks.c - the tasks of a multiplication job: rows of weights against all rows of activations, by the
 * kernel that the plan and their number ask for, and what follows value by value. */
#include "backends/cpu/cpu_product.h"

#include <string.h>

#define TURN_COLS 256u /* decoded before they are sorted: whole blocks of any format */

/* --- a part of the weight rows ---------------------------------------------------------------- */

/* Rows of activations against rows of weights. */
typedef struct part {
    const lcpu_batch *b;
    const lcpu_product *p;
    const lcpu_group *g;
    uint32_t first, count; /* of the weight rows */
    uint8_t *panel;
    const uint8_t *next; /* weights that are read afterwards, or NULL */
    uint32_t done;       /* places of the group that are multiplied */
} part;

/* Many rows in f32. */
static bool turned(const part *t)
{
    return t->p->packed == NULL && t->p->acts->turned != NULL &&
           t->g->count >= t->b->d->k.turned.from;
}

static bool is_fast(const part *t)
{
    return t->p->fast != NULL && t->p->acts->fast != NULL && t->g->count >= t->b->d->k.fast_from;
}

/* Few rows are multiplied from the weights where they lie. */
static bool in_place(const part *t)
{
    if (turned(t))
        return false;
    if (t->p->packed != NULL)
        return t->p->packed->direct != NULL && t->g->count <= t->p->family->direct_max;
    return t->p->direct || (t->p->half != NULL && t->g->count <= t->p->half_most);
}

/* Sixteen rows of weights, or those of them that are there. */
static void turn_sixteen(const part *t, const uint8_t *from, uint32_t count, float *panel)
{
    _Alignas(64) float rows[16][TURN_COLS];
    const lm_format *format = t->p->w->format;
    uint32_t cols = t->p->cols;
    memset(rows, 0, sizeof rows);
    for (uint32_t c = 0; c < cols; c += TURN_COLS) {
        uint32_t here = cols - c < TURN_COLS ? cols - c : TURN_COLS;
        for (uint32_t i = 0; i < count; i++)
            t->p->decode(from + i * t->p->w->row_bytes + c / format->block * (size_t)format->bytes,
                         rows[i], here);
        t->b->d->k.turned.rows(rows[0], TURN_COLS, c, here, cols, panel);
    }
}

static void unpack(const part *t, uint32_t first, uint32_t count)
{
    const lm_weight *w = t->p->w;
    const uint8_t *from = lhost_weight_row(w, t->g->matrix, first);
    size_t stride = w->cols + (size_t)LCPU_PANEL_GAP;
    if (t->p->packed != NULL) {
        const lcpu_int8_format *f = is_fast(t) ? t->p->fast : t->p->packed;
        f->unpack(from, w->row_bytes, count, w->cols, t->panel);
        return;
    }
    if (turned(t)) {
        float *panel = (float *)(void *)t->panel;
        for (uint32_t i = 0; i < count; i += 16, panel += LCPU_TURNED_PANEL(w->cols))
            turn_sixteen(t, from + i * w->row_bytes, count - i < 16 ? count - i : 16, panel);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        t->p->decode(from + i * w->row_bytes, (float *)(void *)t->panel + i * stride, w->cols);
}

/* The same rows in another copy of the activations. */
static void find_rows(const void *const *x, uint32_t n, const void *in, size_t in_bytes,
                      const void *copy, size_t copy_bytes, const void **rows)
{
    for (uint32_t i = 0; i < n; i++) {
        size_t row = (size_t)((const uint8_t *)x[i] - (const uint8_t *)in) / in_bytes;
        rows[i] = (const uint8_t *)copy + row * copy_bytes;
    }
}

static void multiply_turned(const part *t, uint32_t count, const void *const *x, uint32_t n,
                            float *const *out, size_t at)
{
    const lcpu_acts *a = t->p->acts;
    const void *rows[LCPU_PAIR_PLACES];
    for (uint32_t done = 0; done < n; done += LCPU_PAIR_PLACES) {
        uint32_t here = n - done < LCPU_PAIR_PLACES ? n - done : LCPU_PAIR_PLACES;
        find_rows(x + done, here, a->in, a->cols * sizeof *a->in, a->turned,
                  a->turned_values * sizeof *a->turned, rows);
        t->b->d->k.turned.matmul((const float *)(const void *)t->panel, count,
                                 (const float *const *)rows, here, a->cols, out + done, at);
    }
}

/* Places have blocks where some groups want them. */
static void multiply_fast(const part *t, uint32_t count, const void *const *x, uint32_t n,
                          float *const *out, size_t at)
{
    const lcpu_acts *a = t->p->acts;
    const void *rows[LCPU_PAIR_PLACES];
    for (uint32_t done = 0; done < n; done += LCPU_PAIR_PLACES) {
        uint32_t here = n - done < LCPU_PAIR_PLACES ? n - done : LCPU_PAIR_PLACES;
        find_rows(x + done, here, a->blocks, a->row_bytes, a->fast, a->fast_bytes, rows);
        t->p->fast->matmul(t->panel, count, rows, here, a->cols, out + done, at, NULL, 0);
    }
}

static void multiply_unpacked(const part *t, uint32_t count, const void *const *x, uint32_t n,
                              float *const *out, size_t at)
{
    if (turned(t)) {
        multiply_turned(t, count, x, n, out, at);
        return;
    }
    if (is_fast(t) && t->p->acts->blocks != NULL) {
        multiply_fast(t, count, x, n, out, at);
        return;
    }
    if (t->p->packed != NULL) {
        const lcpu_int8_format *f = is_fast(t) ? t->p->fast : t->p->packed;
        size_t all = t->next == NULL ? 0 : t->count * t->p->w->row_bytes;
        size_t from = all * t->done / t->g->count, end = all * (t->done + n) / t->g->count;
        f->matmul(t->panel, count, x, n, t->p->cols, out, at,
                  t->next == NULL ? NULL : t->next + from, end - from);
    } else
        t->b->d->k.f32_matmul((const float *)(const void *)t->panel,
                              t->p->cols + (size_t)LCPU_PANEL_GAP, count, (const float *const *)x,
                              n, t->p->cols, out, at);
}

static void multiply_in_place(const part *t, const void *const *x, uint32_t n, float *const *out,
                              size_t at)
{
    const lm_weight *w = t->p->w;
    const uint8_t *from = lhost_weight_row(w, t->g->matrix, t->first);
    const float *const *floats = (const float *const *)x;
    if (t->p->packed != NULL)
        t->p->packed->direct(from, w->row_bytes, t->count, x, n, w->cols, out, at, t->next);
    else if (t->p->direct)
        t->b->d->k.f32_matmul((const float *)(const void *)from, w->cols, t->count, floats, n,
                              w->cols, out, at);
    else
        t->p->half(from, w->row_bytes, t->count, floats, n, w->cols, out, at, t->next);
}

/* For one row of activations weights are used up while they are in the first cache. */
static void multiply_in_pieces(const part *t, const void *const *x, float *const *out, size_t at)
{
    uint32_t step = t->p->packed != NULL ? t->p->family->panel_rows : 1;
    part piece = *t;
    piece.next = NULL;
    for (uint32_t i = 0; i < t->count; i += step) {
        uint32_t count = t->count - i < step ? t->count - i : step;
        unpack(t, t->first + i, count);
        multiply_unpacked(&piece, count, x, 1, out, at + i);
    }
}

static void prepare(const part *t)
{
    if (!in_place(t) && t->g->count > 1)
        unpack(t, t->first, t->count);
}

static void multiply(const part *t, const void *const *x, uint32_t n, float *const *out, size_t at)
{
    if (in_place(t))
        multiply_in_place(t, x, n, out, at);
    else if (t->g->count > 1)
        multiply_unpacked(t, t->count, x, n, out, at);
    else
        multiply_in_pieces(t, x, out, at);
    const lcpu_product *p = t->p;
    const float *bias =
        p->bias == NULL ? NULL : p->bias + (size_t)t->g->matrix * p->w->rows + t->first;
    if (bias == NULL && p->scale == 1)
        return;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t o = 0; o < t->count; o++) {
            float *y = out[i] + at + o;
            *y = bias == NULL ? *y * p->scale : *y * p->scale + bias[o];
        }
}

/* --- tasks ------------------------------------------------------------------------------------ */

static void add_rest(const part *t)
{
    if (t->p->addend == NULL)
        return;
    for (uint32_t i = t->g->first; i < t->g->first + t->g->count; i++) {
        const float *more = t->p->addend + (size_t)i * t->p->w->rows + t->first;
        float *out = t->p->out[i] + t->first;
        for (uint32_t o = 0; o < t->count; o++)
            out[o] += more[o];
    }
}

static void run_single(const lcpu_batch *b, const lcpu_product *p, const lcpu_group *g,
                       uint32_t first, uint32_t end, uint8_t *panel, const uint8_t *next)
{
    for (; first < end; first += p->part_rows) {
        uint32_t count = end - first < p->part_rows ? end - first : p->part_rows;
        part t = {b, p, g, first, count, panel, next, 0};
        if (first + count < end)
            t.next = lhost_weight_row(p->w, g->matrix, first + count);
        prepare(&t);
        multiply(&t, p->x + g->first, g->count, p->out + g->first, first);
        add_rest(&t);
    }
}

/* The results of a pair for `count` values of one place, the gate's first. */
static void keep(const lcpu_batch *b, float *const values[2], uint32_t place, uint32_t first,
                 uint32_t count)
{
    const lcpu_acts *a = b->pair->out;
    const float *factor = b->pair->n == 2 ? values[1] : NULL;
    float *into = a->blocks != NULL ? values[0] : a->in + (size_t)place * a->cols + first;
    b->d->k.act(b->pair->act, values[0], factor, into, count);
    if (a->blocks != NULL)
        b->d->k.int8.quantise(into, count,
                              a->blocks + place * a->row_bytes +
                                  first / 32 * (size_t)b->d->k.int8.act_bytes);
}

static void run_pair(const lcpu_batch *b, uint32_t group, uint32_t first, uint32_t end,
                     uint32_t worker, const uint8_t *const next[2])
{
    const lcpu_group *g = &b->p[0].groups[group];
    uint32_t n = b->pair->n, rows = b->p[0].part_rows, count = end - first;
    float *values = (float *)(void *)(b->tiles + worker * b->tile_bytes);
    uint8_t *panel = b->panels + worker * b->panel_bytes;
    float *out[2][LCPU_PAIR_PLACES];
    part t[2];
    for (uint32_t i = 0; i < n; i++, panel += b->p[0].panel_bytes) {
        t[i] = (part){b, &b->p[i], g, first, count, panel, next[i], 0};
        if (in_place(&t[i])) /* one after the other, where others are unpacked before */
            t[i].next = i + 1 < n ? lhost_weight_row(b->p[i + 1].w, g->matrix, first) : next[0];
        prepare(&t[i]);
        for (uint32_t k = 0; k < LCPU_PAIR_PLACES; k++)
            out[i][k] = values + ((size_t)i * LCPU_PAIR_PLACES + k) * rows;
    }
    for (uint32_t done = 0; done < g->count; done += LCPU_PAIR_PLACES) {
        uint32_t here = g->count - done < LCPU_PAIR_PLACES ? g->count - done : LCPU_PAIR_PLACES;
        for (uint32_t i = 0; i < n; i++) {
            t[i].done = done;
            multiply(&t[i], b->p[i].x + g->first + done, here, out[i], 0);
        }
        for (uint32_t k = 0; k < here; k++) {
            float *const both[2] = {out[0][k], out[1][k]};
            keep(b, both, g->first + done + k, first, count);
        }
    }
}

static uint32_t tiles_of(const lcpu_product *p)
{
    return (p->w->rows + p->task_rows - 1) / p->task_rows;
}

static uint32_t tasks_of(const lcpu_batch *b)
{
    uint32_t tasks = 0;
    for (uint32_t i = 0; i < (b->pair != NULL ? 1 : b->n); i++) /* a pair has one list of tasks */
        tasks += b->p[i].n_groups * tiles_of(&b->p[i]);
    return tasks;
}

/* The product that a task is of; the task becomes one of its own. */
static const lcpu_product *product_of(const lcpu_batch *b, uint32_t *task)
{
    const lcpu_product *p = b->p;
    for (; *task >= p->n_groups * tiles_of(p); p++)
        *task -= p->n_groups * tiles_of(p);
    return p;
}

/* `half`: of a pair's products the first or the second. */
static const uint8_t *weights_of(const lcpu_batch *b, uint32_t task, uint32_t half)
{
    if (task >= tasks_of(b) || (half > 0 && (b->pair == NULL || half >= b->n)))
        return NULL;
    const lcpu_product *p = product_of(b, &task) + half;
    uint32_t tiles = tiles_of(p);
    return lhost_weight_row(p->w, p->groups[task / tiles].matrix, task % tiles * p->task_rows);
}

/* What whoever does a task does next, if nobody steals it: the next one, or at the end of a share
 * the first of that share in the job that follows. */
static const uint8_t *weights_after(const lcpu_batch *b, uint32_t task, uint32_t half)
{
    const lcpu_team *team = b->d->team;
    uint32_t count = tasks_of(b), share = lcpu_team_share(team, count, task);
    if (task + 1 < lcpu_team_start(team, count, share + 1))
        return weights_of(b, task + 1, half);
    if (b->then == NULL)
        return NULL;
    return weights_of(b->then, lcpu_team_start(team, tasks_of(b->then), share), half);
}

static void run_task(void *arg, uint32_t task, uint32_t worker)
{
    const lcpu_batch *b = arg;
    const uint8_t *next[2] = {weights_after(b, task, 0), weights_after(b, task, 1)};
    const lcpu_product *p = product_of(b, &task);
    uint32_t tiles = tiles_of(p), first = task % tiles * p->task_rows;
    uint32_t end = first + p->task_rows < p->w->rows ? first + p->task_rows : p->w->rows;
    if (b->pair != NULL)
        run_pair(b, task / tiles, first, end, worker, next);
    else
        run_single(b, p, &p->groups[task / tiles], first, end, b->panels + worker * b->panel_bytes,
                   next[0]);
}

void lcpu_batch_run(lcpu_batch *b)
{
    lcpu_team_run(b->d->team, tasks_of(b), run_task, b);
}
