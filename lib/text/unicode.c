/* unicode.c - searches in the generated tables. */
#include "text/unicode.h"

#include "text/unicode_tables.h"

#include <stddef.h>

uint32_t lm_unicode_class_long(uint32_t c)
{
    /* The run that c lies in is in [low, high]. */
    uint32_t low = 0, high = lm_unicode_n_runs - 1;
    if (c > 0x10ffff)
        return LM_CHAR_CX;
    if (c < 0x10000) {
        low = lm_unicode_blocks[c >> 8];
        high = lm_unicode_blocks[(c >> 8) + 1];
    } else {
        low = lm_unicode_blocks[256];
    }
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (lm_unicode_runs[middle] >> 8 <= c)
            low = middle;
        else
            high = middle - 1;
    }
    return lm_unicode_masks[lm_unicode_runs[low] & 0xff];
}

static uint32_t map_case(const lm_unicode_case *runs, uint32_t n, uint32_t c)
{
    uint32_t low = 0, high = n; /* the first run that begins behind c */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (runs[middle].first <= c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return c;
    const lm_unicode_case *run = &runs[low - 1];
    uint32_t offset = c - run->first;
    if (offset % run->step != 0 || offset / run->step >= run->count)
        return c;
    return (uint32_t)((int32_t)c + run->delta);
}

uint32_t lm_unicode_lower(uint32_t c)
{
    if (c < 128)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return map_case(lm_unicode_lower_runs, lm_unicode_n_lower_runs, c);
}

uint32_t lm_unicode_upper(uint32_t c)
{
    if (c < 128)
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    return map_case(lm_unicode_upper_runs, lm_unicode_n_upper_runs, c);
}

/* The arithmetic of the Unicode standard, section 3.12. */
static uint32_t decompose_hangul(uint32_t c, uint32_t out[LM_DECOMPOSED_MAX])
{
    uint32_t index = c - 0xac00, trail = index % 28;
    out[0] = 0x1100 + index / 588;
    out[1] = 0x1161 + index % 588 / 28;
    out[2] = 0x11a7 + trail;
    return trail == 0 ? 2 : 3;
}

uint32_t lm_unicode_decompose(uint32_t c, uint32_t out[LM_DECOMPOSED_MAX])
{
    out[0] = c;
    if (c < 0xc0)
        return 1;
    if (c >= 0xac00 && c <= 0xd7a3)
        return decompose_hangul(c, out);
    uint32_t low = 0, high = lm_unicode_n_decomposed;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (lm_unicode_decomposed_from[middle] < c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == lm_unicode_n_decomposed || lm_unicode_decomposed_from[low] != c)
        return 1;
    uint32_t at = lm_unicode_decomposed_at[low];
    uint32_t n = lm_unicode_decomposed_at[low + 1] - at;
    for (uint32_t i = 0; i < n; i++)
        out[i] = lm_unicode_decomposed_pool[at + i];
    return n;
}
