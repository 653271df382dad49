/* host_program.c - planning, creating and running programs in host memory. */
#include "backends/common/host_program.h"

#include "backends/common/host_lower.h"
#include "backends/common/host_refs.h"
#include "base/checked.h"
#include "base/os.h"

#include <string.h>

/* --- which steps ------------------------------------------------------------------------------ */

int32_t lhost_step_query(lm_device *device, const lm_network *network, const lm_step *step,
                         lm_step_support *out)
{
    const lhost_device *d = (const lhost_device *)device;
    (void)network;
    *out = (lm_step_support){LM_SUPPORT_NO, 0};
    if (step->kind >= LM_STEP_COUNT || d->kind->steps[step->kind].run == NULL)
        return LLM_OK;
    if (!lhost_step_form(step))
        return LLM_OK;
    *out = (lm_step_support){LM_SUPPORT_NATIVE, LM_NUMERICS_EXACT | LM_NUMERICS_FAST};
    return LLM_OK;
}

/* --- the workspace ---------------------------------------------------------------------------- */

typedef struct layout {
    uint64_t scratch_at, extra_at, bytes;
} layout;

static int32_t plan_layout(const lhost_device *d, const lm_program_desc *desc, uint64_t slot_bytes,
                           uint32_t *tags, layout *out)
{
    uint64_t scratch = 0;
    for (size_t i = 0; i < desc->n_steps; i++) {
        const lhost_step_class *class = &d->kind->steps[desc->steps[i].kind];
        uint64_t wanted = class->scratch == NULL ? 0 : class->scratch(d, desc, &desc->steps[i]);
        scratch = wanted > scratch ? wanted : scratch;
    }
    uint64_t extra = d->kind->plan == NULL ? 0 : d->kind->plan(d, desc, tags);
    bool ok = lm_align_u64(slot_bytes, LM_ALIGN, &out->scratch_at) &&
              lm_add_u64(out->scratch_at, scratch, &out->extra_at) &&
              lm_align_u64(out->extra_at, LM_ALIGN, &out->extra_at) &&
              lm_add_u64(out->extra_at, extra, &out->bytes) && lm_fits_size(out->bytes);
    if (!ok)
        return lm_fail(LLM_E_LIMIT, "the workspace of the steps would not fit in memory");
    if (out->bytes == 0)
        out->bytes = LM_ALIGN;
    return LLM_OK;
}

static int32_t place_slots(lhost_device *d, const lm_program_desc *desc, lm_slot_place *places,
                           uint64_t *bytes)
{
    return lm_slots_place(&d->books, desc->graph, desc->steps, desc->n_steps, desc->outputs,
                          desc->n_outputs, &desc->limits, places, bytes);
}

static int32_t query(lhost_device *d, const lm_program_desc *desc, uint64_t *bytes)
{
    LM_TRY(lhost_check_steps(&d->base, desc));
    lm_slot_place *places = LM_NEW_ARRAY(&d->books, lm_slot_place, desc->graph->n_slots);
    if (places == NULL)
        return LLM_E_MEMORY;
    uint64_t slot_bytes;
    layout l;
    int32_t rc = place_slots(d, desc, places, &slot_bytes);
    if (rc == LLM_OK)
        rc = plan_layout(d, desc, slot_bytes, NULL, &l);
    lm_free_array(&d->books, places, desc->graph->n_slots, sizeof *places);
    LM_TRY(rc);
    *bytes = l.bytes;
    return LLM_OK;
}

int32_t lhost_program_query(lm_device *device, const lm_program_desc *desc, uint64_t *bytes)
{
    lhost_device *d = (lhost_device *)device;
    lhost_lowered lowered;
    LM_TRY(lhost_lower(&d->books, desc, &lowered));
    int32_t rc = query(d, &lowered.desc, bytes);
    lhost_lowered_finish(&lowered);
    return rc;
}

/* --- creating --------------------------------------------------------------------------------- */

static int32_t copy_desc(lm_program *p, const lm_program_desc *desc, const uint32_t *origin,
                         size_t n_origins)
{
    const lm_graph *g = desc->graph;
    LM_TRY(lhost_bounds_init(&p->books, desc, &p->bounds));
    p->n_steps = desc->n_steps;
    p->n_slots = g->n_slots;
    p->n_inputs = desc->n_inputs;
    p->steps = lm_arena_copy(&p->books, desc->steps, desc->n_steps, sizeof *p->steps);
    p->slots = lm_arena_copy(&p->books, g->slots, g->n_slots, sizeof *p->slots);
    p->weights =
        lm_arena_copy(&p->books, desc->weights, desc->network->n_weights, sizeof *p->weights);
    p->inputs = lm_arena_copy(&p->books, desc->inputs, desc->n_inputs, sizeof *p->inputs);
    p->tags = lm_arena_array(&p->books, desc->n_steps, sizeof *p->tags);
    p->origin = lm_arena_copy(&p->books, origin, desc->n_steps, sizeof *p->origin);
    p->step_ns = lm_arena_array(&p->books, n_origins, sizeof *p->step_ns);
    p->n_origins = n_origins;
    p->places = lm_arena_array(&p->books, g->n_slots, sizeof *p->places);
    for (uint32_t i = 0; i < desc->network->n_groups; i++)
        p->caches[i] = desc->caches == NULL ? NULL : desc->caches[i];
    bool ok = p->steps != NULL && p->slots != NULL && p->weights != NULL && p->inputs != NULL &&
              p->tags != NULL && p->origin != NULL && p->step_ns != NULL && p->places != NULL;
    for (size_t i = 0; ok && origin == NULL && i < desc->n_steps; i++)
        p->origin[i] = (uint32_t)i;
    return ok ? LLM_OK : LLM_E_MEMORY;
}

