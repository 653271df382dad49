/* state_portable.c - the Mamba-2 recurrence in plain C. */
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/math.h"

/* dot16 of a row with c, after its step. */
static float advance(const lcpu_scan_token *s, const float *from, float *h, float push)
{
    float lane[16] = {0};
    for (uint32_t i = 0; i < s->state; i++)
        h[i] = push * s->b[i] + from[i] * s->decay;
    uint32_t i = 0;
    for (; i + 16 <= s->state; i += 16)
        for (uint32_t l = 0; l < 16; l++)
            lane[l] += h[i + l] * s->c[i + l];
    for (uint32_t l = 0; i + l < s->state; l++)
        lane[l] += h[i + l] * s->c[i + l];
    return lcpu_tree16(lane);
}

static void scan(const lcpu_scan_token *s)
{
    for (uint32_t r = 0; r < s->rows; r++) {
        size_t at = (size_t)r * s->state;
        s->y[r] = advance(s, s->from + at, s->to + at, s->dt * s->x[r]);
    }
}

void lcpu_fill_portable_state(lcpu_kernels *k)
{
    k->scan = scan;
}
