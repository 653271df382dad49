/* program.c - planning, creating and running programs, and the slots that cross their border. */
#include "backends/vulkan/program.h"

#include "backends/common/host_lower.h"
#include "backends/common/host_refs.h"
#include "base/checked.h"

#include <string.h>

int32_t lvk_step_query(lm_device *device, const lm_network *network, const lm_step *step,
                       lm_step_support *out)
{
    const lvk_features *has = &((const lvk_device *)device)->features;
    *out = (lm_step_support){LM_SUPPORT_NO, 0};
    if (step->kind >= LM_STEP_COUNT || !lhost_step_form(step))
        return LLM_OK;
    const lvk_step_class *class = &lvk_steps[step->kind];
    if (class->plan != NULL && (class->takes == NULL || class->takes(has, network, step)))
        *out = (lm_step_support){LM_SUPPORT_NATIVE, class->numerics};
    return LLM_OK;
}

static int32_t query(lvk_device *d, const lm_program_desc *desc, uint64_t *bytes)
{
    lvk_sizes sizes;
    LM_TRY(lhost_check_steps(&d->base, desc));
    lm_slot_place *places = LM_NEW_ARRAY(&d->books, lm_slot_place, desc->graph->n_slots);
    if (places == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lvk_measure(d, desc, places, &sizes);
    lm_free_array(&d->books, places, desc->graph->n_slots, sizeof *places);
    LM_TRY(rc);
    *bytes = sizes.workspace + sizes.args + sizes.run + sizes.shadow;
    return LLM_OK;
}

int32_t lvk_program_query(lm_device *device, const lm_program_desc *desc, uint64_t *bytes)
{
    lvk_device *d = (lvk_device *)device;
    lhost_lowered lowered;
    LM_TRY(lhost_lower(&d->books, desc, &lowered));
    int32_t rc = query(d, &lowered.desc, bytes);
    lhost_lowered_finish(&lowered);
    return rc;
}

/* --- creating --------------------------------------------------------------------------------- */

static int32_t keep_desc(lvk_program *p, const lm_program_desc *desc)
{
    const lm_graph *g = desc->graph;
    LM_TRY(lhost_bounds_init(&p->books, desc, &p->bounds));
    p->n_steps = desc->n_steps;
    p->n_slots = g->n_slots;
    p->n_outputs = desc->n_outputs;
    p->slots = lm_arena_copy(&p->books, g->slots, g->n_slots, sizeof *p->slots);
    p->places = lm_arena_array(&p->books, g->n_slots, sizeof *p->places);
    p->outputs = lm_arena_copy(&p->books, desc->outputs, desc->n_outputs, sizeof *p->outputs);
    p->shadow_at = lm_arena_array(&p->books, desc->n_outputs, sizeof *p->shadow_at);
    if (p->slots == NULL || p->places == NULL || p->outputs == NULL || p->shadow_at == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i < desc->network->n_groups; i++)
        p->caches[i] = desc->caches == NULL ? NULL : lvk_cache_of(desc->caches[i]);
    return LLM_OK;
}

static int32_t take_memory(lvk_program *p, const lvk_sizes *sizes)
{
    lvk_device *d = p->device;
    LM_TRY(lvk_take(d, LVK_DEVICE, sizes->workspace, true, &p->workspace));
    LM_TRY(lvk_take(d, LVK_DEVICE, sizes->args, true, &p->args));
    LM_TRY(lvk_take(d, LVK_HOST_WRITES, sizes->run, true, &p->run));
    if (sizes->shadow > 0)
        LM_TRY(lvk_take(d, LVK_HOST_READS, sizes->shadow, true, &p->shadow));
    uint64_t at = 0;
    for (uint32_t i = 0; i < p->n_outputs; i++) {
        uint64_t bytes = lvk_shadow_bytes(&p->slots[p->outputs[i]], &p->places[p->outputs[i]]);
        p->shadow_at[i] = p->shadow.block == NULL || bytes == 0 ? UINT64_MAX : at;
        at += bytes;
    }
    return LLM_OK;
}

/* Room for the command buffers of all buckets; they are recorded when a run needs them. */
static int32_t prepare_commands(lvk_program *p, const lvk_sizes *sizes)
{
    lvk_device *d = p->device;
    p->row_buckets = lvk_bucket_kinds(p->bounds.limits.rows);
    p->wanted_buckets = lvk_bucket_kinds(p->bounds.limits.wanted);
    p->max_parts = lvk_max_parts(d, &p->bounds.limits, sizes);
    size_t buckets = (size_t)p->row_buckets * p->wanted_buckets;
    p->recorded = lm_arena_array(&p->books, buckets, sizeof *p->recorded);
    VkCommandBuffer *parts = lm_arena_array(&p->books, buckets * p->max_parts, sizeof *parts);
    if (p->recorded == NULL || parts == NULL)
        return LLM_E_MEMORY;
    for (size_t i = 0; i < buckets; i++)
        p->recorded[i].parts = parts + i * p->max_parts;
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                    .queueFamilyIndex = d->family};
    LVK_TRY(d, d->calls.CreateCommandPool(d->device, &pool, NULL, &p->pool), "make a command pool");
    return LLM_OK;
}

