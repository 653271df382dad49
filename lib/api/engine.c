/* engine.c - llm_engine.h: engines and the default one of each model. */
#include "api/handles.h"

#include "base/checked.h"

#include <string.h>

#define DEFAULT_PAGE_TOKENS    32u
#define DEFAULT_ROWS           512u
#define DEFAULT_SEQUENCES      16u
#define DEFAULT_OUTPUTS        32u
#define DEFAULT_STATE_INTERVAL 1024u
#define MOST_ROWS              65536u
#define MOST_PAGES             (1u << 20)
#define MOST_STATES            4096u

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value == 0 ? fallback : value;
}

static int32_t check_sizes(const llm_model *model, const lm_engine_options *o)
{
    const lm_engine_shape *s = &o->shape;
    if (!lm_is_pow2(s->page_tokens) || s->page_tokens < 16 || s->page_tokens > 128)
        return lm_fail(LLM_E_INVALID,
                       "llm_engine_params: page_tokens is %u; take 16, 32, 64 or 128",
                       (unsigned)s->page_tokens);
    if (s->context > model->inner->context)
        return lm_fail(LLM_E_LIMIT,
                       "llm_engine_params: a context of %u; the model was opened for %u",
                       (unsigned)s->context, (unsigned)model->inner->context);
    if (s->limits.rows > MOST_ROWS || s->limits.seqs > s->limits.rows ||
        s->limits.wanted > s->limits.rows)
        return lm_fail(
            LLM_E_INVALID,
            "llm_engine_params: %u rows, %u sequences, %u outputs; at most %u rows, and no "
            "more sequences or outputs than rows",
            (unsigned)s->limits.rows, (unsigned)s->limits.seqs, (unsigned)s->limits.wanted,
            (unsigned)MOST_ROWS);
    return LLM_OK;
}

static int32_t cache_format(const char *name, const lm_format **out)
{
    static const uint32_t usable[] = {LM_F16, LM_F32, LM_BF16, LM_Q8_0, LM_Q4_0, LM_E4M3};
    *out = lm_format_by_name(name == NULL ? "f16" : name);
    for (size_t i = 0; i < sizeof usable / sizeof usable[0]; i++)
        if (*out != NULL && (*out)->id == usable[i])
            return LLM_OK;
    return lm_fail(LLM_E_UNSUPPORTED, "cache type '%s'; there are f16, f32, bf16, q8_0, q4_0, e4m3",
                   name);
}

int32_t lm_engine_options_from(const llm_model *model, const llm_engine_params *given,
                               lm_engine_options *out)
{
    llm_engine_params p;
    LM_TRY(lm_params_in(&p, sizeof p, given, "llm_engine_params"));
    LM_TRY(lm_flags_check(p.flags, LLM_ENGINE_NO_SHARING | LLM_ENGINE_UNFUSED | LLM_ENGINE_FAST,
                          "llm_engine_params.flags"));
    const lm_network *n = &model->inner->network;
    memset(out, 0, sizeof *out);
    lm_engine_shape *s = &out->shape;
    s->context = or_default(p.context, model->inner->context);
    s->page_tokens = or_default(p.page_tokens, DEFAULT_PAGE_TOKENS);
    s->limits.rows = or_default(p.max_rows, DEFAULT_ROWS);
    s->limits.seqs = or_default(p.max_sequences, lm_min_u32(DEFAULT_SEQUENCES, s->limits.rows));
    s->limits.wanted = or_default(p.max_outputs, lm_min_u32(DEFAULT_OUTPUTS, s->limits.rows));
    s->numerics = (p.flags & LLM_ENGINE_FAST) != 0 ? LM_NUMERICS_FAST : LM_NUMERICS_EXACT;
    s->fused = (p.flags & LLM_ENGINE_UNFUSED) == 0;
    LM_TRY(cache_format(p.cache_type, &s->k_format));
    s->v_format = s->k_format;
    out->state_interval = or_default(p.state_interval, DEFAULT_STATE_INTERVAL);
    out->sharing = (p.flags & LLM_ENGINE_NO_SHARING) == 0 && n->causal;
    out->cache_budget = p.cache_budget == 0 ? UINT64_MAX : p.cache_budget;
    LM_TRY(check_sizes(model, out));
    for (uint32_t g = 0; g < n->n_groups; g++) {
        uint64_t most = (uint64_t)lm_engine_group_pages(n, s, g) * 256u;
        uint32_t bound = n->groups[g].kind == LM_CACHE_STATE ? MOST_STATES : MOST_PAGES;
        s->max_pages[g] =
            most < bound && n->groups[g].kind != LM_CACHE_STATE ? (uint32_t)most : bound;
    }
    return LLM_OK;
}

