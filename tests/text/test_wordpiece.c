/* test_wordpiece.c - BERT's tokenizer against published ids, by hand, on hostile vocabularies. */
#include "vocabs.h"

#include <stdlib.h>
#include <string.h>

static void test_wordpiece__pairs_bge(void **state)
{
    (void)state;
    test_vocab_pairs("ggml-vocab-bert-bge");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wordpiece__pairs_bge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
