/* int8_amx_fast.c - fast products in matrix registers: digits of activations times digits of weights
 * over 64 columns, 256 columns before anything becomes a float. */
#include "backends/cpu/kernels/int8_avx512.h"

#include "backends/cpu/kernels/ahead.h"
#include "backends/cpu/kernels/amx.h"
#include "backends/cpu/kernels/int8_fast.h"

#define GROUP     (2 * SIDE) /* activation rows at once */
#define TILE_ROWS 128u       /* of weights at once */
#define FROM      32u        /* activation rows from which on folding the weights pays */
#define TURN      (GROUP / FAST_STEPS / 2)
#define LARGEST   8128.0f /* 127 of the high digit */

/* Registers: the sums of sixteen rows, of the highest digits and of a high and a low one; theirs of
 * the next sixteen; activations and weights. */
#define HIGH_0  0
#define CROSS_0 1
#define HIGH_1  2
#define CROSS_1 3
#define X_HIGH  4
#define X_LOW   5
#define W_HIGH  6
#define W_LOW   7

/* Where sums are kept: those of the highest digits, of the others, of minima. */
typedef struct fast_sums {
    uint8_t high[2][TILE], cross[2][TILE], minima[2][TILE];
} fast_sums;

/* --- activations ------------------------------------------------------------------------------ */

/* Sixteen values; 0 where `inverse` is. */
static void quantise_part(const float *x, vecf inverse, fast_acts *a, uint32_t part)
{
    vec q = _mm512_cvtps_epi32(f_mul(f_load(x), inverse));
    vec high = _mm512_srai_epi32(v_add32(q, v_set32(1u << (FAST_SHIFT - 1))), FAST_SHIFT);
    vec low = _mm512_sub_epi32(q, v_up(high, FAST_SHIFT));
    _mm_storeu_si128((__m128i *)(void *)(a->high + SIDE * part), _mm512_cvtepi32_epi8(high));
    _mm_storeu_si128((__m128i *)(void *)(a->low + SIDE * part), _mm512_cvtepi32_epi8(low));
    float sum = (float)_mm512_reduce_add_epi32(q);
    a->sums[part][0] = lm_f32_to_bf16(sum);
    a->sums[part][1] = lm_f32_to_bf16(sum - lm_bf16_to_f32(a->sums[part][0]));
}

static void quantise_fast(const float *x, uint32_t k, void *row)
{
    for (fast_acts *a = row; k > 0; k -= FAST_COLS, x += FAST_COLS, a++) {
        vec largest_bits = v_set32(0);
        EACH (i, 16)
            largest_bits =
                _mm512_max_epi32(largest_bits, v_and(v_load(x + SIDE * i), v_set32(0x7fffffffu)));
        float largest = lm_f32_from_bits((uint32_t)_mm512_reduce_max_epi32(largest_bits));
        *a = (fast_acts){.scale = NAN};
        if (!isfinite(largest))
            continue;
        float inverse = largest > 0 ? LARGEST / largest : 0;
        inverse = inverse > FLT_MAX ? FLT_MAX : inverse;
        a->scale = largest / LARGEST;
        for (uint32_t part = 0; part < 16; part++)
            quantise_part(x + SIDE * part, f_set(inverse), a, part);
    }
}

static size_t fast_row_bytes(uint32_t k)
{
    return k / FAST_COLS * sizeof(fast_acts) + FAST_LINE;
}

/* --- sums ------------------------------------------------------------------------------------- */

/* Activation rows against one panel, 256 columns. */
typedef struct unit {
    const uint8_t *x; /* the first row's */
    size_t apart;     /* from row to row */
    const uint8_t *panel;
    float *to;    /* [n_x, TILE_ROWS] */
    uint32_t n_x; /* rows of activations that are there */
    bool first;   /* results start from zero */
} unit;

/* 64 columns of sixteen rows. */
#define MULTIPLY_STEP(high, cross, w, x, first)                                                    \
    do {                                                                                           \
        if (first)                                                                                 \
            TILE_LOAD(W_HIGH, w, LINE);                                                            \
        TILE_LOAD(X_HIGH, x, u->apart);                                                            \
        TILE_MAC("tdpbssd", high, X_HIGH, W_HIGH);                                                 \
        TILE_LOAD(X_LOW, (x) + FAST_COLS, u->apart);                                               \
        TILE_MAC("tdpbssd", cross, X_LOW, W_HIGH);                                                 \
        if (digits == 1)                                                                           \
            break;                                                                                 \
        if (first)                                                                                 \
            TILE_LOAD(W_LOW, (w) + FAST_DIGIT, LINE);                                              \
        TILE_MAC("tdpbssd", cross, X_HIGH, W_LOW);                                                 \
    } while (0)

