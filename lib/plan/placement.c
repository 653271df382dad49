/* placement.c - which layer lives on which device, and the graph cut and lowered accordingly. */
#include "plan/plan.h"

#include "base/checked.h"

#include <string.h>

static const lm_network *network_of(const lm_placement *p)
{
    return &p->model->network;
}

/* --- devices ---------------------------------------------------------------------------------- */

static int32_t open_devices(lm_placement *p, lm_registry *registry, const lm_device_name *names,
                            uint32_t n_names)
{
    size_t n_weights = network_of(p)->n_weights;
    for (uint32_t i = 0; i < n_names; i++) {
        lm_placed_device *d = &p->devices[i];
        d->name = names[i];
        LM_TRY(lm_registry_open(registry, &names[i], &d->device));
        p->n_devices++;
        d->weights = LM_ARENA_ARRAY(&p->arena, lm_weight *, n_weights);
        d->needs = LM_ARENA_ARRAY(&p->arena, bool, n_weights);
        if (d->weights == NULL || d->needs == NULL)
            return LLM_E_MEMORY;
    }
    return LLM_OK;
}

/* --- layers to devices ------------------------------------------------------------------------ */

typedef struct weight_sum {
    lm_placement *p;
    uint32_t device;
    bool *seen; /* weights counted already on this device */
    uint64_t bytes;
    int32_t status;
} weight_sum;

static bool is_mapped(const lm_placement *p, uint32_t weight)
{
    return lm_gguf_data(p->model->gguf, p->model->sources[weight].tensor) != NULL;
}

static void count_weight(void *user, uint32_t weight)
{
    weight_sum *sum = user;
    if (weight == LM_NONE || sum->seen[weight] || sum->status < 0)
        return;
    sum->seen[weight] = true;
    const lm_weight_desc *desc = &network_of(sum->p)->weights[weight];
    lm_device *device = sum->p->devices[sum->device].device;
    lm_weight_plan plan;
    int32_t rc = device->backend->weight_query(device, desc, is_mapped(sum->p, weight), &plan);
    if (rc >= 0 && plan.support == LM_SUPPORT_NO)
        rc = lm_fail(LLM_E_UNSUPPORTED, "%s cannot hold '%s' (%s)", device->backend->name,
                     desc->name, desc->format->name);
    if (rc < 0)
        sum->status = rc;
    else
        sum->bytes += plan.bytes;
}

/* The bytes a step adds to a device. */
static int32_t step_bytes(lm_placement *p, uint32_t device, const lm_step *step, bool *seen,
                          uint64_t *bytes)
{
    weight_sum sum = {p, device, seen, 0, LLM_OK};
    lm_step_each_weight(step, count_weight, &sum);
    *bytes = sum.bytes;
    return sum.status;
}

static int32_t device_room(const lm_placement *p, uint32_t device, uint64_t *room)
{
    const lm_placed_device *d = &p->devices[device];
    lm_device_info info;
    LM_TRY(d->device->backend->info(d->device, &info));
    *room = d->name.budget != 0     ? d->name.budget
            : info.memory_free != 0 ? info.memory_free
                                    : UINT64_MAX;
    return LLM_OK;
}

/* The layer a step is placed with: what precedes the first layer goes with it, and what follows the last
 * with that one. */
static uint32_t unit_of(const lm_network *n, const lm_step *step, bool behind)
{
    if (step->layer != 0xffff)
        return step->layer;
    return behind ? n->n_layers - 1 : 0;
}

/* The steps from `at` on that are placed together, and what they add to a device. */
static int32_t measure_unit(lm_placement *p, uint32_t device, size_t at, bool *behind, bool *seen,
                            size_t *end, uint64_t *bytes)
{
    const lm_network *n = network_of(p);
    uint32_t unit = unit_of(n, &n->decode.steps[at], *behind);
    *bytes = 0;
    for (*end = at; *end < n->decode.n_steps; ++*end) {
        const lm_step *step = &n->decode.steps[*end];
        uint64_t part;
        if (unit_of(n, step, *behind) != unit)
            break;
        *behind |= step->layer != 0xffff;
        LM_TRY(step_bytes(p, device, step, seen, &part));
        *bytes += part;
    }
    return LLM_OK;
}

