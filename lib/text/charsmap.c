/* charsmap.c - u32 n, n bytes of double-array units, then the replacements, each ended by 0.
 * A unit: bits 0-7 and 31 the label, bit 8 "a value hangs here", bits 10-30 the offset of the
 * children (times 256 with bit 9); a unit that holds a value has bit 31 and the value below it. */
#include "text/charsmap.h"

#include "base/bytes.h"

#define MAX_REPLACEMENT 1024 /* bytes; real maps have up to 40. Bounds how far a text can grow. */

int32_t lm_charsmap_init(lm_charsmap *map, lm_allocator *alloc, const void *blob, size_t size)
{
    *map = (lm_charsmap){.alloc = alloc};
    if (blob == NULL || size == 0)
        return LLM_OK;
    const unsigned char *bytes = blob;
    size_t units_size = size < 4 ? 0 : lm_load_u32(bytes);
    if (units_size < 4 || units_size % 4 != 0 || units_size >= size - 4 || bytes[size - 1] != 0)
        return lm_fail(LLM_E_FORMAT,
                       "the precompiled charsmap of %llu bytes is cut short or malformed",
                       (unsigned long long)size);
    map->blob = lm_alloc(alloc, size);
    if (map->blob == NULL)
        return LLM_E_MEMORY;
    memcpy(map->blob, blob, size);
    map->size = size;
    map->units = map->blob + 4;
    map->n_units = units_size / 4;
    map->texts = (const char *)map->blob + 4 + units_size;
    map->texts_size = size - 4 - units_size;
    return LLM_OK;
}

void lm_charsmap_finish(lm_charsmap *map)
{
    if (map->blob != NULL)
        lm_free(map->alloc, map->blob, map->size);
    *map = (lm_charsmap){0};
}

/* What lies outside the array matches no byte and names no text. */
static uint32_t unit_at(const lm_charsmap *map, uint32_t at)
{
    return at < map->n_units ? lm_load_u32(map->units + (size_t)at * 4) : UINT32_MAX;
}

static uint32_t offset_of(uint32_t unit)
{
    return unit >> 10 << ((unit & 1u << 9) >> 6);
}

static int32_t find_text(const lm_charsmap *map, uint32_t unit, lm_str *out)
{
    uint32_t at = unit & 0x7fffffffu;
    if ((unit & 0x80000000u) == 0 || at >= map->texts_size)
        return lm_fail(LLM_E_FORMAT,
                       "the precompiled charsmap names a replacement at %u, but has %llu bytes", at,
                       (unsigned long long)map->texts_size);
    size_t left = map->texts_size - at, window = left < MAX_REPLACEMENT ? left : MAX_REPLACEMENT;
    const char *end = memchr(map->texts + at, 0, window);
    if (end == NULL)
        return lm_fail(LLM_E_FORMAT,
                       "the precompiled charsmap has a replacement of more than %d bytes",
                       MAX_REPLACEMENT);
    *out = (lm_str){map->texts + at, (size_t)(end - (map->texts + at))};
    return LLM_OK;
}

int32_t lm_charsmap_longest(const lm_charsmap *map, const char *text, size_t size, size_t *length,
                            lm_str *replacement)
{
    *length = 0;
    uint32_t at = offset_of(unit_at(map, 0)), value_at = 0;
    for (size_t i = 0; i < size && text[i] != 0; i++) {
        unsigned char byte = (unsigned char)text[i];
        at ^= byte;
        uint32_t unit = unit_at(map, at);
        if ((unit & 0x800000ffu) != byte)
            break;
        at ^= offset_of(unit);
        if ((unit & 1u << 8) != 0) {
            *length = i + 1;
            value_at = at;
        }
    }
    return *length == 0 ? LLM_OK : find_text(map, unit_at(map, value_at), replacement);
}