static int32_t fill(lhost_device *d, const lhost_lowered *lowered, size_t n_origins, lm_program *p)
{
    const lm_program_desc *desc = &lowered->desc;
    LM_TRY(lhost_check_steps(&d->base, desc));
    LM_TRY(lhost_check_refs(desc));
    LM_TRY(copy_desc(p, desc, lowered->origin, n_origins));
    uint64_t slot_bytes;
    layout l;
    LM_TRY(place_slots(d, desc, p->places, &slot_bytes));
    LM_TRY(plan_layout(d, desc, slot_bytes, p->tags, &l));
    p->workspace = lm_alloc_zero(&d->memory, (size_t)l.bytes);
    if (p->workspace == NULL)
        return LLM_E_MEMORY;
    p->workspace_bytes = l.bytes;
    p->scratch_at = l.scratch_at;
    p->extra_at = l.extra_at;
    return LLM_OK;
}

int32_t lhost_program_create(lm_device *device, const lm_program_desc *desc, lm_program **out)
{
    lhost_device *d = (lhost_device *)device;
    lhost_lowered lowered;
    LM_TRY(lhost_lower(&d->books, desc, &lowered));
    lm_program *p = LM_NEW(&d->books, lm_program);
    int32_t rc = LLM_E_MEMORY;
    if (p != NULL) {
        lm_arena_init(&p->books, &d->books);
        rc = fill(d, &lowered, desc->n_steps, p);
    }
    lhost_lowered_finish(&lowered);
    if (rc < 0) {
        lhost_program_destroy(device, p);
        return rc;
    }
    *out = p;
    return LLM_OK;
}

void lhost_program_destroy(lm_device *device, lm_program *program)
{
    lhost_device *d = (lhost_device *)device;
    if (program == NULL)
        return;
    if (program->workspace != NULL)
        lm_free(&d->memory, program->workspace, (size_t)program->workspace_bytes);
    lm_arena_finish(&program->books);
    LM_DELETE(&d->books, program);
}

/* --- running ---------------------------------------------------------------------------------- */

static int32_t run_step(lhost_run *r)
{
    lm_program *p = r->program;
    const lm_step *step = &p->steps[r->index];
    uint64_t start = p->profiling ? lm_os_now_ns() : 0;
    LM_TRY(r->device->kind->steps[step->kind].run(r, step));
    if (p->profiling)
        p->step_ns[p->origin[r->index]] += lm_os_now_ns() - start;
    return LLM_OK;
}

static int32_t run_steps(lhost_run *r)
{
    if (r->device->kind->begin != NULL)
        LM_TRY(r->device->kind->begin(r));
    for (; r->index < r->program->n_steps; r->index++) {
        if (r->run->cancel != NULL && atomic_load(r->run->cancel) != 0)
            return lm_fail(LLM_E_CANCELLED, "cancelled before step %llu",
                           (unsigned long long)r->index);
        LM_TRY(run_step(r));
    }
    return LLM_OK;
}

int32_t lhost_program_run(lm_device *device, lm_queue *queue, lm_program *program,
                          const lm_run *run)
{
    lhost_run r = {(lhost_device *)device, program, run, 0};
    (void)queue;
    LM_TRY(lhost_run_check(&program->bounds, run));
    if (program->profiling)
        memset(program->step_ns, 0, program->n_origins * sizeof *program->step_ns);
    bool spread = lm_os_spread_on();
    int32_t rc = run_steps(&r);
    lm_os_spread_off(spread);
    return rc;
}

int32_t lhost_slot_write(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                         const void *from, size_t size)
{
    (void)device;
    (void)queue;
    LM_TRY(lhost_slot_check(program->places, program->n_slots, slot, size));
    memcpy(program->workspace + program->places[slot].offset, from, size);
    return LLM_OK;
}

int32_t lhost_slot_read(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                        void *into, size_t size)
{
    (void)device;
    (void)queue;
    LM_TRY(lhost_slot_check(program->places, program->n_slots, slot, size));
    memcpy(into, program->workspace + program->places[slot].offset, size);
    return LLM_OK;
}

void *lhost_slot_host(lm_device *device, lm_program *program, uint32_t slot)
{
    (void)device;
    if (slot >= program->n_slots || program->places[slot].offset == UINT64_MAX)
        return NULL;
    return program->workspace + program->places[slot].offset;
}

int32_t lhost_profile(lm_device *device, lm_program *program, bool on, size_t index, uint64_t *ns)
{
    (void)device;
    program->profiling = on;
    if (ns == NULL)
        return LLM_OK;
    if (index >= program->n_origins)
        return lm_fail(LLM_E_INVALID, "step %llu of %llu", (unsigned long long)index,
                       (unsigned long long)program->n_origins);
    *ns = program->step_ns[index];
    return LLM_OK;
}
