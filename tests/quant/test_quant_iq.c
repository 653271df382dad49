/* test_quant_iq.c - the IQ formats: decode against the checksums of the `gguf` package, encode
 * against the error of llama.cpp's quantiser, hostile values. */
#include "support/support.h"

#include "base/half.h"
#include "quant/quant.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant/iq_expected.h"

enum { BLOCK = 256, FORMATS = sizeof iq_expected / sizeof iq_expected[0] };

static const lm_format *format_of(size_t i)
{
    const lm_format *f = lm_format_by_name(iq_expected[i].name);
    assert_non_null(f);
    assert_int_equal(f->block, BLOCK);
    return f;
}

static uint64_t fnv1a(const void *data, size_t size)
{
    const unsigned char *at = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ at[i]) * 0x100000001b3u;
    return h;
}

static void test_quant_iq__decodes_as_the_reference_package(void **state)
{
    (void)state;
    float *values = malloc(IQ_BLOCKS * BLOCK * sizeof *values);
    for (size_t i = 0; i < FORMATS; i++) {
        const struct iq_expected *want = &iq_expected[i];
        const lm_format *f = format_of(i);
        uint64_t random = f->bytes;
        uint8_t *blocks = malloc(IQ_BLOCKS * (size_t)f->bytes);
        for (size_t j = 0; j < IQ_BLOCKS * (size_t)f->bytes; j++)
            blocks[j] = (uint8_t)test_random(&random);
        for (size_t j = 0; j < IQ_BLOCKS; j++)
            blocks[j * f->bytes + want->d_byte] &= (uint8_t)~want->d_clear;
        f->decode(blocks, values, IQ_BLOCKS * BLOCK);
        for (size_t j = 0; j < IQ_FIRST; j++)
            if (lm_f32_bits(values[j]) != want->first[j])
                fail_msg("%s: value %zu is %a", f->name, j, (double)values[j]);
        if (fnv1a(values, IQ_BLOCKS * BLOCK * sizeof *values) != want->checksum)
            fail_msg("%s: another checksum", f->name);
        free(blocks);
    }
    free(values);
}

/* Input for the encoders; no library functions, so that every machine makes the same. */
static void make_input(float *values, float *importance, size_t count)
{
    uint64_t random = 7;
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (int j = 0; j < 6; j++)
            sum += test_random_unit(&random) - 0.5;
        values[i] = (float)(sum * (0.01 + 0.09 * test_random_unit(&random)));
        double u = test_random_unit(&random);
        importance[i] = (float)(0.25 + 4 * u * test_random_unit(&random));
    }
}

/* peer: the relative weighted error of llama.cpp's quantiser (August 2026) on make_input.
 * checksum: of our own blocks; a change of the encoder changes it, another compiler or machine must
 * not. */
static const struct {
    const char *name;
    double peer;
    uint64_t checksum;
} encoded[] = {
    {"iq1_s", 0.246723, 0x0f427f1fc9f0f370u},   {"iq1_m", 0.190857, 0x452f426dfea45cafu},
    {"iq2_xxs", 0.118036, 0x5353c8be520dfe44u}, {"iq2_xs", 0.090392, 0x7e10ff5c0ff80f7eu},
    {"iq2_s", 0.072709, 0xe59516e9d807f566u},   {"iq3_xxs", 0.030681, 0xfde9deb251b412e9u},
    {"iq3_s", 0.019639, 0xdca93cc48b60b22bu},
};

enum { ENCODED = 64 * BLOCK };

static double relative_error(const float *values, const float *importance, const float *got,
                             size_t count)
{
    double error = 0, power = 0;
    for (size_t i = 0; i < count; i++) {
        double miss = (double)values[i] - (double)got[i];
        error += (double)importance[i] * miss * miss;
        power += (double)importance[i] * (double)values[i] * (double)values[i];
    }
    return error / power;
}

static void test_quant_iq__encodes_better_than_the_peer(void **state)
{
    (void)state;
    float *values = malloc(3 * ENCODED * sizeof *values), *importance = values + ENCODED;
    float *got = importance + ENCODED;
    make_input(values, importance, ENCODED);
    for (size_t i = 0; i < sizeof encoded / sizeof encoded[0]; i++) {
        const lm_format *f = lm_format_by_name(encoded[i].name);
        size_t bytes = ENCODED / BLOCK * (size_t)f->bytes;
        uint8_t *blocks = malloc(bytes);
        f->encode(values, importance, blocks, ENCODED);
        f->decode(blocks, got, ENCODED);
        double error = relative_error(values, importance, got, ENCODED);
        if (error > encoded[i].peer)
            fail_msg("%s: error %f, the peer's is %f", f->name, error, encoded[i].peer);
        if (fnv1a(blocks, bytes) != encoded[i].checksum)
            fail_msg("%s: other blocks than before: 0x%016llx", f->name,
                     (unsigned long long)fnv1a(blocks, bytes));
        free(blocks);
    }
    free(values);
}

static void test_quant_iq__encodes_blocks_independently(void **state)
{
    (void)state;
    float values[4 * BLOCK], importance[4 * BLOCK];
    uint8_t together[4 * 128], alone[128];
    make_input(values, importance, 4 * BLOCK);
    for (size_t i = 0; i < FORMATS; i++) {
        const lm_format *f = format_of(i);
        f->encode(values, importance, together, 4 * BLOCK);
        for (size_t j = 0; j < 4; j++) {
            f->encode(values + j * BLOCK, importance + j * BLOCK, alone, BLOCK);
            assert_memory_equal(alone, together + j * f->bytes, f->bytes);
        }
    }
}

