/* test_kernels_fast.c - products of fast numerics beside plain C: every format that has them, on
 * activations and on weights chosen to hurt. */
#include "backend/levels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { W = 37, X = 70, COLS = 768 };

/* Bytes of a file, its values, and rows of activations with their results. */
typedef struct fast_case {
    const lm_format *format;
    const lcpu_kernels *k;
    uint32_t cols, n_w, n_x;
    uint8_t file[W * COLS + 1];
    float w[W][COLS], x[X][COLS], out[X][W + 2];
} fast_case;

static size_t stride_of(const fast_case *c)
{
    return c->cols / c->format->block * c->format->bytes;
}

static void decode(fast_case *c)
{
    for (uint32_t o = 0; o < W; o++)
        c->format->decode(c->file + o * stride_of(c), c->w[o], c->cols);
}

/* `shuffled`: the rows of activations do not lie in order. */
static void multiply(fast_case *c, bool shuffled)
{
    const lcpu_int8 *fast = &c->k->fast;
    const lcpu_int8_format *f = lcpu_fast_of(c->k, c->format);
    size_t row_bytes = fast->row_bytes(c->cols), acts_bytes = c->n_x * row_bytes;
    size_t file_bytes = (c->n_w * stride_of(c)) | 1; /* mapped data has no alignment */
    size_t panel_bytes = (c->n_w + fast->panel_rows - 1) / fast->panel_rows *
                         (size_t)f->column_bytes * (c->cols / 32);
    uint8_t *file = test_fenced(file_bytes), *acts = test_fenced(acts_bytes),
            *panel = test_fenced(panel_bytes);
    const void *rows[X];
    float *outs[X];
    memcpy(file, c->file, c->n_w * stride_of(c));
    for (uint32_t r = 0; r < c->n_x; r++) {
        uint32_t at = shuffled && (r ^ 1u) < c->n_x ? r ^ 1u : r;
        fast->quantise(c->x[r], c->cols, acts + at * row_bytes);
        rows[r] = acts + at * row_bytes;
        outs[r] = c->out[r];
        for (uint32_t o = 0; o < W + 2; o++)
            c->out[r][o] = 77;
    }
    f->unpack(file, stride_of(c), c->n_w, c->cols, panel);
    f->matmul(panel, c->n_w, rows, c->n_x, c->cols, outs, 1, file, c->n_w * stride_of(c));
    test_unfence(file, file_bytes), test_unfence(acts, acts_bytes);
    test_unfence(panel, panel_bytes);
    for (uint32_t r = 0; r < c->n_x; r++)
        assert_true(c->out[r][0] == 77 && c->out[r][c->n_w + 1] == 77);
}

/* The right result, and how large a product of each 256 columns might be. */
static double right(const float *w, const float *x, uint32_t cols, double *size)
{
    double sum = 0;
    *size = 0;
    for (uint32_t b = 0; b < cols; b += 256) {
        double most_w = 0, most_x = 0;
        for (uint32_t i = b; i < b + 256; i++) {
            sum += (double)w[i] * x[i];
            most_w = fmax(most_w, fabs(w[i]));
            most_x = fmax(most_x, fabs(x[i]));
        }
        *size += most_w * most_x;
    }
    return sum;
}

/* Activations are rounded to parts of 8128 of the largest, and products of two low digits, at most
 * 32 * 32 where the largest product is 8128 times some thousands, are left out. Both are random: of
 * 256 columns that makes up to 1.9e-3 of the largest product, and nothing where digits are zeros. */
static void compare(const fast_case *c, double limit)
{
    for (uint32_t r = 0; r < c->n_x; r++)
        for (uint32_t o = 0; o < c->n_w; o++) {
            double size, sum = right(c->w[o], c->x[r], c->cols, &size);
            double off = fabs((double)c->out[r][o + 1] - sum) / (size + 1e-30);
            if (isfinite(sum) && !(off <= limit))
                fail_msg("%s: %g where %g is right", c->format->name, (double)c->out[r][o + 1],
                         sum);
            if (!isfinite(sum)) /* which one is open */
                assert_false(isfinite(c->out[r][o + 1]));
        }
}

typedef void (*case_fn)(fast_case *c);

/* For each level and format that has fast products. */
static void each_format(case_fn run)
{
    fast_case *c = malloc(sizeof *c);
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (uint32_t i = 0; i < k.fast.n_formats; i++) {
            *c = (fast_case){.format = lm_format_by_id(k.fast.formats[i].id),
                             .k = &k,
                             .cols = COLS,
                             .n_w = W,
                             .n_x = X};
            run(c);
        }
    }
    free(c);
}

