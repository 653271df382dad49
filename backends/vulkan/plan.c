/* plan.c - steps become dispatches: what families ask while they plan a step, and the sums of what they
 * want. The same families plan for a query, where nothing has an address yet. */
#include "backends/vulkan/program.h"

#include "base/checked.h"

#include <string.h>

#define ARGS_ALIGN    64u
#define SCRATCH_ALIGN 256u

struct lvk_plan {
    lvk_device *device;
    const lm_program_desc *desc;
    const lm_slot_place *places;
    lvk_program *program; /* NULL: a query */
    uint64_t scratch_at;  /* in the workspace; behind the slots */
    uint64_t scratch, scratch_most;
    uint64_t args; /* bytes so far */
    uint8_t *args_host;
    const lvk_sizes *sizes; /* as measured */
    size_t n_ops, step;
    uint64_t flops_per_row;
    int32_t status; /* the first failure of a function that answers none */
};

/* --- what families ask ------------------------------------------------------------------------ */

const lvk_features *lvk_plan_features(const lvk_plan *p)
{
    return &p->device->features;
}

const lm_network *lvk_plan_network(const lvk_plan *p)
{
    return p->desc->network;
}

const lm_row_limits *lvk_plan_limits(const lvk_plan *p)
{
    return &p->desc->limits;
}

uint32_t lvk_plan_context(const lvk_plan *p)
{
    return p->desc->context;
}

bool lvk_plan_fast(const lvk_plan *p)
{
    return p->desc->numerics == LM_NUMERICS_FAST;
}

lvk_slot lvk_plan_slot(const lvk_plan *p, uint32_t slot)
{
    if (slot == LM_NONE)
        return (lvk_slot){0};
    const lm_slot_info *info = &p->desc->graph->slots[slot];
    const lm_slot_place *place = &p->places[slot];
    uint64_t base = p->program == NULL ? 0 : p->program->workspace.address;
    return (lvk_slot){base == 0 ? 0 : base + place->offset, place->offset, place->bytes,
                      info->width, info->rows};
}

lvk_matrix lvk_plan_weight(const lvk_plan *p, uint32_t weight)
{
    lvk_matrix m = {0};
    if (weight == LM_NONE)
        return m;
    if (p->program == NULL)
        lvk_weight_shape(&p->desc->network->weights[weight], &m);
    else
        m = lvk_weight_of(p->desc->weights[weight])->matrix;
    return m;
}

lvk_part lvk_plan_part(const lvk_plan *p, uint32_t entry, uint32_t part)
{
    const lm_cache_entry *e = &p->desc->network->caches[entry];
    if (p->program == NULL) {
        bool state = p->desc->network->groups[e->group].kind == LM_CACHE_STATE;
        return (lvk_part){.format = lm_format_by_id(state ? LM_F32 : LM_F16),
                          .heads = state ? 1 : e->kv_heads,
                          .dim = part == 0 ? e->k_dim : e->v_dim,
                          .group = e->group,
                          .page_tokens = state ? 1 : 32};
    }
    const lvk_cache *c = p->program->caches[e->group];
    const lhost_part *h = lhost_storage_part(&c->base, entry, part);
    return (lvk_part){.format = h->format,
                      .heads = h->heads,
                      .dim = h->dim,
                      .head_bytes = (uint32_t)h->head_bytes,
                      .offset = (uint32_t)h->offset,
                      .head_stride = (uint32_t)h->head_stride,
                      .token_stride = (uint32_t)h->token_stride,
                      .group = e->group,
                      .page_tokens = c->base.page_tokens};
}

int32_t lvk_plan_vector(const lvk_plan *p, uint32_t weight, float *values, uint32_t count)
{
    memset(values, 0, count * sizeof *values);
    if (p->program == NULL)
        return LLM_OK;
    const lvk_weight *w = lvk_weight_of(p->desc->weights[weight]);
    lm_check(w->matrix.format->id == LM_F32);
    return lvk_download(p->device, &w->region, 0, values, count * sizeof *values);
}

