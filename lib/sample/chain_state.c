/* chain_state.c - the moving parts of a chain as bytes, so that a saved session goes on as if it
 * had never stopped.
 *
 *   u32 version | u32 number of samplers | u64 hash of their names | u64 seed | u64 draw
 *   then the moving part of every sampler, in order */
#include "sample/chain.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <string.h>

#define STATE_VERSION 1u
#define STATE_HEAD    32u

static uint64_t names_hash(const lm_chain *chain)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < chain->n_links; i++) {
        const char *name = chain->links[i].class_->name;
        hash = lm_hash(name, strlen(name) + 1, hash);
    }
    return hash;
}

size_t lm_chain_state_size(const lm_chain *chain)
{
    size_t size = STATE_HEAD;
    for (size_t i = 0; i < chain->n_links; i++)
        size += chain->links[i].class_->moving_size;
    return size;
}

static unsigned char *moving(const lm_chain_link *link)
{
    return (unsigned char *)link->state + link->class_->moving_offset;
}

void lm_chain_state_save(const lm_chain *chain, void *into)
{
    unsigned char *at = into;
    lm_store_u32(at, STATE_VERSION);
    lm_store_u32(at + 4, (uint32_t)chain->n_links);
    lm_store_u64(at + 8, names_hash(chain));
    lm_store_u64(at + 16, chain->seed);
    lm_store_u64(at + 24, chain->draw);
    at += STATE_HEAD;
    for (size_t i = 0; i < chain->n_links; i++) {
        size_t size = chain->links[i].class_->moving_size;
        if (size > 0)
            memcpy(at, moving(&chain->links[i]), size);
        at += size;
    }
}

static int32_t check(const lm_chain *chain, const unsigned char *from, size_t size)
{
    if (size < STATE_HEAD)
        return lm_fail(LLM_E_FORMAT, "saved sampler state: %llu bytes are too few",
                       (unsigned long long)size);
    if (lm_load_u32(from) != STATE_VERSION)
        return lm_fail(LLM_E_UNSUPPORTED, "saved sampler state: version %u is not known",
                       (unsigned)lm_load_u32(from));
    if (lm_load_u32(from + 4) != chain->n_links || lm_load_u64(from + 8) != names_hash(chain))
        return lm_fail(LLM_E_MISMATCH,
                       "saved sampler state: it belongs to a chain of other samplers");
    if (size != lm_chain_state_size(chain))
        return lm_fail(LLM_E_FORMAT, "saved sampler state: %llu bytes where %llu were expected",
                       (unsigned long long)size, (unsigned long long)lm_chain_state_size(chain));
    const unsigned char *at = from + STATE_HEAD;
    for (size_t i = 0; i < chain->n_links; i++) {
        const lm_sampler_class *class_ = chain->links[i].class_;
        if (class_->moving_size > 0 && !class_->moving_valid(at))
            return lm_fail(LLM_E_FORMAT, "saved sampler state: the part of '%s' is damaged",
                           class_->name);
        at += class_->moving_size;
    }
    return LLM_OK;
}

int32_t lm_chain_state_load(lm_chain *chain, const void *from, size_t size)
{
    LM_TRY(check(chain, from, size));
    const unsigned char *at = from;
    chain->seed = lm_load_u64(at + 16);
    chain->draw = lm_load_u64(at + 24);
    at += STATE_HEAD;
    for (size_t i = 0; i < chain->n_links; i++) {
        size_t moved = chain->links[i].class_->moving_size;
        if (moved > 0)
            memcpy(moving(&chain->links[i]), at, moved);
        at += moved;
    }
    return LLM_OK;
}