static int32_t count_ranges(lvk_program *p)
{
    size_t ranges = 0;
    for (size_t i = 0; i < p->n_ops; i++)
        ranges += p->ops[i].n_ranges;
    p->hazards.capacity = ranges;
    p->hazards.ranges = lm_arena_array(&p->books, ranges, sizeof *p->hazards.ranges);
    return p->hazards.ranges == NULL ? LLM_E_MEMORY : LLM_OK;
}

static int32_t plan(lvk_program *p, const lm_program_desc *desc)
{
    lvk_sizes sizes;
    LM_TRY(lhost_check_steps(&p->device->base, desc));
    LM_TRY(lhost_check_refs(desc));
    LM_TRY(keep_desc(p, desc));
    LM_TRY(lvk_measure(p->device, desc, p->places, &sizes));
    LM_TRY(take_memory(p, &sizes));
    p->run_layout = sizes.run_layout;
    p->n_ops = sizes.n_ops;
    p->ops = lm_arena_array(&p->books, sizes.n_ops, sizeof *p->ops);
    if (p->ops == NULL)
        return LLM_E_MEMORY;
    LM_TRY(lvk_plan_program(p, desc, &sizes));
    LM_TRY(count_ranges(p));
    return prepare_commands(p, &sizes);
}

static int32_t fill(lvk_program *p, const lm_program_desc *desc)
{
    lhost_lowered lowered;
    LM_TRY(lhost_lower(&p->device->books, desc, &lowered));
    int32_t rc = plan(p, &lowered.desc);
    /* Times are told by the steps that the core knows. */
    for (size_t i = 0; rc >= 0 && i < p->n_ops && lowered.origin != NULL; i++)
        p->ops[i].step = lowered.origin[p->ops[i].step];
    lhost_lowered_finish(&lowered);
    p->n_steps = desc->n_steps;
    return rc;
}

int32_t lvk_program_create(lm_device *device, const lm_program_desc *desc, lm_program **out)
{
    lvk_device *d = (lvk_device *)device;
    LM_TRY(lvk_alive(d));
    lvk_program *p = LM_NEW(&d->books, lvk_program);
    if (p == NULL)
        return LLM_E_MEMORY;
    p->device = d;
    lm_arena_init(&p->books, &d->books);
    int32_t rc = fill(p, desc);
    if (rc < 0) {
        lvk_program_destroy(device, (lm_program *)(void *)p);
        return rc;
    }
    *out = (lm_program *)(void *)p;
    return LLM_OK;
}

