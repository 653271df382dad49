/* kernels - the tables of inner loops, one function pointer each. Filled in rising order of
 * instruction sets, each replacing what it does better, under the device's feature mask. The
 * arithmetic of each is fixed by docs/numerics.md. */
#ifndef LM_BACKENDS_CPU_KERNELS_KERNELS_H
#define LM_BACKENDS_CPU_KERNELS_KERNELS_H

#include "quant/quant.h"

#include <stdint.h>

/* --- processor features ----------------------------------------------------------------------- */

enum {
    LCPU_AVX2 = 1u << 0,   /* with FMA and F16C */
    LCPU_AVX512 = 1u << 1, /* F, BW, DQ, VL */
    LCPU_AVX512_VNNI = 1u << 2,
    LCPU_AVX512_BF16 = 1u << 3,
    LCPU_NEON = 1u << 16,
};

uint64_t lcpu_features(void); /* of this processor */

/* --- kernels ---------------------------------------------------------------------------------- */

/* Values of one row of weights or one head of a cache to f32. */
typedef void (*lcpu_decode_fn)(const void *from, float *to, size_t count);

/* out[x][at + w] = dot16(weight row w, activation row x), for n_w rows of `stride` floats at `w`
 * and n_x activation rows anywhere. */
typedef void (*lcpu_f32_fn)(const float *w, size_t stride, uint32_t n_w, const float *const *x,
                            uint32_t n_x, uint32_t k, float *const *out, size_t at);

/* The int8 family. Rows of activations and unpacked rows of weights have a layout of its own. */
typedef struct lcpu_int8 {
    size_t (*row_bytes)(uint32_t k); /* of either; k a multiple of 32 */
    void (*quantise)(const float *x, uint32_t k, void *row);
    void (*matmul)(const void *w, uint32_t n_w, const void *const *x, uint32_t n_x, uint32_t k,
                   float *const *out, size_t at);
} lcpu_int8;

/* A weight row to a row of the int8 family. */
typedef void (*lcpu_unpack_fn)(const uint8_t *from, uint32_t k, void *row);

/* One query against one tile of a split, see attn_paged. */
typedef struct lcpu_attn_tile {
    const float *values; /* [32, v_dim] */
    uint32_t v_dim;
    uint32_t visible; /* bit j: slot j is seen */
    float *scores;    /* [32], overwritten */
    float *m, *l, *o; /* running maximum, sum and [v_dim] output of the split */
} lcpu_attn_tile;

typedef struct lcpu_kernels {
    lcpu_decode_fn f16_decode, bf16_decode;
    lcpu_f32_fn f32_matmul;
    lcpu_int8 int8;
    void (*attn_tile)(const lcpu_attn_tile *t);
    float (*sum)(const float *x, uint32_t n);                     /* sum16 */
    float (*sum_squares)(const float *x, float mean, uint32_t n); /* sum16 of (x - mean)^2 */
    void (*act)(uint32_t act, const float *x, const float *factor, float *out, size_t n);
    void (*softcap)(const float *x, float scale, float cap, float *out, size_t n);
    void (*exp)(const float *x, float minus, float *out, size_t n); /* exp(x - minus) */
    /* Linear formats with an int8 kernel; ends with id of no format. */
    struct lcpu_unpacker {
        const lm_format *format;
        lcpu_unpack_fn unpack;
    } unpackers[8];
    uint32_t n_unpackers;
    uint64_t used; /* features of the sets that filled the tables */
} lcpu_kernels;

void lcpu_kernels_init(lcpu_kernels *k, uint64_t features);

/* NULL: the format multiplies in f32. */
lcpu_unpack_fn lcpu_unpacker_of(const lcpu_kernels *k, const lm_format *format);
/* The decoder of a format: a kernel, or the format's own. */
lcpu_decode_fn lcpu_decoder_of(const lcpu_kernels *k, const lm_format *format);

/* --- sets, each in files of its own ----------------------------------------------------------- */

void lcpu_fill_portable(lcpu_kernels *k);

/* The portable functions, for other sets and the tests to compare with. */
void lcpu_portable_f16_decode(const void *from, float *to, size_t count);
void lcpu_portable_bf16_decode(const void *from, float *to, size_t count);
void lcpu_portable_f32_matmul(const float *w, size_t stride, uint32_t n_w, const float *const *x,
                              uint32_t n_x, uint32_t k, float *const *out, size_t at);
size_t lcpu_portable_int8_row_bytes(uint32_t k);
void lcpu_portable_int8_quantise(const float *x, uint32_t k, void *row);
void lcpu_portable_int8_matmul(const void *w, uint32_t n_w, const void *const *x, uint32_t n_x,
                               uint32_t k, float *const *out, size_t at);
void lcpu_portable_unpack_q8_0(const uint8_t *from, uint32_t k, void *row);
void lcpu_portable_unpack_q4_0(const uint8_t *from, uint32_t k, void *row);
void lcpu_portable_unpack_q4_k(const uint8_t *from, uint32_t k, void *row);
void lcpu_portable_unpack_q6_k(const uint8_t *from, uint32_t k, void *row);
void lcpu_portable_attn_tile(const lcpu_attn_tile *t);
float lcpu_portable_sum(const float *x, uint32_t n);
float lcpu_portable_sum_squares(const float *x, float mean, uint32_t n);
void lcpu_portable_act(uint32_t act, const float *x, const float *factor, float *out, size_t n);
void lcpu_portable_softcap(const float *x, float scale, float cap, float *out, size_t n);
void lcpu_portable_exp(const float *x, float minus, float *out, size_t n);

#endif
