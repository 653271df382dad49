/* weight.c - planning, loading and freeing weights. Formats that shaders read lie as in the file; the rest
 * and all vectors are decoded to F32 on the way. */
#include "backends/vulkan/store.h"

#include "base/checked.h"

#include <string.h>

bool lvk_weight_shape(const lm_weight_desc *desc, lvk_matrix *out)
{
    bool native = (desc->uses & LM_USE_VECTOR) == 0 && lvk_reads_format(desc->format);
    uint64_t file, all;
    memset(out, 0, sizeof *out);
    *out = (lvk_matrix){.format = native ? desc->format : lm_format_by_id(LM_F32),
                        .rows = desc->rows,
                        .cols = desc->cols,
                        .experts = desc->experts};
    return desc->format->decode != NULL && lm_format_row_bytes(desc->format, desc->cols, &file) &&
           lm_format_row_bytes(out->format, desc->cols, &out->row_bytes) &&
           lm_mul_u64(out->row_bytes, desc->rows, &out->matrix_bytes) &&
           lm_mul_u64(out->matrix_bytes, desc->experts, &all) && lm_fits_size(all);
}

int32_t lvk_weight_query(lm_device *device, const lm_weight_desc *desc, bool mapped,
                         lm_weight_plan *out)
{
    lvk_matrix m;
    (void)mapped;
    *out = (lm_weight_plan){LM_SUPPORT_NO, 0};
    if (!lvk_weight_shape(desc, &m))
        return LLM_OK;
    uint64_t bytes = m.matrix_bytes * m.experts + LVK_SLACK;
    if (!lvk_memory_fits((lvk_device *)device, bytes))
        return LLM_OK;
    *out = (lm_weight_plan){
        m.format->id == desc->format->id ? LM_SUPPORT_NATIVE : LM_SUPPORT_TRANSCODE, bytes};
    return LLM_OK;
}

/* Decodes some rows at a time on the way to the device. */
static int32_t upload_decoded(lvk_device *d, const lm_weight_desc *desc, const uint8_t *data,
                              const lvk_weight *w)
{
    uint64_t rows = (uint64_t)w->matrix.rows * w->matrix.experts, file_row;
    uint64_t row_bytes = w->matrix.row_bytes, slab = ((uint64_t)1 << 20) / (row_bytes + 1) + 1;
    lm_check(lm_format_row_bytes(desc->format, desc->cols, &file_row));
    slab = slab < rows ? slab : rows;
    float *values = lm_alloc_array(&d->books, (size_t)slab, (size_t)row_bytes);
    if (values == NULL)
        return LLM_E_MEMORY;
    int32_t rc = LLM_OK;
    for (uint64_t at = 0; at < rows && rc >= 0; at += slab) {
        uint64_t count = rows - at < slab ? rows - at : slab;
        desc->format->decode(data + at * file_row, values, (size_t)(count * desc->cols));
        rc = lvk_upload(d, &w->region, at * row_bytes, values, count * row_bytes);
    }
    lm_free_array(&d->books, values, (size_t)slab, (size_t)row_bytes);
    return rc;
}

static int32_t fill(lvk_device *d, const lm_weight_desc *desc, const lm_weight_data *data,
                    uint64_t bytes, lvk_weight *w)
{
    uint64_t row, matrix, all;
    if (!lm_format_row_bytes(desc->format, desc->cols, &row) ||
        !lm_mul_u64(row, desc->rows, &matrix) || !lm_mul_u64(matrix, desc->experts, &all) ||
        all > desc->bytes)
        return lm_fail(LLM_E_INVALID, "weight '%s': %llu bytes given where its shape needs more",
                       desc->name, (unsigned long long)desc->bytes);
    LM_TRY(lvk_take(d, LVK_DEVICE, bytes, true, &w->region));
    w->matrix.address = w->region.address;
    if (w->matrix.format->id == desc->format->id)
        return lvk_upload(d, &w->region, 0, data->data, all);
    return upload_decoded(d, desc, data->data, w);
}

int32_t lvk_weight_load(lm_device *device, const lm_weight_desc *desc, const lm_weight_data *data,
                        lm_weight **out)
{
    lvk_device *d = (lvk_device *)device;
    lm_weight_plan plan;
    LM_TRY(lvk_alive(d));
    LM_TRY(lvk_weight_query(device, desc, data->mapped, &plan));
    if (plan.support == LM_SUPPORT_NO)
        return lm_fail(LLM_E_UNSUPPORTED,
                       "weight '%s': %u x %u values make no whole %s blocks, or are more than '%s' "
                       "gives in one piece (%llu bytes)",
                       desc->name, (unsigned)desc->rows, (unsigned)desc->cols, desc->format->name,
                       d->name, (unsigned long long)d->memory.max_allocation);
    lvk_weight *w = LM_NEW(&d->books, lvk_weight);
    if (w == NULL)
        return LLM_E_MEMORY;
    lvk_weight_shape(desc, &w->matrix);
    int32_t rc = fill(d, desc, data, plan.bytes, w);
    if (rc < 0) {
        lvk_weight_destroy(device, (lm_weight *)(void *)w);
        return rc;
    }
    *out = (lm_weight *)(void *)w;
    return LLM_OK;
}

void lvk_weight_destroy(lm_device *device, lm_weight *weight)
{
    lvk_device *d = (lvk_device *)device;
    lvk_weight *w = lvk_weight_of(weight);
    if (w == NULL)
        return;
    lvk_give(d, &w->region, true);
    LM_DELETE(&d->books, w);
}
