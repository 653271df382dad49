/* sampler_host.c - a sampler written by the host. Shows the candidates as the public type and
 * checks what comes back; the host's object lives as long as the last chain that shares it. */
#include "sample/sampler.h"

#include "base/refcount.h"

#include <math.h>

typedef struct host_object {
    lm_refcount refs;
    void *user;
} host_object;

typedef struct host_state {
    llm_sampler_class host;
    host_object *object;
    llm_candidate *view; /* [view_capacity] */
    uint32_t view_capacity;
} host_state;

static int32_t object_create(lm_allocator *alloc, host_object **out)
{
    host_object *object = LM_NEW(alloc, host_object);
    if (object == NULL)
        return LLM_E_MEMORY;
    lm_ref_init(&object->refs);
    *out = object;
    return LLM_OK;
}

static void finish(void *state, lm_allocator *alloc)
{
    host_state *s = state;
    lm_free_array(alloc, s->view, s->view_capacity, sizeof *s->view);
    if (!lm_ref_release(&s->object->refs))
        return;
    if (s->host.destroy != NULL)
        s->host.destroy(s->object->user);
    LM_DELETE(alloc, s->object);
}

static int32_t clone(const void *state, lm_allocator *alloc, void *copy)
{
    const host_state *from = state;
    host_state *to = copy;
    to->host = from->host;
    to->object = from->object;
    if (from->host.clone == NULL) {
        lm_ref_retain(&from->object->refs);
        return LLM_OK;
    }
    LM_TRY(object_create(alloc, &to->object));
    to->object->user = from->host.clone(from->object->user);
    if (to->object->user == NULL && from->object->user != NULL) {
        LM_DELETE(alloc, to->object);
        return lm_fail(LLM_E_MEMORY, "the host's sampler could not be cloned: it answered NULL");
    }
    return LLM_OK;
}

static int32_t reserve(void *state, lm_allocator *alloc, uint32_t n_vocab)
{
    host_state *s = state;
    if (n_vocab <= s->view_capacity)
        return LLM_OK;
    llm_candidate *view = LM_NEW_ARRAY(alloc, llm_candidate, n_vocab);
    if (view == NULL)
        return LLM_E_MEMORY;
    lm_free_array(alloc, s->view, s->view_capacity, sizeof *s->view);
    s->view = view;
    s->view_capacity = n_vocab;
    return LLM_OK;
}

/* Takes over `user` only when nothing can fail any more. */
int32_t lm_sampler_host_init(void *state, lm_allocator *alloc, uint32_t n_vocab,
                             const llm_sampler_class *host, void *user)
{
    host_state *s = state;
    LM_TRY(reserve(s, alloc, n_vocab));
    int32_t rc = object_create(alloc, &s->object);
    if (rc < 0) {
        lm_free_array(alloc, s->view, s->view_capacity, sizeof *s->view);
        return rc;
    }
    s->host = *host;
    s->object->user = user;
    return LLM_OK;
}

/* Takes the host's logits over; the order is kept, -Inf is left out. */
static int32_t take_back(const host_state *s, lm_candidates *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++) {
        llm_candidate seen = s->view[i];
        if (seen.id != c->items[i].id)
            return lm_fail(LLM_E_INVALID,
                           "the host's sampler has moved candidates or changed an id");
        if (!(seen.logit < INFINITY))
            return lm_fail(LLM_E_NUMERIC, "the host's sampler has set the logit of token %d to %s",
                           (int)seen.id, isnan(seen.logit) ? "NaN" : "+Inf");
        if (seen.logit > -INFINITY)
            c->items[kept++] = (lm_candidate){.id = seen.id, .logit = seen.logit};
    }
    c->count = kept;
    c->n_sorted = 0;
    return LLM_OK;
}

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    host_state *s = state;
    (void)context;
    for (size_t i = 0; i < c->count; i++)
        s->view[i] = (llm_candidate){.id = c->items[i].id, .logit = c->items[i].logit};
    uint64_t chosen = UINT64_MAX, count = c->count;
    int32_t rc = s->host.apply(s->object->user, s->view, count, &chosen);
    if (rc < 0)
        return lm_fail(rc, "the host's sampler has failed with status %d (%s)", (int)rc,
                       llm_status_name(rc));
    LM_TRY(take_back(s, c));
    if (chosen == UINT64_MAX)
        return LLM_OK;
    if (chosen >= count || !(s->view[chosen].logit > -INFINITY))
        return lm_fail(LLM_E_INVALID,
                       "the host's sampler chose candidate %llu of %llu, which is not there",
                       (unsigned long long)chosen, (unsigned long long)count);
    c->chosen = s->view[chosen].id;
    return LLM_OK;
}

static void accept(void *state, int32_t token)
{
    const host_state *s = state;
    if (s->host.accept != NULL)
        s->host.accept(s->object->user, token);
}

static void reset(void *state)
{
    const host_state *s = state;
    if (s->host.reset != NULL)
        s->host.reset(s->object->user);
}

const lm_sampler_class lm_sampler_host = {
    .name = "host",
    .state_size = sizeof(host_state),
    .finish = finish,
    .clone = clone,
    .reserve = reserve,
    .apply = apply,
    .accept = accept,
    .reset = reset,
};
