/* amx_bf16.c - products of BF16 weights in matrix registers. Sixteen rows of weights are one
 * operand, where they lie in the file; sixteen rows of activations, rounded to bfloat16 and turned,
 * the other. An output takes its products in the order of the columns, 32 at a time, whatever
 * stands beside it, so one row of activations gives the bits that many give. */
#include "backends/cpu/kernels/ahead.h"
#include "backends/cpu/kernels/amx.h"

#include <immintrin.h>
#include <string.h>

#define STEP       32u            /* columns of weights in a register */
#define CHUNK      512u           /* columns that are turned together */
#define LONE_CHUNK (CHUNK * SIDE) /* of a lone row of activations */
#define ROWS       128u           /* of weights whose sums are kept meanwhile */

/* Registers: the sums of two by two, two of weights, two of activations. */
#define SUM_00  0
#define SUM_01  1
#define SUM_10  2
#define SUM_11  3
#define LEFT_0  4
#define LEFT_1  5
#define RIGHT_0 6
#define RIGHT_1 7

/* One block of activations against one of weights. */
typedef struct block {
    const uint8_t *w;
    size_t stride;
    uint32_t n_w, n_x, k;
    const float *const *x;
    const uint8_t *next; /* what will be read after these, or NULL */
    uint32_t width;      /* of the right registers in values: 1 or 16 */
    uint8_t *turned;     /* [2][CHUNK / STEP] registers */
    uint8_t *sums;       /* [ROWS / 32][2][2] registers */
} block;

/* --- configuration ---------------------------------------------------------------------------- */

static void configure(uint32_t width)
{
    tile_config c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.rows[i] = SIDE;
        c.bytes[i] = i == LEFT_0 || i == LEFT_1 ? 64 : (uint16_t)(width * 4);
    }
    tiles_begin(&c);
}

/* --- activations ------------------------------------------------------------------------------ */

