/* cases.c - all cases in one list, and one by its name. */
#include "backend/cases.h"

#include <string.h>

const rig_case *case_at(size_t index)
{
    const rig_cases *const families[] = {&cases_linear, &cases_values, &cases_attn,
                                         &cases_moe,    &cases_state,  &cases_model};
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++) {
        if (index < families[f]->count)
            return &families[f]->list[index];
        index -= families[f]->count;
    }
    return NULL;
}

static const rig_case *named(const rig_case *(*at)(size_t index), const char *name)
{
    const rig_case *c;
    for (size_t i = 0; (c = at(i)) != NULL && strcmp(c->name, name) != 0;)
        i++;
    return c;
}

void case_build(rig_model *m, const char *name, uint64_t seed)
{
    const rig_case *c = named(case_at, name);
    if (c == NULL)
        c = named(case_block_at, name);
    if (c == NULL)
        fail_msg("there is no case '%s'", name);
    rig_model_init(m, seed);
    c->build(m, c->variant);
}
