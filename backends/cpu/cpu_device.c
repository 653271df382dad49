/* cpu_device.c - the CPU backend's table and its steps by kind. */
#include "backends/common/host_moves.h"
#include "backends/cpu/cpu.h"

#include <stdio.h>

static const lhost_step_class steps[LM_STEP_COUNT] = {
    [LM_STEP_EMBED] = {lhost_run_embed, NULL},
    [LM_STEP_GATHER_ROWS] = {lhost_run_gather, NULL},
    [LM_STEP_COPY] = {lhost_run_copy, NULL},
    [LM_STEP_CONCAT] = {lhost_run_concat, NULL},
    [LM_STEP_ADD] = {lcpu_add, NULL},
    [LM_STEP_ROW_ADD] = {lcpu_row_add, NULL},
    [LM_STEP_SCALE] = {lcpu_scale, NULL},
    [LM_STEP_NORM] = {lcpu_norm, NULL},
    [LM_STEP_ACT_MUL] = {lcpu_act_mul, NULL},
    [LM_STEP_LINEAR] = {lcpu_linear, lcpu_linear_scratch},
    [LM_STEP_LINEAR_HEADS] = {lcpu_linear_heads, lcpu_linear_scratch},
    [LM_STEP_LINEAR_EXPERT] = {lcpu_linear_expert, lcpu_linear_scratch},
    [LM_STEP_ROUTE_TOPK] = {lcpu_route, lcpu_route_scratch},
    [LM_STEP_COMBINE] = {lcpu_combine, NULL},
    [LM_STEP_ROPE] = {lcpu_rope, NULL},
    [LM_STEP_KV_APPEND] = {lcpu_append, NULL},
    [LM_STEP_ATTN_PAGED] = {lcpu_attn, lcpu_attn_scratch},
    [LM_STEP_CONV_STATE] = {lcpu_conv, lcpu_conv_scratch},
    [LM_STEP_SCAN_STATE] = {lcpu_scan, NULL},
    [LM_STEP_POOL] = {lcpu_pool, NULL},
    [LM_STEP_TAP] = {lhost_run_gather, NULL},
    [LM_STEP_BEST] = {lhost_run_best, NULL},
    [LM_STEP_ALL_REDUCE] = {lhost_run_all_reduce, NULL},
    [LM_STEP_QKV_ROPE_APPEND] = {lcpu_qkv, lcpu_qkv_scratch},
    [LM_STEP_ATTN_OUT] = {lcpu_attn_out, lcpu_attn_out_scratch},
    [LM_STEP_GLU_FFN] = {lcpu_ffn, lcpu_ffn_scratch},
};

static uint64_t plan(const lhost_device *d, const lm_program_desc *desc, uint32_t *tags)
{
    if (tags != NULL)
        lcpu_linear_plan(desc, tags);
    return lcpu_rope_plan(d, desc, tags);
}

static const lhost_kind kind = {
    .steps = steps, .cache_by_head = true, .plan = plan, .begin = lcpu_rope_begin};

static int32_t probe(const lm_host *host, uint32_t *count)
{
    (void)host;
    *count = 1;
    return LLM_OK;
}

static int32_t open_device(const lm_host *host, uint32_t index, lm_device **out)
{
    if (index != 0)
        return lm_fail(LLM_E_NOT_FOUND, "there is one CPU device, 'cpu:0'; not 'cpu:%u'",
                       (unsigned)index);
    lhost_device *base;
    LM_TRY(lhost_device_create(host, &lm_backend_cpu, &kind, sizeof(lcpu_device), &base));
    lcpu_device *d = (lcpu_device *)base;
    lcpu_kernels_init(&d->k, lcpu_features() & ~host->cpu_features_masked);
    int32_t rc = lcpu_team_create(&base->books, &base->host, &d->team);
    if (rc < 0) {
        lhost_device_close(&base->base);
        return rc;
    }
    *out = &base->base;
    return LLM_OK;
}

static void close_device(lm_device *device)
{
    if (device == NULL)
        return;
    lcpu_team_destroy(((lcpu_device *)device)->team);
    lhost_device_close(device);
}

static int32_t info(lm_device *device, lm_device_info *out)
{
    const lcpu_device *d = (const lcpu_device *)device;
    lhost_device_memory(out);
    out->threads = lcpu_team_size(d->team);
    snprintf(out->name, sizeof out->name, "CPU (%u threads, %s)", (unsigned)out->threads,
             d->k.used == 0 ? "portable" : "vector kernels");
    return LLM_OK;
}

/* --- sharing out ranges ----------------------------------------------------------------------- */

typedef struct ranges {
    lcpu_range_fn fn;
    void *arg;
    size_t count, grain;
} ranges;

static void run_range(void *arg, uint32_t task, uint32_t worker)
{
    const ranges *r = arg;
    size_t first = task * r->grain, end = first + r->grain;
    (void)worker;
    r->fn(r->arg, first, end < r->count ? end : r->count);
}

void lcpu_ranges(lhost_run *r, size_t count, size_t grain, lcpu_range_fn fn, void *arg)
{
    ranges work = {fn, arg, count, grain == 0 ? 1 : grain};
    lcpu_team_run(lcpu_of(r)->team, (uint32_t)((count + work.grain - 1) / work.grain), run_range,
                  &work);
}

const lm_backend lm_backend_cpu = {
    .struct_size = sizeof(lm_backend),
    .version = LM_BACKEND_VERSION,
    .name = "cpu",
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .info = info,
    LHOST_FUNCTIONS,
};
