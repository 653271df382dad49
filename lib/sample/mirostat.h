/* mirostat - what both versions share (Basu et al., 2021): a bound mu on the surprise that follows
 * the surprise of the tokens taken, so that the text keeps a wanted level tau, in bits. */
#ifndef LM_SAMPLE_MIROSTAT_H
#define LM_SAMPLE_MIROSTAT_H

#include "sample/sampler.h"

#include <math.h>
#include <string.h>

typedef struct lm_mirostat {
    double tau, eta;
    double mu;       /* NAN until the first pick of a generation: 2 tau */
    double surprise; /* of the token picked last */
    int32_t picked;  /* -1: none that was not accepted */
} lm_mirostat;

#define LM_MIROSTAT_DEFAULTS                                                                       \
    {                                                                                              \
        .tau = 5.0, .eta = 0.1, .mu = NAN, .picked = -1                                            \
    }

/* A saved mu: NAN is the start. */
static inline bool lm_mirostat_moving_valid(const void *moving)
{
    double mu;
    memcpy(&mu, moving, sizeof mu);
    return isnan(mu) || isfinite(mu);
}

static inline double lm_mirostat_mu(const lm_mirostat *m)
{
    return isnan(m->mu) ? 2.0 * m->tau : m->mu;
}

/* Draws from what is left and remembers how surprising that was. */
static inline void lm_mirostat_draw(lm_mirostat *m, const lm_sample_context *context,
                                    lm_candidates *c)
{
    const lm_candidate *item = &c->items[lm_candidates_draw(c, context)];
    m->surprise = -log2((double)item->p);
    m->picked = item->id;
}

/* A token that the host forced tells nothing about the bound. */
static inline void lm_mirostat_accept(lm_mirostat *m, int32_t token)
{
    if (token == m->picked)
        m->mu = lm_mirostat_mu(m) - m->eta * (m->surprise - m->tau);
    m->picked = -1;
}

static inline void lm_mirostat_reset(lm_mirostat *m)
{
    m->mu = NAN;
    m->picked = -1;
}

#endif