static void encode_numbers(fast_case *c, int kind, uint64_t seed)
{
    for (uint32_t o = 0; o < W; o++) {
        numbers(c->w[o], c->cols, kind, seed + o);
        c->format->encode(c->w[o], NULL, c->file + o * stride_of(c), c->cols);
    }
    decode(c);
}

static void draw_activations(fast_case *c, int kind)
{
    for (uint32_t r = 0; r < X; r++)
        numbers(c->x[r], c->cols, kind, 500 + r);
}

static void products(fast_case *c)
{
    static const uint32_t counts[] = {1, 15, 16, 17, 31, 32, 33, 48, 64, 70};
    for (int kind = 0; kind < KINDS; kind++) {
        c->cols = 256 * (1 + (uint32_t)kind % 3);
        encode_numbers(c, kind == SPIKES ? SPIKES : NORMAL, 3);
        draw_activations(c, kind == TINY ? NORMAL : kind);
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            c->n_x = counts[i];
            c->n_w = 1 + (counts[i] * 5 + (uint32_t)kind) % W;
            multiply(c, i % 2 == 1);
            compare(c, 3e-3);
        }
    }
}

static void fast_products(void **state)
{
    (void)state;
    each_format(products);
}

static void any_bytes(fast_case *c)
{
    uint64_t seed = 77;
    c->cols = 512;
    for (size_t i = 0; i < sizeof c->file; i++)
        c->file[i] = (uint8_t)(int)(test_random_normal(&seed) * 100);
    decode(c);
    draw_activations(c, NORMAL);
    multiply(c, false);
    compare(c, 3e-3);
}

/* Whatever a file holds. */
static void fast_any_bytes(void **state)
{
    (void)state;
    each_format(any_bytes);
}

static void neighbours(fast_case *c)
{
    static float first[X][W + 2];
    encode_numbers(c, NORMAL, 8);
    draw_activations(c, NORMAL);
    multiply(c, false);
    memcpy(first, c->out, sizeof first);
    c->x[5][300] = NAN;
    c->x[40][10] = -INFINITY;
    multiply(c, true);
    for (uint32_t r = 0; r < X; r++)
        for (uint32_t o = 1; o <= W; o++)
            assert_true(r == 5 || r == 40 ? !isfinite(c->out[r][o])
                                          : same_float(c->out[r][o], first[r][o]));
    for (c->n_x = 1; c->n_x < X; c->n_x += 11) { /* r < 5: clean */
        c->n_w = W - c->n_x % 20;
        multiply(c, false);
        for (uint32_t r = 0; r < 5 && r < c->n_x; r++)
            assert_memory_equal(c->out[r] + 1, first[r] + 1, c->n_w * sizeof first[r][0]);
    }
}

/* A row's result does not depend on who is beside it, nor on how many. */
static void fast_neighbours(void **state)
{
    (void)state;
    each_format(neighbours);
}

static void extremes(fast_case *c)
{
    c->cols = 256;
    for (int sign = -1; sign <= 1; sign += 2) {
        for (uint32_t i = 0; i < COLS; i++)
            for (uint32_t o = 0; o < W; o++)
                c->w[o][i] = i == 0 && o % 2 == 1 ? -1 : 1;
        for (uint32_t o = 0; o < W; o++)
            c->format->encode(c->w[o], NULL, c->file + o * stride_of(c), c->cols);
        decode(c);
        for (uint32_t r = 0; r < X; r++)
            for (uint32_t i = 0; i < COLS; i++)
                c->x[r][i] = (float)sign * 3e30f;
        multiply(c, false);
        compare(c, 3e-5);
    }
}

/* Sums of 256 products that are all as large as they can be. */
static void fast_extremes(void **state)
{
    (void)state;
    each_format(extremes);
}

/* Without matrix registers there are none, and with them there are. */
static void fast_levels(void **state)
{
    (void)state;
    const uint64_t needs =
        LCPU_AVX2 | LCPU_AVX512 | LCPU_AVX512_VNNI | LCPU_AMX_INT8 | LCPU_AMX_BF16;
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        if ((levels[level].features & needs) != needs)
            assert_int_equal(k.fast.n_formats, 0);
        else if ((k.used & needs) == needs)
            assert_true(k.fast.n_formats > 0 && k.fast_from > k.int8.direct_max);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_products),   cmocka_unit_test(fast_any_bytes),
        cmocka_unit_test(fast_neighbours), cmocka_unit_test(fast_extremes),
        cmocka_unit_test(fast_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
