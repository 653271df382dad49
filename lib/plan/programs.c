/* programs.c - compiled segments with their caches, run in order; slots carried between devices. */
#include "plan/plan.h"

#include "base/checked.h"

#include <string.h>

#define WAIT_FOREVER UINT64_MAX

/* --- descriptions ----------------------------------------------------------------------------- */

/* Do the steps of a device name this cache entry? */
static bool names_cache(const lm_placement *p, uint32_t device, uint32_t cache)
{
    for (uint32_t i = 0; i < p->n_segments; i++) {
        const lm_segment *s = &p->segments[i];
        for (size_t k = 0; s->device == device && k < s->n_steps; k++)
            if (lm_step_cache(&p->graph.steps[s->first_step + k]) == cache)
                return true;
    }
    return false;
}

static uint32_t members_of(const lm_placement *p, uint32_t device, uint32_t group,
                           uint32_t *members)
{
    uint32_t count = 0;
    const lm_network *n = &p->model->network;
    for (uint32_t c = 0; c < n->n_caches; c++)
        if (n->caches[c].group == group && names_cache(p, device, c))
            members[count++] = c;
    return count;
}

bool lm_programs_holds(const lm_programs *p, uint32_t device, uint32_t cache)
{
    return names_cache(p->placement, device, cache);
}

static lm_cache_desc cache_desc(const lm_placement *p, const lm_engine_shape *shape, uint32_t group,
                                const uint32_t *members, uint32_t n_members)
{
    const lm_network *n = &p->model->network;
    return (lm_cache_desc){.entries = n->caches,
                           .n_entries = (uint32_t)n->n_caches,
                           .members = members,
                           .n_members = n_members,
                           .kind = n->groups[group].kind,
                           .page_tokens = shape->page_tokens,
                           .k_format = shape->k_format,
                           .v_format = shape->v_format,
                           .max_pages = shape->max_pages[group]};
}

static lm_program_desc program_desc(const lm_placement *p, const lm_engine_shape *shape,
                                    uint32_t segment, lm_cache *const *caches)
{
    const lm_segment *s = &p->segments[segment];
    return (lm_program_desc){.network = &p->model->network,
                             .graph = &p->graph,
                             .steps = p->graph.steps + s->first_step,
                             .n_steps = s->n_steps,
                             .inputs = s->inputs,
                             .n_inputs = s->n_inputs,
                             .outputs = s->outputs,
                             .n_outputs = s->n_outputs,
                             .weights = p->devices[s->device].weights,
                             .caches = caches,
                             .limits = shape->limits,
                             .context = shape->context,
                             .numerics = shape->numerics,
                             .fused = shape->fused};
}

/* --- memory ----------------------------------------------------------------------------------- */

static int32_t plan_device(const lm_placement *p, const lm_engine_shape *shape, uint32_t device,
                           uint32_t *members, lm_device_memory *out)
{
    lm_device *d = p->devices[device].device;
    memset(out, 0, sizeof *out);
    out->weights = p->devices[device].weight_bytes;
    out->mapped = p->devices[device].mapped_bytes;
    for (uint32_t g = 0; g < p->model->network.n_groups; g++) {
        uint32_t count = members_of(p, device, g, members);
        if (count == 0)
            continue;
        lm_cache_desc desc = cache_desc(p, shape, g, members, count);
        uint64_t fixed;
        LM_TRY(d->backend->cache_query(d, &desc, &out->page_bytes[g], &fixed));
        out->cache_fixed += fixed;
    }
    for (uint32_t i = 0; i < p->n_segments; i++) {
        if (p->segments[i].device != device)
            continue;
        lm_cache *none[LM_MAX_GROUPS] = {NULL};
        lm_program_desc desc = program_desc(p, shape, i, none);
        uint64_t bytes;
        LM_TRY(d->backend->program_query(d, &desc, &bytes));
        out->workspace += bytes;
    }
    return LLM_OK;
}

int32_t lm_plan_memory(const lm_placement *p, const lm_engine_shape *shape,
                       lm_device_memory *devices)
{
    size_t n_caches = p->model->network.n_caches;
    uint32_t *members = LM_NEW_ARRAY(p->alloc, uint32_t, n_caches);
    if (members == NULL)
        return LLM_E_MEMORY;
    int32_t rc = LLM_OK;
    lm_placement_enter(p);
    for (uint32_t i = 0; i < p->n_devices && rc >= 0; i++)
        rc = plan_device(p, shape, i, members, &devices[i]);
    lm_placement_leave(p);
    lm_free_array(p->alloc, members, n_caches, sizeof *members);
    return rc;
}

/* --- creating --------------------------------------------------------------------------------- */

