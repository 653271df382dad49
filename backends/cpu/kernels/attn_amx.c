/* attn_amx.c - attention over a tile of 64 slots with matrix registers. A number is two of bfloat16,
 * its leading bits and what is left, so a product is three. Operands are words of two numbers
 * sixteen columns or slots apart, as they come out of vectors without shuffles; queries and weights
 * are left operands, keys (turned) and values right ones. An output takes its products in the same
 * order whatever stands beside it. */
#include "backends/cpu/kernels/amx_turned.h"

#include "backends/cpu/kernels/attn_weights.h"

#define STEP    32u        /* columns or slots of an operand */
#define PAIR    (2 * TILE) /* bytes: an operand's leading parts, then what is left */
#define HALVES  (SLOTS / STEP)
#define PLACES  (SLOTS / LANES)
#define GROUPS  (LCPU_ATTN_MATRIX / SIDE)
#define TOP     0xffff0000u
#define ROUNDER 0x8000u

/* --- two parts -------------------------------------------------------------------------------- */

typedef struct parts {
    __m512i lead, rest;
} parts;

/* Words of a number of x (low) and one of y, whose leading parts are given. */
INLINE parts parts_of(lanes x, lanes y, __m512i lead_x, __m512i lead_y)
{
    __m512i top = _mm512_set1_epi32((int)TOP);
    __m512i rest_x = _mm512_castps_si512(lanes_sub(x, _mm512_castsi512_ps(lead_x)));
    __m512i rest_y = _mm512_castps_si512(lanes_sub(y, _mm512_castsi512_ps(lead_y)));
    return (parts){_mm512_or_si512(_mm512_srli_epi32(lead_x, 16), lead_y),
                   /* low | (high & top) */
                   _mm512_ternarylogic_epi32(_mm512_srli_epi32(rest_x, 16), rest_y, top, 0xf8)};
}

/* Exact for numbers of at most sixteen bits. */
INLINE parts cut(lanes x, lanes y)
{
    __m512i top = _mm512_set1_epi32((int)TOP);
    return parts_of(x, y, _mm512_and_si512(_mm512_castps_si512(x), top),
                    _mm512_and_si512(_mm512_castps_si512(y), top));
}

INLINE __m512i nearest(lanes x)
{
    __m512i bits = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(ROUNDER));
    return _mm512_and_si512(bits, _mm512_set1_epi32((int)TOP));
}

/* The leading part is the nearest one, so that little is left. NaN stays in what is left, even where
 * the leading part loses it. */
INLINE parts rounded(lanes x, lanes y)
{
    return parts_of(x, y, nearest(x), nearest(y));
}

INLINE void store_parts(uint8_t *to, uint32_t row, parts p)
{
    _mm512_store_si512(to + row * 64, p.lead);
    _mm512_store_si512(to + TILE + row * 64, p.rest);
}

/* --- operands --------------------------------------------------------------------------------- */

static void query(const float *x, uint32_t dim, float scale, uint32_t q, uint8_t *to)
{
    lanes factor = lanes_set(scale);
    to += (size_t)(q / SIDE) * (dim / STEP) * PAIR;
    for (uint32_t d = 0; d < dim; d += STEP, to += PAIR)
        store_parts(to, q % SIDE,
                    rounded(lanes_mul(lanes_load(x + d), factor),
                            lanes_mul(lanes_load(x + d + LANES), factor)));
}

static void keys(const float *rows, uint32_t dim, uint32_t place, uint8_t *to)
{
    to += (size_t)place * (dim / STEP) * PAIR;
    for (uint32_t d = 0; d < dim; d += STEP, to += PAIR) {
        lanes lead[SIDE], rest[SIDE];
        for (uint32_t j = 0; j < SIDE; j++) {
            const float *at = rows + (size_t)j * dim + d;
            parts p = cut(lanes_load(at), lanes_load(at + LANES));
            lead[j] = _mm512_castsi512_ps(p.lead);
            rest[j] = _mm512_castsi512_ps(p.rest);
        }
        store_turned(to, lead);
        store_turned(to + TILE, rest);
    }
}

static void values(const float *rows, uint32_t dim, uint32_t half, uint8_t *to)
{
    to += (size_t)half * (dim / SIDE) * PAIR;
    for (uint32_t r = 0; r < SIDE; r++, rows += dim)
        for (uint32_t c = 0; c < dim; c += LANES)
            store_parts(to + c / SIDE * PAIR, r,
                        cut(lanes_load(rows + c), lanes_load(rows + SIDE * dim + c)));
}

