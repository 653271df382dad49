/* search.c - the search passes. See search.h. */
#include "quant/search.h"

#include <math.h>
#include <stddef.h>

/* Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even, for magnitudes
 * below 2^22. */
static inline float round_small(float v)
{
    return (v + 12582912.0f) - 12582912.0f;
}

float lm_search_total(const float *t, int n)
{
    float s[16], u[8];
    for (int l = 0; l < 16; l++)
        s[l] = n > 16 ? t[l] + t[l + 16] : t[l];
    for (int l = 0; l < 8; l++)
        u[l] = s[l] + s[l + 8];
    return ((u[0] + u[4]) + (u[2] + u[6])) + ((u[1] + u[5]) + (u[3] + u[7]));
}

static void nearest_integer(float low, float high, float *v, int n)
{
    for (int i = 0; i < n; i++) {
        float cut = v[i] > low ? v[i] : low;
        cut = cut < high ? cut : high;
        v[i] = round_small(cut);
    }
}

static void nearest_level(const float *levels, int count, float *v, int n)
{
    float q[LM_SEARCH_MAX];
    for (int i = 0; i < n; i++)
        q[i] = levels[0];
    for (int k = 1; k < count; k++) {
        float middle = 0.5f * (levels[k - 1] + levels[k]), step = levels[k] - levels[k - 1];
        for (int i = 0; i < n; i++)
            q[i] += v[i] > middle ? step : 0.0f;
    }
    for (int i = 0; i < n; i++)
        v[i] = q[i];
}

/* The codes of (x + offset) * inverse. */
static void codes_for(const lm_grid *grid, lm_group group, float inverse, float offset,
                      float *codes)
{
    for (int i = 0; i < group.n; i++)
        codes[i] = (group.x[i] + offset) * inverse;
    if (grid->levels == NULL)
        nearest_integer(grid->low, grid->high, codes, group.n);
    else
        nearest_level(grid->levels, grid->count, codes, group.n);
}

lm_sums lm_search_sums(const lm_grid *grid, lm_group group, float inverse, float offset)
{
    float q[LM_SEARCH_MAX], wq[LM_SEARCH_MAX], wqq[LM_SEARCH_MAX], wqx[LM_SEARCH_MAX];
    codes_for(grid, group, inverse, offset, q);
    for (int i = 0; i < group.n; i++) {
        wq[i] = group.w[i] * q[i];
        wqq[i] = wq[i] * q[i];
        wqx[i] = wq[i] * group.x[i];
    }
    return (lm_sums){lm_search_total(wq, group.n), lm_search_total(wqq, group.n),
                     lm_search_total(wqx, group.n)};
}

void lm_search_codes(const lm_grid *grid, lm_group group, float scale, float offset, float *codes)
{
    codes_for(grid, group, lm_search_inverse(scale), offset, codes);
}

float lm_search_error(const lm_grid *grid, lm_group group, float scale, float offset)
{
    float q[LM_SEARCH_MAX], t[LM_SEARCH_MAX];
    lm_search_codes(grid, group, scale, offset, q);
    for (int i = 0; i < group.n; i++) {
        float e = scale * q[i] - (group.x[i] + offset);
        t[i] = group.w[i] * e * e;
    }
    return lm_search_total(t, group.n);
}

/* Candidates tried before the best is improved, and the rounds of that: each takes the codes of the
 * best scale and solves for the scale that suits them. More of either gains less than 0.2 %. */
enum { SCALE_TRIES = 8, AFFINE_TRIES = 20, ROUNDS = 2 };

static float extreme_of(lm_group group)
{
    float extreme = 0.0f;
    for (int i = 0; i < group.n; i++)
        extreme = fabsf(group.x[i]) > fabsf(extreme) ? group.x[i] : extreme;
    return extreme;
}

/* `score`: the weighted energy that the best codes explain. */
typedef struct scale_best {
    float score, scale;
} scale_best;

static void try_inverse(const lm_grid *grid, lm_group group, float inverse, scale_best *best)
{
    lm_sums s = lm_search_sums(grid, group, inverse, 0.0f);
    if (s.qq > 0.0f && s.qx * s.qx > best->score * s.qq) {
        best->score = s.qx * s.qx / s.qq;
        best->scale = s.qx / s.qq;
    }
}

float lm_search_scale(const lm_grid *grid, lm_group group)
{
    float extreme = extreme_of(group);
    scale_best best = {0.0f, 0.0f};
    if (extreme == 0.0f)
        return 0.0f;
    const float *l = grid->levels;
    float low_step = l ? l[1] - l[0] : 1.0f;
    float high_step = l ? l[grid->count - 1] - l[grid->count - 2] : 1.0f;
    /* The extreme value goes to either end of the grid, up to one step beyond or short of it. */
    for (int k = -SCALE_TRIES; k <= SCALE_TRIES; k++) {
        float stray = (float)k / (float)SCALE_TRIES;
        try_inverse(grid, group, (grid->low - stray * low_step) / extreme, &best);
        try_inverse(grid, group, (grid->high + stray * high_step) / extreme, &best);
    }
    for (int k = 0; k < ROUNDS; k++)
        try_inverse(grid, group, lm_search_inverse(best.scale), &best);
    return best.scale;
}

/* What try_affine knows of the group, and the best so far. */
typedef struct affine_state {
    float w, x, xx; /* weighted sums over the group */
    float error, scale, offset;
} affine_state;

/* Solves for the scale and the offset that suit the codes of the given ones. */
static void try_affine(const lm_grid *grid, lm_group group, float inverse, float offset,
                       affine_state *best)
{
    lm_sums s = lm_search_sums(grid, group, inverse, offset);
    float det = best->w * s.qq - s.q * s.q;
    if (!(det > 0.0f))
        return;
    float new_scale = (best->w * s.qx - best->x * s.q) / det;
    float new_offset = (s.q * s.qx - s.qq * best->x) / det;
    if (new_offset < 0.0f) {
        new_offset = 0.0f;
        new_scale = s.qx / s.qq;
    }
    float error = best->xx - new_scale * s.qx + new_offset * best->x;
    if (error < best->error && new_scale > 0.0f) {
        best->error = error;
        best->scale = new_scale;
        best->offset = new_offset;
    }
}

void lm_search_affine(const lm_grid *grid, lm_group group, float *scale, float *offset)
{
    float low = 0.0f, high = group.x[0];
    float wx[LM_SEARCH_MAX], wxx[LM_SEARCH_MAX];
    for (int i = 0; i < group.n; i++) {
        low = group.x[i] < low ? group.x[i] : low;
        high = group.x[i] > high ? group.x[i] : high;
        wx[i] = group.w[i] * group.x[i];
        wxx[i] = wx[i] * group.x[i];
    }
    affine_state best = {lm_search_total(group.w, group.n),
                         lm_search_total(wx, group.n),
                         lm_search_total(wxx, group.n),
                         3.0e38f,
                         0.0f,
                         -low};
    if (high > low)
        for (int k = 0; k < AFFINE_TRIES; k++) {
            /* all codes for the range, up to one code more or fewer */
            float span = grid->high - 1.0f + 2.0f * (float)k / (AFFINE_TRIES - 1);
            try_affine(grid, group, span / (high - low), -low, &best);
        }
    for (int k = 0; k < ROUNDS; k++)
        try_affine(grid, group, lm_search_inverse(best.scale), best.offset, &best);
    *scale = best.scale;
    *offset = best.offset;
}
