/* test_kernels.c - every kernel of the CPU backend against plain C, on numbers chosen to hurt; the
 * kernels of every instruction set this processor has against the portable ones, bit for bit where
 * the level's arithmetic is the same. */
#include "backend/levels.h"

#include "backends/cpu/kernels/math.h"
#include "quant/q_legacy.h"
#include "step/step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double dot_double(const float *a, const float *b, size_t n, double *size)
{
    double sum = 0;
    *size = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * b[i];
        *size += fabs((double)a[i] * b[i]);
    }
    return sum;
}

/* --- conversions ------------------------------------------------------------------------------ */

static void decode_all_patterns(void **state)
{
    (void)state;
    uint16_t *patterns = malloc(65536 * sizeof *patterns);
    float *got = malloc(65536 * sizeof *got);
    for (uint32_t i = 0; i < 65536; i++)
        patterns[i] = (uint16_t)i;
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        k.f16_decode(patterns, got, 65536);
        for (uint32_t i = 0; i < 65536; i++)
            assert_true(same_float(got[i], lm_f16_to_f32((uint16_t)i)));
        k.bf16_decode(patterns, got, 65536);
        for (uint32_t i = 0; i < 65536; i++)
            assert_true(same_float(got[i], lm_bf16_to_f32((uint16_t)i)));
        k.f16_decode((char *)patterns + 1, got, 33); /* mapped data has no alignment */
        for (uint32_t i = 0; i < 33; i++)
            assert_true(same_float(got[i], lm_f16_to_f32((uint16_t)(i >> 8 | (i + 1) << 8))));
    }
    free(patterns);
    free(got);
}

static void decode_q8_0(void **state)
{
    (void)state;
    const lm_format *f = lm_format_by_id(LM_Q8_0);
    static uint8_t blocks[1 + 8 * 34];
    float wanted[8 * 32], got[8 * 32];
    uint64_t seed = 9;
    for (size_t i = 0; i < sizeof blocks; i++)
        blocks[i] = (uint8_t)(test_random_normal(&seed) * 60);
    f->decode(blocks + 1, wanted, 8 * 32);
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        lcpu_decoder_of(&k, f)(blocks + 1, got, 8 * 32);
        for (uint32_t i = 0; i < 8 * 32; i++)
            assert_true(same_float(got[i], wanted[i]));
    }
}

/* --- f32 products ----------------------------------------------------------------------------- */

enum { MAX_K = 1100, MAX_W = 50, MAX_X = 26 };

/* The canonical sum, written as the numerics page says it. */
static float dot16(const float *w, const float *x, uint32_t k)
{
    float lane[16] = {0};
    for (uint32_t i = 0; i < k; i++)
        lane[i % 16] = w[i] * x[i] + lane[i % 16];
    for (int step = 8; step > 0; step /= 2)
        for (int l = 0; l < step; l++)
            lane[l] += lane[l + step];
    return lane[0];
}

static void check_f32(const lcpu_kernels *k, bool portable, uint32_t cols, uint32_t n_w,
                      uint32_t n_x, int kind)
{
    static float w[MAX_W * (MAX_K + 3)], x[MAX_X][MAX_K], out[MAX_X][MAX_W + 2];
    const float *rows[MAX_X];
    float *outs[MAX_X];
    numbers(w, sizeof w / sizeof w[0], kind, cols);
    for (uint32_t i = 0; i < n_x; i++) {
        numbers(x[i], cols, NORMAL, i + 7);
        rows[i] = x[i];
        outs[i] = out[i];
        for (uint32_t o = 0; o < MAX_W + 2; o++)
            out[i][o] = 77;
    }
    k->f32_matmul(w, MAX_K + 3, n_w, rows, n_x, cols, outs, 1);
    for (uint32_t i = 0; i < n_x; i++) {
        assert_true(out[i][0] == 77 && out[i][n_w + 1] == 77);
        for (uint32_t o = 0; o < n_w; o++) {
            const float *row = w + (size_t)o * (MAX_K + 3);
            double size, exact = dot_double(row, x[i], cols, &size);
            if (portable)
                assert_true(same_float(out[i][o + 1], dot16(row, x[i], cols)));
            assert_true(fabs(out[i][o + 1] - exact) <= size * 1e-6 + cols * 1e-45);
        }
    }
}

