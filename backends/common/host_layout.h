/* host_layout - where the values of a cache entry lie in a page, and the one canonical order in which
 * pages leave a device. For every backend, whatever memory its pages are in. */
#ifndef LM_BACKENDS_HOST_LAYOUT_H
#define LM_BACKENDS_HOST_LAYOUT_H

#include "backend/backend.h"

/* Tokens that a page may have, and powers of two between. */
#define LHOST_SMALLEST_PAGE 16u
#define LHOST_LARGEST_PAGE  128u

/* Half of a member: its keys or its values; its convolution or its scan. */
typedef struct lhost_part {
    const lm_format *format;
    uint32_t heads, dim; /* states: one head of all values */
    uint64_t head_bytes; /* one head of one token */
    uint64_t offset;     /* in a page */
    uint64_t head_stride, token_stride;
} lhost_part;

typedef struct lhost_member {
    lhost_part parts[2]; /* K and V, or convolution and scan */
    uint32_t n_parts;    /* with bytes of their own: values of a latent entry lie in its keys */
} lhost_member;

int32_t lhost_layout_check(const lm_cache_desc *desc);
uint32_t lhost_layout_tokens(const lm_cache_desc *desc); /* of a page; 1 for states */
/* Lays entry `index` behind *offset. `by_head`: [head][token][dim], else [token][head][dim]. */
int32_t lhost_layout_member(const lm_cache_desc *desc, uint32_t index, bool by_head,
                            lhost_member *member, uint64_t *offset);

/* Bytes of an exported page, and the way between it and a page in host memory. */
uint64_t lhost_layout_exported(const lhost_member *members, uint32_t n_members, uint32_t tokens);
void lhost_layout_walk(const lhost_member *members, uint32_t n_members, uint8_t *page,
                       uint32_t tokens, uint8_t *outside, bool into_page);

static inline uint8_t *lhost_layout_at(const lhost_part *part, uint8_t *page, uint32_t token,
                                       uint32_t head)
{
    return page + part->offset + token * part->token_stride + head * part->head_stride;
}

#endif
