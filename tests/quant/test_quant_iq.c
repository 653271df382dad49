/* test_quant_iq.c - the IQ formats: decode against the checksums of the `gguf` package. */
#include "support/support.h"

#include "base/half.h"
#include "quant/quant.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quant_iq__decodes_as_the_reference_package),
    };
    return cmocka_run_group_tests_name("quant_iq", tests, NULL, NULL);
}