/* --- products --------------------------------------------------------------------------------- */

/* Registers: sums of two by two or one by four, left operands, right operands. */
#define SUM_0   0
#define SUM_1   1
#define SUM_2   2
#define SUM_3   3
#define LEFT_0  4
#define LEFT_1  5
#define RIGHT_0 6
#define RIGHT_1 7

#define MAC(sum, left, right) TILE_MAC("tdpbf16ps", sum, left, right)

static void shape(uint32_t rows)
{
    tile_config c = {.palette = 1};
    if (rows == 0) {
        tiles_end();
        return;
    }
    for (int i = 0; i < 8; i++) {
        c.rows[i] = (uint8_t)(i > LEFT_1 ? SIDE : rows);
        c.bytes[i] = 64;
    }
    tiles_begin(&c);
}

/* Where operands of a product lie: those of the next step, and of the next group of sixteen rows or
 * columns. Sums lie in rows of `stride` floats. */
typedef struct product {
    const uint8_t *left, *right;
    size_t left_step, left_group, right_step, right_group;
    uint32_t steps;
    float *sums;
    size_t stride;
} product;

#define EACH_SUM(what)                                                                             \
    do {                                                                                           \
        what(SUM_0, 0, 0);                                                                         \
        what(SUM_1, 0, 1);                                                                         \
        what(SUM_2, 1, 0);                                                                         \
        what(SUM_3, 1, 1);                                                                         \
    } while (0)
#define EACH_LONE_SUM(what, R)                                                                     \
    do {                                                                                           \
        what(SUM_0, 0, 0);                                                                         \
        what(SUM_1, 0, 1);                                                                         \
        if ((R) > 2) {                                                                             \
            what(SUM_2, 0, 2);                                                                     \
            what(SUM_3, 0, 3);                                                                     \
        }                                                                                          \
    } while (0)
#define SUM_AT(l, r)         (p->sums + (l)*SIDE * p->stride + (r)*SIDE)
#define LOAD_SUM(sum, l, r)  TILE_LOAD(sum, SUM_AT(l, r), p->stride * 4)
#define STORE_SUM(sum, l, r) TILE_STORE(sum, SUM_AT(l, r), p->stride * 4)
#define ZERO_SUM(sum, l, r)  TILE_ZERO(sum)
#define LONE_PRODUCTS(sum, l, r)                                                                   \
    do {                                                                                           \
        TILE_LOAD(RIGHT_0, right + (r)*p->right_group, 64);                                        \
        MAC(sum, LEFT_0, RIGHT_0);                                                                 \
        MAC(sum, LEFT_1, RIGHT_0);                                                                 \
        TILE_LOAD(RIGHT_1, right + (r)*p->right_group + TILE, 64);                                 \
        MAC(sum, LEFT_1, RIGHT_1);                                                                 \
    } while (0)

/* One group against R of sixteen columns. What is left by what leads, then leading parts, then what
 * leads by what is left. */
INLINE void multiply_lone(const product *p, bool onto, int R)
{
    const uint8_t *left = p->left, *right = p->right;
    if (onto)
        EACH_LONE_SUM(LOAD_SUM, R);
    else
        EACH_LONE_SUM(ZERO_SUM, R);
    for (uint32_t s = 0; s < p->steps; s++, left += p->left_step, right += p->right_step) {
        TILE_LOAD(LEFT_0, left + TILE, 64);
        TILE_LOAD(LEFT_1, left, 64);
        EACH_LONE_SUM(LONE_PRODUCTS, R);
    }
    EACH_LONE_SUM(STORE_SUM, R);
}

/* Two groups against two, in the same order. */
INLINE void multiply_two(const product *p, bool onto)
{
    const uint8_t *left = p->left, *right = p->right;
    if (onto)
        EACH_SUM(LOAD_SUM);
    else
        EACH_SUM(ZERO_SUM);
    for (uint32_t s = 0; s < p->steps; s++, left += p->left_step, right += p->right_step) {
        const uint8_t *left_1 = left + p->left_group, *right_1 = right + p->right_group;
        TILE_LOAD(LEFT_0, left + TILE, 64);
        TILE_LOAD(RIGHT_0, right, 64);
        MAC(SUM_0, LEFT_0, RIGHT_0);
        TILE_LOAD(RIGHT_1, right_1, 64);
        MAC(SUM_1, LEFT_0, RIGHT_1);
        TILE_LOAD(LEFT_1, left_1 + TILE, 64);
        MAC(SUM_2, LEFT_1, RIGHT_0);
        MAC(SUM_3, LEFT_1, RIGHT_1);
        TILE_LOAD(LEFT_0, left, 64);
        MAC(SUM_0, LEFT_0, RIGHT_0);
        MAC(SUM_1, LEFT_0, RIGHT_1);
        TILE_LOAD(LEFT_1, left_1, 64);
        MAC(SUM_2, LEFT_1, RIGHT_0);
        MAC(SUM_3, LEFT_1, RIGHT_1);
        TILE_LOAD(RIGHT_0, right + TILE, 64);
        MAC(SUM_0, LEFT_0, RIGHT_0);
        MAC(SUM_2, LEFT_1, RIGHT_0);
        TILE_LOAD(RIGHT_1, right_1 + TILE, 64);
        MAC(SUM_1, LEFT_0, RIGHT_1);
        MAC(SUM_3, LEFT_1, RIGHT_1);
    }
    EACH_SUM(STORE_SUM);
}

