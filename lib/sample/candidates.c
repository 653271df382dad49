/* candidates.c - what samplers do to the list of candidates: ordering as much as is needed and no
 * more, probabilities, cutting, drawing. Works in place; nothing here allocates. */
#include "sample/sampler.h"

#include <float.h>
#include <math.h>

static bool better(const lm_candidate *a, const lm_candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void swap(lm_candidate *a, lm_candidate *b)
{
    lm_candidate kept = *a;
    *a = *b;
    *b = kept;
}

/* The worst of a heap of `n` stands at its root. */
static void sift_down(lm_candidate *heap, size_t root, size_t n)
{
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= n)
            return;
        if (child + 1 < n && better(&heap[child], &heap[child + 1]))
            child++;
        if (!better(&heap[root], &heap[child]))
            return;
        swap(&heap[root], &heap[child]);
        root = child;
    }
}

/* A heap of the best seen so far: one pass over a large vocabulary, in which nearly all lose
 * against the root at once; n log k in the worst case whatever the input. */
void lm_candidates_sort(lm_candidates *c, size_t k)
{
    if (k > c->count)
        k = c->count;
    if (k <= c->n_sorted)
        return;
    lm_candidate *rest = c->items + c->n_sorted;
    size_t n = c->count - c->n_sorted, wanted = k - c->n_sorted;
    for (size_t i = wanted / 2; i-- > 0;)
        sift_down(rest, i, wanted);
    for (size_t i = wanted; i < n; i++) {
        if (better(&rest[i], &rest[0])) {
            swap(&rest[i], &rest[0]);
            sift_down(rest, 0, wanted);
        }
    }
    for (size_t end = wanted; end-- > 1;) {
        swap(&rest[0], &rest[end]);
        sift_down(rest, 0, end);
    }
    c->n_sorted = k;
}

size_t lm_candidates_best(const lm_candidates *c)
{
    size_t best = 0;
    if (c->n_sorted > 0)
        return 0;
    for (size_t i = 1; i < c->count; i++)
        if (better(&c->items[i], &c->items[best]))
            best = i;
    return best;
}

void lm_candidates_softmax(lm_candidates *c)
{
    float max = c->items[lm_candidates_best(c)].logit;
    double sum = 0.0;
    for (size_t i = 0; i < c->count; i++) {
        c->items[i].p = expf(c->items[i].logit - max);
        sum += c->items[i].p;
    }
    double scale = 1.0 / sum;
    for (size_t i = 0; i < c->count; i++)
        c->items[i].p = (float)(c->items[i].p * scale);
}

void lm_candidates_keep(lm_candidates *c, size_t n)
{
    if (n < c->count)
        c->count = n;
    if (c->n_sorted > c->count)
        c->n_sorted = c->count;
}

void lm_candidates_keep_above(lm_candidates *c, double floor, size_t min_keep)
{
    size_t above = 0;
    for (size_t i = 0; i < c->count; i++)
        above += c->items[i].logit >= floor;
    if (min_keep < 1)
        min_keep = 1;
    if (above < min_keep) {
        lm_candidates_sort(c, min_keep);
        lm_candidates_keep(c, min_keep);
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i].logit >= floor)
            c->items[kept++] = c->items[i];
    lm_candidates_keep(c, kept); /* the survivors of a sorted front are its beginning */
}

#define BINS 1024

/* Which of BINS equal slices of [low, high] a logit falls into, best first. */
static size_t bin_of(float logit, double high, double scale)
{
    double at = (high - logit) * scale;
    return at < BINS - 1 ? (size_t)at : BINS - 1;
}

/* Brings the candidates of one bin to `at`; answers the place behind them. */
static size_t gather(lm_candidates *c, size_t at, double high, double scale, size_t first,
                     size_t last)
{
    for (size_t i = at; i < c->count; i++) {
        size_t bin = bin_of(c->items[i].logit, high, scale);
        if (bin >= first && bin <= last)
            swap(&c->items[at++], &c->items[i]);
    }
    return at;
}

/* Goes on behind a sorted front of `from` candidates that holds `sum`: finds by histogram where the
 * mass is reached and puts only that slice in order, so that a flat distribution over a large
 * vocabulary costs a few passes instead of a sort. */
static size_t mass_behind(lm_candidates *c, size_t from, double sum, double mass, size_t min_keep)
{
    double held[BINS] = {0};
    uint32_t n[BINS] = {0};
    double high = c->items[from - 1].logit, low = high;
    for (size_t i = from; i < c->count; i++) { /* gcc 12 for aarch64 fails on a loop over fmin */
        double logit = c->items[i].logit;
        low = logit < low ? logit : low;
    }
    low = fmax(low, high - 64.0); /* what is less likely holds nothing */
    double scale = low < high ? BINS / (high - low) : 0.0;
    for (size_t i = from; i < c->count; i++) {
        size_t bin = bin_of(c->items[i].logit, high, scale);
        held[bin] += c->items[i].p;
        n[bin]++;
    }
    size_t bin = 0, count = from;
    while (bin < BINS && !(sum + held[bin] >= mass && count + n[bin] >= min_keep)) {
        sum += held[bin];
        count += n[bin++];
    }
    if (bin == BINS)
        return c->count;
    if (bin > 0)
        from = gather(c, from, high, scale, 0, bin - 1);
    size_t end = gather(c, from, high, scale, bin, bin);
    lm_candidates slice = {.items = c->items + from, .count = end - from};
    lm_candidates_sort(&slice, slice.count);
    for (; from < end; from++) {
        sum += c->items[from].p;
        if (sum >= mass && from + 1 >= min_keep)
            return from + 1;
    }
    return end;
}

size_t lm_candidates_mass(lm_candidates *c, double mass, size_t min_keep)
{
    static const size_t fronts[] = {128, 1024};
    double sum = 0.0;
    size_t i = 0;
    for (size_t f = 0; f < sizeof fronts / sizeof fronts[0]; f++) {
        lm_candidates_sort(c, fronts[f]);
        for (; i < c->count && i < fronts[f]; i++) {
            sum += c->items[i].p;
            if (sum >= mass && i + 1 >= min_keep)
                return i + 1;
        }
    }
    return i < c->count ? mass_behind(c, i, sum, mass, min_keep) : c->count;
}

size_t lm_candidates_draw(lm_candidates *c, const lm_sample_context *context)
{
    lm_candidates_softmax(c);
    double total = 0.0;
    for (size_t i = 0; i < c->count; i++)
        total += c->items[i].p;
    double point = lm_random_unit(context->seed, context->draw, 0) * total, sum = 0.0;
    size_t index = lm_candidates_best(c);
    for (size_t i = 0; i < c->count; i++) {
        sum += c->items[i].p;
        if (sum > point) {
            index = i;
            break;
        }
    }
    c->chosen = c->items[index].id;
    return index;
}

size_t lm_sample_window(const lm_sample_context *context, int64_t last_n, const int32_t **tokens)
{
    size_t n = context->n_history;
    if (last_n >= 0 && (uint64_t)last_n < n)
        n = (size_t)last_n;
    *tokens = n > 0 ? context->history + (context->n_history - n) : NULL;
    return n;
}

float lm_logit(double x)
{
    if (x > FLT_MAX)
        return FLT_MAX;
    return x < -FLT_MAX ? -FLT_MAX : (float)x;
}
