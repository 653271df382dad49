/* pack - how weights lie on the device: which layout a format gets, how many bytes that takes, and
 * the repacking on the host while a model is loaded. */
#ifndef LM_BACKENDS_CUDA_PACK_H
#define LM_BACKENDS_CUDA_PACK_H

#include "backend/backend.h"
#include "backends/cuda/kernels/args.h"

/* The view without its address, the bytes on the device, and the support answered to queries; false:
 * this weight cannot be had. Uses only the description, so that a plan is exact before loading. */
bool lcu_pack_plan(const lm_weight_desc *desc, lcu_weight_view *view, uint64_t *bytes,
                   uint32_t *support);

/* Bytes [from, from + size) of the device's image of a weight whose file bytes are `data`; `from` and
 * `size` are multiples of lcu_pack_unit (the end of the image excepted). */
uint64_t lcu_pack_unit(const lm_weight_desc *desc);
void lcu_pack(const lm_weight_desc *desc, const void *data, uint64_t from, uint64_t size, void *to);

/* --- blocks (pack_blocks.c) --------------------------------------------------------------------- */

/* One row of the table of layouts, as C sees it. */
typedef struct lcu_layout {
    uint32_t format; /* LM_... */
    uint32_t low, high;
    uint32_t scale_bytes; /* of plane 2, per 256 values */
    uint32_t head_bytes, head_values;
} lcu_layout;

extern const lcu_layout lcu_layouts[LCU_LAYOUT_COUNT];

/* What is once in a group of 32 values of a block, or once in a block. */
void lcu_pack_low(uint32_t layout, const uint8_t *block, uint32_t group, uint8_t *to);
void lcu_pack_high(uint32_t layout, const uint8_t *block, uint32_t group, uint8_t *to);
void lcu_pack_scales(uint32_t layout, const uint8_t *block, uint8_t *to);
void lcu_pack_head(uint32_t layout, const uint8_t *block, uint8_t *to);

#endif
