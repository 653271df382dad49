/* oracle.c - plain formulas for every primitive step. */
#include "backend/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t width(const oracle *o, uint32_t slot)
{
    return o->m->graph.slots[slot].width;
}

static double *row(const oracle *o, uint32_t slot, uint32_t t)
{
    return o->slots[slot] + (size_t)t * width(o, slot);
}

static const float *vec(const oracle *o, uint32_t weight)
{
    return weight == LM_NONE ? NULL : o->m->values[weight];
}

static uint32_t size_of(const oracle *o, uint32_t weight)
{
    const lm_weight_desc *w = &o->m->network.weights[weight];
    return w->rows * w->cols;
}

/* --- values ----------------------------------------------------------------------------------- */

static void embed(oracle *o, const lm_step *s, uint32_t t)
{
    uint32_t n = width(o, s->out[0]), source = s->u.embed.source;
    uint32_t at = source == LM_EMBED_TOKENS      ? (uint32_t)rig_token(o->m, o->seq, t)
                  : source == LM_EMBED_POSITIONS ? rig_axis(t, 0)
                                                 : 0;
    for (uint32_t c = 0; c < n; c++)
        row(o, s->out[0], t)[c] = o->m->values[s->u.embed.weight][(size_t)at * n + c] *
                                  (s->u.embed.scale == 0 ? 1.0 : s->u.embed.scale);
}

static void take_over(oracle *o, const lm_step *s, uint32_t t)
{
    memmove(row(o, s->out[0], t), row(o, s->in[0], t), width(o, s->out[0]) * sizeof(double));
}

static void copy(oracle *o, const lm_step *s, uint32_t t)
{
    uint32_t heads = s->u.copy.heads == 0 ? 1 : s->u.copy.heads;
    uint32_t in = width(o, s->in[0]) / heads, out = width(o, s->out[0]) / heads;
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t c = 0; c < s->u.copy.width; c++)
            row(o, s->out[0], t)[h * out + s->u.copy.out_column + c] =
                row(o, s->in[0], t)[h * in + s->u.copy.in_column + c];
}

static void concat(oracle *o, const lm_step *s, uint32_t t)
{
    uint32_t first = width(o, s->in[0]);
    for (uint32_t c = 0; c < width(o, s->out[0]); c++)
        row(o, s->out[0], t)[c] =
            c < first ? row(o, s->in[0], t)[c] : row(o, s->in[1], t)[c - first];
}

static void add(oracle *o, const lm_step *s, uint32_t t)
{
    for (uint32_t c = 0; c < width(o, s->out[0]); c++)
        row(o, s->out[0], t)[c] = row(o, s->in[0], t)[c] + row(o, s->in[1], t)[c];
}

static void row_add(oracle *o, const lm_step *s, uint32_t t)
{
    for (uint32_t c = 0; c < width(o, s->out[0]); c++)
        row(o, s->out[0], t)[c] = row(o, s->in[0], t)[c] + vec(o, s->u.vector.weight)[c];
}

static void scale(oracle *o, const lm_step *s, uint32_t t)
{
    double cap = s->u.scale.cap;
    for (uint32_t c = 0; c < width(o, s->out[0]); c++) {
        double v = row(o, s->in[0], t)[c] * s->u.scale.scale;
        row(o, s->out[0], t)[c] = cap > 0 ? cap * tanh(v / cap) : v;
    }
}

static double act_of(uint32_t act, double x)
{
    double sigmoid = 0.5 * (1 + tanh(x / 2));
    switch (act) {
    case LM_ACT_SILU:
        return x * sigmoid;
    case LM_ACT_GELU_TANH:
        return x * 0.5 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * pow(x, 3))));
    case LM_ACT_GELU_ERF:
        return x * 0.5 * erfc(-x / sqrt(2));
    case LM_ACT_RELU:
        return fmax(x, 0);
    case LM_ACT_RELU2:
        return pow(fmax(x, 0), 2);
    case LM_ACT_SIGMOID:
        return sigmoid;
    case LM_ACT_GELU_QUICK:
        return x * 0.5 * (1 + tanh(1.702 * x / 2));
    case LM_ACT_SOFTPLUS:
        return log(1 + exp(x));
    default:
        return x;
    }
}

static void act_mul(oracle *o, const lm_step *s, uint32_t t)
{
    for (uint32_t c = 0; c < width(o, s->out[0]); c++) {
        double factor = s->in[1] == LM_NONE ? 1 : row(o, s->in[1], t)[c];
        row(o, s->out[0], t)[c] = act_of(s->u.act.act, row(o, s->in[0], t)[c]) * factor;
    }
}

