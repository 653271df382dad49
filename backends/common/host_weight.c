/* host_weight.c - planning, loading and freeing weights in host memory. */
#include "backends/common/host_weight.h"

#include "base/checked.h"
#include "base/os.h"

#include <string.h>

bool lhost_weight_size(const lm_weight_desc *desc, uint64_t *row, uint64_t *matrix, uint64_t *all)
{
    return lm_format_row_bytes(desc->format, desc->cols, row) &&
           lm_mul_u64(*row, desc->rows, matrix) && lm_mul_u64(*matrix, desc->experts, all) &&
           lm_fits_size(*all);
}

static bool vector_bytes(const lm_weight_desc *desc, uint64_t *bytes)
{
    return lm_mul_u64((uint64_t)desc->rows * desc->cols, desc->experts, bytes) &&
           lm_mul_u64(*bytes, sizeof(float), bytes) && lm_fits_size(*bytes);
}

int32_t lhost_weight_query(lm_device *device, const lm_weight_desc *desc, bool mapped,
                           lm_weight_plan *out)
{
    uint64_t row, matrix, all;
    (void)device;
    *out = (lm_weight_plan){LM_SUPPORT_NO, 0};
    if (desc->format->decode == NULL || !lhost_weight_size(desc, &row, &matrix, &all))
        return LLM_OK;
    if ((desc->uses & LM_USE_VECTOR) != 0) {
        if (!vector_bytes(desc, &all))
            return LLM_OK;
    } else if (mapped) {
        all = 0;
    }
    *out = (lm_weight_plan){LM_SUPPORT_NATIVE, all};
    return LLM_OK;
}

/* The weight's bytes as they shall lie here. */
static int32_t take(lhost_device *d, lm_weight *w, const lm_weight_desc *desc,
                    const lm_weight_data *data)
{
    bool vector = (desc->uses & LM_USE_VECTOR) != 0;
    if (data->mapped && !vector) {
        w->data = data->data;
        lm_os_fetch(w->data, w->matrix_bytes * w->experts);
        return LLM_OK;
    }
    w->own = lm_alloc(&d->memory, (size_t)w->own_bytes);
    if (w->own == NULL)
        return LLM_E_MEMORY;
    w->data = w->own;
    if (!vector) {
        lm_os_large_pages(w->own, (size_t)w->own_bytes);
        memcpy(w->own, data->data, (size_t)w->own_bytes);
        return LLM_OK;
    }
    desc->format->decode(data->data, w->own, (size_t)(w->own_bytes / sizeof(float)));
    w->format = lm_format_by_id(LM_F32);
    w->row_bytes = (uint64_t)desc->cols * sizeof(float);
    w->matrix_bytes = w->row_bytes * desc->rows;
    return LLM_OK;
}

int32_t lhost_weight_load(lm_device *device, const lm_weight_desc *desc, const lm_weight_data *data,
                          lm_weight **out)
{
    lhost_device *d = (lhost_device *)device;
    lm_weight_plan plan;
    LM_TRY(lhost_weight_query(device, desc, data->mapped, &plan));
    if (plan.support == LM_SUPPORT_NO)
        return lm_fail(LLM_E_UNSUPPORTED, "weight '%s': %u x %u values do not make whole %s blocks",
                       desc->name, (unsigned)desc->rows, (unsigned)desc->cols, desc->format->name);
    lm_weight *w = LM_NEW(&d->books, lm_weight);
    if (w == NULL)
        return LLM_E_MEMORY;
    uint64_t all;
    *w = (lm_weight){.format = desc->format,
                     .rows = desc->rows,
                     .cols = desc->cols,
                     .experts = desc->experts,
                     .own_bytes = plan.bytes};
    int32_t rc = LLM_OK;
    if (!lhost_weight_size(desc, &w->row_bytes, &w->matrix_bytes, &all) || all > desc->bytes)
        rc = lm_fail(LLM_E_INVALID, "weight '%s': %llu bytes given where its shape needs more",
                     desc->name, (unsigned long long)desc->bytes);
    if (rc == LLM_OK) {
        bool spread = lm_os_spread_on();
        rc = take(d, w, desc, data);
        lm_os_spread_off(spread);
    }
    if (rc < 0) {
        LM_DELETE(&d->books, w);
        return rc;
    }
    *out = w;
    return LLM_OK;
}

void lhost_weight_destroy(lm_device *device, lm_weight *weight)
{
    lhost_device *d = (lhost_device *)device;
    if (weight == NULL)
        return;
    if (weight->own != NULL)
        lm_free(&d->memory, weight->own, (size_t)weight->own_bytes);
    LM_DELETE(&d->books, weight);
}
