/* test_lowering.c - every coarse step, lowered and run on the reference backend, gives what its
 * definition says: written here as plain formulas over the coarse step, which know nothing of
 * primitives. */
#include "backend/rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 16, HEADS = 4, KV = 2, DIM = 8, FF = 24, EXPERTS = 5, USED = 2, WORDS = 30 };

/* Variants, as bits; each kind of step has its own use for them. */
enum {
    RESIDUAL = 1,
    BIASES = 2,
    GATE = 4,
    SHARED = 8,
    SHARED_ROUTER = 16,
    NORMS = 32,
    CAP = 64,
    HALVES = 128,
    PAIRS = 256,
    WINDOW = 512,
    SINKS = 1024,
    PICKED = 2048
};

typedef struct coarse {
    rig_model m;
    uint32_t variant;
    lm_step steps[2]; /* the coarse steps under test */
    uint32_t n_steps;
} coarse;

/* --- building -------------------------------------------------------------------------------- */

static lm_linear linear(coarse *c, uint32_t rows, uint32_t cols)
{
    uint32_t w = rig_matrix(&c->m, LM_F32, rows, cols);
    return (lm_linear){w, c->variant & BIASES ? rig_vector(&c->m, rows, 0, 0.5) : LM_NONE, LM_NONE,
                       0};
}

static lm_linear stack(coarse *c, uint32_t rows, uint32_t cols)
{
    double deviation = 1 / sqrt(cols);
    uint32_t w = rig_weight(&c->m, LM_F32, rows, cols, EXPERTS, LM_USE_EXPERT, 0, deviation);
    uint32_t bias = c->variant & BIASES ? rig_vector(&c->m, rows * EXPERTS, 0, 0.5) : LM_NONE;
    return (lm_linear){w, bias, LM_NONE, 0};
}

static lm_norm norm(coarse *c, uint32_t group)
{
    if ((c->variant & NORMS) == 0)
        return lm_norm_absent();
    return (lm_norm){.kind = LM_NORM_RMS,
                     .weight = rig_vector(&c->m, group, 1, 0.3),
                     .bias = LM_NONE,
                     .group = group,
                     .eps = 1e-5f};
}

static uint32_t add(coarse *c, lm_step *s, uint32_t kind, uint32_t in, uint32_t residual,
                    uint32_t width)
{
    lm_step *step = &c->steps[c->n_steps++];
    *step = *s;
    step->kind = (uint16_t)kind;
    step->layer = (uint16_t)c->n_steps;
    step->in[0] = in;
    step->in[1] = residual;
    step->in[2] = step->out[1] = LM_NONE;
    step->out[0] = kind == LM_STEP_HEAD ? lm_build_slot(&c->m.b, width, LM_ROWS_WANTED, LM_SLOT_F32)
                                        : rig_slot(&c->m, width);
    return step->out[0];
}

static uint32_t residual_of(coarse *c)
{
    return c->variant & RESIDUAL ? rig_input(&c->m, WIDTH) : LM_NONE;
}

static void build_ffn(coarse *c)
{
    uint32_t x = rig_input(&c->m, WIDTH), residual = residual_of(c);
    lm_step s = {.u.ffn = {.gate = c->variant & GATE ? linear(c, FF, WIDTH) : lm_linear_absent(),
                           .up = linear(c, FF, WIDTH),
                           .down = linear(c, WIDTH, FF),
                           .act = LM_ACT_SILU}};
    rig_output(&c->m, add(c, &s, LM_STEP_GLU_FFN, x, residual, WIDTH));
}

static void build_moe(coarse *c)
{
    uint32_t x = rig_input(&c->m, WIDTH), residual = residual_of(c);
    bool shared = (c->variant & SHARED) != 0, router = (c->variant & SHARED_ROUTER) != 0;
    lm_step s = {.u.moe = {.router = linear(c, EXPERTS, WIDTH),
                           .gate = stack(c, FF, WIDTH),
                           .up = stack(c, FF, WIDTH),
                           .down = stack(c, WIDTH, FF),
                           .shared_router = router ? linear(c, 1, WIDTH) : lm_linear_absent(),
                           .shared_gate = shared ? linear(c, FF, WIDTH) : lm_linear_absent(),
                           .shared_up = shared ? linear(c, FF, WIDTH) : lm_linear_absent(),
                           .shared_down = shared ? linear(c, WIDTH, FF) : lm_linear_absent(),
                           .route = {.kind = c->variant & PICKED ? LM_ROUTE_SOFTMAX_PICKED
                                                                 : LM_ROUTE_SOFTMAX,
                                     .experts = EXPERTS,
                                     .used = USED,
                                     .bias = LM_NONE},
                           .act = LM_ACT_SILU}};
    rig_output(&c->m, add(c, &s, LM_STEP_MOE_FFN, x, residual, WIDTH));
}

