/* test_kernels_attn.c - attention over tiles: every instruction set against the formula in double,
 * the portable one bit for bit against the numerics page, and together against alone. */
#include "backend/levels.h"

#include "backends/cpu/kernels/math.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { S = LCPU_ATTN_SLOTS, DIM = 48, WIDE = 83, STRIDE = 160 };

/* --- keys and scores -------------------------------------------------------------------------- */

static void keys_are_turned(void **state)
{
    (void)state;
    static float rows[16 * STRIDE], to[STRIDE * S];
    numbers(rows, sizeof rows / sizeof rows[0], NORMAL, 3);
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (uint32_t stride = 16; stride <= STRIDE; stride += 16)
            for (uint32_t first = 0; first < S; first += 16) {
                for (uint32_t i = 0; i < stride * S; i++)
                    to[i] = 77;
                k.attn_keys(rows, stride, to + first);
                for (uint32_t i = 0; i < stride * S; i++) {
                    uint32_t slot = i % S;
                    bool inside = slot >= first && slot < first + 16;
                    assert_true(to[i] == (inside ? rows[(slot - first) * stride + i / S] : 77));
                }
            }
    }
}

static void check_scores(const lcpu_kernels *k, uint32_t dim, uint32_t n, int kind)
{
    static float keys[STRIDE * S], x[LCPU_ATTN_QUERIES][STRIDE], scores[LCPU_ATTN_QUERIES * S];
    const float *query[LCPU_ATTN_QUERIES];
    numbers(keys, (size_t)dim * S, kind, dim);
    for (uint32_t q = 0; q < n; q++) {
        numbers(x[q], dim, NORMAL, q + 40);
        query[q] = x[q];
    }
    lcpu_attn_tile t = {
        .keys = keys, .k_dim = dim, .scale = 0.3f, .n = n, .query = query, .scores = scores};
    k->attn_scores(&t);
    for (uint32_t q = 0; q < n; q++)
        for (uint32_t j = 0; j < S; j++) {
            float canonical = 0;
            double exact = 0, size = 0;
            for (uint32_t d = 0; d < dim; d++) {
                double product = (double)keys[d * S + j] * x[q][d];
                canonical += keys[d * S + j] * x[q][d];
                exact += product;
                size += fabs(product);
            }
            float got = scores[q * S + j];
            if (k->used == 0)
                assert_true(same_float(got, canonical * 0.3f));
            /* A sum in rising order loses at most one rounding a term. */
            assert_true(fabs(got - exact * 0.3) <= 0.3 * size * 6e-8 * (dim + 2) + dim * 1e-45);
        }
}

static void scores(void **state)
{
    (void)state;
    static const uint32_t dims[] = {1, 16, 40, 64, 160};
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++)
            for (uint32_t n = 1; n <= LCPU_ATTN_QUERIES; n++)
                for (int kind = 0; kind < KINDS; kind++)
                    check_scores(&k, dims[i], n, kind);
    }
}

/* --- weights and outputs ---------------------------------------------------------------------- */

/* A split of some tiles for one query. */
typedef struct split {
    float m, l[16], o[DIM];
} split;

static float all_of(const float l[16])
{
    return lcpu_tree16(l);
}

/* Numbers of tile `t`; what is not seen is NaN, which nothing may use. */
static void fill_tile(size_t t, uint64_t seen, float level_of_scores, float *scores, float *values)
{
    numbers(values, S * DIM, NORMAL, t + 1);
    numbers(scores, S, NORMAL, t + 90);
    for (uint32_t j = 0; j < S; j++) {
        scores[j] *= level_of_scores;
        if ((seen >> j & 1u) != 0)
            continue;
        scores[j] = NAN;
        for (uint32_t i = 0; i < DIM; i++)
            values[j * DIM + i] = NAN;
    }
}

