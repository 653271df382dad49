/* test_kernels_half.c - products of weights of sixteen and eight bits: every instruction set
 * against sums in double, any number of rows against one, and what must not spread. */
#include "backend/levels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_K = 1100, MAX_W = 70, MAX_X = 40 };

typedef struct halves {
    uint32_t k, n_w, n_x;
    size_t stride;
    uint8_t *file; /* at an odd address, fenced */
    size_t room;
    float w[MAX_W][MAX_K], x[MAX_X][MAX_K];
    float out[MAX_X][MAX_W + 2];
} halves;

static halves h;

static void make(const lm_format *f, uint32_t k, uint32_t n_w, uint32_t n_x, int kind)
{
    if (h.file != NULL)
        test_unfence(h.file, h.room);
    size_t row = k / f->block * (size_t)f->bytes;
    h.k = k;
    h.n_w = n_w;
    h.n_x = n_x;
    h.stride = row + 6;
    h.room = ((n_w - 1) * h.stride + row) | 1; /* odd addresses */
    h.file = test_fenced(h.room);
    memset(h.file, 0xff, h.room); /* NaN between the rows */
    for (uint32_t o = 0; o < n_w; o++) {
        numbers(h.w[o], k, kind == HUGE_ONES || kind == TINY ? NORMAL : kind, o + k);
        f->encode(h.w[o], NULL, h.file + o * h.stride, k);
        f->decode(h.file + o * h.stride, h.w[o], k);
    }
    for (uint32_t i = 0; i < n_x; i++)
        numbers(h.x[i], k, kind, i + 7);
}

/* How a level multiplies a format: from the file's rows with floats, or in a family of its own. */
typedef struct way {
    lcpu_half_fn floats; /* or NULL */
    const lcpu_int8 *family;
    const lcpu_int8_format *packed; /* or NULL */
    uint32_t most;                  /* rows of activations */
} way;

/* Activations in the family's form, from a copy of the file's rows as far as they are asked for. */
static void multiply_packed(const way *m, const float *const *x, uint32_t n_x, uint32_t n_w,
                            float *const *out)
{
    size_t bytes = m->family->row_bytes(h.k), steps = (h.k + 31) / 32;
    size_t panels = (n_w + m->family->panel_rows - 1) / m->family->panel_rows;
    uint8_t *rows = test_fenced(n_x * bytes);
    const void *at[MAX_X];
    for (uint32_t i = 0; i < n_x; i++) {
        at[i] = rows + i * bytes;
        m->family->quantise(x[i], h.k, rows + i * bytes);
    }
    if (n_x <= m->family->direct_max) {
        m->packed->direct(h.file, h.stride, n_w, at, n_x, h.k, out, 1, h.file);
    } else {
        size_t room = panels * m->packed->column_bytes * steps;
        uint8_t *panel = test_fenced(room);
        m->packed->unpack(h.file, h.stride, n_w, h.k, panel);
        m->packed->matmul(panel, n_w, at, n_x, h.k, out, 1, h.file, 1000);
        test_unfence(panel, room);
    }
    test_unfence(rows, n_x * bytes);
}

static void multiply(const way *m, uint32_t first, uint32_t n_x, uint32_t n_w)
{
    const float *x[MAX_X] = {NULL};
    float *out[MAX_X] = {NULL};
    for (uint32_t i = 0; i < n_x; i++) {
        x[i] = h.x[first + i];
        out[i] = h.out[first + i];
        for (uint32_t o = 0; o < MAX_W + 2; o++)
            out[i][o] = 77;
    }
    if (m->packed != NULL)
        multiply_packed(m, x, n_x, n_w, out);
    else
        m->floats(h.file, h.stride, n_w, x, n_x, h.k, out, 1, h.file);
    for (uint32_t i = 0; i < n_x; i++)
        assert_true(out[i][0] == 77 && out[i][n_w + 1] == 77);
}

/* What one product may be off by, of the size of its terms. */
static double allowed(const lcpu_kernels *k, uint32_t format)
{
    /* Activations are rounded to eight bits; with 32-bit sums else. */
    return format == LM_BF16 && (k->used & LCPU_AMX_BF16) != 0 ? 1.0 / 256 : 1e-6;
}

static way way_of(const lcpu_kernels *k, uint32_t format)
{
    const struct {
        uint32_t id, most;
        lcpu_half_fn fn;
    } table[] = {{LM_F16, k->f16_most, k->f16_matmul},
                 {LM_BF16, k->bf16_most, k->bf16_matmul},
                 {LM_F8_E4M3, k->f8_e4m3_most, k->f8_e4m3_matmul}};
    const lcpu_int8_format *packed = lcpu_bf16_of(k, lm_format_by_id(format));
    if (packed != NULL)
        return (way){NULL, &k->bf16, packed, MAX_X};
    size_t i = 0;
    while (table[i].id != format)
        i++;
    return (way){table[i].fn, NULL, NULL, table[i].most < MAX_X ? table[i].most : MAX_X};
}