static void build_head(coarse *c)
{
    uint32_t x = rig_input(&c->m, WIDTH);
    lm_step s = {.u.head = {.norm = norm(c, WIDTH),
                            .out = linear(c, WORDS, WIDTH),
                            .cap = c->variant & CAP ? 1.5f : 0}};
    rig_output(&c->m, add(c, &s, LM_STEP_HEAD, x, LM_NONE, WORDS));
}

static void build_attention(coarse *c)
{
    uint32_t x = rig_input(&c->m, WIDTH), residual = residual_of(c), v = c->variant;
    uint32_t window = v & WINDOW ? 9 : 0;
    uint32_t group = lm_build_group(&c->m.b, window ? LM_CACHE_WINDOW : LM_CACHE_FULL, window);
    uint32_t cache = lm_build_kv(&c->m.b, group, KV, DIM, DIM);
    uint32_t style = v & HALVES ? LM_ROPE_HALVES : v & PAIRS ? LM_ROPE_PAIRS : LM_ROPE_NONE;
    lm_step qkv = {
        .u.qkv = {.q = linear(c, HEADS * DIM, WIDTH),
                  .k = linear(c, KV * DIM, WIDTH),
                  .v = linear(c, KV * DIM, WIDTH),
                  .q_norm = norm(c, DIM),
                  .k_norm = norm(c, DIM),
                  .rope = {.style = style, .dims = DIM - 2, .base = 50, .factors = LM_NONE},
                  .cache = cache,
                  .heads = HEADS,
                  .kv_heads = KV,
                  .k_dim = DIM,
                  .v_dim = DIM}};
    uint32_t q = add(c, &qkv, LM_STEP_QKV_ROPE_APPEND, x, LM_NONE, HEADS * DIM);
    lm_step out = {
        .u.attn_out = {.attn = {.cache = cache,
                                .heads = HEADS,
                                .kv_heads = KV,
                                .k_dim = DIM,
                                .v_dim = DIM,
                                .scale = 0.4f,
                                .softcap = v & CAP ? 2 : 0,
                                .window = window,
                                .sinks = v & SINKS ? rig_vector(&c->m, HEADS, 0.5, 1) : LM_NONE},
                       .out = linear(c, WIDTH, HEADS * DIM)}};
    rig_output(&c->m, add(c, &out, LM_STEP_ATTN_OUT, q, residual, WIDTH));
}

enum { LATENT = 6, ROTATED = 4, PLAIN = 5, VALUE = 3, LOW = 7 };

static lm_linear per_head(coarse *c, uint32_t rows, uint32_t cols)
{
    uint32_t w = rig_weight(&c->m, LM_F32, rows, cols, HEADS, LM_USE_MATMUL, 0, 1 / sqrt(cols));
    return (lm_linear){w, LM_NONE, LM_NONE, 0};
}

static void build_latent(coarse *c)
{
    uint32_t x = rig_input(&c->m, WIDTH), residual = residual_of(c), v = c->variant;
    bool low = (v & GATE) != 0;
    uint32_t group = lm_build_group(&c->m.b, LM_CACHE_LATENT, 0);
    lm_step s = {
        .u.mla = {.q_down = low ? linear(c, LOW, WIDTH) : lm_linear_absent(),
                  .q_up = linear(c, HEADS * (PLAIN + ROTATED), low ? LOW : WIDTH),
                  .kv_down = linear(c, LATENT + ROTATED, WIDTH),
                  .k_up = per_head(c, LATENT, PLAIN),
                  .v_up = per_head(c, VALUE, LATENT),
                  .out = linear(c, WIDTH, HEADS * VALUE),
                  .q_norm = low ? norm(c, LOW) : lm_norm_absent(),
                  .kv_norm = norm(c, LATENT),
                  .rope = {.style = v & PAIRS ? LM_ROPE_PAIRS : LM_ROPE_HALVES,
                           .dims = ROTATED,
                           .base = 50,
                           .factors = LM_NONE},
                  .attn = {.cache = lm_build_kv(&c->m.b, group, 1, LATENT + ROTATED, LATENT),
                           .heads = HEADS,
                           .kv_heads = 1,
                           .k_dim = LATENT + ROTATED,
                           .v_dim = LATENT,
                           .scale = 0.4f,
                           .sinks = LM_NONE}}};
    rig_output(&c->m, add(c, &s, LM_STEP_MLA_ATTN, x, residual, WIDTH));
}

