/* int8_neon_read - how the storage formats are read with NEON: of each block of the file first its
 * heads (scales and minima as floats, and what else is needed for all of it), then group by group
 * 32 bytes. Formats with grids are in int8_neon_grids.h. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_NEON_READ_H
#define LM_BACKENDS_CPU_KERNELS_INT8_NEON_READ_H

#include "backends/cpu/kernels/int8_rows.h"

#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))
/* A loop that is written out, so that its arrays become registers. */
#define EACH(i, count) _Pragma("GCC unroll 8") for (uint32_t i = 0; i < (count); i++)

#define KEPT 256u /* bytes that a format may keep of a block */

/* Where the heads of one row's block go: number n to scale[n * step]. */
typedef struct heads {
    float *scale, *minimum;
    uint32_t step, groups; /* of 32 columns */
    int8_t *kept;          /* [KEPT] */
} heads;

typedef void (*head_fn)(const void *block, const heads *h);
typedef void (*bytes_fn)(const void *block, uint32_t group, const int8_t *kept, int8x16_t q[2]);

#define UNUSED        __attribute__((unused))
#define HEAD_OF(name) INLINE void head_##name(const void *block, const heads *h)
#define BYTES_OF(name)                                                                             \
    INLINE void bytes_##name(const void *block, uint32_t g UNUSED, const int8_t *kept UNUSED,      \
                             int8x16_t q[2])

INLINE float half_of(lm_half h)
{
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(lm_load_u16(h.bytes)))), 0);
}

INLINE void store4(float32x4_t x, float *to, uint32_t step)
{
    vst1q_lane_f32(to, x, 0);
    vst1q_lane_f32(to + step, x, 1);
    vst1q_lane_f32(to + 2 * step, x, 2);
    vst1q_lane_f32(to + 3 * step, x, 3);
}

/* Eight integers times `d`. */
INLINE void store8(int16x8_t x, float d, float *to, uint32_t step)
{
    store4(vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(x))), d), to, step);
    store4(vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(x))), d), to + 4 * step, step);
}

INLINE int16x8_t low8(uint8x16_t x)
{
    return vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(x)));
}

INLINE int16x8_t high8(uint8x16_t x)
{
    return vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(x)));
}

INLINE void same_for_all(float x, float *to, const heads *h)
{
    for (uint32_t g = 0; g < h->groups; g++)
        to[g * h->step] = x;
}

INLINE uint8x16_t bytes16(const uint8_t at[16])
{
    return vld1q_u8(at);
}

/* Each byte to the right by `bits`. */
INLINE uint8x16_t right(uint8x16_t x, uint32_t bits)
{
    return vshlq_u8(x, vdupq_n_s8((int8_t) - (int32_t)bits));
}

INLINE int8x16_t sign(uint8x16_t x)
{
    return vreinterpretq_s8_u8(x);
}

/* --- blocks of 32 ----------------------------------------------------------------------------- */

#define ONE_SCALE(name)                                                                            \
    HEAD_OF(name)                                                                                  \
    {                                                                                              \
        const lm_block_##name *w = block;                                                          \
        *h->scale = half_of(w->d);                                                                 \
    }
#define SCALE_AND_MINIMUM(name)                                                                    \
    HEAD_OF(name)                                                                                  \
    {                                                                                              \
        const lm_block_##name *w = block;                                                          \
        *h->scale = half_of(w->d);                                                                 \
        *h->minimum = -half_of(w->m);                                                              \
    }

ONE_SCALE(q8_0)
ONE_SCALE(q4_0)
ONE_SCALE(q5_0)
ONE_SCALE(iq4_nl)
SCALE_AND_MINIMUM(q4_1)
SCALE_AND_MINIMUM(q5_1)

/* Nibbles of sixteen bytes: the low ones, then the high ones. */
INLINE void nibbles(const uint8_t *from, uint8x16_t q[2])
{
    uint8x16_t x = vld1q_u8(from);
    q[0] = vandq_u8(x, vdupq_n_u8(15));
    q[1] = vshrq_n_u8(x, 4);
}

