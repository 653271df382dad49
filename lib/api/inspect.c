/* inspect.c - what is in a model and what it will do: the second half of llm_model.h. */
#include "api/handles.h"

#include <stdio.h>
#include <string.h>

LLM_API int32_t llm_model_get_info(const llm_model *model, llm_model_info *out)
{
    lm_want(model, "model");
    const lm_model *m = model->inner;
    const lm_gguf *g = m->gguf;
    llm_model_info info;
    memset(&info, 0, sizeof info);
    info.loaded = model->placement != NULL && model->placement->loaded;
    lm_gguf_string name;
    if (lm_gguf_get_string(g, "general.architecture", &name) >= 0 &&
        name.size < sizeof info.architecture)
        memcpy(info.architecture, name.data, name.size);
    info.n_vocab = m->tokenizer != NULL ? lm_tokenizer_size(m->tokenizer) : m->h.n_vocab;
    if (m->h.n_vocab > info.n_vocab)
        info.n_vocab = m->h.n_vocab;
    info.n_layers = m->h.n_layers;
    info.width = m->h.width;
    info.context_train = m->h.context_train;
    info.context = m->context;
    info.has_tokenizer = m->tokenizer != NULL;
    info.makes_text = m->network_status.code >= 0 && m->network.causal;
    for (uint64_t i = 0; i < g->n_tensors; i++)
        info.parameters += g->tensors[i].count;
    for (uint32_t i = 0; i < g->n_parts; i++)
        info.file_bytes += g->parts[i].size;
    info.n_tensors = g->n_tensors;
    info.n_metadata = g->n_pairs;
    info.n_steps = model->placement != NULL ? model->placement->graph.n_steps : 0;
    return lm_params_out(out, &info, sizeof info, "llm_model_info");
}

/* How each stored type is told. */
static int32_t fill_value(const lm_gguf *g, const lm_gguf_pair *pair, uint64_t item,
                          llm_metadata *v)
{
    switch (pair->value.type) {
    case LM_GGUF_STRING: {
        const lm_gguf_string *s = (const lm_gguf_string *)pair->value.items + item;
        v->kind = LLM_KIND_STRING;
        v->text = s->data;
        v->text_size = s->size;
        return LLM_OK;
    }
    case LM_GGUF_F32:
    case LM_GGUF_F64:
        v->kind = LLM_KIND_FLOAT;
        return lm_gguf_get_f64(g, pair->key.data, item, &v->number);
    case LM_GGUF_U64: {
        uint64_t u;
        LM_TRY(lm_gguf_get_u64(g, pair->key.data, item, &u));
        v->kind = LLM_KIND_INT;
        v->integer = u > INT64_MAX ? INT64_MAX : (int64_t)u;
        v->number = (double)u;
        return LLM_OK;
    }
    case LM_GGUF_BOOL:
        v->kind = LLM_KIND_BOOL;
        v->integer = ((const uint8_t *)pair->value.items)[item] != 0;
        v->number = (double)v->integer;
        return LLM_OK;
    default:
        v->kind = LLM_KIND_INT;
        LM_TRY(lm_gguf_get_i64(g, pair->key.data, item, &v->integer));
        v->number = (double)v->integer;
        return LLM_OK;
    }
}

static int32_t describe_pair(const lm_gguf *g, const lm_gguf_pair *pair, uint64_t item,
                             llm_metadata *out)
{
    llm_metadata v;
    memset(&v, 0, sizeof v);
    if (item >= pair->value.count && !(item == 0 && pair->value.is_array))
        return lm_fail(LLM_E_NOT_FOUND, "metadata '%s' has no item %llu",
                       lm_gguf_quote(pair->key).text, (unsigned long long)item);
    v.is_array = pair->value.is_array;
    v.count = pair->value.count;
    v.key = pair->key.data;
    if (item < pair->value.count)
        LM_TRY(fill_value(g, pair, item, &v));
    return lm_params_out(out, &v, sizeof v, "llm_metadata");
}

LLM_API int32_t llm_model_metadata_at(const llm_model *model, uint64_t index, uint64_t item,
                                      llm_metadata *out)
{
    lm_want(model, "model");
    const lm_gguf *g = model->inner->gguf;
    if (index >= g->n_pairs)
        return lm_fail(LLM_E_NOT_FOUND, "there is no metadata number %llu",
                       (unsigned long long)index);
    return describe_pair(g, &g->pairs[index], item, out);
}

LLM_API int32_t llm_model_metadata_find(const llm_model *model, const char *key, uint64_t item,
                                        llm_metadata *out)
{
    lm_want(model, "model");
    lm_want(key, "key");
    const lm_gguf *g = model->inner->gguf;
    uint32_t index;
    if (!lm_strmap_get(&g->pair_index, key, strlen(key), &index))
        return lm_fail(LLM_E_NOT_FOUND, "there is no metadata '%s'", key);
    return describe_pair(g, &g->pairs[index], item, out);
}

