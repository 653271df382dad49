/* ref_device.c - the reference backend's table and its steps by kind. */
#include "backends/common/host_moves.h"
#include "backends/ref/ref.h"

#include <stdio.h>

static const lhost_step_class steps[LM_STEP_COUNT] = {
    [LM_STEP_EMBED] = {lhost_run_embed, NULL},
    [LM_STEP_GATHER_ROWS] = {lhost_run_gather, NULL},
    [LM_STEP_COPY] = {lhost_run_copy, NULL},
    [LM_STEP_CONCAT] = {lhost_run_concat, NULL},
    [LM_STEP_ADD] = {lref_add, NULL},
    [LM_STEP_ROW_ADD] = {lref_row_add, NULL},
    [LM_STEP_SCALE] = {lref_scale, NULL},
    [LM_STEP_NORM] = {lref_norm, NULL},
    [LM_STEP_ACT_MUL] = {lref_act_mul, NULL},
    [LM_STEP_LINEAR] = {lref_linear, lref_linear_scratch},
    [LM_STEP_LINEAR_HEADS] = {lref_linear_heads, lref_linear_scratch},
    [LM_STEP_LINEAR_EXPERT] = {lref_linear_expert, lref_linear_scratch},
    [LM_STEP_ROUTE_TOPK] = {lref_route, lref_route_scratch},
    [LM_STEP_COMBINE] = {lref_combine, NULL},
    [LM_STEP_ROPE] = {lref_rope, lref_rope_scratch},
    [LM_STEP_KV_APPEND] = {lhost_run_append, NULL},
    [LM_STEP_ATTN_PAGED] = {lref_attn, lref_attn_scratch},
    [LM_STEP_CONV_STATE] = {lref_conv, lref_conv_scratch},
    [LM_STEP_SCAN_STATE] = {lref_scan, NULL},
    [LM_STEP_POOL] = {lref_pool, NULL},
    [LM_STEP_TAP] = {lhost_run_gather, NULL},
    [LM_STEP_BEST] = {lhost_run_best, NULL},
    [LM_STEP_ALL_REDUCE] = {lhost_run_all_reduce, NULL},
};

static const lhost_kind kind = {.steps = steps, .cache_by_head = false};

static int32_t probe(const lm_host *host, uint32_t *count)
{
    (void)host;
    *count = 1;
    return LLM_OK;
}

static int32_t open_device(const lm_host *host, uint32_t index, lm_device **out)
{
    if (index != 0)
        return lm_fail(LLM_E_NOT_FOUND, "there is one reference device, 'ref:0'; not 'ref:%u'",
                       (unsigned)index);
    lhost_device *d;
    LM_TRY(lhost_device_create(host, &lm_backend_ref, &kind, sizeof *d, &d));
    *out = &d->base;
    return LLM_OK;
}

static int32_t info(lm_device *device, lm_device_info *out)
{
    (void)device;
    lhost_device_memory(out);
    out->threads = 1;
    snprintf(out->name, sizeof out->name, "reference (scalar, sums in double)");
    return LLM_OK;
}

const lm_backend lm_backend_ref = {
    .struct_size = sizeof(lm_backend),
    .version = LM_BACKEND_VERSION,
    .name = "ref",
    .probe = probe,
    .open = open_device,
    .close = lhost_device_close,
    .info = info,
    LHOST_FUNCTIONS,
};
