/* oracle - every truncation by its textbook definition, in double, over a plain array of logits
 * where -INFINITY means removed; and a chain that shows what its samplers left. */
#ifndef TEST_SAMPLE_ORACLE_H
#define TEST_SAMPLE_ORACLE_H

#include "support/support.h"

#include "sample/sampler.h"

#define ORACLE_MAX 5000

typedef struct oracle {
    size_t n;
    double logit[ORACLE_MAX];
} oracle;

void oracle_load(oracle *o, const float *logits, size_t n);
size_t oracle_count(const oracle *o);
void oracle_softmax(const oracle *o, double *p); /* [n] */
void oracle_temperature(oracle *o, double temp, double range, double exponent);
void oracle_top_k(oracle *o, size_t k);
void oracle_top_p(oracle *o, double p, size_t min_keep);
void oracle_min_p(oracle *o, double p, size_t min_keep);
void oracle_typical(oracle *o, double p, size_t min_keep);
void oracle_top_n_sigma(oracle *o, double n);
void oracle_xtc(oracle *o, double threshold, size_t min_keep);
void oracle_penalties(oracle *o, const int32_t *history, size_t n_history, long last_n,
                      double repeat, double frequency, double presence);
double oracle_mirostat_k(const oracle *o, double mu, size_t m); /* real-valued, before rounding */
void oracle_mirostat_2(oracle *o, double mu);

/* Parameters in one line: P(I("k", 40), F("p", 0.9)). */
#define I(key, value)                                                                              \
    {                                                                                              \
        key, LLM_KIND_INT, 0,                                                                      \
        {                                                                                          \
            .i = value                                                                             \
        }                                                                                          \
    }
#define F(key, value)                                                                              \
    {                                                                                              \
        key, LLM_KIND_FLOAT, 0,                                                                    \
        {                                                                                          \
            .f = value                                                                             \
        }                                                                                          \
    }
#define S(key, value)                                                                              \
    {                                                                                              \
        key, LLM_KIND_STRING, 0,                                                                   \
        {                                                                                          \
            .s = value                                                                             \
        }                                                                                          \
    }
#define add(chain, name, ...)                                                                      \
    do {                                                                                           \
        llm_param params_[] = {__VA_ARGS__};                                                       \
        assert_ok(lm_chain_add(chain, name, params_, sizeof params_ / sizeof params_[0]));         \
    } while (0)

/* Picks through the chain with a sampler of the host at its end that records what reached it. */
typedef struct shown {
    size_t n;
    llm_candidate items[ORACLE_MAX];
} shown;
void show(lm_chain *chain, const float *logits, uint32_t n, const int32_t *history,
          size_t n_history, const struct lm_tokenizer *tokenizer, shown *out);
/* The same candidates with the same logits, to a relative 1e-5: floats against doubles over a few
 * operations. */
void assert_shown(const shown *s, const oracle *o);

/* Random logits of a shape that `kind` chooses: gaussian, peaked, flat, with ties, with -Inf. */
#define ORACLE_KINDS 5
void random_logits(uint64_t *state, unsigned kind, float *logits, size_t n);

/* Chi-square over `counts` of `draws` against p; fails beyond the quantile of one in a million. */
void assert_distribution(const uint32_t *counts, const double *p, size_t n, uint32_t draws);

#endif