/* Importance decides where the error goes. */
static void test_quant_iq__prefers_important_values(void **state)
{
    (void)state;
    float values[BLOCK], importance[BLOCK], plain[BLOCK], weighted[BLOCK];
    uint8_t block[128];
    make_input(values, importance, BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        importance[i] = i % 4 == 0 ? 100.0f : 1.0f;
    for (size_t i = 0; i < FORMATS; i++) {
        const lm_format *f = format_of(i);
        f->encode(values, NULL, block, BLOCK);
        f->decode(block, plain, BLOCK);
        f->encode(values, importance, block, BLOCK);
        f->decode(block, weighted, BLOCK);
        assert_true(relative_error(values, importance, weighted, BLOCK) <
                    relative_error(values, importance, plain, BLOCK));
    }
}

/* Encodes one block and decodes it into `got`, which must be finite. */
static void round_trip(const lm_format *f, const float *values, const float *importance, float *got)
{
    uint8_t block[128];
    memset(block, 0xa5, sizeof block);
    f->encode(values, importance, block, BLOCK);
    f->decode(block, got, BLOCK);
    assert_int_equal(block[f->bytes], 0xa5);
    for (size_t i = 0; i < BLOCK; i++)
        if (!isfinite(got[i]))
            fail_msg("%s: value %zu became %f", f->name, i, (double)got[i]);
}

static void fill(float *values, float v)
{
    for (size_t i = 0; i < BLOCK; i++)
        values[i] = v;
}

static void test_quant_iq__keeps_zeros(void **state)
{
    (void)state;
    float values[BLOCK], got[BLOCK];
    static const float nothing[] = {0.0f, -0.0f, 1e-45f, -1e-38f, 1e-12f};
    for (size_t i = 0; i < FORMATS; i++)
        for (size_t k = 0; k < sizeof nothing / sizeof nothing[0]; k++) {
            fill(values, nothing[k]);
            round_trip(format_of(i), values, NULL, got);
            for (size_t j = 0; j < BLOCK; j++)
                assert_true(got[j] == 0);
        }
}

/* A constant block needs one level only, so all that it loses is the rounding of d to 11 bits and,
 * in IQ1, what d times an odd step misses. */
static void test_quant_iq__keeps_constants(void **state)
{
    (void)state;
    float values[BLOCK], got[BLOCK];
    static const float constants[] = {1.0f, -1.0f, 0.3f, 1000.0f, -1e-2f};
    for (size_t i = 0; i < FORMATS; i++)
        for (size_t k = 0; k < sizeof constants / sizeof constants[0]; k++) {
            fill(values, constants[k]);
            round_trip(format_of(i), values, NULL, got);
            for (size_t j = 0; j < BLOCK; j++)
                if (fabsf(got[j] - values[j]) > fabsf(values[j]) / 256)
                    fail_msg("%s: %f became %f", iq_expected[i].name, (double)values[j],
                             (double)got[j]);
        }
}

/* Values beyond what the scale can hold saturate; what is no number counts as zero. */
static void test_quant_iq__survives_hostile_values(void **state)
{
    (void)state;
    static const float bad[] = {FLT_MAX, -FLT_MAX, INFINITY, -INFINITY, NAN, 1e30f, 1e-30f};
    float values[BLOCK], importance[BLOCK], got[BLOCK];
    for (size_t i = 0; i < FORMATS; i++) {
        const lm_format *f = format_of(i);
        for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
            make_input(values, importance, BLOCK);
            values[77] = bad[k];
            round_trip(f, values, importance, got);
            fill(values, bad[k]);
            round_trip(f, values, importance, got);
            make_input(values, importance, BLOCK);
            importance[77] = bad[k];
            round_trip(f, values, importance, got);
            fill(importance, bad[k]);
            round_trip(f, values, importance, got);
        }
        make_input(values, importance, BLOCK);
        values[77] = NAN;
        fill(importance, 0);
        round_trip(f, values, importance, got);
        assert_true(fabsf(got[77]) < 0.05f);
        fill(values, 1e30f);
        round_trip(f, values, NULL, got);
        assert_true(got[0] > 100000.0f);
    }
}

/* Importance that covers only zeros leaves no scale to choose. */
static void test_quant_iq__survives_misplaced_importance(void **state)
{
    (void)state;
    float values[BLOCK], importance[BLOCK], got[BLOCK];
    for (size_t i = 0; i < FORMATS; i++) {
        make_input(values, importance, BLOCK);
        for (size_t j = 0; j < BLOCK; j++)
            importance[j] = j < 32 ? 1.0f : 0.0f;
        memset(values, 0, 32 * sizeof *values);
        round_trip(format_of(i), values, importance, got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quant_iq__decodes_as_the_reference_package),
        cmocka_unit_test(test_quant_iq__encodes_better_than_the_peer),
        cmocka_unit_test(test_quant_iq__encodes_blocks_independently),
        cmocka_unit_test(test_quant_iq__prefers_important_values),
        cmocka_unit_test(test_quant_iq__keeps_zeros),
        cmocka_unit_test(test_quant_iq__keeps_constants),
        cmocka_unit_test(test_quant_iq__survives_hostile_values),
        cmocka_unit_test(test_quant_iq__survives_misplaced_importance),
    };
    return cmocka_run_group_tests_name("quant_iq", tests, NULL, NULL);
}