/* --- formulas -------------------------------------------------------------------------------- */

static void apply(const coarse *c, const lm_linear *l, uint32_t expert, const double *x, double *y)
{
    const lm_weight_desc *w = &c->m.network.weights[l->weight];
    const float *values = c->m.values[l->weight] + (size_t)expert * w->rows * w->cols;
    for (uint32_t r = 0; r < w->rows; r++) {
        y[r] = l->bias == LM_NONE ? 0 : c->m.values[l->bias][expert * w->rows + r];
        for (uint32_t k = 0; k < w->cols; k++)
            y[r] += values[(size_t)r * w->cols + k] * x[k];
    }
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static void input_of(const coarse *c, uint32_t input, uint32_t seq, uint32_t position, double *x)
{
    for (uint32_t i = 0; i < WIDTH; i++)
        x[i] = rig_value(&c->m, input, seq, position, i);
}

static void add_residual(const coarse *c, uint32_t seq, uint32_t position, double *y)
{
    double r[WIDTH];
    input_of(c, 1, seq, position, r);
    for (uint32_t i = 0; i < WIDTH; i++)
        y[i] += c->variant & RESIDUAL ? r[i] : 0;
}

/* down(silu(gate x) * up x); without gate down(silu(up x)) */
static void glu(const coarse *c, const lm_linear *gate, const lm_linear *up, const lm_linear *down,
                uint32_t expert, const double *x, double *y)
{
    double g[FF], u[FF];
    apply(c, up, expert, x, u);
    if (gate->weight != LM_NONE)
        apply(c, gate, expert, x, g);
    for (uint32_t i = 0; i < FF; i++)
        u[i] = gate->weight != LM_NONE ? silu(g[i]) * u[i] : silu(u[i]);
    apply(c, down, expert, u, y);
}

static void ffn_formula(const coarse *c, uint32_t seq, uint32_t position, double *y)
{
    double x[WIDTH];
    const lm_step *s = &c->steps[0];
    input_of(c, 0, seq, position, x);
    glu(c, &s->u.ffn.gate, &s->u.ffn.up, &s->u.ffn.down, 0, x, y);
    add_residual(c, seq, position, y);
}

/* The two largest scores; weights by a softmax over all, or over the two. */
static void route(const coarse *c, const double *scores, uint32_t *ids, double *shares)
{
    double all = 0;
    ids[0] = scores[0] >= scores[1] ? 0 : 1;
    ids[1] = 1 - ids[0];
    for (uint32_t e = 2; e < EXPERTS; e++) {
        if (scores[e] > scores[ids[0]]) {
            ids[1] = ids[0];
            ids[0] = e;
        } else if (scores[e] > scores[ids[1]]) {
            ids[1] = e;
        }
    }
    for (uint32_t e = 0; e < EXPERTS; e++)
        all += exp(scores[e]);
    double two = exp(scores[ids[0]]) + exp(scores[ids[1]]);
    for (uint32_t i = 0; i < USED; i++)
        shares[i] = exp(scores[ids[i]]) / (c->variant & PICKED ? two : all);
}

static void moe_formula(const coarse *c, uint32_t seq, uint32_t position, double *y)
{
    double x[WIDTH], scores[EXPERTS], shares[USED], part[WIDTH], gate = 1;
    uint32_t ids[USED];
    const lm_step *s = &c->steps[0];
    input_of(c, 0, seq, position, x);
    apply(c, &s->u.moe.router, 0, x, scores);
    route(c, scores, ids, shares);
    memset(y, 0, WIDTH * sizeof *y);
    for (uint32_t k = 0; k < USED; k++) {
        glu(c, &s->u.moe.gate, &s->u.moe.up, &s->u.moe.down, ids[k], x, part);
        for (uint32_t i = 0; i < WIDTH; i++)
            y[i] += shares[k] * part[i];
    }
    if (c->variant & SHARED_ROUTER) {
        apply(c, &s->u.moe.shared_router, 0, x, &gate);
        gate = 1 / (1 + exp(-gate));
    }
    if (c->variant & SHARED) {
        glu(c, &s->u.moe.shared_gate, &s->u.moe.shared_up, &s->u.moe.shared_down, 0, x, part);
        for (uint32_t i = 0; i < WIDTH; i++)
            y[i] += gate * part[i];
    }
    add_residual(c, seq, position, y);
}

static void rms_norm(const coarse *c, const lm_norm *n, double *x, uint32_t width)
{
    if (n->weight == LM_NONE)
        return;
    for (uint32_t at = 0; at < width; at += n->group) {
        double squares = 0;
        for (uint32_t i = 0; i < n->group; i++)
            squares += x[at + i] * x[at + i];
        for (uint32_t i = 0; i < n->group; i++)
            x[at + i] *= c->m.values[n->weight][i] / sqrt(squares / n->group + n->eps);
    }
}

static void head_formula(const coarse *c, uint32_t seq, uint32_t position, double *y)
{
    double x[WIDTH];
    const lm_step *s = &c->steps[0];
    input_of(c, 0, seq, position, x);
    rms_norm(c, &s->u.head.norm, x, WIDTH);
    apply(c, &s->u.head.out, 0, x, y);
    for (uint32_t i = 0; i < WORDS && s->u.head.cap > 0; i++)
        y[i] = s->u.head.cap * tanh(y[i] / s->u.head.cap);
}

static void rotate(const lm_rope *rope, uint32_t position, double *head)
{
    for (uint32_t i = 0; rope->style != LM_ROPE_NONE && i < rope->dims / 2; i++) {
        double angle = position * pow(rope->base, -2.0 * i / rope->dims);
        double *a = &head[rope->style == LM_ROPE_PAIRS ? 2 * i : i];
        double *b = rope->style == LM_ROPE_PAIRS ? a + 1 : a + rope->dims / 2, first = *a;
        *a = first * cos(angle) - *b * sin(angle);
        *b = first * sin(angle) + *b * cos(angle);
    }
}

/* q or k of one position, normed and rotated. */
static void project(const coarse *c, const lm_linear *l, const lm_norm *n, uint32_t seq,
                    uint32_t position, uint32_t heads, double *out)
{
    double x[WIDTH];
    input_of(c, 0, seq, position, x);
    apply(c, l, 0, x, out);
    rms_norm(c, n, out, heads * DIM);
    for (uint32_t h = 0; h < heads; h++)
        rotate(&c->steps[0].u.qkv.rope, position, out + h * DIM);
}

/* What one head gathers: e^score over the visible positions, and a sink beside them. */
static void attend(const coarse *c, uint32_t seq, uint32_t position, uint32_t head, const double *q,
                   double *mixed)
{
    const lm_step *s = &c->steps[0];
    const lm_attn *a = &c->steps[1].u.attn_out.attn;
    double total = a->sinks == LM_NONE ? 0 : exp(c->m.values[a->sinks][head]);
    uint32_t first = a->window != 0 && position + 1 > a->window ? position + 1 - a->window : 0;
    uint32_t kv = head / (HEADS / KV);
    memset(mixed, 0, DIM * sizeof *mixed);
    for (uint32_t p = first; p <= position; p++) {
        double k[KV * DIM], v[KV * DIM], x[WIDTH], score = 0;
        project(c, &s->u.qkv.k, &s->u.qkv.k_norm, seq, p, KV, k);
        input_of(c, 0, seq, p, x);
        apply(c, &s->u.qkv.v, 0, x, v);
        for (uint32_t i = 0; i < DIM; i++)
            score += q[head * DIM + i] * k[kv * DIM + i];
        score *= a->scale;
        score = exp(a->softcap > 0 ? a->softcap * tanh(score / a->softcap) : score);
        total += score;
        for (uint32_t i = 0; i < DIM; i++)
            mixed[i] += score * v[kv * DIM + i];
    }
    for (uint32_t i = 0; i < DIM; i++)
        mixed[i] /= total;
}

static void attention_formula(const coarse *c, uint32_t seq, uint32_t position, double *y)
{
    double q[HEADS * DIM], mixed[HEADS * DIM];
    const lm_step *s = &c->steps[0];
    project(c, &s->u.qkv.q, &s->u.qkv.q_norm, seq, position, HEADS, q);
    for (uint32_t h = 0; h < HEADS; h++)
        attend(c, seq, position, h, q, mixed + h * DIM);
    apply(c, &c->steps[1].u.attn_out.out, 0, mixed, y);
    add_residual(c, seq, position, y);
}

/* As the paper has it: every token's keys and values of every head, unfolded from its latent vector. */
static void unfold(const coarse *c, uint32_t seq, uint32_t position, uint32_t head, double *key,
                   double *value)
{
    const lm_step *s = &c->steps[0];
    const float *k_up = c->m.values[s->u.mla.k_up.weight] + head * LATENT * PLAIN;
    double x[WIDTH], kv[LATENT + ROTATED];
    input_of(c, 0, seq, position, x);
    apply(c, &s->u.mla.kv_down, 0, x, kv);
    rms_norm(c, &s->u.mla.kv_norm, kv, LATENT);
    rotate(&s->u.mla.rope, position, kv + LATENT);
    for (uint32_t j = 0; j < PLAIN; j++) {
        key[j] = 0;
        for (uint32_t i = 0; i < LATENT; i++)
            key[j] += k_up[i * PLAIN + j] * kv[i];
    }
    memcpy(key + PLAIN, kv + LATENT, ROTATED * sizeof *key);
    apply(c, &s->u.mla.v_up, head, kv, value);
}

static void latent_formula(const coarse *c, uint32_t seq, uint32_t position, double *y)
{
    enum { KEY = PLAIN + ROTATED };
    double x[WIDTH], low[LOW], q[HEADS * KEY], mixed[HEADS * VALUE] = {0};
    const lm_step *s = &c->steps[0];
    input_of(c, 0, seq, position, x);
    if (c->variant & GATE) {
        apply(c, &s->u.mla.q_down, 0, x, low);
        rms_norm(c, &s->u.mla.q_norm, low, LOW);
    }
    apply(c, &s->u.mla.q_up, 0, c->variant & GATE ? low : x, q);
    for (uint32_t h = 0; h < HEADS; h++) {
        double total = 0;
        rotate(&s->u.mla.rope, position, q + h * KEY + PLAIN);
        for (uint32_t p = 0; p <= position; p++) {
            double key[KEY], value[VALUE], score = 0;
            unfold(c, seq, p, h, key, value);
            for (uint32_t i = 0; i < KEY; i++)
                score += q[h * KEY + i] * key[i];
            score = exp(score * s->u.mla.attn.scale);
            total += score;
            for (uint32_t i = 0; i < VALUE; i++)
                mixed[h * VALUE + i] += score * value[i];
        }
        for (uint32_t i = 0; i < VALUE; i++)
            mixed[h * VALUE + i] /= total;
    }
    apply(c, &s->u.mla.out, 0, mixed, y);
    add_residual(c, seq, position, y);
}

/* --- cases ----------------------------------------------------------------------------------- */

typedef struct lowering_case {
    const char *name;
    void (*build)(coarse *c);
    void (*formula)(const coarse *c, uint32_t seq, uint32_t position, double *y);
    uint32_t variant;
} lowering_case;

#define FFN(name, variant)                                                                         \
    {                                                                                              \
        name, build_ffn, ffn_formula, variant                                                      \
    }
#define MOE(name, variant)                                                                         \
    {                                                                                              \
        name, build_moe, moe_formula, variant                                                      \
    }
#define HEAD(name, variant)                                                                        \
    {                                                                                              \
        name, build_head, head_formula, variant                                                    \
    }
#define ATTN(name, variant)                                                                        \
    {                                                                                              \
        name, build_attention, attention_formula, variant                                          \
    }

#define LATENT_ATTN(name, variant)                                                                 \
    {                                                                                              \
        name, build_latent, latent_formula, variant                                                \
    }

static const lowering_case cases[] = {
    FFN("ffn gated", GATE),
    FFN("ffn gated, biases, residual", GATE | BIASES | RESIDUAL),
    FFN("ffn plain", 0),
    FFN("ffn plain, biases, residual", BIASES | RESIDUAL),
    MOE("experts", 0),
    MOE("experts picked, residual", PICKED | RESIDUAL),
    MOE("experts with biases", BIASES | PICKED),
    MOE("experts and a shared one", SHARED),
    MOE("experts and a weighted shared one", SHARED | SHARED_ROUTER),
    MOE("experts, all at once", SHARED | SHARED_ROUTER | BIASES | RESIDUAL),
    HEAD("head", 0),
    HEAD("head normed", NORMS),
    HEAD("head normed and capped", NORMS | CAP | BIASES),
    ATTN("attention", 0),
    ATTN("attention, halves, residual", HALVES | RESIDUAL),
    ATTN("attention, pairs, biases", PAIRS | BIASES),
    ATTN("attention, normed heads", HALVES | NORMS),
    ATTN("attention, window", PAIRS | WINDOW),
    ATTN("attention, capped", HALVES | CAP),
    ATTN("attention, sinks", HALVES | SINKS),
    ATTN("attention, all at once", HALVES | SINKS | CAP | WINDOW | NORMS | BIASES | RESIDUAL),
    LATENT_ATTN("latent attention", 0),
    LATENT_ATTN("latent attention, normed, residual", PAIRS | NORMS | RESIDUAL),
    LATENT_ATTN("latent attention, queries of low rank", GATE | NORMS),
    LATENT_ATTN("latent attention, all at once", PAIRS | GATE | NORMS | BIASES | RESIDUAL),
};

/* Values are rounded to f32 between some ten steps. */
#define TOLERANCE 1e-6

static void compare(const coarse *c, const rig *r, const lowering_case *which)
{
    double wanted[WORDS], worst = 0, largest = 0;
    uint32_t rows = 0, width = which->build == build_head ? WORDS : WIDTH;
    for (uint32_t seq = 0; seq < RIG_SEQS; seq++) {
        for (uint32_t p = 0; p < r->seqs[seq].length; p++) {
            if (!r->seqs[seq].have[0][p])
                continue;
            const float *got = rig_row(r, 0, seq, p);
            which->formula(c, seq, p, wanted);
            for (uint32_t i = 0; i < width; i++) {
                double difference = fabs(got[i] - wanted[i]);
                worst = difference <= worst ? worst : difference; /* a NaN stays */
                largest = fmax(largest, fabs(wanted[i]));
            }
            rows++;
        }
    }
    assert_true(rows > 20);
    if (!(worst <= TOLERANCE * largest))
        fail_msg("%s: off by %.1e of the largest value", which->name, worst / largest);
}

static void lower_all(coarse *c)
{
    for (uint32_t i = 0; i < c->n_steps; i++) {
        size_t first = c->m.graph.n_steps;
        assert_ok(lm_lower(&c->m.b, &c->steps[i]));
        assert_true(c->m.graph.n_steps > first);
        for (size_t k = first; k < c->m.graph.n_steps; k++) {
            assert_false(lm_step_is_coarse(c->m.graph.steps[k].kind));
            assert_int_equal(c->m.graph.steps[k].layer, c->steps[i].layer);
        }
        const lm_step *last = &c->m.graph.steps[c->m.graph.n_steps - 1];
        if (c->steps[i].kind != LM_STEP_QKV_ROPE_APPEND) /* which ends with the append */
            assert_int_equal(last->out[0], c->steps[i].out[0]);
    }
}

static void test_lowering__formula(void **state)
{
    static const uint32_t lengths[RIG_SEQS] = {25, 7, 1, 0};
    const lowering_case *which = *state;
    static coarse c;
    static rig r;
    memset(&c, 0, sizeof c);
    rig_model_init(&c.m, 77);
    c.variant = which->variant;
    which->build(&c);
    lower_all(&c);
    rig_open(&r, &c.m, &(rig_options){.backend = "ref", .page_tokens = 16, .free_pages = true});
    rig_feed(&r, lengths, 10, true);
    compare(&c, &r, which);
    rig_close(&r);
    rig_model_finish(&c.m);
}

/* A primitive is its own lowering. */
static void test_lowering__others(void **state)
{
    rig_model m;
    (void)state;
    rig_model_init(&m, 1);
    uint32_t x = rig_input(&m, 8), y = rig_slot(&m, 8);
    lm_step scale = rig_make(LM_STEP_SCALE, x, LM_NONE, y);
    scale.layer = 3;
    scale.u.scale.scale = 2;
    assert_ok(lm_lower(&m.b, &scale));
    assert_int_equal(m.graph.n_steps, 1);
    assert_memory_equal(&m.graph.steps[0], &scale, sizeof scale);
    rig_model_finish(&m);
}

int main(void)
{
    enum { CASES = sizeof cases / sizeof cases[0] };
    static struct CMUnitTest tests[CASES + 1];
    for (size_t i = 0; i < CASES; i++)
        tests[i] = (struct CMUnitTest){.name = cases[i].name,
                                       .test_func = test_lowering__formula,
                                       .initial_state = (void *)(uintptr_t)&cases[i]};
    tests[CASES] = (struct CMUnitTest)cmocka_unit_test(test_lowering__others);
    return cmocka_run_group_tests_name("lowering", tests, NULL, NULL);
}
