/* refcount - shared ownership of immutable objects. */
#ifndef LM_BASE_REFCOUNT_H
#define LM_BASE_REFCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct lm_refcount {
    _Atomic uint32_t count;
} lm_refcount;

static inline void lm_ref_init(lm_refcount *r)
{
    atomic_init(&r->count, 1);
}

static inline void lm_ref_retain(lm_refcount *r)
{
    atomic_fetch_add_explicit(&r->count, 1, memory_order_relaxed);
}

/* True when this was the last reference and the object must go. */
static inline bool lm_ref_release(lm_refcount *r)
{
    return atomic_fetch_sub_explicit(&r->count, 1, memory_order_acq_rel) == 1;
}

#endif
