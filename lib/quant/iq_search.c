/* iq_search.c - tables of half points and the pruned search over their sums. */
#include "quant/iq_search.h"

#include <float.h>
#include <string.h>

/* The number of a half point: its levels as digits of base `levels`. */
static uint8_t half_of(uint32_t fields, uint32_t levels, uint32_t coordinates, uint32_t bits)
{
    uint32_t number = 0;
    for (uint32_t i = coordinates; i-- > 0;)
        number = number * levels + (fields >> i * bits & ((1u << bits) - 1));
    return (uint8_t)number;
}

void lm_iq_search_init(lm_iq_search *search, const lm_iq_codebook *codebook)
{
    uint32_t coordinates = codebook->width / 2, bits = codebook->levels > 4 ? 3 : 2;
    search->width = codebook->width;
    search->levels = codebook->levels;
    search->halves = 1;
    for (uint32_t i = 0; i < coordinates; i++)
        search->halves *= codebook->levels;
    memset(search->begin, 0, sizeof search->begin);
    memset(search->end, 0, sizeof search->end);
    memset(search->points, 0, sizeof search->points);
    for (uint32_t i = 0; i < codebook->count; i++) {
        uint32_t code = codebook->codes[i];
        search->lower[i] = half_of(code, codebook->levels, coordinates, bits);
        search->upper[i] = half_of(code >> coordinates * bits, codebook->levels, coordinates, bits);
        uint32_t upper = search->upper[i];
        if (search->end[upper] == 0)
            search->begin[upper] = (uint16_t)i;
        search->end[upper] = (uint16_t)(i + 1);
        search->points[upper * search->halves + search->lower[i]] = (uint16_t)(i + 1);
    }
}

/* table[number] = the sum over the coordinates of terms[coordinate][level]. */
static void combine(float terms[][LM_IQ_LEVELS], uint32_t coordinates, uint32_t levels,
                    float *table)
{
    uint32_t size = levels;
    for (uint32_t l = 0; l < levels; l++)
        table[l] = terms[0][l];
    for (uint32_t c = 1; c < coordinates; c++) {
        for (uint32_t l = levels; l-- > 0;)
            for (uint32_t i = 0; i < size; i++)
                table[l * size + i] = table[i] + terms[c][l];
        size *= levels;
    }
}

void lm_iq_sums_set(const lm_iq_search *search, const float *levels, const float *x,
                    const float *weights, lm_iq_sums *out)
{
    uint32_t coordinates = search->width / 2;
    memcpy(out->x, x, search->width * sizeof *x);
    for (uint32_t l = 0; l + 1 < search->levels; l++)
        out->middles[l] = (levels[l] + levels[l + 1]) * 0.5f;
    for (uint32_t half = 0; half < 2; half++) {
        float qq[4][LM_IQ_LEVELS], qx[4][LM_IQ_LEVELS];
        for (uint32_t c = 0; c < coordinates; c++) {
            float w = weights[half * coordinates + c], wx = w * x[half * coordinates + c];
            for (uint32_t l = 0; l < search->levels; l++) {
                qx[c][l] = wx * levels[l];
                qq[c][l] = w * levels[l] * levels[l];
            }
        }
        combine(qq, coordinates, search->levels, out->qq[half]);
        combine(qx, coordinates, search->levels, out->qx[half]);
        for (uint32_t i = search->halves; i < LM_IQ_HALF; i++) {
            out->qq[half][i] = FLT_MAX / 4;
            out->qx[half][i] = 0;
        }
    }
}

/* The errors of all combinations of a half (less the constant part), and the least of them. */
static float half_costs(const float *restrict qq, const float *restrict qx, float scale,
                        float *restrict costs)
{
    float least[LM_IQ_HALF / 2];
    for (uint32_t i = 0; i < LM_IQ_HALF; i++)
        costs[i] = (qq[i] * scale - 2.0f * qx[i]) * scale;
    for (uint32_t i = 0; i < LM_IQ_HALF / 2; i++)
        least[i] = costs[i] < costs[LM_IQ_HALF / 2 + i] ? costs[i] : costs[LM_IQ_HALF / 2 + i];
    for (uint32_t n = LM_IQ_HALF / 4; n >= 6; n /= 2)
        for (uint32_t i = 0; i < n; i++)
            least[i] = least[i] < least[n + i] ? least[i] : least[n + i];
    for (uint32_t i = 1; i < 6; i++)
        least[0] = least[i] < least[0] ? least[i] : least[0];
    return least[0];
}

/* The numbers of the two halves of the point that has each value's nearest level. */
static void round_values(const lm_iq_search *search, const lm_iq_sums *sums, float scale,
                         uint32_t halves[2])
{
    uint32_t digits[8] = {0}, coordinates = search->width / 2;
    for (uint32_t l = 0; l + 1 < search->levels; l++) {
        float middle = sums->middles[l] * scale;
        for (uint32_t i = 0; i < 8; i++)
            digits[i] += sums->x[i] > middle;
    }
    halves[0] = halves[1] = 0;
    for (uint32_t i = coordinates; i-- > 0;) {
        halves[0] = halves[0] * search->levels + digits[i];
        halves[1] = halves[1] * search->levels + digits[coordinates + i];
    }
}

/* The least lower half among the points with the given upper one, if below `*rest`. */
static void visit(const lm_iq_search *search, const float *lower, uint32_t upper, float *rest,
                  uint32_t *found)
{
    float least = *rest;
    uint32_t at = *found;
    for (uint32_t i = search->begin[upper]; i < search->end[upper]; i++) {
        float cost = lower[search->lower[i]];
        at = cost < least ? i : at;
        least = cost < least ? cost : least;
    }
    *rest = least;
    *found = at;
}

static uint32_t least_point(const lm_iq_search *search, const lm_iq_sums *sums, float scale,
                            uint32_t start, uint32_t nearest_upper)
{
    float lower[LM_IQ_HALF], upper[LM_IQ_HALF];
    half_costs(sums->qq[1], sums->qx[1], scale, upper);
    float least = half_costs(sums->qq[0], sums->qx[0], scale, lower);
    uint32_t found = start, runs = 0;
    float best = lower[search->lower[found]] + upper[search->upper[found]];
    float rest = best - upper[nearest_upper];
    visit(search, lower, nearest_upper, &rest, &found);
    best = rest + upper[nearest_upper];
    uint8_t open[LM_IQ_HALF];
    for (uint32_t u = 0; u < search->halves; u++) {
        open[runs] = (uint8_t)u;
        runs += upper[u] < best - least;
    }
    for (uint32_t r = 0; r < runs; r++) {
        rest = best - upper[open[r]];
        if (least >= rest)
            continue;
        visit(search, lower, open[r], &rest, &found);
        best = rest + upper[open[r]];
    }
    return found;
}

void lm_iq_nearest(const lm_iq_search *search, const lm_iq_sums *sums, float scale, lm_iq_hit *hit)
{
    uint32_t halves[2];
    round_values(search, sums, scale, halves);
    uint32_t point = search->points[halves[1] * search->halves + halves[0]];
    point = point > 0 ? point - 1 : least_point(search, sums, scale, hit->index, halves[1]);
    uint32_t a = search->lower[point], b = search->upper[point];
    *hit = (lm_iq_hit){point, sums->qq[0][a] + sums->qq[1][b], sums->qx[0][a] + sums->qx[1][b]};
}
