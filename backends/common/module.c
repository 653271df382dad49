/* module.c - the one symbol of libllm-NAME.so. Compiled into modules only, with LM_MODULE_BACKEND
 * naming the backend's table. */
#include "backend/backend.h"

extern const lm_backend LM_MODULE_BACKEND;

/* Written once, before anything of the module runs. */
static const lm_core *library;

LLM_API const lm_backend *llm_backend_entry(uint32_t version, const lm_core *core);

char *lm_message_buffer(void)
{
    return library->message_buffer();
}

LLM_API const lm_backend *llm_backend_entry(uint32_t version, const lm_core *core)
{
    if (version != LM_BACKEND_VERSION)
        return NULL;
    library = core;
    return &LM_MODULE_BACKEND;
}
