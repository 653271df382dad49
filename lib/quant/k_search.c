/* k_search.c - two-level scales for super-blocks. Every group is fitted on its own; then the scales
 * are put on a common integer grid, and the grid's step and the integers are improved in turns. */
#include "quant/k_search.h"

#include <math.h>

/* Far beyond what a half-precision scale can reach. */
static const float value_limit = 0x1p40f, value_floor = 0x1p-60f;
/* See lm_k_prepare. */
static const float measured_evenness = 2.0f, square_share = 0.3f;

enum { ROUNDS = 2 };

static bool is_weight(float importance)
{
    return importance > 0.0f && importance < INFINITY;
}

static void weigh(const float *importance, float evenness, lm_k_source *s)
{
    float peak = 0.0f, energy = 0.0f;
    for (int i = 0; i < s->count; i++) {
        energy += s->x[i] * s->x[i];
        if (importance != NULL && is_weight(importance[i]) && importance[i] > peak)
            peak = importance[i];
    }
    float mean = sqrtf(energy / (float)s->count); /* above 0: the largest value is 1 or more */
    bool measured = peak > 0.0f;
    float even = (measured ? measured_evenness : evenness) * mean;
    float square = measured ? 0.0f : square_share / mean;
    for (int i = 0; i < s->count; i++) {
        s->w[i] = even + fabsf(s->x[i]) + square * s->x[i] * s->x[i];
        if (measured)
            s->w[i] *= is_weight(importance[i]) ? importance[i] / peak : 0.0f;
    }
}

void lm_k_prepare(const float *values, const float *importance, int count, float evenness,
                  lm_k_source *source)
{
    float peak = 0.0f;
    source->count = count;
    for (int i = 0; i < count; i++) {
        float v = values[i];
        v = v > -value_limit ? v : v < 0.0f ? -value_limit : 0.0f;
        v = v < value_limit ? v : value_limit;
        source->x[i] = v;
        peak = fabsf(v) > peak ? fabsf(v) : peak;
    }
    source->empty = peak < value_floor;
    if (source->empty)
        return;
    source->unit = lm_f32_from_bits(lm_f32_bits(peak) & 0x7f800000u);
    float inverse = 1.0f / source->unit;
    for (int i = 0; i < count; i++)
        source->x[i] *= inverse;
    weigh(importance, evenness, source);
}

lm_half lm_k_nearest_half(float v, float unit, float *stored)
{
    float size = fabsf(v * unit);
    size = size < 65504.0f ? size : 65504.0f;
    if (v != 0.0f)
        size = size > 0x1p-24f ? size : 0x1p-24f;
    lm_half h = lm_half_from(v < 0.0f ? -size : size);
    *stored = lm_half_get(h) / unit;
    return h;
}

typedef struct group_fit {
    lm_group values;
    float w, x;          /* weighted sums */
    float scale, offset; /* what would suit this group alone */
} group_fit;

/* One state of the search over a super-block. */
typedef struct fit {
    lm_half d_half, m_half;
    float d, m; /* as stored */
    int scale[LM_K_GROUPS], offset[LM_K_GROUPS];
    float error;
} fit;

typedef struct search {
    const lm_k_shape *shape;
    float unit;
    int count;
    group_fit groups[LM_K_GROUPS];
} search;

static int nearest_int(float v, int low, int high)
{
    v = v > (float)low ? v : (float)low;
    v = v < (float)high ? v : (float)high;
    return (int)floorf(v + 0.5f);
}

static void fit_groups(const lm_k_source *source, search *s)
{
    int n = s->shape->group;
    s->unit = source->unit;
    s->count = source->count / n;
    for (int k = 0; k < s->count; k++) {
        group_fit *g = &s->groups[k];
        float wx[LM_SEARCH_MAX];
        g->values = (lm_group){source->x + k * n, source->w + k * n, n};
        for (int i = 0; i < n; i++)
            wx[i] = g->values.w[i] * g->values.x[i];
        g->w = lm_search_total(g->values.w, n);
        g->x = lm_search_total(wx, n);
        g->offset = 0.0f;
        if (s->shape->affine)
            lm_search_affine(&s->shape->grid, g->values, &g->scale, &g->offset);
        else
            g->scale = lm_search_scale(&s->shape->grid, g->values);
    }
}

/* The integer offset that suits this scale, for the codes that the given offset leads to. */
static int matching_offset(const search *s, const fit *f, const group_fit *g, float scale,
                           int offset)
{
    if (!(g->w * f->m > 0.0f))
        return offset;
    lm_sums sums =
        lm_search_sums(&s->shape->grid, g->values, lm_search_inverse(scale), f->m * (float)offset);
    return nearest_int((scale * sums.q - g->x) / (g->w * f->m), 0, s->shape->scale_high);
}

