/* transfer.c - a sequence's cache as bytes: groups in order, pages in order, devices in order. Layers lie on
 * devices in rising order, so the bytes do not depend on where the cuts are. */
#include "exec/engine.h"

#include "base/checked.h"

#include <string.h>

typedef struct stream {
    unsigned char *data; /* NULL: only counting */
    uint64_t size, used;
    bool import;
} stream;

static int32_t value_bytes(const lm_format *f, uint64_t values, uint64_t *out)
{
    if (!lm_format_row_bytes(f, values, out))
        return lm_fail(LLM_E_UNSUPPORTED, "a cache of %s needs rows in blocks of %u", f->name,
                       (unsigned)f->block);
    return LLM_OK;
}

/* Bytes of one cache entry for one token (states: for the sequence). */
static int32_t entry_bytes(const lm_engine *e, uint32_t cache, uint64_t *out)
{
    const lm_cache_entry *c = &e->network->caches[cache];
    if (e->network->groups[c->group].kind == LM_CACHE_STATE) {
        *out = ((uint64_t)c->conv_values + c->scan_values) * sizeof(float);
        return LLM_OK;
    }
    uint64_t k, v = 0;
    LM_TRY(value_bytes(e->options.shape.k_format, (uint64_t)c->kv_heads * c->k_dim, &k));
    if (e->network->groups[c->group].kind != LM_CACHE_LATENT)
        LM_TRY(value_bytes(e->options.shape.v_format, (uint64_t)c->kv_heads * c->v_dim, &v));
    *out = k + v;
    return LLM_OK;
}

/* The part of a token (of a state) that a device holds. */
static int32_t device_bytes(const lm_engine *e, uint32_t device, uint32_t group, uint64_t *out)
{
    *out = 0;
    for (uint32_t c = 0; c < e->network->n_caches; c++) {
        uint64_t bytes = 0;
        if (e->network->caches[c].group != group || !lm_programs_holds(e->programs, device, c))
            continue;
        LM_TRY(entry_bytes(e, c, &bytes));
        *out += bytes;
    }
    return LLM_OK;
}

/* `each`: what the devices hold of a token, or of the state. */
static int32_t move_page(lm_engine *e, uint32_t group, uint32_t page, uint32_t tokens,
                         const uint64_t *each, stream *s)
{
    bool state = e->network->groups[group].kind == LM_CACHE_STATE;
    for (uint32_t i = 0; i < e->placement->n_devices; i++) {
        lm_device *d = e->placement->devices[i].device;
        lm_cache *cache = e->programs->caches[i][group];
        uint64_t bytes = state ? each[i] : each[i] * tokens;
        if (cache == NULL)
            continue;
        if (s->data != NULL) {
            if (!lm_inside(s->used, bytes, s->size))
                return lm_fail(LLM_E_MISMATCH, "the saved cache ends early");
            unsigned char *at = s->data + s->used;
            LM_TRY(s->import ? d->backend->page_import(d, cache, page, tokens, at, (size_t)bytes)
                             : d->backend->page_export(d, cache, page, tokens, at, (size_t)bytes));
        }
        s->used += bytes;
    }
    return LLM_OK;
}

static int32_t move_group(lm_seq *seq, uint32_t group, stream *s)
{
    lm_engine *e = seq->engine;
    lm_seq_group *g = &seq->groups[group];
    uint32_t tokens = e->options.shape.page_tokens;
    uint64_t each[LM_MAX_DEVICES];
    for (uint32_t i = 0; i < e->placement->n_devices; i++)
        LM_TRY(device_bytes(e, i, group, &each[i]));
    if (e->network->groups[group].kind == LM_CACHE_STATE)
        return g->state == LM_NO_PAGE ? LLM_OK : move_page(e, group, g->state, 0, each, s);
    for (uint32_t i = 0; i < g->count; i++) {
        uint32_t start = (g->first + i) * tokens;
        uint32_t filled = seq->length > start ? lm_min_u32(seq->length - start, tokens) : 0;
        LM_TRY(move_page(e, group, g->pages[i], filled, each, s));
    }
    return LLM_OK;
}

static int32_t move_all(lm_seq *seq, stream *s)
{
    int32_t rc = LLM_OK;
    lm_placement_enter(seq->engine->placement);
    for (uint32_t g = 0; g < seq->engine->network->n_groups && rc >= 0; g++)
        rc = move_group(seq, g, s);
    lm_placement_leave(seq->engine->placement);
    return rc;
}

int32_t lm_seq_export_size(lm_seq *seq, uint64_t *size)
{
    stream s = {NULL, 0, 0, false};
    LM_TRY(move_all(seq, &s));
    *size = s.used;
    return LLM_OK;
}

int32_t lm_seq_export(lm_seq *seq, void *into, uint64_t size)
{
    stream s = {into, size, 0, false};
    lm_engine_enter(seq->engine);
    int32_t rc = lm_engine_health(seq->engine);
    if (rc >= 0)
        rc = lm_engine_note(seq->engine, move_all(seq, &s));
    lm_engine_leave(seq->engine);
    return rc;
}

int32_t lm_engine_export_most(const lm_engine *e, uint64_t *size)
{
    *size = 0;
    for (uint32_t c = 0; c < e->network->n_caches; c++) {
        uint64_t bytes;
        bool state = e->network->groups[e->network->caches[c].group].kind == LM_CACHE_STATE;
        LM_TRY(entry_bytes(e, c, &bytes));
        *size += state ? bytes : bytes * e->options.shape.context;
    }
    return LLM_OK;
}

/* Page tables as they are after `length` tokens: windows begin where their first visible page is. */
static int32_t make_room(lm_seq *seq, uint32_t length)
{
    lm_engine *e = seq->engine;
    uint32_t tokens = e->options.shape.page_tokens;
    for (uint32_t g = 0; g < e->network->n_groups; g++) {
        lm_seq_group *group = &seq->groups[g];
        if (e->network->groups[g].kind == LM_CACHE_STATE) {
            LM_TRY(lm_engine_take_page(e, g, &group->state));
            continue;
        }
        group->first = lm_first_page(length, e->network->groups[g].window, tokens);
        while (group->first + group->count < lm_ceil_div_u32(length, tokens)) {
            LM_TRY(lm_engine_take_page(e, g, &group->pages[group->count]));
            group->count++;
        }
    }
    return LLM_OK;
}

int32_t lm_seq_import(lm_seq *seq, uint32_t length, const void *from, uint64_t size)
{
    stream s = {(unsigned char *)(uintptr_t)from, size, 0, true};
    lm_engine_enter(seq->engine);
    int32_t rc = lm_engine_health(seq->engine);
    if (rc >= 0 && length > 0)
        rc = make_room(seq, length);
    seq->length = length;
    if (rc >= 0)
        rc = move_all(seq, &s);
    lm_engine_note(seq->engine, rc);
    if (rc >= 0 && s.used != size)
        rc = lm_fail(LLM_E_MISMATCH, "the saved cache is longer than its %u tokens",
                     (unsigned)length);
    if (rc < 0)
        lm_seq_clear(seq);
    seq->shareable = false;
    lm_engine_leave(seq->engine);
    return rc;
}
