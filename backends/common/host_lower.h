/* host_lower - the description of a program that shall run primitives one by one. For every backend. */
#ifndef LM_BACKENDS_HOST_LOWER_H
#define LM_BACKENDS_HOST_LOWER_H

#include "backend/backend.h"

/* A description as it is, or, when it is not to be fused, with its coarse steps lowered. */
typedef struct lhost_lowered {
    lm_allocator *alloc;
    lm_program_desc desc;
    lm_graph graph;
    uint32_t *origin; /* [desc.n_steps], or NULL: each step is itself */
    size_t n_origin;  /* room in it */
} lhost_lowered;

int32_t lhost_lower(lm_allocator *alloc, const lm_program_desc *desc, lhost_lowered *out);
void lhost_lowered_finish(lhost_lowered *lowered);

#endif
