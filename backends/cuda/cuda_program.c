/* cuda_program.c - planning, creating and destroying programs. */
#include "backends/cuda/program.h"

#include "backends/common/host_lower.h"
#include "backends/common/host_refs.h"
#include "base/checked.h"

#include <string.h>

/* --- which steps ------------------------------------------------------------------------------ */

int32_t lcu_step_query(lm_device *device, const lm_network *network, const lm_step *step,
                       lm_step_support *out)
{
    (void)device;
    (void)network;
    *out = (lm_step_support){LM_SUPPORT_NO, 0};
    if (step->kind >= LM_STEP_COUNT || lcu_steps[step->kind].plan == NULL || !lhost_step_form(step))
        return LLM_OK;
    *out = (lm_step_support){LM_SUPPORT_NATIVE, LM_NUMERICS_EXACT | LM_NUMERICS_FAST};
    return LLM_OK;
}

/* --- the workspace ---------------------------------------------------------------------------- */

typedef struct layout {
    uint64_t run_bytes, slot_bytes;
    uint64_t slots_at, scratch_at, kept_at, bytes;
    uint32_t n_launches, args_bytes, embedding_width;
} layout;

static int32_t too_large(void)
{
    return lm_fail(LLM_E_LIMIT, "the workspace of the steps would not fit in memory");
}

static uint32_t embedding_width(const lm_program_desc *desc)
{
    for (size_t i = 0; i < desc->n_steps; i++)
        if (desc->steps[i].kind == LM_STEP_EMBED &&
            desc->steps[i].u.embed.source == LM_EMBED_TOKENS)
            return desc->graph->slots[desc->steps[i].out[0]].width;
    return 0;
}

/* The largest that a run's block becomes; see cuda_run.c, which fills it. */
static int32_t plan_run_block(const lm_program_desc *desc, layout *l)
{
    const lm_row_limits *limits = &desc->limits;
    uint64_t rows = limits->rows, words = (rows + 63) / 64, ancestors, embeddings;
    uint64_t pages =
        (uint64_t)limits->seqs * desc->network->n_groups * lhost_most_pages(desc->context);
    l->embedding_width = embedding_width(desc);
    l->run_bytes = sizeof(lcu_run) + rows * 9 * 4 + (uint64_t)limits->wanted * 4 +
                   (uint64_t)limits->seqs * sizeof(lcu_seq) + pages * 4 + 12 * LM_ALIGN;
    if (!lm_mul_u64(rows * 8, words, &ancestors) ||
        !lm_mul_u64(rows * 4, l->embedding_width, &embeddings) ||
        !lm_add_u64(l->run_bytes, ancestors, &l->run_bytes) ||
        !lm_add_u64(l->run_bytes, embeddings, &l->run_bytes) ||
        !lm_align_u64(l->run_bytes, 256, &l->slots_at))
        return too_large();
    return LLM_OK;
}

static int32_t walk_steps(lcu_planner *p)
{
    for (p->step = 0; p->step < p->desc->n_steps; p->step++) {
        const lm_step *s = &p->desc->steps[p->step];
        p->scratch_used = 0;
        LM_TRY(lcu_steps[s->kind].plan(p, s));
        LM_TRY(p->status);
    }
    return LLM_OK;
}

static int32_t plan_layout(lcu_device *d, const lm_program_desc *desc, lm_slot_place *places,
                           layout *l)
{
    lcu_planner p = {.device = d, .desc = desc, .places = places, .query = true};
    memset(l, 0, sizeof *l);
    if (desc->numerics == LM_NUMERICS_FAST)
        LM_TRY(lcu_find_library(d));
    LM_TRY(plan_run_block(desc, l));
    LM_TRY(lm_slots_place(&d->books, desc->graph, desc->steps, desc->n_steps, desc->outputs,
                          desc->n_outputs, &desc->limits, places, &l->slot_bytes));
    LM_TRY(walk_steps(&p));
    bool ok = lm_add_u64(l->slots_at, l->slot_bytes, &l->scratch_at) &&
              lm_align_u64(l->scratch_at, 256, &l->scratch_at) &&
              lm_add_u64(l->scratch_at, p.scratch_most, &l->kept_at) &&
              lm_align_u64(l->kept_at, 256, &l->kept_at) &&
              lm_add_u64(l->kept_at, p.kept_used, &l->bytes) && lm_fits_size(l->bytes);
    l->n_launches = p.n_launches;
    l->args_bytes = p.args_bytes;
    return ok ? LLM_OK : too_large();
}

static int32_t query(lcu_device *d, const lm_program_desc *desc, uint64_t *bytes)
{
    LM_TRY(lhost_check_steps(&d->base, desc));
    lm_slot_place *places = LM_NEW_ARRAY(&d->books, lm_slot_place, desc->graph->n_slots);
    if (places == NULL)
        return LLM_E_MEMORY;
    layout l;
    int32_t rc = plan_layout(d, desc, places, &l);
    lm_free_array(&d->books, places, desc->graph->n_slots, sizeof *places);
    LM_TRY(rc);
    *bytes = l.bytes;
    return LLM_OK;
}

int32_t lcu_program_query(lm_device *device, const lm_program_desc *desc, uint64_t *bytes)
{
    lcu_device *d = (lcu_device *)device;
    lhost_lowered lowered;
    LM_TRY(lhost_lower(&d->books, desc, &lowered));
    int32_t rc = query(d, &lowered.desc, bytes);
    lhost_lowered_finish(&lowered);
    return rc;
}

/* --- creating --------------------------------------------------------------------------------- */

