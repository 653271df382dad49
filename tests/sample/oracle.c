/* oracle.c - textbook definitions, slow and plain. */
#include "sample/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void oracle_load(oracle *o, const float *logits, size_t n)
{
    assert_true(n <= ORACLE_MAX);
    o->n = n;
    for (size_t i = 0; i < n; i++)
        o->logit[i] = logits[i];
}

size_t oracle_count(const oracle *o)
{
    size_t count = 0;
    for (size_t i = 0; i < o->n; i++)
        count += o->logit[i] > -INFINITY;
    return count;
}

static double best_logit(const oracle *o)
{
    double best = -INFINITY;
    for (size_t i = 0; i < o->n; i++)
        best = fmax(best, o->logit[i]);
    return best;
}

void oracle_softmax(const oracle *o, double *p)
{
    double best = best_logit(o), sum = 0.0;
    for (size_t i = 0; i < o->n; i++)
        sum += p[i] = exp(o->logit[i] - best);
    for (size_t i = 0; i < o->n; i++)
        p[i] /= sum;
}

typedef struct ranked {
    double key; /* smaller first */
    size_t id;
} ranked;

static int compare(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Ids that are left, by rising key. */
static size_t rank(const oracle *o, const double *key, ranked *out)
{
    size_t count = 0;
    for (size_t i = 0; i < o->n; i++)
        if (o->logit[i] > -INFINITY)
            out[count++] = (ranked){key[i], i};
    qsort(out, count, sizeof *out, compare);
    return count;
}

static size_t rank_by_logit(const oracle *o, ranked *out)
{
    static double key[ORACLE_MAX];
    for (size_t i = 0; i < o->n; i++)
        key[i] = -o->logit[i];
    return rank(o, key, out);
}

static void keep(oracle *o, const ranked *order, size_t from, size_t to)
{
    static double kept[ORACLE_MAX];
    for (size_t i = 0; i < o->n; i++)
        kept[i] = -INFINITY;
    for (size_t i = from; i < to; i++)
        kept[order[i].id] = o->logit[order[i].id];
    memcpy(o->logit, kept, o->n * sizeof *kept);
}

static double entropy(const oracle *o, const double *p)
{
    double sum = 0.0;
    for (size_t i = 0; i < o->n; i++)
        if (p[i] > 0.0)
            sum -= p[i] * log(p[i]);
    return sum;
}

void oracle_temperature(oracle *o, double temp, double range, double exponent)
{
    static double p[ORACLE_MAX];
    static ranked order[ORACLE_MAX];
    if (range > 0.0) {
        if (oracle_count(o) < 2)
            return;
        oracle_softmax(o, p);
        double relative = entropy(o, p) / log((double)oracle_count(o));
        double low = fmax(0.0, temp - range), high = temp + range;
        temp = low + (high - low) * pow(relative, exponent);
    }
    if (temp == 0.0) {
        rank_by_logit(o, order);
        keep(o, order, 0, 1);
        return;
    }
    for (size_t i = 0; i < o->n; i++)
        o->logit[i] /= temp;
}

void oracle_top_k(oracle *o, size_t k)
{
    static ranked order[ORACLE_MAX];
    size_t count = rank_by_logit(o, order);
    keep(o, order, 0, k < count ? k : count);
}

static void keep_mass(oracle *o, const ranked *order, size_t count, const double *p, double mass,
                      size_t min_keep)
{
    double sum = 0.0;
    size_t kept = 0;
    while (kept < count) {
        sum += p[order[kept++].id];
        if (sum >= mass && kept >= min_keep)
            break;
    }
    keep(o, order, 0, kept);
}

void oracle_top_p(oracle *o, double p, size_t min_keep)
{
    static double all[ORACLE_MAX];
    static ranked order[ORACLE_MAX];
    oracle_softmax(o, all);
    keep_mass(o, order, rank_by_logit(o, order), all, p, min_keep);
}

void oracle_typical(oracle *o, double p, size_t min_keep)
{
    static double all[ORACLE_MAX], key[ORACLE_MAX];
    static ranked order[ORACLE_MAX];
    oracle_softmax(o, all);
    double expected = entropy(o, all);
    for (size_t i = 0; i < o->n; i++)
        key[i] = fabs(-log(all[i]) - expected);
    keep_mass(o, order, rank(o, key, order), all, p, min_keep);
}

void oracle_min_p(oracle *o, double p, size_t min_keep)
{
    static double all[ORACLE_MAX];
    static ranked order[ORACLE_MAX];
    oracle_softmax(o, all);
    size_t count = rank_by_logit(o, order), kept = 1;
    while (kept < count && (kept < min_keep || all[order[kept].id] >= p * all[order[0].id]))
        kept++;
    keep(o, order, 0, kept);
}

void oracle_top_n_sigma(oracle *o, double n)
{
    double sum = 0.0, squares = 0.0, count = (double)oracle_count(o), best = best_logit(o);
    for (size_t i = 0; i < o->n; i++)
        if (o->logit[i] > -INFINITY)
            sum += o->logit[i];
    for (size_t i = 0; i < o->n; i++)
        if (o->logit[i] > -INFINITY)
            squares += pow(o->logit[i] - sum / count, 2.0);
    for (size_t i = 0; i < o->n; i++)
        if (o->logit[i] < best - n * sqrt(squares / count))
            o->logit[i] = -INFINITY;
}

void oracle_xtc(oracle *o, double threshold, size_t min_keep)
{
    static double p[ORACLE_MAX];
    static ranked order[ORACLE_MAX];
    oracle_softmax(o, p);
    size_t count = rank_by_logit(o, order), top = 0;
    while (top < count && p[order[top].id] >= threshold)
        top++;
    if (top >= 2 && count - (top - 1) >= min_keep)
        keep(o, order, top - 1, count);
}

void oracle_penalties(oracle *o, const int32_t *history, size_t n_history, long last_n,
                      double repeat, double frequency, double presence)
{
    for (size_t id = 0; id < o->n; id++) {
        long count = 0;
        for (size_t i = 0; i < n_history; i++)
            if (history[i] == (int32_t)id && (last_n < 0 || n_history - i <= (size_t)last_n))
                count++;
        if (count == 0)
            continue;
        o->logit[id] = o->logit[id] > 0 ? o->logit[id] / repeat : o->logit[id] * repeat;
        o->logit[id] -= (double)count * frequency + presence;
    }
}

double oracle_mirostat_k(const oracle *o, double mu, size_t m)
{
    static double p[ORACLE_MAX];
    static ranked order[ORACLE_MAX];
    oracle_softmax(o, p);
    size_t count = rank_by_logit(o, order);
    double tb = 0.0, tt = 0.0;
    for (size_t i = 1; i < m && i < count; i++) {
        double t = log(((double)i + 1.0) / (double)i);
        tb += t * log(p[order[i - 1].id] / p[order[i].id]);
        tt += t * t;
    }
    double s = tb / tt, e = s - 1.0;
    return pow(e * pow(2.0, mu) / (1.0 - pow((double)o->n, -e)), 1.0 / s);
}

void oracle_mirostat_2(oracle *o, double mu)
{
    static double p[ORACLE_MAX];
    static ranked order[ORACLE_MAX];
    oracle_softmax(o, p);
    size_t count = rank_by_logit(o, order), kept = 1;
    while (kept < count && -log2(p[order[kept].id]) <= mu)
        kept++;
    keep(o, order, 0, kept);
}

static int32_t record(void *user, llm_candidate *candidates, uint64_t count, uint64_t *chosen)
{
    shown *s = user;
    s->n = (size_t)count;
    memcpy(s->items, candidates, s->n * sizeof *candidates);
    *chosen = 0;
    return LLM_OK;
}

void show(lm_chain *chain, const float *logits, uint32_t n, const int32_t *history,
          size_t n_history, const struct lm_tokenizer *tokenizer, shown *out)
{
    llm_sampler_class host = {.struct_size = sizeof host, .apply = record};
    int32_t token;
    assert_ok(lm_chain_add_host(chain, &host, out));
    assert_ok(lm_chain_reserve(chain, n));
    assert_ok(lm_chain_pick(chain, logits, n, history, n_history, tokenizer, &token));
}

void assert_shown(const shown *s, const oracle *o)
{
    static bool seen[ORACLE_MAX];
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < s->n; i++) {
        size_t id = (size_t)s->items[i].id;
        if (id >= o->n || seen[id] || !(o->logit[id] > -INFINITY))
            fail_msg("candidate %zu should not be there", id);
        seen[id] = true;
        double difference = fabs(s->items[i].logit - o->logit[id]);
        if (!(difference <= 1e-5 * (1.0 + fabs(o->logit[id]))))
            fail_msg("logit of %zu is %.9g, not %.9g", id, (double)s->items[i].logit, o->logit[id]);
    }
    if (s->n != oracle_count(o))
        fail_msg("%zu candidates are left, not %zu", s->n, oracle_count(o));
}

