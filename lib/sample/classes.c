/* classes.c - the table of samplers, made from the words in meson.build. */
#include "sample/sampler.h"

#include <string.h>

#define LM_SAMPLER(word) extern const lm_sampler_class lm_sampler_##word;
#include "sample/sampler_list.h"
#undef LM_SAMPLER

static const lm_sampler_class *const classes[] = {
#define LM_SAMPLER(word) &lm_sampler_##word,
#include "sample/sampler_list.h"
#undef LM_SAMPLER
};

const lm_sampler_class *lm_sampler_class_at(uint32_t index)
{
    return index < sizeof classes / sizeof classes[0] ? classes[index] : NULL;
}

const lm_sampler_class *lm_sampler_class_by_name(const char *name)
{
    const lm_sampler_class *found;
    for (uint32_t i = 0; (found = lm_sampler_class_at(i)) != NULL; i++)
        if (strcmp(found->name, name) == 0)
            return found;
    return NULL;
}
