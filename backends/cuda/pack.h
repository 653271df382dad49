/* pack - how weights lie on the device: which layout a format gets, how many bytes that takes, and
 * the repacking on the host while a model is loaded. */
#ifndef LM_BACKENDS_CUDA_PACK_H
#define LM_BACKENDS_CUDA_PACK_H

#include "backends/cuda/kernels/args.h"

/* The view without its address, the bytes on the device, and the support answered to queries; false:
 * this weight cannot be had. Uses only the description, so that a plan is exact before loading. */
bool lcu_pack_plan(const lm_weight_desc *desc, lcu_weight_view *view, uint64_t *bytes,
                   uint32_t *support);

/* Bytes [from, from + size) of the device's image of a weight whose file bytes are `data`; `from` and
 * `size` are multiples of lcu_pack_unit (the end of the image excepted). */
uint64_t lcu_pack_unit(const lm_weight_desc *desc);
void lcu_pack(const lm_weight_desc *desc, const void *data, uint64_t from, uint64_t size, void *to);

#endif