/* Fills devices in order, each with whole layers. */
static int32_t assign_layers(lm_placement *p)
{
    const lm_network *n = network_of(p);
    bool *seen = LM_ARENA_ARRAY(&p->arena, bool, n->n_weights);
    p->layer_device = LM_ARENA_ARRAY(&p->arena, uint32_t, n->n_layers);
    if (seen == NULL || p->layer_device == NULL)
        return LLM_E_MEMORY;
    uint32_t device = 0;
    uint64_t room, used = 0;
    bool behind = false;
    LM_TRY(device_room(p, device, &room));
    for (size_t at = 0; at < n->decode.n_steps;) {
        uint32_t unit = unit_of(n, &n->decode.steps[at], behind);
        bool behind_end = behind;
        size_t end;
        uint64_t bytes;
        LM_TRY(measure_unit(p, device, at, &behind_end, seen, &end, &bytes));
        bool fits = bytes <= room - (used < room ? used : room);
        if (!fits && device + 1 < p->n_devices) {
            device++;
            used = 0;
            memset(seen, 0, n->n_weights * sizeof *seen);
            LM_TRY(device_room(p, device, &room));
            continue;
        }
        if (!fits && p->devices[device].name.budget != 0)
            return lm_fail(
                LLM_E_BUDGET,
                "layer %u does not fit: %s:%u may hold %llu bytes; add a device or budget",
                (unsigned)unit, p->devices[device].name.backend,
                (unsigned)p->devices[device].name.index, (unsigned long long)room);
        used += bytes;
        p->layer_device[unit] = device;
        at = end;
        behind = behind_end;
    }
    return LLM_OK;
}

/* --- cutting and lowering --------------------------------------------------------------------- */

/* Does the device take the step? One it takes without exact numerics makes the model not exact. */
static int32_t ask(lm_placement *p, uint32_t device, const lm_step *step, bool *takes)
{
    lm_device *d = p->devices[device].device;
    lm_step_support support = {0, 0};
    LM_TRY(d->backend->step_query(d, network_of(p), step, &support));
    *takes = support.support != LM_SUPPORT_NO;
    if (*takes)
        p->exact &= (support.numerics & LM_NUMERICS_EXACT) != 0;
    else if (!lm_step_is_coarse(step->kind))
        return lm_fail(LLM_E_UNSUPPORTED, "%s cannot run the step '%s'", d->backend->name,
                       lm_step_name(step->kind));
    return LLM_OK;
}

static int32_t lower_step(lm_placement *p, lm_builder *b, uint32_t device, const lm_step *step)
{
    bool takes;
    LM_TRY(ask(p, device, step, &takes));
    if (takes) {
        b->layer = step->layer;
        lm_build_step(b, step);
        return lm_builder_status(b);
    }
    size_t first = b->graph->n_steps;
    LM_TRY(lm_lower(b, step));
    for (size_t i = first; i < b->graph->n_steps; i++)
        LM_TRY(ask(p, device, &b->graph->steps[i], &takes));
    return LLM_OK;
}

/* Behind the logits: the best of each row, where bringing home all of them would cost. */
static int32_t add_best(lm_placement *p, lm_builder *b, uint32_t device)
{
    lm_device *d = p->devices[device].device;
    const lm_slot_info *result = &p->graph.slots[p->graph.result];
    lm_device_info info;
    lm_step_support support;
    p->best_ids = p->best_values = LM_NONE;
    LM_TRY(d->backend->info(d, &info));
    if (info.host_memory || !network_of(p)->causal || result->rows != LM_ROWS_WANTED ||
        result->width <= LM_BEST)
        return LLM_OK;
    lm_step step = {.kind = LM_STEP_BEST,
                    .layer = 0xffff,
                    .in = {p->graph.result, LM_NONE, LM_NONE},
                    .out = {LM_NONE, LM_NONE}};
    LM_TRY(d->backend->step_query(d, network_of(p), &step, &support));
    if (support.support == LM_SUPPORT_NO)
        return LLM_OK;
    step.out[0] = p->best_ids = lm_build_slot(b, LM_BEST, LM_ROWS_WANTED, LM_SLOT_I32);
    step.out[1] = p->best_values = lm_build_slot(b, LM_BEST, LM_ROWS_WANTED, LM_SLOT_F32);
    b->layer = step.layer;
    lm_build_step(b, &step);
    return lm_builder_status(b);
}

