/* model.c - opening, planning, loading and letting go of models: the first half of llm_model.h. */
#include "api/handles.h"

#include <string.h>

/* A placement that cannot be made (absent device, unknown architecture, ...) only matters to those who
 * need it, except to a caller who asked for everything. */
static int32_t place(llm_model *m, const llm_model_params *p)
{
    lm_device_name names[LM_MAX_DEVICES];
    uint32_t n_names;
    LM_TRY(lm_device_names(p->devices, names, &n_names));
    lm_os_mutex_lock(&m->runtime->mutex);
    int32_t rc = lm_placement_create(&m->runtime->alloc, &m->runtime->registry, m->inner, names,
                                     n_names, p->budget, &m->placement);
    lm_os_mutex_unlock(&m->runtime->mutex);
    return rc;
}

static void destroy(llm_model *m)
{
    llm_runtime *rt = m->runtime;
    lm_engine_handle_destroy(m->engine);
    lm_placement_destroy(m->placement);
    lm_model_destroy(m->inner);
    lm_os_mutex_finish(&rt->alloc, &m->mutex);
    LM_DELETE(&rt->alloc, m);
    lm_runtime_release(rt);
}

/* Takes over `gguf`. */
static int32_t create(llm_runtime *rt, lm_gguf *gguf, const llm_model_params *p, llm_model **out)
{
    llm_model *m = LM_NEW(&rt->alloc, llm_model);
    if (m == NULL) {
        lm_gguf_close(gguf);
        return LLM_E_MEMORY;
    }
    lm_ref_init(&m->refs);
    m->runtime = rt;
    lm_runtime_retain(rt);
    lm_model_options options = {.context = p->context,
                                .vocabulary_only = p->load == LLM_LOAD_VOCAB};
    int32_t rc = lm_model_create(&rt->alloc, &rt->log, gguf, &options, &m->inner);
    if (rc < 0)
        goto out;
    LM_GO(lm_os_mutex_init(&rt->alloc, &m->mutex));
    if (p->load == LLM_LOAD_VOCAB)
        LM_GO(lm_model_need_tokenizer(m->inner));
    else if (p->load == LLM_LOAD_ALL || m->inner->network_status.code >= 0)
        LM_GO(place(m, p));
    if (p->load == LLM_LOAD_ALL)
        LM_GO(lm_placement_load(m->placement, p->progress, p->progress_user));
    *out = m;
    return LLM_OK;
out:
    destroy(m);
    return rc;
}

/* `call`: the function the host called. */
static int32_t open_params(const char *call, llm_runtime *rt, const llm_model_params *given,
                           llm_model **out, llm_model_params *p)
{
    if (rt == NULL || out == NULL)
        return lm_fail(LLM_E_INVALID, "%s: %s is NULL", call, rt == NULL ? "runtime" : "out");
    LM_TRY(lm_params_in(p, sizeof *p, given, "llm_model_params"));
    if (p->load > LLM_LOAD_VOCAB || p->source > LLM_SOURCE_READ)
        return lm_fail(LLM_E_INVALID, "llm_model_params: load is %u and source %u",
                       (unsigned)p->load, (unsigned)p->source);
    return LLM_OK;
}

static uint32_t source_mode(const llm_model_params *p)
{
    return p->source == LLM_SOURCE_READ ? (uint32_t)LM_SOURCE_READ : (uint32_t)LM_SOURCE_MAP;
}

LLM_API int32_t llm_model_open(llm_runtime *runtime, const char *path,
                               const llm_model_params *params, llm_model **out)
{
    llm_model_params p;
    lm_gguf *gguf;
    LM_TRY(open_params(__func__, runtime, params, out, &p));
    lm_want(path, "path");
    LM_TRY(lm_gguf_open_path(&runtime->alloc, &runtime->log, &runtime->limits, path,
                             source_mode(&p), &gguf));
    int32_t rc = create(runtime, gguf, &p, out);
    return rc < 0 ? lm_fail_within(rc, "%s", path) : rc;
}

static int32_t open_source(llm_runtime *rt, lm_source *source, const llm_model_params *p,
                           llm_model **out)
{
    lm_gguf *gguf;
    LM_TRY(lm_gguf_open_source(&rt->alloc, &rt->log, &rt->limits, source, &gguf));
    return create(rt, gguf, p, out);
}

LLM_API int32_t llm_model_open_fd(llm_runtime *runtime, int32_t fd, const llm_model_params *params,
                                  llm_model **out)
{
    llm_model_params p;
    lm_source source;
    LM_TRY(open_params(__func__, runtime, params, out, &p));
    LM_TRY(lm_source_open_fd(&runtime->alloc, fd, source_mode(&p), &source));
    return open_source(runtime, &source, &p, out);
}

LLM_API int32_t llm_model_open_memory(llm_runtime *runtime, const void *data, uint64_t size,
                                      const llm_model_params *params, llm_model **out)
{
    llm_model_params p;
    lm_source source;
    LM_TRY(open_params(__func__, runtime, params, out, &p));
    lm_want(data, "data");
    LM_TRY(lm_source_open_memory(&runtime->alloc, data, size, &source));
    return open_source(runtime, &source, &p, out);
}

LLM_API int32_t llm_model_open_callbacks(llm_runtime *runtime, const llm_reader *reader,
                                         const llm_model_params *params, llm_model **out)
{
    llm_model_params p;
    llm_reader r;
    lm_source source;
    LM_TRY(open_params(__func__, runtime, params, out, &p));
    lm_want(reader, "reader");
    LM_TRY(lm_params_in(&r, sizeof r, reader, "llm_reader"));
    LM_TRY(lm_flags_check(r.reserved, 0, "llm_reader.reserved"));
    lm_want(r.read, "reader->read");
    LM_TRY(lm_source_open_callback(&runtime->alloc, r.read, r.user, r.size, &source));
    return open_source(runtime, &source, &p, out);
}

LLM_API int32_t llm_model_load(llm_model *model, llm_progress_fn progress, void *user)
{
    lm_want(model, "model");
    LM_TRY(lm_model_need_network(model->inner));
    if (model->placement == NULL)
        return lm_fail(LLM_E_STATE, "the model was opened for its vocabulary only");
    lm_os_mutex_lock(&model->mutex);
    int32_t rc = lm_placement_load(model->placement, progress, user);
    lm_os_mutex_unlock(&model->mutex);
    return rc;
}

LLM_API llm_model *llm_model_retain(llm_model *model)
{
    if (model != NULL)
        lm_ref_retain(&model->refs);
    return model;
}

LLM_API void llm_model_release(llm_model *model)
{
    if (model != NULL && lm_ref_release(&model->refs))
        destroy(model);
}