/* 16 where the byte's bit of a word is set. */
INLINE void fifth_bits(const uint8_t *word, uint8x16_t q[2])
{
    static const uint8_t first[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1},
                         bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t x = vreinterpretq_u8_u32(vdupq_n_u32(lm_load_u32(word))), at = bytes16(first);
    EACH (i, 2) {
        uint8x16_t byte = vqtbl1q_u8(x, vaddq_u8(at, vdupq_n_u8((uint8_t)(2 * i))));
        q[i] = vandq_u8(vtstq_u8(byte, bytes16(bits)), vdupq_n_u8(16));
    }
}

INLINE void levels(const uint8_t *from, const int8_t table[16], int8x16_t q[2])
{
    uint8x16_t x[2];
    nibbles(from, x);
    EACH (i, 2)
        q[i] = vqtbl1q_s8(vld1q_s8(table), x[i]);
}

INLINE void less(const uint8x16_t x[2], int value, int8x16_t q[2])
{
    EACH (i, 2)
        q[i] = vsubq_s8(sign(x[i]), vdupq_n_s8((int8_t)value));
}

BYTES_OF(q8_0)
{
    const lm_block_q8_0 *w = block;
    q[0] = vld1q_s8(w->q);
    q[1] = vld1q_s8(w->q + 16);
}

BYTES_OF(q4_0)
{
    const lm_block_q4_0 *w = block;
    uint8x16_t x[2];
    nibbles(w->q, x);
    less(x, 8, q);
}

BYTES_OF(q4_1)
{
    const lm_block_q4_1 *w = block;
    uint8x16_t x[2];
    nibbles(w->q, x);
    less(x, 0, q);
}

INLINE void five_bits(const uint8_t *from, const uint8_t *high, int value, int8x16_t q[2])
{
    uint8x16_t x[2], y[2];
    nibbles(from, x);
    fifth_bits(high, y);
    EACH (i, 2)
        x[i] = vorrq_u8(x[i], y[i]);
    less(x, value, q);
}

BYTES_OF(q5_0)
{
    const lm_block_q5_0 *w = block;
    five_bits(w->q, w->high, 16, q);
}

BYTES_OF(q5_1)
{
    const lm_block_q5_1 *w = block;
    five_bits(w->q, w->high, 0, q);
}

static const int8_t iq4_levels[16] = LM_IQ4_LEVELS;
static const int8_t fp4_levels[16] = LM_FP4_LEVELS;

BYTES_OF(iq4_nl)
{
    const lm_block_iq4_nl *w = block;
    levels(w->q, iq4_levels, q);
}

HEAD_OF(mxfp4)
{
    const lm_block_mxfp4 *w = block;
    *h->scale = lcpu_mxfp4_scale(w->scale);
}

BYTES_OF(mxfp4)
{
    const lm_block_mxfp4 *w = block;
    levels(w->q, fp4_levels, q);
}

HEAD_OF(nvfp4)
{
    const lm_block_nvfp4 *w = block;
    for (uint32_t i = 0; i < 4; i++)
        h->scale[i * h->step] = lm_nvfp4_step(w->scale[i]);
}

/* Eight bytes hold sixteen columns. */
BYTES_OF(nvfp4)
{
    const lm_block_nvfp4 *w = block;
    int8x16_t x[2];
    levels(w->q + 16 * g, fp4_levels, x);
    q[0] = vcombine_s8(vget_low_s8(x[0]), vget_low_s8(x[1]));
    q[1] = vcombine_s8(vget_high_s8(x[0]), vget_high_s8(x[1]));
}

/* --- blocks of 256 with four bits or more ----------------------------------------------------- */

/* The sixteen bytes in front of Q4_K and Q5_K, see lm_q4_k_scale: in the lower half of a register
 * the scales, in the upper one the offsets. */
