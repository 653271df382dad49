/* host_layout.c - the layout of pages, and walking them in the canonical order. */
#include "backends/common/host_layout.h"

#include "backends/common/host_rotate.h"
#include "base/checked.h"

#include <string.h>

static bool is_state(const lm_cache_desc *desc)
{
    return desc->kind == LM_CACHE_STATE;
}

int32_t lhost_layout_check(const lm_cache_desc *desc)
{
    if (desc->max_pages == 0 || desc->n_members == 0)
        return lm_fail(LLM_E_INVALID, "a cache of no pages or no members");
    if (is_state(desc))
        return LLM_OK;
    if (!lm_is_pow2(desc->page_tokens) || desc->page_tokens < LHOST_SMALLEST_PAGE ||
        desc->page_tokens > LHOST_LARGEST_PAGE)
        return lm_fail(LLM_E_INVALID, "pages of %u tokens; wanted 16, 32, 64 or 128",
                       (unsigned)desc->page_tokens);
    if (desc->k_format->encode == NULL || desc->v_format->encode == NULL ||
        desc->k_format->decode == NULL || desc->v_format->decode == NULL)
        return lm_fail(LLM_E_UNSUPPORTED, "a cache of type %s/%s cannot be written",
                       desc->k_format->name, desc->v_format->name);
    return LLM_OK;
}

uint32_t lhost_layout_tokens(const lm_cache_desc *desc)
{
    return is_state(desc) ? 1 : desc->page_tokens;
}

/* Lays `part` behind *offset, one token or `page_tokens` of them. */
static int32_t place_part(lhost_part *part, uint32_t page_tokens, bool by_head, uint64_t *offset)
{
    uint64_t row, bytes;
    if (!lm_format_row_bytes(part->format, part->dim, &part->head_bytes))
        return lm_fail(LLM_E_UNSUPPORTED,
                       "heads of %u values cannot be cached as %s: its blocks "
                       "hold %u",
                       (unsigned)part->dim, part->format->name, (unsigned)part->format->block);
    LM_TRY(lhost_rotate_check(part));
    bool ok = lm_mul_u64(part->head_bytes, part->heads, &row) &&
              lm_mul_u64(row, page_tokens, &bytes) && lm_align_u64(bytes, LM_ALIGN, &bytes);
    part->offset = *offset;
    part->token_stride = by_head ? part->head_bytes : row;
    part->head_stride = by_head ? part->head_bytes * page_tokens : part->head_bytes;
    if (!ok || !lm_add_u64(*offset, bytes, offset) || !lm_fits_size(*offset))
        return lm_fail(LLM_E_LIMIT, "a page of the cache would not fit in memory");
    return LLM_OK;
}

/* The beginning of each key. */
static int32_t place_latent(const lhost_part *keys, uint32_t dim, lhost_part *values)
{
    *values = *keys;
    values->dim = dim;
    if (keys->heads != 1 || dim > keys->dim || lhost_is_rotated(keys->format) ||
        !lm_format_row_bytes(keys->format, dim, &values->head_bytes))
        return lm_fail(
            LLM_E_UNSUPPORTED, "a latent cache of %u heads whose values are %u of %u values as %s",
            (unsigned)keys->heads, (unsigned)dim, (unsigned)keys->dim, keys->format->name);
    return LLM_OK;
}

int32_t lhost_layout_member(const lm_cache_desc *desc, uint32_t index, bool by_head,
                            lhost_member *member, uint64_t *offset)
{
    lm_check(index < desc->n_entries);
    const lm_cache_entry *e = &desc->entries[index];
    if (is_state(desc)) {
        const lm_format *f32 = lm_format_by_id(LM_F32);
        member->parts[0] = (lhost_part){.format = f32, .heads = 1, .dim = e->conv_values};
        member->parts[1] = (lhost_part){.format = f32, .heads = 1, .dim = e->scan_values};
    } else {
        member->parts[0] =
            (lhost_part){.format = desc->k_format, .heads = e->kv_heads, .dim = e->k_dim};
        member->parts[1] =
            (lhost_part){.format = desc->v_format, .heads = e->kv_heads, .dim = e->v_dim};
    }
    member->n_parts = desc->kind == LM_CACHE_LATENT ? 1 : 2;
    for (uint32_t i = 0; i < member->n_parts; i++)
        LM_TRY(place_part(&member->parts[i], lhost_layout_tokens(desc), by_head, offset));
    return member->n_parts == 2 ? LLM_OK
                                : place_latent(&member->parts[0], e->v_dim, &member->parts[1]);
}

uint64_t lhost_layout_exported(const lhost_member *members, uint32_t n_members, uint32_t tokens)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n_members; i++)
        for (uint32_t p = 0; p < members[i].n_parts; p++)
            bytes += members[i].parts[p].head_bytes * members[i].parts[p].heads * tokens;
    return bytes;
}

void lhost_layout_walk(const lhost_member *members, uint32_t n_members, uint8_t *page,
                       uint32_t tokens, uint8_t *outside, bool into_page)
{
    for (uint32_t i = 0; i < n_members; i++) {
        for (uint32_t p = 0; p < members[i].n_parts; p++) {
            const lhost_part *part = &members[i].parts[p];
            size_t bytes = (size_t)part->head_bytes;
            for (uint32_t t = 0; t < tokens; t++) {
                for (uint32_t h = 0; h < part->heads; h++, outside += bytes) {
                    uint8_t *inside = lhost_layout_at(part, page, t, h);
                    memcpy(into_page ? inside : outside, into_page ? outside : inside, bytes);
                }
            }
        }
    }
}