static int32_t create_caches(lm_programs *p)
{
    const lm_placement *place = p->placement;
    size_t n_caches = place->model->network.n_caches, used = 0;
    p->members = LM_NEW_ARRAY(p->alloc, uint32_t, n_caches * place->n_devices);
    if (p->members == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i < place->n_devices; i++) {
        lm_device *d = place->devices[i].device;
        for (uint32_t g = 0; g < place->model->network.n_groups; g++) {
            uint32_t count = members_of(place, i, g, p->members + used);
            if (count == 0)
                continue;
            lm_cache_desc desc = cache_desc(place, &p->shape, g, p->members + used, count);
            LM_TRY(d->backend->cache_create(d, &desc, &p->caches[i][g]));
            used += count;
        }
    }
    return LLM_OK;
}

/* One slot at a time crosses between devices; the best come home as two. */
static int32_t create_staging(lm_programs *p)
{
    const lm_placement *place = p->placement;
    const uint32_t rows[] = {p->shape.limits.rows, p->shape.limits.wanted, p->shape.limits.seqs};
    uint64_t most =
        place->best_ids == LM_NONE ? 0 : (uint64_t)p->shape.limits.wanted * LM_BEST * 8u;
    for (uint32_t i = 0; i < place->n_segments; i++) {
        const lm_segment *s = &place->segments[i];
        for (uint32_t k = 0; k < s->n_outputs; k++) {
            const lm_slot_info *slot = &place->graph.slots[s->outputs[k]];
            uint64_t bytes = (uint64_t)rows[slot->rows] * slot->width * 4u;
            most = bytes > most ? bytes : most;
        }
    }
    if (!lm_fits_size(most))
        return lm_fail(LLM_E_MEMORY, "out of memory: %llu bytes of staging",
                       (unsigned long long)most);
    p->staging_bytes = (size_t)most;
    p->staging = lm_alloc(p->alloc, p->staging_bytes);
    return p->staging == NULL ? LLM_E_MEMORY : LLM_OK;
}

static int32_t create_programs(lm_programs *p)
{
    const lm_placement *place = p->placement;
    for (uint32_t i = 0; i < place->n_devices; i++) {
        lm_device *d = place->devices[i].device;
        LM_TRY(d->backend->queue_create(d, &p->queues[i]));
    }
    p->programs = LM_NEW_ARRAY(p->alloc, lm_program *, place->n_segments);
    if (p->programs == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i < place->n_segments; i++) {
        uint32_t device = place->segments[i].device;
        lm_device *d = place->devices[device].device;
        lm_program_desc desc = program_desc(place, &p->shape, i, p->caches[device]);
        LM_TRY(d->backend->program_create(d, &desc, &p->programs[i]));
    }
    return LLM_OK;
}

int32_t lm_programs_create(const lm_placement *placement, const lm_engine_shape *shape,
                           lm_programs **out)
{
    lm_programs *p = LM_NEW(placement->alloc, lm_programs);
    if (p == NULL)
        return LLM_E_MEMORY;
    p->alloc = placement->alloc;
    p->placement = placement;
    p->shape = *shape;
    lm_placement_enter(placement);
    int32_t rc;
    LM_GO(create_caches(p));
    LM_GO(create_staging(p));
    LM_GO(create_programs(p));
    *out = p;
out:
    lm_placement_leave(placement);
    if (rc < 0)
        lm_programs_destroy(p);
    return rc;
}

void lm_programs_destroy(lm_programs *p)
{
    if (p == NULL)
        return;
    const lm_placement *place = p->placement;
    lm_placement_enter(place);
    for (uint32_t i = 0; p->programs != NULL && i < place->n_segments; i++) {
        lm_device *d = place->devices[place->segments[i].device].device;
        if (p->programs[i] != NULL)
            d->backend->program_destroy(d, p->programs[i]);
    }
    for (uint32_t i = 0; i < place->n_devices; i++) {
        lm_device *d = place->devices[i].device;
        for (uint32_t g = 0; g < LM_MAX_GROUPS; g++)
            if (p->caches[i][g] != NULL)
                d->backend->cache_destroy(d, p->caches[i][g]);
        if (p->queues[i] != NULL)
            d->backend->queue_destroy(d, p->queues[i]);
    }
    lm_placement_leave(place);
    size_t n_caches = place->model->network.n_caches;
    lm_free_array(p->alloc, p->programs, place->n_segments, sizeof *p->programs);
    lm_free_array(p->alloc, p->members, n_caches * place->n_devices, sizeof *p->members);
    lm_free(p->alloc, p->staging, p->staging_bytes);
    LM_DELETE(p->alloc, p);
}

/* --- running ---------------------------------------------------------------------------------- */

static size_t slot_bytes(const lm_programs *p, const lm_run *run, uint32_t slot)
{
    const lm_slot_info *info = &p->placement->graph.slots[slot];
    const uint32_t rows[] = {run->n_rows, run->n_wanted, run->n_seqs};
    return (size_t)rows[info->rows] * info->width * 4u;
}

static int32_t wait(lm_programs *p, uint32_t device)
{
    lm_device *d = p->placement->devices[device].device;
    uint64_t ticket;
    LM_TRY(d->backend->queue_signal(d, p->queues[device], &ticket));
    return d->backend->queue_wait(d, p->queues[device], ticket, WAIT_FOREVER);
}

