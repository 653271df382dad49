/* pack.c - layouts of weights: today every format is decoded to floats, row after row. */
#include "backends/cuda/pack.h"

#include "backend/backend.h"
#include "base/checked.h"

bool lcu_pack_plan(const lm_weight_desc *desc, lcu_weight_view *view, uint64_t *bytes,
                   uint32_t *support)
{
    uint64_t file_row;
    *view = (lcu_weight_view){
        .layout = LCU_LAYOUT_F32, .rows = desc->rows, .cols = desc->cols, .experts = desc->experts};
    *support = desc->format->id == LM_F32 ? LM_SUPPORT_NATIVE : LM_SUPPORT_TRANSCODE;
    return desc->format->decode != NULL &&
           lm_format_row_bytes(desc->format, desc->cols, &file_row) &&
           lm_mul_u64((uint64_t)desc->cols * sizeof(float), desc->rows, &view->matrix_bytes) &&
           lm_mul_u64(view->matrix_bytes, desc->experts, bytes) && lm_fits_size(*bytes);
}

uint64_t lcu_pack_unit(const lm_weight_desc *desc)
{
    return desc->format->block * sizeof(float);
}

void lcu_pack(const lm_weight_desc *desc, const void *data, uint64_t from, uint64_t size, void *to)
{
    const lm_format *f = desc->format;
    uint64_t first = from / sizeof(float), count = size / sizeof(float);
    f->decode((const uint8_t *)data + first / f->block * f->bytes, to, (size_t)count);
}
