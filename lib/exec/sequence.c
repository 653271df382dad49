/* sequence.c - the page tables of one timeline: grown, shared, copied on write, cut back. */
#include "exec/engine.h"

#include "base/checked.h"

#include <string.h>

static uint32_t kind_of(const lm_seq *s, uint32_t group)
{
    return s->engine->network->groups[group].kind;
}

static uint32_t window_of(const lm_seq *s, uint32_t group)
{
    return s->engine->network->groups[group].window;
}

static uint32_t page_tokens(const lm_seq *s)
{
    return s->engine->options.shape.page_tokens;
}

/* --- making and clearing ---------------------------------------------------------------------- */

int32_t lm_seq_init(lm_engine *e, uint64_t salt, lm_seq *out)
{
    memset(out, 0, sizeof *out);
    out->engine = e;
    out->salt = salt;
    out->node = LM_NO_NODE;
    out->shareable = e->options.sharing;
    for (uint32_t g = 0; g < LM_MAX_GROUPS; g++)
        out->groups[g].state = out->groups[g].spare = LM_NO_PAGE;
    for (uint32_t c = 0; c < LM_CHECKPOINTS; c++)
        memset(out->checkpoints[c].page, 0xff, sizeof out->checkpoints[c].page);
    uint32_t capacity = e->options.shape.context / e->options.shape.page_tokens + 2;
    for (uint32_t g = 0; g < e->network->n_groups; g++) {
        if (e->network->groups[g].kind == LM_CACHE_STATE)
            continue;
        out->groups[g].pages = LM_NEW_ARRAY(e->alloc, uint32_t, capacity);
        if (out->groups[g].pages == NULL) {
            lm_seq_finish(out);
            return LLM_E_MEMORY;
        }
        out->groups[g].capacity = capacity;
    }
    return LLM_OK;
}

static void drop_pages(lm_seq *s, uint32_t group, uint32_t keep)
{
    lm_seq_group *g = &s->groups[group];
    while (g->count > keep)
        lm_pages_release(&s->engine->pages[group], g->pages[--g->count]);
}

static void drop_checkpoint(lm_seq *s, lm_checkpoint *c)
{
    for (uint32_t g = 0; g < s->engine->network->n_groups; g++) {
        lm_pages_release(&s->engine->pages[g], c->page[g]);
        c->page[g] = LM_NO_PAGE;
    }
    c->length = 0;
}

void lm_seq_clear(lm_seq *s)
{
    lm_engine *e = s->engine;
    for (uint32_t g = 0; g < e->network->n_groups; g++) {
        lm_seq_group *group = &s->groups[g];
        drop_pages(s, g, 0);
        lm_pages_release(&e->pages[g], group->state);
        lm_pages_release(&e->pages[g], group->spare);
        group->state = group->spare = LM_NO_PAGE;
        group->first = 0;
    }
    for (uint32_t c = 0; c < LM_CHECKPOINTS; c++)
        drop_checkpoint(s, &s->checkpoints[c]);
    lm_prefix_unpin(&e->prefix, s->node);
    s->node = LM_NO_NODE;
    s->length = 0;
    s->shareable = e->options.sharing;
}

void lm_seq_finish(lm_seq *s)
{
    lm_engine *e = s->engine;
    if (e == NULL)
        return;
    lm_os_mutex_lock(&e->mutex);
    lm_seq_clear(s);
    lm_os_mutex_unlock(&e->mutex);
    for (uint32_t g = 0; g < LM_MAX_GROUPS; g++)
        lm_free_array(e->alloc, s->groups[g].pages, s->groups[g].capacity,
                      sizeof *s->groups[g].pages);
    memset(s, 0, sizeof *s);
}

/* --- forking ---------------------------------------------------------------------------------- */

static void share(lm_pages *pages, uint32_t page, uint32_t *into)
{
    *into = page;
    if (page != LM_NO_PAGE)
        lm_pages_retain(pages, page);
}