static void f32_products(void **state)
{
    (void)state;
    static const uint32_t widths[] = {1, 2, 15, 16, 17, 31, 32, 33, 64, 100, 255, 300, 1100};
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
            for (uint32_t n_x = 1; n_x <= MAX_X; n_x += n_x < 8 ? 1 : 6)
                for (int kind = 0; kind < KINDS; kind++)
                    check_f32(&k, k.used == 0, widths[i], 1 + (n_x + i) % MAX_W, n_x, kind);
    }
}

/* A row's result is the same whoever its neighbours are. */
static void f32_neighbours(void **state)
{
    (void)state;
    static float w[4 * MAX_K], x[MAX_X][MAX_K], together[MAX_X][4], alone[4];
    const float *rows[MAX_X];
    float *outs[MAX_X], *one = alone;
    numbers(w, 4 * MAX_K, NORMAL, 1);
    for (uint32_t i = 0; i < MAX_X; i++) {
        numbers(x[i], MAX_K, i == 3 ? HUGE_ONES : NORMAL, i);
        rows[i] = x[i];
        outs[i] = together[i];
    }
    x[4][50] = NAN;
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        k.f32_matmul(w, MAX_K, 4, rows, MAX_X, MAX_K, outs, 0);
        for (uint32_t i = 0; i < MAX_X; i++) {
            k.f32_matmul(w, MAX_K, 4, &rows[i], 1, MAX_K, &one, 0);
            for (int o = 0; o < 4; o++)
                assert_true(same_float(alone[o], together[i][o]) && isnan(alone[o]) == (i == 4));
        }
    }
}

/* Sorted columns give the bits of the rows as they are. */
static void check_turned(const lcpu_kernels *k, uint32_t cols, uint32_t n_w, uint32_t n_x)
{
    static float w[MAX_W * MAX_K], x[MAX_X][MAX_K], sixteen[16 * MAX_K], out[2][MAX_X][MAX_W];
    size_t row_values = LCPU_TURNED_ROW(cols), panel_values = LCPU_TURNED_PANEL(cols);
    size_t panels = (n_w + 15) / 16 * panel_values;
    float *turned = test_fenced(n_x * row_values * sizeof *turned),
          *panel = test_fenced(panels * sizeof *panel);
    const float *rows[2][MAX_X];
    float *outs[2][MAX_X];
    numbers(w, (size_t)n_w * cols, NORMAL, cols);
    for (uint32_t i = 0; i < n_x; i++) {
        numbers(x[i], cols, i % 5 == 3 ? HUGE_ONES : NORMAL, i);
        k->turned.row(x[i], cols, turned + i * row_values);
        rows[0][i] = x[i];
        rows[1][i] = turned + i * row_values;
        outs[0][i] = out[0][i];
        outs[1][i] = out[1][i];
    }
    for (uint32_t o = 0; o < n_w; o += 16) {
        uint32_t here = n_w - o < 16 ? n_w - o : 16, first = cols > 256 ? 256 : cols;
        memset(sixteen, 0, sizeof sixteen);
        memcpy(sixteen, w + (size_t)o * cols, (size_t)here * cols * sizeof *w);
        k->turned.rows(sixteen, cols, 0, first, cols, panel + o / 16 * panel_values);
        if (first < cols)
            k->turned.rows(sixteen + first, cols, first, cols - first, cols,
                           panel + o / 16 * panel_values);
    }
    k->f32_matmul(w, cols, n_w, rows[0], n_x, cols, outs[0], 0);
    k->turned.matmul(panel, n_w, rows[1], n_x, cols, outs[1], 0);
    for (uint32_t i = 0; i < n_x; i++)
        assert_memory_equal(out[0][i], out[1][i], n_w * sizeof out[0][i][0]);
    test_unfence(turned, n_x * row_values * sizeof *turned);
    test_unfence(panel, panels * sizeof *panel);
}

