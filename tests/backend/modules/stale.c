/* stale.c - a module that knows another version of the table. */
#include "backend/backend.h"

extern const lm_backend lm_backend_stale;

const lm_backend lm_backend_stale = {
    .struct_size = sizeof lm_backend_stale,
    .version = LM_BACKEND_VERSION + 1,
    .name = "stale",
};
