/* bytes - unaligned little-endian loads and stores. Mapped files promise no alignment. */
#ifndef LM_BASE_BYTES_H
#define LM_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "libllm reads little-endian files in place and supports little-endian machines only"
#endif

static inline uint16_t lm_load_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t lm_load_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t lm_load_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline float lm_load_f32(const void *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void lm_store_u16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void lm_store_u32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void lm_store_u64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void lm_store_f32(void *p, float v)
{
    memcpy(p, &v, sizeof v);
}

#endif
