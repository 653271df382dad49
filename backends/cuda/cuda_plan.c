/* cuda_plan.c - what planners of steps call: views of what steps name, memory, launches. */
#include "backends/cuda/pack.h"
#include "backends/cuda/plan.h"

#include "base/checked.h"

#include <string.h>

#define MEMORY_ALIGN 256u
#define ARGS_ALIGN   16u
#define SHARED_FREE  49152u /* bytes of shared memory that need no leave */

static void fail(lcu_planner *p, int32_t status)
{
    if (p->status >= 0)
        p->status = status;
}

/* --- views ------------------------------------------------------------------------------------ */

lcu_slot lcu_plan_slot(const lcu_planner *p, uint32_t slot)
{
    if (slot == LM_NONE)
        return (lcu_slot){NULL, 0, 0};
    const lm_slot_info *info = &p->desc->graph->slots[slot];
    uintptr_t at = p->slots + (uintptr_t)p->places[slot].offset;
    return (lcu_slot){(void *)at, info->width, info->rows};
}

static const uint8_t anywhere; /* the address of what a query knows no address of */

lcu_weight_view lcu_plan_weight(const lcu_planner *p, uint32_t weight)
{
    lcu_weight_view view = {0};
    uint64_t bytes;
    uint32_t support;
    if (weight == LM_NONE)
        return view;
    if (!p->query)
        return p->desc->weights[weight]->view;
    (void)lcu_pack_plan(&p->desc->network->weights[weight], &view, &bytes, &support);
    view.data = &anywhere;
    return view;
}

const float *lcu_plan_vector(const lcu_planner *p, uint32_t weight)
{
    return (const float *)(const void *)lcu_plan_weight(p, weight).data;
}

lcu_linear lcu_plan_linear(const lcu_planner *p, const lm_linear *linear)
{
    return (lcu_linear){lcu_plan_weight(p, linear->weight), lcu_plan_vector(p, linear->bias),
                        linear->scale == 0 ? 1 : linear->scale};
}

lcu_cache_view lcu_plan_cache(const lcu_planner *p, uint32_t entry)
{
    lcu_cache_view view = {0};
    uint32_t group = p->desc->network->caches[entry].group;
    const lm_cache *c = p->query ? NULL : p->desc->caches[group];
    if (c == NULL)
        return view;
    view.pages = c->table;
    view.group = group;
    view.page_tokens = c->base.page_tokens;
    view.latent = c->base.kind == LM_CACHE_LATENT;
    for (int i = 0; i < 2; i++) {
        const lhost_part *part = lhost_storage_part(&c->base, entry, i);
        view.parts[i] =
            (lcu_part){part->format->id, part->heads,       part->dim,         part->head_bytes,
                       part->offset,     part->head_stride, part->token_stride};
    }
    return view;
}

uint32_t lcu_plan_rows(const lcu_planner *p, uint32_t rows)
{
    const lm_row_limits *l = &p->desc->limits;
    return rows == LM_ROWS_ALL ? l->rows : rows == LM_ROWS_WANTED ? l->wanted : l->seqs;
}

/* --- memory ----------------------------------------------------------------------------------- */

static uintptr_t reserve(lcu_planner *p, uintptr_t base, uint64_t *used, uint64_t bytes)
{
    uint64_t at = *used, end;
    if (!lm_add_u64(at, bytes, &end) || !lm_align_u64(end, MEMORY_ALIGN, used))
        fail(p, lm_fail(LLM_E_LIMIT, "the memory of the steps would not fit"));
    return base + (uintptr_t)at;
}

void *lcu_plan_scratch(lcu_planner *p, uint64_t bytes)
{
    uintptr_t at = reserve(p, p->scratch, &p->scratch_used, bytes);
    if (p->scratch_used > p->scratch_most)
        p->scratch_most = p->scratch_used;
    return (void *)at;
}

void *lcu_plan_kept(lcu_planner *p, uint64_t bytes)
{
    return (void *)reserve(p, p->kept, &p->kept_used, bytes);
}

const void *lcu_plan_table(lcu_planner *p, const void *values, uint64_t bytes)
{
    void *at = lcu_plan_kept(p, bytes);
    if (!p->query && p->status >= 0)
        fail(p, lcu_upload(p->device, at, values, bytes));
    return at;
}

lcu_slot lcu_plan_slot_of(lcu_planner *p, uint32_t width, uint32_t rows)
{
    uint64_t bytes = (uint64_t)lcu_plan_rows(p, rows) * width * sizeof(float);
    return (lcu_slot){lcu_plan_scratch(p, bytes), width, rows};
}

/* --- launches --------------------------------------------------------------------------------- */

bool lcu_plan_hopper(const lcu_planner *p)
{
    return LCU_HAS_90A && p->device->properties.capability == 90;
}

void lcu_emit(lcu_planner *p, const lcu_launch *launch, const void *args)
{
    bool library = launch->kernel == LCU_LIBRARY;
    uint32_t bytes = library ? (uint32_t)sizeof(lcu_gemm) : lcu_kernels[launch->kernel].args_bytes;
    if (!p->query && launch->shared_bytes > SHARED_FREE - LCU_SHARED_OWN)
        fail(p, LCU_CALL(p->device, kernel_shared, *lcu_kernels[launch->kernel].function,
                         p->device->properties.shared_bytes - LCU_SHARED_OWN));
    if (!p->query) {
        lcu_launch *l = &p->launches[p->n_launches];
        *l = *launch;
        l->step = p->origin == NULL ? p->step : p->origin[p->step];
        l->args = p->args_bytes;
        memcpy(p->args + p->args_bytes, args, bytes);
    }
    p->n_launches++;
    p->args_bytes += (bytes + ARGS_ALIGN - 1) / ARGS_ALIGN * ARGS_ALIGN;
}
