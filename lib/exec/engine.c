/* engine.c - making and destroying engines, the lock, and page storage that grows on demand. */
#include "exec/engine.h"

#include "base/checked.h"

#include <string.h>

#define FIRST_PAGES 16u /* of one growth, at least */

uint32_t lm_engine_group_pages(const lm_network *n, const lm_engine_shape *shape, uint32_t group)
{
    uint32_t kind = n->groups[group].kind, page = shape->page_tokens;
    uint32_t all = lm_ceil_div_u32(shape->context, page);
    if (kind == LM_CACHE_STATE)
        return 2;
    if (kind != LM_CACHE_WINDOW)
        return all;
    uint64_t seen = (uint64_t)n->groups[group].window + shape->limits.rows;
    uint64_t pages = seen / page + 2;
    return pages < all ? (uint32_t)pages : all;
}

bool lm_engine_has_state(const lm_engine *e)
{
    for (uint32_t g = 0; g < e->network->n_groups; g++)
        if (e->network->groups[g].kind == LM_CACHE_STATE)
            return true;
    return false;
}

/* --- batch arrays ----------------------------------------------------------------------------- */

static int32_t create_batch(lm_engine *e)
{
    lm_batch *b = &e->batch;
    const lm_row_limits *l = &e->options.shape.limits;
    b->tokens = LM_NEW_ARRAY(e->alloc, int32_t, l->rows);
    b->positions = LM_NEW_ARRAY(e->alloc, uint32_t, (size_t)l->rows * 4);
    b->slots = LM_NEW_ARRAY(e->alloc, uint32_t, l->rows);
    b->row_seq = LM_NEW_ARRAY(e->alloc, uint32_t, l->rows);
    b->visible_end = LM_NEW_ARRAY(e->alloc, uint32_t, l->rows);
    b->wanted = LM_NEW_ARRAY(e->alloc, uint32_t, l->wanted);
    b->seqs = LM_NEW_ARRAY(e->alloc, lm_run_seq, l->seqs);
    b->works = LM_NEW_ARRAY(e->alloc, lm_work *, l->seqs);
    bool whole = b->tokens != NULL && b->positions != NULL && b->slots != NULL &&
                 b->row_seq != NULL && b->visible_end != NULL && b->wanted != NULL &&
                 b->seqs != NULL && b->works != NULL;
    return whole ? LLM_OK : LLM_E_MEMORY;
}

static void destroy_batch(lm_engine *e)
{
    lm_batch *b = &e->batch;
    const lm_row_limits *l = &e->options.shape.limits;
    lm_free_array(e->alloc, b->tokens, l->rows, sizeof *b->tokens);
    lm_free_array(e->alloc, b->positions, (size_t)l->rows * 4, sizeof *b->positions);
    lm_free_array(e->alloc, b->slots, l->rows, sizeof *b->slots);
    lm_free_array(e->alloc, b->row_seq, l->rows, sizeof *b->row_seq);
    lm_free_array(e->alloc, b->visible_end, l->rows, sizeof *b->visible_end);
    lm_free_array(e->alloc, b->wanted, l->wanted, sizeof *b->wanted);
    lm_free_array(e->alloc, b->seqs, l->seqs, sizeof *b->seqs);
    lm_free_array(e->alloc, b->works, l->seqs, sizeof *b->works);
    if (b->embeddings != NULL)
        lm_free_array(e->alloc, b->embeddings, (size_t)l->rows * e->network->width,
                      sizeof *b->embeddings);
}

/* --- creating --------------------------------------------------------------------------------- */

/* What a page costs over all devices; takes the fixed part out of the hard budget. */
static int32_t plan_budget(lm_engine *e)
{
    lm_placement *p = e->placement;
    lm_device_memory memory[LM_MAX_DEVICES];
    LM_TRY(lm_plan_memory(p, &e->options.shape, memory));
    uint64_t fixed = 0;
    for (uint32_t i = 0; i < p->n_devices; i++) {
        fixed += memory[i].workspace + memory[i].cache_fixed;
        for (uint32_t g = 0; g < e->network->n_groups; g++)
            e->page_bytes[g] += memory[i].page_bytes[g];
    }
    if (!lm_placement_take(p, fixed))
        return lm_fail(
            LLM_E_BUDGET,
            "the engine's workspace takes %llu bytes; weights and other engines leave %llu of "
            "the budget of %llu; lower the rows of a batch, take a smaller model, or raise the "
            "budget",
            (unsigned long long)fixed, (unsigned long long)lm_placement_left(p),
            (unsigned long long)p->budget);
    e->fixed_bytes = fixed;
    return LLM_OK;
}

