/* test_quant_fixtures.c - decode and encode against what the `gguf` Python package gives, bit for
 * bit, from files that make_fixtures.py wrote; eight-bit floats against torch (make_fp8_fixtures.py);
 * and decode against the external vectors. */
#include "support/support.h"

#include "base/bytes.h"
#include "quant/q_fp8.h"
#include "quant/quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads words and runs of bytes from a fixture, never past its end. */
typedef struct reader {
    unsigned char *data;
    size_t size, at;
} reader;

static reader open_fixture(const char *path)
{
    reader r = {.at = 0};
    r.data = test_read(path, &r.size);
    return r;
}

static const unsigned char *take(reader *r, size_t size)
{
    if (size > r->size - r->at)
        fail_msg("the fixture ends early");
    r->at += size;
    return r->data + r->at - size;
}

static uint32_t take_word(reader *r)
{
    return lm_load_u32(take(r, 4));
}

static const lm_format *take_format(reader *r)
{
    uint32_t id = take_word(r);
    const lm_format *f = lm_format_by_id(id);
    if (f == NULL)
        fail_msg("no format %u", id);
    return f;
}

/* Blocks in the middle of a mapped file have no alignment: decode from an odd address. */
static float *decode_unaligned(const lm_format *f, const unsigned char *blocks, size_t size,
                               size_t count)
{
    unsigned char *copy = malloc(size + 1);
    float *values = malloc(count * sizeof *values);
    assert_true(copy != NULL && values != NULL);
    memcpy(copy + 1, blocks, size);
    f->decode(copy + 1, values, count);
    free(copy);
    return values;
}

static void compare_values(const lm_format *f, const float *got, const unsigned char *wanted,
                           size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(got + i, wanted + 4 * i, 4) != 0)
            fail_msg("%s: value %u of block %u is %a, not %a", f->name, (unsigned)(i % f->block),
                     (unsigned)(i / f->block), (double)got[i], (double)lm_load_f32(wanted + 4 * i));
}

static void check_decoded(reader *r)
{
    const lm_format *f = take_format(r);
    size_t blocks = take_word(r), count = blocks * f->block;
    const unsigned char *stored = take(r, blocks * f->bytes);
    float *values = decode_unaligned(f, stored, blocks * f->bytes, count);
    compare_values(f, values, take(r, count * 4), count);
    free(values);
}

static void test_quant__decodes_as_the_package(void **state)
{
    (void)state;
    reader r = open_fixture(test_file_path("quant/decode.bin"));
    unsigned formats = 0;
    for (; r.at < r.size; formats++)
        check_decoded(&r);
    assert_int_equal(formats, 18);
    free(r.data);
}

static void compare_blocks(const lm_format *f, const unsigned char *got,
                           const unsigned char *wanted, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (got[i] != wanted[i])
            fail_msg("%s: byte %u of block %u (values from %u on) is 0x%02x, not 0x%02x", f->name,
                     (unsigned)(i % f->bytes), (unsigned)(i / f->bytes),
                     (unsigned)(i / f->bytes * f->block), got[i], wanted[i]);
}

/* Values, then what each of some formats makes of them, to the fixture's end; answers how many. */
static unsigned check_encoded(reader *r)
{
    size_t count = take_word(r);
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    memcpy(values, take(r, count * 4), count * 4);
    unsigned formats = 0;
    for (; r->at < r->size; formats++) {
        const lm_format *f = take_format(r);
        size_t size = take_word(r);
        assert_int_equal(size, count / f->block * f->bytes);
        unsigned char *got = malloc(size + 1);
        assert_non_null(got);
        f->encode(values, NULL, got + 1, count);
        compare_blocks(f, got + 1, take(r, size), size);
        free(got);
    }
    free(values);
    return formats;
}

static void test_quant__encodes_as_the_package(void **state)
{
    (void)state;
    reader r = open_fixture(test_file_path("quant/encode.bin"));
    assert_int_equal(check_encoded(&r), 10);
    free(r.data);
}

static void test_quant__knows_e4m3_as_torch_does(void **state)
{
    (void)state;
    reader r = open_fixture(test_file_path("quant/fp8.bin"));
    check_decoded(&r);
    check_decoded(&r);
    assert_int_equal(check_encoded(&r), 1);
    free(r.data);
    unsigned char nan[LM_F8_BLOCK + 4] = {0};
    float values[LM_F8_BLOCK];
    lm_store_f32(nan, 2.0f);
    nan[4] = 0x7f;
    nan[4 + 127] = 0xff;
    lm_format_by_id(LM_F8_E4M3)->decode(nan, values, LM_F8_BLOCK);
    for (int i = 0; i < LM_F8_BLOCK; i++)
        assert_true((isnan(values[i]) != 0) == (i == 0 || i == 127));
}

/* The vectors were computed in float64 and rounded once. Ours round the scale, the product and the
 * difference, each by at most 2^-24 of a term; terms may exceed the block's largest value, which
 * they cancel to, a few times, so 2^-20 of that value is allowed. */
static void check_vectors(const char *name, const char *format)
{
    char path[256];
    size_t size, wanted_size;
    const lm_format *f = lm_format_by_name(format);
    snprintf(path, sizeof path, "reference/dequant/%s.blocks.bin", name);
    unsigned char *blocks = test_read(test_data_path(path), &size);
    snprintf(path, sizeof path, "reference/dequant/%s.expected.f32", name);
    unsigned char *wanted = test_read(test_data_path(path), &wanted_size);
    size_t count = size / f->bytes * f->block;
    assert_true(count > 0);
    assert_int_equal(wanted_size, count * 4);
    float *values = decode_unaligned(f, blocks, size, count);
    for (size_t i = 0; i < count; i += f->block) {
        float largest = 0.0f;
        for (size_t k = i; k < i + f->block; k++)
            largest = fmaxf(largest, fabsf(lm_load_f32(wanted + 4 * k)));
        for (size_t k = i; k < i + f->block; k++)
            if (!(fabsf(values[k] - lm_load_f32(wanted + 4 * k)) <= largest * 0x1p-20f))
                fail_msg("%s: value %u is %g, not %g", name, (unsigned)k, (double)values[k],
                         (double)lm_load_f32(wanted + 4 * k));
    }
    free(values);
    free(blocks);
    free(wanted);
}

static void test_quant__decodes_the_external_vectors(void **state)
{
    (void)state;
    check_vectors("Q4_0", "q4_0");
    check_vectors("Q8_0", "q8_0");
    check_vectors("Q4_K", "q4_k");
    check_vectors("Q6_K", "q6_k");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quant__decodes_as_the_package),
        cmocka_unit_test(test_quant__encodes_as_the_package),
        cmocka_unit_test(test_quant__knows_e4m3_as_torch_does),
        cmocka_unit_test(test_quant__decodes_the_external_vectors),
    };
    return cmocka_run_group_tests_name("quant_fixtures", tests, NULL, NULL);
}
