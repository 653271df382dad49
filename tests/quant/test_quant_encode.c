/* test_quant_encode.c - the encoders that search: their error against llama.cpp's on stored inputs
 * (see make_error_figures.py), the same bytes on every machine, and inputs that are no weights. */
#include "support/support.h"

#include "base/bytes.h"
#include "base/half.h"
#include "base/hash.h"
#include "quant/q_8k.h"
#include "quant/q_legacy.h"
#include "quant/quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/error_figures.h"

enum { BLOCK = 256, FIGURES = sizeof error_figures / sizeof error_figures[0] };

static float rows[ERROR_ROWS + 1][ERROR_ROW]; /* the last one is importance */

static int read_rows(void **state)
{
    (void)state;
    size_t size;
    unsigned char *halves = test_read(test_file_path("quant/error.bin"), &size);
    assert_int_equal(size, sizeof rows / 2);
    for (size_t i = 0; i < size / 2; i++)
        rows[i / ERROR_ROW][i % ERROR_ROW] = lm_f16_to_f32(lm_load_u16(halves + 2 * i));
    free(halves);
    return 0;
}

/* Encodes and decodes a row; the encoder must not write past its blocks. */
static void round_trip(const lm_format *f, const float *x, const float *importance, float *y)
{
    static unsigned char blocks[ERROR_ROW * 4 + 8];
    size_t size = ERROR_ROW / f->block * f->bytes;
    memset(blocks, 0xa5, sizeof blocks);
    f->encode(x, importance, blocks + 1, ERROR_ROW);
    assert_int_equal(blocks[0], 0xa5);
    assert_int_equal(blocks[1 + size], 0xa5);
    f->decode(blocks + 1, y, ERROR_ROW);
}

static double mean_square(const float *x)
{
    double sum = 0.0;
    for (int i = 0; i < BLOCK; i++)
        sum += (double)x[i] * (double)x[i];
    return sum / BLOCK;
}

/* The sums that error_figures.h holds. */
static void measure(const lm_format *f, const float *x, double error[5])
{
    static float free_y[ERROR_ROW], led_y[ERROR_ROW];
    const float *importance = rows[ERROR_ROWS];
    double mean = 0.0;
    round_trip(f, x, NULL, free_y);
    round_trip(f, x, importance, led_y);
    memset(error, 0, 5 * sizeof *error);
    for (int i = 0; i < ERROR_ROW; i++) {
        if (i % BLOCK == 0)
            mean = mean_square(x + i);
        double v = x[i], e = (double)free_y[i] - v, l = (double)led_y[i] - v, w = importance[i];
        error[0] += e * e;
        error[1] += e * e * fabs(v);
        error[2] += e * e * v * v;
        error[3] += l * l * w;
        error[4] += l * l * w * sqrt(mean + v * v);
    }
}

static void test_quant__errs_no_more_than_the_peer(void **state)
{
    (void)state;
    for (int i = 0; i < FIGURES; i++) {
        const struct error_figures *peer = &error_figures[i];
        const lm_format *f = lm_format_by_name(peer->format);
        double error[5];
        assert_non_null(f);
        measure(f, rows[i % ERROR_ROWS], error);
        for (int k = 0; k < 5; k++)
            if (!(error[k] <= 1.02 * peer->error[k]))
                fail_msg("%s on %s: error %d is %.4g, %.3f times the peer's", peer->format,
                         peer->distribution, k, error[k], error[k] / peer->error[k]);
    }
}

/* No compiler, instruction set or vector width may change a byte that an encoder writes. */
static void test_quant__encodes_the_same_everywhere(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        uint64_t hash;
    } wanted[] = {
        {"q2_k", 0x77f1c95d8dd571e3u},   {"q3_k", 0x016e9a524474c177u},
        {"q4_k", 0x990f74acb5e50da7u},   {"q5_k", 0xcb5fb82e9e706addu},
        {"q6_k", 0x5984bdc97a085767u},   {"iq4_nl", 0xfc7cb9123379f589u},
        {"iq4_xs", 0x1936ca5d049e3274u}, {"q4_0", 0xbefbc477f5138f2du},
        {"q4_1", 0x713bc7ab725d56bbu},   {"q5_0", 0x915a6d7df5485fa0u},
        {"q5_1", 0x8231d0f51ad6f592u},   {"mxfp4", 0x7986aa2b566cfb4bu},
        {"nvfp4", 0x09947bddb36b3494u},  {"f8_e4m3", 0x9a608c4377cc82d8u},
    };
    static unsigned char blocks[ERROR_ROW * 4];
    for (size_t k = 0; k < sizeof wanted / sizeof wanted[0]; k++) {
        const lm_format *f = lm_format_by_name(wanted[k].format);
        size_t size = ERROR_ROW / f->block * f->bytes;
        uint64_t hash = 0;
        for (int r = 0; r < 2 * ERROR_ROWS; r++) {
            f->encode(rows[r / 2], r % 2 ? rows[ERROR_ROWS] : NULL, blocks, ERROR_ROW);
            hash = lm_hash(blocks, size, hash);
        }
        if (hash != wanted[k].hash)
            fail_msg("%s: hash 0x%016llx", f->name, (unsigned long long)hash);
    }
}

