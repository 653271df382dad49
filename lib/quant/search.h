/* search - the passes that the encoders search with: given a scale and an offset, which codes, what
 * error, and which scale and offset would be better for those codes. Knows no layout.
 *
 * The model is x ~ scale * q - offset with q on a grid. All arithmetic is float in a fixed order,
 * so the result is the same on every machine; the loops have no branches, so compilers vectorise
 * them. */
#ifndef LM_QUANT_SEARCH_H
#define LM_QUANT_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

enum { LM_SEARCH_MAX = 32 }; /* values per group: 16 or 32 */

/* The codes that exist: all integers from low to high, or, when `levels` is not NULL, these
 * `count` ascending ones. */
typedef struct lm_grid {
    float low, high;
    const float *levels;
    int count;
} lm_grid;

/* A group of values with their weights. */
typedef struct lm_group {
    const float *x, *w; /* [n] */
    int n;
} lm_group;

/* Weighted sums over a group, for the codes that a scale and an offset choose. */
typedef struct lm_sums {
    float q, qq, qx;
} lm_sums;

/* The sums for q = (x + offset) * inverse, put on the nearest code (NaN: on the lowest). */
lm_sums lm_search_sums(const lm_grid *grid, lm_group group, float inverse, float offset);

/* Weighted squared error with the best codes for this scale and offset. */
float lm_search_error(const lm_grid *grid, lm_group group, float scale, float offset);

/* The codes that this error is of. */
void lm_search_codes(const lm_grid *grid, lm_group group, float scale, float offset, float *codes);

/* The best scale without an offset. Its sign is free. */
float lm_search_scale(const lm_grid *grid, lm_group group);

/* The best scale >= 0 and offset >= 0 for codes 0 to grid->high. */
void lm_search_affine(const lm_grid *grid, lm_group group, float *scale, float *offset);

/* Sum of t[0..n) in a fixed order; n is 16 or 32. */
float lm_search_total(const float *t, int n);

static inline float lm_search_inverse(float scale)
{
    return scale == 0.0f ? 0.0f : 1.0f / scale;
}

#endif
