/* reference - a case of tests/model/data (see README.md there), and sessions over its model on any
 * device through the public API. */
#ifndef TEST_MODEL_REFERENCE_H
#define TEST_MODEL_REFERENCE_H

#include "support/support.h"

#include <llm/llm.h>

typedef struct reference {
    char name[64], model[64], pooling[8];
    uint32_t context, rows, columns;
    llm_token *tokens, *greedy;
    uint32_t n_tokens, n_greedy;
    llm_token *all; /* tokens and then greedy */
    float *values;  /* [rows, columns] */
    float *pooled;  /* [columns] encoders only */
} reference;

void reference_read(const char *name, reference *out);
void reference_free(reference *r);

/* How a result is judged: the largest error of any value over the largest value of all. */
double relative_error(const float *found, const float *right, size_t count);

/* The backends that compute, and how far from transformers' float32 each may be. ref sums in
 * double, so what is left is transformers' own rounding; others sum in float, in another order. */
typedef struct test_device {
    const char *name;
    double tolerance;
} test_device;

extern const test_device test_devices[];
extern const uint32_t test_device_count;
bool test_device_present(llm_runtime *rt, const char *name);

/* An opened model with an engine of its own and one session. */
typedef struct opened {
    llm_model *model;
    llm_engine *engine;
    llm_session *session;
} opened;

typedef struct open_options {
    const char *devices;
    const char *path;       /* NULL: the case's model */
    uint32_t page_tokens;   /* 0: the default */
    uint32_t flags;         /* LLM_ENGINE_... */
    uint32_t source;        /* LLM_SOURCE_... */
    uint32_t context;       /* 0: the case's */
    const char *cache_type; /* NULL: f32 */
} open_options;

void opened_init(llm_runtime *rt, const reference *r, const open_options *o, opened *out);
void opened_finish(opened *o);

/* Feeds tokens in chunks (0: whole) and returns all their logits; free() them. */
float *feed_for_logits(llm_session *s, const llm_token *tokens, uint32_t n, uint32_t chunk,
                       uint32_t n_vocab);
/* Generates n tokens. */
void generate(llm_session *s, llm_token *into, uint32_t n);
void assert_tokens_equal(const llm_token *found, const llm_token *right, uint32_t n,
                         const char *what);

#endif
