/* chain.c - the samplers of one generation in their order, and the walk from logits to a token.
 * What is saved of them is in chain_state.c. */
#include "sample/chain.h"

#include <math.h>
#include <string.h>

int32_t lm_chain_create(lm_allocator *alloc, lm_chain **out)
{
    lm_chain *chain = LM_NEW(alloc, lm_chain);
    if (chain == NULL)
        return LLM_E_MEMORY;
    chain->alloc = alloc;
    *out = chain;
    return LLM_OK;
}

static void link_finish(lm_chain *chain, lm_chain_link *link)
{
    if (link->class_->finish != NULL)
        link->class_->finish(link->state, chain->alloc);
    lm_free(chain->alloc, link->state, link->class_->state_size);
}

void lm_chain_destroy(lm_chain *chain)
{
    if (chain == NULL)
        return;
    while (chain->n_links > 0)
        link_finish(chain, &chain->links[--chain->n_links]);
    lm_free_array(chain->alloc, chain->links, chain->links_capacity, sizeof *chain->links);
    lm_free_array(chain->alloc, chain->items, chain->reserved, sizeof *chain->items);
    lm_free_array(chain->alloc, chain->by_token, chain->reserved, sizeof *chain->by_token);
    LM_DELETE(chain->alloc, chain);
}

/* A state block at the end of the chain that does not count yet. */
static int32_t link_begin(lm_chain *chain, const lm_sampler_class *class_, lm_chain_link **out)
{
    LM_TRY(lm_grow(chain->alloc, (void **)&chain->links, &chain->links_capacity, chain->n_links + 1,
                   sizeof *chain->links));
    lm_chain_link *link = &chain->links[chain->n_links];
    link->class_ = class_;
    link->state = lm_alloc_zero(chain->alloc, class_->state_size);
    if (link->state == NULL)
        return LLM_E_MEMORY;
    *out = link;
    return LLM_OK;
}

/* `rc` tells how the state was filled; on success it is given its room and becomes a link. */
static int32_t link_end(lm_chain *chain, lm_chain_link *link, int32_t rc)
{
    if (rc < 0) {
        lm_free(chain->alloc, link->state, link->class_->state_size);
        return rc;
    }
    if (chain->reserved > 0 && link->class_->reserve != NULL)
        rc = link->class_->reserve(link->state, chain->alloc, chain->reserved);
    if (rc < 0)
        link_finish(chain, link);
    else
        chain->n_links++;
    return rc;
}

static int32_t configure(const lm_chain *chain, lm_chain_link *link, const llm_param *params,
                         uint32_t n)
{
    const lm_sampler_class *class_ = link->class_;
    if (class_->defaults != NULL)
        memcpy(link->state, class_->defaults, class_->state_size);
    LM_TRY(lm_params_read(params, n, class_->rows, class_->n_rows, class_->name, link->state));
    return class_->prepare != NULL ? class_->prepare(link->state, chain->alloc) : LLM_OK;
}

int32_t lm_chain_add(lm_chain *chain, const char *name, const llm_param *params, uint32_t n)
{
    const lm_sampler_class *class_ = lm_sampler_class_by_name(name);
    if (class_ == NULL)
        return lm_fail(LLM_E_NOT_FOUND,
                       "there is no sampler '%.64s'; llm_sampler_name_at lists them", name);
    lm_chain_link *link;
    LM_TRY(link_begin(chain, class_, &link));
    return link_end(chain, link, configure(chain, link, params, n));
}

int32_t lm_chain_add_host(lm_chain *chain, const llm_sampler_class *host, void *user)
{
    llm_sampler_class known;
    LM_TRY(lm_params_in(&known, sizeof known, host, "llm_sampler_class"));
    if (known.apply == NULL)
        return lm_fail(LLM_E_INVALID, "llm_sampler_class: apply is NULL; a sampler must have it");
    if (known.reserved != 0)
        return lm_fail(LLM_E_UNSUPPORTED, "llm_sampler_class: reserved is not zero");
    lm_chain_link *link;
    LM_TRY(link_begin(chain, &lm_sampler_host, &link));
    return link_end(chain, link,
                    lm_sampler_host_init(link->state, chain->alloc, chain->reserved, &known, user));
}

static int32_t clone_state(const lm_chain_link *from, lm_allocator *alloc, lm_chain_link *to)
{
    if (from->class_->clone != NULL)
        return from->class_->clone(from->state, alloc, to->state);
    memcpy(to->state, from->state, from->class_->state_size);
    return LLM_OK;
}

int32_t lm_chain_clone(const lm_chain *chain, lm_chain **out)
{
    lm_chain *copy = NULL;
    int32_t rc;
    LM_GO(lm_chain_create(chain->alloc, &copy));
    copy->seed = chain->seed;
    copy->draw = chain->draw;
    if (chain->reserved > 0)
        LM_GO(lm_chain_reserve(copy, chain->reserved));
    for (size_t i = 0; i < chain->n_links; i++) {
        lm_chain_link *link;
        LM_GO(link_begin(copy, chain->links[i].class_, &link));
        LM_GO(link_end(copy, link, clone_state(&chain->links[i], copy->alloc, link)));
    }
    *out = copy;
    return LLM_OK;
out:
    lm_chain_destroy(copy);
    return rc;
}