void random_logits(uint64_t *state, unsigned kind, float *logits, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double x = test_random_normal(state);
        switch (kind) {
        case 0:
            logits[i] = (float)(3.0 * x);
            break;
        case 1:
            logits[i] = (float)(12.0 * x);
            break;
        case 2:
            logits[i] = (float)(0.2 * x - 5.0);
            break;
        case 3:
            logits[i] = (float)floor(2.0 * x);
            break;
        default:
            logits[i] = test_random_unit(state) < 0.4 && i > 0 ? -INFINITY : (float)(4.0 * x);
        }
    }
}

void assert_distribution(const uint32_t *counts, const double *p, size_t n, uint32_t draws)
{
    double chi = 0.0, cells = 0.0, rare_p = 0.0, rare_count = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == 0.0)
            assert_int_equal(counts[i], 0);
        if (p[i] * draws < 10.0) { /* together they make one cell */
            rare_p += p[i];
            rare_count += counts[i];
            continue;
        }
        chi += pow(counts[i] - p[i] * draws, 2.0) / (p[i] * draws);
        cells += 1.0;
    }
    if (rare_p * draws >= 10.0) {
        chi += pow(rare_count - rare_p * draws, 2.0) / (rare_p * draws);
        cells += 1.0;
    } else {
        assert_true(rare_count <= 40.0);
    }
    assert_true(cells >= 2.0);
    /* Wilson and Hilferty: the cube root of chi-square over its freedom is nearly normal. */
    double freedom = cells - 1.0, spread = 2.0 / (9.0 * freedom);
    double z = (cbrt(chi / freedom) - (1.0 - spread)) / sqrt(spread);
    if (z > 4.75)
        fail_msg("chi-square %g over %g cells: %g deviations", chi, cells, z);
}