static void check_tiles(const lcpu_kernels *k, const uint64_t *masks, size_t n_tiles,
                        float level_of_scores)
{
    static float values[S * DIM], scores[S];
    split s = {.m = -INFINITY};
    double total = 0, mixed[DIM] = {0}, largest = -INFINITY, size = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t t = 0; t < n_tiles; t++) {
            fill_tile(t, masks[t], level_of_scores, scores, values);
            for (uint32_t j = 0; j < S; j++) {
                if ((masks[t] >> j & 1u) == 0)
                    continue;
                largest = pass == 0 ? fmax(largest, scores[j]) : largest;
                double p = pass == 0 ? 0 : exp(scores[j] - largest);
                for (uint32_t i = 0; i < DIM; i++)
                    mixed[i] += p * values[j * DIM + i];
                total += p;
            }
            lcpu_attn_tile tile = {.values = values,
                                   .v_stride = DIM,
                                   .n = 1,
                                   .visible = &masks[t],
                                   .scores = scores,
                                   .m = &s.m,
                                   .l = s.l,
                                   .o = s.o};
            if (pass == 1)
                k->attn_mix(&tile);
        }
    assert_true(s.m == (float)largest && fabs(all_of(s.l) - total) <= total * 1e-6);
    for (uint32_t i = 0; i < DIM; i++)
        size = fmax(size, fabs(mixed[i]));
    for (uint32_t i = 0; i < DIM; i++)
        assert_true(fabs(s.o[i] - mixed[i]) <= size * 2e-6);
}

static const uint64_t masks[] = {UINT64_MAX,
                                 1,
                                 UINT64_C(0x8000000000000000),
                                 UINT64_C(0x00ff00f000ff0f0f),
                                 UINT64_C(0xfffffffffffffffe),
                                 UINT64_C(0xaaaaaaaaaaaaaaaa)};
#define MASKS (sizeof masks / sizeof masks[0])

static void mixtures(void **state)
{
    (void)state;
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (size_t i = 0; i < MASKS; i++)
            check_tiles(&k, masks + i, 1, 1);
        check_tiles(&k, masks, MASKS, 3);
        check_tiles(&k, masks, MASKS, 40); /* most weights vanish */
    }
}

/* The numerics page, word for word, with products rounded on their own. */
static void canonical_tile(uint64_t seen, float *p, const float *values, split *s)
{
    float largest = s->m;
    for (uint32_t j = 0; j < S; j++)
        if ((seen >> j & 1u) != 0 && p[j] > largest)
            largest = p[j];
    float c = lcpu_exp(s->m - largest);
    for (uint32_t j = 0; j < S; j++)
        p[j] = (seen >> j & 1u) != 0 ? lcpu_exp(p[j] - largest) : 0;
    for (uint32_t i = 0; i < 16; i++)
        s->l[i] = s->l[i] * c + (((p[i] + p[i + 16]) + p[i + 32]) + p[i + 48]);
    for (uint32_t i = 0; i < DIM; i++) {
        s->o[i] *= c;
        for (uint32_t j = 0; j < S; j++)
            if ((seen >> j & 1u) != 0)
                s->o[i] += p[j] * values[j * DIM + i];
    }
    s->m = largest;
}

static void portable_is_canonical(void **state)
{
    (void)state;
    static float values[S * DIM], scores[2][S];
    lcpu_kernels k = kernels_of(0);
    split got = {.m = -INFINITY}, wanted = {.m = -INFINITY};
    for (size_t t = 0; t < MASKS; t++) {
        fill_tile(t, masks[t], 3, scores[0], values);
        memcpy(scores[1], scores[0], sizeof scores[0]);
        lcpu_attn_tile tile = {.values = values,
                               .v_stride = DIM,
                               .n = 1,
                               .visible = &masks[t],
                               .scores = scores[0],
                               .m = &got.m,
                               .l = got.l,
                               .o = got.o};
        k.attn_mix(&tile);
        canonical_tile(masks[t], scores[1], values, &wanted);
        assert_memory_equal(&got, &wanted, sizeof got);
    }
}