static void f32_turned(void **state)
{
    (void)state;
    static const uint32_t widths[] = {1, 16, 17, 100, 256, 300, 512, 1100};
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        if (k.turned.from == 0)
            continue;
        for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
            for (uint32_t n_x = 1; n_x <= MAX_X; n_x++)
                check_turned(&k, widths[i], 1 + (n_x * 5 + (uint32_t)i) % MAX_W, n_x);
    }
}

static void sums(void **state)
{
    (void)state;
    enum { LONGEST = 300 };
    static float x[LONGEST], ones[LONGEST];
    for (uint32_t i = 0; i < LONGEST; i++)
        ones[i] = 1;
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (uint32_t n = 1; n <= LONGEST; n++) {
            for (int kind = 0; kind < KINDS; kind++) {
                numbers(x, n, kind, n);
                double size, exact = dot_double(x, ones, n, &size), square = 0;
                assert_true(fabs(k.sum(x, n) - exact) <= size * 1e-6 + n * 1e-45);
                float mean = (float)(exact / n);
                for (uint32_t i = 0; i < n; i++)
                    square += ((double)x[i] - mean) * ((double)x[i] - mean);
                assert_true(fabs(k.sum_squares(x, mean, n) - square) <= square * 2e-6 + 1e-40);
            }
        }
    }
}

/* --- int8 products ---------------------------------------------------------------------------- */

static const uint32_t int8_formats[] = {
    LM_Q8_0,  LM_Q4_0,   LM_Q4_1,    LM_Q5_0,   LM_Q5_1,  LM_Q2_K,  LM_Q3_K,  LM_Q4_K,
    LM_Q5_K,  LM_Q6_K,   LM_IQ4_NL,  LM_IQ4_XS, LM_MXFP4, LM_NVFP4, LM_IQ3_S, LM_IQ3_XXS,
    LM_IQ2_S, LM_IQ2_XS, LM_IQ2_XXS, LM_IQ1_S,  LM_IQ1_M, LM_TQ1_0, LM_TQ2_0};
#define INT8_FORMATS (sizeof int8_formats / sizeof int8_formats[0])

/* The activations as the numerics page quantises them: reference, in doubles where exact. */
static void quantised(const float *x, uint32_t k, double *back)
{
    for (uint32_t b = 0; b < k; b += 32) {
        float largest = 0;
        for (uint32_t i = 0; i < 32; i++)
            largest = fmaxf(largest, fabsf(x[b + i]));
        float inverse = largest > 0 ? 127 / largest : 0, scale = largest / 127;
        for (uint32_t i = 0; i < 32; i++)
            back[b + i] = (double)nearbyintf(x[b + i] * inverse) * scale;
    }
}

static size_t panel_bytes(const lcpu_kernels *k, const lcpu_int8_format *f, uint32_t n_w,
                          uint32_t cols)
{
    size_t panels = (n_w + k->int8.panel_rows - 1) / k->int8.panel_rows;
    return panels * f->column_bytes * (cols / 32);
}

static uint8_t *panel_for(const lcpu_kernels *k, const lcpu_int8_format *f, uint32_t n_w,
                          uint32_t cols)
{
    return test_fenced(panel_bytes(k, f, n_w, cols));
}

static double largest_of(const float *x, uint32_t n)
{
    double largest = 0;
    for (uint32_t i = 0; i < n; i++)
        if (fabs(x[i]) > largest)
            largest = fabs(x[i]);
    return largest;
}