/* --- handles ---------------------------------------------------------------------------------- */

static int32_t create(llm_model *model, const llm_engine_params *params, bool is_default,
                      llm_engine **out)
{
    lm_engine_options options;
    LM_TRY(lm_model_need_network(model->inner));
    if (model->placement == NULL)
        return lm_fail(LLM_E_STATE, "the model was opened for its vocabulary only");
    LM_TRY(lm_engine_options_from(model, params, &options));
    llm_engine *e = LM_NEW(&model->runtime->alloc, llm_engine);
    if (e == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lm_engine_create(model->placement, &options, &e->inner);
    if (rc < 0) {
        LM_DELETE(&model->runtime->alloc, e);
        return rc;
    }
    lm_ref_init(&e->refs);
    e->is_default = is_default;
    e->model = is_default ? model : llm_model_retain(model);
    *out = e;
    return LLM_OK;
}

void lm_engine_handle_destroy(llm_engine *engine)
{
    if (engine == NULL)
        return;
    lm_engine_destroy(engine->inner);
    LM_DELETE(&engine->model->runtime->alloc, engine);
}

LLM_API int32_t llm_engine_create(llm_model *model, const llm_engine_params *params,
                                  llm_engine **out)
{
    lm_want(model, "model");
    lm_want(out, "out");
    return create(model, params, false, out);
}

LLM_API llm_engine *llm_engine_retain(llm_engine *engine)
{
    if (engine != NULL && engine->is_default)
        llm_model_retain(engine->model);
    else if (engine != NULL)
        lm_ref_retain(&engine->refs);
    return engine;
}

LLM_API void llm_engine_release(llm_engine *engine)
{
    if (engine == NULL)
        return;
    llm_model *model = engine->model;
    if (!engine->is_default) {
        if (!lm_ref_release(&engine->refs))
            return;
        lm_engine_handle_destroy(engine);
    }
    llm_model_release(model);
}

int32_t lm_engine_for(llm_model *model, llm_engine *wanted, llm_engine **out)
{
    if (wanted != NULL) {
        if (wanted->model != model)
            return lm_fail(LLM_E_INVALID, "the engine belongs to another model");
        *out = llm_engine_retain(wanted);
        return LLM_OK;
    }
    lm_os_mutex_lock(&model->mutex);
    int32_t rc = model->engine != NULL ? LLM_OK : create(model, NULL, true, &model->engine);
    lm_os_mutex_unlock(&model->mutex);
    if (rc >= 0)
        *out = llm_engine_retain(model->engine);
    return rc;
}

LLM_API int32_t llm_engine_get_stats(llm_engine *engine, llm_engine_stats *out)
{
    lm_want(engine, "engine");
    lm_engine *e = engine->inner;
    llm_engine_stats stats;
    memset(&stats, 0, sizeof stats);
    lm_os_mutex_lock(&e->mutex);
    stats.exact = e->placement->exact && e->programs->shape.numerics == LM_NUMERICS_EXACT;
    stats.runs = e->counts.runs;
    stats.rows = e->counts.rows;
    stats.shared_rows = e->counts.shared_rows;
    stats.reused_tokens = e->counts.reused_tokens;
    for (uint32_t g = 0; g < e->network->n_groups; g++) {
        stats.pages_total += e->pages[g].total;
        stats.pages_free += e->pages[g].n_free;
        stats.pages_cached += lm_prefix_only(&e->prefix, g);
    }
    for (uint32_t i = 0; i < e->placement->n_devices; i++) {
        lm_device *d = e->placement->devices[i].device;
        stats.device_bytes += d->backend->bytes(d);
    }
    lm_os_mutex_unlock(&e->mutex);
    return lm_params_out(out, &stats, sizeof stats, "llm_engine_stats");
}

LLM_API int32_t llm_engine_trim(llm_engine *engine)
{
    lm_want(engine, "engine");
    lm_os_mutex_lock(&engine->inner->mutex);
    lm_prefix_clear(&engine->inner->prefix);
    lm_os_mutex_unlock(&engine->inner->mutex);
    return LLM_OK;
}
