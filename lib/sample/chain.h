/* chain - the inside of lm_chain, shared by chain.c and chain_state.c only. */
#ifndef LM_SAMPLE_CHAIN_H
#define LM_SAMPLE_CHAIN_H

#include "sample/sampler.h"

typedef struct lm_chain_link {
    const lm_sampler_class *class_;
    void *state;
} lm_chain_link;

struct lm_chain {
    lm_allocator *alloc;
    lm_chain_link *links;
    size_t n_links, links_capacity;
    uint64_t seed, draw;
    lm_candidate *items; /* [reserved] */
    float *by_token;     /* [reserved] */
    uint32_t reserved;
};

#endif
