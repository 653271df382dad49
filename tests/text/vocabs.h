/* vocabs - tokenizers for the tests: from GGUF files of the test data, and small ones made in
 * place. */
#ifndef TEST_VOCABS_H
#define TEST_VOCABS_H

#include "support/support.h"

#include "format/gguf.h"
#include "text/tokenizer.h"

typedef struct test_vocab {
    lm_gguf *gguf;
    lm_tokenizer *tokenizer;
} test_vocab;

/* From "vocab/NAME.gguf" of the test data; skips the test when there is none. */
void test_vocab_open(test_vocab *v, lm_allocator *a, const char *name);
void test_vocab_close(test_vocab *v);

/* Every text of NAME.gguf.inp must give the ids of its line in NAME.gguf.out. */
void test_vocab_pairs(const char *name);

/* A byte-level vocabulary: the 256 letters, then the given tokens, "left right" merges and types.
 * What it points to is static until the next call. */
typedef struct test_bpe {
    const char *pre;
    const char *const *tokens; /* NULL-terminated, ids from 256 on */
    const int32_t *types;      /* of those, or NULL: normal */
    const char *const *merges; /* NULL-terminated */
} test_bpe;

lm_vocab test_bpe_vocab(const test_bpe *spec);

/* Encodes and compares. */
void test_ids(const lm_tokenizer *t, const char *text, size_t size, uint32_t flags,
              const int32_t *wanted, size_t n);

#define assert_ids(t, text, flags, ...)                                                            \
    do {                                                                                           \
        const int32_t wanted_[] = {__VA_ARGS__};                                                   \
        test_ids((t), (text), strlen(text), (flags), wanted_, sizeof wanted_ / sizeof *wanted_);   \
    } while (0)

#endif