static void check_is_finite(const lm_format *f, const char *what, const float *y)
{
    for (int i = 0; i < ERROR_ROW; i++)
        if (!isfinite(y[i]))
            fail_msg("%s of %s: value %d is %g", f->name, what, i, (double)y[i]);
}

/* Fills a row with numbers that no weight should be, `kind` by kind. */
static const char *strange_row(int kind, float *x)
{
    static const char *const names[] = {"random bits", "NaN",       "infinity", "largest",
                                        "denormal",    "one value", "zeros"};
    uint64_t seed = 5;
    if (kind == (int)(sizeof names / sizeof names[0]))
        return NULL;
    for (int i = 0; i < ERROR_ROW; i++) {
        uint32_t bits = (uint32_t)test_random(&seed);
        const float values[] = {lm_f32_from_bits(bits),
                                bits % 3 ? (float)bits * 1e-9f : NAN,
                                bits % 3   ? (float)bits * 1e-9f
                                : bits % 2 ? INFINITY
                                           : -INFINITY,
                                bits % 2 ? 3.4028235e38f : -3.4028235e38f,
                                lm_f32_from_bits(bits % 97),
                                i % BLOCK == 77 ? -1.0f : 0.0f,
                                bits % 2 ? 0.0f : -0.0f};
        x[i] = values[kind];
    }
    return names[kind];
}

static void test_quant__encodes_anything(void **state)
{
    (void)state;
    static float x[ERROR_ROW], y[ERROR_ROW], z[ERROR_ROW];
    static const char *const always_finite[] = {"q2_k",   "q3_k",   "q4_k",  "q5_k",   "q6_k",
                                                "iq4_nl", "iq4_xs", "nvfp4", "f8_e4m3"};
    const lm_format *f;
    const char *what;
    for (int kind = 0; (what = strange_row(kind, x)) != NULL; kind++)
        for (size_t i = 0; (f = lm_format_at(i)) != NULL; i++) {
            if (f->encode == NULL)
                continue;
            round_trip(f, x, NULL, y);
            round_trip(f, rows[0], x, z); /* strange importance */
            for (size_t k = 0; k < sizeof always_finite / sizeof always_finite[0]; k++)
                if (strcmp(f->name, always_finite[k]) == 0) {
                    check_is_finite(f, what, y);
                    check_is_finite(f, what, z);
                }
        }
}

static void test_quant__keeps_zeros(void **state)
{
    (void)state;
    static const float x[ERROR_ROW];
    static float y[ERROR_ROW];
    const lm_format *f;
    for (size_t i = 0; (f = lm_format_at(i)) != NULL; i++) {
        if (f->encode == NULL)
            continue;
        round_trip(f, x, NULL, y);
        for (int k = 0; k < ERROR_ROW; k++)
            assert_true(y[k] == 0.0f);
    }
}

/* Scales that half precision can hardly hold: where a value is a large part of what the block can
 * express, it survives; llama.cpp's Q6_K loses nearly half of these. */
static void test_quant__keeps_small_values(void **state)
{
    (void)state;
    static const char *const names[] = {"q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"};
    static float x[ERROR_ROW], y[ERROR_ROW];
    for (int i = 0; i < ERROR_ROW; i++)
        x[i] = rows[0][i] * 0x1p-9f; /* deviation 4e-5 */
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        double error = 0.0, energy = 0.0;
        round_trip(lm_format_by_name(names[k]), x, NULL, y);
        for (int i = 0; i < ERROR_ROW; i++) {
            error += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
            energy += (double)x[i] * (double)x[i];
        }
        if (!(error < 0.05 * energy))
            fail_msg("%s: lost %.3f of the energy", names[k], error / energy);
    }
}

/* One value in sixteen matters a thousand times more: its error must fall. */
static void test_quant__follows_importance(void **state)
{
    (void)state;
    static const char *const names[] = {"q4_0", "q4_1", "q5_0", "q5_1",   "q2_k",   "q3_k",
                                        "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "nvfp4"};
    static float importance[ERROR_ROW], free_y[ERROR_ROW], led_y[ERROR_ROW];
    for (int i = 0; i < ERROR_ROW; i++)
        importance[i] = i % 16 == 5 ? 1000.0f : 1.0f;
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        const lm_format *f = lm_format_by_name(names[k]);
        double free_error = 0.0, led_error = 0.0;
        round_trip(f, rows[0], NULL, free_y);
        round_trip(f, rows[0], importance, led_y);
        for (int i = 5; i < ERROR_ROW; i += 16) {
            free_error += fabs((double)free_y[i] - (double)rows[0][i]);
            led_error += fabs((double)led_y[i] - (double)rows[0][i]);
        }
        if (!(led_error < 0.5 * free_error))
            fail_msg("%s: %g, without importance %g", names[k], led_error, free_error);
    }
}