static void norm(oracle *o, const lm_step *s, uint32_t t)
{
    const lm_norm *n = &s->u.norm;
    uint32_t all = width(o, s->in[0]), group = n->group == 0 ? all : n->group;
    for (uint32_t first = 0; first < all; first += group) {
        const double *x = row(o, s->in[0], t) + first;
        double sum = 0, squares = 0;
        for (uint32_t i = 0; i < group; i++)
            sum += x[i];
        double mean = n->kind == LM_NORM_LAYER ? sum / group : 0;
        for (uint32_t i = 0; i < group; i++)
            squares += pow(x[i] - mean, 2);
        double by =
            n->kind == LM_NORM_L2 ? fmax(sqrt(squares), n->eps) : sqrt(squares / group + n->eps);
        for (uint32_t i = 0; i < group; i++) {
            double v = (x[i] - mean) / by;
            if (n->weight != LM_NONE)
                v *= vec(o, n->weight)[size_of(o, n->weight) == group ? i : first + i] + n->offset;
            if (n->bias != LM_NONE)
                v += vec(o, n->bias)[size_of(o, n->bias) == group ? i : first + i];
            row(o, s->out[0], t)[first + i] = v;
        }
    }
}

/* Of the whole sequence; the result counts as the row of its last token. */
static void pool(oracle *o, const lm_step *s, uint32_t t)
{
    for (uint32_t c = 0; t == o->length - 1 && c < width(o, s->out[0]); c++) {
        double sum = 0;
        for (uint32_t i = 0; i < o->length; i++)
            sum += row(o, s->in[0], i)[c] / o->length;
        row(o, s->out[0], t)[c] = s->u.pool.kind == LM_POOL_MEAN  ? sum
                                  : s->u.pool.kind == LM_POOL_CLS ? row(o, s->in[0], 0)[c]
                                                                  : row(o, s->in[0], t)[c];
    }
}

/* By rank: how many stand before a value. */
static void best(oracle *o, const lm_step *s, uint32_t t)
{
    const double *in = row(o, s->in[0], t);
    uint32_t n = width(o, s->in[0]);
    for (uint32_t c = 0; c < n; c++) {
        uint32_t rank = 0;
        for (uint32_t other = 0; other < n; other++)
            rank += in[other] > in[c] || (in[other] == in[c] && other < c);
        if (rank < width(o, s->out[0])) {
            row(o, s->out[0], t)[rank] = c;
            row(o, s->out[1], t)[rank] = in[c];
        }
    }
}

/* --- products --------------------------------------------------------------------------------- */

/* out = W[matrix] in, scaled, plus bias. */
static void multiply(const oracle *o, const lm_linear *l, uint32_t matrix, const double *in,
                     double *out)
{
    const lm_weight_desc *w = &o->m->network.weights[l->weight];
    for (uint32_t r = 0; r < w->rows; r++) {
        double sum = 0;
        for (uint32_t c = 0; c < w->cols; c++)
            sum += in[c] * o->m->values[l->weight][((size_t)matrix * w->rows + r) * w->cols + c];
        out[r] = sum * (l->scale == 0 ? 1.0 : l->scale);
        if (l->bias != LM_NONE)
            out[r] += vec(o, l->bias)[matrix * w->rows + r];
    }
}

static void linear(oracle *o, const lm_step *s, uint32_t t)
{
    multiply(o, &s->u.linear, 0, row(o, s->in[0], t), row(o, s->out[0], t));
}

static void linear_heads(oracle *o, const lm_step *s, uint32_t t)
{
    uint32_t heads = s->u.heads.heads, in = width(o, s->in[0]) / heads,
             out = width(o, s->out[0]) / heads;
    for (uint32_t h = 0; h < heads; h++)
        multiply(o, &s->u.heads.linear, h, row(o, s->in[0], t) + h * in,
                 row(o, s->out[0], t) + h * out);
}

static void linear_expert(oracle *o, const lm_step *s, uint32_t t)
{
    uint32_t used = s->u.expert.used, out = width(o, s->out[0]) / used;
    uint32_t step = s->u.expert.per_expert_input ? width(o, s->in[0]) / used : 0;
    for (uint32_t k = 0; k < used; k++) {
        double id = row(o, s->in[1], t)[k], *to = row(o, s->out[0], t) + k * out;
        memset(to, 0, out * sizeof *to);
        if (id >= 0)
            multiply(o, &s->u.expert.linear, (uint32_t)id, row(o, s->in[0], t) + k * step, to);
    }
}