/* What is wrong in what is seen is not hidden: NaN and infinities reach the sum. */
static void wrong_numbers(void **state)
{
    (void)state;
    static float values[S * DIM], scores[S];
    static const uint64_t all = UINT64_MAX;
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (int wrong = 0; wrong < 3; wrong++) {
            split s = {.m = -INFINITY};
            fill_tile(1, all, 1, scores, values);
            for (uint32_t j = 0; j < S; j++)
                scores[j] = wrong == 0 && j == 7 ? NAN : wrong == 1 ? -INFINITY : scores[j];
            values[9 * DIM + 3] = wrong == 2 ? NAN : values[9 * DIM + 3];
            lcpu_attn_tile tile = {.values = values,
                                   .v_stride = DIM,
                                   .n = 1,
                                   .visible = &all,
                                   .scores = scores,
                                   .m = &s.m,
                                   .l = s.l,
                                   .o = s.o};
            k.attn_mix(&tile);
            assert_true(isnan(all_of(s.l)) == (wrong == 0));
            assert_true(wrong != 1 || (s.m == -INFINITY && all_of(s.l) == 0 && s.o[0] == 0));
            assert_true(isnan(s.o[3]) == (wrong != 1) && isnan(s.o[4]) == (wrong == 0));
        }
    }
}

/* --- together --------------------------------------------------------------------------------- */

enum { N = LCPU_ATTN_QUERIES };

typedef struct crowd {
    float scores[N * S], m[N], l[N * 16], o[N * STRIDE];
    uint64_t visible[N];
} crowd;

static void fill_crowd(crowd *c)
{
    numbers(c->scores, N * S, NORMAL, 6);
    numbers(c->l, N * 16, NORMAL, 8);
    numbers(c->o, N * STRIDE, NORMAL, 7);
    for (uint32_t q = 0; q < N; q++) {
        c->visible[q] = q % 11 == 0 ? 0 : q < 15 ? UINT64_MAX : UINT64_MAX >> (q / 2 % 32);
        c->m[q] = q % 3 == 0 ? -INFINITY : 0.5f;
    }
}

static void mix_some(const lcpu_kernels *k, const float *values, crowd *c, uint32_t q, uint32_t n)
{
    lcpu_attn_tile t = {.values = values,
                        .v_stride = STRIDE,
                        .n = n,
                        .visible = c->visible + q,
                        .scores = c->scores + (size_t)q * S,
                        .m = c->m + q,
                        .l = c->l + (size_t)q * 16,
                        .o = c->o + (size_t)q * STRIDE};
    k->attn_mix(&t);
}

/* Queries that go together get what each gets alone; one that sees nothing stays as it is. */
static void together(void **state)
{
    (void)state;
    static float values[S * STRIDE], keys[STRIDE * S], x[N][STRIDE], alone[S];
    static crowd all, each, before;
    const float *query[N];
    numbers(values, S * STRIDE, NORMAL, 5);
    numbers(keys, STRIDE * S, NORMAL, 4);
    for (uint32_t q = 0; q < N; q++) {
        numbers(x[q], STRIDE, NORMAL, q + 70);
        query[q] = x[q];
    }
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        lcpu_attn_tile t = {.keys = keys,
                            .k_dim = WIDE,
                            .scale = 0.7f,
                            .n = N,
                            .query = query,
                            .scores = all.scores};
        k.attn_scores(&t);
        for (uint32_t q = 0; q < N; q++) {
            lcpu_attn_tile one = t;
            one.n = 1;
            one.query += q;
            one.scores = alone;
            k.attn_scores(&one);
            assert_memory_equal(alone, all.scores + q * S, sizeof alone);
        }
        fill_crowd(&before);
        all = each = before;
        mix_some(&k, values, &all, 0, N);
        for (uint32_t q = 0; q < N; q++)
            mix_some(&k, values, &each, q, 1);
        assert_memory_equal(all.m, each.m, sizeof all.m);
        assert_memory_equal(all.l, each.l, sizeof all.l);
        assert_memory_equal(all.o, each.o, sizeof all.o);
        for (uint32_t q = 0; q < N; q += 11) {
            assert_memory_equal(all.o + q * STRIDE, before.o + q * STRIDE, STRIDE * sizeof(float));
            assert_memory_equal(all.l + q * 16, before.l + q * 16, 16 * sizeof(float));
        }
    }
}

/* --- straight from the cache ------------------------------------------------------------------ */

enum { FEW = 8 };

