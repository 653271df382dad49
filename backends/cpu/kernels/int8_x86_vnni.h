/* int8_x86_vnni - the arithmetic of sets with vpdpbusd, given as v_dot(), and vpdpwssd,
 * v_dot16(). It multiplies unsigned by
 * signed bytes, so weights are w + 128 and sums start at -128 times the sum of the activations.
 *
 * They start LIFT_BITS higher: as floats they are then 1.5 * 2^23 + s, and one multiply-add takes
 * the place of a conversion and a product, with the same bits: (1.5 * 2^23 + s) * d - 1.5 * 2^23 * d,
 * whose last term is exact because no d has more than 21 significant bits. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_X86_VNNI_H
#define LM_BACKENDS_CPU_KERNELS_INT8_X86_VNNI_H

#include "backends/cpu/kernels/int8_x86.h"

#define RAISED        true
#define SCALE_VECTORS 2u /* d, and -LIFT * d */

#define LIFT      12582912.0f /* 1.5 * 2^23 */
#define LIFT_BITS 0x4b400000

INLINE int32_t of_sum(int32_t sum)
{
    return LIFT_BITS - 128 * sum;
}

INLINE vecf second_scale(vecf scale)
{
    return f_mul(scale, f_set(-LIFT));
}

INLINE vecf scaled(vec sum, vecf scale, vecf unlift)
{
    return f_mac(f_bits(sum), scale, unlift);
}

/* See int8_x86_panels.h. */
INLINE void sum_columns(const reader *f, const uint8_t *line, size_t stride,
                        const act_block *const *x, uint32_t b, uint32_t at, uint32_t count,
                        uint32_t P, uint32_t X, vec sum[MOST_P][MOST_X])
{
    (void)f;
    EACH (r, X) {
        const act_block *a = &x[r][b];
        EACH (p, P)
            sum[p][r] = v_set32((uint32_t)(count == 8 ? a->whole : a->half[at / 4]));
    }
    EACH (i, count) {
        vec w[MOST_P];
        EACH (p, P)
            w[p] = v_load(line + p * stride + (at + i) * LINE);
        EACH (r, X) {
            vec q = four_of(&x[r][b], at + i);
            EACH (p, P)
                sum[p][r] = v_dot(sum[p][r], w[p], q);
        }
    }
}

/* See int8_x86_tiles.h. */
INLINE vec half_sum(const vec z[4], const act_block *x, uint32_t at)
{
    vec sum = v_set32(0);
    EACH (i, 4)
        sum = v_dot(sum, z[i], four_of(x, at + i));
    return sum;
}

INLINE vec factored_sum(vec halves, vec factors)
{
    return v_dot16(v_set32(LIFT_BITS), halves, factors);
}

#endif