/* `n_steps`: of the description as it was given. */
static int32_t copy_desc(const lm_program_desc *desc, size_t n_steps, lm_program *p)
{
    const lm_graph *g = desc->graph;
    LM_TRY(lhost_bounds_init(&p->books, desc, &p->bounds));
    p->n_steps = n_steps;
    p->n_slots = g->n_slots;
    p->slots = lm_arena_copy(&p->books, g->slots, g->n_slots, sizeof *p->slots);
    p->places = LM_ARENA_ARRAY(&p->books, lm_slot_place, g->n_slots);
    p->results = LM_ARENA_ARRAY(&p->books, uint32_t, desc->n_outputs);
    p->result_host = LM_ARENA_ARRAY(&p->books, uint8_t *, desc->n_outputs);
    p->marks = LM_ARENA_ARRAY(&p->books, lcu_event, n_steps + 1);
    if (p->slots == NULL || p->places == NULL || p->results == NULL || p->result_host == NULL ||
        p->marks == NULL)
        return LLM_E_MEMORY;
    for (uint32_t i = 0; i < desc->network->n_groups; i++)
        p->caches[i] = desc->caches == NULL ? NULL : desc->caches[i];
    return LLM_OK;
}

/* Outputs with a row for each that was asked for are results: they get a place on the host. */
static int32_t make_results(lcu_device *d, const lm_program_desc *desc, lm_program *p)
{
    for (uint32_t i = 0; i < desc->n_outputs; i++) {
        uint32_t slot = desc->outputs[i];
        if (p->slots[slot].rows == LM_ROWS_ALL || p->places[slot].offset == UINT64_MAX ||
            p->places[slot].bytes == 0)
            continue;
        void *memory = NULL;
        LM_TRY(LCU_CALL(d, pinned_take, (size_t)p->places[slot].bytes, &memory));
        p->results[p->n_results] = slot;
        p->result_host[p->n_results++] = memory;
    }
    return LLM_OK;
}

static int32_t plan_launches(lcu_device *d, const lhost_lowered *lowered, const layout *l,
                             lm_program *p)
{
    uintptr_t base = (uintptr_t)p->workspace;
    lcu_planner planner = {.device = d,
                           .desc = &lowered->desc,
                           .origin = lowered->origin,
                           .places = p->places,
                           .run = (const lcu_run *)base,
                           .slots = base + (uintptr_t)l->slots_at,
                           .scratch = base + (uintptr_t)l->scratch_at,
                           .kept = base + (uintptr_t)l->kept_at,
                           .launches = p->launches,
                           .args = p->args};
    LM_TRY(walk_steps(&planner));
    lm_check(planner.n_launches == l->n_launches && planner.args_bytes == l->args_bytes &&
             l->kept_at + planner.kept_used == l->bytes);
    p->n_launches = planner.n_launches;
    return LLM_OK;
}

static int32_t fill(lcu_device *d, const lhost_lowered *lowered, size_t n_steps, lm_program *p)
{
    const lm_program_desc *desc = &lowered->desc;
    layout l;
    void *memory = NULL;
    LM_TRY(lhost_check_steps(&d->base, desc));
    LM_TRY(lhost_check_refs(desc));
    LM_TRY(lcu_enter(d));
    LM_TRY(copy_desc(desc, n_steps, p));
    LM_TRY(plan_layout(d, desc, p->places, &l));
    p->launches = LM_ARENA_ARRAY(&p->books, lcu_launch, l.n_launches);
    p->args = lm_arena_alloc(&p->books, l.args_bytes);
    if (p->launches == NULL || p->args == NULL)
        return LLM_E_MEMORY;
    LM_TRY(lcu_take(d, l.bytes, &memory));
    p->workspace = memory;
    p->workspace_bytes = l.bytes;
    p->slots_at = l.slots_at;
    p->run_bytes = l.run_bytes;
    p->embedding_width = l.embedding_width;
    if (l.bytes > l.kept_at)
        LM_TRY(lcu_clear(d, p->workspace + l.kept_at, l.bytes - l.kept_at));
    LM_TRY(LCU_CALL(d, pinned_take, (size_t)l.run_bytes, &memory));
    p->run_host = memory;
    LM_TRY(LCU_CALL(d, event_create, false, &p->run_read));
    LM_TRY(make_results(d, desc, p));
    return plan_launches(d, lowered, &l, p);
}

int32_t lcu_program_create(lm_device *device, const lm_program_desc *desc, lm_program **out)
{
    lcu_device *d = (lcu_device *)device;
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
        lcu_program_destroy(device, p);
        return rc;
    }
    *out = p;
    return LLM_OK;
}

void lcu_program_destroy(lm_device *device, lm_program *program)
{
    lcu_device *d = (lcu_device *)device;
    lm_program *p = program;
    if (p == NULL)
        return;
    (void)d->api->device_use(d->index);
    for (uint32_t i = 0; i < LCU_GRAPHS; i++)
        if (p->recordings[i].graph != NULL)
            (void)d->api->graph_destroy(p->recordings[i].graph);
    for (size_t i = 0; p->marks != NULL && i <= p->n_steps; i++)
        if (p->marks[i] != NULL)
            (void)d->api->event_destroy(p->marks[i]);
    for (uint32_t i = 0; i < p->n_results; i++)
        (void)d->api->pinned_give(p->result_host[i]);
    if (p->run_read != NULL)
        (void)d->api->event_destroy(p->run_read);
    if (p->run_host != NULL)
        (void)d->api->pinned_give(p->run_host);
    lcu_give(d, p->workspace, p->workspace_bytes);
    lm_arena_finish(&p->books);
    LM_DELETE(&d->books, p);
}
