/* step.c - the table of kinds. */
#include "step/step.h"

static const struct {
    const char *name;
    bool coarse;
} kinds[] = {
#define X(name, coarse, text) {#name, coarse},
    LM_STEP_KINDS(X)
#undef X
};

const char *lm_step_name(uint32_t kind)
{
    return kind < LM_STEP_COUNT ? kinds[kind].name : "?";
}

bool lm_step_is_coarse(uint32_t kind)
{
    return kind < LM_STEP_COUNT && kinds[kind].coarse;
}