/* Copies the slots of the decode graph, then its steps lowered; notes each step's device. */
static int32_t lower_graph(lm_placement *p, uint32_t **step_device)
{
    const lm_graph *from = &network_of(p)->decode;
    lm_builder b;
    lm_graph_init(&p->graph, from->name);
    lm_builder_init(&b, &p->model->network, &p->graph);
    for (size_t i = 0; i < from->n_slots; i++)
        lm_build_slot(&b, from->slots[i].width, from->slots[i].rows, from->slots[i].type);
    p->graph.result = from->result;
    p->exact = true;
    size_t capacity = 0;
    *step_device = NULL;
    bool behind = false;
    int32_t rc = LLM_OK;
    for (size_t i = 0; i < from->n_steps && rc >= 0; i++) {
        behind |= from->steps[i].layer != 0xffff;
        uint32_t device = p->layer_device[unit_of(network_of(p), &from->steps[i], behind)];
        size_t first = p->graph.n_steps;
        rc = lower_step(p, &b, device, &from->steps[i]);
        if (rc >= 0)
            rc = lm_grow(p->alloc, (void **)step_device, &capacity, p->graph.n_steps,
                         sizeof **step_device);
        for (size_t k = first; rc >= 0 && k < p->graph.n_steps; k++)
            (*step_device)[k] = device;
    }
    if (rc >= 0 && p->graph.n_steps > 0) {
        uint32_t device = (*step_device)[p->graph.n_steps - 1];
        rc = add_best(p, &b, device);
        if (rc >= 0)
            rc = lm_grow(p->alloc, (void **)step_device, &capacity, p->graph.n_steps,
                         sizeof **step_device);
        if (rc >= 0)
            (*step_device)[p->graph.n_steps - 1] = device;
    }
    uint32_t *kept = NULL;
    if (rc >= 0) {
        kept = LM_ARENA_ARRAY(&p->arena, uint32_t, p->graph.n_steps);
        if (kept == NULL)
            rc = LLM_E_MEMORY;
        else
            memcpy(kept, *step_device, p->graph.n_steps * sizeof *kept);
    }
    lm_free_array(p->alloc, *step_device, capacity, sizeof **step_device);
    *step_device = kept;
    return rc;
}

/* Is the slot written (or read) by the steps in [first, last)? */
static bool touches(const lm_graph *g, size_t first, size_t last, uint32_t slot, bool written)
{
    for (size_t i = first; i < last; i++) {
        uint32_t count = written ? LM_STEP_OUTS : LM_STEP_INS;
        const uint32_t *slots = written ? g->steps[i].out : g->steps[i].in;
        for (uint32_t k = 0; k < count; k++)
            if (slots[k] == slot)
                return true;
    }
    return false;
}

/* Slots read inside before they are written there come from outside; slots written inside and read later,
 * or the result, go out. */
static int32_t find_borders(lm_placement *p, lm_segment *s)
{
    const lm_graph *g = &p->graph;
    size_t last = s->first_step + s->n_steps;
    s->inputs = LM_ARENA_ARRAY(&p->arena, uint32_t, p->n_segments == 1 ? 1 : g->n_slots);
    s->outputs = LM_ARENA_ARRAY(&p->arena, uint32_t, p->n_segments == 1 ? 3 : g->n_slots);
    if (s->inputs == NULL || s->outputs == NULL)
        return LLM_E_MEMORY;
    if (p->n_segments == 1) {
        s->outputs[s->n_outputs++] = g->result;
        if (p->best_ids != LM_NONE) {
            s->outputs[s->n_outputs++] = p->best_ids;
            s->outputs[s->n_outputs++] = p->best_values;
        }
        return LLM_OK;
    }
    for (uint32_t slot = 0; slot < g->n_slots; slot++) {
        bool inside = touches(g, s->first_step, last, slot, true);
        bool before = touches(g, 0, s->first_step, slot, true);
        if (before && touches(g, s->first_step, last, slot, false))
            s->inputs[s->n_inputs++] = slot;
        bool wanted = slot == g->result || slot == p->best_ids || slot == p->best_values;
        if (inside && (wanted || touches(g, last, g->n_steps, slot, false)))
            s->outputs[s->n_outputs++] = slot;
    }
    return LLM_OK;
}