void lm_chain_seed(lm_chain *chain, uint64_t seed)
{
    chain->seed = seed;
}

void lm_chain_reset(lm_chain *chain)
{
    chain->draw = 0;
    for (size_t i = 0; i < chain->n_links; i++)
        if (chain->links[i].class_->reset != NULL)
            chain->links[i].class_->reset(chain->links[i].state);
}

int32_t lm_chain_reserve(lm_chain *chain, uint32_t n_vocab)
{
    if (n_vocab <= chain->reserved)
        return LLM_OK;
    lm_allocator *alloc = chain->alloc;
    for (size_t i = 0; i < chain->n_links; i++)
        if (chain->links[i].class_->reserve != NULL)
            LM_TRY(chain->links[i].class_->reserve(chain->links[i].state, alloc, n_vocab));
    lm_candidate *items = LM_NEW_ARRAY(alloc, lm_candidate, n_vocab);
    if (items == NULL)
        return LLM_E_MEMORY;
    float *by_token = LM_NEW_ARRAY(alloc, float, n_vocab);
    if (by_token == NULL) {
        lm_free_array(alloc, items, n_vocab, sizeof *items);
        return LLM_E_MEMORY;
    }
    lm_free_array(alloc, chain->items, chain->reserved, sizeof *chain->items);
    lm_free_array(alloc, chain->by_token, chain->reserved, sizeof *chain->by_token);
    chain->items = items;
    chain->by_token = by_token;
    chain->reserved = n_vocab;
    return LLM_OK;
}

static int32_t bad_logit(int32_t token, float logit)
{
    return lm_fail(
        LLM_E_NUMERIC,
        "the logit of token %d is %s: the model's arithmetic has failed; check the model "
        "file, or try another device or cache type",
        (int)token, isnan(logit) ? "NaN" : "+Inf");
}

/* `ids` NULL: the logits of all tokens in order. */
static int32_t load(const lm_chain *chain, const int32_t *ids, const float *logits, uint32_t n,
                    lm_candidates *c)
{
    *c = (lm_candidates){.items = chain->items, .by_token = chain->by_token, .chosen = -1};
    for (uint32_t i = 0; i < n; i++) {
        int32_t id = ids == NULL ? (int32_t)i : ids[i];
        if (!(logits[i] < INFINITY))
            return bad_logit(id, logits[i]);
        if (logits[i] > -INFINITY)
            c->items[c->count++] = (lm_candidate){.id = id, .logit = logits[i]};
    }
    if (ids != NULL)
        c->n_sorted = c->count;
    if (c->count == 0)
        return lm_fail(LLM_E_NUMERIC,
                       "all %u logits are -Inf: no token is possible; a mask allows nothing, or "
                       "the model's arithmetic has failed",
                       (unsigned)n);
    return LLM_OK;
}

static int32_t choose(lm_chain *chain, lm_candidates *c, lm_sample_context *context)
{
    for (size_t i = 0; i < chain->n_links && c->chosen < 0; i++) {
        const lm_chain_link *link = &chain->links[i];
        context->stream = i + 1;
        LM_TRY(link->class_->apply(link->state, context, c));
        if (c->count == 0)
            return lm_fail(LLM_E_NUMERIC, "the sampler '%s' has removed every candidate",
                           link->class_->name);
    }
    if (c->chosen < 0 && chain->n_links == 0)
        c->chosen = c->items[lm_candidates_best(c)].id;
    else if (c->chosen < 0)
        lm_candidates_draw(c, context);
    return LLM_OK;
}

int32_t lm_chain_pick_best(lm_chain *chain, const int32_t *ids, const float *logits, uint32_t n,
                           uint32_t n_vocab, const int32_t *history, size_t n_history,
                           const struct lm_tokenizer *tokenizer, int32_t *token)
{
    if (n_vocab > chain->reserved || n > n_vocab)
        return lm_fail(LLM_E_INTERNAL, "the chain has room for %u logits and was given %u of %u",
                       (unsigned)chain->reserved, (unsigned)n, (unsigned)n_vocab);
    lm_sample_context context = {.history = history,
                                 .n_history = n_history,
                                 .seed = chain->seed,
                                 .draw = chain->draw,
                                 .n_vocab = n_vocab,
                                 .tokenizer = tokenizer};
    lm_candidates c;
    LM_TRY(load(chain, ids, logits, n, &c));
    LM_TRY(choose(chain, &c, &context));
    *token = c.chosen;
    return LLM_OK;
}

int32_t lm_chain_pick(lm_chain *chain, const float *logits, uint32_t n_vocab,
                      const int32_t *history, size_t n_history,
                      const struct lm_tokenizer *tokenizer, int32_t *token)
{
    return lm_chain_pick_best(chain, NULL, logits, n_vocab, n_vocab, history, n_history, tokenizer,
                              token);
}

uint32_t lm_chain_enough(const lm_chain *chain)
{
    if (chain->n_links == 0)
        return 1;
    const lm_chain_link *first = &chain->links[0];
    return first->class_->enough == NULL ? 0 : first->class_->enough(first->state);
}

void lm_chain_accept(lm_chain *chain, int32_t token)
{
    chain->draw++;
    for (size_t i = 0; i < chain->n_links; i++)
        if (chain->links[i].class_->accept != NULL)
            chain->links[i].class_->accept(chain->links[i].state, token);
}
