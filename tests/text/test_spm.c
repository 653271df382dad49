/* test_spm.c - SentencePiece BPE against published ids, by hand, on hostile vocabularies, at length. */
#include "vocabs.h"

#include <stdlib.h>
#include <string.h>

static void test_spm__pairs_llama(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-llama-spm");
}

static void test_spm__pairs_phi3(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-phi-3");
}

static void test_spm__opens_gguf_v1(void **state)
{
    (void)state;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_vocab v;
    test_vocab_open(&v, &a, "gguf-v1-llama");
    assert_ids(v.tokenizer, "Hello world", 0, 15043, 3186);
    test_vocab_close(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spm__pairs_llama),
        cmocka_unit_test(test_spm__pairs_phi3),
        cmocka_unit_test(test_spm__opens_gguf_v1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