INLINE void head_of_k(const void *block, const heads *h)
{
    static const uint8_t at[16] = {4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15},
                         top[16] = {255, 255, 255, 255, 4, 5, 6,  7,
                                    255, 255, 255, 255, 8, 9, 10, 11},
                         mask[16] = {63, 63, 63, 63, 15, 15, 15, 15,
                                     63, 63, 63, 63, 15, 15, 15, 15};
    static const int8_t shift[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -4, -4, -4, -4};
    uint8x16_t x = vld1q_u8(block);
    uint8x16_t low = vandq_u8(vshlq_u8(vqtbl1q_u8(x, bytes16(at)), vld1q_s8(shift)), bytes16(mask));
    uint8x16_t high = vshrq_n_u8(vqtbl1q_u8(x, bytes16(top)), 6);
    x = vorrq_u8(low, vshlq_n_u8(high, 4));
    const lm_block_q4_k *w = block;
    store8(low8(x), half_of(w->d), h->scale, h->step);
    store8(high8(x), half_of(w->m), h->minimum, h->step);
}

HEAD_OF(q4_k)
{
    const lm_block_q4_k *w = block;
    head_of_k(w, h);
}

HEAD_OF(q5_k)
{
    const lm_block_q5_k *w = block;
    head_of_k(w, h);
}

BYTES_OF(q4_k)
{
    const lm_block_q4_k *w = block;
    EACH (i, 2) {
        uint8x16_t x = vld1q_u8(w->q + g / 2 * 32 + 16 * i);
        q[i] = sign(vandq_u8(right(x, g % 2 * 4), vdupq_n_u8(15)));
    }
}

BYTES_OF(q5_k)
{
    const lm_block_q5_k *w = block;
    EACH (i, 2) {
        uint8x16_t x = vld1q_u8(w->q + g / 2 * 32 + 16 * i), high = vld1q_u8(w->high + 16 * i);
        high = vandq_u8(vtstq_u8(high, vdupq_n_u8((uint8_t)(1u << g))), vdupq_n_u8(16));
        q[i] = sign(vorrq_u8(vandq_u8(right(x, g % 2 * 4), vdupq_n_u8(15)), high));
    }
}

HEAD_OF(q6_k)
{
    const lm_block_q6_k *w = block;
    int8x16_t scale = vld1q_s8(w->scale);
    store8(vmovl_s8(vget_low_s8(scale)), half_of(w->d), h->scale, h->step);
    store8(vmovl_s8(vget_high_s8(scale)), half_of(w->d), h->scale + 8 * h->step, h->step);
}

BYTES_OF(q6_k)
{
    const lm_block_q6_k *w = block;
    uint8x16_t x[2];
    EACH (i, 2) {
        uint8x16_t low = vld1q_u8(w->low + g / 4 * 64 + g % 2 * 32 + 16 * i);
        uint8x16_t high = right(vld1q_u8(w->high + g / 4 * 32 + 16 * i), g % 4 * 2);
        high = vshlq_n_u8(vandq_u8(high, vdupq_n_u8(3)), 4);
        x[i] = vorrq_u8(vandq_u8(right(low, g % 4 / 2 * 4), vdupq_n_u8(15)), high);
    }
    less(x, 32, q);
}

HEAD_OF(iq4_xs)
{
    const lm_block_iq4_xs *w = block;
    static const int16_t low_shift[8] = {0, -4, -8, -12, 0, -4, -8, -12},
                         high_shift[8] = {4, 2, 0, -2, -4, -6, -8, -10};
    uint16x8_t low = vcombine_u16(vdup_n_u16(lm_load_u16(w->scale_low)),
                                  vdup_n_u16(lm_load_u16(w->scale_low + 2)));
    uint16x8_t high = vdupq_n_u16(lm_load_u16(w->scale_high));
    low = vandq_u16(vshlq_u16(low, vld1q_s16(low_shift)), vdupq_n_u16(15));
    /* Two bits of group g from bit 2 g to bit 4; at first their upper ones would leave the word. */
    high = vandq_u16(vshlq_u16(high, vld1q_s16(high_shift)), vdupq_n_u16(0x30));
    int16x8_t scale = vreinterpretq_s16_u16(vorrq_u16(low, high));
    store8(vsubq_s16(scale, vdupq_n_s16(32)), half_of(w->d), h->scale, h->step);
}

