/* int8_amx.c - products of panels in matrix registers. The sums of blocks are whole numbers, so they
 * are those of VNNI, whose panels, activations and kernels for few rows this set keeps: a register of
 * sixteen activation rows meets one of sixteen weight rows, block by block, and the sums of a run of
 * blocks go through memory to where they are scaled. */
#include "backends/cpu/kernels/int8_avx512.h"

#include "backends/cpu/kernels/ahead.h"
#include "backends/cpu/kernels/amx.h"

#define RUN       8u /* for each of two panels: they stay in the first cache */
#define PANELS    2u
#define HALF      8u  /* rows whose results are in registers at once */
#define TILE_ROWS 96u /* of weights at once */
#define REST      6u  /* activation rows behind the last sixteen that VNNI does as fast */

/* Registers: the sums of two panels, twice in turns; activations and weights. */
#define SUM_00  0
#define SUM_01  1
#define SUM_10  2
#define SUM_11  3
#define LEFT    4
#define RIGHT_0 6
#define RIGHT_1 7

/* Sixteen activation rows against one or two panels over a run of blocks. */
typedef struct step {
    const uint8_t *x;     /* the first row's first block */
    size_t apart;         /* from row to row */
    const uint8_t *panel; /* the first one's first block */
    size_t stride;        /* from panel to panel */
    uint32_t last;        /* rows that are there in the last panel */
    uint32_t blocks;      /* of 32 columns */
    bool first;           /* sums start from zero */
    const uint8_t *next;  /* as `panel`, what will be wanted then */
    lcpu_ahead *ahead;    /* of other weights */
    size_t share;         /* that is fetched with eight rows and a block */
    float *const *out;
    uint32_t n_x; /* of the sixteen whose results are wanted */
    size_t at;
} step;

static void configure(void)
{
    tile_config c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.rows[i] = (uint8_t)(i < RIGHT_0 ? SIDE : BLOCK / 4);
        c.bytes[i] = i == LEFT ? BLOCK : LINE;
    }
    tiles_begin(&c);
}

/* --- sums ------------------------------------------------------------------------------------- */

/* Block i of a run. */
#define MULTIPLY(a, b, i)                                                                          \
    do {                                                                                           \
        const uint8_t *w = s->panel + (size_t)(i)*LINES(kind) * LINE;                              \
        TILE_LOAD(LEFT, s->x + (i) * sizeof(act_block), s->apart);                                 \
        TILE_LOAD(RIGHT_0, w, LINE);                                                               \
        TILE_ZERO(a);                                                                              \
        TILE_MAC("tdpbsud", a, LEFT, RIGHT_0);                                                     \
        if (P == 1)                                                                                \
            break;                                                                                 \
        TILE_LOAD(RIGHT_1, w + s->stride, LINE);                                                   \
        TILE_ZERO(b);                                                                              \
        TILE_MAC("tdpbsud", b, LEFT, RIGHT_1);                                                     \
    } while (0)

#define KEEP(a, b, i)                                                                              \
    do {                                                                                           \
        TILE_STORE(a, sums + (i)*TILE, LINE);                                                      \
        if (P > 1)                                                                                 \
            TILE_STORE(b, sums + (RUN + (i)) * TILE, LINE);                                        \
    } while (0)

/* A sum is stored while the next one is made. */
INLINE void sum_run(const step *s, int kind, uint32_t P, uint8_t *sums)
{
    uint32_t count = s->blocks, i = 1;
    MULTIPLY(SUM_00, SUM_01, 0);
    _Pragma("GCC unroll 1") for (; i + 1 < count; i += 2)
    {
        MULTIPLY(SUM_10, SUM_11, i);
        KEEP(SUM_00, SUM_01, i - 1);
        MULTIPLY(SUM_00, SUM_01, i + 1);
        KEEP(SUM_10, SUM_11, i);
    }
    if (i < count) {
        MULTIPLY(SUM_10, SUM_11, i);
        KEEP(SUM_00, SUM_01, i - 1);
        KEEP(SUM_10, SUM_11, i);
    } else {
        KEEP(SUM_00, SUM_01, i - 1);
    }
}

/* --- scales ----------------------------------------------------------------------------------- */

/* Eight rows that are `apart` bytes apart: few registers serve all of them. */
typedef struct rows_at {
    const uint8_t *base;
    size_t one, three, five, seven;
} rows_at;

