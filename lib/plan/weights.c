/* weights.c - brings weights from the file onto the devices, all or none. */
#include "plan/plan.h"

#include "base/checked.h"

static void unload(lm_placement *p)
{
    for (uint32_t i = 0; i < p->n_devices; i++) {
        lm_placed_device *d = &p->devices[i];
        for (size_t w = 0; d->weights != NULL && w < p->model->network.n_weights; w++) {
            if (d->weights[w] != NULL)
                d->device->backend->weight_destroy(d->device, d->weights[w]);
            d->weights[w] = NULL;
        }
    }
    p->loaded = false;
}

static int32_t hand_over(lm_placement *p, lm_placed_device *d, uint32_t index,
                         const lm_weight_data *data)
{
    lm_placement_enter(p);
    int32_t rc = d->device->backend->weight_load(d->device, &p->model->network.weights[index], data,
                                                 &d->weights[index]);
    lm_placement_leave(p);
    return rc;
}

static int32_t load_one(lm_placement *p, lm_placed_device *d, uint32_t index)
{
    const lm_model *m = p->model;
    const lm_weight_desc *desc = &m->network.weights[index];
    const lm_weight_source *source = &m->sources[index];
    const unsigned char *mapped = lm_gguf_data(m->gguf, source->tensor);
    if (mapped != NULL) {
        lm_weight_data data = {mapped + source->offset, true};
        return hand_over(p, d, index, &data);
    }
    if (!lm_fits_size(desc->bytes))
        return lm_fail(LLM_E_MEMORY, "out of memory: '%s' has %llu bytes", desc->name,
                       (unsigned long long)desc->bytes);
    void *copy = lm_alloc(p->alloc, (size_t)desc->bytes);
    if (copy == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lm_gguf_read(m->gguf, source->tensor, source->offset, copy, (size_t)desc->bytes);
    lm_weight_data data = {copy, false};
    if (rc >= 0)
        rc = hand_over(p, d, index, &data);
    lm_free(p->alloc, copy, (size_t)desc->bytes);
    return rc;
}

static uint64_t bytes_to_load(const lm_placement *p)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < p->n_devices; i++)
        for (size_t w = 0; w < p->model->network.n_weights; w++)
            total += p->devices[i].needs[w] ? p->model->network.weights[w].bytes : 0;
    return total;
}

int32_t lm_placement_load(lm_placement *p, llm_progress_fn progress, void *user)
{
    if (p->loaded)
        return LLM_OK;
    uint64_t wanted = lm_placement_weight_bytes(p), total = bytes_to_load(p), done = 0;
    if (p->budget != 0 && wanted > p->budget)
        return lm_fail(LLM_E_BUDGET, "the weights take %llu bytes; the budget is %llu",
                       (unsigned long long)wanted, (unsigned long long)p->budget);
    for (uint32_t i = 0; i < p->n_devices; i++) {
        lm_placed_device *d = &p->devices[i];
        for (uint32_t w = 0; w < p->model->network.n_weights; w++) {
            if (!d->needs[w])
                continue;
            int32_t rc = load_one(p, d, w);
            done += p->model->network.weights[w].bytes;
            if (rc >= 0 && progress != NULL && progress(user, done, total) != 0)
                rc = lm_fail(LLM_E_CANCELLED, "loading was cancelled by the host");
            if (rc < 0) {
                unload(p);
                return rc;
            }
        }
    }
    p->loaded = true;
    return LLM_OK;
}

void lm_placement_destroy(lm_placement *p)
{
    if (p == NULL)
        return;
    unload(p);
    for (uint32_t i = 0; i < p->n_devices; i++)
        p->devices[i].device->backend->close(p->devices[i].device);
    lm_graph_finish(&p->graph, p->alloc);
    lm_arena_finish(&p->arena);
    lm_os_mutex_finish(p->alloc, &p->turn);
    LM_DELETE(p->alloc, p);
}
