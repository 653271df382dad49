/* checked - arithmetic on sizes that come from files or hosts. Every product and sum of such
 * numbers goes through here; each function answers false when the exact result does not fit. */
#ifndef LM_BASE_CHECKED_H
#define LM_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool lm_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    *out = a + b;
    return *out >= a;
}

static inline bool lm_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    *out = a * b;
    return b == 0 || *out / b == a;
}

/* Rounds up to a multiple of `align`, a power of two. */
static inline bool lm_align_u64(uint64_t a, uint64_t align, uint64_t *out)
{
    if (!lm_add_u64(a, align - 1, out))
        return false;
    *out &= ~(align - 1);
    return true;
}

static inline bool lm_add_size(size_t a, size_t b, size_t *out)
{
    *out = a + b;
    return *out >= a;
}

static inline bool lm_mul_size(size_t a, size_t b, size_t *out)
{
    *out = a * b;
    return b == 0 || *out / b == a;
}

static inline bool lm_fits_size(uint64_t a)
{
    return a <= (uint64_t)SIZE_MAX;
}

/* Is [offset, offset + size) inside [0, total)? */
static inline bool lm_inside(uint64_t offset, uint64_t size, uint64_t total)
{
    return size <= total && offset <= total - size;
}

static inline bool lm_is_pow2(uint64_t a)
{
    return a != 0 && (a & (a - 1)) == 0;
}

static inline uint32_t lm_min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t lm_max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static inline uint32_t lm_ceil_div_u32(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

#endif