INLINE const act_block *row_of(const rows_at *x, uint32_t r)
{
    size_t offsets[HALF] = {0,          x->one,  2 * x->one,   x->three,
                            4 * x->one, x->five, 2 * x->three, x->seven};
    return (const act_block *)(const void *)(x->base + offsets[r]);
}

/* What a block's sums add to the results; `line` is the block in the first panel. */
INLINE void add_block(const step *s, int kind, const uint8_t *line, const uint8_t *sums,
                      const rows_at *x, uint32_t P, vecf acc[PANELS][HALF])
{
    vecf scale[PANELS], second[PANELS];
    EACH (p, P) {
        scale[p] = f_load(line + p * s->stride + 8 * LINE);
        second[p] = f_load(line + p * s->stride + 9 * LINE);
    }
    EACH (r, HALF) {
        const act_block *b = row_of(x, r);
        vec from = v_set32((uint32_t)b->whole);
        vecf factor = f_set(b->scale);
        EACH (p, P) {
            vec sum = v_add32(v_load(sums + p * RUN * TILE + r * LINE), from);
            acc[p][r] = f_mac(scaled(sum, scale[p], second[p]), factor, acc[p][r]);
        }
    }
    for (uint32_t h = 0; h < MINIMA(kind); h++) {
        vecf minimum[PANELS];
        EACH (p, P)
            minimum[p] = f_load(line + p * s->stride + (8 + SCALE_VECTORS + h) * LINE);
        EACH (r, HALF) {
            const act_block *b = row_of(x, r);
            vecf minus = f_set(kind == LCPU_MINIMA ? b->minus : b->half_minus[h]);
            EACH (p, P)
                acc[p][r] = f_mac(minus, minimum[p], acc[p][r]);
        }
    }
}

/* Eight of the rows from `row` on. */
INLINE void scale_run(const step *s, int kind, uint32_t row, uint32_t P, const uint8_t *sums)
{
    vecf acc[PANELS][HALF];
    float *const *out = s->out + row;
    const uint8_t *line = s->panel;
    rows_at x = {s->x + row * s->apart, s->apart, 3 * s->apart, 5 * s->apart, 7 * s->apart};
    sums += row * LINE;
    const uint8_t *next = s->next + (row == 0 ? 0 : s->stride);
    uint32_t there = s->n_x < row ? 0 : s->n_x - row;
    EACH (p, P)
        EACH (r, HALF)
            acc[p][r] = s->first || r >= there
                            ? f_set(0)
                            : f_load_some(out[r] + s->at + p * ROWS, p + 1 == P ? s->last : ROWS);
    for (uint32_t b = 0; b < s->blocks; b++) {
        add_block(s, kind, line, sums, &x, P, acc);
        for (uint32_t i = 0; i < LINES(kind); i++)
            _mm_prefetch((const char *)next + i * LINE, _MM_HINT_T0);
        lcpu_ahead_fetch(s->ahead, s->share);
        line += LINES(kind) * LINE;
        next += LINES(kind) * LINE;
        sums += TILE;
        x.base += sizeof(act_block);
    }
    EACH (p, P)
        EACH (r, HALF)
            if (r < there)
                f_store_some(out[r] + s->at + p * ROWS, p + 1 == P ? s->last : ROWS, acc[p][r]);
}

/* --- products --------------------------------------------------------------------------------- */

/* Sixteen rows of activations, the last ones perhaps the same; copied run by run when they do not lie
 * at even distances. */
typedef struct group {
    const uint8_t *x[SIDE];
    float *const *out;
    uint32_t n_x;
    bool even;
} group;

static group group_of(const void *const *x, float *const *out, uint32_t count)
{
    group g = {.out = out, .n_x = count, .even = true};
    for (uint32_t r = 0; r < SIDE; r++)
        g.x[r] = x[r < count ? r : count - 1];
    for (uint32_t r = 1; r < SIDE; r++)
        g.even = g.even && g.x[r] >= g.x[r - 1] && g.x[r] - g.x[r - 1] == g.x[1] - g.x[0];
    return g;
}

/* Blocks from `first` on. */
static void find_rows(const group *g, uint32_t first, act_block copy[SIDE][RUN], step *s)
{
    size_t at = first * sizeof(act_block);
    if (g->even) {
        s->x = g->x[0] + at;
        s->apart = (size_t)(g->x[1] - g->x[0]);
        return;
    }
    for (uint32_t r = 0; r < SIDE; r++)
        memcpy(copy[r], g->x[r] + at, s->blocks * sizeof(act_block));
    s->x = (const uint8_t *)copy;
    s->apart = sizeof copy[0];
}