/* n queries against `groups` of sixteen columns, an even number; `onto` the sums that are there. */
INLINE void multiply(product p, uint32_t n, uint32_t groups, bool onto)
{
    uint32_t group = 0;
    for (; n > SIDE && group < groups; group += 2) {
        multiply_two(&p, onto);
        p.right += 2 * p.right_group;
        p.sums += 2 * SIDE;
    }
    for (; group + 4 <= groups; group += 4) {
        multiply_lone(&p, onto, 4);
        p.right += 4 * p.right_group;
        p.sums += 4 * SIDE;
    }
    if (group < groups)
        multiply_lone(&p, onto, 2);
}

/* --- a tile ----------------------------------------------------------------------------------- */

static void scores(const lcpu_attn_tile *t)
{
    size_t all = (size_t)(t->k_dim / STEP) * PAIR;
    product p = {.left = t->q_parts,
                 .right = t->k_parts,
                 .left_step = PAIR,
                 .left_group = all,
                 .right_step = PAIR,
                 .right_group = all,
                 .steps = t->k_dim / STEP,
                 .sums = t->scores,
                 .stride = SLOTS};
    multiply(p, t->n, PLACES, false);
}

/* Weights of all queries as left operands: [GROUPS][HALVES] pairs. Outputs get smaller where the
 * maximum moved. */
static void make_weights(const lcpu_attn_tile *t, uint8_t *to)
{
    float shift[LCPU_ATTN_MATRIX], correction[LCPU_ATTN_MATRIX] = {0};
    for (uint32_t q = 0; q < t->n; q++)
        if (t->visible[q] != 0)
            shift[q] = shift_of(t, q, &correction[q]);
    for (uint32_t q = 0; q < t->n; q += LANES)
        lanes_store(correction + q, exp_of(lanes_load(correction + q)));
    for (uint32_t q = 0; q < t->n; q++) {
        lanes weight[PLACES] = {lanes_zero(), lanes_zero(), lanes_zero(), lanes_zero()};
        if (t->visible[q] != 0)
            weigh(t, q, shift[q], correction[q], weight);
        for (uint32_t half = 0; half < HALVES; half++)
            store_parts(to + (q / SIDE * HALVES + half) * PAIR, q % SIDE,
                        rounded(weight[2 * half], weight[2 * half + 1]));
        float *o = t->o + (size_t)q * t->v_stride;
        for (uint32_t i = 0; correction[q] != 1 && i < t->v_stride; i += LANES)
            lanes_store(o + i, lanes_mul(lanes_load(o + i), lanes_set(correction[q])));
    }
    for (uint32_t q = t->n; q % SIDE != 0; q++)
        for (uint32_t half = 0; half < HALVES; half++)
            store_parts(to + (q / SIDE * HALVES + half) * PAIR, q % SIDE,
                        rounded(lanes_zero(), lanes_zero()));
}

static void mix(const lcpu_attn_tile *t)
{
    _Alignas(64) uint8_t weights[GROUPS * HALVES * PAIR];
    make_weights(t, weights);
    product p = {.left = weights,
                 .right = t->v_parts,
                 .left_step = PAIR,
                 .left_group = HALVES * PAIR,
                 .right_step = (size_t)(t->v_stride / SIDE) * PAIR,
                 .right_group = PAIR,
                 .steps = HALVES,
                 .sums = t->o,
                 .stride = t->v_stride};
    multiply(p, t->n, t->v_stride / SIDE, true);
}

void lcpu_fill_amx_attn(lcpu_kernels *k)
{
    k->attn_matrix = (lcpu_attn_matrix){query, keys, values, shape, scores, mix};
}