static void check_int8(const lcpu_kernels *k, const lm_format *f, uint32_t cols, uint32_t n_x,
                       int kind)
{
    enum { W = 5 };
    const lcpu_int8_format *int8 = lcpu_int8_of(k, f);
    size_t row_bytes = k->int8.row_bytes(cols), packed = cols / f->block * f->bytes;
    float *w = malloc(W * cols * sizeof *w), *x = malloc(n_x * cols * sizeof *x);
    size_t file_bytes = (W * packed) | 1; /* mapped data has no alignment */
    uint8_t *file = test_fenced(file_bytes), *panel = panel_for(k, int8, W, cols),
            *acts = test_fenced(n_x * row_bytes);
    double *back = malloc(cols * sizeof *back);
    float out[8][W + 1], *outs[8];
    const void *rows[8];
    numbers(w, (size_t)W * cols, kind == HUGE_ONES || kind == TINY ? NORMAL : kind, 3);
    f->encode(w, NULL, file, (size_t)W * cols);
    f->decode(file, w, (size_t)W * cols);
    numbers(x, (size_t)n_x * cols, kind == TINY ? NORMAL : kind, 4);
    int8->unpack(file, packed, W, cols, panel);
    for (uint32_t i = 0; i < n_x; i++) {
        k->int8.quantise(x + (size_t)i * cols, cols, acts + i * row_bytes);
        rows[i] = acts + i * row_bytes;
        outs[i] = out[i];
    }
    int8->matmul(panel, W, rows, n_x, cols, outs, 1, panel, 1000);
    for (uint32_t i = 0; i < n_x; i++) {
        quantised(x + (size_t)i * cols, cols, back);
        for (uint32_t o = 0; o < W; o++) {
            const float *row = w + (size_t)o * cols;
            double sum = 0, size = 0, largest = largest_of(row, cols);
            for (uint32_t c = 0; c < cols; c++) {
                sum += row[c] * back[c];
                size += largest * fabs(back[c]);
            }
            /* Blocks are exact but for the rounding of scales and of the sum; minima, which are as
             * large as the largest weights, are taken off again. */
            if (fabs(out[i][o + 1] - sum) > size * 4e-6 + 1e-30)
                fail_msg("%s: %g where %g is right", f->name, (double)out[i][o + 1], sum);
        }
    }
    test_unfence(file, file_bytes), test_unfence(acts, n_x * row_bytes);
    test_unfence(panel, panel_bytes(k, int8, W, cols));
    free(w), free(x), free(back);
}

static void int8_products(void **state)
{
    (void)state;
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        assert_true(k.int8.n_formats >= INT8_FORMATS);
        for (size_t i = 0; i < INT8_FORMATS; i++) {
            const lm_format *f = lm_format_by_id(int8_formats[i]);
            assert_non_null(lcpu_int8_of(&k, f));
            for (uint32_t n_x = 1; n_x <= 8; n_x++)
                for (int kind = 0; kind < KINDS; kind++)
                    check_int8(&k, f, f->block * (1 + n_x % 3), n_x, kind);
        }
    }
}

enum { ONE_COLS = 1056, ONE_W = 61, ONE_X = 37 };

typedef struct one_case {
    const lm_format *format;
    uint32_t cols;
    uint8_t file[ONE_W * ONE_COLS * 2];
    float x[ONE_X][ONE_COLS];
} one_case;

/* Through panels or straight from the file. An odd number of rows does not lie in order. */
static void multiply_one(const lcpu_kernels *k, const one_case *c, bool direct, uint32_t n_w,
                         uint32_t n_x, float to[ONE_X][ONE_W])
{
    const lcpu_int8_format *int8 = lcpu_int8_of(k, c->format);
    size_t bytes = k->int8.row_bytes(c->cols),
           stride = c->cols / c->format->block * c->format->bytes;
    uint8_t *panel = panel_for(k, int8, n_w, c->cols), *acts = test_fenced(n_x * bytes),
            *file = test_fenced((n_w * stride) | 1);
    const void *rows[ONE_X];
    float *outs[ONE_X];
    for (uint32_t r = 0; r < n_x; r++) {
        uint32_t at = n_x % 2 == 1 && (r ^ 1u) < n_x ? r ^ 1u : r;
        k->int8.quantise(c->x[r], c->cols, acts + at * bytes);
        rows[r] = acts + at * bytes;
        outs[r] = to[r];
    }
    memcpy(file, c->file, n_w * stride);
    int8->unpack(file, stride, n_w, c->cols, panel);
    if (direct)
        int8->direct(file, stride, n_w, rows, n_x, c->cols, outs, 0, file);
    else
        int8->matmul(panel, n_w, rows, n_x, c->cols, outs, 0, NULL, 0);
    test_unfence(panel, panel_bytes(k, int8, n_w, c->cols));
    test_unfence(acts, n_x * bytes), test_unfence(file, (n_w * stride) | 1);
}