LLM_API int32_t llm_model_tensor_at(const llm_model *model, uint64_t index, llm_tensor_info *out)
{
    lm_want(model, "model");
    const lm_gguf *g = model->inner->gguf;
    if (index >= g->n_tensors)
        return lm_fail(LLM_E_NOT_FOUND, "there is no tensor number %llu",
                       (unsigned long long)index);
    const lm_gguf_tensor *t = &g->tensors[index];
    llm_tensor_info info;
    memset(&info, 0, sizeof info);
    info.n_dims = t->n_dims;
    info.name = t->name.data;
    info.format = t->format->name;
    memcpy(info.dims, t->dims, sizeof info.dims);
    info.bytes = t->bytes;
    info.file_offset = t->offset;
    return lm_params_out(out, &info, sizeof info, "llm_tensor_info");
}

LLM_API int32_t llm_model_tensor_values(const llm_model *model, uint64_t index, uint64_t first,
                                        uint64_t count, float *values)
{
    lm_want(model, "model");
    const lm_gguf *g = model->inner->gguf;
    if (index >= g->n_tensors)
        return lm_fail(LLM_E_NOT_FOUND, "there is no tensor number %llu",
                       (unsigned long long)index);
    const lm_gguf_tensor *t = &g->tensors[index];
    const lm_format *f = t->format;
    if (f->decode == NULL)
        return lm_fail(LLM_E_UNSUPPORTED, "tensor '%s' is stored as %s, which holds no floats",
                       lm_gguf_quote(t->name).text, f->name);
    if (first > t->count || count > t->count - first || first % f->block != 0 ||
        count % f->block != 0)
        return lm_fail(
            LLM_E_INVALID,
            "tensor '%s' has %llu values in blocks of %u; [%llu, +%llu) is no range of those",
            lm_gguf_quote(t->name).text, (unsigned long long)t->count, (unsigned)f->block,
            (unsigned long long)first, (unsigned long long)count);
    if (count == 0)
        return LLM_OK;
    lm_want(values, "values");
    /* Through a block buffer, so that files that are not mapped need no copy of the tensor. */
    unsigned char blocks[8192];
    uint64_t most = sizeof blocks / f->bytes * f->block;
    for (uint64_t at = 0; at < count;) {
        uint64_t part = count - at < most ? count - at : most;
        LM_TRY(lm_gguf_read(g, t, (first + at) / f->block * f->bytes, blocks,
                            (size_t)(part / f->block * f->bytes)));
        f->decode(blocks, values + at, (size_t)part);
        at += part;
    }
    return LLM_OK;
}

static int32_t need_placement(const llm_model *model)
{
    LM_TRY(lm_model_need_network(model->inner));
    if (model->placement == NULL)
        return lm_fail(LLM_E_STATE, "the model was opened for its vocabulary only");
    return LLM_OK;
}

static void device_id(const lm_placed_device *d, char *id, size_t size)
{
    snprintf(id, size, "%.30s:%u", d->name.backend, (unsigned)d->name.index);
}

LLM_API int32_t llm_model_step_at(const llm_model *model, uint64_t index, llm_step_info *out)
{
    lm_want(model, "model");
    LM_TRY(need_placement(model));
    const lm_placement *p = model->placement;
    if (index >= p->graph.n_steps)
        return lm_fail(LLM_E_NOT_FOUND, "there is no step number %llu", (unsigned long long)index);
    llm_step_info info;
    memset(&info, 0, sizeof info);
    while (index >= p->segments[info.segment].first_step + p->segments[info.segment].n_steps)
        info.segment++;
    device_id(&p->devices[p->segments[info.segment].device], info.device, sizeof info.device);
    const lm_step *step = &p->graph.steps[index];
    lm_step_print(&model->inner->network, step, info.text, sizeof info.text);
    lm_step_cost cost = lm_step_cost_of(&model->inner->network, step);
    info.flops = cost.flops;
    info.weight_bytes = cost.weight_bytes;
    return lm_params_out(out, &info, sizeof info, "llm_step_info");
}

LLM_API int32_t llm_model_plan(const llm_model *model, const llm_engine_params *params,
                               uint32_t index, llm_memory_plan *out)
{
    lm_want(model, "model");
    LM_TRY(need_placement(model));
    const lm_placement *p = model->placement;
    if (index >= p->n_devices)
        return lm_fail(LLM_E_NOT_FOUND, "the model uses %u devices", (unsigned)p->n_devices);
    lm_engine_options options;
    LM_TRY(lm_engine_options_from(model, params, &options));
    lm_device_memory memory[LM_MAX_DEVICES];
    LM_TRY(lm_plan_memory(p, &options.shape, memory));
    const lm_device_memory *d = &memory[index];
    llm_memory_plan plan;
    memset(&plan, 0, sizeof plan);
    device_id(&p->devices[index], plan.device, sizeof plan.device);
    plan.page_tokens = options.shape.page_tokens;
    plan.weights = d->weights;
    plan.workspace = d->workspace;
    plan.cache_fixed = d->cache_fixed;
    plan.mapped = d->mapped;
    const lm_network *n = &model->inner->network;
    for (uint32_t g = 0; g < n->n_groups; g++) {
        if (n->groups[g].kind == LM_CACHE_STATE) {
            plan.cache_sequence += d->page_bytes[g];
            plan.cache_full += d->page_bytes[g];
            continue;
        }
        plan.cache_page += d->page_bytes[g];
        plan.cache_full += d->page_bytes[g] * lm_engine_group_pages(n, &options.shape, g);
    }
    return lm_params_out(out, &plan, sizeof plan, "llm_memory_plan");
}