int32_t lm_engine_create(lm_placement *placement, const lm_engine_options *options, lm_engine **out)
{
    if (!placement->loaded)
        return lm_fail(LLM_E_STATE,
                       "the model's weights are not loaded; call llm_model_load first");
    lm_engine *e = LM_NEW(placement->alloc, lm_engine);
    if (e == NULL)
        return LLM_E_MEMORY;
    e->alloc = placement->alloc;
    e->placement = placement;
    e->network = &placement->model->network;
    e->options = *options;
    for (uint32_t g = 0; g < LM_MAX_GROUPS; g++)
        lm_pages_init(&e->pages[g], e->alloc);
    lm_prefix_init(&e->prefix, e->alloc, e->pages, e->network->groups, e->network->n_groups,
                   options->shape.page_tokens);
    int32_t rc;
    LM_GO(lm_os_mutex_init(e->alloc, &e->mutex));
    LM_GO(lm_os_cond_init(e->alloc, &e->changed));
    LM_GO(plan_budget(e));
    LM_GO(create_batch(e));
    LM_GO(lm_programs_create(placement, &e->options.shape, &e->programs));
    *out = e;
    return LLM_OK;
out:
    lm_engine_destroy(e);
    return rc;
}

void lm_engine_destroy(lm_engine *e)
{
    if (e == NULL)
        return;
    lm_programs_destroy(e->programs);
    lm_placement_give(e->placement, e->fixed_bytes + e->cache_bytes);
    destroy_batch(e);
    lm_prefix_finish(&e->prefix);
    for (uint32_t g = 0; g < LM_MAX_GROUPS; g++)
        lm_pages_finish(&e->pages[g]);
    lm_os_cond_finish(e->alloc, &e->changed);
    lm_os_mutex_finish(e->alloc, &e->mutex);
    LM_DELETE(e->alloc, e);
}

void lm_engine_enter(lm_engine *e)
{
    lm_os_mutex_lock(&e->mutex);
    while (e->running)
        lm_os_cond_wait(&e->changed, &e->mutex);
}

void lm_engine_leave(lm_engine *e)
{
    lm_os_mutex_unlock(&e->mutex);
}

/* --- failed devices --------------------------------------------------------------------------- */

int32_t lm_engine_note(lm_engine *e, int32_t rc)
{
    if (rc == LLM_E_DEVICE && e->poison.code == LLM_OK) {
        e->poison.code = rc;
        memcpy(e->poison.message, lm_message(), sizeof e->poison.message);
    }
    return rc;
}

int32_t lm_engine_health(const lm_engine *e)
{
    return e->poison.code < 0 ? lm_fail_again(e->poison.code, e->poison.message) : LLM_OK;
}

/* --- page storage ----------------------------------------------------------------------------- */

/* A quarter more, at least what one sequence begins with, within budget and table. */
static uint32_t next_total(const lm_engine *e, uint32_t group)
{
    const lm_pages *p = &e->pages[group];
    bool state = e->network->groups[group].kind == LM_CACHE_STATE;
    uint64_t more = state ? 2 : lm_max_u32(FIRST_PAGES, p->total / 4);
    uint64_t most = e->options.shape.max_pages[group] - p->total;
    uint64_t left = e->options.cache_budget - e->cache_bytes,
             shared = lm_placement_left(e->placement);
    if (shared < left)
        left = shared;
    if (e->page_bytes[group] != 0 && left / e->page_bytes[group] < most)
        most = left / e->page_bytes[group];
    return p->total + (uint32_t)(more < most ? more : most);
}

static int32_t grow_to(lm_engine *e, uint32_t group, uint32_t total)
{
    lm_pages *p = &e->pages[group];
    uint64_t bytes = (uint64_t)(total - p->total) * e->page_bytes[group];
    if (!lm_placement_take(e->placement, bytes))
        return LLM_AGAIN;
    int32_t rc = lm_programs_grow(e->programs, group, total);
    if (rc < 0) {
        lm_placement_give(e->placement, bytes);
        return rc;
    }
    e->cache_bytes += bytes;
    lm_pages_add(p, total);
    return LLM_OK;
}

/* A device that has no room for many pages may still have it for some. */
static int32_t grow(lm_engine *e, uint32_t group)
{
    uint32_t now = e->pages[group].total, more = next_total(e, group) - now;
    int32_t rc = LLM_AGAIN;
    LM_TRY(lm_pages_reserve(&e->pages[group], now + more));
    if (e->options.sharing)
        LM_TRY(lm_prefix_reserve(&e->prefix, 2 * (now + more) + 64));
    for (; more > 0; more /= 2) {
        rc = grow_to(e, group, now + more);
        if (rc != LLM_E_MEMORY)
            break;
    }
    return rc;
}

int32_t lm_engine_take_page(lm_engine *e, uint32_t group, uint32_t *page)
{
    *page = lm_pages_take(&e->pages[group]);
    if (*page != LM_NO_PAGE)
        return LLM_OK;
    int32_t rc = grow(e, group);
    if (rc == LLM_E_DEVICE)
        return rc;
    if (rc != LLM_OK && !lm_prefix_reclaim(&e->prefix, group)) {
        if (rc < 0)
            return rc;
        return lm_fail(LLM_E_BUDGET,
                       "the cache is full: all %u pages of %u tokens are in use; end a session or "
                       "raise the budget",
                       (unsigned)e->pages[group].total, (unsigned)e->options.shape.page_tokens);
    }
    *page = lm_pages_take(&e->pages[group]);
    lm_check(*page != LM_NO_PAGE);
    return LLM_OK;
}
