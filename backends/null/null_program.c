/* null_program.c - programs of the null backend: what they would take, and the slots that cross
 * their borders. A read is filled by a wait, not before: the bytes are spoiled until then. */
#include "backends/common/host_refs.h"
#include "backends/null/null_device.h"

#include <string.h>

static lnull_device *of(lm_device *device)
{
    return (lnull_device *)device;
}

int32_t lnull_step_query(lm_device *device, const lm_network *network, const lm_step *step,
                         lm_step_support *out)
{
    (void)network;
    LM_TRY(lnull_note(device, LNULL_STEP_QUERY, step->kind, step->layer, 0));
    bool known =
        step->kind < LM_STEP_COUNT && (of(device)->coarse || !lm_step_is_coarse(step->kind));
    *out = (lm_step_support){known ? LM_SUPPORT_NATIVE : LM_SUPPORT_NO,
                             known ? LM_NUMERICS_EXACT | LM_NUMERICS_FAST : 0};
    return LLM_OK;
}

static int32_t plan_program(lnull_device *d, const lm_program_desc *desc, uint64_t *bytes)
{
    lm_slot_place *places = LM_NEW_ARRAY(&d->books, lm_slot_place, desc->graph->n_slots);
    if (places == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lm_slots_place(&d->books, desc->graph, desc->steps, desc->n_steps, desc->outputs,
                                desc->n_outputs, &desc->limits, places, bytes);
    lm_free_array(&d->books, places, desc->graph->n_slots, sizeof *places);
    return rc;
}

int32_t lnull_program_query(lm_device *device, const lm_program_desc *desc, uint64_t *bytes)
{
    LM_TRY(lnull_note(device, LNULL_PROGRAM_QUERY, (uint32_t)desc->n_steps, 0, 0));
    return plan_program(of(device), desc, bytes);
}

/* --- creating --------------------------------------------------------------------------------- */

uint64_t lnull_slot_bytes(const lm_program *p, uint32_t slot)
{
    const uint32_t rows[] = {p->bounds.limits.rows, p->bounds.limits.wanted, p->bounds.limits.seqs};
    return (uint64_t)rows[p->slots[slot].rows] * p->slots[slot].width * sizeof(float);
}

static int32_t make_slots(lm_program *p, const uint32_t *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        lm_check(list[i] < p->n_slots);
        if (p->values[list[i]] == NULL)
            p->values[list[i]] =
                lm_arena_alloc(&p->books, (size_t)lnull_slot_bytes(p, list[i]) + 1);
        if (p->values[list[i]] == NULL)
            return LLM_E_MEMORY;
    }
    return LLM_OK;
}

static int32_t check_steps(lnull_device *d, const lm_program_desc *desc)
{
    for (size_t i = 0; i < desc->n_steps; i++) {
        uint32_t kind = desc->steps[i].kind;
        lm_check(kind < LM_STEP_COUNT && (d->coarse || !lm_step_is_coarse(kind)));
    }
    return lhost_check_refs(desc);
}

static int32_t fill(const lm_program_desc *desc, lm_program *p)
{
    LM_TRY(lhost_bounds_init(&p->books, desc, &p->bounds));
    p->n_steps = desc->n_steps;
    p->n_slots = desc->graph->n_slots;
    p->result = desc->graph->result;
    p->n_inputs = desc->n_inputs;
    p->n_outputs = desc->n_outputs;
    p->steps = lm_arena_copy(&p->books, desc->steps, desc->n_steps, sizeof *p->steps);
    p->slots = lm_arena_copy(&p->books, desc->graph->slots, p->n_slots, sizeof *p->slots);
    p->inputs = lm_arena_copy(&p->books, desc->inputs, desc->n_inputs, sizeof *p->inputs);
    p->outputs = lm_arena_copy(&p->books, desc->outputs, desc->n_outputs, sizeof *p->outputs);
    p->values = lm_arena_array(&p->books, p->n_slots, sizeof *p->values);
    p->rows = lm_arena_array(&p->books, desc->limits.rows, sizeof *p->rows);
    p->sums = lm_arena_array(&p->books, desc->limits.rows, sizeof *p->sums);
    if (p->steps == NULL || p->slots == NULL || p->inputs == NULL || p->outputs == NULL ||
        p->values == NULL || p->rows == NULL || p->sums == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i < desc->network->n_groups; i++)
        p->caches[i] = desc->caches[i];
    LM_TRY(make_slots(p, p->inputs, p->n_inputs));
    return make_slots(p, p->outputs, p->n_outputs);
}