static void check_sums(double part)
{
    for (uint32_t i = 0; i < h.n_x; i++)
        for (uint32_t o = 0; o < h.n_w; o++) {
            double sum = 0, size = 0;
            for (uint32_t c = 0; c < h.k; c++) {
                sum += (double)h.w[o][c] * h.x[i][c];
                size += fabs((double)h.w[o][c] * h.x[i][c]);
            }
            /* Matrix registers take subnormal numbers for zero. */
            if (!(fabs(h.out[i][o + 1] - sum) <= size * part + h.k * 1.2e-38))
                fail_msg("%g where %g is right", (double)h.out[i][o + 1], sum);
        }
}

static const uint32_t formats[] = {LM_F16, LM_BF16, LM_F8_E4M3};
enum { FORMATS = sizeof formats / sizeof formats[0] };
static const uint32_t widths[] = {1, 15, 32, 33, 100, 512, 1100};

/* Whole blocks. */
static uint32_t width_of(const lm_format *f, uint32_t width)
{
    uint32_t blocks = width / f->block;
    return (blocks == 0 ? 1 : blocks) * f->block;
}

static void sums(void **state)
{
    (void)state;
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (int f = 0; f < FORMATS; f++) {
            way m = way_of(&k, formats[f]);
            if (m.floats == NULL && m.packed == NULL)
                continue;
            for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
                for (int kind = 0; kind < KINDS; kind++) {
                    uint32_t n_x = 1 + (uint32_t)(i * 5 + (uint32_t)kind * 7) % m.most;
                    const lm_format *format = lm_format_by_id(formats[f]);
                    make(format, width_of(format, widths[i]), 1 + (uint32_t)(i * 11) % MAX_W, n_x,
                         kind);
                    multiply(&m, 0, n_x, h.n_w);
                    check_sums(allowed(&k, formats[f]));
                }
        }
    }
}

/* Any number of rows, of either side, gives the bits that one gives. */
static void alone(void **state)
{
    (void)state;
    static float together[MAX_X][MAX_W + 2];
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (int f = 0; f < FORMATS; f++) {
            way m = way_of(&k, formats[f]);
            if (m.floats == NULL && m.packed == NULL)
                continue;
            const lm_format *format = lm_format_by_id(formats[f]);
            make(format, width_of(format, MAX_K), MAX_W, m.most, NORMAL);
            multiply(&m, 0, m.most, MAX_W);
            memcpy(together, h.out, sizeof together);
            for (uint32_t n_x = 1; n_x <= m.most; n_x = n_x < 3 ? n_x + 1 : n_x * 2)
                for (uint32_t first = 0; first + n_x <= m.most; first += n_x) {
                    uint32_t n_w = 1 + (first * 13 + n_x) % MAX_W;
                    multiply(&m, first, n_x, n_w);
                    for (uint32_t i = first; i < first + n_x; i++)
                        assert_memory_equal(h.out[i] + 1, together[i] + 1, n_w * sizeof(float));
                }
        }
    }
}

/* NaN and infinities come through, and no further than their own row. */
static void wrong_numbers(void **state)
{
    (void)state;
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (int f = 0; f < FORMATS; f++) {
            way m = way_of(&k, formats[f]);
            if (m.floats == NULL && m.packed == NULL)
                continue;
            const lm_format *format = lm_format_by_id(formats[f]);
            make(format, width_of(format, 100), 20, m.most, NORMAL);
            float bad[2] = {NAN, INFINITY};
            if (format->block == 1)
                format->encode(bad, NULL, h.file + 3 * h.stride + 98 * (size_t)format->bytes, 2);
            else
                h.file[3 * h.stride + 98] = 0x7f; /* NaN in the midst of a block of E4M3 */
            h.x[1][40] = NAN;
            h.x[4][99] = -INFINITY;
            multiply(&m, 0, m.most, 20);
            for (uint32_t i = 0; i < m.most; i++)
                for (uint32_t o = 0; o < 20; o++) {
                    float got = h.out[i][o + 1];
                    assert_true(isnan(got) == (o == 3 || i == 1));
                    assert_true((isinf(got) != 0) == (o != 3 && i == 4));
                }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums),
        cmocka_unit_test(alone),
        cmocka_unit_test(wrong_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
