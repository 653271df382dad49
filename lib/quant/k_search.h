/* k_search - what the encoders with searched scales share: blocks made ready for the search, and
 * the choice of two-level scales for a super-block. Knows no layout. */
#ifndef LM_QUANT_K_SEARCH_H
#define LM_QUANT_K_SEARCH_H

#include "quant/layout.h"
#include "quant/search.h"

enum { LM_K_BLOCK = 256, LM_K_GROUPS = 16 };

/* A block made ready: values divided by `unit`, a power of two, so that the largest is in [1, 2),
 * and the weights of their squared errors. */
typedef struct lm_k_source {
    float x[LM_K_BLOCK], w[LM_K_BLOCK];
    int count; /* 32, 64 or 256 */
    float unit;
    bool empty; /* no value is large enough to store: the block is all zeros, x and w are unset */
} lm_k_source;

/* Without importance a value v weighs evenness * r + |v| + 0.3 v^2 / r, r the root mean square:
 * large weights matter more to a model than plain squared error says, and the sum keeps the plain
 * error and the errors weighted by |v| and v^2 all low. With it (what is no positive number counts
 * as 0), importance times (2 r + |v|): measured importance holds part of that already.
 * NaN counts as 0, and what no scale can reach is cut. */
void lm_k_prepare(const float *values, const float *importance, int count, float evenness,
                  lm_k_source *source);

/* What a format offers. Codes lie on `grid`; group scales are integers scale_low to scale_high,
 * group offsets (only when `affine`) integers 0 to scale_high. */
typedef struct lm_k_shape {
    lm_grid grid;
    int group; /* values per group: 16 or 32 */
    int scale_low, scale_high;
    bool affine;
    float evenness; /* for lm_k_prepare */
} lm_k_shape;

/* value ~ d * scale * code - m * offset */
typedef struct lm_k_choice {
    lm_half d, m;
    int16_t scale[LM_K_GROUPS], offset[LM_K_GROUPS];
    float codes[LM_K_BLOCK]; /* on the grid */
} lm_k_choice;

/* Prepares 256 values and chooses. Zeros throughout for an empty block. */
void lm_k_choose(const lm_k_shape *shape, const float *values, const float *importance,
                 lm_k_choice *choice);

/* The half-precision number nearest to v * unit; finite, and 0 for v = 0 only. *stored = what it
 * means in the units of the search. */
lm_half lm_k_nearest_half(float v, float unit, float *stored);

#endif