uint64_t lvk_plan_codebook(const lvk_plan *p, const lm_format *format)
{
    return lvk_codebook(p->device, format);
}

uint64_t lvk_plan_scratch(lvk_plan *p, uint64_t bytes, uint64_t *offset)
{
    uint64_t aligned, end;
    *offset = p->scratch_at + p->scratch;
    if (!lm_align_u64(bytes, SCRATCH_ALIGN, &aligned) || !lm_add_u64(p->scratch, aligned, &end)) {
        p->status = lm_fail(LLM_E_LIMIT, "the workspace of the steps would not fit in memory");
        return 0;
    }
    p->scratch = end;
    p->scratch_most = end > p->scratch_most ? end : p->scratch_most;
    return p->program == NULL ? 0 : p->program->workspace.address + *offset;
}

lvk_slot lvk_plan_slot_of(lvk_plan *p, uint32_t width, uint32_t rows)
{
    const lm_row_limits *l = &p->desc->limits;
    const uint32_t limits[] = {l->rows, l->wanted, l->seqs};
    lvk_slot slot = {.bytes = (uint64_t)limits[rows] * width * 4, .width = width, .rows = rows};
    slot.address = lvk_plan_scratch(p, slot.bytes, &slot.offset);
    return slot;
}

/* --- ranges ----------------------------------------------------------------------------------- */

static void add_range(lvk_dispatch *d, uint32_t space, bool write, uint64_t begin, uint64_t end)
{
    if (d->n_ranges < LVK_RANGES) /* lvk_plan_dispatch refuses what is full */
        d->ranges[d->n_ranges] = (lvk_range){space, write, begin, end};
    d->n_ranges++;
}

void lvk_reads_slot(lvk_dispatch *d, const lvk_slot *slot)
{
    if (slot->bytes > 0)
        add_range(d, LVK_WORKSPACE, false, slot->offset, slot->offset + slot->bytes);
}

void lvk_writes_slot(lvk_dispatch *d, const lvk_slot *slot)
{
    add_range(d, LVK_WORKSPACE, true, slot->offset, slot->offset + slot->bytes);
}

void lvk_reads_scratch(lvk_dispatch *d, uint64_t offset, uint64_t bytes)
{
    add_range(d, LVK_WORKSPACE, false, offset, offset + bytes);
}

void lvk_writes_scratch(lvk_dispatch *d, uint64_t offset, uint64_t bytes)
{
    add_range(d, LVK_WORKSPACE, true, offset, offset + bytes);
}

void lvk_reads_part(lvk_dispatch *d, uint32_t entry, uint32_t part)
{
    uint64_t at = 2 * (uint64_t)entry + part;
    add_range(d, LVK_CACHE, false, at, at + 1);
}

void lvk_writes_part(lvk_dispatch *d, uint32_t entry, uint32_t part)
{
    uint64_t at = 2 * (uint64_t)entry + part;
    add_range(d, LVK_CACHE, true, at, at + 1);
}

/* --- dispatches ------------------------------------------------------------------------------- */

static int32_t add_op(lvk_plan *p, const lvk_dispatch *d)
{
    lm_check(p->n_ops < p->sizes->n_ops && p->args + d->args_bytes <= p->sizes->args);
    lvk_op *op = &p->program->ops[p->n_ops];
    *op = (lvk_op){.args = p->program->args.address + p->args,
                   .extents = {d->x, d->y, d->z},
                   .bucket_rows = d->bucket_rows,
                   .bucket_from = d->bucket_from,
                   .bucket_to = d->bucket_to,
                   .flops_per_row = d->flops_per_row,
                   .n_ranges = d->n_ranges,
                   .step = (uint32_t)p->step};
    memcpy(op->ranges, d->ranges, d->n_ranges * sizeof *op->ranges);
    memcpy(p->args_host + p->args, d->args, d->args_bytes);
    return lvk_pipeline_get(p->device, d->shader, d->spec, d->n_spec, &op->pipeline);
}

