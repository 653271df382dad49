/* host_lower.c - a program's description with all coarse steps lowered, for programs that shall run
 * primitives one by one. The slots of the graph keep their numbers; those between follow. */
#include "backends/common/host_lower.h"

#include "step/network.h"

static int32_t lower_steps(const lm_program_desc *desc, lm_builder *b, lhost_lowered *out)
{
    size_t capacity = 0;
    int32_t rc = LLM_OK;
    for (size_t i = 0; i < desc->graph->n_slots; i++)
        lm_build_slot(b, desc->graph->slots[i].width, desc->graph->slots[i].rows,
                      desc->graph->slots[i].type);
    for (size_t i = 0; i < desc->n_steps && rc >= 0; i++) {
        size_t first = out->graph.n_steps;
        rc = lm_lower(b, &desc->steps[i]);
        if (rc >= 0)
            rc = lm_grow(out->alloc, (void **)&out->origin, &capacity, out->graph.n_steps,
                         sizeof *out->origin);
        out->n_origin = capacity;
        for (size_t k = first; rc >= 0 && k < out->graph.n_steps; k++)
            out->origin[k] = (uint32_t)i;
    }
    return rc < 0 ? rc : lm_builder_status(b);
}

int32_t lhost_lower(lm_allocator *alloc, const lm_program_desc *desc, lhost_lowered *out)
{
    *out = (lhost_lowered){.alloc = alloc, .desc = *desc};
    if (desc->fused)
        return LLM_OK;
    lm_network network = *desc->network; /* nothing is added to it */
    lm_builder b;
    network.alloc = alloc;
    lm_graph_init(&out->graph, desc->graph->name);
    lm_builder_init(&b, &network, &out->graph);
    int32_t rc = lower_steps(desc, &b, out);
    if (rc < 0) {
        lhost_lowered_finish(out);
        return rc;
    }
    out->desc.graph = &out->graph;
    out->desc.steps = out->graph.steps;
    out->desc.n_steps = out->graph.n_steps;
    return LLM_OK;
}

void lhost_lowered_finish(lhost_lowered *lowered)
{
    lm_graph_finish(&lowered->graph, lowered->alloc);
    lm_free_array(lowered->alloc, lowered->origin, lowered->n_origin, sizeof *lowered->origin);
}