static void route(oracle *o, const lm_step *s, uint32_t t)
{
    const lm_route *r = &s->u.route;
    const double *x = row(o, s->in[0], t);
    double *ids = row(o, s->out[0], t), *weights = row(o, s->out[1], t), sum = 0, all = 0;
    for (uint32_t e = 0; e < r->experts; e++)
        all += exp(x[e]);
    for (uint32_t k = 0; k < r->used; k++) {
        double best = -INFINITY;
        for (uint32_t e = 0; e < r->experts; e++) {
            double value = r->kind == LM_ROUTE_SIGMOID   ? 1 / (1 + exp(-x[e]))
                           : r->kind == LM_ROUTE_SOFTMAX ? exp(x[e]) / all
                                                         : x[e];
            double rank = value + (r->bias == LM_NONE ? 0 : vec(o, r->bias)[e]);
            bool taken = false;
            for (uint32_t i = 0; i < k; i++)
                taken |= ids[i] == e;
            if (!taken && rank > best) {
                best = rank;
                ids[k] = e;
                weights[k] = r->kind == LM_ROUTE_SOFTMAX_PICKED ? exp(x[e]) : value;
            }
        }
        sum += weights[k];
    }
    bool normalise = r->normalise || r->kind == LM_ROUTE_SOFTMAX_PICKED;
    for (uint32_t k = 0; k < r->used; k++)
        weights[k] *= (normalise ? 1 / sum : 1) * (r->scale == 0 ? 1.0 : r->scale);
}

static void combine(oracle *o, const lm_step *s, uint32_t t)
{
    uint32_t used = s->u.combine.used, n = width(o, s->out[0]);
    for (uint32_t c = 0; c < n; c++) {
        double sum = 0;
        for (uint32_t k = 0; k < used; k++)
            sum += row(o, s->in[0], t)[k * n + c] * row(o, s->in[1], t)[k];
        row(o, s->out[0], t)[c] = sum;
    }
}

/* --- attention -------------------------------------------------------------------------------- */

/* YaRN as its authors write it: interpolated below, unchanged above, a ramp between. */
static double speed(const oracle *o, const lm_rope *r, uint32_t pair)
{
    double plain = pow(r->base, -(double)(2 * pair) / r->dims);
    if (r->factors != LM_NONE)
        plain /= vec(o, r->factors)[pair];
    if (r->yarn_mix == 0)
        return plain * r->freq_scale;
    double pi = acos(-1), bound[2], betas[2] = {r->beta_fast, r->beta_slow};
    for (int i = 0; i < 2; i++)
        bound[i] = r->dims * log(r->context_original / (betas[i] * 2 * pi)) / (2 * log(r->base));
    double low = fmax(floor(bound[0]), 0), high = fmin(ceil(bound[1]), r->dims - 1);
    double ramp = fmin(fmax((pair - low) / fmax(high - low, 0.001), 0), 1);
    return plain * r->freq_scale * ramp + plain * (1 - ramp);
}

static uint32_t axis_of(const lm_rope *r, uint32_t pair)
{
    uint32_t total = r->sections[0] + r->sections[1] + r->sections[2] + r->sections[3], end = 0;
    for (uint32_t axis = 0; total > 0 && axis < 4; axis++) {
        end += r->sections[axis];
        if (pair % total < end)
            return axis;
    }
    return 0;
}

static void rope(oracle *o, const lm_step *s, uint32_t t)
{
    const lm_rope *r = &s->u.rope.rope;
    take_over(o, s, t);
    for (uint32_t h = 0; r->style != LM_ROPE_NONE && h < s->u.rope.heads; h++) {
        double *x = row(o, s->out[0], t) + h * s->u.rope.head_dim;
        for (uint32_t i = 0; i < r->dims / 2; i++) {
            double *a = r->style == LM_ROPE_PAIRS ? x + 2 * i : x + i;
            double *b = r->style == LM_ROPE_PAIRS ? x + 2 * i + 1 : x + i + r->dims / 2;
            double angle = speed(o, r, i) * rig_axis(t, axis_of(r, i)), first = *a;
            double by = r->attn_factor == 0 ? 1.0 : r->attn_factor;
            *a = by * (first * cos(angle) - *b * sin(angle));
            *b = by * (first * sin(angle) + *b * cos(angle));
        }
    }
}

