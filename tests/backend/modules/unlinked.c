/* unlinked.c - a module that needs a function nobody has. */
#include "backend/backend.h"

extern const lm_backend lm_backend_unlinked;
int32_t llm_nobody_has_this(const lm_host *host, uint32_t *count);

const lm_backend lm_backend_unlinked = {
    .struct_size = sizeof lm_backend_unlinked,
    .version = LM_BACKEND_VERSION,
    .name = "unlinked",
    .probe = llm_nobody_has_this,
};
