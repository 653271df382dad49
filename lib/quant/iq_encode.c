/* iq_encode.c - for each block: the best scale of every run of 16 or 32 values on its own, then the
 * one d and the steps that come nearest to those scales, then the points again at those. */
#include "quant/iq_encode.h"

#include "base/half.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { BLOCK = LM_IQ_BLOCK, PART_GROUPS = 8 };

/* A block scaled to a largest magnitude in [1, 2), signs taken off where the format stores them. */
typedef struct iq_input {
    float x[BLOCK], weights[BLOCK];
    int exponent; /* real value = x * 2^exponent */
} iq_input;

/* The values under one step. */
typedef struct iq_part {
    const lm_iq_scheme *scheme;
    const lm_iq_search *search;
    uint32_t groups;
    float top, squares;           /* largest magnitude, sum of squares */
    lm_iq_sums sums[PART_GROUPS]; /* [shift * groups + group] */
    lm_iq_hit hits[PART_GROUPS];
} iq_part;

/* The points chosen for a part at some scale. */
typedef struct iq_choice {
    float qq, qx;
    uint16_t index[PART_GROUPS];
    uint8_t shift[PART_GROUPS];
} iq_choice;

static void part_set(iq_part *part, const iq_input *in, size_t at)
{
    const lm_iq_scheme *scheme = part->scheme;
    part->groups = scheme->scale_values / scheme->codebook.width;
    part->top = part->squares = 0;
    for (size_t i = at; i < at + scheme->scale_values; i++) {
        part->top = fmaxf(part->top, fabsf(in->x[i]));
        part->squares += in->x[i] * in->x[i];
    }
    memset(part->hits, 0, sizeof part->hits);
    for (uint32_t s = 0; s < scheme->shifts; s++)
        for (uint32_t g = 0; g < part->groups; g++) {
            size_t from = at + g * scheme->codebook.width;
            lm_iq_sums_set(part->search, scheme->levels[s], in->x + from, in->weights + from,
                           &part->sums[s * part->groups + g]);
        }
}

/* Chooses the nearest points at `scale`; the error is qq s s - 2 qx s plus a constant. */
static void part_choose(iq_part *part, float scale, iq_choice *out)
{
    uint32_t together = part->scheme->shift_groups;
    out->qq = out->qx = 0;
    for (uint32_t first = 0; first < part->groups; first += together) {
        float least = FLT_MAX, qq = 0, qx = 0;
        for (uint8_t s = 0; s < part->scheme->shifts; s++) {
            float sum_qq = 0, sum_qx = 0;
            for (uint32_t g = first; g < first + together; g++) {
                lm_iq_hit *hit = &part->hits[s * part->groups + g];
                lm_iq_nearest(part->search, &part->sums[s * part->groups + g], scale, hit);
                sum_qq += hit->qq;
                sum_qx += hit->qx;
            }
            float cost = (sum_qq * scale - 2.0f * sum_qx) * scale;
            if (cost >= least)
                continue;
            least = cost;
            qq = sum_qq;
            qx = sum_qx;
            for (uint32_t g = first; g < first + together; g++) {
                out->index[g] = (uint16_t)part->hits[s * part->groups + g].index;
                out->shift[g] = s;
            }
        }
        out->qq += qq;
        out->qx += qx;
    }
}

/* A scale that suits a part, and how much it matters. */
typedef struct iq_scale {
    float scale;
    float qq;   /* the weight with which another scale would miss this one */
    float gain; /* what it takes off the error */
} iq_scale;

static void try_scale(iq_part *part, float scale, iq_scale *best)
{
    iq_choice choice;
    part_choose(part, scale, &choice);
    if (choice.qx > 0 && choice.qq > 0 && choice.qx * choice.qx > best->gain * choice.qq) {
        best->scale = choice.qx / choice.qq;
        best->qq = choice.qq;
        best->gain = choice.qx * best->scale;
    }
}

/* The best scale when nothing else restricts it. Most parts put their largest value near the top
 * level; flat ones may do better with all values at some lower level. */
static iq_scale part_scale(iq_part *part)
{
    static const float factors[] = {0.65f, 0.8f, 0.95f, 1.1f};
    const float *levels = part->scheme->levels[0];
    uint32_t top = part->search->levels - 1, values = part->scheme->scale_values;
    iq_scale best = {0, 0, 0};
    if (part->top == 0)
        return best;
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++)
        try_scale(part, part->top / levels[top] * factors[i], &best);
    if (part->squares * 2 > part->top * part->top * (float)values)
        for (uint32_t l = 0; l < top; l++)
            if (levels[l] >= 1)
                try_scale(part, part->top / levels[l], &best);
    return best;
}

/* The half float for d of which `wanted` is the value in units of 2^exponent. */
static uint16_t half_d(float wanted, int exponent)
{
    float d = ldexpf(wanted, exponent);
    return lm_f32_to_f16(d < 65504.0f ? d : 65504.0f);
}

/* The step whose (2 step + 1) d is nearest to the scale. */
static uint32_t nearest_step(float scale, float d, uint32_t steps)
{
    float step = floorf(scale / d * 0.5f);
    return step <= 0 ? 0 : step >= (float)(steps - 1) ? steps - 1 : (uint32_t)step;
}

