/* sampler_logit_bias.c - adds a fixed amount to the logits of given tokens; -Inf forbids a token. A
 * token named twice gets both amounts; ids behind the vocabulary mean nothing. */
#include "sample/sampler.h"

#include <math.h>
#include <string.h>

typedef struct logit_bias_state {
    lm_param_array tokens, bias; /* borrowed while parameters are read, then own copies */
} logit_bias_state;

static const lm_param_row rows[] = {
    {"tokens", LLM_KIND_TOKENS, offsetof(logit_bias_state, tokens), 0, 0},
    {"bias", LLM_KIND_FLOATS, offsetof(logit_bias_state, bias), 0, 0},
};

static const size_t item_size = sizeof(int32_t) > sizeof(float) ? sizeof(int32_t) : sizeof(float);

static void finish(void *state, lm_allocator *alloc)
{
    logit_bias_state *s = state;
    lm_free_array(alloc, (void *)s->tokens.items, s->tokens.count, item_size);
    lm_free_array(alloc, (void *)s->bias.items, s->bias.count, item_size);
}

static int32_t copy_array(lm_allocator *alloc, lm_param_array from, lm_param_array *to)
{
    void *items = lm_alloc_array(alloc, from.count, item_size);
    if (items == NULL)
        return LLM_E_MEMORY;
    if (from.count > 0)
        memcpy(items, from.items, from.count * item_size);
    *to = (lm_param_array){items, from.count};
    return LLM_OK;
}

static int32_t clone(const void *state, lm_allocator *alloc, void *copy)
{
    const logit_bias_state *from = state;
    logit_bias_state *to = copy;
    lm_param_array tokens, bias;
    LM_TRY(copy_array(alloc, from->tokens, &tokens));
    int32_t rc = copy_array(alloc, from->bias, &bias);
    if (rc < 0) {
        lm_free_array(alloc, (void *)tokens.items, tokens.count, item_size);
        return rc;
    }
    *to = (logit_bias_state){tokens, bias};
    return LLM_OK;
}

static int32_t prepare(void *state, lm_allocator *alloc)
{
    logit_bias_state *s = state;
    if (s->tokens.count != s->bias.count)
        return lm_fail(LLM_E_INVALID, "logit-bias: %u tokens and %u biases; give one for each",
                       (unsigned)s->tokens.count, (unsigned)s->bias.count);
    for (uint32_t i = 0; i < s->tokens.count; i++) {
        int32_t token = ((const int32_t *)s->tokens.items)[i];
        float bias = ((const float *)s->bias.items)[i];
        if (token < 0)
            return lm_fail(LLM_E_INVALID, "logit-bias: token %d is no token", (int)token);
        if (!(bias < INFINITY))
            return lm_fail(LLM_E_INVALID,
                           "logit-bias: the bias of token %d is %g; it must be "
                           "finite, or -Inf to forbid it",
                           (int)token, (double)bias);
    }
    logit_bias_state borrowed = *s;
    return clone(&borrowed, alloc, s);
}

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    const logit_bias_state *s = state;
    const int32_t *tokens = s->tokens.items;
    const float *bias = s->bias.items;
    for (size_t i = 0; i < c->count; i++)
        c->by_token[c->items[i].id] = 0.0f;
    for (uint32_t i = 0; i < s->tokens.count; i++) {
        if ((uint32_t)tokens[i] >= context->n_vocab)
            continue;
        float *sum = &c->by_token[tokens[i]];
        bool forbidden = !(bias[i] > -INFINITY) || !(*sum > -INFINITY);
        *sum = forbidden ? -INFINITY : lm_logit((double)*sum + bias[i]);
    }
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++) {
        lm_candidate item = c->items[i];
        float added = c->by_token[item.id];
        if (added > -INFINITY) {
            item.logit = lm_logit((double)item.logit + added);
            c->items[kept++] = item;
        }
    }
    c->count = kept;
    c->n_sorted = 0;
    return LLM_OK;
}

const lm_sampler_class lm_sampler_logit_bias = {
    .name = "logit-bias",
    .state_size = sizeof(logit_bias_state),
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .prepare = prepare,
    .finish = finish,
    .clone = clone,
    .apply = apply,
};
