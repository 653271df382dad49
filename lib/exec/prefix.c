/* prefix.c - nodes in an array, found through hash buckets, ordered by use. */
#include "exec/prefix.h"

#include "base/hash.h"

#include <string.h>

void lm_prefix_init(lm_prefix *t, lm_allocator *alloc, lm_pages *groups,
                    const lm_cache_group *kinds, uint32_t n_groups, uint32_t page_tokens)
{
    memset(t, 0, sizeof *t);
    t->alloc = alloc;
    t->groups = groups;
    t->kinds = kinds;
    t->n_groups = n_groups;
    t->page_tokens = page_tokens;
    t->free = t->oldest = t->newest = LM_NO_NODE;
}

static void free_arrays(lm_prefix *t)
{
    lm_free_array(t->alloc, t->nodes, t->capacity, sizeof *t->nodes);
    lm_free_array(t->alloc, t->tokens, (size_t)t->capacity * t->page_tokens, sizeof *t->tokens);
    lm_free_array(t->alloc, t->buckets, t->n_buckets, sizeof *t->buckets);
}

void lm_prefix_finish(lm_prefix *t)
{
    free_arrays(t);
    memset(t, 0, sizeof *t);
}

static void enter_bucket(lm_prefix *t, uint32_t node)
{
    uint32_t *bucket = &t->buckets[t->nodes[node].hash & (t->n_buckets - 1)];
    t->nodes[node].chain = *bucket;
    *bucket = node;
}

int32_t lm_prefix_reserve(lm_prefix *t, uint32_t capacity)
{
    if (capacity <= t->capacity)
        return LLM_OK;
    lm_prefix bigger = *t;
    bigger.capacity = capacity;
    bigger.n_buckets = 16;
    while (bigger.n_buckets < capacity)
        bigger.n_buckets *= 2;
    bigger.nodes = LM_NEW_ARRAY(t->alloc, lm_prefix_node, capacity);
    bigger.tokens = LM_NEW_ARRAY(t->alloc, int32_t, (size_t)capacity * t->page_tokens);
    bigger.buckets = LM_NEW_ARRAY(t->alloc, uint32_t, bigger.n_buckets);
    if (bigger.nodes == NULL || bigger.tokens == NULL || bigger.buckets == NULL) {
        free_arrays(&bigger);
        return LLM_E_MEMORY;
    }
    memset(bigger.buckets, 0xff, bigger.n_buckets * sizeof *bigger.buckets);
    if (t->capacity > 0) {
        memcpy(bigger.nodes, t->nodes, t->capacity * sizeof *t->nodes);
        memcpy(bigger.tokens, t->tokens, (size_t)t->capacity * t->page_tokens * sizeof *t->tokens);
    }
    for (uint32_t i = t->oldest; i != LM_NO_NODE; i = bigger.nodes[i].newer)
        enter_bucket(&bigger, i);
    for (uint32_t i = capacity; i-- > t->capacity;) {
        bigger.nodes[i].chain = bigger.free;
        bigger.free = i;
    }
    free_arrays(t);
    *t = bigger;
    return LLM_OK;
}

/* --- order of use ----------------------------------------------------------------------------- */

static void unlink_order(lm_prefix *t, uint32_t i)
{
    lm_prefix_node *n = &t->nodes[i];
    *(n->older == LM_NO_NODE ? &t->oldest : &t->nodes[n->older].newer) = n->newer;
    *(n->newer == LM_NO_NODE ? &t->newest : &t->nodes[n->newer].older) = n->older;
}

static void link_newest(lm_prefix *t, uint32_t i)
{
    lm_prefix_node *n = &t->nodes[i];
    n->older = t->newest;
    n->newer = LM_NO_NODE;
    *(t->newest == LM_NO_NODE ? &t->oldest : &t->nodes[t->newest].newer) = i;
    t->newest = i;
}

/* From the leaf up, so that a parent is always younger than its children. */
static void touch_path(lm_prefix *t, uint32_t i)
{
    for (; i != LM_NO_NODE; i = t->nodes[i].parent) {
        unlink_order(t, i);
        link_newest(t, i);
    }
}

/* --- finding ---------------------------------------------------------------------------------- */

static uint64_t path_hash(const lm_prefix *t, uint32_t parent, uint64_t salt, const int32_t *tokens)
{
    uint64_t seed = parent == LM_NO_NODE ? lm_mix64(salt) : t->nodes[parent].hash;
    return lm_hash(tokens, t->page_tokens * sizeof *tokens, seed);
}

uint32_t lm_prefix_child(const lm_prefix *t, uint32_t parent, uint64_t salt, const int32_t *tokens)
{
    if (t->n_buckets == 0)
        return LM_NO_NODE;
    uint64_t hash = path_hash(t, parent, salt, tokens);
    size_t bytes = t->page_tokens * sizeof *tokens;
    uint32_t i = t->buckets[hash & (t->n_buckets - 1)];
    for (; i != LM_NO_NODE; i = t->nodes[i].chain) {
        const lm_prefix_node *n = &t->nodes[i];
        if (n->hash == hash && n->parent == parent &&
            memcmp(t->tokens + (size_t)i * t->page_tokens, tokens, bytes) == 0)
            return i;
    }
    return LM_NO_NODE;
}

/* Is there, for a sequence that ends at this node, everything that later rows read? */
static bool complete(const lm_prefix *t, uint32_t node)
{
    uint32_t length = t->nodes[node].depth * t->page_tokens;
    for (uint32_t g = 0; g < t->n_groups; g++) {
        if (t->kinds[g].kind == LM_CACHE_STATE) {
            if (t->nodes[node].page[g] == LM_NO_PAGE)
                return false;
            continue;
        }
        uint32_t first = lm_first_page(length, t->kinds[g].window, t->page_tokens);
        for (uint32_t i = node; i != LM_NO_NODE && t->nodes[i].depth > first;
             i = t->nodes[i].parent)
            if (t->nodes[i].page[g] == LM_NO_PAGE)
                return false;
    }
    return true;
}

