/* state_lanes - the Mamba-2 recurrence over a type of sixteen lanes: a step of f32_lanes.h, whose
 * functions it uses. */
#ifndef LM_BACKENDS_CPU_KERNELS_STATE_LANES_H
#define LM_BACKENDS_CPU_KERNELS_STATE_LANES_H

#include "backends/cpu/kernels/f32_lanes.h"

#define SCAN_R 4 /* rows at once: each adds its products one after the other, and waits for none */

/* The values of a row that fill no register. */
static void scan_rest(const lcpu_scan_token *s, float *h, float push, uint32_t from, lanes *sum)
{
    float lane[LANES];
    lanes_store(lane, *sum);
    for (uint32_t i = from; i < s->state; i++) {
        h[i] = LCPU_MAC(push, s->b[i], h[i] * s->decay);
        lane[i - from] = LCPU_MAC(h[i], s->c[i], lane[i - from]);
    }
    *sum = lanes_load(lane);
}

INLINE void scan_tile(const lcpu_scan_token *s, uint32_t row, uint32_t R)
{
    lanes sum[SCAN_R], push[SCAN_R], decay = lanes_set(s->decay);
    /* Stores might change what `s` points to, as far as compilers know. */
    const float *from = s->b, *to = s->c;
    uint32_t state = s->state, i = 0;
    float *h = s->h + (size_t)row * state;
    EACH (r, R) {
        sum[r] = lanes_zero();
        push[r] = lanes_set(s->dt * s->x[row + r]);
    }
    for (; i + LANES <= state; i += LANES) {
        lanes b = lanes_load(from + i), c = lanes_load(to + i);
        EACH (r, R) {
            float *at = h + (size_t)r * state + i;
            lanes now = lanes_mac(push[r], b, lanes_mul(lanes_load(at), decay));
            lanes_store(at, now);
            sum[r] = lanes_mac(now, c, sum[r]);
        }
    }
    EACH (r, R) {
        if (i < state)
            scan_rest(s, h + (size_t)r * state, s->dt * s->x[row + r], i, &sum[r]);
        s->y[row + r] = lanes_reduce(sum[r]);
    }
}

static void scan(const lcpu_scan_token *s)
{
    uint32_t row = 0;
    for (; row + SCAN_R <= s->rows; row += SCAN_R)
        scan_tile(s, row, SCAN_R);
    for (; row < s->rows; row++)
        scan_tile(s, row, 1);
}

#endif
