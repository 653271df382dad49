/* int8_neon_i8mm.c - the int8 family with NEON's products of two by two rows of eight bytes. Panels
 * are [column / 8][row][8]. Activations and single rows are those of int8_neon_dotprod.c. */
#include <arm_neon.h>

#include "backends/cpu/kernels/int8_neon.h"

static inline int64x2_t pair(int8x16_t x)
{
    return vreinterpretq_s64_s8(x);
}

/* The first or the second eight bytes of two rows. */
static inline int8x16_t eights(int8x16_t x, int8x16_t y, int second)
{
    return vreinterpretq_s8_s64(second != 0 ? vzip2q_s64(pair(x), pair(y))
                                            : vzip1q_s64(pair(x), pair(y)));
}

static inline void store_bytes(int8x16_t q[ROWS][2], int8_t *to)
{
    for (uint32_t h = 0; h < 2; h++)
        EACH (r, ROWS / 2)
            for (int i = 0; i < 2; i++)
                vst1q_s8(to + ((2 * h + (uint32_t)i) * ROWS + 2 * r) * 8,
                         eights(q[2 * r][h], q[2 * r + 1][h], i));
}

/* --- products --------------------------------------------------------------------------------- */

/* Sums of a pair of activation rows: with rows 2p and 2p + 1 of weights, activation row first. */
INLINE void add_half(const int8_t *w, const int8x16_t (*x)[2], uint32_t P, int32x4_t sum[2][4])
{
    EACH (i, 2) {
        EACH (p, 4) {
            int8x16_t rows = vld1q_s8(w + (i * ROWS + 2 * p) * 8);
            EACH (r, P)
                sum[r][p] = vmmlaq_s32(sum[r][p], x[r][i], rows);
        }
    }
}

/* The sums of four rows of weights with one of the two rows of activations. */
INLINE int32x4_t of_row(int32x4_t low, int32x4_t high, uint32_t row)
{
    int64x2_t x = vreinterpretq_s64_s32(low), y = vreinterpretq_s64_s32(high);
    return vreinterpretq_s32_s64(row != 0 ? vzip2q_s64(x, y) : vzip1q_s64(x, y));
}

/* `x` are P pairs; a lone row is a pair with itself. */
INLINE void add_block(const panel_block *w, const act_block *const *x, uint32_t b, uint32_t P,
                      int kind, float32x4_t acc[4][2])
{
    int32x4_t sum[2][4];
    for (uint32_t h = 0; h < 2; h++) {
        int8x16_t q[2][2];
        EACH (r, P) {
            int8x16_t one = vld1q_s8(x[2 * r][b].q + 16 * h),
                      two = vld1q_s8(x[2 * r + 1][b].q + 16 * h);
            q[r][0] = eights(one, two, 0);
            q[r][1] = eights(one, two, 1);
            if (h == 0 || kind == LCPU_HALVES)
                EACH (p, 4)
                    sum[r][p] = vdupq_n_s32(0);
        }
        add_half(w->q + h * (ROWS * BLOCK / 2), (const int8x16_t(*)[2])q, P, sum);
        if (h == 0 && kind != LCPU_HALVES)
            continue;
        EACH (r, 2 * P)
            EACH (p, 2)
                acc[r][p] =
                    add_products(acc[r][p], of_row(sum[r / 2][2 * p], sum[r / 2][2 * p + 1], r % 2),
                                 w->scale[kind == LCPU_HALVES ? h : 0] + 4 * p, x[r][b].scale);
    }
    EACH (r, 2 * P)
        EACH (p, 2)
            acc[r][p] = add_minima(acc[r][p], w, &x[r][b], p, kind);
}

INLINE void tile(const tile_of *t, uint32_t X, int kind)
{
    const act_block *twice[2] = {t->x[0], t->x[0]};
    const act_block *const *x = X == 1 ? twice : t->x;
    uint32_t P = X == 4 ? 2 : 1;
    float32x4_t acc[4][2];
    EACH (r, 2 * P)
        acc[r][0] = acc[r][1] = vdupq_n_f32(0);
    for (uint32_t b = 0; b < t->blocks; b++)
        add_block(t->panel + b, x, b, P, kind, acc);
    EACH (r, X)
        store_rows(t, r, acc[r][0], acc[r][1]);
}

MATMULS

#define FORMAT(name, format, values, type, kind) {unpack_##name, matmul_of[kind]},

/* Over those of the dot products, which have the same formats in the same order. */
void lcpu_fill_neon_i8mm(lcpu_kernels *k)
{
    const struct {
        void (*unpack)(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t cols,
                       void *panels);
        lcpu_panels_fn matmul;
    } formats[] = {LCPU_INT8_FORMATS(FORMAT)};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        k->int8.formats[i].unpack = formats[i].unpack;
        k->int8.formats[i].matmul = formats[i].matmul;
    }
}
