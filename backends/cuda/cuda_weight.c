/* cuda_weight.c - weights on the device: planned and repacked by pack.c, uploaded here piece by piece. */
#include "backends/cuda/cuda.h"
#include "backends/cuda/pack.h"

int32_t lcu_weight_query(lm_device *device, const lm_weight_desc *desc, bool mapped,
                         lm_weight_plan *out)
{
    lcu_weight_view view;
    (void)device;
    (void)mapped;
    *out = (lm_weight_plan){LM_SUPPORT_NO, 0};
    if (!lcu_pack_plan(desc, &view, &out->bytes, &out->support))
        *out = (lm_weight_plan){LM_SUPPORT_NO, 0};
    return LLM_OK;
}

/* One piece after the other through the pinned memory, packed straight into it. */
static int32_t send(lcu_device *d, const lm_weight_desc *desc, const lm_weight_data *data,
                    const lm_weight *w)
{
    uint64_t unit = lcu_pack_unit(desc), most = LCU_STAGING_BYTES / unit * unit;
    uint8_t *to = (uint8_t *)(uintptr_t)w->view.data;
    for (uint64_t from = 0; from < w->bytes; from += most) {
        uint64_t size = w->bytes - from < most ? w->bytes - from : most;
        lcu_pack(desc, data->data, from, size, d->staging);
        LM_TRY(LCU_CALL(d, copy, to + from, d->staging, (size_t)size, LCU_TO_DEVICE, d->stream));
        LM_TRY(LCU_CALL(d, stream_wait, d->stream));
    }
    return LLM_OK;
}

static int32_t fill(lcu_device *d, const lm_weight_desc *desc, const lm_weight_data *data,
                    lm_weight *w)
{
    void *memory;
    uint64_t row;
    if (!lm_format_row_bytes(desc->format, desc->cols, &row) ||
        row * desc->rows > desc->bytes / desc->experts)
        return lm_fail(LLM_E_INVALID, "weight '%s': %llu bytes given where its shape needs more",
                       desc->name, (unsigned long long)desc->bytes);
    uint64_t bytes = w->bytes;
    w->bytes = 0; /* until they are taken */
    LM_TRY(lcu_take(d, bytes, &memory));
    w->bytes = bytes;
    w->view.data = memory;
    lm_os_mutex_lock(&d->turn);
    int32_t rc = send(d, desc, data, w);
    lm_os_mutex_unlock(&d->turn);
    return rc;
}

int32_t lcu_weight_load(lm_device *device, const lm_weight_desc *desc, const lm_weight_data *data,
                        lm_weight **out)
{
    lcu_device *d = (lcu_device *)device;
    lm_weight planned = {0};
    uint32_t support;
    LM_TRY(lcu_enter(d));
    if (!lcu_pack_plan(desc, &planned.view, &planned.bytes, &support))
        return lm_fail(LLM_E_UNSUPPORTED, "weight '%s': %u x %u values of %s cannot be had on CUDA",
                       desc->name, (unsigned)desc->rows, (unsigned)desc->cols, desc->format->name);
    lm_weight *w = LM_NEW(&d->books, lm_weight);
    if (w == NULL)
        return LLM_E_MEMORY;
    *w = planned;
    int32_t rc = fill(d, desc, data, w);
    if (rc < 0) {
        lcu_weight_destroy(device, w);
        return rc;
    }
    *out = w;
    return LLM_OK;
}

void lcu_weight_destroy(lm_device *device, lm_weight *weight)
{
    lcu_device *d = (lcu_device *)device;
    if (weight == NULL)
        return;
    lcu_give(d, (void *)(uintptr_t)weight->view.data, weight->bytes);
    LM_DELETE(&d->books, weight);
}
