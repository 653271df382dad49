/* int8_neon - the int8 family with NEON: activations, and panels of eight rows. Whoever includes it
 * defines `store_bytes`, the order of a panel's bytes, which is that of its products. The formats are
 * read by int8_neon_read.h and int8_neon_grids.h. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_NEON_H
#define LM_BACKENDS_CPU_KERNELS_INT8_NEON_H

#include "backends/cpu/kernels/int8_neon_grids.h"
#include "backends/cpu/kernels/kernels.h"

#define BLOCK LCPU_BLOCK
#define ROWS  8u /* of a panel */

/* 32 activations. */
typedef struct act_block {
    int8_t q[BLOCK];
    float scale;
    float minus[3]; /* -(sum of q) * scale, of the halves and of the block */
} act_block;

/* 32 columns of a panel. */
typedef struct panel_block {
    int8_t q[ROWS * BLOCK];
    float scale[2][ROWS], minimum[2][ROWS]; /* of the halves where the kind has halves */
} panel_block;

static void store_bytes(int8x16_t q[ROWS][2], int8_t *to);

/* Scales and minima that 32 columns of a row have. */
#define SCALES(kind) ((kind) == LCPU_HALVES ? 2u : 1u)
#define MINIMA(kind) ((kind) == LCPU_HALF_MINIMA ? 2u : (kind) == LCPU_MINIMA ? 1u : 0u)

/* One panel: eight rows at `row`, of which some may be the same. */
INLINE void unpack_panel(const uint8_t *const row[ROWS], size_t bytes, uint32_t groups, uint32_t k,
                         head_fn head, bytes_fn read, int kind, panel_block *to)
{
    float scale[16][ROWS], minimum[16][ROWS];
    int8_t kept[ROWS][KEPT];
    for (uint32_t i = 0; i < k / BLOCK / groups; i++) {
        for (uint32_t r = 0; r < ROWS; r++)
            head(row[r] + i * bytes, &(heads){&scale[0][r], &minimum[0][r], ROWS, groups, kept[r]});
        for (uint32_t g = 0; g < groups; g++, to++) {
            int8x16_t q[ROWS][2];
            EACH (r, ROWS)
                read(row[r] + i * bytes, g, kept[r], q[r]);
            store_bytes(q, to->q);
            memcpy(to->scale, scale[g * SCALES(kind)], SCALES(kind) * sizeof scale[0]);
            memcpy(to->minimum, minimum[g * MINIMA(kind)], MINIMA(kind) * sizeof minimum[0]);
        }
    }
}

#define UNPACK(name, format, values, type, kind)                                                   \
    static void unpack_##name(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k,        \
                              void *panels)                                                        \
    {                                                                                              \
        panel_block *to = panels;                                                                  \
        for (uint32_t o = 0; o < n_w; o += ROWS, to += k / BLOCK) {                                \
            const uint8_t *row[ROWS];                                                              \
            for (uint32_t r = 0; r < ROWS; r++)                                                    \
                row[r] = from + (o + r < n_w ? o + r : n_w - 1) * stride;                          \
            unpack_panel(row, sizeof(type), (values) / BLOCK, k, head_##name, bytes_##name, kind,  \
                         to);                                                                      \
        }                                                                                          \
    }

LCPU_INT8_FORMATS(UNPACK)

/* --- products --------------------------------------------------------------------------------- */

/* Eight rows by some rows of activations; `sums` of four rows each go into `acc`. */
typedef struct tile_of {
    const panel_block *panel;
    const act_block *const *x;
    uint32_t blocks;
    float *const *out;
    size_t at;
    uint32_t rows; /* that are there */
} tile_of;

INLINE float32x4_t add_products(float32x4_t acc, int32x4_t sum, const float *scale, float x_scale)
{
    return vfmaq_n_f32(acc, vmulq_f32(vcvtq_f32_s32(sum), vld1q_f32(scale)), x_scale);
}

INLINE float32x4_t add_minima(float32x4_t acc, const panel_block *w, const act_block *x,
                              uint32_t part, int kind)
{
    if (kind == LCPU_MINIMA)
        acc = vfmaq_n_f32(acc, vld1q_f32(w->minimum[0] + 4 * part), x->minus[2]);
    for (uint32_t h = 0; kind == LCPU_HALF_MINIMA && h < 2; h++)
        acc = vfmaq_n_f32(acc, vld1q_f32(w->minimum[h] + 4 * part), x->minus[h]);
    return acc;
}

INLINE void store_rows(const tile_of *t, uint32_t r, float32x4_t low, float32x4_t high)
{
    float all[ROWS];
    vst1q_f32(all, low);
    vst1q_f32(all + 4, high);
    memcpy(t->out[r] + t->at, all, t->rows * sizeof all[0]);
}

/* `tile` has the sizes 4, 2 and 1 of activation rows. */
#define MATMUL(name, kind)                                                                         \
    static void matmul_##name(const void *panels, uint32_t n_w, const void *const *x,              \
                              uint32_t n_x, uint32_t k, float *const *out, size_t at,              \
                              const uint8_t *next, size_t next_bytes)                              \
    {                                                                                              \
        (void)next, (void)next_bytes;                                                              \
        for (uint32_t o = 0; o < n_w; o += ROWS) {                                                 \
            tile_of t = {.panel = (const panel_block *)panels + (size_t)o / ROWS * (k / BLOCK),    \
                         .x = (const act_block *const *)x,                                         \
                         .blocks = k / BLOCK,                                                      \
                         .out = out,                                                               \
                         .at = at + o,                                                             \
                         .rows = n_w - o < ROWS ? n_w - o : ROWS};                                 \
            for (uint32_t left = n_x, now; left > 0; left -= now, t.x += now, t.out += now) {      \
                now = left >= 4 ? 4 : left >= 2 ? 2 : 1;                                           \
                if (now == 4)                                                                      \
                    tile(&t, 4, kind);                                                             \
                else if (now == 2)                                                                 \
                    tile(&t, 2, kind);                                                             \
                else                                                                               \
                    tile(&t, 1, kind);                                                             \
            }                                                                                      \
        }                                                                                          \
    }

#define MATMULS                                                                                    \
    LCPU_INT8_KINDS(MATMUL)                                                                        \
    static const lcpu_panels_fn matmul_of[] = {LCPU_INT8_KINDS(LCPU_INT8_MATMUL)};

#endif