/* One head of a tile in a format, sixteen slots at each of four places, and the same decoded. */
typedef struct cached {
    uint8_t rows[4][16 * STRIDE * 4];
    float keys[STRIDE * S], values[S * STRIDE];
    size_t stride;
} cached;

static void fill_cached(const lcpu_kernels *k, const lm_format *f, uint32_t dim, cached *c)
{
    static float plain[16 * STRIDE], back[16 * STRIDE];
    c->stride = dim / f->block * f->bytes;
    for (uint32_t i = 0; i < 4; i++) {
        numbers(plain, (size_t)16 * dim, NORMAL, i + dim);
        plain[3] = 0;
        f->encode(plain, NULL, c->rows[i], (size_t)16 * dim);
        f->decode(c->rows[i], back, (size_t)16 * dim);
        k->attn_keys(back, dim, c->keys + (size_t)i * 16);
        memcpy(c->values + (size_t)i * 16 * dim, back, (size_t)16 * dim * sizeof back[0]);
    }
}

static void check_direct(const lcpu_kernels *k, const lm_format *f, uint32_t dim, uint32_t n)
{
    static cached c;
    static crowd straight, decoded;
    static float x[FEW][STRIDE];
    const float *query[FEW];
    const lcpu_attn_direct *direct = lcpu_attn_direct_of(k, f);
    assert_non_null(direct);
    fill_cached(k, f, dim, &c);
    fill_crowd(&straight);
    for (uint32_t q = 0; q < n; q++) {
        numbers(x[q], dim, q == 1 ? SPIKES : NORMAL, q + 70);
        query[q] = x[q];
        straight.visible[q] = q % 5 == 2 ? UINT64_MAX >> 9 : UINT64_MAX;
    }
    decoded = straight;
    lcpu_attn_tile t = {.keys = c.keys,
                        .values = c.values,
                        .k_dim = dim,
                        .v_stride = dim,
                        .scale = 0.1f,
                        .n = n,
                        .query = query,
                        .visible = decoded.visible,
                        .scores = decoded.scores,
                        .m = decoded.m,
                        .l = decoded.l,
                        .o = decoded.o};
    k->attn_scores(&t);
    k->attn_mix(&t);
    t.keys = t.values = NULL;
    t.k_rows.stride = t.v_rows.stride = c.stride;
    for (uint32_t i = 0; i < 4; i++)
        t.k_rows.at[i] = t.v_rows.at[i] = t.next[i] = t.next[4 + i] = c.rows[i];
    t.visible = straight.visible;
    t.scores = straight.scores;
    t.m = straight.m;
    t.l = straight.l;
    t.o = straight.o;
    direct->scores(&t);
    direct->mix(&t);
    assert_memory_equal(&straight, &decoded, sizeof straight);
}

static void straight_is_decoded(void **state)
{
    (void)state;
    static const uint32_t formats[] = {LM_F32, LM_F16, LM_BF16, LM_Q8_0, LM_Q4_0, LM_E4M3};
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
            for (uint32_t dim = 32; dim <= STRIDE; dim += 32)
                for (uint32_t n = 1; n <= FEW; n++)
                    check_direct(&k, lm_format_by_id(formats[i]), dim, n);
    }
}

/* --- matrix registers -------------------------------------------------------------------------- */

enum { M = LCPU_ATTN_MATRIX, BOTH = 4 };

/* Operands of a tile, and what comes of them. */
typedef struct operands {
    _Alignas(64) uint8_t q[M * STRIDE * BOTH];
    _Alignas(64) uint8_t k[S * STRIDE * BOTH];
    _Alignas(64) uint8_t v[S * STRIDE * BOTH];
    float queries[M * STRIDE], keys[S * STRIDE], values[S * STRIDE];
    _Alignas(64) float scores[M * S];
    float m[M], l[M * 16], o[M * STRIDE];
    uint64_t visible[M];
} operands;