INLINE void start_sums(void)
{
    TILE_ZERO(HIGH_0);
    TILE_ZERO(CROSS_0);
    TILE_ZERO(HIGH_1);
    TILE_ZERO(CROSS_1);
}

INLINE void keep_sums(const unit *u, uint32_t digits, bool minima, bool second, fast_sums *to)
{
    TILE_STORE(HIGH_0, to->high[0], LINE);
    TILE_STORE(CROSS_0, to->cross[0], LINE);
    if (second) {
        TILE_STORE(HIGH_1, to->high[1], LINE);
        TILE_STORE(CROSS_1, to->cross[1], LINE);
    }
    if (!minima)
        return;
    const uint8_t *x = u->x + offsetof(fast_acts, sums);
    TILE_LOAD(W_HIGH, u->panel + FAST_STEPS * digits * FAST_DIGIT, LINE);
    TILE_LOAD(X_HIGH, x, u->apart);
    TILE_ZERO(HIGH_0);
    TILE_MAC("tdpbf16ps", HIGH_0, X_HIGH, W_HIGH);
    TILE_STORE(HIGH_0, to->minima[0], LINE);
    if (!second)
        return;
    TILE_LOAD(X_LOW, x + SIDE * u->apart, u->apart);
    TILE_ZERO(HIGH_1);
    TILE_MAC("tdpbf16ps", HIGH_1, X_LOW, W_HIGH);
    TILE_STORE(HIGH_1, to->minima[1], LINE);
}

/* --- scales ----------------------------------------------------------------------------------- */

/* What the sums of rows [row, row + TURN) add to the results. */
INLINE void scale_rows(const unit *u, uint32_t digits, bool minima, uint32_t row,
                       const fast_sums *sums)
{
    if (row >= u->n_x)
        return;
    const uint8_t *scales = u->panel + fast_scales_at(digits, minima);
    vecf scale = f_load(scales), minimum = minima ? f_load(scales + LINE) : f_set(0);
    const uint8_t *sum = sums->high[0] + row * LINE;
    const uint8_t *x = u->x + row * u->apart + offsetof(fast_acts, scale);
    float *to = u->to + row * TILE_ROWS;
    EACH (r, TURN) {
        vec whole =
            v_add32(v_up(v_load(sum), FAST_SHIFT), v_load(sum + offsetof(fast_sums, cross)));
        vecf part = f_mul(f_from(whole), scale);
        if (minima)
            part = f_mac(f_load(sum + offsetof(fast_sums, minima)), minimum, part);
        vecf factor = f_set(*(const float *)(const void *)x);
        f_store(to, f_mac(part, factor, u->first ? f_set(0) : f_load(to)));
        x += u->apart, sum += LINE, to += TILE_ROWS;
    }
}

/* The sums of one unit are made while those of the one before are scaled. */
INLINE void multiply_unit(const unit *u, const unit *before, uint32_t digits, bool minima,
                          lcpu_ahead *ahead, size_t share, fast_sums *sums)
{
    bool second = u->n_x > SIDE;
    start_sums();
    for (uint32_t step = 0; step < FAST_STEPS; step++) {
        const uint8_t *w = u->panel + step * digits * FAST_DIGIT, *x = u->x + step * LINE;
        MULTIPLY_STEP(HIGH_0, CROSS_0, w, x, true);
        scale_rows(before, digits, minima, 2 * step * TURN, sums);
        if (second)
            MULTIPLY_STEP(HIGH_1, CROSS_1, w, x + SIDE * u->apart, false);
        scale_rows(before, digits, minima, (2 * step + 1) * TURN, sums);
        lcpu_ahead_fetch(ahead, share);
    }
    keep_sums(u, digits, minima, second, sums);
}

/* --- products --------------------------------------------------------------------------------- */

/* Activation rows, the last ones perhaps the same; copied when they do not lie at even distances. */
typedef struct group {
    const uint8_t *x[GROUP];
    uint32_t n_x;
    bool even;
} group;

static group group_of(const void *const *x, uint32_t count)
{
    group g = {.n_x = count, .even = count > 1};
    for (uint32_t r = 0; r < GROUP; r++)
        g.x[r] = x[r < count ? r : count - 1];
    for (uint32_t r = 1; r < GROUP; r++)
        g.even = g.even && g.x[r] >= g.x[r - 1] && g.x[r] - g.x[r - 1] == g.x[1] - g.x[0];
    return g;
}

static void find_rows(const group *g, uint32_t block, fast_acts copy[GROUP], unit *u)
{
    size_t at = block * sizeof(fast_acts);
    u->x = g->x[0] + at;
    u->apart = (size_t)(g->x[1] - g->x[0]);
    if (g->even)
        return;
    for (uint32_t r = 0; r < GROUP; r++)
        memcpy(&copy[r], g->x[r] + at, sizeof *copy);
    u->x = (const uint8_t *)copy;
    u->apart = sizeof *copy;
}