int32_t lm_seq_fork(const lm_seq *s, lm_seq *out)
{
    lm_engine *e = s->engine;
    LM_TRY(lm_seq_init(e, s->salt, out));
    lm_os_mutex_lock(&e->mutex);
    out->length = s->length;
    out->shareable = s->shareable;
    out->node = s->node;
    lm_prefix_pin(&e->prefix, out->node);
    for (uint32_t g = 0; g < e->network->n_groups; g++) {
        const lm_seq_group *from = &s->groups[g];
        lm_seq_group *to = &out->groups[g];
        to->first = from->first;
        for (to->count = 0; to->count < from->count; to->count++)
            share(&e->pages[g], from->pages[to->count], &to->pages[to->count]);
        share(&e->pages[g], from->state, &to->state);
        for (uint32_t c = 0; c < LM_CHECKPOINTS; c++) {
            out->checkpoints[c].length = s->checkpoints[c].length;
            share(&e->pages[g], s->checkpoints[c].page[g], &out->checkpoints[c].page[g]);
        }
    }
    lm_os_mutex_unlock(&e->mutex);
    return LLM_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* The page that the next token goes into may be shared when it is half full. */
static int32_t make_private(lm_seq *s, uint32_t group, uint32_t index)
{
    lm_engine *e = s->engine;
    lm_seq_group *g = &s->groups[group];
    uint32_t old = g->pages[index], fresh;
    if (e->pages[group].refs[old] == 1)
        return LLM_OK;
    LM_TRY(lm_engine_take_page(e, group, &fresh));
    int32_t rc = lm_programs_copy_page(e->programs, group, old, fresh);
    if (rc < 0) {
        lm_pages_release(&e->pages[group], fresh);
        return rc;
    }
    lm_pages_release(&e->pages[group], old);
    g->pages[index] = fresh;
    return LLM_OK;
}

static int32_t prepare_tokens(lm_seq *s, uint32_t group, uint32_t n_rows)
{
    lm_seq_group *g = &s->groups[group];
    uint32_t tokens = page_tokens(s);
    uint32_t wanted = lm_ceil_div_u32(s->length + n_rows, tokens) - g->first;
    lm_check(wanted <= g->capacity);
    if (s->length % tokens != 0)
        LM_TRY(make_private(s, group, s->length / tokens - g->first));
    while (g->count < wanted) {
        LM_TRY(lm_engine_take_page(s->engine, group, &g->pages[g->count]));
        g->count++;
    }
    return LLM_OK;
}

static uint32_t pages_in_use(const lm_seq *s, uint32_t group)
{
    return lm_ceil_div_u32(s->length, page_tokens(s)) - s->groups[group].first;
}

int32_t lm_seq_prepare(lm_seq *s, uint32_t n_rows)
{
    int32_t rc = LLM_OK;
    for (uint32_t g = 0; g < s->engine->network->n_groups && rc >= 0; g++) {
        if (kind_of(s, g) != LM_CACHE_STATE)
            rc = prepare_tokens(s, g, n_rows);
        else if (s->groups[g].spare == LM_NO_PAGE)
            rc = lm_engine_take_page(s->engine, g, &s->groups[g].spare);
    }
    if (rc < 0)
        lm_seq_settle(s);
    return rc;
}

void lm_seq_settle(lm_seq *s)
{
    for (uint32_t g = 0; g < s->engine->network->n_groups; g++)
        if (kind_of(s, g) != LM_CACHE_STATE)
            drop_pages(s, g, pages_in_use(s, g));
}

/* --- after a run ------------------------------------------------------------------------------ */

/* Hands completed pages to the prefix tree, one node per page. */
static void publish(lm_seq *s, const int32_t *history, uint32_t before)
{
    lm_engine *e = s->engine;
    uint32_t tokens = page_tokens(s);
    for (uint32_t page = before / tokens; s->shareable && (page + 1) * tokens <= s->length;
         page++) {
        uint32_t node =
            lm_prefix_advance(&e->prefix, s->node, s->salt, history + (size_t)page * tokens);
        if (node == LM_NO_NODE) {
            s->shareable = false;
            return;
        }
        s->node = node;
        lm_prefix_node *n = &e->prefix.nodes[node];
        for (uint32_t g = 0; g < e->network->n_groups; g++) {
            const lm_seq_group *group = &s->groups[g];
            bool state = kind_of(s, g) == LM_CACHE_STATE, here = (page + 1) * tokens == s->length;
            if (n->page[g] != LM_NO_PAGE)
                continue;
            if (state && here)
                share(&e->pages[g], group->state, &n->page[g]);
            else if (!state && page >= group->first)
                share(&e->pages[g], group->pages[page - group->first], &n->page[g]);
        }
    }
}

/* Frees pages that no later row can see. */
static void slide_window(lm_seq *s, uint32_t group)
{
    lm_seq_group *g = &s->groups[group];
    uint32_t first = lm_first_page(s->length, window_of(s, group), page_tokens(s));
    uint32_t gone = first > g->first ? lm_min_u32(first - g->first, g->count) : 0;
    if (gone == 0)
        return;
    for (uint32_t i = 0; i < gone; i++)
        lm_pages_release(&s->engine->pages[group], g->pages[i]);
    memmove(g->pages, g->pages + gone, (g->count - gone) * sizeof *g->pages);
    g->count -= gone;
    g->first += gone;
}

/* What was written becomes current. A state that nobody else holds is written over next time. */
static void swap_state(lm_seq *s, uint32_t group)
{
    lm_seq_group *g = &s->groups[group];
    lm_pages *pages = &s->engine->pages[group];
    uint32_t old = g->state;
    g->state = g->spare;
    g->spare = LM_NO_PAGE;
    if (old == LM_NO_PAGE)
        return;
    if (pages->refs[old] == 1)
        g->spare = old;
    else
        lm_pages_release(pages, old);
}

void lm_seq_commit(lm_seq *s, const int32_t *history, uint32_t n_rows)
{
    uint32_t before = s->length;
    s->length += n_rows;
    for (uint32_t g = 0; g < s->engine->network->n_groups; g++)
        if (kind_of(s, g) == LM_CACHE_STATE)
            swap_state(s, g);
    if (history == NULL)
        s->shareable = false;
    publish(s, history, before);
    for (uint32_t g = 0; g < s->engine->network->n_groups; g++)
        if (kind_of(s, g) == LM_CACHE_WINDOW)
            slide_window(s, g);
}

void lm_seq_checkpoint(lm_seq *s)
{
    lm_engine *e = s->engine;
    if (!lm_engine_has_state(e) || s->length == 0)
        return;
    lm_os_mutex_lock(&e->mutex);
    lm_checkpoint *oldest = &s->checkpoints[0];
    for (uint32_t c = 0; c < LM_CHECKPOINTS; c++) {
        if (s->checkpoints[c].length == s->length)
            oldest = NULL;
        else if (oldest != NULL && s->checkpoints[c].length < oldest->length)
            oldest = &s->checkpoints[c];
    }
    if (oldest != NULL) {
        drop_checkpoint(s, oldest);
        oldest->length = s->length;
        for (uint32_t g = 0; g < e->network->n_groups; g++)
            if (kind_of(s, g) == LM_CACHE_STATE)
                share(&e->pages[g], s->groups[g].state, &oldest->page[g]);
    }
    lm_os_mutex_unlock(&e->mutex);
}

/* --- going back ------------------------------------------------------------------------------- */

/* Can the token caches be cut to this length? Windows need what a row at `length` sees. */
static bool can_cut(const lm_seq *s, uint32_t length)
{
    for (uint32_t g = 0; g < s->engine->network->n_groups; g++)
        if (lm_first_page(length, window_of(s, g), page_tokens(s)) < s->groups[g].first)
            return false;
    return true;
}

static void walk_up(lm_seq *s, uint32_t length)
{
    lm_prefix *t = &s->engine->prefix;
    while (s->node != LM_NO_NODE && t->nodes[s->node].depth * page_tokens(s) > length) {
        uint32_t parent = t->nodes[s->node].parent;
        lm_prefix_pin(t, parent);
        lm_prefix_unpin(t, s->node);
        s->node = parent;
    }
}

static void cut(lm_seq *s, uint32_t length)
{
    s->length = length;
    for (uint32_t g = 0; g < s->engine->network->n_groups; g++)
        if (kind_of(s, g) != LM_CACHE_STATE)
            drop_pages(s, g, pages_in_use(s, g));
    for (uint32_t c = 0; c < LM_CHECKPOINTS; c++)
        if (s->checkpoints[c].length > length)
            drop_checkpoint(s, &s->checkpoints[c]);
    walk_up(s, length);
}

static const lm_checkpoint *best_checkpoint(const lm_seq *s, uint32_t length)
{
    const lm_checkpoint *best = NULL;
    for (uint32_t c = 0; c < LM_CHECKPOINTS; c++) {
        const lm_checkpoint *k = &s->checkpoints[c];
        if (k->length != 0 && k->length <= length && (best == NULL || k->length > best->length))
            best = k;
    }
    return best;
}

static void restore_state(lm_seq *s, const lm_checkpoint *from)
{
    for (uint32_t g = 0; g < s->engine->network->n_groups; g++) {
        if (kind_of(s, g) != LM_CACHE_STATE)
            continue;
        uint32_t old = s->groups[g].state;
        share(&s->engine->pages[g], from->page[g], &s->groups[g].state);
        lm_pages_release(&s->engine->pages[g], old);
    }
}

void lm_seq_rewind(lm_seq *s, uint32_t length)
{
    lm_engine *e = s->engine;
    if (length >= s->length)
        return;
    lm_os_mutex_lock(&e->mutex);
    const lm_checkpoint *from = NULL;
    uint32_t reach = length;
    if (lm_engine_has_state(e)) {
        from = best_checkpoint(s, length);
        reach = from == NULL ? 0 : from->length;
    }
    if (reach == 0 || !can_cut(s, reach)) {
        lm_seq_clear(s);
    } else {
        if (from != NULL)
            restore_state(s, from);
        cut(s, reach);
    }
    lm_os_mutex_unlock(&e->mutex);
}

/* --- reusing ---------------------------------------------------------------------------------- */

/* Takes the pages on the path that ends at `node`. The page tables have room for the context. */
static void take_path(lm_seq *s, uint32_t node)
{
    lm_engine *e = s->engine;
    const lm_prefix *t = &e->prefix;
    uint32_t depth = t->nodes[node].depth;
    s->node = node;
    s->length = depth * page_tokens(s);
    for (uint32_t g = 0; g < e->network->n_groups; g++) {
        lm_seq_group *group = &s->groups[g];
        if (kind_of(s, g) == LM_CACHE_STATE) {
            share(&e->pages[g], t->nodes[node].page[g], &group->state);
            continue;
        }
        group->first = lm_first_page(s->length, window_of(s, g), page_tokens(s));
        group->count = depth - group->first;
        for (uint32_t i = node; i != LM_NO_NODE && t->nodes[i].depth > group->first;
             i = t->nodes[i].parent)
            share(&e->pages[g], t->nodes[i].page[g],
                  &group->pages[t->nodes[i].depth - 1 - group->first]);
    }
}

void lm_seq_adopt(lm_seq *s, const int32_t *tokens, uint32_t n_tokens)
{
    lm_engine *e = s->engine;
    if (!e->options.sharing)
        return;
    lm_os_mutex_lock(&e->mutex);
    uint32_t node = lm_prefix_match(&e->prefix, s->salt, tokens, n_tokens);
    if (node != LM_NO_NODE && e->prefix.nodes[node].depth * page_tokens(s) > s->length) {
        uint32_t before = s->length;
        lm_prefix_pin(&e->prefix, node);
        lm_seq_clear(s);
        take_path(s, node);
        e->counts.reused_tokens += s->length - before;
    }
    lm_os_mutex_unlock(&e->mutex);
}
