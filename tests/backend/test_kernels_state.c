/* test_kernels_state.c - the kernel of the Mamba-2 recurrence against plain formulas, for every
 * instruction set and for sizes that fill no register. */
#include "backend/levels.h"

#include <math.h>
#include <string.h>

enum { ROWS = 7, STATE = 70, TOKENS = 3 };

/* The numerics page's formulas; `fused` says what a mac is. */
static float mac(float x, float y, float sum, bool fused)
{
    return fused ? fmaf(x, y, sum) : x * y + sum;
}

static void plain_token(const lcpu_scan_token *s, bool fused)
{
    for (uint32_t r = 0; r < s->rows; r++) {
        const float *from = s->from + (size_t)r * s->state;
        float lane[16] = {0}, *h = s->to + (size_t)r * s->state;
        for (uint32_t i = 0; i < s->state; i++) {
            h[i] = mac(s->dt * s->x[r], s->b[i], from[i] * s->decay, fused);
            lane[i % 16] = mac(h[i], s->c[i], lane[i % 16], fused);
        }
        for (int step = 8; step > 0; step /= 2)
            for (int l = 0; l < step; l++)
                lane[l] += lane[l + step];
        s->y[r] = lane[0];
    }
}

/* The first token leaves the state it starts from as it was, the others work in place. */
static void check(const lcpu_kernels *k, uint32_t rows, uint32_t state, bool once)
{
    static _Alignas(64) float begin[2][ROWS * STATE], h[2][ROWS * STATE + 16];
    static float x[ROWS], b[STATE], c[STATE], y[2][ROWS + 1];
    size_t bytes = (size_t)rows * state * sizeof(float);
    numbers(begin[0], rows * state, NORMAL, rows);
    memcpy(begin[1], begin[0], bytes);
    numbers(b, state, NORMAL, 7);
    h[0][rows * state] = h[1][rows * state] = y[0][rows] = y[1][rows] = 77;
    for (int token = 0; token < TOKENS; token++) {
        numbers(x, rows, NORMAL, 20 + (uint64_t)token);
        numbers(c, state, SPIKES, 30 + (uint64_t)token);
        lcpu_scan_token one[2];
        for (int i = 0; i < 2; i++)
            one[i] = (lcpu_scan_token){.from = token == 0 ? begin[i] : h[i],
                                       .to = h[i],
                                       .next = token == 0 ? begin[i] : NULL,
                                       .once = once,
                                       .rows = rows,
                                       .state = state,
                                       .dt = 0.1f,
                                       .decay = 0.9f,
                                       .x = x,
                                       .b = b,
                                       .c = c,
                                       .y = y[i]};
        k->scan(&one[0]);
        plain_token(&one[1], k->used != 0);
        assert_memory_equal(h[0], h[1], bytes + sizeof h[0][0]);
        assert_memory_equal(y[0], y[1], (rows + 1) * sizeof y[0][0]);
        assert_memory_equal(begin[0], begin[1], bytes);
    }
}

static void one_token_after_the_other(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 15, 16, 17, 64, STATE};
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (uint32_t rows = 1; rows <= ROWS; rows++)
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
                for (int once = 0; once < 2; once++)
                    check(&k, rows, sizes[i], once != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_token_after_the_other)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
