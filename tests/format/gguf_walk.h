/* gguf_walk - touches every byte that an opened file promises, so that a sanitizer sees promises
 * that do not hold. */
#ifndef TEST_GGUF_WALK_H
#define TEST_GGUF_WALK_H

#include "format/gguf.h"

#include <string.h>

static inline uint64_t gguf_walk_bytes(uint64_t sum, const void *data, uint64_t size)
{
    const unsigned char *bytes = data;
    for (uint64_t i = 0; i < size; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static inline uint64_t gguf_walk_string(lm_gguf_string s)
{
    return gguf_walk_bytes(0, s.data, (uint64_t)s.size + 1);
}

/* Every item through the getters; the sum depends on all of them. */
static inline uint64_t gguf_walk_value(const lm_gguf *g, const lm_gguf_pair *pair)
{
    const lm_gguf_value *v = &pair->value;
    uint64_t sum = v->type;
    for (uint64_t i = 0; i < v->count; i++) {
        uint64_t u = 0;
        int64_t s = 0;
        double f = 0;
        if (v->type == LM_GGUF_STRING)
            sum += gguf_walk_string(((const lm_gguf_string *)v->items)[i]);
        else if (v->type == LM_GGUF_BOOL)
            sum += ((const unsigned char *)v->items)[i];
        else if (lm_gguf_get_f64(g, pair->key.data, i, &f) == LLM_OK)
            sum += (uint64_t)(f > 0) + (uint64_t)lm_gguf_get_u64(g, pair->key.data, i, &u) + u +
                   (uint64_t)lm_gguf_get_i64(g, pair->key.data, i, &s) + (uint64_t)s;
    }
    return sum;
}

static inline uint64_t gguf_walk(const lm_gguf *g)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < g->n_pairs; i++)
        sum += gguf_walk_string(g->pairs[i].key) + gguf_walk_value(g, &g->pairs[i]);
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const lm_gguf_tensor *t = &g->tensors[i];
        const void *data = lm_gguf_data(g, t);
        unsigned char part[256];
        sum += gguf_walk_string(t->name) + (lm_gguf_find_tensor(g, t->name.data) == t);
        if (data != NULL)
            sum = gguf_walk_bytes(sum, data, t->bytes);
        for (uint64_t at = 0; data == NULL && at < t->bytes; at += sizeof part) {
            uint64_t left = t->bytes - at;
            size_t size = left < sizeof part ? (size_t)left : sizeof part;
            if (lm_gguf_read(g, t, at, part, size) == LLM_OK)
                sum = gguf_walk_bytes(sum, part, size);
        }
    }
    return sum;
}

#endif