static void append(oracle *o, const lm_step *s, uint32_t t)
{
    uint32_t entry = s->u.append.cache, k = width(o, s->in[0]);
    uint32_t v = o->m->network.caches[entry].kv_heads * o->m->network.caches[entry].v_dim;
    const double *values = row(o, s->in[s->in[1] == LM_NONE ? 0 : 1], t);
    memcpy(o->keys[entry] + (size_t)t * k, row(o, s->in[0], t), k * sizeof(double));
    memcpy(o->values[entry] + (size_t)t * v, values, v * sizeof(double));
}

static bool sees(const oracle *o, const lm_attn *a, uint32_t t, uint32_t other)
{
    if (a->window != 0 && other + a->window <= t)
        return false;
    if (o->m->tree)
        return rig_tree_sees(t, other);
    return o->m->all_see || other <= t;
}

/* Slopes as in the paper: for a power of two they start at 2^(-max / n); for others the list of the
 * power below, then every second one of the power above. */
static double slope(const lm_attn *a, uint32_t head)
{
    uint32_t n = 1;
    while (2 * n <= a->heads)
        n *= 2;
    if (head < n)
        return pow(2, -a->alibi * (head + 1) / n);
    return pow(2, -a->alibi * (2 * (head - n) + 1) / (2 * n));
}

static double score(const oracle *o, const lm_attn *a, const double *q, uint32_t h, uint32_t t,
                    uint32_t other)
{
    uint32_t kv = h * a->kv_heads / a->heads;
    const double *key = o->keys[a->cache] + ((size_t)other * a->kv_heads + kv) * a->k_dim;
    double sum = 0;
    for (uint32_t i = 0; i < a->k_dim; i++)
        sum += q[h * a->k_dim + i] * key[i];
    sum *= a->scale;
    if (a->softcap > 0)
        sum = a->softcap * tanh(sum / a->softcap);
    return a->alibi > 0 ? sum - slope(a, h) * fabs((double)t - other) : sum;
}

static void attn(oracle *o, const lm_step *s, uint32_t t)
{
    const lm_attn *a = &s->u.attn;
    for (uint32_t h = 0; h < a->heads; h++) {
        double *out = row(o, s->out[0], t) + h * a->v_dim;
        double total = a->sinks == LM_NONE ? 0 : exp(vec(o, a->sinks)[h]);
        memset(out, 0, a->v_dim * sizeof *out);
        for (uint32_t other = 0; other < o->length; other++) {
            if (!sees(o, a, t, other))
                continue;
            double p = exp(score(o, a, row(o, s->in[0], t), h, t, other));
            uint32_t kv = h * a->kv_heads / a->heads;
            total += p;
            for (uint32_t i = 0; i < a->v_dim; i++)
                out[i] +=
                    p * o->values[a->cache][((size_t)other * a->kv_heads + kv) * a->v_dim + i];
        }
        for (uint32_t i = 0; i < a->v_dim; i++)
            out[i] /= total;
    }
}

/* --- state ------------------------------------------------------------------------------------ */

static void conv(oracle *o, const lm_step *s, uint32_t t)
{
    const lm_conv *v = &s->u.conv;
    for (uint32_t c = 0; c < v->channels; c++) {
        double sum = v->bias == LM_NONE ? 0 : vec(o, v->bias)[c];
        for (uint32_t k = 0; k < v->kernel && k <= t; k++) /* k rows back */
            sum +=
                vec(o, v->weight)[c * v->kernel + v->kernel - 1 - k] * row(o, s->in[0], t - k)[c];
        row(o, s->out[0], t)[c] = act_of(v->act, sum);
    }
}

/* The recurrence unrolled: y[t] = sum over u <= t of (C[t] B[u]) x[u] dt[u] exp(a (dt[u+1] + ... +
 * dt[t])). */
