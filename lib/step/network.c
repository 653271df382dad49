/* network.c - the growing tables of a network, and the builder that fills them. */
#include "step/network.h"

#include <string.h>

void lm_network_init(lm_network *n, lm_allocator *alloc)
{
    memset(n, 0, sizeof *n);
    n->alloc = alloc;
    n->causal = true;
    lm_graph_init(&n->decode, "decode");
}

void lm_network_finish(lm_network *n)
{
    if (n->alloc == NULL)
        return;
    lm_free_array(n->alloc, n->weights, n->weights_capacity, sizeof *n->weights);
    lm_free_array(n->alloc, n->caches, n->caches_capacity, sizeof *n->caches);
    lm_graph_finish(&n->decode, n->alloc);
    memset(n, 0, sizeof *n);
}

void lm_graph_init(lm_graph *g, const char *name)
{
    memset(g, 0, sizeof *g);
    g->name = name;
    g->result = LM_NONE;
}

void lm_graph_finish(lm_graph *g, lm_allocator *alloc)
{
    lm_free_array(alloc, g->steps, g->steps_capacity, sizeof *g->steps);
    lm_free_array(alloc, g->slots, g->slots_capacity, sizeof *g->slots);
    lm_graph_init(g, g->name);
}

void lm_builder_init(lm_builder *b, lm_network *n, lm_graph *g)
{
    *b = (lm_builder){n, g, 0xffff, LLM_OK};
}

int32_t lm_builder_status(const lm_builder *b)
{
    return b->status;
}

/* Room for one more item; remembers the first failure. */
static bool room(lm_builder *b, void **items, size_t *capacity, size_t count, size_t size)
{
    if (b->status < 0)
        return false;
    int32_t rc = lm_grow(b->network->alloc, items, capacity, count + 1, size);
    if (rc < 0)
        b->status = rc;
    return rc >= 0;
}

uint32_t lm_build_weight(lm_builder *b, const lm_weight_desc *desc)
{
    lm_network *n = b->network;
    if (!room(b, (void **)&n->weights, &n->weights_capacity, n->n_weights, sizeof *n->weights))
        return LM_NONE;
    n->weights[n->n_weights] = *desc;
    return (uint32_t)n->n_weights++;
}

uint32_t lm_build_group(lm_builder *b, uint32_t kind, uint32_t window)
{
    lm_network *n = b->network;
    for (uint32_t i = 0; i < n->n_groups; i++)
        if (n->groups[i].kind == kind && n->groups[i].window == window)
            return i;
    if (n->n_groups == LM_MAX_GROUPS) {
        if (b->status >= 0)
            b->status = lm_fail(LLM_E_UNSUPPORTED, "the model needs more than %u kinds of cache",
                                (unsigned)LM_MAX_GROUPS);
        return LM_NONE;
    }
    n->groups[n->n_groups] = (lm_cache_group){kind, window};
    return n->n_groups++;
}

static uint32_t add_cache(lm_builder *b, const lm_cache_entry *entry)
{
    lm_network *n = b->network;
    if (!room(b, (void **)&n->caches, &n->caches_capacity, n->n_caches, sizeof *n->caches))
        return LM_NONE;
    n->caches[n->n_caches] = *entry;
    return (uint32_t)n->n_caches++;
}

uint32_t lm_build_kv(lm_builder *b, uint32_t group, uint32_t kv_heads, uint32_t k_dim,
                     uint32_t v_dim)
{
    lm_cache_entry entry = {.group = group, .kv_heads = kv_heads, .k_dim = k_dim, .v_dim = v_dim};
    return add_cache(b, &entry);
}

uint32_t lm_build_state(lm_builder *b, uint32_t group, uint32_t conv_values, uint32_t scan_values)
{
    lm_cache_entry entry = {.group = group, .conv_values = conv_values, .scan_values = scan_values};
    return add_cache(b, &entry);
}

uint32_t lm_build_slot(lm_builder *b, uint32_t width, uint32_t rows, uint32_t type)
{
    lm_graph *g = b->graph;
    if (!room(b, (void **)&g->slots, &g->slots_capacity, g->n_slots, sizeof *g->slots))
        return LM_NONE;
    g->slots[g->n_slots] = (lm_slot_info){width, (uint8_t)rows, (uint8_t)type};
    return (uint32_t)g->n_slots++;
}

void lm_build_step(lm_builder *b, const lm_step *step)
{
    lm_graph *g = b->graph;
    if (!room(b, (void **)&g->steps, &g->steps_capacity, g->n_steps, sizeof *g->steps))
        return;
    g->steps[g->n_steps] = *step;
    g->steps[g->n_steps++].layer = b->layer;
}

uint32_t lm_build_site(lm_builder *b)
{
    return b->network->n_sites++;
}

lm_linear lm_linear_of(lm_builder *b, uint32_t weight, uint32_t bias)
{
    if (weight == LM_NONE)
        return lm_linear_absent();
    return (lm_linear){weight, bias, lm_build_site(b), 0};
}

lm_linear lm_linear_absent(void)
{
    return (lm_linear){LM_NONE, LM_NONE, LM_NONE, 0};
}

lm_norm lm_norm_absent(void)
{
    return (lm_norm){LM_NORM_RMS, LM_NONE, LM_NONE, 0, 0, 0};
}

lm_rope lm_rope_absent(void)
{
    return (lm_rope){.style = LM_ROPE_NONE, .factors = LM_NONE};
}