static int32_t cut_segments(lm_placement *p, const uint32_t *step_device)
{
    size_t n_steps = p->graph.n_steps;
    for (size_t i = 0; i < n_steps; i++)
        p->n_segments += i == 0 || step_device[i] != step_device[i - 1];
    p->segments = LM_ARENA_ARRAY(&p->arena, lm_segment, p->n_segments);
    if (p->segments == NULL)
        return LLM_E_MEMORY;
    uint32_t at = 0;
    for (size_t i = 0; i < n_steps; i++) {
        if (i > 0 && step_device[i] != step_device[i - 1])
            at++;
        lm_segment *s = &p->segments[at];
        if (s->n_steps++ == 0) {
            s->device = step_device[i];
            s->first_step = i;
        }
    }
    for (uint32_t i = 0; i < p->n_segments; i++)
        LM_TRY(find_borders(p, &p->segments[i]));
    return LLM_OK;
}

/* --- what each device holds ------------------------------------------------------------------- */

static void mark_weight(void *user, uint32_t weight)
{
    if (weight != LM_NONE)
        ((bool *)user)[weight] = true;
}

static int32_t sum_weights(lm_placement *p)
{
    for (uint32_t i = 0; i < p->n_segments; i++) {
        const lm_segment *s = &p->segments[i];
        for (size_t k = 0; k < s->n_steps; k++)
            lm_step_each_weight(&p->graph.steps[s->first_step + k], mark_weight,
                                p->devices[s->device].needs);
    }
    for (uint32_t i = 0; i < p->n_devices; i++) {
        lm_placed_device *d = &p->devices[i];
        for (uint32_t w = 0; w < network_of(p)->n_weights; w++) {
            if (!d->needs[w])
                continue;
            const lm_weight_desc *desc = &network_of(p)->weights[w];
            lm_weight_plan plan;
            LM_TRY(d->device->backend->weight_query(d->device, desc, is_mapped(p, w), &plan));
            if (plan.support == LM_SUPPORT_NO)
                return lm_fail(LLM_E_UNSUPPORTED, "%s cannot hold '%s' (%s)", d->name.backend,
                               desc->name, desc->format->name);
            d->weight_bytes += plan.bytes;
            d->mapped_bytes += plan.bytes == 0 ? desc->bytes : 0;
        }
    }
    return LLM_OK;
}

uint64_t lm_placement_weight_bytes(const lm_placement *p)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->n_devices; i++)
        bytes += p->devices[i].weight_bytes;
    return bytes;
}

int32_t lm_placement_create(lm_allocator *alloc, lm_registry *registry, lm_model *model,
                            const lm_device_name *names, uint32_t n_names, uint64_t budget,
                            lm_placement **out)
{
    LM_TRY(lm_model_need_network(model));
    lm_placement *p = LM_NEW(alloc, lm_placement);
    if (p == NULL)
        return LLM_E_MEMORY;
    p->alloc = alloc;
    p->model = model;
    p->budget = budget;
    lm_arena_init(&p->arena, alloc);
    int32_t rc;
    LM_GO(lm_os_mutex_init(alloc, &p->turn));
    uint32_t *step_device;
    LM_GO(open_devices(p, registry, names, n_names));
    LM_GO(assign_layers(p));
    LM_GO(lower_graph(p, &step_device));
    LM_GO(lm_graph_check(&model->network, &p->graph));
    LM_GO(cut_segments(p, step_device));
    LM_GO(sum_weights(p));
    *out = p;
    return LLM_OK;
out:
    lm_placement_destroy(p);
    return rc;
}