static void scan(oracle *o, const lm_step *s, uint32_t t)
{
    const lm_scan *v = &s->u.scan;
    uint32_t inner = v->heads * v->head_dim, states = v->groups * v->state;
    for (uint32_t h = 0; h < v->heads; h++) {
        uint32_t g = h / (v->heads / v->groups) * v->state;
        double *y = row(o, s->out[0], t) + h * v->head_dim, log_decay = 0;
        for (uint32_t p = 0; p < v->head_dim; p++)
            y[p] = v->d == LM_NONE ? 0 : vec(o, v->d)[h] * row(o, s->in[0], t)[h * v->head_dim + p];
        for (uint32_t u = t + 1; u > 0; u--) {
            const double *now = row(o, s->in[0], t), *then = row(o, s->in[0], u - 1);
            double dt = row(o, s->in[1], u - 1)[h], product = 0;
            dt = log(1 + exp(dt + (v->dt_bias == LM_NONE ? 0 : vec(o, v->dt_bias)[h])));
            for (uint32_t n = 0; n < v->state; n++)
                product += now[inner + states + g + n] * then[inner + g + n];
            for (uint32_t p = 0; p < v->head_dim; p++)
                y[p] += product * dt * then[h * v->head_dim + p] * exp(log_decay);
            log_decay += dt * vec(o, v->a)[h];
        }
    }
}

/* --- the whole -------------------------------------------------------------------------------- */

static void (*const formulas[LM_STEP_COUNT])(oracle *o, const lm_step *s, uint32_t t) = {
    [LM_STEP_EMBED] = embed,
    [LM_STEP_GATHER_ROWS] = take_over,
    [LM_STEP_COPY] = copy,
    [LM_STEP_CONCAT] = concat,
    [LM_STEP_ADD] = add,
    [LM_STEP_ROW_ADD] = row_add,
    [LM_STEP_SCALE] = scale,
    [LM_STEP_NORM] = norm,
    [LM_STEP_ACT_MUL] = act_mul,
    [LM_STEP_LINEAR] = linear,
    [LM_STEP_LINEAR_HEADS] = linear_heads,
    [LM_STEP_LINEAR_EXPERT] = linear_expert,
    [LM_STEP_ROUTE_TOPK] = route,
    [LM_STEP_COMBINE] = combine,
    [LM_STEP_ROPE] = rope,
    [LM_STEP_KV_APPEND] = append,
    [LM_STEP_ATTN_PAGED] = attn,
    [LM_STEP_CONV_STATE] = conv,
    [LM_STEP_SCAN_STATE] = scan,
    [LM_STEP_POOL] = pool,
    [LM_STEP_TAP] = take_over,
    [LM_STEP_BEST] = best,
    [LM_STEP_ALL_REDUCE] = take_over,
};

static double *grab(size_t count)
{
    double *p = calloc(count + 1, sizeof *p);
    assert_non_null(p);
    return p;
}

static void fill_input(oracle *o, uint32_t input)
{
    const rig_border *b = &o->m->inputs[input];
    for (uint32_t t = 0; t < o->length; t++)
        for (uint32_t c = 0; c < width(o, b->slot); c++)
            row(o, b->slot, t)[c] = b->ids > 0 ? rig_id(o->m, input, o->seq, t, c)
                                               : (double)rig_value(o->m, input, o->seq, t, c);
}

void oracle_open(oracle *o, const rig_model *m, uint32_t seq, uint32_t length)
{
    *o = (oracle){.m = m, .seq = seq, .length = length};
    o->slots = calloc(m->graph.n_slots + 1, sizeof *o->slots);
    o->keys = calloc(m->network.n_caches + 1, sizeof *o->keys);
    o->values = calloc(m->network.n_caches + 1, sizeof *o->values);
    for (size_t i = 0; i < m->graph.n_slots; i++)
        o->slots[i] = grab((size_t)length * m->graph.slots[i].width);
    for (size_t i = 0; i < m->network.n_caches; i++) {
        const lm_cache_entry *e = &m->network.caches[i];
        o->keys[i] = grab((size_t)length * e->kv_heads * e->k_dim);
        o->values[i] = grab((size_t)length * e->kv_heads * e->v_dim);
    }
    for (uint32_t i = 0; i < m->n_inputs; i++)
        fill_input(o, i);
    for (size_t i = 0; i < m->graph.n_steps; i++) {
        const lm_step *s = &m->graph.steps[i];
        for (uint32_t t = 0; t < length; t++)
            formulas[s->kind](o, s, t);
    }
}

void oracle_close(oracle *o)
{
    for (size_t i = 0; i < o->m->graph.n_slots; i++)
        free(o->slots[i]);
    for (size_t i = 0; i < o->m->network.n_caches; i++) {
        free(o->keys[i]);
        free(o->values[i]);
    }
    free(o->slots);
    free(o->keys);
    free(o->values);
}

const double *oracle_row(const oracle *o, uint32_t slot, uint32_t position)
{
    return row(o, slot, position);
}
