/* models - tokenizers for the tests from vocabularies that exist in their publishers' own formats:
 * SentencePiece's .model and RWKV's list. And what long texts must give. */
#ifndef TEST_MODELS_H
#define TEST_MODELS_H

#include "support/support.h"

#include "text/tokenizer.h"

typedef struct test_model {
    unsigned char *file;
    size_t file_size;
    lm_str *tokens; /* [capacity] */
    float *scores;
    int32_t *types;
    uint32_t n_tokens, capacity;
    char *pool; /* of RWKV's texts */
    lm_vocab vocab;
    lm_tokenizer *tokenizer;
} test_model;

/* From a file of the test data, which skips the test when there is none. `model`: the name of the
 * scheme, "llama" or "t5". */
void test_model_open_sentencepiece(test_model *m, lm_allocator *a, const char *relative,
                                   const char *model);
void test_model_open_rwkv(test_model *m, lm_allocator *a, const char *relative);
void test_model_close(test_model *m);

/* A small vocabulary made in place; `tokens` ends with an empty one. What it points to is static
 * until the next call. */
typedef struct test_token {
    const char *text;
    float score;
    int32_t type; /* 0: normal */
} test_token;

lm_vocab test_small_vocab(const char *model, const test_token *tokens);

/* Creates from that, encodes and decodes a text and destroys, with every allocation failing in
 * turn. */
void test_small_failures(const lm_vocab *vocab, const char *text);

/* Decodes and compares. */
void test_decoded(const lm_tokenizer *t, const int32_t *ids, size_t n, uint32_t flags,
                  const char *wanted);

#define assert_decoded(t, flags, wanted, ...)                                                      \
    do {                                                                                           \
        const int32_t ids_[] = {__VA_ARGS__};                                                      \
        test_decoded((t), ids_, sizeof ids_ / sizeof *ids_, (flags), (wanted));                    \
    } while (0)

/* Encodes `size` bytes of repetitions of `part`: it must end soon, and with n ids unless n is 0. */
void test_repeated(const lm_tokenizer *t, const char *part, size_t size, size_t n);

/* What a publisher's own program makes of a text file of the test data, in one piece: how many ids,
 * and FNV-1a over them as little-endian words. Printed by make_corpus.py. */
typedef struct test_corpus {
    const char *file;
    size_t n_ids;
    uint64_t hash;
} test_corpus;

void test_corpora(const lm_tokenizer *t, const test_corpus *corpora, size_t n);

/* Each line of mixed.txt in this folder must give its line of `ids_file`, and with `back` the ids
 * must give the line again. */
void test_mixed(const lm_tokenizer *t, const char *ids_file, bool back);

#endif
