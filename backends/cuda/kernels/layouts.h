/* layouts.h - how weights lie on the device, one row per layout. Plain C, read by both compilers.
 *
 * A matrix is up to four planes, each [rows][stride] bytes with strides padded to 16:
 *
 *   plane 0  the low bits of the codes      in groups of 32 values: see below
 *   plane 1  their high bits, 0 to 2
 *   plane 2  a signed or packed byte of scale per 16 or 32 values
 *   plane 3  what a block has once: scale, offset, or the whole head of Q4_K and Q5_K
 *
 * Codes are laid out for eight words of four values, as the integer dot products take them: word w
 * holds values 4w to 4w + 3 of a group of 32. Four bits: nibble w / 4 of the bytes of 32-bit word
 * w % 4. Two bits: bits 2 (w % 4) of the bytes of 32-bit word w / 4. One bit: bit w of the bytes of
 * one 32-bit word. The layouts to F8_E4M3 meet activations as floats, the others as bytes. */
#ifndef LM_BACKENDS_CUDA_LAYOUTS_H
#define LM_BACKENDS_CUDA_LAYOUTS_H

/* How a value follows from its code q. The products are rounded in the order written. */
enum {
    LCU_FORM_FLOAT, /* the value itself */
    LCU_FORM_F8,    /* d * q, q an E4M3 number and d an F32 one */
    LCU_FORM_D,     /* d * (q - centre), or d * level[q] */
    LCU_FORM_DM,    /* d * q + m */
    LCU_FORM_E8,    /* 2^(scale - 128) * level[q] */
    LCU_FORM_K,     /* (d * scale) * q - m * offset; scale and offset of 6 bits for 32 values */
    LCU_FORM_S16,   /* (d * scale) * (q - centre); scale a signed byte for 16 values */
    LCU_FORM_S32,   /* (d * scale) * level[q]; scale a signed byte for 32 values */
    LCU_FORM_M16,   /* (d * low nibble) * q - m * high nibble of a byte for 16 values */
};

enum { LCU_LEVELS_NONE, LCU_LEVELS_IQ4, LCU_LEVELS_FP4 };

/* X(name, low bits, high bits, plane 2 bytes per 256 values, plane 3 bytes, per so many values,
 *   centre, levels, form) */
#define LCU_LAYOUTS(X)                                                                             \
    X(F32, 32, 0, 0, 0, 32, 0, NONE, FLOAT)                                                        \
    X(F16, 16, 0, 0, 0, 32, 0, NONE, FLOAT)                                                        \
    X(BF16, 16, 0, 0, 0, 32, 0, NONE, FLOAT)                                                       \
    X(F8_E4M3, 8, 0, 0, 4, 128, 0, NONE, F8)                                                       \
    X(Q8_0, 8, 0, 0, 2, 32, 0, NONE, D)                                                            \
    X(Q4_0, 4, 0, 0, 2, 32, 8, NONE, D)                                                            \
    X(Q5_0, 4, 1, 0, 2, 32, 16, NONE, D)                                                           \
    X(Q4_1, 4, 0, 0, 4, 32, 0, NONE, DM)                                                           \
    X(Q5_1, 4, 1, 0, 4, 32, 0, NONE, DM)                                                           \
    X(IQ4_NL, 4, 0, 0, 2, 32, 0, IQ4, D)                                                           \
    X(MXFP4, 4, 0, 0, 1, 32, 0, FP4, E8)                                                           \
    X(Q4_K, 4, 0, 0, 16, 256, 0, NONE, K)                                                          \
    X(Q5_K, 4, 1, 0, 16, 256, 0, NONE, K)                                                          \
    X(Q6_K, 4, 2, 16, 2, 256, 32, NONE, S16)                                                       \
    X(Q3_K, 2, 1, 16, 2, 256, 4, NONE, S16)                                                        \
    X(Q2_K, 2, 0, 16, 4, 256, 0, NONE, M16)                                                        \
    X(IQ4_XS, 4, 0, 8, 2, 256, 0, IQ4, S32)

enum {
#define X(name, ...) LCU_LAYOUT_##name,
    LCU_LAYOUTS(X)
#undef X
        LCU_LAYOUT_COUNT
};

/* Meets activations as bytes. */
#define LCU_IS_CODES(layout) ((layout) > LCU_LAYOUT_F8_E4M3)

#define LCU_PLANES 4u

/* The head of Q4_K and Q5_K, plane 3: four words. d and m; four low bits of eight scales; of eight
 * offsets; two high bits of eight scales, then of eight offsets. */

#endif