/* Up to TILE_ROWS rows of weights. */
INLINE void multiply_tile(uint32_t digits, bool minima, const uint8_t *panels, size_t block_bytes,
                          const group *g, uint32_t n, uint32_t blocks, lcpu_ahead *ahead,
                          size_t share, float *to)
{
    _Alignas(64) fast_sums sums;
    _Alignas(64) fast_acts copies[2][GROUP]; /* the unit before still has its own */
    unit u = {.n_x = g->n_x}, before = {.n_x = 0};
    for (uint32_t b = 0; b < blocks; b++) {
        find_rows(g, b, copies[b % 2], &u);
        u.first = b == 0;
        for (uint32_t p = 0; p < n; p++) {
            u.panel = panels + b * block_bytes + p * fast_panel_bytes(digits, minima);
            u.to = to + p * ROWS;
            multiply_unit(&u, &before, digits, minima, ahead, share, &sums);
            before = u;
        }
    }
    for (uint32_t row = 0; row < GROUP; row += TURN)
        scale_rows(&before, digits, minima, row, &sums);
}

static void store_results(const float *from, const group *g, uint32_t n_w, float *const *out,
                          size_t at)
{
    for (uint32_t r = 0; r < g->n_x; r++, from += TILE_ROWS)
        for (uint32_t o = 0; o < n_w; o += ROWS)
            f_store_some(out[r] + at + o, n_w - o < ROWS ? n_w - o : ROWS, f_load(from + o));
}

INLINE void multiply(uint32_t digits, bool minima, const uint8_t *panels, uint32_t n_w,
                     const void *const *x, uint32_t n_x, uint32_t k, float *const *out, size_t at,
                     const uint8_t *next, size_t next_bytes)
{
    _Alignas(64) float results[GROUP * TILE_ROWS]; /* close together, where rows of `out` are not */
    uint32_t blocks = k / FAST_COLS, n = (n_w + ROWS - 1) / ROWS;
    size_t bytes = fast_panel_bytes(digits, minima), turns = (n_x + GROUP - 1) / GROUP;
    lcpu_ahead ahead = lcpu_ahead_of(next, next_bytes);
    size_t share = n_x == 0 ? 0 : next_bytes / (turns * n * blocks * FAST_STEPS);
    tiles_begin_whole();
    for (uint32_t i = 0; i < n_x; i += GROUP) {
        group g = group_of(x + i, n_x - i < GROUP ? n_x - i : GROUP);
        for (uint32_t o = 0; o < n_w; o += TILE_ROWS) {
            uint32_t here = n_w - o < TILE_ROWS ? n_w - o : TILE_ROWS;
            multiply_tile(digits, minima, panels + o / ROWS * bytes, n * bytes, &g,
                          (here + ROWS - 1) / ROWS, blocks, &ahead, share, results);
            store_results(results, &g, here, out + i, at + o);
        }
    }
    tiles_end();
}

#define MATMUL(name, digits, minima)                                                               \
    static void matmul_##name(const void *panels, uint32_t n_w, const void *const *x,              \
                              uint32_t n_x, uint32_t k, float *const *out, size_t at,              \
                              const uint8_t *next, size_t next_bytes)                              \
    {                                                                                              \
        multiply(digits, minima, panels, n_w, x, n_x, k, out, at, next, next_bytes);               \
    }

MATMUL(one, 1, false)
MATMUL(one_minima, 1, true)
MATMUL(two, 2, false)
MATMUL(two_minima, 2, true)

static const lcpu_panels_fn matmul_of[2][2] = {{matmul_one, matmul_one_minima},
                                               {matmul_two, matmul_two_minima}};

#define ADD(name, format, kind, digits, shift, scale)                                              \
    k->fast.formats[k->fast.n_formats] = (lcpu_int8_format){                                       \
        format, fast_panel_bytes(digits, MINIMA(kind) != 0) / (FAST_COLS / BLOCK),                 \
        lcpu_fast_unpack[k->fast.n_formats], matmul_of[(digits)-1][MINIMA(kind) != 0], NULL};      \
    k->fast.n_formats++;

void lcpu_fill_amx_fast(lcpu_kernels *k)
{
    k->fast = (lcpu_int8){.panel_rows = ROWS,
                          .tile_rows = TILE_ROWS,
                          .row_bytes = fast_row_bytes,
                          .quantise = quantise_fast};
    k->fast_from = FROM;
    LCPU_FAST_FORMATS(ADD)
}
