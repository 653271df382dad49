/* int8_portable.c - products of quantised weights with activations in int8 blocks. A row holds
 * 16-bit integers, and per 32 of them scales, minima or totals. A panel is one row. */
#include "backends/cpu/kernels/int8_grids.h"
#include "backends/cpu/kernels/kernels.h"

#include <float.h>
#include <math.h>

#define BLOCK LCPU_BLOCK

typedef struct block {
    int16_t q[BLOCK];
    float scale[2]; /* of each half or of the block; activations: the same twice */
    /* Weights: minima, of each half or of the block. Activations: -(sum of q) * scale, of the
     * halves and of the block. */
    float minimum[3];
} block;

static size_t row_bytes(uint32_t k)
{
    return k / BLOCK * sizeof(block);
}

/* --- activations ----------------------------------------------------------------------------- */

static void quantise_block(const float *x, block *b)
{
    float largest = 0, wrong = 0;
    for (uint32_t i = 0; i < BLOCK; i++) {
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
        wrong += x[i] * 0; /* NaN when any value is not finite */
    }
    bool finite = wrong == 0;
    float inverse = finite && largest > 0 ? 127.0f / largest : 0;
    inverse = inverse > FLT_MAX ? FLT_MAX : inverse;
    int32_t total[2] = {0, 0};
    for (uint32_t i = 0; i < BLOCK; i++) {
        /* Adding 1.5 * 2^23 rounds to the nearest integer, ties to even. */
        float shifted = (finite ? x[i] * inverse : 0) + 12582912.0f;
        int32_t q = (int32_t)(lm_f32_bits(shifted) - 0x4b400000u);
        b->q[i] = (int16_t)q;
        total[i / 16] += q;
    }
    float scale = finite ? largest / 127.0f : NAN;
    b->scale[0] = b->scale[1] = scale;
    b->minimum[0] = -(float)total[0] * scale;
    b->minimum[1] = -(float)total[1] * scale;
    b->minimum[2] = -(float)(total[0] + total[1]) * scale;
}

static void quantise(const float *x, uint32_t k, void *row)
{
    block *b = row;
    for (uint32_t i = 0; i < k / BLOCK; i++)
        quantise_block(x + i * BLOCK, &b[i]);
}

/* --- weights ---------------------------------------------------------------------------------- */

static void widen(const lcpu_int8_block *from, block *to)
{
    for (uint32_t j = 0; j < BLOCK; j++)
        to->q[j] = from->q[j];
    memcpy(to->scale, from->scale, sizeof from->scale);
    memcpy(to->minimum, from->minimum, sizeof from->minimum);
}

#define UNPACK(name, format, values, type, kind)                                                   \
    static void unpack_##name(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k,        \
                              void *panels)                                                        \
    {                                                                                              \
        block *b = panels;                                                                         \
        for (uint32_t o = 0; o < n_w; o++) {                                                       \
            const type *w = (const type *)(from + o * stride);                                     \
            for (uint32_t i = 0; i < k / (values); i++) {                                          \
                lcpu_int8_block blocks[(values) / BLOCK];                                          \
                lcpu_block_##name(&w[i], blocks);                                                  \
                for (uint32_t g = 0; g < (values) / BLOCK; g++)                                    \
                    widen(&blocks[g], b++);                                                        \
            }                                                                                      \
        }                                                                                          \
    }

LCPU_INT8_FORMATS(UNPACK)

/* --- products --------------------------------------------------------------------------------- */

static float dot_of(const int16_t *w, const int16_t *q, uint32_t n)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += w[i] * q[i];
    return (float)sum;
}

static float dot(const block *w, const block *x, uint32_t blocks, int kind)
{
    float acc = 0;
    for (uint32_t i = 0; i < blocks; i++) {
        uint32_t parts = kind == LCPU_HALVES ? 2 : 1, n = BLOCK / parts;
        for (uint32_t h = 0; h < parts; h++)
            acc = dot_of(w[i].q + h * n, x[i].q + h * n, n) * w[i].scale[h] * x[i].scale[0] + acc;
        if (kind == LCPU_MINIMA)
            acc = x[i].minimum[2] * w[i].minimum[0] + acc;
        for (int h = 0; kind == LCPU_HALF_MINIMA && h < 2; h++)
            acc = x[i].minimum[h] * w[i].minimum[h] + acc;
    }
    return acc;
}

#define MATMUL(name, kind)                                                                         \
    static void matmul_##name(const void *panels, uint32_t n_w, const void *const *x,              \
                              uint32_t n_x, uint32_t k, float *const *out, size_t at,              \
                              const uint8_t *next, size_t next_bytes)                              \
    {                                                                                              \
        (void)next, (void)next_bytes;                                                              \
        const block *row = panels;                                                                 \
        uint32_t blocks = k / BLOCK;                                                               \
        for (uint32_t i = 0; i < n_x; i++)                                                         \
            for (uint32_t o = 0; o < n_w; o++)                                                     \
                out[i][at + o] = dot(row + (size_t)o * blocks, x[i], blocks, kind);                \
    }

LCPU_INT8_KINDS(MATMUL)

static const lcpu_panels_fn matmul_of[] = {LCPU_INT8_KINDS(LCPU_INT8_MATMUL)};

#define FORMAT(name, format, values, type, kind)                                                   \
    {.id = (format),                                                                               \
     .column_bytes = sizeof(block),                                                                \
     .unpack = unpack_##name,                                                                      \
     .matmul = matmul_of[kind]},

void lcpu_fill_portable_int8(lcpu_kernels *k)
{
    const lcpu_int8_format formats[] = {LCPU_INT8_FORMATS(FORMAT)};
    k->int8 = (lcpu_int8){.panel_rows = 1,
                          .tile_rows = 16,
                          .act_bytes = sizeof(block),
                          .row_bytes = row_bytes,
                          .quantise = quantise};
    memcpy(k->int8.formats, formats, sizeof formats);
    k->int8.n_formats = sizeof formats / sizeof formats[0];
}