void lvk_program_destroy(lm_device *device, lm_program *program)
{
    lvk_device *d = (lvk_device *)device;
    lvk_program *p = lvk_program_of(program);
    if (p == NULL)
        return;
    if (p->last_value > 0)
        d->calls.DeviceWaitIdle(d->device);
    if (p->queries != VK_NULL_HANDLE)
        d->calls.DestroyQueryPool(d->device, p->queries, NULL);
    if (p->pool != VK_NULL_HANDLE)
        d->calls.DestroyCommandPool(d->device, p->pool, NULL);
    lvk_give(d, &p->workspace, true);
    lvk_give(d, &p->args, true);
    lvk_give(d, &p->run, true);
    lvk_give(d, &p->shadow, true);
    lm_arena_finish(&p->books);
    LM_DELETE(&d->books, p);
}

/* --- running ---------------------------------------------------------------------------------- */

/* The program's last run is over. */
static int32_t settle(lvk_program *p)
{
    LM_TRY(lvk_alive(p->device));
    return p->last_value == 0 ? LLM_OK
                              : lvk_wait(p->device, p->last_semaphore, p->last_value, UINT64_MAX);
}

static int32_t submit(lvk_program *p, lm_queue *queue, VkCommandBuffer commands)
{
    LM_TRY(lvk_submit(p->device, commands, queue->semaphore, queue->value + 1));
    p->last_semaphore = queue->semaphore;
    p->last_value = ++queue->value;
    return LLM_OK;
}

int32_t lvk_program_run(lm_device *device, lm_queue *queue, lm_program *program, const lm_run *run)
{
    lvk_program *p = lvk_program_of(program);
    (void)device;
    LM_TRY(settle(p));
    LM_TRY(lhost_run_check(&p->bounds, run));
    lvk_write_run(p, run);
    lvk_bucket bucket = lvk_bucket_for(p, run);
    const lvk_recorded *r;
    lvk_recorded timed = {&p->timed, 1};
    if (p->profiling) {
        LM_TRY(lvk_record_timed(p, &bucket));
        r = &timed;
    } else {
        LM_TRY(lvk_record(p, &bucket, &r));
    }
    for (uint32_t i = 0; i < r->n_parts; i++) {
        /* A part is long: the next one is only given when it is over, so that a host may stop it. */
        if (i > 0)
            LM_TRY(settle(p));
        if (run->cancel != NULL && atomic_load(run->cancel) != 0)
            return lm_fail(LLM_E_CANCELLED, "cancelled before part %u of the run", (unsigned)i);
        LM_TRY(submit(p, queue, r->parts[i]));
    }
    p->was_timed = p->profiling;
    return LLM_OK;
}

/* --- slots ------------------------------------------------------------------------------------ */

int32_t lvk_slot_write(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                       const void *from, size_t size)
{
    lvk_program *p = lvk_program_of(program);
    (void)queue;
    LM_TRY(lhost_slot_check(p->places, p->n_slots, slot, size));
    LM_TRY(settle(p));
    return lvk_upload((lvk_device *)device, &p->workspace, p->places[slot].offset, from, size);
}

/* Where the host reads a slot: in the workspace, or in the copy of an output. */
static uint8_t *visible(const lvk_program *p, uint32_t slot)
{
    if (p->workspace.host != NULL && p->workspace.cached)
        return p->workspace.host + p->places[slot].offset;
    for (uint32_t i = 0; i < p->n_outputs; i++)
        if (p->outputs[i] == slot && p->shadow_at[i] != UINT64_MAX)
            return p->shadow.host + p->shadow_at[i];
    return NULL;
}

int32_t lvk_slot_read(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                      void *into, size_t size)
{
    lvk_program *p = lvk_program_of(program);
    (void)queue;
    LM_TRY(lhost_slot_check(p->places, p->n_slots, slot, size));
    LM_TRY(settle(p));
    const uint8_t *host = visible(p, slot);
    if (host == NULL)
        return lvk_download((lvk_device *)device, &p->workspace, p->places[slot].offset, into,
                            size);
    memcpy(into, host, size);
    return LLM_OK;
}

void *lvk_slot_host(lm_device *device, lm_program *program, uint32_t slot)
{
    const lvk_program *p = lvk_program_of(program);
    (void)device;
    if (slot >= p->n_slots || p->places[slot].offset == UINT64_MAX)
        return NULL;
    return visible(p, slot);
}
