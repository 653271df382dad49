/* probe.c - a backend in a module: no device, a reason, and a helper of the core in its words. */
#include "backend/backend.h"
#include "quant/quant.h"

extern const lm_backend lm_backend_probe;

static int32_t probe(const lm_host *host, uint32_t *count)
{
    (void)host;
    *count = 0;
    return lm_fail(LLM_E_DEVICE, "no device speaks %s", lm_format_by_id(LM_BF16)->name);
}

const lm_backend lm_backend_probe = {
    .struct_size = sizeof lm_backend_probe,
    .version = LM_BACKEND_VERSION,
    .name = "probe",
    .probe = probe,
};
