/* host_refs - what a program is made of: whether its steps are of a form that the device computes, and
 * whether what they name is there. */
#ifndef LM_BACKENDS_HOST_REFS_H
#define LM_BACKENDS_HOST_REFS_H

#include "backend/backend.h"

/* Is the step of a form that the backends here compute: in place only where values are treated one by
 * one, recurrences of the kinds there are? */
bool lhost_step_form(const lm_step *step);

/* Every step is one that the backend's step_query takes. */
int32_t lhost_check_steps(lm_device *device, const lm_program_desc *desc);
/* Every weight and cache that these steps name is there and of their kind. Caches begin with an
 * lhost_storage. */
int32_t lhost_check_refs(const lm_program_desc *desc);

#endif
