/* iq_search - finds the point of a codebook nearest to a few weighted values, at any scale.
 *
 * A point is split into two halves. For each half there are at most 81 combinations of levels, so
 * the weighted sums of all of them fit in two small tables per group of values; a point costs the
 * sum of two entries, and the codes' order lets whole runs with one upper half be skipped. The
 * answer is the exact minimum, not that of a neighbourhood. Often rounding each value to its
 * nearest level gives a point of the codebook, which then is the answer without any table. */
#ifndef LM_QUANT_IQ_SEARCH_H
#define LM_QUANT_IQ_SEARCH_H

#include <stddef.h>
#include <stdint.h>

enum { LM_IQ_HALF = 96, LM_IQ_POINTS = 2048, LM_IQ_LEVELS = 8 }; /* 81, padded to whole vectors */

typedef struct lm_iq_codebook {
    const uint16_t *codes; /* ascending */
    uint16_t count;
    uint8_t width;  /* values per point: 4 or 8 */
    uint8_t levels; /* per value: 8 or 3 */
} lm_iq_codebook;

/* What the search knows of a codebook; made once for a row of values. */
typedef struct lm_iq_search {
    uint32_t width, levels, halves;
    uint16_t begin[LM_IQ_HALF], end[LM_IQ_HALF];      /* the run of points with this upper half */
    uint8_t lower[LM_IQ_POINTS], upper[LM_IQ_POINTS]; /* the halves of each point */
    uint16_t points[81 * 81]; /* [upper * halves + lower]: 1 + the index of that point, or 0 */
} lm_iq_search;

void lm_iq_search_init(lm_iq_search *search, const lm_iq_codebook *codebook);

/* A group of values as the search sees it: sums of w q q and w x q for each combination of each
 * half, q the value of a level. */
typedef struct lm_iq_sums {
    float x[8], middles[LM_IQ_LEVELS - 1]; /* between neighbouring levels */
    float qq[2][LM_IQ_HALF], qx[2][LM_IQ_HALF];
} lm_iq_sums;

void lm_iq_sums_set(const lm_iq_search *search, const float *levels, const float *x,
                    const float *weights, lm_iq_sums *out);

typedef struct lm_iq_hit {
    uint32_t index;
    float qq, qx; /* the sums of that point: the error at scale s is xx - 2 s qx + s s qq */
} lm_iq_hit;

/* The point with the least error at `scale`. `hit` holds an earlier answer (or index 0) from which
 * the search starts: a near one makes it faster, none changes the result except among equals. */
void lm_iq_nearest(const lm_iq_search *search, const lm_iq_sums *sums, float scale, lm_iq_hit *hit);

#endif
