/* host_weight - weights in host memory: used where they are mapped, copied otherwise; those used as
 * vectors are decoded to F32 once. */
#ifndef LM_BACKENDS_HOST_WEIGHT_H
#define LM_BACKENDS_HOST_WEIGHT_H

#include "backends/common/host_device.h"

struct lm_weight {
    const lm_format *format; /* as it lies here: F32 for vectors */
    const uint8_t *data;     /* mapped data has no alignment */
    uint32_t rows, cols, experts;
    uint64_t row_bytes, matrix_bytes;
    void *own; /* NULL: mapped */
    uint64_t own_bytes;
};

int32_t lhost_weight_query(lm_device *device, const lm_weight_desc *desc, bool mapped,
                           lm_weight_plan *out);
int32_t lhost_weight_load(lm_device *device, const lm_weight_desc *desc, const lm_weight_data *data,
                          lm_weight **out);
void lhost_weight_destroy(lm_device *device, lm_weight *weight);

/* Bytes in the file of one row and of one matrix; false when the shape fits no file. */
bool lhost_weight_size(const lm_weight_desc *desc, uint64_t *row, uint64_t *matrix, uint64_t *all);

static inline const uint8_t *lhost_weight_row(const lm_weight *w, uint32_t expert, uint32_t row)
{
    return w->data + expert * w->matrix_bytes + row * w->row_bytes;
}

#endif