BYTES_OF(iq4_xs)
{
    const lm_block_iq4_xs *w = block;
    levels(w->q + 16 * g, iq4_levels, q);
}

/* --- blocks of 256 with two or three bits ----------------------------------------------------- */

HEAD_OF(q2_k)
{
    const lm_block_q2_k *w = block;
    uint8x16_t x = vld1q_u8(w->scale), offset = vshrq_n_u8(x, 4);
    vst1q_s8(h->kept, sign(vandq_u8(x, vdupq_n_u8(15))));
    store8(low8(offset), half_of(w->m), h->minimum, h->step);
    store8(high8(offset), half_of(w->m), h->minimum + 8 * h->step, h->step);
    same_for_all(half_of(w->d), h->scale, h);
}

INLINE uint8x16_t two_bits(const uint8_t *from, uint32_t g)
{
    return vandq_u8(right(vld1q_u8(from + g / 4 * 32), g % 4 * 2), vdupq_n_u8(3));
}

BYTES_OF(q2_k)
{
    const lm_block_q2_k *w = block;
    EACH (i, 2)
        q[i] = vmulq_s8(sign(two_bits(w->q + 16 * i, g)), vld1q_dup_s8(kept + 2 * g + i));
}

/* The factors, see lm_q3_k_scale. */
HEAD_OF(q3_k)
{
    const lm_block_q3_k *w = block;
    static const uint8_t at[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
    static const int8_t shift[16] = {0, 0, 0, 0, -2, -2, -2, -2, -4, -4, -4, -4, -6, -6, -6, -6};
    uint8x8_t first = vld1_u8(w->scale);
    uint8x16_t low = vcombine_u8(vand_u8(first, vdup_n_u8(15)), vshr_n_u8(first, 4));
    uint8x16_t high = vreinterpretq_u8_u32(vdupq_n_u32(lm_load_u32(w->scale + 8)));
    high = vshlq_u8(vqtbl1q_u8(high, bytes16(at)), vld1q_s8(shift));
    uint8x16_t factor = vorrq_u8(low, vshlq_n_u8(vandq_u8(high, vdupq_n_u8(3)), 4));
    vst1q_s8(h->kept, vsubq_s8(sign(factor), vdupq_n_s8(32)));
    same_for_all(-half_of(w->d), h->scale, h);
}

BYTES_OF(q3_k)
{
    const lm_block_q3_k *w = block;
    EACH (i, 2) {
        uint8x16_t high = vtstq_u8(vld1q_u8(w->high + 16 * i), vdupq_n_u8((uint8_t)(1u << g)));
        uint8x16_t x = vorrq_u8(two_bits(w->q + 16 * i, g), vandq_u8(high, vdupq_n_u8(4)));
        q[i] = vmulq_s8(vsubq_s8(vdupq_n_s8(4), sign(x)), vld1q_dup_s8(kept + 2 * g + i));
    }
}

HEAD_OF(tq2_0)
{
    const lm_block_tq2_0 *w = block;
    same_for_all(half_of(w->d), h->scale, h);
}

BYTES_OF(tq2_0)
{
    const lm_block_tq2_0 *w = block;
    uint8x16_t x[2];
    EACH (i, 2)
        x[i] = two_bits(w->q + 16 * i, g);
    less(x, 1, q);
}

/* --- as the portable set reads it ------------------------------------------------------------- */

/* The whole block is kept. */
HEAD_OF(tq1_0)
{
    lcpu_int8_block blocks[8];
    lcpu_block_tq1_0(block, blocks);
    for (uint32_t g = 0; g < 8; g++)
        memcpy(h->kept + 32 * g, blocks[g].q, 32);
    same_for_all(blocks[0].scale[0], h->scale, h);
}

BYTES_OF(tq1_0)
{
    (void)block;
    q[0] = vld1q_s8(kept + 32 * g);
    q[1] = vld1q_s8(kept + 32 * g + 16);
}

#endif
