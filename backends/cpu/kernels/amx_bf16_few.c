/* amx_bf16_few.c - products of BF16 weights with up to sixteen rows of activations in matrix registers.
 * Sixteen rows of weights are one operand, where they lie in the file; activations, turned, the other. An
 * output takes its products in the order that panels have. */
#include "backends/cpu/kernels/ahead.h"
#include "backends/cpu/kernels/amx_bf16.h"

#include <string.h>

#define CHUNK 16u  /* steps of activations that are turned together */
#define ROWS  128u /* of weights whose sums are kept meanwhile */

/* Registers: the sums of two, two of weights, one of activations. */
#define SUM_0  0
#define SUM_1  1
#define LEFT_0 2
#define LEFT_1 3
#define RIGHT  4
#define USED   5

typedef struct block {
    const uint8_t *w;
    size_t stride;
    uint32_t n_w, n_x, k;
    const void *const *x;
    const uint8_t *next;  /* what will be read after these, or NULL */
    uint32_t width;       /* of the right registers in values: 1 or 16 */
    const uint8_t *right; /* of the first step */
    uint8_t *sums;        /* [ROWS / SIDE] registers */
} block;

static void configure(uint32_t width)
{
    tile_config c = {.palette = 1};
    for (int i = 0; i < USED; i++) {
        c.rows[i] = SIDE;
        c.bytes[i] = i == LEFT_0 || i == LEFT_1 ? LINE : (uint16_t)(width * 4);
    }
    tiles_begin(&c);
}

/* Pairs of columns of some steps become rows; a lone row of activations is one already. */
static void turn_rows(const block *b, uint32_t first, uint32_t steps, uint8_t *to)
{
    for (uint32_t s = first; s < first + steps; s++, to += TILE) {
        lanes words[SIDE];
        for (uint32_t i = 0; i < SIDE; i++)
            words[i] = i < b->n_x ? _mm512_load_ps((const uint8_t *)b->x[i] + (size_t)s * LINE)
                                  : lanes_zero();
        store_turned(to, words);
    }
}

/* --- products --------------------------------------------------------------------------------- */

/* L registers of weights over some steps that are whole, in rows and in columns. */
INLINE void multiply_steps(const block *b, const uint8_t *w, size_t stride, const uint8_t *x,
                           uint32_t steps, int L)
{
    size_t rows = (size_t)L * SIDE, right = b->width * 4;
    const uint8_t *next = w + rows * stride;
    if (next >= b->w + b->n_w * b->stride)
        next = b->next;
    lcpu_ahead to_come = lcpu_ahead_of(next, rows * steps * LINE);
    for (uint32_t s = 0; s < steps; s++, w += LINE, x += SIDE * right) {
        lcpu_ahead_fetch(&to_come, SIDE * LINE);
        TILE_LOAD(RIGHT, x, right);
        TILE_LOAD(LEFT_0, w, stride);
        TILE_MAC("tdpbf16ps", SUM_0, LEFT_0, RIGHT);
        if (L > 1) {
            lcpu_ahead_fetch(&to_come, SIDE * LINE);
            TILE_LOAD(LEFT_1, w + SIDE * stride, stride);
            TILE_MAC("tdpbf16ps", SUM_1, LEFT_1, RIGHT);
        }
    }
}

/* The same with copies of weights that end before their registers do; the rest are zeros. */
INLINE void multiply_copies(const block *b, const uint8_t *w, uint32_t rows, uint32_t columns,
                            const uint8_t *x, int L)
{
    _Alignas(64) uint8_t copy[2 * TILE];
    for (uint32_t c = 0; c < columns; c += STEP, x += (size_t)SIDE * b->width * 4) {
        memset(copy, 0, sizeof copy);
        for (uint32_t i = 0; i < (uint32_t)L * SIDE && i < rows; i++)
            _mm512_store_si512(
                copy + i * LINE,
                _mm512_maskz_loadu_epi16(there_of(columns - c), w + i * b->stride + (size_t)c * 2));
        multiply_steps(b, copy, LINE, x, 1, L);
    }
}

INLINE void multiply_rows(const block *b, uint32_t row, uint32_t first, uint32_t steps, int L)
{
    uint8_t *sums = b->sums + (size_t)row / SIDE * TILE;
    size_t right = b->width * 4;
    if (first == 0) {
        TILE_ZERO(SUM_0);
        TILE_ZERO(SUM_1);
    } else {
        TILE_LOAD(SUM_0, sums, right);
        if (L > 1)
            TILE_LOAD(SUM_1, sums + TILE, right);
    }
    uint32_t column = first * STEP, left = b->k - column, rows = b->n_w - row;
    uint32_t columns = left < steps * STEP ? left : steps * STEP;
    uint32_t whole = rows < (uint32_t)L * SIDE ? 0 : columns / STEP;
    const uint8_t *w = b->w + row * b->stride + (size_t)column * 2;
    multiply_steps(b, w, b->stride, b->right, whole, L);
    multiply_copies(b, w + (size_t)whole * LINE, rows, columns - whole * STEP,
                    b->right + whole * SIDE * right, L);
    TILE_STORE(SUM_0, sums, right);
    if (L > 1)
        TILE_STORE(SUM_1, sums + TILE, right);
}

static void hand_out(const block *b, float *const *out, size_t at)
{
    for (uint32_t row = 0; row < b->n_w; row += SIDE) {
        __mmask16 there = (__mmask16)there_of(b->n_w - row);
        const uint8_t *sums = b->sums + row / SIDE * TILE;
        if (b->width == 1) {
            _mm512_mask_storeu_ps(out[0] + at + row, there, _mm512_load_ps(sums));
            continue;
        }
        lanes words[SIDE];
        for (uint32_t i = 0; i < SIDE; i++)
            words[i] = _mm512_load_ps(sums + i * LINE);
        lanes_transpose(words);
        for (uint32_t i = 0; i < b->n_x; i++)
            _mm512_mask_storeu_ps(out[i] + at + row, there, words[i]);
    }
}

static void multiply_block(block *b, float *const *out, size_t at)
{
    _Alignas(64) uint8_t turned[CHUNK * TILE], sums[ROWS / SIDE * TILE];
    uint32_t steps = steps_of(b->k), most = b->width == 1 ? steps : CHUNK;
    b->sums = sums;
    b->right = b->width == 1 ? b->x[0] : turned;
    for (uint32_t s = 0; s < steps; s += most) {
        uint32_t here = steps - s < most ? steps - s : most;
        if (b->width != 1)
            turn_rows(b, s, here, turned);
        for (uint32_t row = 0; row < b->n_w; row += 2 * SIDE)
            if (b->n_w - row > SIDE)
                multiply_rows(b, row, s, here, 2);
            else
                multiply_rows(b, row, s, here, 1);
    }
    hand_out(b, out, at);
}

void lcpu_amx_bf16_few(const uint8_t *from, size_t stride, uint32_t n_w, const void *const *x,
                       uint32_t n_x, uint32_t k, float *const *out, size_t at, const uint8_t *next)
{
    uint32_t width = n_x == 1 ? 1 : SIDE;
    configure(width);
    for (uint32_t row = 0; row < n_w; row += ROWS) {
        block b = {.w = from + row * stride,
                   .stride = stride,
                   .n_w = n_w - row < ROWS ? n_w - row : ROWS,
                   .n_x = n_x,
                   .k = k,
                   .x = x,
                   .next = n_w - row > ROWS ? from + (row + ROWS) * stride : next,
                   .width = width};
        multiply_block(&b, out, at + row);
    }
    tiles_end();
}
