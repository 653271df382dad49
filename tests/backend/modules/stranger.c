/* stranger.c - a module whose table has another name than its file. */
#include "backend/backend.h"

extern const lm_backend lm_backend_stranger;

const lm_backend lm_backend_stranger = {
    .struct_size = sizeof lm_backend_stranger,
    .version = LM_BACKEND_VERSION,
    .name = "somebody",
};