/* The d whose steps miss the wanted scales least. */
static float choose_d(const iq_scale *scales, uint32_t count, uint32_t steps)
{
    float top = 0, best = 0, least = FLT_MAX;
    for (uint32_t i = 0; i < count; i++)
        top = fmaxf(top, scales[i].scale);
    if (top == 0)
        return 0;
    for (int k = -8; k <= 8; k++) {
        float d = top / (float)(2 * steps - 1) * (1.0f + 0.02f * (float)k), cost = 0;
        for (uint32_t i = 0; i < count; i++) {
            float scale = scales[i].scale;
            float miss = scale - d * (float)(2 * nearest_step(scale, d, steps) + 1);
            cost += scales[i].qq * miss * miss;
        }
        if (cost < least) {
            least = cost;
            best = d;
        }
    }
    return best;
}

/* Takes the signs off eight values; an odd one out goes to the value that loses least by it. */
static uint8_t take_signs(float *x, const float *weights, bool even)
{
    uint32_t signs = 0, minuses = 0, cheapest = 0;
    for (uint32_t i = 0; i < 8; i++) {
        if (x[i] < 0) {
            signs |= 1u << i;
            minuses++;
            x[i] = -x[i];
        }
        if (weights[i] * x[i] < weights[cheapest] * x[cheapest])
            cheapest = i;
    }
    if (even && minuses % 2 != 0) {
        signs ^= 1u << cheapest;
        x[cheapest] = -x[cheapest];
    }
    return (uint8_t)signs;
}

static float finite_of(float v)
{
    return v > FLT_MAX ? FLT_MAX : v < -FLT_MAX ? -FLT_MAX : v == v ? v : 0.0f;
}

/* False when the block is too small for any scale that the format can store. */
static bool input_set(iq_input *in, const float *values, const float *importance)
{
    float top = 0, weight_top = 0, squares = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        top = fmaxf(top, fabsf(finite_of(values[i])));
        if (importance != NULL)
            weight_top = fmaxf(weight_top, finite_of(importance[i]));
    }
    if (top < 0x1p-30f)
        return false;
    (void)frexpf(top, &in->exponent);
    in->exponent--;
    for (size_t i = 0; i < BLOCK; i++) {
        in->x[i] = ldexpf(finite_of(values[i]), -in->exponent);
        squares += in->x[i] * in->x[i];
    }
    for (size_t i = 0; i < BLOCK; i++) {
        float w = weight_top > 0 ? fmaxf(finite_of(importance[i]), 0) / weight_top : 1.0f;
        in->weights[i] = w * sqrtf(squares / BLOCK + in->x[i] * in->x[i]);
    }
    return true;
}

/* Steps and points at a given d, and in `qq` and `qx` their sums in units of d. */
static void choose_points(iq_part *part, const iq_input *in, float d, const iq_scale *scales,
                          lm_iq_block *out, float *qq, float *qx)
{
    const lm_iq_scheme *scheme = part->scheme;
    *qq = *qx = 0;
    for (uint32_t p = 0; p < BLOCK / scheme->scale_values; p++) {
        part_set(part, in, (size_t)p * scheme->scale_values);
        uint32_t below = nearest_step(scales[p].scale - d, d, scheme->steps);
        float least = FLT_MAX;
        iq_choice choice, best = {0};
        for (uint32_t step = below; step < below + 2 && step < scheme->steps; step++) {
            float scale = d * (float)(2 * step + 1);
            part_choose(part, scale, &choice);
            float error = (choice.qq * scale - 2.0f * choice.qx) * scale;
            if (error < least) {
                least = error;
                best = choice;
                out->step[p] = (uint8_t)step;
            }
        }
        float multiple = (float)(2 * out->step[p] + 1);
        *qq += multiple * multiple * best.qq;
        *qx += multiple * best.qx;
        for (uint32_t g = 0; g < part->groups; g++) {
            out->index[p * part->groups + g] = best.index[g];
            out->shift[p * part->groups + g] = best.shift[g];
        }
    }
}

static float d_of(uint16_t half, int exponent)
{
    return ldexpf(lm_f16_to_f32(half), -exponent);
}

static void encode_block(const lm_iq_scheme *scheme, const lm_iq_search *search,
                         const float *values, const float *importance, lm_iq_block *out)
{
    iq_input in;
    memset(out, 0, sizeof *out);
    if (!input_set(&in, values, importance))
        return;
    if (!scheme->is_signed)
        for (size_t i = 0; i < BLOCK / 8; i++)
            out->signs[i] = take_signs(in.x + i * 8, in.weights + i * 8, scheme->even_signs);
    iq_scale scales[LM_IQ_SCALES];
    float qq, qx;
    uint32_t parts = BLOCK / scheme->scale_values;
    iq_part part = {.scheme = scheme, .search = search};
    for (uint32_t p = 0; p < parts; p++) {
        part_set(&part, &in, (size_t)p * scheme->scale_values);
        scales[p] = part_scale(&part);
    }
    out->d = half_d(choose_d(scales, parts, scheme->steps), in.exponent);
    float d = d_of(out->d, in.exponent);
    if (d == 0)
        return;
    choose_points(&part, &in, d, scales, out, &qq, &qx);
    uint16_t refined = half_d(qq > 0 && qx > 0 ? qx / qq : d, in.exponent);
    float other = d_of(refined, in.exponent);
    if ((other * qq - 2.0f * qx) * other < (d * qq - 2.0f * qx) * d)
        out->d = refined;
}

void lm_iq_encode(const lm_iq_scheme *scheme, const float *values, const float *importance,
                  size_t count, void (*pack)(const lm_iq_block *block, void *out), size_t bytes,
                  void *blocks)
{
    lm_iq_search search;
    lm_iq_search_init(&search, &scheme->codebook);
    uint8_t *at = blocks;
    for (size_t i = 0; i < count; i += BLOCK, at += bytes) {
        lm_iq_block block;
        encode_block(scheme, &search, values + i, importance == NULL ? NULL : importance + i,
                     &block);
        pack(&block, at);
    }
}
