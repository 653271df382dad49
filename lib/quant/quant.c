/* quant.c - the registry: finds formats in the tables of the families. */
#include "quant/quant.h"

#include "base/checked.h"
#include "quant/families.h"

#include <string.h>

#define FAMILY_ENTRY(family) lm_formats_##family,
static const lm_format *const families[] = {LM_QUANT_FAMILIES(FAMILY_ENTRY)};
#undef FAMILY_ENTRY
#define FAMILY_COUNT (sizeof families / sizeof families[0])

const lm_format *lm_format_by_id(uint32_t id)
{
    for (size_t i = 0; i < FAMILY_COUNT; i++)
        for (const lm_format *f = families[i]; f->name != NULL; f++)
            if (f->id == id)
                return f;
    return NULL;
}

const lm_format *lm_format_by_name(const char *name)
{
    for (size_t i = 0; i < FAMILY_COUNT; i++)
        for (const lm_format *f = families[i]; f->name != NULL; f++)
            if (strcmp(f->name, name) == 0)
                return f;
    return NULL;
}

const lm_format *lm_format_at(size_t index)
{
    for (size_t i = 0; i < FAMILY_COUNT; i++)
        for (const lm_format *f = families[i]; f->name != NULL; f++)
            if (index-- == 0)
                return f;
    return NULL;
}

bool lm_format_row_bytes(const lm_format *format, uint64_t count, uint64_t *bytes)
{
    if (count % format->block != 0)
        return false;
    return lm_mul_u64(count / format->block, format->bytes, bytes);
}