static void same_everywhere(const lcpu_kernels *k, const one_case *c)
{
    static float wanted[ONE_X][ONE_W], part[ONE_X][ONE_W], first[ONE_X][ONE_W];
    lcpu_kernels portable = kernels_of(0);
    multiply_one(&portable, c, false, ONE_W, ONE_X, wanted);
    multiply_one(k, c, false, ONE_W, ONE_X, first);
    for (int r = 0; r < ONE_X; r++)
        for (int o = 0; o < ONE_W; o++)
            assert_true(fabsf(first[r][o] - wanted[r][o]) <= (k->used == 0 ? 0 : 1e-4f));
    bool has_direct = lcpu_int8_of(k, c->format)->direct != NULL;
    for (int direct = 0; direct <= has_direct; direct++)
        for (uint32_t n_w = 1; n_w <= ONE_W; n_w += 12)
            for (uint32_t n_x = 1; n_x <= (direct ? k->int8.direct_max : ONE_X);
                 n_x += n_x < 7 ? 1 : 5) {
                multiply_one(k, c, direct != 0, n_w, n_x, part);
                for (uint32_t r = 0; r < n_x; r++)
                    assert_memory_equal(part[r], first[r], n_w * sizeof part[r][0]);
            }
}

/* The kernels of a level answer the portable ones' numbers: integers are exact, and the order of
 * the float operations is fixed; only fused multiply-add differs, in the last places. Within a
 * level the bits are the same for every way to multiply. */
static void int8_is_one_arithmetic(void **state)
{
    (void)state;
    static one_case c;
    static float w[ONE_W * ONE_COLS];
    for (size_t i = 0; i < INT8_FORMATS; i++) {
        c.format = lm_format_by_id(int8_formats[i]);
        c.cols = c.format->block == 32 ? ONE_COLS : 1024;
        numbers(w, (size_t)ONE_W * c.cols, NORMAL, i);
        for (uint32_t o = 0; o < ONE_W; o++)
            c.format->encode(w + o * c.cols, NULL,
                             c.file + o * (c.cols / c.format->block * c.format->bytes), c.cols);
        for (uint32_t r = 0; r < ONE_X; r++)
            numbers(c.x[r], c.cols, NORMAL, 50 + r);
        for (size_t level = 0; level < n_levels; level++) {
            lcpu_kernels k = kernels_of(level);
            same_everywhere(&k, &c);
        }
    }
}

static void int8_spreads_wrong_numbers(void **state)
{
    (void)state;
    static const float wrong[] = {NAN, INFINITY, -INFINITY};
    const lm_format *f = lm_format_by_id(LM_Q8_0);
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (size_t i = 0; i < 3; i++) {
            float w[64], x[64], out, *outs = &out;
            uint8_t file[68];
            numbers(w, 64, NORMAL, 1);
            numbers(x, 64, NORMAL, 2);
            x[40] = wrong[i];
            f->encode(w, NULL, file, 64);
            const lcpu_int8_format *int8 = lcpu_int8_of(&k, f);
            uint8_t *panel = panel_for(&k, int8, 1, 64), *act = malloc(k.int8.row_bytes(64));
            const void *rows = act;
            int8->unpack(file, sizeof file, 1, 64, panel);
            k.int8.quantise(x, 64, act);
            int8->matmul(panel, 1, &rows, 1, 64, &outs, 0, NULL, 0);
            assert_true(isnan(out));
            test_unfence(panel, panel_bytes(&k, int8, 1, 64)), free(act);
        }
    }
}

