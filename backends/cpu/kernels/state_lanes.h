/* state_lanes - the Mamba-2 recurrence over a type of sixteen lanes: a step of f32_lanes.h, whose
 * functions it uses. Beside those it wants _reduce4, and _stream and _streamed: to write past the
 * caches, at multiples of SCAN_ALIGN, and to have others see it. */
#ifndef LM_BACKENDS_CPU_KERNELS_STATE_LANES_H
#define LM_BACKENDS_CPU_KERNELS_STATE_LANES_H

#include "backends/cpu/kernels/f32_lanes.h"

#define SCAN_R 4 /* rows at once: each adds its products one after the other, and waits for none */

/* The values of a row that fill no register. */
static void scan_rest(const lcpu_scan_token *s, uint32_t row, uint32_t from, lanes *sum)
{
    const float *h = s->from + (size_t)row * s->state;
    float *to = s->to + (size_t)row * s->state, push = s->dt * s->x[row];
    float lane[LANES];
    lanes_store(lane, *sum);
    for (uint32_t i = from; i < s->state; i++) {
        to[i] = LCPU_MAC(push, s->b[i], h[i] * s->decay);
        lane[i - from] = LCPU_MAC(to[i], s->c[i], lane[i - from]);
    }
    *sum = lanes_load(lane);
}

/* `once`: this token is the only one; the result goes past the caches, and the next state is
 * fetched. */
INLINE void scan_tile(const lcpu_scan_token *s, uint32_t row, uint32_t R, bool once,
                      lcpu_ahead *next)
{
    lanes sum[SCAN_R], push[SCAN_R], decay = lanes_set(s->decay);
    /* Stores might change what `s` points to, as far as compilers know. */
    uint32_t state = s->state, i = 0;
    const float *b_at = s->b, *c_at = s->c, *from = s->from + (size_t)row * state;
    float *to = s->to + (size_t)row * state;
    EACH (r, R) {
        sum[r] = lanes_zero();
        push[r] = lanes_set(s->dt * s->x[row + r]);
    }
    for (; i + LANES <= state; i += LANES) {
        lanes b = lanes_load(b_at + i), c = lanes_load(c_at + i);
        if (once)
            lcpu_ahead_fetch(next, R * sizeof b);
        EACH (r, R) {
            size_t at = (size_t)r * state + i;
            lanes now = lanes_mac(push[r], b, lanes_mul(lanes_load(from + at), decay));
            if (once)
                lanes_stream(to + at, now);
            else
                lanes_store(to + at, now);
            sum[r] = lanes_mac(now, c, sum[r]);
        }
    }
    EACH (r, R)
        if (i < state)
            scan_rest(s, row + r, i, &sum[r]);
    if (R == SCAN_R)
        lanes_reduce4(sum, s->y + row);
    else
        EACH (r, R)
            s->y[row + r] = lanes_reduce(sum[r]);
}

INLINE void scan_all(const lcpu_scan_token *s, bool once)
{
    uint32_t row = 0;
    lcpu_ahead next = lcpu_ahead_of((const uint8_t *)(const void *)s->next,
                                    (size_t)s->rows * s->state * sizeof(float));
    for (; row + SCAN_R <= s->rows; row += SCAN_R)
        scan_tile(s, row, SCAN_R, once, &next);
    for (; row < s->rows; row++)
        scan_tile(s, row, 1, once, &next);
}

static void scan(const lcpu_scan_token *s)
{
    bool aligned = s->state % LANES == 0 && (uintptr_t)s->to % SCAN_ALIGN == 0;
    if (!s->once || s->from == s->to || !aligned) {
        scan_all(s, false);
        return;
    }
    scan_all(s, true);
    lanes_streamed();
}

#endif