uint32_t lm_prefix_match(const lm_prefix *t, uint64_t salt, const int32_t *tokens,
                         uint32_t n_tokens)
{
    uint32_t node = LM_NO_NODE;
    for (uint32_t at = 0; n_tokens - at >= t->page_tokens; at += t->page_tokens) {
        uint32_t child = lm_prefix_child(t, node, salt, tokens + at);
        if (child == LM_NO_NODE)
            break;
        node = child;
    }
    while (node != LM_NO_NODE && !complete(t, node))
        node = t->nodes[node].parent;
    return node;
}

/* --- adding and giving up --------------------------------------------------------------------- */

static void leave_bucket(lm_prefix *t, uint32_t node)
{
    uint32_t *at = &t->buckets[t->nodes[node].hash & (t->n_buckets - 1)];
    while (*at != node)
        at = &t->nodes[*at].chain;
    *at = t->nodes[node].chain;
}

static void remove_leaf(lm_prefix *t, uint32_t node)
{
    lm_prefix_node *n = &t->nodes[node];
    for (uint32_t g = 0; g < t->n_groups; g++)
        lm_pages_release(&t->groups[g], n->page[g]);
    if (n->parent != LM_NO_NODE)
        t->nodes[n->parent].children--;
    leave_bucket(t, node);
    unlink_order(t, node);
    n->chain = t->free;
    t->free = node;
    t->count--;
}

static bool removable(const lm_prefix_node *n)
{
    return n->children == 0 && n->pins == 0;
}

static uint32_t take_node(lm_prefix *t)
{
    if (t->free == LM_NO_NODE) {
        uint32_t i = t->oldest;
        while (i != LM_NO_NODE && !removable(&t->nodes[i]))
            i = t->nodes[i].newer;
        if (i == LM_NO_NODE)
            return LM_NO_NODE;
        remove_leaf(t, i);
    }
    uint32_t node = t->free;
    t->free = t->nodes[node].chain;
    t->count++;
    return node;
}

uint32_t lm_prefix_advance(lm_prefix *t, uint32_t parent, uint64_t salt, const int32_t *tokens)
{
    uint32_t node = lm_prefix_child(t, parent, salt, tokens);
    if (node == LM_NO_NODE) {
        node = take_node(t);
        if (node == LM_NO_NODE)
            return LM_NO_NODE;
        lm_prefix_node *n = &t->nodes[node];
        memset(n, 0, sizeof *n);
        n->hash = path_hash(t, parent, salt, tokens);
        n->parent = parent;
        n->depth = parent == LM_NO_NODE ? 1 : t->nodes[parent].depth + 1;
        memset(n->page, 0xff, sizeof n->page);
        memcpy(t->tokens + (size_t)node * t->page_tokens, tokens, t->page_tokens * sizeof *tokens);
        if (parent != LM_NO_NODE)
            t->nodes[parent].children++;
        enter_bucket(t, node);
        link_newest(t, node);
    }
    t->nodes[node].pins++;
    touch_path(t, node);
    lm_prefix_unpin(t, parent);
    return node;
}

void lm_prefix_pin(lm_prefix *t, uint32_t node)
{
    if (node == LM_NO_NODE)
        return;
    t->nodes[node].pins++;
    touch_path(t, node);
}

void lm_prefix_unpin(lm_prefix *t, uint32_t node)
{
    if (node != LM_NO_NODE)
        t->nodes[node].pins--;
}

/* Frees this node's page of one group when nobody else holds it. Pages that later nodes depend on to be
 * complete (full attention) only go with their leaf; windows and states can be dropped from the middle. */
static bool give_up(lm_prefix *t, uint32_t node, uint32_t group)
{
    lm_prefix_node *n = &t->nodes[node];
    bool droppable =
        t->kinds[group].kind == LM_CACHE_STATE || t->kinds[group].kind == LM_CACHE_WINDOW;
    if (n->page[group] == LM_NO_PAGE)
        return false;
    bool frees = t->groups[group].refs[n->page[group]] == 1;
    if (droppable && frees) {
        lm_pages_release(&t->groups[group], n->page[group]);
        n->page[group] = LM_NO_PAGE;
        return true;
    }
    if (!removable(n))
        return false;
    remove_leaf(t, node);
    return frees;
}

bool lm_prefix_reclaim(lm_prefix *t, uint32_t group)
{
    for (uint32_t i = t->oldest; i != LM_NO_NODE;) {
        uint32_t newer = t->nodes[i].newer;
        if (give_up(t, i, group))
            return true;
        i = newer;
    }
    return false;
}

uint32_t lm_prefix_only(const lm_prefix *t, uint32_t group)
{
    uint32_t count = 0;
    for (uint32_t i = t->oldest; i != LM_NO_NODE; i = t->nodes[i].newer) {
        uint32_t page = t->nodes[i].page[group];
        count += page != LM_NO_PAGE && t->groups[group].refs[page] == 1;
    }
    return count;
}

/* A parent is younger than its children, so one walk from the oldest takes whole branches. */
void lm_prefix_clear(lm_prefix *t)
{
    for (uint32_t i = t->oldest; i != LM_NO_NODE;) {
        uint32_t newer = t->nodes[i].newer;
        if (removable(&t->nodes[i]))
            remove_leaf(t, i);
        i = newer;
    }
}