/* 32 values, rounded; what is missing is zero. */
static inline __m512i rounded(const float *x, uint32_t count)
{
    uint64_t there = count >= STEP ? 0xffffffffu : (UINT64_C(1) << count) - 1;
    __m512 low = _mm512_maskz_loadu_ps((__mmask16)there, x);
    __m512 high = _mm512_maskz_loadu_ps((__mmask16)(there >> 16), x + 16);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Sixteen by sixteen words of 32 bits. */
static inline void turn(__m512i x[16])
{
    __m512i y[16];
    for (int i = 0; i < 16; i += 4) {
        __m512i ab = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        __m512i cd = _mm512_unpacklo_epi32(x[i + 2], x[i + 3]);
        __m512i ef = _mm512_unpackhi_epi32(x[i], x[i + 1]);
        __m512i gh = _mm512_unpackhi_epi32(x[i + 2], x[i + 3]);
        y[i] = _mm512_unpacklo_epi64(ab, cd);
        y[i + 1] = _mm512_unpackhi_epi64(ab, cd);
        y[i + 2] = _mm512_unpacklo_epi64(ef, gh);
        y[i + 3] = _mm512_unpackhi_epi64(ef, gh);
    }
    for (int i = 0; i < 4; i++) {
        __m512i ab = _mm512_shuffle_i32x4(y[i], y[i + 4], 0x88);
        __m512i cd = _mm512_shuffle_i32x4(y[i + 8], y[i + 12], 0x88);
        __m512i ef = _mm512_shuffle_i32x4(y[i], y[i + 4], 0xdd);
        __m512i gh = _mm512_shuffle_i32x4(y[i + 8], y[i + 12], 0xdd);
        x[i] = _mm512_shuffle_i32x4(ab, cd, 0x88);
        x[i + 4] = _mm512_shuffle_i32x4(ef, gh, 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(ab, cd, 0xdd);
        x[i + 12] = _mm512_shuffle_i32x4(ef, gh, 0xdd);
    }
}

/* Pairs of columns from `first` on become rows; a lone row of activations is one already. */
static void turn_block(const block *b, uint32_t first, uint32_t steps)
{
    for (uint32_t s = 0; s < steps; s++) {
        uint32_t column = first + s * STEP;
        if (b->width == 1) {
            _mm512_store_si512(b->turned + s * 64, rounded(b->x[0] + column, b->k - column));
            continue;
        }
        for (uint32_t half = 0; half * SIDE < b->n_x; half++) {
            __m512i words[16];
            for (uint32_t i = 0; i < SIDE; i++) {
                uint32_t row = half * SIDE + i;
                words[i] = row < b->n_x ? rounded(b->x[row] + column, b->k - column)
                                        : _mm512_setzero_si512();
            }
            turn(words);
            uint8_t *to = b->turned + (half * (CHUNK / STEP) + s) * TILE;
            for (uint32_t i = 0; i < SIDE; i++)
                _mm512_store_si512(to + i * 64, words[i]);
        }
    }
}

/* --- products --------------------------------------------------------------------------------- */

#define INLINE static inline __attribute__((always_inline))

/* L by R registers over some steps that are whole, in rows and in columns. */
INLINE void multiply_steps(const block *b, const uint8_t *w, size_t stride, uint32_t first_step,
                           uint32_t steps, int L, int R)
{
    /* Few activations wait for memory. */
    size_t rows = (size_t)L * SIDE;
    const uint8_t *next = w + rows * stride;
    if (next >= b->w + b->n_w * b->stride)
        next = b->next;
    lcpu_ahead to_come = lcpu_ahead_of(R == 1 ? next : NULL, rows * steps * 64);
    size_t right = b->width == 1 ? 4 : 64, step = b->width == 1 ? 64 : TILE;
    const uint8_t *x = b->turned + first_step * step, *y = x + CHUNK / STEP * TILE;
    for (uint32_t s = 0; s < steps; s++) {
        lcpu_ahead_fetch(&to_come, rows * 64);
        TILE_LOAD(RIGHT_0, x + s * step, right);
        if (R > 1)
            TILE_LOAD(RIGHT_1, y + s * step, right);
        TILE_LOAD(LEFT_0, w + s * 64, stride);
        TILE_MAC("tdpbf16ps", SUM_00, LEFT_0, RIGHT_0);
        if (R > 1)
            TILE_MAC("tdpbf16ps", SUM_01, LEFT_0, RIGHT_1);
        if (L > 1) {
            TILE_LOAD(LEFT_1, w + SIDE * stride + s * 64, stride);
            TILE_MAC("tdpbf16ps", SUM_10, LEFT_1, RIGHT_0);
            if (R > 1)
                TILE_MAC("tdpbf16ps", SUM_11, LEFT_1, RIGHT_1);
        }
    }
}

/* The same with copies of weights that end before their registers do; the rest are zeros. */
INLINE void multiply_copies(const block *b, uint32_t row, uint32_t column, uint32_t first_step,
                            uint32_t steps, int L, int R)
{
    _Alignas(64) uint8_t copy[2 * TILE];
    for (uint32_t s = 0; s < steps; s++, column += STEP) {
        uint32_t count = b->k - column < STEP ? b->k - column : STEP;
        memset(copy, 0, sizeof copy);
        for (uint32_t i = 0; i < (uint32_t)L * SIDE && row + i < b->n_w; i++)
            memcpy(copy + i * 64, b->w + (row + i) * b->stride + (size_t)column * 2, count * 2);
        multiply_steps(b, copy, 64, first_step + s, 1, L, R);
    }
}

INLINE void multiply_rows(const block *b, uint32_t row, uint32_t column, uint32_t steps, int L,
                          int R)
{
    uint8_t *sums = b->sums + (size_t)row / 32 * 4 * TILE;
    size_t right = b->width * 4;
    if (column == 0) {
        TILE_ZERO(SUM_00);
        TILE_ZERO(SUM_01);
        TILE_ZERO(SUM_10);
        TILE_ZERO(SUM_11);
    } else {
        TILE_LOAD(SUM_00, sums, right);
        TILE_LOAD(SUM_01, sums + TILE, right);
        TILE_LOAD(SUM_10, sums + 2 * TILE, right);
        TILE_LOAD(SUM_11, sums + 3 * TILE, right);
    }
    uint32_t whole = row + (uint32_t)L * SIDE > b->n_w ? 0 : (b->k - column) / STEP;
    whole = whole < steps ? whole : steps;
    multiply_steps(b, b->w + row * b->stride + (size_t)column * 2, b->stride, 0, whole, L, R);
    multiply_copies(b, row, column + whole * STEP, whole, steps - whole, L, R);
    TILE_STORE(SUM_00, sums, right);
    TILE_STORE(SUM_01, sums + TILE, right);
    TILE_STORE(SUM_10, sums + 2 * TILE, right);
    TILE_STORE(SUM_11, sums + 3 * TILE, right);
}

static void multiply_chunk(const block *b, uint32_t column, uint32_t steps)
{
    for (uint32_t row = 0; row < b->n_w; row += 2 * SIDE) {
        bool two = b->n_w - row > SIDE;
        if (two && b->n_x > SIDE)
            multiply_rows(b, row, column, steps, 2, 2);
        else if (two)
            multiply_rows(b, row, column, steps, 2, 1);
        else if (b->n_x > SIDE)
            multiply_rows(b, row, column, steps, 1, 2);
        else
            multiply_rows(b, row, column, steps, 1, 1);
    }
}

/* --- results ---------------------------------------------------------------------------------- */

static void hand_out(const block *b, float *const *out, size_t at)
{
    for (uint32_t row = 0; row < b->n_w; row += SIDE) {
        uint32_t left = b->n_w - row;
        __mmask16 there = left >= SIDE ? 0xffff : (__mmask16)((1u << left) - 1);
        for (uint32_t half = 0; half * SIDE < b->n_x; half++) {
            const uint8_t *sums = b->sums + (row / SIDE * 2 + half) * TILE;
            if (b->width == 1) {
                _mm512_mask_storeu_ps(out[0] + at + row, there, _mm512_load_ps(sums));
                continue;
            }
            __m512i words[16];
            for (uint32_t i = 0; i < SIDE; i++)
                words[i] = _mm512_load_si512(sums + i * 64);
            turn(words);
            for (uint32_t i = 0; i < SIDE && half * SIDE + i < b->n_x; i++)
                _mm512_mask_storeu_epi32(out[half * SIDE + i] + at + row, there, words[i]);
        }
    }
}

static void bf16_matmul(const uint8_t *w, size_t stride, uint32_t n_w, const float *const *x,
                        uint32_t n_x, uint32_t k, float *const *out, size_t at, const uint8_t *next)
{
    _Alignas(64) uint8_t turned[2 * CHUNK / STEP * TILE], sums[ROWS / SIDE * 2 * TILE];
    uint32_t width = n_x == 1 ? 1 : SIDE;
    configure(width);
    for (uint32_t row = 0; row < n_w; row += ROWS)
        for (uint32_t i = 0; i < n_x; i += 2 * SIDE) {
            block b = {.w = w + row * stride,
                       .stride = stride,
                       .n_w = n_w - row < ROWS ? n_w - row : ROWS,
                       .n_x = n_x - i < 2 * SIDE ? n_x - i : 2 * SIDE,
                       .k = k,
                       .x = x + i,
                       .next = n_w - row > ROWS ? w + (row + ROWS) * stride : next,
                       .width = width,
                       .turned = turned,
                       .sums = sums};
            uint32_t chunk = width == 1 ? LONE_CHUNK : CHUNK;
            for (uint32_t column = 0; column < k; column += chunk) {
                uint32_t left = k - column < chunk ? k - column : chunk;
                uint32_t steps = (left + STEP - 1) / STEP;
                turn_block(&b, column, steps);
                multiply_chunk(&b, column, steps);
            }
            hand_out(&b, out + i, at + row);
        }
    tiles_end();
}

void lcpu_fill_amx(lcpu_kernels *k)
{
    k->bf16_matmul = bf16_matmul;
    k->bf16_most = UINT32_MAX;
    k->bf16_rows = ROWS;
}