int32_t lvk_plan_dispatch(lvk_plan *p, const lvk_dispatch *d)
{
    lm_check(d->n_ranges > 0 && d->n_ranges <= LVK_RANGES && d->n_spec <= LVK_SPECS);
    lm_check(d->spec[0] > 0 && d->spec[0] <= p->device->features.max_invocations);
    LM_TRY(p->status);
    if (p->program != NULL)
        LM_TRY(add_op(p, d));
    p->n_ops++;
    p->args += (d->args_bytes + ARGS_ALIGN - 1) / ARGS_ALIGN * ARGS_ALIGN;
    p->flops_per_row += d->flops_per_row;
    return LLM_OK;
}

/* --- all steps -------------------------------------------------------------------------------- */

static int32_t plan_steps(lvk_plan *p)
{
    for (p->step = 0; p->step < p->desc->n_steps; p->step++) {
        const lm_step *step = &p->desc->steps[p->step];
        p->scratch = 0;
        LM_TRY(lvk_steps[step->kind].plan(p, step));
        LM_TRY(p->status);
    }
    return LLM_OK;
}

/* Bytes for copies of the outputs where the host does not see the workspace. */
static uint64_t shadow_bytes(const lvk_device *d, const lm_program_desc *desc,
                             const lm_slot_place *places)
{
    uint64_t bytes = 0;
    VkMemoryPropertyFlags has =
        d->memory.types.memoryTypes[d->memory.type[LVK_DEVICE]].propertyFlags;
    if ((has & VK_MEMORY_PROPERTY_HOST_CACHED_BIT) != 0)
        return 0;
    for (uint32_t i = 0; i < desc->n_outputs; i++)
        bytes += lvk_shadow_bytes(&desc->graph->slots[desc->outputs[i]], &places[desc->outputs[i]]);
    return bytes;
}

int32_t lvk_measure(lvk_device *d, const lm_program_desc *desc, lm_slot_place *places,
                    lvk_sizes *out)
{
    uint64_t slots;
    memset(out, 0, sizeof *out);
    LM_TRY(lm_slots_place(&d->books, desc->graph, desc->steps, desc->n_steps, desc->outputs,
                          desc->n_outputs, &desc->limits, places, &slots));
    if (!lm_align_u64(slots, SCRATCH_ALIGN, &out->scratch_at))
        return lm_fail(LLM_E_LIMIT, "the workspace of the steps would not fit in memory");
    lvk_plan p = {.device = d, .desc = desc, .places = places, .scratch_at = out->scratch_at};
    LM_TRY(plan_steps(&p));
    out->workspace = out->scratch_at + p.scratch_most + SCRATCH_ALIGN;
    out->args = p.args + ARGS_ALIGN;
    out->n_ops = p.n_ops;
    out->flops_per_row = p.flops_per_row;
    out->run_layout = lvk_layout_run(desc);
    out->run = out->run_layout.bytes;
    out->shadow = shadow_bytes(d, desc, places);
    return LLM_OK;
}

int32_t lvk_plan_program(lvk_program *program, const lm_program_desc *desc, const lvk_sizes *sizes)
{
    lvk_device *d = program->device;
    uint8_t *args = lm_alloc_zero(&d->books, (size_t)sizes->args);
    if (args == NULL)
        return LLM_E_MEMORY;
    lvk_plan p = {.device = d,
                  .desc = desc,
                  .places = program->places,
                  .program = program,
                  .scratch_at = sizes->scratch_at,
                  .args_host = args,
                  .sizes = sizes};
    int32_t rc = plan_steps(&p);
    if (rc >= 0)
        rc = lvk_upload(d, &program->args, 0, args, sizes->args);
    lm_free(&d->books, args, (size_t)sizes->args);
    return rc;
}