int32_t lnull_program_create(lm_device *device, const lm_program_desc *desc, lm_program **out)
{
    lnull_device *d = of(device);
    LM_TRY(lnull_note(device, LNULL_PROGRAM_CREATE, (uint32_t)desc->n_steps, desc->n_inputs,
                      desc->n_outputs));
    LM_TRY(check_steps(d, desc));
    lm_program *p = LM_NEW(&d->books, lm_program);
    if (p == NULL)
        return LLM_E_MEMORY;
    lm_arena_init(&p->books, &d->books);
    int32_t rc;
    LM_GO(fill(desc, p));
    LM_GO(plan_program(d, desc, &p->pretended));
    LM_GO(lnull_take(d, p->pretended));
    *out = p;
    return LLM_OK;
out:
    lm_arena_finish(&p->books);
    LM_DELETE(&d->books, p);
    return rc;
}

void lnull_program_destroy(lm_device *device, lm_program *program)
{
    lnull_device *d = of(device);
    if (program == NULL)
        return;
    (void)lnull_note(device, LNULL_PROGRAM_DESTROY, 0, 0, 0);
    lnull_deliver(d);
    lnull_give(d, program->pretended);
    lm_arena_finish(&program->books);
    LM_DELETE(&d->books, program);
}

/* --- slots ------------------------------------------------------------------------------------ */

static bool listed(const uint32_t *list, uint32_t count, uint32_t slot)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == slot)
            return true;
    return false;
}

static int32_t check_slot(const lm_program *p, bool known, uint32_t slot, size_t size)
{
    if (!known)
        return lm_fail(LLM_E_INVALID, "slot %u does not cross this border", (unsigned)slot);
    if (size > lnull_slot_bytes(p, slot))
        return lm_fail(LLM_E_INVALID, "%llu bytes for slot %u of %llu", (unsigned long long)size,
                       (unsigned)slot, (unsigned long long)lnull_slot_bytes(p, slot));
    return LLM_OK;
}

int32_t lnull_slot_write(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                         const void *from, size_t size)
{
    (void)queue;
    LM_TRY(lnull_note(device, LNULL_SLOT_WRITE, slot, (uint32_t)size, 0));
    LM_TRY(check_slot(program, listed(program->inputs, program->n_inputs, slot), slot, size));
    lnull_deliver(of(device));
    memcpy(program->values[slot], from, size);
    return LLM_OK;
}

int32_t lnull_slot_read(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                        void *into, size_t size)
{
    lnull_device *d = of(device);
    (void)queue;
    LM_TRY(lnull_note(device, LNULL_SLOT_READ, slot, (uint32_t)size, 0));
    LM_TRY(check_slot(program, listed(program->outputs, program->n_outputs, slot), slot, size));
    if (d->n_pending == LNULL_PENDING)
        lnull_deliver(d);
    memset(into, 0xff, size);
    d->pending[d->n_pending++] = (lnull_pending){program, slot, into, size};
    return LLM_OK;
}

void lnull_deliver(lnull_device *d)
{
    for (uint32_t i = 0; i < d->n_pending; i++) {
        const lnull_pending *p = &d->pending[i];
        memcpy(p->into, p->program->values[p->slot], p->size);
    }
    d->n_pending = 0;
}

void *lnull_slot_host(lm_device *device, lm_program *program, uint32_t slot)
{
    if (!of(device)->host_memory || slot >= program->n_slots)
        return NULL;
    return program->values[slot];
}