/* Chooses group k's integers among the neighbours of (scale, offset) and adds the error. */
static void choose_near(const search *s, int k, int scale, int offset, fit *f)
{
    const lm_k_shape *shape = s->shape;
    const group_fit *g = &s->groups[k];
    float best = INFINITY;
    for (int i = scale - 1; i <= scale + 1; i++) {
        if (i < shape->scale_low || i > shape->scale_high)
            continue;
        float step = f->d * (float)i;
        int middle = shape->affine ? matching_offset(s, f, g, step, offset) : 0;
        int low = shape->affine && middle > 0 ? middle - 1 : 0;
        int high = shape->affine && middle < shape->scale_high ? middle + 1 : middle;
        for (int o = low; o <= high; o++) {
            float error = lm_search_error(&shape->grid, g->values, step, f->m * (float)o);
            if (error < best) {
                best = error;
                f->scale[k] = i;
                f->offset[k] = o;
            }
        }
    }
    f->error += best;
}

/* The d and m that suit all codes and integers of `f`: weighted least squares in two unknowns. */
static void refit(const search *s, const fit *f, fit *next)
{
    double aa = 0.0, ab = 0.0, bb = 0.0, ax = 0.0, bx = 0.0;
    for (int k = 0; k < s->count; k++) {
        const group_fit *g = &s->groups[k];
        double a = f->scale[k], b = -f->offset[k];
        lm_sums sums =
            lm_search_sums(&s->shape->grid, g->values, lm_search_inverse(f->d * (float)f->scale[k]),
                           f->m * (float)f->offset[k]);
        aa += a * a * (double)sums.qq;
        ab += a * b * (double)sums.q;
        bb += b * b * (double)g->w;
        ax += a * (double)sums.qx;
        bx += b * (double)g->x;
    }
    double det = aa * bb - ab * ab;
    next->d_half = f->d_half, next->d = f->d;
    next->m_half = f->m_half, next->m = f->m;
    if (det > 1e-9 * aa * bb) {
        next->d_half = lm_k_nearest_half((float)((ax * bb - bx * ab) / det), s->unit, &next->d);
        float m = (float)((bx * aa - ax * ab) / det);
        next->m_half = lm_k_nearest_half(m > 0.0f ? m : 0.0f, s->unit, &next->m);
    } else if (aa > 0.0) {
        double d = (ax - ab * (double)f->m) / aa;
        next->d_half = lm_k_nearest_half((float)d, s->unit, &next->d);
    }
}

/* From steps d and m to the best state reached. */
static fit improve(const search *s, float d, float m)
{
    const lm_k_shape *shape = s->shape;
    fit best = {.error = 0.0f};
    best.d_half = lm_k_nearest_half(d, s->unit, &best.d);
    best.m_half = lm_k_nearest_half(m, s->unit, &best.m);
    float to_scale = lm_search_inverse(best.d), to_offset = lm_search_inverse(best.m);
    for (int k = 0; k < s->count; k++) {
        const group_fit *g = &s->groups[k];
        int scale = nearest_int(g->scale * to_scale, shape->scale_low, shape->scale_high);
        choose_near(s, k, scale, nearest_int(g->offset * to_offset, 0, shape->scale_high), &best);
    }
    for (int round = 0; round < ROUNDS; round++) {
        fit next = {.error = 0.0f};
        refit(s, &best, &next);
        for (int k = 0; k < s->count; k++)
            choose_near(s, k, best.scale[k], best.offset[k], &next);
        if (!(next.error < best.error))
            break;
        best = next;
    }
    return best;
}

static fit search_steps(const search *s)
{
    const lm_k_shape *shape = s->shape;
    float scale = 0.0f, offset = 0.0f;
    for (int k = 0; k < s->count; k++) {
        const group_fit *g = &s->groups[k];
        scale = fabsf(g->scale) > fabsf(scale) ? g->scale : scale;
        offset = g->offset > offset ? g->offset : offset;
    }
    fit best = improve(s, scale / (float)shape->scale_high, offset / (float)shape->scale_high);
    if (shape->scale_low < 0) { /* the largest scale may be the most negative integer as well */
        fit other = improve(s, scale / (float)shape->scale_low, 0.0f);
        if (other.error < best.error)
            best = other;
    }
    return best;
}

void lm_k_choose(const lm_k_shape *shape, const float *values, const float *importance,
                 lm_k_choice *choice)
{
    lm_k_source source;
    search s = {.shape = shape};
    *choice = (lm_k_choice){.d = {{0, 0}}};
    lm_k_prepare(values, importance, LM_K_BLOCK, shape->evenness, &source);
    if (source.empty)
        return;
    fit_groups(&source, &s);
    fit best = search_steps(&s);
    choice->d = best.d_half;
    choice->m = best.m_half;
    for (int k = 0; k < s.count; k++) {
        choice->scale[k] = (int16_t)best.scale[k];
        choice->offset[k] = (int16_t)best.offset[k];
        lm_search_codes(&shape->grid, s.groups[k].values, best.d * (float)best.scale[k],
                        best.m * (float)best.offset[k], choice->codes + k * shape->group);
    }
}