/* The segment that writes a slot last before `reader`. */
static uint32_t writer_of(const lm_placement *place, uint32_t reader, uint32_t slot)
{
    for (uint32_t i = reader; i-- > 0;)
        for (uint32_t k = 0; k < place->segments[i].n_outputs; k++)
            if (place->segments[i].outputs[k] == slot)
                return i;
    return LM_NONE;
}

static int32_t carry_inputs(lm_programs *p, const lm_run *run, uint32_t segment)
{
    const lm_placement *place = p->placement;
    const lm_segment *to = &place->segments[segment];
    lm_device *into = place->devices[to->device].device;
    for (uint32_t k = 0; k < to->n_inputs; k++) {
        uint32_t from = writer_of(place, segment, to->inputs[k]);
        lm_check(from != LM_NONE);
        uint32_t device = place->segments[from].device;
        lm_device *source = place->devices[device].device;
        size_t bytes = slot_bytes(p, run, to->inputs[k]);
        LM_TRY(source->backend->slot_read(source, p->queues[device], p->programs[from],
                                          to->inputs[k], p->staging, bytes));
        LM_TRY(wait(p, device));
        LM_TRY(into->backend->slot_write(into, p->queues[to->device], p->programs[segment],
                                         to->inputs[k], p->staging, bytes));
        LM_TRY(wait(p, to->device));
    }
    return LLM_OK;
}

static int32_t run_segments(lm_programs *p, const lm_run *run)
{
    const lm_placement *place = p->placement;
    for (uint32_t i = 0; i < place->n_segments; i++) {
        uint32_t device = place->segments[i].device;
        lm_device *d = place->devices[device].device;
        LM_TRY(carry_inputs(p, run, i));
        LM_TRY(d->backend->program_run(d, p->queues[device], p->programs[i], run));
        LM_TRY(wait(p, device));
    }
    return LLM_OK;
}

/* Where the host may look itself there is nothing to bring. */
static int32_t read_slot(lm_programs *p, uint32_t slot, uint32_t n_rows, void *into,
                         const void **out)
{
    const lm_placement *place = p->placement;
    uint32_t last = place->n_segments - 1, device = place->segments[last].device;
    lm_device *d = place->devices[device].device;
    *out = d->backend->slot_host(d, p->programs[last], slot);
    if (*out != NULL)
        return LLM_OK;
    size_t bytes = (size_t)n_rows * place->graph.slots[slot].width * 4u;
    *out = into;
    return d->backend->slot_read(d, p->queues[device], p->programs[last], slot, into, bytes);
}

static int32_t read_result(lm_programs *p, uint32_t n_rows, bool best, lm_result *out)
{
    const lm_placement *place = p->placement;
    const void *ids = NULL, *values;
    uint32_t device = place->segments[place->n_segments - 1].device;
    best = best && place->best_ids != LM_NONE;
    uint32_t slot = best ? place->best_values : place->graph.result;
    int32_t *behind = (int32_t *)p->staging + (size_t)n_rows * LM_BEST;
    if (best)
        LM_TRY(read_slot(p, place->best_ids, n_rows, behind, &ids));
    LM_TRY(read_slot(p, slot, n_rows, p->staging, &values));
    *out = best ? (lm_result){.best_ids = ids, .best = values} : (lm_result){.rows = values};
    return wait(p, device);
}

int32_t lm_programs_run(lm_programs *p, const lm_run *run, uint32_t n_rows, bool best,
                        lm_result *out)
{
    memset(out, 0, sizeof *out);
    lm_placement_enter(p->placement);
    int32_t rc = run_segments(p, run);
    if (rc >= 0 && n_rows > 0)
        rc = read_result(p, n_rows, best, out);
    lm_placement_leave(p->placement);
    return rc;
}

/* --- pages of all devices --------------------------------------------------------------------- */

int32_t lm_programs_grow(lm_programs *p, uint32_t group, uint32_t pages)
{
    int32_t rc = LLM_OK;
    lm_placement_enter(p->placement);
    for (uint32_t i = 0; i < p->placement->n_devices && rc >= 0; i++) {
        lm_device *d = p->placement->devices[i].device;
        if (p->caches[i][group] != NULL)
            rc = d->backend->cache_grow(d, p->caches[i][group], pages);
    }
    lm_placement_leave(p->placement);
    return rc;
}

int32_t lm_programs_copy_page(lm_programs *p, uint32_t group, uint32_t from, uint32_t to)
{
    int32_t rc = LLM_OK;
    lm_placement_enter(p->placement);
    for (uint32_t i = 0; i < p->placement->n_devices && rc >= 0; i++) {
        lm_device *d = p->placement->devices[i].device;
        if (p->caches[i][group] != NULL)
            rc = d->backend->page_copy(d, p->caches[i][group], from, to);
    }
    lm_placement_leave(p->placement);
    return rc;
}
