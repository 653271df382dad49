/* test_bpe.c - byte-pair encoding against published ids, by hand, on hostile vocabularies, at
 * length. */
#include "vocabs.h"

#include <stdlib.h>
#include <string.h>

/* --- published pairs
 * ------------------------------------------------------------------------------ */

static void test_bpe__pairs_gpt2(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-gpt-2");
}

static void test_bpe__pairs_falcon(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-falcon");
}

static void test_bpe__pairs_deepseek_coder(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-deepseek-coder");
}

static void test_bpe__pairs_starcoder(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-starcoder");
}

static void test_bpe__pairs_qwen2(void **state)
{
    (void)state;
    test_vocab_pairs("made-vocab-qwen2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe__pairs_gpt2),
        cmocka_unit_test(test_bpe__pairs_falcon),
        cmocka_unit_test(test_bpe__pairs_deepseek_coder),
        cmocka_unit_test(test_bpe__pairs_starcoder),
        cmocka_unit_test(test_bpe__pairs_qwen2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
