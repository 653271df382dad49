/* f32_turned - products of many rows with many in f32. The sixteen lanes of dot16 are sixteen sums
 * over every sixteenth column, so columns are sorted by their place among sixteen: for each place a
 * tile takes sums with rows of weights as lanes, which needs no sum across lanes, and the sixteen
 * are added in the tree's order. The bits are those of dot16. Included by f32_lanes.h; the set has
 * defined TURN_P and TURN_X, sixteens of weight rows and activation rows of a tile. */
#ifndef LM_BACKENDS_CPU_KERNELS_F32_TURNED_H
#define LM_BACKENDS_CPU_KERNELS_F32_TURNED_H

#include "backends/cpu/kernels/attn_lanes.h"

#define EACH12(i, count) _Pragma("GCC unroll 12") for (uint32_t i = 0; i < (count); i++)

/* Places lie in the order in which the tree joins their sums: after a place as many joins as its
 * number here ends in ones. */
static const uint8_t turn_order[LANES] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};

/* Sixteen values; what is behind `count` is zero. */
INLINE lanes turn_load(const float *x, uint32_t count)
{
    return count >= LANES ? lanes_load(x) : lanes_load_some(x, count);
}

/* An activation row: [16][steps, in whole sixteens]. */
static void turn_row(const float *x, uint32_t k, float *to)
{
    uint32_t steps = (k + LANES - 1) / LANES, apart = (steps + LANES - 1) / LANES * LANES;
    for (uint32_t s = 0; s < steps; s += LANES) {
        lanes block[LANES];
        for (uint32_t i = 0; i < LANES; i++) {
            uint32_t at = (s + i) * LANES;
            block[i] = at < k ? turn_load(x + at, k - at) : lanes_zero();
        }
        lanes_transpose(block);
        for (uint32_t i = 0; i < LANES; i++)
            lanes_store(to + i * apart + s, block[turn_order[i]]);
    }
}

/* Columns [first, first + count) of sixteen rows of weights, `stride` values apart, into a panel of
 * k columns: [16][steps][16 rows]. */
static void turn_rows(const float *rows, uint32_t stride, uint32_t first, uint32_t count,
                      uint32_t k, float *panel)
{
    uint32_t steps = (k + LANES - 1) / LANES;
    for (uint32_t c = 0; c < count; c += LANES) {
        lanes block[LANES];
        for (uint32_t i = 0; i < LANES; i++)
            block[i] = turn_load(rows + i * stride + c, count - c);
        lanes_transpose(block);
        for (uint32_t i = 0; i < LANES; i++)
            lanes_store(panel + ((size_t)i * steps + (first + c) / LANES) * LANES,
                        block[turn_order[i]]);
    }
}

typedef struct turned {
    const float *panel;
    size_t panel_values;
    const float *const *x;
    uint32_t steps;
    float *const *out;
    size_t at;
    uint32_t last; /* rows that are there in the last sixteen */
} turned;

INLINE void turned_tile(const turned *t, uint32_t P, uint32_t X)
{
    lanes kept[4][TURN_P][TURN_X], sum[TURN_P][TURN_X];
    uint32_t apart = (t->steps + LANES - 1) / LANES * LANES, depth = 0;
    for (uint32_t i = 0; i < LANES; i++) {
        const float *w = t->panel + (size_t)i * t->steps * LANES, *x[TURN_X];
        EACH12(r, X)
        {
            x[r] = t->x[r] + (size_t)i * apart;
            EACH12(p, P)
            sum[p][r] = lanes_zero();
        }
        for (uint32_t s = 0; s < t->steps; s++, w += LANES) {
            lanes v[TURN_P];
            EACH12(p, P)
            v[p] = lanes_load(w + p * t->panel_values);
            EACH12(r, X)
            {
                lanes value = lanes_set(x[r][s]);
                EACH12(p, P)
                sum[p][r] = lanes_mac(v[p], value, sum[p][r]);
            }
        }
        for (uint32_t bits = i; bits % 2 == 1; bits /= 2) {
            depth--;
            EACH12(r, X)
            EACH12(p, P)
            sum[p][r] = lanes_add(kept[depth][p][r], sum[p][r]);
        }
        if (i + 1 < LANES) {
            EACH12(r, X)
            EACH12(p, P)
            kept[depth][p][r] = sum[p][r];
            depth++;
        }
    }
    EACH12(r, X)
    EACH12(p, P)
    {
        float *to = t->out[r] + t->at + p * LANES, some[LANES];
        bool whole = p + 1 < P || t->last == LANES;
        lanes_store(whole ? to : some, sum[p][r]);
        if (!whole)
            memcpy(to, some, t->last * sizeof *to);
    }
}

INLINE void turned_rows(turned t, uint32_t n_x, uint32_t P)
{
    uint32_t i = 0;
    for (; i + TURN_X <= n_x; i += TURN_X, t.x += TURN_X, t.out += TURN_X)
        turned_tile(&t, P, TURN_X);
    for (; i + 4 <= n_x; i += 4, t.x += 4, t.out += 4)
        turned_tile(&t, P, 4);
    for (; i < n_x; i++, t.x++, t.out++)
        turned_tile(&t, P, 1);
}

static void turned_matmul(const float *panels, uint32_t n_w, const float *const *x, uint32_t n_x,
                          uint32_t k, float *const *out, size_t at)
{
    turned t = {.panel = panels, .x = x, .steps = (k + LANES - 1) / LANES, .out = out};
    t.panel_values = (size_t)t.steps * LANES * LANES;
    for (uint32_t o = 0; o < n_w;) {
        uint32_t left = (n_w - o + LANES - 1) / LANES, P = left < TURN_P ? 1 : TURN_P;
        t.at = at + o;
        t.last = n_w - o < P * LANES ? n_w - o - (P - 1) * LANES : LANES;
        if (P == 1)
            turned_rows(t, n_x, 1);
        else
            turned_rows(t, n_x, TURN_P);
        t.panel += P * t.panel_values;
        o += P * LANES;
    }
}

#endif