/* Four bits are kept of all values that are no subnormal numbers under the scale; those are rounded
 * to a multiple of the least. The scale makes 256 of the largest, or more. */
static void test_quant__rounds_to_eight_bits(void **state)
{
    (void)state;
    static float y[ERROR_ROW];
    const lm_format *f = lm_format_by_name("f8_e4m3");
    for (int r = 0; r < 2 * ERROR_ROWS; r++) {
        const float *x = rows[r / 2];
        round_trip(f, x, r % 2 ? rows[ERROR_ROWS] : NULL, y);
        for (int i = 0; i < ERROR_ROW; i++) {
            float peak = 0.0f;
            for (int j = i / 128 * 128; j < i / 128 * 128 + 128; j++)
                peak = fmaxf(peak, fabsf(x[j]));
            float bound = fmaxf(fabsf(x[i]) * 0x1p-4f, peak / 256 * 0x1p-10f);
            if (!(fabsf(x[i] - y[i]) <= bound * (1 + 0x1p-20f)))
                fail_msg("value %d is %g, was %g", i, (double)y[i], (double)x[i]);
        }
    }
}

/* What was in eight bits under some scale comes back, its scale as found from the largest value. */
static void test_quant__finds_the_scale_again(void **state)
{
    (void)state;
    static float x[ERROR_ROW], y[ERROR_ROW];
    const lm_format *f = lm_format_by_name("f8_e4m3");
    uint64_t seed = 6;
    for (int i = 0; i < ERROR_ROW; i++) {
        uint8_t code = (uint8_t)(test_random(&seed) % 0x7f | (uint64_t)(i % 2) << 7);
        float scale = 0.001f + 0.0137f * (float)(i / 128), top = i / 128 % 2 ? 1.0f : 0.25f;
        x[i] = scale * fminf(lm_e4m3_to_f32(code), 448.0f * top);
    }
    round_trip(f, x, NULL, y);
    for (int i = 0; i < ERROR_ROW; i++)
        if (!(fabsf(x[i] - y[i]) <= fabsf(x[i]) * 0x1p-22f))
            fail_msg("value %d is %g, was %g", i, (double)y[i], (double)x[i]);
}

static void test_quant__sums_activations(void **state)
{
    (void)state;
    lm_block_q8_1 small[ERROR_ROW / 32];
    lm_block_q8_k large[ERROR_ROW / BLOCK];
    lm_format_by_id(LM_Q8_1)->encode(rows[0], NULL, small, ERROR_ROW);
    lm_format_by_id(LM_Q8_K)->encode(rows[0], NULL, large, ERROR_ROW);
    for (int i = 0; i < ERROR_ROW; i += 16) {
        int sum = 0;
        for (int k = i; k < i + 16; k++)
            sum += large[i / BLOCK].q[k % BLOCK];
        assert_int_equal((int16_t)lm_load_u16(large[i / BLOCK].sum[i % BLOCK / 16]), sum);
        for (int k = i; k < i + 16; k++) {
            float d = lm_load_f32(large[i / BLOCK].d);
            assert_true(fabsf(d * (float)large[i / BLOCK].q[k % BLOCK] - rows[0][k]) <=
                        fabsf(d) * 0.5001f);
        }
    }
    for (int i = 0; i < ERROR_ROW; i += 32) {
        const lm_block_q8_1 *b = &small[i / 32];
        int sum = 0;
        float d = lm_half_get(b->d);
        for (int k = 0; k < 32; k++) {
            sum += b->q[k];
            /* half a step, and 127 times what rounding d to half precision cost */
            assert_true(fabsf(d * (float)b->q[k] - rows[0][i + k]) <= d * (0.5f + 127 * 0x1p-11f));
        }
        /* two roundings to half precision: of s, and of the d it is compared with */
        assert_true(fabsf(lm_half_get(b->s) - d * (float)sum) <= fabsf(d * (float)sum) * 0x1p-10f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quant__errs_no_more_than_the_peer),
        cmocka_unit_test(test_quant__encodes_the_same_everywhere),
        cmocka_unit_test(test_quant__encodes_anything),
        cmocka_unit_test(test_quant__keeps_zeros),
        cmocka_unit_test(test_quant__keeps_small_values),
        cmocka_unit_test(test_quant__follows_importance),
        cmocka_unit_test(test_quant__rounds_to_eight_bits),
        cmocka_unit_test(test_quant__finds_the_scale_again),
        cmocka_unit_test(test_quant__sums_activations),
    };
    return cmocka_run_group_tests_name("quant_encode", tests, read_rows, NULL);
}