INLINE void multiply_panels(const step *s, int kind, uint32_t P, uint8_t *sums)
{
    sum_run(s, kind, P, sums);
    scale_run(s, kind, 0, P, sums);
    scale_run(s, kind, HALF, P, sums);
}

INLINE void multiply_group(int kind, const uint8_t *panels, uint32_t n_w, const group *g,
                           uint32_t k, size_t at, lcpu_ahead *ahead, size_t share)
{
    _Alignas(64) uint8_t sums[PANELS * RUN * TILE];
    _Alignas(64) act_block copy[SIDE][RUN];
    uint32_t blocks = k / BLOCK, n = (n_w + ROWS - 1) / ROWS;
    size_t block_bytes = LINES(kind) * LINE;
    step s = {.stride = blocks * block_bytes,
              .ahead = ahead,
              .share = share,
              .out = g->out,
              .n_x = g->n_x};
    for (uint32_t b = 0; b < blocks; b += RUN) {
        s.blocks = blocks - b < RUN ? blocks - b : RUN;
        s.first = b == 0;
        find_rows(g, b, copy, &s);
        for (uint32_t p = 0; p < n; p += PANELS) {
            s.last = p + PANELS < n ? ROWS : n_w - (n - 1) * ROWS;
            s.panel = panels + p * s.stride + b * block_bytes;
            s.next = p + PANELS < n ? s.panel + PANELS * s.stride
                                    : panels + (b + s.blocks) * block_bytes;
            s.at = at + p * ROWS;
            if (n - p < PANELS)
                multiply_panels(&s, kind, 1, sums);
            else
                multiply_panels(&s, kind, PANELS, sums);
        }
    }
}

INLINE void multiply(int kind, const void *panels, uint32_t n_w, const void *const *x, uint32_t n_x,
                     uint32_t k, float *const *out, size_t at, const uint8_t *next,
                     size_t next_bytes)
{
    uint32_t rest = n_x % SIDE <= REST ? n_x % SIDE : 0;
    uint32_t pairs = (n_w + PANELS * ROWS - 1) / (PANELS * ROWS);
    size_t turns = (size_t)(n_x - rest + SIDE - 1) / SIDE * pairs * (k / BLOCK) * (SIDE / HALF);
    lcpu_ahead ahead = lcpu_ahead_of(next, next_bytes);
    size_t share = turns == 0 ? 0 : next_bytes / turns;
    configure();
    for (uint32_t i = 0; i + rest < n_x; i += SIDE) {
        group g = group_of(x + i, out + i, n_x - i < SIDE ? n_x - i : SIDE);
        multiply_group(kind, panels, n_w, &g, k, at, &ahead, share);
    }
    tiles_end();
    if (rest != 0)
        lcpu_avx512_panels[kind](panels, n_w, x + n_x - rest, rest, k, out + n_x - rest, at, NULL,
                                 0);
}

#define MATMUL(name, kind)                                                                         \
    static void matmul_##name(const void *panels, uint32_t n_w, const void *const *x,              \
                              uint32_t n_x, uint32_t k, float *const *out, size_t at,              \
                              const uint8_t *next, size_t next_bytes)                              \
    {                                                                                              \
        multiply(kind, panels, n_w, x, n_x, k, out, at, next, next_bytes);                         \
    }

MATMUL(plain, LCPU_PLAIN)
MATMUL(minima, LCPU_MINIMA)
MATMUL(half_minima, LCPU_HALF_MINIMA)

/* With a scale for each sixteen columns registers would be half empty, and twice as many sums pass
 * through memory: VNNI is faster. */
static const lcpu_panels_fn matmul_of[] = {
    [LCPU_PLAIN] = matmul_plain,
    [LCPU_MINIMA] = matmul_minima,
    [LCPU_HALVES] = NULL,
    [LCPU_HALF_MINIMA] = matmul_half_minima,
};

void lcpu_fill_amx_int8(lcpu_kernels *k)
{
    k->int8.tile_rows = TILE_ROWS;
    for (uint32_t i = 0; i < k->int8.n_formats; i++)
        for (uint32_t kind = 0; kind < sizeof matmul_of / sizeof matmul_of[0]; kind++)
            if (k->int8.formats[i].matmul == lcpu_avx512_panels[kind] && matmul_of[kind] != NULL)
                k->int8.formats[i].matmul = matmul_of[kind];
}