static void fill_operands(const lcpu_attn_matrix *a, uint32_t dim, operands *t)
{
    numbers(t->queries, (size_t)M * dim, NORMAL, dim + 1);
    numbers(t->keys, (size_t)S * dim, NORMAL, dim + 2);
    numbers(t->values, (size_t)S * dim, NORMAL, dim + 3);
    for (uint32_t q = 0; q < M; q++) {
        a->query(t->queries + (size_t)q * dim, dim, 0.1f, q, t->q);
        t->visible[q] = q % 11 == 3 ? 0 : q < 9 ? UINT64_MAX : UINT64_MAX >> q;
        t->m[q] = q % 3 == 0 ? -INFINITY : 0.25f;
    }
    for (uint32_t i = 0; i < S; i += 16)
        a->keys(t->keys + (size_t)i * dim, dim, i / 16, t->k);
    for (uint32_t i = 0; i < S; i += 32)
        a->values(t->values + (size_t)i * dim, dim, i / 32, t->v);
    numbers(t->l, (size_t)M * 16, NORMAL, 8);
    numbers(t->o, (size_t)M * dim, NORMAL, 9);
}

/* n queries from `q` on. */
static void run_operands(const lcpu_attn_matrix *a, uint32_t dim, uint32_t q, uint32_t n,
                         operands *t)
{
    lcpu_attn_tile tile = {.q_parts = t->q + (size_t)q / 16 * 16 * dim * BOTH + q % 16 * 64,
                           .k_parts = t->k,
                           .v_parts = t->v,
                           .k_dim = dim,
                           .v_stride = dim,
                           .n = n,
                           .visible = t->visible + q,
                           .scores = t->scores + (size_t)q * S,
                           .m = t->m + q,
                           .l = t->l + (size_t)q * 16,
                           .o = t->o + (size_t)q * dim};
    a->shape(n < 16 ? n : 16);
    a->scores(&tile);
    a->mix(&tile);
    a->shape(0);
}

/* Scores within 2^-15 of the terms' size; what follows from them is tested with whole steps. */
static void check_products(const lcpu_attn_matrix *a, uint32_t dim, operands *t)
{
    lcpu_attn_tile tile = {
        .q_parts = t->q, .k_parts = t->k, .k_dim = dim, .n = M, .scores = t->scores};
    a->shape(16);
    a->scores(&tile);
    a->shape(0);
    for (uint32_t q = 0; q < M; q++)
        for (uint32_t j = 0; j < S; j++) {
            double exact = 0, size = 0;
            for (uint32_t d = 0; d < dim; d++) {
                double product = (double)t->queries[q * dim + d] * 0.1 * t->keys[j * dim + d];
                exact += product;
                size += fabs(product);
            }
            assert_true(fabs(t->scores[q * S + j] - exact) <= size / 32768);
        }
}

/* Any number of queries together get the bits that each gets alone; who sees nothing stays. */
static void matrices(void **state)
{
    (void)state;
    static operands all, each;
    lcpu_kernels k = kernels_of(n_levels - 1);
    const lcpu_attn_matrix *a = &k.attn_matrix;
    if (a->mix == NULL)
        skip();
    for (uint32_t dim = 32; dim <= STRIDE; dim += 32) {
        fill_operands(a, dim, &all);
        check_products(a, dim, &all);
        for (uint32_t n = 1; n <= M; n += n < 16 ? 5 : 8) {
            fill_operands(a, dim, &all);
            each = all;
            run_operands(a, dim, 0, n, &all);
            for (uint32_t q = 0; q < n; q++)
                run_operands(a, dim, q, 1, &each);
            assert_memory_equal(all.m, each.m, n * sizeof(float));
            assert_memory_equal(all.l, each.l, (size_t)n * 16 * sizeof(float));
            assert_memory_equal(all.o, each.o, (size_t)n * dim * sizeof(float));
            fill_operands(a, dim, &each);
            for (uint32_t q = 3; q < n; q += 11)
                assert_memory_equal(all.o + q * dim, each.o + q * dim, dim * sizeof(float));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_turned),
        cmocka_unit_test(scores),
        cmocka_unit_test(mixtures),
        cmocka_unit_test(portable_is_canonical),
        cmocka_unit_test(wrong_numbers),
        cmocka_unit_test(together),
        cmocka_unit_test(straight_is_decoded),
        cmocka_unit_test(matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
