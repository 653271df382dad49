/* layout - what the block layouts share. Every field is made of bytes, so a block needs no
 * alignment and can be read where it lies in a mapped file. */
#ifndef LM_QUANT_LAYOUT_H
#define LM_QUANT_LAYOUT_H

#include "base/bytes.h"
#include "base/half.h"

#include <stddef.h>

typedef struct lm_half {
    uint8_t bytes[2];
} lm_half;

static inline float lm_half_get(lm_half h)
{
    return lm_f16_to_f32(lm_load_u16(h.bytes));
}

static inline lm_half lm_half_from(float v)
{
    lm_half h;
    lm_store_u16(h.bytes, lm_f32_to_f16(v));
    return h;
}

#define LM_BLOCK_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has no padding")

#endif