/* Extremes of the integers: the largest products a block can have must not overflow. */
static void int8_extremes(void **state)
{
    (void)state;
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        lm_block_q8_0 w = {.d = lm_half_from(1)};
        float x[32], out, *outs = &out;
        for (int sign = -1; sign <= 1; sign += 2) {
            for (int i = 0; i < 32; i++) {
                w.q[i] = (int8_t)(sign < 0 ? -128 : 127);
                x[i] = 127;
            }
            const lcpu_int8_format *int8 = lcpu_int8_of(&k, lm_format_by_id(LM_Q8_0));
            uint8_t *panel = panel_for(&k, int8, 1, 32), *act = malloc(k.int8.row_bytes(32));
            const void *rows = act;
            int8->unpack((const uint8_t *)&w, sizeof w, 1, 32, panel);
            k.int8.quantise(x, 32, act);
            int8->matmul(panel, 1, &rows, 1, 32, &outs, 0, NULL, 0);
            assert_true(out == 32.0f * 127 * (float)w.q[0]);
            test_unfence(panel, panel_bytes(&k, int8, 1, 32)), free(act);
        }
    }
}

/* --- functions -------------------------------------------------------------------------------- */

static void exponentials(void **state)
{
    (void)state;
    double worst = 0, worst_tanh = 0;
    for (double x = -87.3; x < 88.3; x += 0.00173) {
        float f = (float)x;
        worst = fmax(worst, fabs(lcpu_exp(f) / exp(f) - 1));
        worst_tanh = fmax(worst_tanh, fabs(lcpu_tanh(f / 8) - tanh(f / 8)));
    }
    assert_true(worst < 2e-7 && worst_tanh < 2e-7);
    for (double x = 1e-6; x < 0.7; x *= 1.01)
        assert_true(fabs(lcpu_tanh((float)x) / tanh((float)x) - 1) < 3e-7);
    assert_true(lcpu_exp(0) == 1 && lcpu_exp(-INFINITY) == 0 && lcpu_exp(-88) == 0);
    assert_true(isinf(lcpu_exp(INFINITY)) && isinf(lcpu_exp(89)) && isnan(lcpu_exp(NAN)));
    assert_true(lcpu_tanh(INFINITY) == 1 && lcpu_tanh(-INFINITY) == -1 && isnan(lcpu_tanh(NAN)));
    assert_true(lcpu_sigmoid(-INFINITY) == 0 && lcpu_sigmoid(INFINITY) == 1);
}

static void activations(void **state)
{
    (void)state;
    static float x[200], factor[200], out[201], again[200];
    lcpu_kernels portable = kernels_of(0);
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        for (uint32_t act = LM_ACT_NONE; act <= LM_ACT_SOFTPLUS; act++) {
            numbers(x, 200, NORMAL, act);
            numbers(factor, 200, NORMAL, act + 100);
            x[17] = NAN;
            x[3] = 0;
            for (size_t n = 1; n <= 200; n += 33) {
                out[n] = 77;
                k.act(act, x, factor, out, n);
                assert_true(out[n] == 77);
                portable.act(act, x, factor, again, n);
                for (size_t i = 0; i < n; i++)
                    assert_true(isnan(x[i]) ? isnan(out[i]) : fabsf(out[i] - again[i]) <= 1e-6f);
            }
            memcpy(again, x, sizeof x); /* over its own input */
            k.act(act, x, NULL, out, 200);
            k.act(act, again, NULL, again, 200);
            for (size_t i = 0; i < 200; i++)
                assert_true(same_float(again[i], out[i]));
        }
    }
}

/* --- the mask --------------------------------------------------------------------------------- */

static void feature_masks(void **state)
{
    (void)state;
    for (size_t level = 0; level < n_levels; level++) {
        lcpu_kernels k = kernels_of(level);
        assert_int_equal(k.used & ~(lcpu_features() & levels[level].features), 0);
    }
    assert_int_equal(kernels_of(0).used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_all_patterns),
        cmocka_unit_test(decode_q8_0),
        cmocka_unit_test(f32_products),
        cmocka_unit_test(f32_neighbours),
        cmocka_unit_test(f32_turned),
        cmocka_unit_test(sums),
        cmocka_unit_test(int8_products),
        cmocka_unit_test(int8_is_one_arithmetic),
        cmocka_unit_test(int8_spreads_wrong_numbers),
        cmocka_unit_test(int8_extremes),
        cmocka_unit_test(exponentials),
        cmocka_unit_test(activations),
        cmocka_unit_test(feature_masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
